"""What an archiver makes of a conversation: items in TeleMessage's form (RawMessage), one for each owner who captured it."""

import base64
import calendar
import hashlib
import json
import time
from dataclasses import dataclass, field

PHONE, CLOUD = "WHATSAPP_ARCHIVER", "WHATSAPP_CLOUD_ARCHIVER"


@dataclass(frozen=True)
class Person:
    """A participant and what TeleMessage knows of them."""

    value: str
    first: str | None = None
    last: str | None = None
    email: str | None = None
    kind: str = "PHONE"

    @property
    def name(self):
        return " ".join(filter(None, (self.first, self.last))) or self.value

    def reference(self):
        return {"value": self.value, "type": self.kind}

    def enrichment(self):
        known = {"firstName": self.first, "lastName": self.last, "email": self.email}
        return {key: value for key, value in known.items() if value}


@dataclass(frozen=True)
class Chat:
    """A group, or with `kind="BROADCAST"` a broadcast list."""

    id: str | None
    name: str
    members: tuple = ()
    kind: str = "GROUP"
    flagged: bool = True  # whether `groupMessage` says so


@dataclass(frozen=True)
class File:
    """An attachment: the name and type it is declared with, and its bytes."""

    name: str
    type: str
    data: bytes
    inline: bool = False  # in the item itself, as base64
    stored_as: str | None = None  # the last part of the file's name in the export; the declared name by default
    stored: bool = True  # False: the export has lost it
    digest: str | None = None  # the declared digest, where it is not that of the bytes
    declared_size: int | None = None  # the declared size, where it is not that of the bytes

    def declaration(self, date):
        return {
            "name": self.name,
            "contentType": self.type,
            "attachmentSize": len(self.data) if self.declared_size is None else self.declared_size,
            "digest": self.digest or hashlib.sha256(self.data).hexdigest(),
            "content": base64.b64encode(self.data).decode() if self.inline else None,
            "attachmentDate": date,
        }


@dataclass
class Item:
    """One captured item, its attachments beside it."""

    raw: dict
    files: list = field(default_factory=list)


def millis(text):
    """`21 09:14:05` in November 2026, UTC, as epoch milliseconds."""
    return calendar.timegm(time.strptime(f"2026-11-{text}", "%Y-%m-%d %H:%M:%S")) * 1000


def message_id(label):
    """WhatsApp's id of the message that the story calls `label`."""
    return "3EB0" + hashlib.sha256(label.encode()).hexdigest()[:18].upper()


def thread_id(owner, chat, people):
    """TeleMessage's thread, which differs from owner to owner."""
    parts = [owner.value, (chat.id or chat.name) if chat else ",".join(sorted(person.value for person in people))]
    return "tm-" + hashlib.sha256("|".join(parts).encode()).hexdigest()[:10]


def subject(prefix, what, sender, recipients, chat):
    """The subject as TeleMessage writes it."""
    if chat:
        target = f"{chat.name} {'broadcast' if chat.kind == 'BROADCAST' else 'chat group'}"
    else:
        first, others = recipients[0].name, len(recipients) - 1
        target = first if others == 0 else f"{first} and {others} other{'s' if others > 1 else ''}"
    return f"{prefix}WhatsApp {what} from {sender.name} to {target}"


class Archive:
    """Collects items in the order of their numbers."""

    def __init__(self, first_id):
        self.next_id = first_id
        self.items = []

    def add(self, at, owners, sender, to=(), text=None, *, label=None, chat=None, product=PHONE, type="APP_MESSAGE",
            what="message", prefix="", own_subject=True, files=(), lag=0, envelope=None, **body):
        """One message at `at`, captured once for each of `owners`. `lag` is how long the capture took, in seconds;
        `envelope` and `body` set fields of the item and of its body. Returns the first capture's item."""
        to = [member for member in chat.members if member != sender] if chat and not to else list(to)
        captures = [self._capture(at, owner, sender, to, text, label, chat, product, type, what, prefix, own_subject,
                                  files, lag, envelope or {}, body) for owner in owners]
        self.items.extend(captures)
        return captures[0]

    def _capture(self, at, owner, sender, to, text, label, chat, product, type, what, prefix, own_subject, files, lag,
                 envelope, fields):
        number, self.next_id = self.next_id, self.next_id + 1
        sent = millis(at)
        received = sent + lag * 1000 + 1100 + number * 137 % 3800
        people = {person.value: person for person in [owner, sender, *to]}
        known = {json.dumps(person.reference(), separators=(",", ":")): person.enrichment() for person in people.values()}
        body = {
            "messageId": message_id(label or f"{at} {sender.value}"),
            "messageType": type,
            "messageStatus": "NA",
            "messageTime": sent,
            "direction": "OUT" if owner == sender else "IN",
            "owner": owner.reference(),
            "sender": sender.reference(),
            "recipients": [person.reference() for person in to],
            "participantEnrichments": {key: value for key, value in known.items() if value},
            "subject": subject(prefix, what, sender, to, chat) if own_subject and (to or chat) else None,
            "text": text,
            "groupMessage": bool(chat) and chat.flagged,
            "groupId": chat.id if chat else None,
            "groupName": chat.name if chat else None,
            "groupData": {"id": chat.id, "name": chat.name, "type": chat.kind} if chat and chat.id else None,
            "threadID": thread_id(owner, chat, people.values()),
            "threadName": chat.name if chat else None,
            "callInfo": None,
            "originalMessageData": None,
            "attachment": [file.declaration(sent) for file in files],
        }
        body.update(fields)
        raw = {"typ": "RawMessage", "id": number, "gatewayReceivedDate": received, "networkType": product,
               "sourceType": product, "securityContent": None, "body": body}
        raw.update(envelope)
        return Item(raw, list(files))

    def call(self, at, owners, caller, callee, status, kind, seconds=0, *, type="CALL_LOG", **more):
        """A call: `status` as in `callInfo.callStatus`."""
        start = millis(at)
        unanswered = "unanswered " if status in "23567" else ""
        info = {"startTime": start, "endTime": start + seconds * 1000, "callStatus": status,
                "callDurationInMillis": seconds * 1000, "callType": kind}
        return self.add(at, owners, caller, [callee], type=type, what=f"{unanswered}{kind.lower()} call", callInfo=info,
                        **more)

    def event(self, at, owners, actor, chat, kind, members=(), *, to=(), **more):
        """An event in a chat; `more` may hold further fields of `event`."""
        names = ("emoji", "targetMessageId", "targetSender", "oldValue", "newValue")
        details = {name: more.pop(name) for name in names if name in more}
        event = {"type": kind, "actor": actor.reference(), "members": [member.reference() for member in members],
                 **details}
        return self.add(at, owners, actor, to, chat=chat, type="EVENT", own_subject=False, event=event,
                        **more)


def original(label, sender, at, text=None, previous=None, status=None):
    """`originalMessageData`: what was edited or deleted."""
    data = {"messageId": message_id(label), "sender": sender.reference(), "text": text, "previousText": previous,
            "messageTime": millis(at), "readStatus": status}
    return {key: value for key, value in data.items() if value is not None}


def quoted(label, sender, text):
    """`quoted`: what a reply answers."""
    return {"messageId": message_id(label), "sender": sender.reference(), "text": text}
