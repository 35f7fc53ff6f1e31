"""Encodes pictures in memory and writes files so that a target is always whole: the old one or the new one."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from imgconv.arrayfile import npy_bytes, text_bytes
from imgconv.errors import WriteError, reason
from imgconv.formats.picture import Picture
from imgconv.formats.pillow import BROKEN, from_array
from imgconv.formats.png.codec import MODES, encode_png
from imgconv.formats.table import ENCODER_OPTIONS, by_name

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from PIL import Image

    from imgconv.formats import jpeg

# TIFF compressions that lose nothing, as Pillow reports and takes them
TIFF_LOSSLESS = ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma")
DEEP_MODES = ("LA;16", "RGB;16", "RGBA;16")
JPEG_COMMENT_BYTES = 65535 - 2
JPEG_XMP_BYTES = 65535 - 2 - 29  # in one segment, without its length and name
GIF_COLOURS = 256
PART = ".imgconv-*.part"  # a file that is being written
PIECE = 2**24  # bytes handed to the system at once

_parts: set[Path] = set()  # those of this process
_beginning = threading.Lock()


def encode(
    picture: Picture, form: str, options: Mapping[str, Any] | None = None, threads: int | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """A picture as the bytes of a file, and what the user should know about it.

    Parameters
    ----------
    picture : Picture
        What its `info` holds is told to the encoder, as far as the format can carry it.
    form : str
        "PNG", …, "NPY", "TEXT", "CSV".
    options : mapping, optional
        As `formats.parse_encoder_options` gives them; those of other formats are passed over.
    threads : int, optional
        How many PNG and JPEG may use; as many as there are cores when not given.

    Raises
    ------
    WriteError
        When the format cannot hold the picture as it is.
    """
    if form == "NPY":
        return npy_bytes(picture.array), ()
    if form in ("TEXT", "CSV"):
        array = picture.array
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[:, :, 0]
        if array.ndim != 2:
            raise WriteError(f"text holds one channel, not {picture.channels}; write .npy instead")
        return text_bytes(array, " " if form == "TEXT" else ","), ()
    mode = mode_in(form, picture)
    if form == "PNG":
        return encode_png(picture.array, **png_settings(picture, options or {}), threads=threads), ()
    given = {key: value for key, value in (options or {}).items() if form in ENCODER_OPTIONS[key].formats}
    told = _metadata(picture, form) | _encoder_options(picture, form, given)
    if form == "PPM" and mode == "RGB;16":
        from imgconv.formats.ppm import start_of  # here, because few pictures need it

        return start_of(picture.array.shape, picture.array.dtype) + picture.array.astype(">u2").tobytes(), ()
    if form == "JPEG":
        from imgconv.formats import jpeg

        if jpeg.in_strips(picture.array.shape, told):
            encoder, left_out = jpeg_encoder(picture, options or {}, threads)
            return b"".join([encoder.start, *encoder.strip(picture.array), encoder.end]), left_out
    deep = form == "TIFF" and mode in DEEP_MODES  # Pillow is given each sample as a pixel
    array = picture.array.reshape(len(picture.array), -1) if deep else picture.array
    notes = _jpeg_notes(picture, told) if form == "JPEG" else []
    file = io.BytesIO()
    try:
        image = from_array(array, "I;16" if deep else mode)
        exif, xmp = (told.pop(key, b"") if form == "TIFF" else b"" for key in ("exif", "xmp"))  # tags are put in later
        image.save(file, form, **told)
    except BROKEN as problem:
        raise WriteError(f"{form} cannot be written: {' '.join(str(problem).split())}") from None
    if form == "GIF":
        notes += _lost_in_gif(image)
    data = file.getvalue()
    if deep:
        from imgconv.formats.tiff import deepened  # here, because few pictures need it

        data = deepened(data, *picture.array.shape[1:])
    if exif or xmp:
        from imgconv.formats.exif import into_tiff

        data = into_tiff(data, exif, xmp)
    return data, tuple(notes)


def jpeg_encoder(
    about: Picture, options: Mapping[str, Any], threads: int | None = None
) -> tuple[jpeg.Encoder, tuple[str, ...]]:
    """What encodes a picture strip by strip, and what the user should know about it.

    Parameters are those of `encode`, for pictures that are `jpeg.in_strips`; of the array, only the first pixel is
    looked at.

    Raises
    ------
    WriteError
        When JPEG cannot hold the picture as it is.
    """
    from imgconv.formats import jpeg

    mode = mode_in("JPEG", about)
    given = {key: value for key, value in options.items() if "JPEG" in ENCODER_OPTIONS[key].formats}
    told = _metadata(about, "JPEG") | _encoder_options(about, "JPEG", given)
    notes = _jpeg_notes(about, told)
    try:
        return jpeg.Encoder(about.array, mode, told, threads), tuple(notes)
    except BROKEN as problem:
        raise WriteError(f"JPEG cannot be written: {' '.join(str(problem).split())}") from None


def _jpeg_notes(picture: Picture, told: dict[str, Any]) -> list[str]:
    """What a JPEG file cannot hold; XMP or a comment that does not fit is taken out of what is told to the encoder."""
    notes = []
    if picture.format == "JPEG" and not picture.info.get("qtables"):
        notes.append("was a lossless JPEG and is none now; write .png or .tif to lose nothing")
    if len(told.get("comment", b"")) > JPEG_COMMENT_BYTES:
        del told["comment"]
        notes.append("its comment is longer than JPEG holds and left out")
    if len(told.get("xmp", b"")) > JPEG_XMP_BYTES:
        del told["xmp"]
        notes.append("its XMP is longer than JPEG holds and left out")
    return notes


def fitted(picture: Picture, form: str) -> Picture:
    """The picture without alpha that is full, where a file of its own format cannot be written with it: BMP."""
    if form != picture.format or picture.mode != "RGBA" or "RGBA" in by_name(form).modes:
        return picture
    if (picture.array[:, :, 3] != 255).any():
        return picture
    return replace(picture, array=np.ascontiguousarray(picture.array[:, :, :3]), mode="RGB")


def tiff_without_pixels(about: Picture) -> bytes:
    """A TIFF of one pixel that says about itself what the picture's should."""
    return encode(replace(about, array=about.array[:1, :1]), "TIFF", {"compression": "raw"})[0]


