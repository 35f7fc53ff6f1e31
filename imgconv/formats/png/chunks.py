"""The chunks of a PNG file beside its pixels: which travel along, what they say to other formats, how they are made.

From PNG to PNG they travel as they are, before or behind the pixels as they were, after the rules of the PNG
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
from imgconv.formats.picture import sound_dpi

inflater: Any = isal_zlib  # three times as fast as zlib, at CRCs eleven times
DAMAGED: Any = (inflater.error,)

NAME = re.compile(rb"\w{4}")
SIGNATURE = b"\x89PNG\r\n\x1a\n"
UNDERSTOOD = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
# not safe to copy by their names, but the filtered picture has the same colours, in the same way
STAYS_TRUE = (b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD")
ONLY_ONCE = (*STAYS_TRUE, b"pHYs", b"eXIf")
COLOUR = (b"cHRM", b"gAMA", b"sRGB", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi")
BEFORE_PIXELS = (*STAYS_TRUE, b"pHYs")  # nobody heeds them elsewhere
LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8}
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
LARGEST_TEXT, MOST_TEXTS = 2**20, 64  # bytes of an inflated profile or text, and how many of them: as Pillow has it
INCH_M = 0.0254


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
            return self.kind if self.kind in ("exif", "icc", "xmp") else "text"
        if self.name in COLOUR:
            return "colour"
        return {b"eXIf": "exif", b"iCCP": "icc", b"pHYs": "dpi"}.get(self.name, "other")


def packed(name: bytes, body: bytes) -> bytes:
    """A chunk as it stands in a file."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))


def split(file: BinaryIO, size: int) -> tuple[list[Chunk], list[tuple[int, int]]]:
    """The chunks of a PNG file of `size` bytes but IEND and the pixels'; where those are, and their lengths.

    Raises
    ------
    PictureError
        When it ends within a chunk other than the pixels', or what stands before them has a wrong checksum. What
        stands behind them and has one is passed over; that of the pixels is not looked at. All this is as in Pillow.
    """
    found: list[Chunk] = []
    pixels: list[tuple[int, int]] = []
    at = len(SIGNATURE)
    while True:
        file.seek(at)
        head = file.read(8)
        name = head[4:]
        if len(head) < 8 or not NAME.match(name):
            break  # only what comes behind the pixels is missing
        length = int.from_bytes(head[:4], "big")
        if name == b"IDAT":
            pixels.append((at + 8, length))
        elif name == b"IEND":
            return found, pixels
        elif at + 8 + length > size:
            raise PictureError(f"is broken: it ends within {name!r}")
        else:
            body = file.read(length)
            if inflater.crc32(body, inflater.crc32(name)) == int.from_bytes(file.read(4), "big"):
                found.append(Chunk(name, body, bool(pixels)))
            elif not pixels:
                raise PictureError(f"is broken: a wrong checksum of {name!r}")
            if name == b"IHDR" and at > len(SIGNATURE):
                raise PictureError("is broken: its header is not what it begins with")
        at += 12 + length
    if not pixels:
        raise PictureError("is broken: it ends before its pixels")
    return found, pixels


