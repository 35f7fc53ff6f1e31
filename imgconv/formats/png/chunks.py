"""The chunks of a PNG file beside its pixels: which are kept, what metadata is in them, how they are made of it.

From PNG to PNG they are copied as they are, before or behind the pixels as they were, after the rules of the PNG
specification (third edition, 14): those that describe pixels which are now others are left out.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple

from isal import isal_zlib

from imgconv.errors import PictureError
from imgconv.formats.photoshop import with_iptc
from imgconv.formats.picture import EXIF_MARK, marked, sound_dpi

inflater: Any = isal_zlib  # three times as fast as zlib, at CRCs eleven times
DAMAGED: Any = (inflater.error,)

NAME = re.compile(rb"\w{4}")
SIGNATURE = b"\x89PNG\r\n\x1a\n"
UNDERSTOOD = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
# not safe to copy by their names, but the filtered picture has the same colours, in the same way
STAYS_TRUE = (b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD")
COPIED = (*STAYS_TRUE, b"tIME")
ONLY_ONCE = (*COPIED, b"pHYs", b"eXIf")
# no loss: how the old file was laid out or animated, and what its samples have become
LAYOUT = (*UNDERSTOOD, b"tRNS", b"acTL", b"fcTL", b"fdAT", b"iDOT")
COLOUR = (b"cHRM", b"gAMA", b"sRGB", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi")
BEFORE_PIXELS = (*STAYS_TRUE, b"pHYs")  # nobody heeds them elsewhere
LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8, b"tIME": 7}
TEXT = (b"tEXt", b"zTXt", b"iTXt")
LONGEST_KEYWORD = 79
XMP = b"XML:com.adobe.xmp"
RAW = b"Raw profile type "  # as ImageMagick writes what has no chunk of its own
# texts that are something else
KEYWORDS = {XMP: "xmp", b"Comment": "comment", b"comment": "comment"} | {
    RAW + name: kind for name, kind in
    ((b"exif", "exif"), (b"APP1", "exif"), (b"icc", "icc"), (b"icm", "icc"), (b"xmp", "xmp"), (b"8bim", "photoshop"),
     (b"iptc", "photoshop"))
}  # fmt: skip
APP1_XMP = b"http://ns.adobe.com/xap/1.0/\0"
GAMMA, GAMMA_NEAR = 45455, 500  # of sRGB, in hundred thousandths
PRIMARIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)  # of sRGB
KNOWN = (*TEXT, *COPIED, b"pHYs", b"eXIf", b"mDCv", b"cLLi")
LARGEST_TEXT, MOST_TEXTS = 2**20, 64  # bytes of an inflated profile or text, and how many of them: as Pillow has it
MOST = {"icc_profile": ("ICC profile", LARGEST_TEXT), "photoshop": ("Photoshop data", LARGEST_TEXT // 2 - 32)}
INCH_M = 0.0254


class TooLong(ValueError):
    """What was compressed is longer than Pillow takes."""


class Chunk(NamedTuple):
    """One chunk that is no pixels."""

    name: bytes
    body: bytes
    behind: bool = False  # the pixels

    @property
    def kind(self) -> str:
        """What a text is; "" for others."""
        return KEYWORDS.get(self.body.partition(b"\0")[0], "text") if self.name in TEXT else ""

    @property
    def word(self) -> str:
        """What `--metadata` calls it."""
        if self.kind:
            return {"photoshop": "iptc", "comment": "text"}.get(self.kind, self.kind)
        if self.name in COLOUR:
            return "colour"
        return {b"eXIf": "exif", b"iCCP": "icc", b"pHYs": "dpi", b"tIME": "time"}.get(self.name, "other")

    def __bytes__(self) -> bytes:
        """The chunk as it stands in a file."""
        length, checksum = len(self.body), zlib.crc32(self.body, zlib.crc32(self.name))
        return struct.pack(">I", length) + self.name + self.body + struct.pack(">I", checksum)


def split(
    file: BinaryIO, size: int, places: list[tuple[bytes, int, int]] | None = None
) -> tuple[list[Chunk], list[tuple[int, int]]]:
    """The chunks of a PNG file of `size` bytes but IEND and the pixels'; where those are, and their lengths.

    `places` is given the names, places and lengths of all.

    Raises PictureError when it ends within a chunk other than the pixels', or what stands before them has a wrong
    checksum. What stands behind them and has one is passed over; that of the pixels is not looked at. All this is as in
    Pillow.
    """
    chunks: list[Chunk] = []
    pixels: list[tuple[int, int]] = []
    at = len(SIGNATURE)
    while True:
        file.seek(at)
        head = file.read(8)
        name = head[4:]
        if len(head) < 8 or not NAME.match(name):
            break  # only what comes behind the pixels is missing
        length = int.from_bytes(head[:4], "big")
        if places is not None:
            places.append((name, at + 8, length))
        if name == b"IDAT":
            pixels.append((at + 8, length))
        elif name == b"IEND":
            return chunks, pixels
        elif at + 8 + length > size:
            raise PictureError(f"is broken: it ends within {name!r}")
        elif name != b"fdAT":  # pixels of later frames
            body = file.read(length)
            if inflater.crc32(body, inflater.crc32(name)) == int.from_bytes(file.read(4), "big"):
                chunks.append(Chunk(name, body, bool(pixels)))
            elif not pixels:
                raise PictureError(f"is broken: a wrong checksum of {name!r}")
            if name == b"IHDR" and at > len(SIGNATURE):
                raise PictureError("is broken: its header is not what it begins with")
        at += 12 + length
    if not pixels:
        raise PictureError("is broken: it ends before its pixels")
    return chunks, pixels


def metadata_of(chunks: list[Chunk]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a file says about its picture, as `Picture.info` has it, and what the user should know about that.

    Its `chunks` are those that are copied to a PNG file; exif, icc_profile, dpi and xmp are what others know of them.
    Raises PictureError when it says too much.
    """
    kept: list[Chunk] = []
    notes: dict[str, None] = {}  # each once
    lost: dict[tuple[str, str], None] = {}
    seen: set[bytes] = set()
    inflated = 0
    for chunk in chunks:
        name = chunk.name
        again = name in ONLY_ONCE and name in seen
        seen.add(name)
        if not _is_copied(name) and name not in LAYOUT and not (name == b"sBIT" and min(chunk.body, default=8) >= 8):
            lost["other", f"chunk {name.decode()}"] = None
        if again or not _is_copied(name) or (chunk.behind and name in BEFORE_PIXELS):
            continue
        try:
            _check(chunk)
            if name == b"bKGD":
                chunk = chunk._replace(body=_background(chunk.body, {name: body for name, body, _ in chunks}))
            inflated += name == b"iCCP" or (name in (b"iTXt", b"zTXt") and chunk.kind != "text")
            if inflated > MOST_TEXTS:
                raise PictureError(f"is broken: it has more than {MOST_TEXTS} compressed profiles")
            metadata_in(chunk)
        except (ValueError, struct.error, *DAMAGED) as problem:
            notes[
                f"its {name.decode()} is {'too long' if isinstance(problem, TooLong) else 'damaged'} and left out"
            ] = None
        else:
            kept.append(chunk)
    info = {"chunks": tuple(kept)} | _metadata_in_all(kept) if kept else {}
    return (info | {"lost": tuple(lost)} if lost else info), tuple(notes)


