"""Pillow's part of reading: opens a picture and decodes its pixels, also before its turn in a thread of its own.

Does without NumPy, so that the first picture can be decoded while that is being imported.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import math
import os
import re
import stat
import threading
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from imgconv.errors import PictureError
from imgconv.formats.limits import DEFAULT, READING, Limits, check_image, check_nested, check_whole
from imgconv.formats.table import ARRAY_ENDINGS, START_BYTES, by_name, format_of, name_for
from imgconv.threads import available_cores

if TYPE_CHECKING:
    from PIL import Image, ImageFile

    from imgconv.formats.blocks import Block

HEADERS = {"FITS": 2880, "DDS": 148, "PCD": 1}  # bytes at the beginning, which say how much there is
PCD_BASE = 385 * 2048  # bytes of a PhotoCD that has nothing larger
LARGEST = 2**28  # bytes of a file that is read before its turn
LONG = 2**23  # bytes of a file whose decoding takes longer than to import what a command needs


class Loaded(NamedTuple):
    """A picture that Pillow has decoded; its file is still open, for its metadata."""

    data: bytes  # of the file, or its first ones where it is read as its frames come
    file: BinaryIO | None  # which is open then
    size: int  # of the file in bytes
    image: ImageFile.ImageFile
    block: Block | None  # where its pixels are
    frames: int


def decode(
    data: bytes,
    limits: Limits = DEFAULT,
    ending: str = "",
    opened: tuple[BinaryIO, int] | None = None,
    threads: int | None = 1,
) -> Loaded:
    """Opens and decodes the picture in the bytes of a file; `ending` tells the format where its bytes do not.

    Where `data` is but its beginning, `opened` is the file, which stays open, and its size. A JPEG with restart
    intervals takes so many `threads`, or as many as there are cores.
    Raises PictureError when it claims more than it can hold, or would lose detail; and whatever Pillow raises.
    """
    from PIL import Image

    from imgconv.formats.blocks import load

    prepare_pillow()
    _check_tags(data)
    form = known(data, ending)
    check_nested(form, data, limits)
    file, size = opened or (None, len(data))
    if form == "GIF":  # of which Pillow takes memory for what is to be cleared when it opens it
        from imgconv.formats.timing import first_size

        check_whole(size, *first_size(data), 4, READING["GIF"], limits)
    image = Image.open(file or io.BytesIO(data), formats=[form])
    try:
        check_image(image, data, size, limits)
        refuse_cut(data, image)
        frames = pictures_in(image)
        # before its metadata: a PNG may have some behind the pixels, a TIFF is turned upright
        return Loaded(data, file, size, image, load(image, data, threads), frames)
    except BaseException:
        image.close()
        raise


def known(data: bytes, ending: str) -> str:
    """The format of a file, whose plugin is imported now; Pillow would import those of all formats for a rare one."""
    form = format_of(data[:START_BYTES])
    name = form.name if form else name_for(ending)
    if name is None or name in ARRAY_ENDINGS.values():
        raise PictureError("is not a picture that can be read")
    try:
        import_module(by_name(name).plugin)
    except ImportError:
        raise PictureError(f"is {name}, which the Pillow that is installed does not read") from None
    return name


class Begun:
    """A picture that is being decoded before its turn."""

    def __init__(self, path: Path, threads: int) -> None:
        self.path, self.threads = path, threads
        self._loaded: Loaded | None = None
        # a daemon: a command that ends with an error does not wait for it
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # whatever is wrong is found again when the file is read in its turn
        with contextlib.suppress(Exception):
            self._loaded = decode(self.path.read_bytes(), threads=self.threads)

    def take(self) -> Loaded | None:
        """Waits for the picture, and hands it over; None when that failed, or when it was taken."""
        self._thread.join()
        loaded, self._loaded = self._loaded, None
        return loaded


def begin(path: Path, threads: int | None = None) -> Begun | None:
    """Begins to decode a file, where that lets other threads run: JPEG. None for all others.

    One of the threads, or of the cores, is left to what is imported meanwhile, unless decoding will take longer.
    """
    try:
        status = os.stat(path)
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_size > LARGEST
            or path.suffix.lower() in (*ARRAY_ENDINGS, ".mpo")
        ):
            return None
        most = max(1, (threads or available_cores()) - (status.st_size < LONG))
        with open(path, "rb", buffering=0) as file:
            return Begun(path, most) if file.read(3) == b"\xff\xd8\xff" else None
    except (OSError, RuntimeError):  # which is Python's error where no thread can be started
        return None


@cache
def prepare_pillow() -> None:
    """Sets what Pillow is to do about huge pictures and broken TIFF files."""
    import logging  # which Pillow does, too

    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # `limits` has the rule
    # libtiff prints about broken files by itself, and Pillow's log does where nobody has set up logging; Pillow raises
    # for them, which is enough
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with contextlib.suppress(AttributeError, OSError):  # Pillow was built otherwise
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)  # type: ignore[attr-defined]


def _check_tags(data: bytes) -> None:
    """Raises PictureError where the tags of a TIFF, or of EXIF, claim the same bytes again and again."""
    most = 2 * len(data) + 2**20
    if data[:3] == b"\xff\xd8\xff":
        from imgconv.formats.segments import before_pixels

        data = before_pixels(data)
    exif = data.find(b"Exif\0\0", 0, -8) + 6
    if data[:2] in (b"II", b"MM"):
        exif = 0
    elif exif < 6:
        return
    from imgconv.formats.tiff.tags import claim_more  # here, because most pictures have neither

    if data[:3] == b"\xff\xd8\xff":  # Pillow puts the parts together
        parts = re.finditer(rb"\xff\xe1(..)Exif\0\0", data, re.DOTALL)
        body = b"".join(data[part.end() : part.start() + 2 + int.from_bytes(part[1], "big")] for part in parts)
    else:
        body = data[exif:]
    if claim_more(body, most):
        raise PictureError("is broken: its tags claim more bytes than it has")


def refuse_cut(data: bytes, image: Image.Image) -> None:
    """Raises PictureError where Pillow would cut samples to fewer bits without a word."""
    if image.format not in ("PNG", "TIFF", "PPM", "FITS"):
        return
    bits, whole = depth_of(data, image), image.format != "FITS"
    if image.format == "TIFF":
        whole = max(image.tag_v2.get(339, (1,))) == 1  # type: ignore[attr-defined]
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # one channel: all its bits are kept, but for doubles, and for whole numbers that pass the signed range
        if bits > 32 or (bits == 32 and whole and image.mode == "I"):
            kind = "whole numbers without a sign" if whole else "bits per sample"
            raise PictureError(f"has {bits}-bit samples ({kind}) that would be cut; convert it to .npy first")
    elif bits > 8:
        raise PictureError(
            f"has {bits} bits per channel in {image.mode}, which would be cut to 8; convert it to 8 bits first,"
            " or filter its channels one by one as 16-bit grey"
        )


def pictures_in(image: Image.Image) -> int:
    """How many a file holds; of a PSD Pillow counts its layers alone, of those with `HEADERS` it opens one picture."""
    if (length := HEADERS.get(image.format or "")) and (file := getattr(image, "fp", None)):
        place = file.tell()
        file.seek(0)
        head: bytes = file.read(length)
        size: int = file.seek(0, os.SEEK_END)
        file.seek(place)
        if image.format == "FITS":
            return math.prod(int(planes) for planes in re.findall(rb"NAXIS[3-9] +=\s*(\d+)", head))
        if image.format == "PCD":  # of 768×512; larger ones follow
            return 1 + (size > PCD_BASE)
        depth, kind = (int.from_bytes(head[at : at + 4], "little") for at in (24, 112))
        # faces of a cube, slices of a volume, or textures of an array, as the extended header counts them
        faces = (kind & 0xFC00).bit_count() if kind & 0x200 else depth if kind & 0x200000 else 1
        return max(1, faces, int.from_bytes(head[140:144], "little") if head[84:88] == b"DX10" else 1)
    return getattr(image, "n_frames", 1) + (image.format == "PSD")


def depth_of(data: bytes, image: Image.Image) -> int:
    """Bits of a sample as a file says, where there may be more than 8."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        return int(max(image.tag_v2.get(258, (1,))))  # type: ignore[attr-defined]
    if image.format == "PPM":
        header = re.match(rb"P[2356]\s+\d+\s+\d+\s+(\d{1,5})\s", re.sub(rb"#[^\n]*\n", b"\n", data[: 2**17]))
        return 16 if header and int(header[1]) > 255 else 8
    if image.format == "FITS":
        return int(bits[1]) if (bits := re.search(rb"BITPIX +=\s*-?(\d+)", data[: HEADERS["FITS"]])) else 8
    if image.format == "SGI":
        return 8 * data[3]
    if image.format == "JPEG2000" and (start := data.find(b"\xff\x4f\xff\x51")) >= 0:
        return 1 + max((bits & 127 for bits in data[start + 42 : start + 42 + 3 * data[start + 41] : 3]), default=7)
    if image.format == "AVIF" and (found := re.search(rb"av1C\x81.(.)", data, re.DOTALL)):
        return 8 if not found[1][0] & 64 else 12 if found[1][0] & 32 else 10
    return 16 if image.format == "DDS" and data[128:129] in (b"\x5f", b"\x60") else 8  # BC6H
