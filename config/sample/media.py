"""The sample export's attachments: tiny files that really open, written byte by byte.

Nothing here compresses, asks the time or draws a random number, so the bytes are the same with every Python and every
zlib. Each function returns one whole file.
"""

import io
import math
import struct
import zipfile
import zlib


class Bits:
    """A writer of bits, most significant first unless told otherwise."""

    def __init__(self, least_first=False):
        self.bits = []
        self.least_first = least_first

    def put(self, value, count):
        order = range(count) if self.least_first else reversed(range(count))
        self.bits.extend(value >> place & 1 for place in order)

    def exp_golomb(self, value):
        """ue(v) of H.264, 9.1."""
        length = (value + 1).bit_length()
        self.put(value + 1, 2 * length - 1)

    def align(self, fill=0):
        while len(self.bits) % 8:
            self.bits.append(fill)

    def to_bytes(self):
        self.align()
        octets = (self.bits[at:at + 8] for at in range(0, len(self.bits), 8))
        if self.least_first:
            octets = (octet[::-1] for octet in octets)
        return bytes(int("".join(map(str, octet)), 2) for octet in octets)


def png_bar_chart(heights):
    """Bars of the given heights (0–40 pixels) as a PNG with a palette."""
    width, height = 16 * len(heights), 48
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for bar in heights:
            ink = 1 if height - y <= bar + 4 else 0
            rows += bytes([0, 0] + [ink] * 12 + [0, 0])

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    # A zlib stream of one stored block (RFC 1950, RFC 1951).
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + bytes(rows)
    stored += struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    palette = bytes([250, 250, 250, 0, 92, 138])
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", palette)
            + chunk(b"IDAT", stored) + chunk(b"IEND", b""))


def jpeg_mosaic(columns, rows, tone):
    """A baseline JPEG of flat 8 × 8 blocks; `tone(x, y)` gives the luma and the two chromas of a block, 0–255."""
    lengths = [0, 1, 5, 1, 1, 1] + [0] * 10
    codes = {0: (0b00, 2), 1: (0b010, 3), 2: (0b011, 3), 3: (0b100, 3), 4: (0b101, 3), 5: (0b110, 3),
             6: (0b1110, 4), 7: (0b11110, 5), 8: (0b111110, 6)}
    scan, last = Bits(), [0, 0, 0]
    for y in range(rows):
        for x in range(columns):
            for component, value in enumerate(tone(x, y)):
                # The quantiser is 8 throughout, so that a flat block's only coefficient is its distance from grey.
                difference = value - 128 - last[component]
                last[component] = value - 128
                category = abs(difference).bit_length()
                scan.put(*codes[category])
                scan.put(difference if difference > 0 else difference + (1 << category) - 1, category)
                scan.put(0, 1)  # end of block: the only AC code
    scan.align(fill=1)

    def segment(marker, data):
        return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data

    frame = struct.pack(">BHHB", 8, rows * 8, columns * 8, 3) + b"".join(bytes([n, 0x11, 0]) for n in (1, 2, 3))
    return (b"\xff\xd8" + segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0") + segment(0xDB, b"\0" + b"\x08" * 64)
            + segment(0xC0, frame) + segment(0xC4, b"\x00" + bytes(lengths) + bytes(range(9)))
            + segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
            + segment(0xDA, b"\x03\x01\0\x02\0\x03\0\0\x3f\0") + scan.to_bytes().replace(b"\xff", b"\xff\0") + b"\xff\xd9")


