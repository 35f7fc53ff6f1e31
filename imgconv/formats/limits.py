"""What a file may claim: one rule for all formats, asked before memory is taken for its pixels.

They must fit into the file's bytes at the best ratio that its compression allows; what must be in memory as a whole has
at most so many of them as Pillow takes, or the user; and the whole job must fit into the memory that is there. What is
small has small rights: the better a file is compressed, the less likely it is a picture.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from imgconv.errors import PictureError
from imgconv.threads import group_texts, text_of

if TYPE_CHECKING:
    from PIL import Image

LARGEST_WHOLE = 178_956_970  # pixels: Pillow's own limit, where it raises DecompressionBombError
BASE = 2**26  # bytes that the command takes without any picture
SMALL_JOB = 960_000_000  # bytes of memory that every file may take
MEMORY_RATIO = 1000  # bytes of memory to one of a file, where that is more
# Pixels or samples out of one byte, at most. Deflate and LZW: the longest match, or string of the table, out of the
# shortest code. JPEG: a bit for each block of 8×8, which may be of one of two channels. VP8: three bits for 16×16.
DEFLATE, LZW, JPEG, VP8 = 1032, 2731, 1024, 1024
TIFF_BYTES = {"raw": 1, "packbits": 64, "tiff_lzw": LZW, "tiff_deflate": DEFLATE, "tiff_adobe_deflate": DEFLATE}
ARITHMETIC = rb"(?s)\xff[\xc9-\xcb]\0.\x08"  # coded JPEG: blocks take less than a bit
# bytes for each pixel while it is decoded; JPEG: progressive; by decoders in Python, or of 16 bits cut to 8
READING = {"WEBP": 16, "GIF": 8, "JPEG": 10, "MPO": 10, "AVIF": 20, "HEIF": 28, "JPEG2000": 28, "ICNS": 28}
READING |= dict.fromkeys(("QOI", "BLP", "DDS", "SGI", "FTEX", "SUN", "FITS", "XPM", "FLI"), 12)
FRESH_S = 0.1  # free memory is looked at no more often: it takes as long as a small picture
# for each sample of the result
ENCODING = dict.fromkeys(("GIF", "JPEG", "MPO", "QOI", "SGI"), 4)
ENCODING |= {"DDS": 5, "WEBP": 9, "AVIF": 12, "HEIF": 14, "JPEG2000": 14}
# columns and rows of pictures inside of others, of which Pillow makes whatever these claim
NESTED = {
    "ICO": rb"(?s)\x89PNG\r\n\x1a\n.{8}(.{4})(.{4})",
    "ICNS": rb"(?s)(?:\x89PNG\r\n\x1a\n.{8}|\xff\x4f\xff\x51.{4})(.{4})(.{4})",
    "BLP": rb"(?s)\xff[\xc0-\xcf]..\x08(..)(..)",
}


class Limits(NamedTuple):
    """What a job may take into memory, and what it takes there besides the picture itself."""

    pixels: int = LARGEST_WHOLE  # of a picture that is decoded as a whole
    vouched: bool = False  # by the user, for the line above: what is small may take more than SMALL_JOB
    working: int = 1  # bytes for each byte of samples while they are filtered
    encoding: int = 2
    memory: int | None = None  # bytes that all jobs may take together
    ask: Callable[[int], None] | None = None  # waits until so many bytes are free for this job


DEFAULT = Limits()
_looked = (float("-inf"), 0)  # when free memory was looked at, and what was there


def limits_for(limits: Limits, options: Any, form: str) -> Limits:
    """The limits for filtering with the recipe's options, and writing a format; what is measured, rounded up."""
    working = limits.working
    if options.linear or options.combine:
        working = 34
    elif (options.mask, options.vary, options.channels) != (None, None, "each") or options.after not in (None, "clip"):
        working = 20
    return limits._replace(working=working, encoding=ENCODING.get(form, limits.encoding))


def check_image(image: Image.Image, data: bytes, size: int, limits: Limits) -> None:
    """Raises PictureError where an image that Pillow has opened, but not loaded, breaks the rule.

    `data` is as much of its file's `size` bytes as is held in memory.
    """
    form, ratio, pixels = image.format, 0.0, image.width * image.height
    if form == "PNG":
        ratio = 8 * DEFLATE / data[24]
    elif form in ("JPEG", "MPO"):
        ratio = JPEG
    elif form == "WEBP":
        ratio = 0 if b"VP8L" in data or b"ANMF" in data else VP8  # solid VP8L takes no bits, nor does what is no frame
    elif form == "TIFF":
        ratio = 8 * TIFF_BYTES.get(image.info.get("compression", ""), 0)
    elif form == "GIF":
        left, top, right, bottom = image.tile[0][1] if image.tile else (0, 0, 0, 0)  # type: ignore[attr-defined]
        ratio, pixels = LZW, (right - left) * (bottom - top)
    elif form != "AVIF" and image.tile and image.tile[0][0] == "raw":  # type: ignore[attr-defined]
        ratio = 8
    if ratio and pixels > ratio * size and not (form in ("JPEG", "MPO") and re.search(ARITHMETIC, data)):
        refuse_ratio(size, image.width, image.height)
    several = len(image.getbands()) > 1 or image.mode == "P"
    wide = several or image.mode in ("I", "F")
    reading = 8 if image.mode in ("I", "F") else READING.get(str(form), 8 if several else 2)
    check_whole(size, image.width, image.height, 4 if wide else 2, reading, limits, len(data))


