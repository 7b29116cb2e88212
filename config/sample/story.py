"""What was said: two days around a bond issue, at a bank that archives and a city council that does not.

Every name, number and place is invented. The numbers come from ranges that are kept for fiction (+1 NPA 555-01xx,
+44 7700 900xxx, +33 6 39 98 xx xx), the addresses from domains that are kept for examples.
"""

import media
from capture import CLOUD, Archive, Chat, File, Item, Person, message_id, original, quoted

# Contoso Bank, whose telephones are archived.
ANA = Person("12025550100", "Ana", "Berg", "ana.berg@contoso.example")
# By the mapping; the e-mail property names a mailbox of the past.
SUSAN = Person("447700900101", "Susan", "Okafor", "susan.okafor@old.contoso.example")
YAEL = Person("447700900102", "יעל", "כהן", "yael.cohen@contoso.example")
# By the mapping, which names an alias.
OMAR = Person("447700900103", "عمر", "حداد")
MEI = Person("12025550104", "芽衣", "田中", "mei.tanaka@contoso.example")
MEI_UNENRICHED = Person("12025550104", "芽衣", "田中")
# The mapping names a mailbox that is gone; the e-mail property is right.
LUKAS = Person("12025550105", "Lukáš", "Novák", "lukas.novak@contoso.example")
ZOE = Person("33639980006", "Zoë", "Marchetti", "zoe.marchetti@contoso.example")
# Archived, but neither the mapping nor the user directory knows him yet.
PETER = Person("12025550107", "Peter", "Quist", "peter.quist@contoso.example")

# Fabrikam City Council, and others who have no mailbox here.
FARIDA = Person("12025550151", "Farida", "Mansour", "farida.mansour@fabrikam.example")
TOM = Person("447700900152", "Tom", "Ashworth")
NINA = Person("12025550153", "Ніна", "Коваленко", "nina.kovalenko@fabrikam.example")
STRANGER = Person("447700900199")
BANK_CODES = Person("CONTOSOBANK", kind="ALPHANUMERIC")
STATUS = Person("status@broadcast", kind="ALPHANUMERIC")

NORTHGATE = Chat("120363041000000001@g.us", "Northgate flood wall bond", (ANA, SUSAN, FARIDA, TOM))
DESK = Chat("120363041000000002@g.us", "債券デスク Bond desk", (ANA, MEI, ZOE), flagged=False)
GULF = Chat("120363041000000003@g.us", "فريق الخليج", (OMAR, YAEL, SUSAN))
CLIENTS = Chat("120363041000000009@broadcast", "Public sector clients", (FARIDA, NINA, TOM), kind="BROADCAST")
OLD_PHONE_GROUP = Chat(None, "Lunch & learn", (ANA, LUKAS, PETER), flagged=False)

TERMS = media.pdf_page(["Northgate Flood Wall 3.25% 2036", "Indicative terms, 20 November 2026",
                        "Issuer: Fabrikam City Council", "Size: USD 40,000,000", "Not an offer of securities."])
CHART = media.png_bar_chart([6, 11, 15, 24, 31, 40])
WALL = media.jpeg_mosaic(12, 8, lambda x, y: (210 - 18 * y, 120 + 4 * y, 140 - 3 * x))
SLIP = media.jpeg_mosaic(6, 9, lambda x, y: (235 - 40 * (y % 2), 128, 128 + 2 * x))
MEMO = media.docx(["Minutes of the pricing call, 20 November 2026.", "Agreed: 3.25%, ten years, settlement on the 27th."])
PICKED_UP = b"Trade date,ISIN,Nominal\r\n2026-11-21,XS0000000009,40000000\r\n"


