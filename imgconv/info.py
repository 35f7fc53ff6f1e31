"""What files hold, by their headers: no pixels are decoded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from imgconv.arrayfile import opened
from imgconv.errors import PictureError
from imgconv.formats import limits, read
from imgconv.formats.header import header_of
from imgconv.formats.metadata import words_in
from imgconv.formats.write import lost_in


class Info(NamedTuple):
    """What a file holds."""

    file: str
    bytes: int  # its size
    format: str  # Pillow's name of it; NPY, TEXT or CSV for an array
    size: tuple[int, int]  # columns and rows
    mode: str  # Pillow's, as the file has it; RGB;16 and the like, for which Pillow has no word; "" for an array
    depth: str  # bits of a sample, or the type of an array's
    frames: int
    durations: tuple[float, ...]  # milliseconds for which each frame is shown; none where they have no time
    others: int  # pictures in the file that are no frames: previews, masks, layers
    profile: str | None  # the name of its ICC profile
    metadata: tuple[str, ...]  # what it says beside its pixels, in words that `apply --metadata` takes
    memory: int  # bytes that filtering it takes at most, about
    lost: tuple[str, ...]  # what would be lost on the way to another format, or why there is none


def describe(path: Path, form: str | None = None) -> Info:
    """What a file holds, and what of it would be lost in a file of the format `form`.

    Raises PictureError when it cannot be read, is no picture, or is broken as far as its headers show.
    """
    file, size = opened(path, PictureError)
    with file, read.named(str(path)):
        if not size:
            raise PictureError("is empty")
        about, mode, depth, durations = header_of(file, size, path.suffix)
        array, pixel = about.array, about.channels * about.array.itemsize
        columns, rows = array.shape[1], array.shape[0]
        return Info(
            file=str(path),
            bytes=size,
            format=about.format,
            size=(columns, rows),
            mode=mode,
            depth=depth,
            frames=about.frames,
            durations=tuple(durations) if about.frames > 1 else (),
            others=about.others,
            profile=profile_name(about.info.get("icc_profile", b"")),
            metadata=tuple(words_in(about.info)),
            memory=limits.needed(size, columns * rows, pixel, limits.READING.get(about.format, 2 * pixel)),
            lost=tuple(lost_in(about, form)) if form else (),
        )


def profile_name(profile: bytes) -> str | None:
    """What an ICC profile calls itself (ICC.1:2022, 9.2.41 and 10.15, and the description of version 2)."""
    if not profile:
        return None
    for at in range(132, 132 + 12 * min(int.from_bytes(profile[128:132], "big"), 100), 12):
        if profile[at : at + 4] == b"desc":
            start, length = (int.from_bytes(profile[at + part :][:4], "big") for part in (4, 8))
            text = profile[start : start + length]
            if text.startswith(b"desc"):
                return text[12:][: int.from_bytes(text[8:12], "big")].split(b"\0")[0].decode("latin-1")
            if text.startswith(b"mluc"):
                size, place = (int.from_bytes(text[part:][:4], "big") for part in (20, 24))
                return text[place : place + size].decode("utf-16-be", "replace").strip("\0")
    return "without a name"