def _check(chunk: Chunk) -> None:
    """Raises ValueError for what makes no sense to any reader."""
    name, body = chunk.name, chunk.body
    sound = len(body) == LENGTHS.get(name, len(body)) and not (name == b"gAMA" and not any(body))
    if name in TEXT or name == b"iCCP":
        keyword, end, rest = body.partition(b"\0")
        sound = bool(end) and 0 < len(keyword) <= LONGEST_KEYWORD
        if name == b"iTXt":  # a flag, a method of which there is one, then language, translated keyword, text
            sound = sound and rest[:2] in (b"\0\0", b"\1\0") and rest[2:].count(b"\0") >= 2
        elif name != b"tEXt":
            sound = sound and rest[:1] == b"\0"
    elif name == b"eXIf":
        sound = body.removeprefix(EXIF_MARK)[:4] in (b"II*\0", b"MM\0*")
    if not sound:
        raise ValueError


def _is_copied(name: bytes) -> bool:
    """Whether a chunk holds for the filtered picture, too."""
    return name in COPIED or (name not in UNDERSTOOD and name.isalpha() and name[3:4].islower())


def chunks_for(info: Mapping[str, Any], channels: int, bits: int) -> list[Chunk]:
    """The chunks of a new file.

    Those that came from a PNG file stay as they are unless `info` now says something else.
    """
    chunks = [chunk for chunk in info.get("chunks", ()) if chunk.name != b"bKGD" or _fits(chunk.body, channels, bits)]
    before = _metadata_in_all(chunks)
    for key, make in MAKERS.items():
        if info.get(key) != before.get(key):
            chunks = [chunk for chunk in chunks if key not in metadata_in(chunk)]
            chunks += [make(info[key])] if info.get(key) else []
    return chunks