def check_nested(form: str, data: bytes, limits: Limits) -> None:
    """Raises PictureError where a picture inside of a file, which its own is made of, breaks the rule."""
    claims = []
    if form in NESTED and data[:8] != b"BLP1\1\0\0\0":  # which has no JPEG inside
        claims += [
            [int.from_bytes(side, "big") for side in match.groups()] for match in re.finditer(NESTED[form], data)
        ]
    if form == "ICO":  # and bitmaps, for which a directory is to be followed
        for number in range(int.from_bytes(data[4:6], "little")):
            at = int.from_bytes(data[18 + 16 * number :][:4], "little")
            size = 2 if data[at : at + 4] == b"\x0c\0\0\0" else 4
            if data[at : at + 4] != b"\x89PNG":
                sides = (data[at + 4 + size * side :][:size] for side in range(2))
                claims.append([abs(int.from_bytes(side, "little", signed=size == 4)) for side in sides])
    for across, down in claims:
        check_whole(len(data), across, down, 4, READING["ICNS"], limits)


def refuse_ratio(size: int, columns: int, rows: int) -> None:
    """Raises PictureError: the file's bytes cannot hold its picture."""
    raise PictureError(f"is broken: {size:,} bytes cannot hold {columns}×{rows} pixels")


def check_whole(
    size: int, columns: int, rows: int, samples: int, reading: int, limits: Limits, held: int | None = None
) -> None:
    """Raises PictureError where a picture in a file of `size` bytes cannot be taken into memory as a whole.

    `samples` and `reading` are bytes for each pixel: of its samples, and while they are decoded; `held` are those of
    the file that are in memory, if not all are.
    """
    pixels = columns * rows
    if pixels > limits.pixels:
        raise PictureError(
            f"has {columns}×{rows} pixels, more than the {limits.pixels:,} that are taken into memory whole;"
            " --max-pixels takes more"
        )
    check_memory(needed(size if held is None else held, pixels, samples, reading, limits) - BASE, size, limits)


def needed(size: int, pixels: int, samples: int, reading: int, limits: Limits = DEFAULT) -> int:
    """Bytes of memory that a job takes; otherwise as `check_whole`."""
    return BASE + size + pixels * max(reading, samples * (2 + limits.working), samples * (1 + limits.encoding))


def check_memory(need: int, size: int, limits: Limits) -> None:
    """Raises PictureError where a job needs more memory than there is, or than a file of `size` bytes is worth."""
    need += BASE
    if limits.memory is not None and need > limits.memory:
        raise PictureError(f"needs about {_bytes(need)} of memory; --memory allows {_bytes(limits.memory)}")
    worth = max(SMALL_JOB, MEMORY_RATIO * size)
    if not limits.vouched and need > worth:
        raise PictureError(
            f"needs about {_bytes(need)} of memory for {size:,} bytes, which look like a bomb; --max-pixels N takes it"
        )
    if limits.ask is not None:
        limits.ask(need)
    there = memory_there()
    if need > there:
        raise PictureError(f"needs about {_bytes(need)} of memory; {_bytes(there)} are there")


def _bytes(number: int) -> str:
    """So that two of them differ where it matters: 70 MB, 6.1 GB."""
    return f"{number / 1e6:,.0f} MB" if number < 1e9 else f"{number / 1e9:.1f} GB"


def memory_there() -> int:
    """Bytes of memory that are free, or that this process's control group or its own limit leaves it."""
    global _looked
    now = time.monotonic()
    if now - _looked[0] > FRESH_S:
        _looked = now, memory("MemAvailable")
    return _looked[1]


@cache
def _group_sizes() -> list[int]:
    """What this process's control groups allow it; asked once, for that takes as long as a small picture does."""
    texts = group_texts("memory.max", "memory", "memory.limit_in_bytes")
    return [int(number) for text in texts for number in re.findall(r"\d+", text)]


def memory(kind: str) -> int:
    """As `memory_there`, of those that are available or (`MemTotal`) of all."""
    sizes = [1024 * int(size) for size in re.findall(rf"{kind}:\s+(\d+) kB", text_of("/proc/meminfo"))]
    sizes += _group_sizes()
    try:
        import resource

        sizes.append(max(0, resource.getrlimit(resource.RLIMIT_AS)[0]))
    except ImportError:  # not on Windows
        pass
    return min((size for size in sizes if size), default=2**63)