def webp_sticker(size, red, green, blue):
    """A disc of one colour on a transparent ground, as lossless WebP (RFC 9649)."""
    bits = Bits(least_first=True)
    bits.put(0x2F, 8)
    bits.put(size - 1, 14)
    bits.put(size - 1, 14)
    bits.put(1, 1)  # alpha is used
    bits.put(0, 3 + 1 + 1 + 1)  # version; no transform, no colour cache, no meta prefix codes

    def one_symbol(symbol):
        bits.put(0b101, 3)  # simple code; one symbol; of eight bits
        bits.put(symbol, 8)

    for colour in (green, red, blue):
        one_symbol(colour)
    bits.put(0b11, 2)  # alpha: simple code of two symbols,
    bits.put(0, 1)  # the first of one bit: 0, transparent
    bits.put(0, 1)
    bits.put(255, 8)
    one_symbol(0)  # distance, never used
    middle = (size - 1) / 2
    for y in range(size):
        for x in range(size):
            bits.put(int(math.hypot(x - middle, y - middle) < middle), 1)
    data = bits.to_bytes()
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def gif_blink(width, height):
    """Two frames, the second inverted, for ever."""
    palette = bytes([255, 255, 255, 0, 92, 138, 230, 120, 0, 0, 0, 0])
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0b10010001, 0, 0) + palette
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"

    def frame(inverted):
        bits = Bits(least_first=True)
        for at in range(width * height):
            if at % 2 == 0:
                bits.put(4, 3)  # the table is cleared before it grows, so that every code has three bits
            chequer = (at % width // 8 + at // width // 8) % 2
            bits.put(1 + (chequer ^ inverted), 3)
        bits.put(5, 3)
        data = bits.to_bytes()
        blocks = b"".join(bytes([len(part)]) + part for part in (data[at:at + 255] for at in range(0, len(data), 255)))
        control = b"\x21\xf9\x04\0" + struct.pack("<H", 50) + b"\0\0"
        return control + b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02" + blocks + b"\0"

    return head + loop + frame(0) + frame(1) + b"\x3b"


def ogg_opus_silence(seconds):
    """A voice note as WhatsApp sends it: Opus in Ogg (RFC 7845), of silence."""

    def crc(data):
        value = 0
        for octet in data:
            value ^= octet << 24
            for _ in range(8):
                value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        return value

    def page(number, flags, granule, packets):
        head = struct.pack("<4sBBqIII", b"OggS", 0, flags, granule, 0x5A4D504C, number, 0)
        body = bytes([len(packets)]) + bytes(map(len, packets)) + b"".join(packets)
        return head[:22] + struct.pack("<I", crc(head + body)) + body

    vendor = b"sample"
    frames = [b"\xf8\xff\xfe"] * (50 * seconds)  # 20 ms of silence each
    return (page(0, 2, 0, [b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48000, 0, 0)])
            + page(1, 0, 0, [b"OpusTags" + struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", 0)])
            + page(2, 4, 960 * len(frames), frames))


def mp3_silence(seconds):
    """MPEG-1 layer III, mono, 32 kbit/s: frames whose side information is empty."""
    frame = b"\xff\xfb\x10\xc4"
    return (frame + bytes(104 - len(frame))) * (seconds * 44100 // 1152)


def amr_voice_mail(seconds):
    """AMR narrow band at 4.75 kbit/s (RFC 4867), as telephone systems record."""
    return b"#!AMR\n" + (b"\x04" + bytes(12)) * (50 * seconds)


def mp4_clip(frames):
    """H.264 in MP4: frames of 32 × 32 pixels of one grey each, uncompressed (I_PCM), five a second."""

    def nal(kind, bits):
        bits.put(1, 1)
        payload, zeros = bytearray(), 0
        for octet in bits.to_bytes():
            if zeros >= 2 and octet <= 3:
                payload.append(3)
                zeros = 0
            payload.append(octet)
            zeros = zeros + 1 if octet == 0 else 0
        return bytes([kind]) + bytes(payload)

    def parameters(fields):
        bits = Bits()
        for value, count in fields:
            bits.exp_golomb(value) if count is None else bits.put(value, count)
        return bits

    ue = None
    sps = nal(0x67, parameters([(66, 8), (0xC0, 8), (10, 8), (0, ue), (0, ue), (2, ue), (0, ue), (0, 1), (1, ue), (1, ue),
                                (1, 1), (1, 1), (0, 1), (0, 1)]))
    pps = nal(0x68, parameters([(0, ue), (0, ue), (0, 1), (0, 1), (0, ue), (0, ue), (0, ue), (0, 1), (0, 2), (0, ue),
                                (0, ue), (0, ue), (1, 1), (0, 1), (0, 1)]))
    samples = []
    for number, grey in enumerate(frames):
        bits = parameters([(0, ue), (7, ue), (0, ue), (0, 4), (number % 2, ue), (0, 1), (0, 1), (0, ue), (1, ue)])
        for _ in range(4):
            bits.exp_golomb(25)
            bits.align()
            for sample in [grey] * 256 + [128] * 128:
                bits.put(sample, 8)
        picture = nal(0x65, bits)
        samples.append(struct.pack(">I", len(picture)) + picture)

    def box(kind, *parts):
        data = b"".join(parts)
        return struct.pack(">I", len(data) + 8) + kind + data

    def full(kind, *parts, flags=0):
        return box(kind, struct.pack(">I", flags), *parts)

    scale, step = 1000, 200
    length = step * len(samples)
    unity = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    avcc = box(b"avcC", b"\x01\x42\xc0\x0a\xff\xe1", struct.pack(">H", len(sps)), sps, b"\x01",
               struct.pack(">H", len(pps)), pps)
    avc1 = box(b"avc1", bytes(6), struct.pack(">H", 1), bytes(16), struct.pack(">HH", 32, 32),
               struct.pack(">IIIH", 0x480000, 0x480000, 0, 1), bytes(32), struct.pack(">Hh", 24, -1), avcc)
    ftyp = box(b"ftyp", b"mp42", struct.pack(">I", 0), b"mp42isom")

    def moov(first_sample):
        table = box(b"stbl", full(b"stsd", struct.pack(">I", 1), avc1),
                    full(b"stts", struct.pack(">III", 1, len(samples), step)),
                    full(b"stsc", struct.pack(">IIII", 1, 1, len(samples), 1)),
                    full(b"stsz", struct.pack(">II", 0, len(samples)), *(struct.pack(">I", len(s)) for s in samples)),
                    full(b"stco", struct.pack(">II", 1, first_sample)))
        media = box(b"minf", full(b"vmhd", bytes(8), flags=1),
                    box(b"dinf", full(b"dref", struct.pack(">I", 1), full(b"url ", flags=1))), table)
        track = box(b"trak",
                    full(b"tkhd", struct.pack(">5I", 0, 0, 1, 0, length), bytes(16), unity,
                         struct.pack(">II", 32 << 16, 32 << 16), flags=3),
                    box(b"mdia", full(b"mdhd", struct.pack(">4IHH", 0, 0, scale, length, 0x55C4, 0)),
                        full(b"hdlr", bytes(4), b"vide", bytes(12), b"video\0"), media))
        header = full(b"mvhd", struct.pack(">4IIH", 0, 0, scale, length, 0x10000, 0x100), bytes(10), unity, bytes(24),
                      struct.pack(">I", 2))
        return box(b"moov", header, track)

    return ftyp + moov(len(ftyp) + len(moov(0)) + 8) + box(b"mdat", *samples)


def pdf_page(lines):
    """One page of text (Latin letters) in Helvetica."""
    text = "BT /F1 12 Tf 72 770 Td 16 TL " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(text)} >>\nstream\n{text}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    file, places = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(file))
        file += f"{number} 0 obj\n{content}\nendobj\n"
    start = len(file)
    file += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n" + "".join(f"{place:010} 00000 n \n" for place in places)
    file += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    return file.encode("ascii")


def docx(paragraphs):
    """A Word document of plain paragraphs."""
    types = ('<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
             '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
             '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
             'wordprocessingml.document.main+xml"/></Types>')
    relations = ('<?xml version="1.0" encoding="UTF-8"?>'
                 '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
                 'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
                 'Target="word/document.xml"/></Relationships>')
    body = "".join(f"<w:p><w:r><w:t>{paragraph}</w:t></w:r></w:p>" for paragraph in paragraphs)
    document = ('<?xml version="1.0" encoding="UTF-8"?><w:document '
                f'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>{body}</w:body></w:document>')
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, text in [("[Content_Types].xml", types), ("_rels/.rels", relations), ("word/document.xml", document)]:
            entry = zipfile.ZipInfo(name, (2026, 11, 20, 9, 0, 0))
            entry.create_system = 0
            archive.writestr(entry, text.encode())
    return file.getvalue()


def vcard(name, organisation, phone, email):
    """A contact card (vCard 3.0, as telephones share it)."""
    family, given = name.split(" ")[-1], " ".join(name.split(" ")[:-1])
    lines = ["BEGIN:VCARD", "VERSION:3.0", f"N:{family};{given};;;", f"FN:{name}", f"ORG:{organisation}",
             f"TEL;TYPE=CELL:{phone}", f"EMAIL:{email}", "END:VCARD", ""]
    return "\r\n".join(lines).encode()
