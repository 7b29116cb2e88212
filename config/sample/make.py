#!/usr/bin/env python3
"""Writes the sample export: what `config/local.toml` reads instead of an account at TeleMessage.

    config/sample/make.py            writes export/
    config/sample/make.py --check    changes nothing; exit status 1 when what is committed isn't what would be written

Python 3.11 or later, standard library only. The output depends on nothing but these four files, so writing it again
changes nothing. `story.py` says what happens, `capture.py` gives it TeleMessage's form, `media.py` makes the attachments.
`mapping.csv` and `users.csv`, beside this file, are written by hand.
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # leaves nothing behind but the export

import story  # noqa: E402

EXPORT = Path(__file__).resolve().parent / "export"
NOTHING_MORE = {"resultCode": 0, "resultDescription": "Success", "invalidToken": False, "endOfMessages": True}


def list_response(items, server_time):
    """The answer to a list request, as TeleMessage sends it."""
    raw = [item.raw for item in items]
    return {**NOTHING_MORE, "timeStamp": server_time, "lastId": raw[-1]["id"], "messages": raw}


def pretty(value):
    return json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"


def line(value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # half an emoji, which only an escape can hold
        return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def export():
    """Every file of the export: its path to its bytes."""
    phone_20, cloud_20 = story.first_day_phone(), story.first_day_cloud()
    phone_21, cloud_21 = story.second_day_phone(), story.second_day_cloud()
    lines = [line(item.raw) for item in phone_21]
    # The malformed item: a line that was cut short, as by a full disk.
    cut_short = line({**phone_21[0].raw, "id": 918499})
    lines.append(cut_short[:len(cut_short) * 2 // 3] + b"\n")
    files = {
        "20261120-cloud-archiver.json": pretty([item.raw for item in cloud_20]),
        "20261120-phone-archiver.json": pretty(list_response(phone_20, 1795219200000)),
        "20261121-cloud-archiver.json": pretty([list_response(cloud_21, 1795305600000)]),
        "20261121-late-enrichment.json": pretty(story.late_enrichment(cloud_20)),
        "20261121-phone-archiver.jsonl": b"".join(lines),
    }
    for item in [*phone_20, *cloud_20, *phone_21, *cloud_21]:
        for index, file in enumerate(item.files):
            if file.stored and not file.inline:
                files[f"attachments/{item.raw['id']}/{index}-{file.stored_as or file.name}"] = file.data
    return files


def committed():
    return {path.relative_to(EXPORT).as_posix(): path.read_bytes() for path in EXPORT.rglob("*") if path.is_file()}


def main(arguments):
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    files, there = export(), committed()
    changed = sorted(name for name in files.keys() | there.keys() if files.get(name) != there.get(name))
    if arguments:
        for name in changed:
            print(f"config/sample/export/{name}: not what make.py writes", file=sys.stderr)
        return 1 if changed else 0
    for name in changed:
        path = EXPORT / name
        if name not in files:
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
    print(f"{len(files)} files, {sum(map(len, files.values()))} bytes; {len(changed)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
