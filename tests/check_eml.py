"""Parses messages with Python's strict e-mail parser and says what is wrong with them.

Reads the paths of .eml files from its arguments, or a stream of length-prefixed messages from standard input
(`--stream`: an ASCII line with the length in bytes, then the message, repeated). Prints one JSON line for each message
with what the parser read, and ends with status 1 when any message has a defect or breaks a limit of RFC 5322.
"""

import base64
import email
import email.policy
import hashlib
import json
import re
import sys

LINE_OCTETS = 998


def limits(raw):
    """What breaks RFC 5322 (2.1.1, 2.3) before any parsing."""
    head = raw.split(b"\r\n\r\n", 1)[0]
    if any(byte > 126 or byte < 32 and byte not in (9, 13, 10) for byte in head):
        yield "the header is not printable ASCII"
    if re.search(rb"(?<!\r)\n|\r(?!\n)", raw):
        yield "a lone CR or LF"
    if b"\0" in raw:
        yield "a NUL"
    if max(map(len, raw.split(b"\r\n"))) > LINE_OCTETS:
        yield "a line of more than 998 octets"
    if not raw.endswith(b"\r\n"):
        yield "the last line has no end"


def addresses(header):
    return [[address.display_name, address.addr_spec] for address in header.addresses] if header else []


def read(raw):
    """The message as the strict parser reads it; raises its first defect."""
    message = email.message_from_bytes(raw, policy=email.policy.strict)
    for part in message.walk():
        for name, value in part.items():
            # Outlook and Exchange read a file's name there as encoded words; RFC 2047 doesn't foresee them in a parameter.
            defects = [defect for defect in value.defects if not (name == "Content-Type" and "encoded" in str(defect))]
            if defects:
                raise defects[0]
        if part.defects:
            raise part.defects[0]
        if part.get_content_maintype() != "multipart" and part.get_content_type() != "message/rfc822":
            decoded = part.get_payload(decode=True)
            if part.get_content_disposition() is None and re.search(rb"(?<!\r)\n", decoded):
                raise ValueError("a text without canonical line ends")
    texts = {kind: message.get_body((kind,)).get_content() for kind in ("plain", "html")}
    files = []
    for part in message.walk():
        if part.get_content_disposition() is None:
            continue
        if part.get_content_type() == "message/rfc822":
            bytes_ = part.get_payload(0).as_bytes(policy=email.policy.SMTP)
        else:
            bytes_ = part.get_payload(decode=True)
        files.append({
            "name": part.get_filename(),
            "type": part.get_content_type(),
            "size": len(bytes_),
            "sha256": hashlib.sha256(bytes_).hexdigest(),
        })
    return {
        "from": addresses(message["From"]),
        "to": addresses(message["To"]),
        "subject": str(message["Subject"]),
        "date": message["Date"].datetime.timestamp(),
        "headers": sorted(name.lower() for name in message.keys()),
        "text": base64.b64encode(texts["plain"].encode()).decode(),
        "files": files,
    }


def messages(arguments):
    if arguments == ["--stream"]:
        while line := sys.stdin.buffer.readline():
            yield "", sys.stdin.buffer.read(int(line))
    else:
        for path in arguments:
            with open(path, "rb") as file:
                yield path, file.read()


def main():
    failed = False
    for path, raw in messages(sys.argv[1:]):
        problems = list(limits(raw))
        result = {}
        try:
            result = read(raw)
        except Exception as defect:  # A defect is an exception of any kind, and each is what is being looked for.
            problems.append(f"{type(defect).__name__}: {defect}")
        failed |= bool(problems)
        print(json.dumps({"path": path, "problems": problems, **result}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
