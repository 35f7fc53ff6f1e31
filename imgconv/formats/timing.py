"""What the headers of an animation say: how long each frame is shown, and what stands between them."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO

IMAGE, CONTROL, COMMENT, APPLICATION, TEXT, END = 0x2C, 0xF9, 0xFE, 0xFF, 0x01, 0x3B  # blocks of a GIF
MOST = 2**16  # frames of an AVIF
LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
XMP, XMP_END = b"XMP DataXMP", 258  # bytes that end the packet, whatever reads it
PROFILE = b"ICCRGBG1012"


def durations_of(form: str, file: BinaryIO) -> list[float]:
    """Milliseconds of each frame of a GIF, FLI, PNG, WEBP or AVIF as its headers have them; of others none."""
    file.seek(0)
    if form == "GIF":
        return _of_gif(file)
    if form == "FLI":
        header = file.read(20)
        count, each = int.from_bytes(header[6:8], "little"), int.from_bytes(header[16:20], "little")
        return [float(each * 1000 // 70 if header[4:6] == b"\x11\xaf" else each)] * count  # of FLC, milliseconds
    if form == "PNG":
        return [_of_control(file.read(26)) for name, _ in _chunks(file, 8, ">I4s", 4) if name == b"fcTL"]
    if form == "WEBP":
        frames = (name for name, _ in riff_chunks(file) if name == b"ANMF")
        return [float(int.from_bytes(file.read(15)[12:], "little")) for _ in frames]
    return _of_track(file.read()) if form == "AVIF" else []


def _of_track(data: bytes) -> list[float]:
    """The table of times in a track of ISO 14496-12: how many frames last so many units."""
    media, table = data.find(b"mdhd") + 4, data.find(b"stts") + 8
    if media < 4 or table < 8:
        return []
    scale = media + (12 if data[media : media + 1] == b"\0" else 20)
    units, count = (int.from_bytes(data[at : at + 4], "big") for at in (scale, table))
    times = data[table + 4 :][: 8 * min(count, MOST)]
    pairs = struct.iter_unpack(">II", times[: len(times) // 8 * 8])
    return [1000 * each / units for number, each in pairs for _ in range(min(number, MOST))] if units else []


def riff_names(file: BinaryIO) -> list[bytes]:
    """The names of a WEBP's chunks, each once."""
    return list(dict.fromkeys(name for name, _ in riff_chunks(file)))


def riff_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The name and length of each chunk of a WEBP, at which the file then is."""
    return _chunks(file, 12, "<4sI", 0)


def _of_control(body: bytes) -> float:
    up, down = struct.unpack(">HH", body[20:24]) if len(body) == 26 else (0, 0)
    return float(Fraction(1000 * up, down or 100))


def _chunks(file: BinaryIO, at: int, layout: str, behind: int) -> Iterator[tuple[bytes, int]]:
    """The name and length of each chunk, at which the file then is; `behind` bytes follow, of RIFF one to be even."""
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        name, length = sorted(struct.unpack(layout, head), key=lambda part: isinstance(part, int))
        yield name, length
        at += 8 + length + (behind or length % 2)


def _of_gif(file: BinaryIO) -> list[float]:
    durations, shown = [], 0.0
    for kind, parts in blocks(file):
        if kind == CONTROL:
            shown = 10.0 * int.from_bytes(parts[2:4], "little")
        elif kind == IMAGE:
            durations.append(shown)
            shown = 0.0
    return durations


def blocks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The kind of each block of a GIF, the last of which is END if it is there; and its parts, each behind its length.

    Of pixels it is their place and flags; their parts are passed over, as is what stands between blocks.
    """
    file.seek(10)
    file.seek(2 + _palette(file.read(1)), io.SEEK_CUR)
    while start := file.read(1):
        if start == b";":
            yield END, b""
            return
        if start == b"!":
            kind, parts = int.from_bytes(file.read(1), "big"), [b""]
            while size := file.read(1).strip(b"\0"):
                parts += size, file.read(size[0])
            yield kind, b"".join(parts)
        elif start == b",":
            place = file.read(9)
            file.seek(1 + _palette(place[8:]), io.SEEK_CUR)
            while size := file.read(1).strip(b"\0"):
                file.seek(size[0], io.SEEK_CUR)
            yield IMAGE, place


def first_size(start: bytes) -> tuple[int, int]:
    """Columns and rows of the first frame in the beginning of a GIF; 0 where it has none."""
    place = next((parts for kind, parts in blocks(io.BytesIO(start)) if kind == IMAGE), b"").ljust(8, b"\0")
    return int.from_bytes(place[4:6], "little"), int.from_bytes(place[6:8], "little")


def _palette(flags: bytes) -> int:
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def joined(parts: bytes) -> bytes:
    """What stands in the parts of a block, without their lengths."""
    file, found = io.BytesIO(parts), []
    while size := int.from_bytes(file.read(1), "big"):
        found.append(file.read(size))
    return b"".join(found)


def extensions_of(file: BinaryIO) -> dict[str, Any]:
    """What the extensions of a GIF say, as `Picture.info` has it; `lost` is what does not travel.

    `transparent` says whether a frame may have pixels that are not drawn, `cut` that the file has no end.
    """
    info: dict[str, Any] = {"cut": True}
    comments: dict[bytes, None] = {}  # each once
    lost: dict[tuple[str, str], None] = {}
    for kind, parts in blocks(file):
        name = parts[1:12]
        if kind == END:
            del info["cut"]
        elif kind == CONTROL and parts[1:2] and parts[1] & 1:
            info["transparent"] = True
        elif kind == COMMENT:
            comments[joined(parts)] = None
        elif kind == TEXT:
            lost["other", "text on its pixels"] = None
        elif kind == APPLICATION and name == XMP:
            info["xmp"] = parts[12 : 1 - XMP_END]
        elif kind == APPLICATION and name == PROFILE:
            info["icc_profile"] = joined(parts[12:])
        elif kind == APPLICATION and name not in LOOPS:
            word = name.decode("latin-1").strip("\0 ")
            lost["other", f"application extension {word}"] = None
    if comments:
        info["comment"] = b"\n".join(comments)
    return info | ({"lost": tuple(lost)} if lost else {})
