"""Encodes pictures in memory and writes files so that a target is always whole: the old one or the new one."""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from imgconv.arrayfile import npy_bytes, reason, text_bytes
from imgconv.errors import WriteError
from imgconv.picture.formats import by_name
from imgconv.picture.image import from_array
from imgconv.picture.value import Picture

# TIFF compressions that lose nothing, as Pillow reports and takes them
TIFF_LOSSLESS = ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma")
PIECE = 2**24  # bytes handed to the system at once


def encode(picture: Picture, form: str) -> bytes:
    """The bytes of a file of format `form` ("PNG", …, "NPY", "TEXT", "CSV").

    Raises
    ------
    WriteError
        When the format cannot hold the picture as it is.
    """
    if form == "NPY":
        return npy_bytes(picture.array)
    if form in ("TEXT", "CSV"):
        array = picture.array
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[:, :, 0]
        if array.ndim != 2:
            raise WriteError(f"text holds one channel, not {picture.channels}; write .npy instead")
        return text_bytes(array, " " if form == "TEXT" else ",")
    known = by_name(form)
    mode = picture.mode or _mode_of_array(picture.array, form)
    if mode not in known.modes:
        raise WriteError(f"{form} cannot hold {_describe(mode)}; write {_better(mode)}")
    image = from_array(picture.array, mode)
    options = {key: picture.info[key] for key in known.keeps if key in picture.info}
    options |= _encoder_options(picture, form)
    file = io.BytesIO()
    try:
        image.save(file, form, **options)
    except (OSError, ValueError, TypeError, RuntimeError) as problem:
        raise WriteError(f"{form} cannot be written: {' '.join(str(problem).split())}") from None
    return file.getvalue()


def _encoder_options(picture: Picture, form: str) -> dict[str, Any]:
    info = picture.info
    if form == "JPEG":
        if picture.format != "JPEG":
            return {"quality": 95, "subsampling": 0}
        options: dict[str, Any] = {"qtables": info["qtables"], "progressive": info["progressive"]}
        if info["subsampling"] >= 0:
            options["subsampling"] = info["subsampling"]
        return options
    if form == "TIFF":
        compression = info.get("compression")
        return {"compression": compression if compression in TIFF_LOSSLESS else "raw"}
    if form == "WEBP":
        return {"lossless": info.get("lossless", picture.format != "WEBP"), "quality": 90, "exact": True}
    return {}


def _mode_of_array(array: Any, form: str) -> str:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype == np.uint8 and channels in (1, 2, 3, 4):
        return ("L", "LA", "RGB", "RGBA")[channels - 1]
    if array.dtype == np.uint16 and channels == 1:
        return "I;16"
    if array.dtype in (np.int32, np.float32) and channels == 1:
        return "I" if array.dtype == np.int32 else "F"
    raise WriteError(f"{form} cannot hold an array of {array.dtype} with {channels} channels; write .npy instead")


def _describe(mode: str) -> str:
    words = {
        "LA": "an alpha channel (LA)",
        "RGBA": "an alpha channel (RGBA)",
        "I;16": "16-bit grey",
        "I": "32-bit integers",
        "F": "floating-point samples",
    }
    return words.get(mode, f"{mode} pictures")


def _better(mode: str) -> str:
    if mode in ("L", "LA", "RGB", "RGBA", "I;16"):
        return ".png or .tif"
    return ".tif"


def write(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Writes `data` to `path`: whole, on the disk, or not at all.

    The bytes go to a file of random name beside the target, are synced, and take its place in one step. A symbolic
    link is followed. The mode of the new file follows the umask.

    Raises
    ------
    WriteError
        When the target exists and `overwrite` is false, or the system refuses. The target is as it was.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".imgconv-{secrets.token_hex(8)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as problem:
        raise WriteError(f"{path}: {reason(problem)}") from None
    try:
        with open(descriptor, "wb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view[:PIECE]) :]
            os.fsync(descriptor)
        if overwrite:
            os.replace(part, target)
        else:
            _place(part, target)
    except FileExistsError:
        raise WriteError(f"{path}: exists; --overwrite replaces it") from None
    except OSError as problem:
        raise WriteError(f"{path}: {reason(problem)}; nothing was written") from None
    finally:
        part.unlink(missing_ok=True)


def _place(part: Path, target: Path) -> None:
    """Gives `part` the target's name; raises FileExistsError when somebody else was first."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise FileExistsError from None
        os.replace(part, target)
