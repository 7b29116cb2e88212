#!/bin/sh
# Renders messages of tests/golden in Chromium, light, dark and 390 pixels wide, onto one picture: docs/contact-sheet.png.
# Needs python3, chromium and fonts-noto-color-emoji. Usage: docs/contact-sheet.sh [name…]   (default: one message of each kind)
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ $# -eq 0 ]; then
    set -- text text-rtl group reply forwarded image contact-card location \
        voice-note call-video-missed deleted-for-all edit reaction group-renamed \
        unknown-type time-substituted partial-missing type-mismatch hostile
fi
size=$(python3 - "$work/sheet.html" "$@" <<'PYTHON'
import base64
import email
import email.policy
import sys

COLUMNS, WIDTH, HEIGHT, SCALE = 6, 600, 620, 0.5


def page(name):
    """The HTML with its inline pictures, as the content of an element of its own."""
    with open(f"tests/golden/{name}.eml", "rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.strict)
    body = message.get_body(("html",)).get_content()
    for part in message.walk():
        if part["Content-ID"]:
            data = base64.b64encode(part.get_payload(decode=True)).decode()
            body = body.replace("cid:" + part["Content-ID"].strip("<>"), f"data:{part.get_content_type()};base64,{data}")
    return body.replace("<!DOCTYPE html>", "").replace(":root{", ":host{", 1).replace("body,td{", ":host,td{", 1)


names = sys.argv[2:]
cells = []
for name in names:
    for look, scheme, ground, wide in (("light", "light", "#fff", WIDTH), ("dark", "dark", "#121212", WIDTH), ("390 px", "light", "#fff", 390)):
        style = f"color-scheme:{scheme}!important;background:{ground};color:canvastext;width:{wide}px;padding:8px;box-sizing:border-box"
        shadow = f'<template shadowrootmode="open">{page(name)}</template>'
        cells.append(f'<figure><div><article style="{style}">{shadow}</article></div><figcaption>{name}, {look}</figcaption></figure>')
columns = COLUMNS
rows = -(-len(cells) // columns)
width, height = int(WIDTH * SCALE) + 12, int(HEIGHT * SCALE) + 34
with open(sys.argv[1], "w", encoding="utf-8") as file:
    file.write(f"""<!DOCTYPE html><meta charset="utf-8"><style>
body{{margin:0;background:#888;display:grid;grid-template-columns:repeat({columns},{width}px);font:12px sans-serif}}
figure{{margin:6px}} div{{width:{width - 12}px;height:{height - 34}px;overflow:hidden}}
article{{height:{HEIGHT}px;display:flow-root;transform:scale({SCALE});transform-origin:0 0}} figcaption{{padding:3px;color:#fff}}</style>{"".join(cells)}""")
print(f"{width * columns},{height * rows}")
PYTHON
)
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=10000 --user-data-dir="$work/profile" \
    --window-size="$size" --screenshot="$work/sheet.png" "file://$work/sheet.html" >"$work/chromium.log" 2>&1 ||
    { cat "$work/chromium.log" >&2; exit 1; }
mv "$work/sheet.png" docs/contact-sheet.png