def first_day_phone():
    """WhatsApp Phone Archiver, 20 November."""
    day = Archive(918201)
    day.add("20 08:02:11", [ANA], ANA, [FARIDA], "Good morning Dr Mansour. Are we still on for pricing at 14:00 UTC?",
            label="morning")
    day.add("20 08:05:47", [ANA], FARIDA, [ANA], "Yes. Tom joins from the treasury side 👍",
            quoted=quoted("morning", ANA, "Good morning Dr Mansour. Are we still on for pricing at 14:00 UTC?"))
    # Two archived colleagues: the same message twice, once for each.
    day.add("20 08:11:30", [ANA, SUSAN], ANA, [SUSAN], "Council confirmed 14:00. Can you open the group?")
    day.event("20 08:15:00", [SUSAN], SUSAN, NORTHGATE, "Create", [ANA, FARIDA], to=[ANA, FARIDA],
              newValue=NORTHGATE.name)
    day.event("20 08:16:20", [SUSAN], TOM, NORTHGATE, "Join", [TOM], to=[SUSAN, ANA, FARIDA])
    day.add("20 08:20:05", [ANA, SUSAN], SUSAN, text="Welcome all 🏗️🌊 Indicative terms follow within the hour.",
            chat=NORTHGATE, label="welcome")
    day.event("20 08:21:44", [ANA], TOM, NORTHGATE, "Reaction", emoji="👍🏽", targetMessageId=message_id("welcome"),
              targetSender=SUSAN.reference())
    day.add("20 08:58:13", [SUSAN], SUSAN, text="Indicative terms", chat=NORTHGATE, label="terms",
            type="MULTIMEDIA_MESSAGE", files=[File("Northgate terms v1.pdf", "application/pdf", TERMS)])
    day.add("20 09:03:40", [ANA], FARIDA, text="Orders by investor so far, from our side.", chat=NORTHGATE,
            type="MULTIMEDIA_MESSAGE", own_subject=False, files=[File("orders.png", "image/png", CHART)])
    day.add("20 09:07:02", [SUSAN], SUSAN, text="3.50% is the initial guidance.", chat=NORTHGATE, label="guidance")
    day.add("20 09:07:55", [SUSAN], SUSAN, text="3.25% is the initial guidance.", chat=NORTHGATE, label="guidance edit",
            messageId=f"EDIT-{message_id('guidance')}-1", prefix="EDIT READ ",
            originalMessageData=original("guidance", SUSAN, "20 09:07:02", "3.25% is the initial guidance.",
                                         "3.50% is the initial guidance.", "READ"))
    day.add("20 09:09:10", [SUSAN], SUSAN, text="3.25 % is the initial guidance (ten years).", chat=NORTHGATE,
            messageId=f"EDIT-{message_id('guidance')}-2", prefix="EDIT READ ",
            originalMessageData=original("guidance", SUSAN, "20 09:07:02", "3.25 % is the initial guidance (ten years).",
                                         "3.25% is the initial guidance.", "READ"))
    day.event("20 09:30:00", [ANA], ANA, NORTHGATE, "Rename", oldValue=NORTHGATE.name, newValue="Northgate 3.25% 2036")
    day.event("20 09:31:12", [ANA], ANA, NORTHGATE, "ChangeProfileImage")
    day.call("20 10:15:00", [ANA], ANA, FARIDA, "2", "VIDEO")
    day.call("20 10:16:30", [ANA], FARIDA, ANA, "1", "VOICE", 312, type="VOICE_CALL")
    day.call("20 10:40:09", [ANA], TOM, ANA, "4", "VOICE", 2,
             files=[File("voicemail.amr", "audio/amr", media.amr_voice_mail(2))])
    day.add("20 11:02:00", [ANA], TOM, [ANA], "The signing room is here.", type="MULTIMEDIA_MESSAGE",
            location={"latitude": 51.5007292, "longitude": -0.1246254, "name": "Fabrikam Town Hall",
                      "address": "1 Example Square, Northgate"})
    day.add("20 11:20:36", [ANA], ANA, [LUKAS], "Please keep for the file: terms as sent to the council.", forwarded=True,
            type="MULTIMEDIA_MESSAGE", files=[File("Northgate terms v1.pdf", "application/pdf", TERMS)])
    day.add("20 12:00:00", [LUKAS], LUKAS, [ANA, PETER], "Lunch & learn <today>: \"Records of business messages\" at 12:30",
            chat=OLD_PHONE_GROUP)
    return day.items


