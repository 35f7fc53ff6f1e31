"""Reads pictures and bare arrays; whatever is wrong with a file becomes a PictureError of one line."""

from __future__ import annotations

import io
import re
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from imgconv.arrayfile import parse_npy, parse_text, read_bytes
from imgconv.errors import PictureError
from imgconv.picture.formats import FORMATS, name_for
from imgconv.picture.image import plain, to_array
from imgconv.picture.value import Picture

LARGEST_FILE = 16 * 2**30
LARGEST_PICTURE = 2**30  # pixels; beyond that it is a decompression bomb

# everything that Pillow has been seen to raise on broken files
BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, NotImplementedError, TypeError,
          RuntimeError, IndexError, KeyError, AttributeError, struct.error, OverflowError, EOFError,
          ZeroDivisionError, AssertionError)  # fmt: skip

# TIFF tags that describe how the old file was laid out, not the picture
TIFF_LAYOUT = frozenset(
    [254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 330,
     332, 338, 339, 347, 512, 513, 514, 529, 530, 531, 532, 700, 33723, 34377, 34675, 282, 283, 296]
)  # fmt: skip


def read(path: Path) -> Picture:
    """The picture (its first frame) or array in a file.

    Raises
    ------
    PictureError
        When the file cannot be read, is no picture, is broken, or would lose detail by being read.
    """
    return parse(read_bytes(path, LARGEST_FILE, PictureError), str(path), path.suffix)


def parse(data: bytes, name: str, ending: str = "") -> Picture:
    """The picture or array in `data`; `name` is what messages call it. Raises PictureError as `read` does."""
    kind = name_for(ending)
    if kind is None and data.startswith(b"\x93NUMPY"):
        kind = "NPY"
    if kind in ("NPY", "TEXT", "CSV"):
        try:
            array = parse_npy(data) if kind == "NPY" else parse_text(data)
        except ValueError as problem:
            raise PictureError(f"{name}: {problem}") from None
        if array.ndim not in (2, 3) or array.size == 0:
            raise PictureError(f"{name}: shape {array.shape} is no picture's; it takes (rows, columns[, channels])")
        return Picture(array, "", kind)
    if not data:
        raise PictureError(f"{name}: is empty")
    try:
        return _decode(data, name)
    except UnidentifiedImageError:
        known = ", ".join(form.name for form in FORMATS)
        raise PictureError(f"{name}: is not a picture that can be read ({known})") from None
    except MemoryError:
        raise PictureError(f"{name}: is too large for the memory of this machine") from None
    except BROKEN as problem:
        raise PictureError(f"{name}: is broken: {_one_line(problem)}") from None


def _one_line(problem: BaseException) -> str:
    text = " ".join(str(problem).split())
    return text[:200] or type(problem).__name__


def _decode(data: bytes, name: str) -> Picture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about metadata that it skips; the pixels are what counts
        with Image.open(io.BytesIO(data), formats=[form.name for form in FORMATS]) as image:
            if image.width * image.height > LARGEST_PICTURE:
                raise PictureError(f"{name}: {image.width}×{image.height} pixels are more than imgconv takes")
            form = "JPEG" if image.format == "MPO" else image.format or ""
            _refuse_cut(data, image, name)
            frames = getattr(image, "n_frames", 1)
            info = _info(image, form, data)
            image.load()
            prepared = plain(image)
            array = to_array(prepared)
            if form == "PPM" and prepared.mode == "I":  # Pillow widens 16-bit PGM to 32 bits
                return Picture(array.astype(np.uint16), "I;16", form, info)
            notes = (f"only the first of {frames} frames was filtered",) if frames > 1 else ()
            return Picture(array, prepared.mode, form, info, notes)


def _refuse_cut(data: bytes, image: Image.Image, name: str) -> None:
    """Raises PictureError where Pillow would cut 16-bit colour to 8 bits without a word."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        return
    bits = 8
    if image.format == "PNG" and len(data) > 25:
        bits = data[24]
    elif image.format == "TIFF":
        found: Any = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
        bits = max(found) if isinstance(found, tuple) else int(found)
    elif image.format == "PPM" and (header := _ppm_maximum(data)) is not None:
        bits = 16 if header > 255 else 8
    if bits > 8:
        raise PictureError(
            f"{name}: has {bits} bits per channel in {image.mode}, which would be cut to 8; convert it to 8 bits first,"
            " or filter its channels one by one as 16-bit grey"
        )


def _ppm_maximum(data: bytes) -> int | None:
    header = re.sub(rb"#[^\n]*\n", b"\n", data[:4096])
    match = re.match(rb"P[2356]\s+\d+\s+\d+\s+(\d+)", header)
    return int(match[1]) if match else None


def _info(image: Image.Image, form: str, data: bytes) -> dict[str, Any]:
    """What should be told to the encoder again."""
    info: dict[str, Any] = {}
    for key in ("icc_profile", "dpi"):
        if image.info.get(key):
            info[key] = image.info[key]
    if form == "TIFF":
        exif = image.getexif()
        for tag in list(exif):
            if tag in TIFF_LAYOUT:
                del exif[tag]
        if len(exif):
            info["exif"] = exif.tobytes()
        info["compression"] = image.info.get("compression")
    elif image.info.get("exif"):
        info["exif"] = image.info["exif"]
    elif form == "PNG" and (exif := image.getexif()):  # ImageMagick's raw profile
        info["exif"] = exif.tobytes()
    if form == "JPEG":
        from PIL.JpegImagePlugin import get_sampling

        info["qtables"] = dict(image.quantization)  # type: ignore[attr-defined]
        info["subsampling"] = get_sampling(image)
        info["progressive"] = bool(image.info.get("progressive"))
    if form == "WEBP":
        info["lossless"] = b"VP8L" in data[12:4096]
    return info
