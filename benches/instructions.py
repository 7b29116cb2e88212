#!/usr/bin/env python3
"""Instructions an item, counted by callgrind: figures that two commits can be compared by exactly, on whatever machine and however busy it is.

    cargo build --release && benches/instructions.py [PROGRAM]

Each command works on ITEMS items and on twice as many; the difference, divided by ITEMS, is what one more item costs, without the
program's start. Needs Debian's valgrind. The table goes to standard output; docs/results/benches.md has the last one."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ITEMS = 400
PEOPLE = 20
ROOT = pathlib.Path(__file__).resolve().parent.parent

TEXTS = [
    "Shall we meet at nine? I'll bring the figures for <Q3> & the plan. " * 15,
    "Ça va, à demain, je vous apporte les résumés. " * 20,
    "Мы встретимся завтра в девять, если получится. " * 12,
    "資料を持って行きます。会議は十時からです。" * 16,
]

CONFIGURATION = """
[source]
kind = "directory"
path = "items/"
page_size = 100
[staging]
kind = "local"
path = "staging/"
[mapping]
automatic = false
custom = "mapping.csv"
[users]
kind = "list"
path = "users.csv"
[mailbox]
kind = "maildir"
path = "mailboxes/"
[ledger]
url = "sqlite://ledger.db"
"""

COMMANDS = {
    "run: folder to Maildir, one copy each": ["run", "--once"],
    "verify": ["verify"],
    "export as eml": ["export", "--from", "2025-01-01", "--to", "2027-01-01", "--format", "eml", "--out", "exported"],
    "convert: item to message": ["convert", "items/items.jsonl", "--out", "converted"],
}


def item(number):
    owner = {"value": f"1555{number % PEOPLE:07}", "type": "PHONE"}
    other = {"value": f"1666{number:07}", "type": "PHONE"}
    return {
        "id": 900_000 + number,
        "gatewayReceivedDate": 1763712242123,
        "networkType": "WHATSAPP",
        "sourceType": "WHATSAPP_CLOUD_ARCHIVER",
        "body": {
            "messageId": f"3EB0{number:016X}",
            "messageTime": 1763712240000 + 1000 * number,
            "messageType": "APP_MESSAGE",
            "direction": "IN",
            "owner": owner,
            "sender": other,
            "recipients": [owner],
            "threadID": f"tm-{number % 100}",
            "text": TEXTS[number % len(TEXTS)],
            "attachment": [],
        },
    }


def prepare(folder, items):
    (folder / "items").mkdir()
    lines = [json.dumps(item(number), ensure_ascii=False, separators=(",", ":")) for number in range(items)]
    (folder / "items/items.jsonl").write_text("\n".join(lines) + "\n")
    people = range(PEOPLE)
    (folder / "users.csv").write_text("address\n" + "".join(f"e{one}@contoso.example\n" for one in people))
    mapped = "".join(f"1555{one:07},e{one}@contoso.example\n" for one in people)
    (folder / "mapping.csv").write_text("External User ID,Microsoft 365 User Mailbox\n" + mapped)
    (folder / "config.toml").write_text(CONFIGURATION)


def instructions(program, folder, arguments):
    counts = folder / "callgrind"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}", program]
    ended = subprocess.run(
        command + ["--config", "config.toml"] + arguments, cwd=folder, capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        sys.exit(f"{' '.join(arguments)} failed:\n{ended.stdout}\n{ended.stderr}")
    return int(re.search(r"^(?:summary|totals): (\d+)", counts.read_text(), re.MULTILINE).group(1))


def main():
    program = str(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/whatsapp-archiver").resolve())
    parent = "/dev/shm" if os.path.isdir("/dev/shm") else None
    counted = {}
    for factor in (1, 2):
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            folder = pathlib.Path(folder)
            prepare(folder, factor * ITEMS)
            for name, arguments in COMMANDS.items():
                counted.setdefault(name, []).append(instructions(program, folder, arguments))
    print("| | instructions an item |\n|---|---|")
    for name, (once, twice) in counted.items():
        print(f"| {name} | {(twice - once) / ITEMS:,.0f} |")


if __name__ == "__main__":
    main()