def first_day_cloud():
    """WhatsApp Cloud Archiver, 20 November."""
    day = Archive(918301)
    day.add("20 08:30:00", [MEI], MEI, text="おはようございます。本日の価格決定は14時（UTC）です。", chat=DESK, product=CLOUD)
    day.add("20 08:33:21", [OMAR], OMAR, text="صباح الخير. هل وصلت شروط إصدار Northgate بفائدة 3.25٪؟", chat=GULF,
            product=CLOUD, label="gulf question")
    day.add("20 08:35:02", [YAEL], YAEL, text="בוקר טוב! כן, 40 מיליון דולר לעשר שנים. פרטים ב-PDF 📎", chat=GULF,
            product=CLOUD, quoted=quoted("gulf question", OMAR, "صباح الخير. هل وصلت شروط إصدار Northgate بفائدة 3.25٪؟"))
    day.add("20 09:12:48", [OMAR], OMAR, [YAEL], None, product=CLOUD, type="MULTIMEDIA_MESSAGE",
            files=[File("شروط الإصدار.pdf", "application/pdf", TERMS, stored_as="terms-arabic-name.pdf")])
    day.add("20 09:40:00", [ZOE], NINA, [ZOE], "Фото дамби з сьогоднішнього обходу", product=CLOUD,
            type="MULTIMEDIA_MESSAGE", files=[File("IMG-20261120-WA0004.jpg", "image/jpeg", WALL)])
    day.add("20 09:41:30", [ZOE], NINA, [ZOE], None, product=CLOUD, type="MULTIMEDIA_MESSAGE", viewOnce=True,
            files=[File("IMG-20261120-WA0005.jpg", "image/jpeg", SLIP, inline=True)])
    day.add("20 10:05:17", [SUSAN], SUSAN, text="Books close at 13:00 UTC today. Please send final orders.", chat=CLIENTS,
            product=CLOUD)
    day.add("20 10:22:00", [MEI], MEI, text=None, chat=DESK, product=CLOUD, type="MULTIMEDIA_MESSAGE",
            files=[File("PTT-20261120-WA0001.opus", "audio/ogg; codecs=opus", media.ogg_opus_silence(3))])
    day.add("20 10:24:40", [MEI], ANA, text=None, chat=DESK, product=CLOUD, type="MULTIMEDIA_MESSAGE",
            files=[File("STK-20261120-WA0002.webp", "image/webp", media.webp_sticker(96, 255, 140, 0), inline=True)])
    day.add("20 10:26:03", [MEI], ZOE, text="😂😂", chat=DESK, product=CLOUD, type="MULTIMEDIA_MESSAGE",
            files=[File("party.gif", "image/gif", media.gif_blink(48, 32))])
    day.add("20 10:50:00", [ZOE], ZOE, [MEI_UNENRICHED], "Peux-tu vérifier l’ISIN ? XS0000000009", product=CLOUD,
            label="isin")
    day.add("20 11:15:25", [SUSAN], TOM, [SUSAN], "The wall at high tide this morning.", product=CLOUD,
            type="MULTIMEDIA_MESSAGE",
            files=[File("VID-20261120-WA0006.mp4", "video/mp4", media.mp4_clip([40, 90, 140, 190, 220])),
                   File("IMG-20261120-WA0007.jpg", "application/octet-stream", WALL)])
    card = media.vcard("Nina Kovalenko", "Fabrikam City Council", "+1 202-555-0153", "nina.kovalenko@fabrikam.example")
    day.add("20 11:30:00", [SUSAN], FARIDA, [SUSAN], None, product=CLOUD, type="MULTIMEDIA_MESSAGE",
            files=[File("Nina Kovalenko.vcf", "text/vcard", card)])
    day.call("20 12:00:00", [OMAR, YAEL], OMAR, YAEL, "1", "VIDEO", 1845, product=CLOUD, type="VIDEO_CALL", label="review")
    day.call("20 12:45:10", [YAEL], YAEL, FARIDA, "5", "VIDEO", product=CLOUD)
    day.call("20 12:46:02", [YAEL], YAEL, FARIDA, "6", "VOICE", product=CLOUD)
    day.call("20 12:50:33", [ZOE], STRANGER, ZOE, "7", "VOICE", product=CLOUD)
    day.call("20 13:01:00", [ZOE], ANA, ZOE, "8", "VOICE", product=CLOUD)
    day.call("20 13:05:45", [SUSAN], SUSAN, NINA, "3", "VIDEO", product=CLOUD)
    day.add("20 17:00:00", [SUSAN], SUSAN, [STATUS], "Northgate priced today at 3.25%. Thank you, team 🎉", product=CLOUD,
            prefix="STATUS - ")
    return day.items


