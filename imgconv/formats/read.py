"""Reads pictures and bare arrays; whatever is wrong with a file becomes a PictureError of one line."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np

from imgconv.arrayfile import parse_npy, parse_text, read_bytes
from imgconv.errors import PictureError
from imgconv.formats.decode import Loaded, decode, prepare_pillow, refuse_cut
from imgconv.formats.limits import DEFAULT, Limits, check_image, check_memory
from imgconv.formats.picture import Picture, sound_dpi
from imgconv.formats.pillow import BROKEN, plain, take_array
from imgconv.formats.png.chunks import SIGNATURE, split, told
from imgconv.formats.png.codec import MODES, decode_png
from imgconv.formats.table import FORMATS, name_for

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

    from imgconv.formats.decode import Begun

T = TypeVar("T")

LARGEST_FILE = 16 * 2**30

XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>)\s*)[2-8]""")
# EXIF orientation: how the stored rows and columns become the upright picture (transpose, then flip rows, columns)
UPRIGHT = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def read(path: Path, *, auto_orient: bool = False, begun: Begun | None = None, limits: Limits = DEFAULT) -> Picture:
    """The picture (its first frame) or array in a file.

    Parameters
    ----------
    path : Path
        A regular file. Its ending tells arrays (.npy, .txt, .csv); pictures are told by their content.
    auto_orient : bool
        Turn the pixels upright as the EXIF orientation says, and reset that.
    begun : Begun, optional
        The same file, where decoding it has begun.
    limits : Limits
        What the picture may take into memory.

    Raises
    ------
    PictureError
        When the file cannot be read, is no picture, is broken, or would lose detail by being read.
    """
    loaded = begun.take() if begun is not None else None
    if loaded is not None:
        _named(lambda: check_image(loaded.image, loaded.data, limits), str(path))
        found = _by_pillow(lambda: loaded, str(path))
        return _upright(found) if auto_orient else found
    data = read_bytes(path, LARGEST_FILE, PictureError)
    return parse(data, str(path), path.suffix, auto_orient=auto_orient, limits=limits)


def parse(data: bytes, name: str, ending: str = "", *, auto_orient: bool = False, limits: Limits = DEFAULT) -> Picture:
    """The picture or array in `data`; `name` is what messages call it. Raises PictureError as `read` does."""
    if not data:
        raise PictureError(f"{name}: is empty")
    kind = name_for(ending)
    if kind is None and data.startswith(b"\x93NUMPY"):
        kind = "NPY"
    elif not ending and re.match(rb"\s*(#|[-+.]*\d)", data):
        kind = "TEXT"
    if kind in ("NPY", "TEXT", "CSV"):
        try:
            array = parse_npy(data) if kind == "NPY" else parse_text(data)
        except ValueError as problem:
            raise PictureError(f"{name}: {problem}") from None
        if array.ndim not in (2, 3) or array.size == 0:
            raise PictureError(f"{name}: shape {array.shape} is no picture's; it takes (rows, columns[, channels])")
        need = array.nbytes * (1 + limits.working)  # as large as the file: no bomb
        _named(lambda: check_memory(need, need, limits), name)
        return Picture(array, "", kind)
    own = _named(lambda: decode_png(data, limits=limits), name)  # None for other formats and unusual files
    if own is None:
        deep = _named(lambda: _of_16_bits(data, name, limits), name)
        found = deep or _by_pillow(partial(decode, data, name, limits), name)
    else:
        found = Picture(own.array, own.mode, "PNG", own.info, notes=own.notes)
    return _upright(found) if auto_orient else found


def _of_16_bits(data: bytes, name: str, limits: Limits) -> Picture | None:
    """A picture that Pillow would cut to 8 bits; None for others."""
    found = None
    if data.startswith(SIGNATURE):
        from imgconv.formats.png import interlace  # here, as the others: few pictures need them

        found = interlace.decode_16_bits(data, limits)
    elif data.startswith(b"P6"):
        from imgconv.formats import ppm

        found = ppm.decode_16_bits(data, limits)
    elif data.startswith((b"II*\0", b"MM\0*")):
        found = _deep_tiff(data, name, limits)
    return found