def told(chunks: list[Chunk]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a file says about its picture, as `Picture.info` has it, and what the user should know about that.

    Its `chunks` are those that travel to a PNG file; exif, icc_profile, dpi and xmp are what others know of them.

    Raises
    ------
    PictureError
        When it says too much.
    """
    kept: list[Chunk] = []
    notes: list[str] = []
    met: set[bytes] = set()
    inflated = 0
    for chunk in chunks:
        name = chunk.name
        again = name in ONLY_ONCE and name in met
        met.add(name)
        if again or not travels(name) or (chunk.behind and name in BEFORE_PIXELS):
            continue
        try:
            _check(chunk)
            if name == b"bKGD":
                chunk = chunk._replace(body=_background(chunk.body, {name: body for name, body, _ in chunks}))
            inflated += name == b"iCCP" or (name in (b"iTXt", b"zTXt") and chunk.kind != "text")
            if inflated > MOST_TEXTS:
                raise PictureError(f"is broken: it has more than {MOST_TEXTS} compressed profiles")
            meaning(chunk)
        except (ValueError, struct.error, *DAMAGED):
            notes.append(f"its {name.decode()} is damaged and left out")
        else:
            kept.append(chunk)
    return ({"chunks": tuple(kept)} | _meanings(kept) if kept else {}), tuple(dict.fromkeys(notes))


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
        sound = body.removeprefix(b"Exif\0\0")[:4] in (b"II*\0", b"MM\0*")
    if not sound:
        raise ValueError


def travels(name: bytes) -> bool:
    """Whether a chunk holds for the filtered picture, too."""
    if name in UNDERSTOOD or not name.isalpha():
        return False
    return name in STAYS_TRUE or name[3:4].islower()


def laid_out(info: Mapping[str, Any], channels: int, bits: int) -> tuple[list[bytes], list[bytes]]:
    """The chunks of a new file before and behind its pixels, as they stand in it.

    Those that came from a PNG file stay as they are unless `info` now says something else.
    """
    chunks = [chunk for chunk in info.get("chunks", ()) if chunk.name != b"bKGD" or _fits(chunk.body, channels, bits)]
    said = _meanings(chunks)
    for key, make in MAKERS.items():
        if info.get(key) != said.get(key):
            chunks = [chunk for chunk in chunks if key not in meaning(chunk)]
            chunks += [make(info[key])] if info.get(key) else []
    before = [packed(chunk.name, chunk.body) for chunk in chunks if not chunk.behind]
    return before, [packed(chunk.name, chunk.body) for chunk in chunks if chunk.behind]


def _meanings(chunks: Iterable[Chunk]) -> dict[str, Any]:
    """What all chunks say that other formats know; an eXIf wins over a text, else the first over the others."""
    found: dict[str, Any] = {}
    for chunk in sorted(chunks, key=lambda chunk: chunk.name in TEXT and not chunk.body.startswith(XMP)):
        found = meaning(chunk) | found
    found.pop("photoshop", None)  # no other format is told
    return found


def meaning(chunk: Chunk) -> dict[str, Any]:
    """What a chunk says that other formats know. Raises ValueError, struct.error or one of DAMAGED."""
    name, body = chunk.name, chunk.body
    if name == b"eXIf":
        return {"exif": b"Exif\0\0" + body.removeprefix(b"Exif\0\0")}
    if name == b"iCCP":
        start = body.index(b"\0")
        return {"icc_profile": _inflated(body[start + 2 :])}
    if name == b"pHYs":
        across, down, unit = struct.unpack(">IIB", body)
        dpi = sound_dpi((across * INCH_M, down * INCH_M)) if unit == 1 else None
        return {"dpi": dpi} if dpi else {}
    if chunk.kind in ("", "text", "icc"):
        return {}
    said = _text(chunk)
    if body.startswith(RAW):
        # a line with the kind, one with the size, then hexadecimal digits
        said = bytes.fromhex("".join(said.decode("latin-1").split("\n", 3)[3:]))
        if said.startswith(APP1_XMP):
            return {"xmp": said.removeprefix(APP1_XMP)}
    return {chunk.kind: b"Exif\0\0" + said.removeprefix(b"Exif\0\0") if chunk.kind == "exif" else said}


def _text(chunk: Chunk) -> bytes:
    """What stands behind the keyword of a text. Raises ValueError or one of DAMAGED."""
    text = chunk.body.partition(b"\0")[2]
    squeezed = chunk.name == b"zTXt" or (chunk.name == b"iTXt" and text[:1] == b"\1")
    if chunk.name == b"iTXt":  # two bytes, language, translated keyword, text
        _language, _keyword, text = text[2:].split(b"\0", 2)
    return _inflated(text[chunk.name == b"zTXt" :]) if squeezed else text


def _inflated(data: bytes) -> bytes:
    stream = inflater.decompressobj()
    found: bytes = stream.decompress(data, LARGEST_TEXT)
    if not stream.eof:
        raise ValueError
    return found


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


def _icc(profile: bytes) -> Chunk:
    return Chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile))


def _exif(exif: bytes) -> Chunk:
    return Chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))


def _phys(dpi: tuple[float, float]) -> Chunk:
    return Chunk(b"pHYs", struct.pack(">IIB", *(int(number / INCH_M + 0.5) for number in dpi), 1))


def _xmp(xmp: bytes) -> Chunk:
    return Chunk(b"iTXt", XMP + b"\0\0\0\0\0" + xmp)


def _comment(comment: bytes) -> Chunk:
    text = comment.replace(b"\0", b"")
    with contextlib.suppress(UnicodeDecodeError):  # then it is taken for Latin-1, to which every byte belongs
        if not text.isascii() and text.decode():
            return Chunk(b"iTXt", b"Comment" + bytes(5) + text)
    return Chunk(b"tEXt", b"Comment\0" + text)


# by the keys of `Picture.info`
MAKERS: dict[str, Callable[[Any], Chunk]] = {
    "icc_profile": _icc, "dpi": _phys, "exif": _exif, "xmp": _xmp, "comment": _comment,
}  # fmt: skip