def fit(info: dict[str, Any]) -> list[str]:
    """Takes out of the metadata for a new file what Pillow would refuse it for, and names that."""
    over = [(key, name) for key, (name, most) in MOST.items() if len(info.get(key, b"")) > most]
    for key, _ in over:
        del info[key]
    return [f"its {name} is longer than readers of PNG take and left out" for _, name in over]


def names_of(chunks: Iterable[Chunk]) -> list[str]:
    """What chunks say that no other format holds, in words."""
    bodies = {chunk.name: chunk.body for chunk in chunks}
    gamma = int.from_bytes(bodies.get(b"gAMA", b""), "big")
    named = {b"tIME": "time", b"bKGD": "background colour"}
    named |= {name: name.decode() for name in (b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi")}
    if not bodies.keys() & {b"sRGB", b"iCCP"}:  # for which these stand in
        named |= {b"gAMA": f"gamma of {gamma / 1e5:.3g}"} if abs(gamma - GAMMA) > GAMMA_NEAR else {}
        named |= {b"cHRM": "primaries"} if bodies.get(b"cHRM") != PRIMARIES else {}
    texts = [chunk.body.partition(b"\0")[0].decode("latin-1") for chunk in chunks if chunk.kind == "text"]
    names = [f"text ({', '.join(dict.fromkeys(texts))})"] if texts else []
    names += [name for chunk, name in named.items() if chunk in bodies]
    across, down, unit = struct.unpack(">IIB", bodies.get(b"pHYs", bytes(9)))
    names += [f"pixel aspect ratio {down}:{across}"] if not unit and across != down else []
    return names + [f"chunk {name.decode()}" for name in bodies if name not in KNOWN]


def _metadata_in_all(chunks: Iterable[Chunk]) -> dict[str, Any]:
    """What all chunks say that other formats know; an eXIf wins over a text, else the first over the others."""
    info: dict[str, Any] = {}
    for chunk in sorted(chunks, key=lambda chunk: chunk.name in TEXT and not chunk.body.startswith(XMP)):
        info = metadata_in(chunk) | info
    return info


def metadata_in(chunk: Chunk) -> dict[str, Any]:
    """What a chunk says that other formats know. Raises ValueError, struct.error or one of DAMAGED."""
    name, body = chunk.name, chunk.body
    if name == b"eXIf":
        return {"exif": marked(body)}
    if name == b"iCCP":
        return {"icc_profile": _inflated(body[body.index(b"\0") + 2 :])}
    if name == b"pHYs":
        across, down, unit = struct.unpack(">IIB", body)
        dpi = sound_dpi((across * INCH_M, down * INCH_M)) if unit == 1 else None
        return {"dpi": dpi} if dpi else {}
    if chunk.kind in ("", "text", "icc"):
        return {}
    text = _text(chunk)
    if body.startswith(RAW):
        # a line with the kind, one with the size, then hexadecimal digits
        text = bytes.fromhex("".join(text.decode("latin-1").split("\n", 3)[3:]))
        if text.startswith(APP1_XMP):
            return {"xmp": text.removeprefix(APP1_XMP)}
    if chunk.kind == "photoshop" and text.startswith(b"\x1c"):  # IPTC data alone
        text = with_iptc(b"", text)
    return {chunk.kind: marked(text) if chunk.kind == "exif" else text}


def _text(chunk: Chunk) -> bytes:
    """What stands behind the keyword of a text. Raises ValueError or one of DAMAGED."""
    text = chunk.body.partition(b"\0")[2]
    squeezed = chunk.name == b"zTXt" or (chunk.name == b"iTXt" and text[:1] == b"\1")
    if chunk.name == b"iTXt":  # two bytes, language, translated keyword, text
        _language, _keyword, text = text[2:].split(b"\0", 2)
    return _inflated(text[chunk.name == b"zTXt" :]) if squeezed else text


def _inflated(data: bytes) -> bytes:
    stream = inflater.decompressobj()
    inflated: bytes = stream.decompress(data, LARGEST_TEXT)
    if not stream.eof:
        raise TooLong if len(inflated) == LARGEST_TEXT else ValueError
    return inflated


def _background(body: bytes, chunks: Mapping[bytes, bytes]) -> bytes:
    """The body of a bKGD for the samples that the file is read as: no palette, and no less than 8 bits."""
    depth, colour = chunks[b"IHDR"][8:10]
    if colour == 3:
        (index,) = struct.unpack(">B", body)
        return struct.pack(">3H", *chunks.get(b"PLTE", b"")[3 * index :][:3])
    levels = struct.unpack(">3H" if colour in (2, 6) else ">H", body)
    least = max(depth, 8)
    return struct.pack(f">{len(levels)}H", *(level % 2**depth * (2**least - 1) // (2**depth - 1) for level in levels))


def _fits(background: bytes, channels: int, bits: int) -> bool:
    levels = struct.unpack(f">{len(background) // 2}H", background)
    return len(levels) == (3 if channels > 2 else 1) and max(levels) < 2**bits


def _comment(comment: bytes) -> Chunk:
    text = comment.replace(b"\0", b"")
    with contextlib.suppress(UnicodeDecodeError):  # then it is taken for Latin-1, to which every byte belongs
        if not text.isascii() and text.decode():
            return Chunk(b"iTXt", b"Comment" + bytes(5) + text)
    return Chunk(b"tEXt", b"Comment\0" + text)


def _raw_iptc(data: bytes) -> Chunk:
    """Photoshop's resources in the form of ImageMagick: in hexadecimal digits."""
    text = b"\niptc\n%8d\n%s\n" % (len(data), data.hex().encode())
    return Chunk(b"zTXt", RAW + b"iptc\0\0" + zlib.compress(text))


# by the keys of `Picture.info`
MAKERS: dict[str, Callable[[Any], Chunk]] = {
    "icc_profile": lambda profile: Chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile)),
    "dpi": lambda dpi: Chunk(b"pHYs", struct.pack(">IIB", *(int(number / INCH_M + 0.5) for number in dpi), 1)),
    "exif": lambda exif: Chunk(b"eXIf", exif.removeprefix(EXIF_MARK)),
    "xmp": lambda xmp: Chunk(b"iTXt", XMP + bytes(5) + xmp),
    "comment": _comment,
    "photoshop": _raw_iptc,
}