def _deep_tiff(data: bytes, name: str, limits: Limits) -> Picture | None:
    from imgconv.formats.tiff import NO_MEANING, PREMULTIPLIED, deep_of

    deep = deep_of(data)
    if deep is None:
        return None
    limits = limits._replace(pixels=limits.pixels * deep.samples, working=limits.working + 3)  # a sample is a pixel
    parts = [_by_pillow(partial(decode, file, name, limits), name) for file in deep.files]
    info, notes = parts[0].info, parts[0].notes
    wanted = deep.columns * deep.samples // len(parts)
    if any(part.mode != "I;16" or part.array.shape[1] != wanted for part in parts):
        raise PictureError("is broken: its samples are not as it says")
    if len(parts) > 1:
        array = np.stack([part.array for part in parts], axis=2)
    else:
        array = parts[0].array.reshape(-1, deep.columns, deep.samples)
    if deep.span:
        array = np.concatenate(
            [
                np.add.accumulate(array[:, start : start + deep.span], axis=1, dtype=np.uint16)
                for start in range(0, array.shape[1], deep.span)
            ],
            axis=1,
        )
    if deep.samples > deep.colours and deep.extra == NO_MEANING:
        array, notes = array[:, :, :-1], (*notes, "its last channel, which has no stated meaning, is left out")
    elif deep.samples > deep.colours and deep.extra == PREMULTIPLIED:
        alpha = array[:, :, -1:]
        straight = (array[:, :, :-1] * np.uint64(65535) + alpha // 2) // np.maximum(alpha, 1)
        array = np.concatenate([np.minimum(straight, 65535).astype(np.uint16), alpha], axis=2)
    if deep.orientation in UPRIGHT:  # as Pillow turns other TIFFs
        array = _turned(array, *UPRIGHT[deep.orientation])
        _say_upright(info)
        if "exif" in info:
            from imgconv.formats.exif import upright

            info["exif"] = upright(info["exif"], array.shape[1], array.shape[0])
    array = np.ascontiguousarray(array if array.shape[2] > 1 else array[:, :, 0])
    channels = array.shape[2] if array.ndim == 3 else 1
    return Picture(array, MODES["uint16", channels], "TIFF", info, parts[0].frames, notes)


def _named(work: Callable[[], T], name: str) -> T:
    """What `work` gives; its errors say which file is meant."""
    try:
        return work()
    except MemoryError:
        raise PictureError(f"{name}: is too large for the memory of this machine") from None
    except PictureError as problem:
        raise PictureError(str(problem) if str(problem).startswith(name) else f"{name}: {problem}") from None


def _by_pillow(load: Callable[[], Loaded], name: str) -> Picture:
    return _named(lambda: _translated(lambda: _of_image(load()), name), name)


def _translated(work: Callable[[], Picture], name: str) -> Picture:
    """What Pillow is asked for; whatever it raises becomes a PictureError."""
    from PIL import UnidentifiedImageError

    try:
        return work()
    except UnidentifiedImageError:
        known = ", ".join(form.name for form in FORMATS)
        raise PictureError(f"{name}: is not a picture that can be read ({known})") from None
    except BROKEN as problem:
        text = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise PictureError(f"{name}: is broken: {text}") from None


def _of_image(loaded: Loaded) -> Picture:
    data, image, block, frames = loaded
    with image:
        form = "JPEG" if image.format == "MPO" else image.format or ""
        if form == "PNG" and image.mode == "L" and "transparency" in image.info:
            image.info["transparency"] *= {2: 85, 4: 17}.get(data[24], 1)  # Pillow widens the pixels, but not the key
        info, notes = (
            told(split(io.BytesIO(data), len(data))[0]) if form == "PNG" else _info(image, form, io.BytesIO(data))
        )
        prepared = plain(image)
        mode, array = prepared.mode, take_array(prepared, block)
        if form == "PPM" and mode == "I":  # Pillow widens 16-bit PGM to 32 bits
            array, mode = array.astype(np.uint16), "I;16"
        if "transparency" in prepared.info:
            notes = (*notes, "its transparent level is left out")
        return Picture(array, mode, form, info, frames, notes)


def tiff_metadata(file: BinaryIO, name: str) -> Picture:
    """What a TIFF says about itself; there are no pixels in the picture's array.

    Raises
    ------
    PictureError
        As `read` does, where that can be seen without reading the pixels.
    """

    def told() -> Picture:
        from PIL import Image

        prepare_pillow()
        with Image.open(file, formats=["TIFF"]) as image:
            refuse_cut(b"", image, name)
            frames = getattr(image, "n_frames", 1)
            info, notes = _info(image, "TIFF", file)
            return Picture(np.empty((0, 0)), image.mode, "TIFF", info, frames, notes)

    return _translated(told, name)


def _info(image: Image.Image, form: str, file: BinaryIO) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What should be told to the encoder again, and what the user should know about that."""
    info: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    if image.info.get("icc_profile"):
        info["icc_profile"] = image.info["icc_profile"]
    if dpi := sound_dpi(image.info.get("dpi")):
        info["dpi"] = dpi
    if isinstance(image.info.get("xmp"), bytes):
        info["xmp"] = image.info["xmp"]
    if form == "TIFF":
        from imgconv.formats import exif

        data, notes = exif.of_tiff(file, *image.size)
        if data:
            info["exif"] = data
        info["compression"] = image.info.get("compression")
    elif image.info.get("exif"):
        # JPEG wants this mark in front, WebP files mostly have none
        info["exif"] = b"Exif\0\0" + image.info["exif"].removeprefix(b"Exif\0\0")
    if form in ("JPEG", "GIF"):
        comments = [text for name, text in getattr(image, "applist", ()) if name == "COM"]
        if comment := b"\n".join(comments) or image.info.get("comment"):
            info["comment"] = comment
    if form == "JPEG":
        from PIL.JpegImagePlugin import get_sampling

        info["qtables"] = dict(image.quantization)  # type: ignore[attr-defined]
        info["subsampling"] = get_sampling(image)
        info["progressive"] = bool(image.info.get("progressive"))
    if form == "WEBP":
        info["lossless"] = b"VP8L" in file.read(4096)[12:]
    return info, notes


def _upright(picture: Picture) -> Picture:
    """The picture turned as its EXIF data says, which is reset."""
    if "exif" not in picture.info:
        return picture
    from imgconv.formats import exif

    info = dict(picture.info)
    try:
        turn = UPRIGHT.get(exif.orientation_of(info["exif"]))
    except ValueError:
        return replace(picture, notes=(*picture.notes, "its EXIF data is damaged: how to turn it is not known"))
    if turn is None:
        return picture
    array = _turned(picture.array, *turn)
    info["exif"] = exif.upright(info["exif"], array.shape[1], array.shape[0])
    _say_upright(info)
    if turn[0] and "dpi" in info:
        info["dpi"] = info["dpi"][::-1]
    return replace(picture, array=array, info=info)


def _say_upright(info: dict[str, Any]) -> None:
    if "xmp" in info:
        info["xmp"] = XMP_ORIENTATION.sub(rb"\g<1>1", info["xmp"])


def _turned(array: npt.NDArray[Any], transpose: bool, flip_rows: bool, flip_columns: bool) -> npt.NDArray[Any]:
    if transpose:
        array = array.swapaxes(0, 1)
    return np.ascontiguousarray(array[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])