def second_day_phone():
    """WhatsApp Phone Archiver, 21 November, where everything that can go wrong did."""
    day = Archive(918401)
    day.add("21 07:45:00", [ANA], BANK_CODES, [ANA], "Your Contoso Bank sign-in code is 004417. Never share it.")
    day.add("21 08:00:12", [SUSAN], SUSAN, text="Settlement amount is 4,000,000", chat=NORTHGATE, label="typo")
    day.add("21 08:00:59", [SUSAN], SUSAN, text=None, chat=NORTHGATE, messageId=f"DELETE_FOR_ALL-{message_id('typo')}",
            prefix="DELETED - READ - ",
            originalMessageData=original("typo", SUSAN, "21 08:00:12", "Settlement amount is 4,000,000", status="READ"))
    day.add("21 08:03:00", [ANA], ANA, text=None, chat=NORTHGATE, messageId=f"DELETE_FOR_ME-{message_id('welcome')}",
            prefix="DELETED - UNREAD - ",
            originalMessageData=original("welcome", SUSAN, "20 08:20:05", "Welcome all 🏗️🌊 Indicative terms follow within"
                                         " the hour.", status="UNREAD"))
    day.add("21 08:10:00", [LUKAS], LUKAS, [PETER], None, messageId=f"DELETE_ALL_MESSAGES-{message_id('lukas peter')}",
            prefix="DELETED - UNKNOWN - ", originalMessageData={"readStatus": "UNKNOWN"})
    day.event("21 08:12:00", [ANA], ANA, OLD_PHONE_GROUP, "ClearChat")
    day.event("21 08:12:40", [ANA], ANA, None, "DeleteChat", to=[TOM])
    day.event("21 08:30:00", [ANA], TOM, NORTHGATE, "Reaction", emoji="", targetMessageId=message_id("welcome"),
              targetSender=SUSAN.reference())
    day.event("21 08:31:00", [ANA], TOM, NORTHGATE, "Leave", [TOM])
    day.event("21 08:45:00", [SUSAN], SUSAN, NORTHGATE, "Remove", [FARIDA])
    day.add("21 09:00:00", [ANA], FARIDA, [ANA], "The countersigned page, second try", type="MULTIMEDIA_MESSAGE",
            files=[File("countersigned.jpg", "image/jpeg", SLIP, stored=False)])
    day.add("21 09:02:00", [ANA], FARIDA, [ANA], "Trade confirmation", type="MULTIMEDIA_MESSAGE",
            files=[File("confirmation.csv", "text/csv", PICKED_UP, digest="0f" * 32)])
    day.add("21 09:05:00", [ANA], FARIDA, [ANA], "media was deleted before obtained for archive", own_subject=False)
    day.add("21 09:10:00", [LUKAS], LUKAS, [ANA], None,
            envelope={"securityContent": {"keyId": "k-2026-11", "algorithm": "AES-256-GCM", "content": "q83vEjRWeJA="}})
    day.add("21 09:15:00", [ANA], ANA, [TOM], "Sent while the handset had lost its clock", messageTime=0)
    day.add("21 09:20:00", [PETER], PETER, [ANA], "New phone, archived since this morning.")
    day.add("21 09:22:00", [PETER], PETER, [STRANGER], "Wrong number, sorry.")
    day.add("21 09:25:00", [ANA], TOM, [ANA], "No id came with this one", messageId="")
    day.add("21 09:30:00", [ANA], TOM, [ANA], "Cut by the handset in the middle of an emoji \ud83d")
    day.add("21 09:40:00", [ANA], FARIDA, [ANA], "Which date suits for the closing dinner?", type="POLL")
    # A telephone that was off: said on the 20th, received on the 21st.
    day.add("20 16:55:00", [ANA], ANA, [LUKAS], "Closing file is complete, see you tomorrow.", lag=61_200)
    # The same item twice in one export.
    day.items.append(Item(day.items[-1].raw))
    return day.items


def second_day_cloud():
    """WhatsApp Cloud Archiver, 21 November."""
    day = Archive(918501)
    day.add("21 07:30:00", [MEI, ANA], MEI, text="昨日の議事録です。ご確認ください。", chat=DESK, product=CLOUD,
            type="MULTIMEDIA_MESSAGE", label="minutes",
            files=[File("議事録.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", MEMO,
                        stored_as="minutes.docx")])
    day.add("21 08:20:00", [YAEL], YAEL, [SUSAN, OMAR], "שים לב: יתרת התשלום ב־27.11, לא ב־26.11", product=CLOUD)
    day.add("21 09:00:31", [SUSAN], NINA, [SUSAN], "Підписано. Дякуємо всім! 🇺🇦✍️", product=CLOUD,
            type="MULTIMEDIA_MESSAGE",
            files=[File("AUD-20261121-WA0001.mp3", "audio/mpeg", media.mp3_silence(1), declared_size=1)])
    return day.items


def late_enrichment(first_delivery):
    """The item as the archive sent it again a day later, when it had learnt Mei's address: the same number, other bytes."""
    isin = next(item.raw for item in first_delivery if item.raw["body"]["messageId"] == message_id("isin"))
    known = dict(isin["body"]["participantEnrichments"])
    known['{"type": "PHONE", "value": "+12025550104"}'] = MEI.enrichment()
    known.pop('{"value":"12025550104","type":"PHONE"}')
    return {**isin, "body": {**isin["body"], "participantEnrichments": known}}