def tiff_without_words(about: Picture, options: Mapping[str, Any]) -> Callable[[Any], bytes]:
    """Makes TIFFs of some rows of a picture that say nothing about themselves."""
    info = {key: about.info[key] for key in ("compression",) if key in about.info}
    return lambda rows: encode(replace(about, array=rows, info=info), "TIFF", options)[0]


def mode_in(form: str, picture: Picture) -> str:
    """The mode in which a file of a format other than an array's holds the picture.

    Raises
    ------
    WriteError
        When the format cannot hold it as it is.
    """
    known = by_name(form)
    mode = picture.mode or _mode_of_array(picture.array, form)
    if mode not in known.modes:
        raise WriteError(f"{form} cannot hold {_describe(mode)}; write {_better(mode)}")
    if max(picture.array.shape[:2]) > known.longest_side:
        raise WriteError(f"{form} holds at most {known.longest_side} pixels on a side, not {picture.size}; write .png")
    return mode


def png_settings(picture: Picture, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the encoder of PNG is told: its `info` and `level`."""
    # Pillow's `optimize` means the smallest file, whatever the level
    level = 9 if options.get("optimize") else options.get("compress_level")
    return {"info": _metadata(picture, "PNG"), "level": level}


def _metadata(picture: Picture, form: str) -> dict[str, Any]:
    return {key: picture.info[key] for key in by_name(form).keeps if key in picture.info}


def _lost_in_gif(image: Image.Image) -> list[str]:
    notes = []
    if image.mode != "L" and image.getcolors(GIF_COLOURS) is None:
        notes.append(f"GIF holds {GIF_COLOURS} colours; the others were replaced by near ones")
    if image.mode in ("LA", "RGBA") and any(image.getchannel("A").histogram()[1:255]):
        notes.append("GIF knows no half-transparent pixels; they are now opaque or gone")
    return notes


def _encoder_options(picture: Picture, form: str, given: dict[str, Any]) -> dict[str, Any]:
    """What Pillow is told besides the metadata: what the user gave, then what the old file had, then our defaults."""
    info = picture.info
    if form == "JPEG" and not info.get("qtables"):  # from another format, or without loss
        return {"quality": 95, "subsampling": 0, **given}
    if form == "JPEG":
        options: dict[str, Any] = {"progressive": info["progressive"]}
        if "quality" not in given:
            options["qtables"] = info["qtables"]
        if picture.mode == "RGB":  # -1: a subsampling that Pillow cannot write; none loses nothing
            options["subsampling"] = max(0, info["subsampling"])
        return options | given
    if form == "TIFF":
        compression = info.get("compression")
        return {"compression": compression if compression in TIFF_LOSSLESS else "raw", **given}
    if form == "WEBP":
        lossless = info.get("lossless", picture.format != "WEBP") and "quality" not in given
        return {"lossless": lossless, "quality": 90, "exact": True, **given}
    return given


def _mode_of_array(array: Any, form: str) -> str:
    channels = array.shape[2] if array.ndim == 3 else 1
    if (array.dtype.name, channels) in MODES:
        return MODES[array.dtype.name, channels]
    if array.dtype in (np.int32, np.float32) and channels == 1:
        return "I" if array.dtype == np.int32 else "F"
    many = f"{channels} channel{'s' if channels > 1 else ''}"
    raise WriteError(f"{form} cannot hold an array of {array.dtype} with {many}; write .npy instead")


def _describe(mode: str) -> str:
    words = {
        "LA": "an alpha channel (LA)",
        "RGBA": "an alpha channel (RGBA)",
        "I;16": "16-bit grey",
        "LA;16": "16-bit grey with alpha",
        "RGB;16": "16-bit RGB",
        "RGBA;16": "16-bit RGB with alpha",
        "I": "32-bit integers",
        "F": "floating-point samples",
    }
    return words.get(mode, f"{mode} pictures")


def _better(mode: str) -> str:
    return " or ".join(by_name(name).endings[0] for name in ("PNG", "TIFF") if mode in by_name(name).modes) or ".tif"


def write(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Writes `data` to `path`: whole, on the disk, or not at all, as `placed` does."""
    with placed(path, overwrite=overwrite) as file:
        put(file, data)


def put(file: BinaryIO, data: bytes | memoryview) -> None:
    """Writes all of `data` to a file without a buffer, which may take less at a time."""
    view = memoryview(data).cast("B")
    while view:
        view = view[file.write(view[:PIECE]) :]


@contextlib.contextmanager
def placed(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A file to be written in the block, which then becomes `path`: whole, on the disk, or not at all.

    The bytes go to a file of random name beside the target, are synced, and take its place in one step. A symbolic
    link is followed. The mode of a new file follows the umask; of a file that is replaced all that `_take_rights` says
    is kept. What killed processes have left half written in that folder is deleted.

    Raises
    ------
    WriteError
        When the target exists and `overwrite` is false, is no regular file, or the system refuses. The target is as
        it was.
    """
    target = Path(os.path.realpath(path))
    replaces = overwrite and target.exists()
    part: Path | None = None
    _sweep(target.parent)
    try:
        if replaces and not target.is_file():
            raise OSError("is not a regular file")
        part, descriptor = _begun_part(target, 0o600 if replaces else 0o666)
        with open(descriptor, "wb", buffering=0) as file:
            yield file
            if replaces:
                _take_rights(descriptor, target)
            os.fsync(descriptor)
            if os.name == "nt":  # elsewhere it is locked until it has its name
                file.close()
            if overwrite:
                os.replace(part, target)
            else:
                _place(part, target)
    except FileExistsError:
        raise WriteError(f"{path}: exists; --overwrite replaces it") from None
    except OSError as problem:
        raise WriteError(f"{path}: {reason(problem)}; nothing was written") from None
    finally:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink()
            _parts.discard(part)


def abandon() -> None:
    """Deletes what is being written, in a process that ends now: nothing can be begun any more."""
    _beginning.acquire(timeout=1)
    for part in list(_parts):
        with contextlib.suppress(OSError):
            part.unlink()


def _begun_part(target: Path, mode: int) -> tuple[Path, int]:
    """A new file beside the target, which `_sweep` leaves alone as long as it is open, and its descriptor."""
    while True:
        part = target.with_name(PART.replace("*", os.urandom(8).hex()))
        with _beginning:
            _parts.add(part)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        if fcntl is None:
            return part, descriptor
        with contextlib.suppress(OSError):  # a file system without locks: nothing is swept there
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)  # swept before it was locked


@cache
def _sweep(folder: Path) -> None:
    """Deletes files that killed processes were writing in a folder: nobody has them locked any more."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(".imgconv-") and fnmatchcase(name, PART):
                with contextlib.suppress(OSError), open(folder / name, "rb", opener=_without_following) as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    os.unlink(folder / name)


def _without_following(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _take_rights(descriptor: int, target: Path) -> None:
    """Gives the new file owner, group, mode, ACL and extended attributes of the old one, as far as we may.

    Set-user and set-group bits go where owner or group is another one.
    """
    old = os.stat(target)
    mode = stat.S_IMODE(old.st_mode)
    if os.name == "posix":
        for owner in (old.st_uid, -1):
            with contextlib.suppress(OSError):
                os.fchown(descriptor, owner, old.st_gid)
                break
        new = os.fstat(descriptor)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
    if hasattr(os, "listxattr"):  # of which an ACL is one
        with contextlib.suppress(OSError):
            kept = set(os.listxattr(target)) - {"security.capability"}
            for name in kept | set(os.listxattr(descriptor)):
                with contextlib.suppress(OSError):
                    if name in kept:
                        os.setxattr(descriptor, name, os.getxattr(target, name))
                    else:
                        os.removexattr(descriptor, name)
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)


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
