"""What Pillow decodes, as a picture that is in memory; and what Pillow encodes, from all rows at once."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError, WriteError
from imgconv.formats import photoshop
from imgconv.formats.decode import Loaded, decode, depth_of, prepare_pillow, refuse_cut
from imgconv.formats.image import PILLOW_ERRORS, back_in, filterable, from_array, padded, to_array
from imgconv.formats.limits import DEFAULT, Limits, check_image
from imgconv.formats.picture import FIRST, Frame, Picture, marked, sound_dpi, wanted_of
from imgconv.formats.place import put
from imgconv.formats.sink import Sink
from imgconv.formats.table import ICNS_KINDS, PADDED, by_name

if TYPE_CHECKING:
    from PIL import Image


GIF_COLOURS = 256
WEBP_CHUNKS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ")


def decoded(data: bytes, limits: Limits) -> Picture:
    """The picture (its first frame) in the bytes of a file. Raises PictureError for whatever Pillow raises."""
    return frame_of(lambda: decode(data, limits)).whole(limits)


def frame_of(load: Callable[[], Loaded]) -> Frame:
    """The first picture that `load` gives. Raises PictureError for whatever that or Pillow raises."""
    return next(frames_of(load, (1,)))


def frames_of(
    load: Callable[[], Loaded], wanted: Sequence[int] | None = None, limits: Limits = DEFAULT
) -> Iterator[Frame]:
    """The pictures that `load` gives, composited. Raises PictureError for whatever that or Pillow raises."""
    with pillow_errors():
        loaded = load()
    image, size = loaded.image, loaded.size
    several = loaded.frames > 1 and bool(by_name(_form(image)).frames)
    frames, others = (loaded.frames, 0) if several else (1, loaded.frames - 1)
    numbers = wanted_of(wanted, frames)
    if not several:
        with pillow_errors():
            more: dict[str, Any] = {"others": others}
            if image.format == "MPO":
                from imgconv.formats import mpf  # here, as what few files need

                more = mpf.others_in(mpf.parts_of(io.BytesIO(loaded.data), size), alone=True) or more
            picture = replace(_picture(loaded), **more)
        yield Frame(picture, size)
        return
    with image:
        with pillow_errors():
            info, notes = _about(loaded)
        form, (columns, rows), plays = _form(image), image.size, image.info.get("loop")
        mode = ""
        if form == "GIF" and tuple(numbers) != FIRST:  # where the mode of a frame depends on those before
            mode = "RGBA" if info.get("transparent") else "RGB"
        if form == "GIF":  # how often it is shown again
            plays = 1 if plays is None else plays and plays + 1
        for number in range(1, max(numbers) + 1):
            with pillow_errors():
                image.seek(number - 1)
                check_image(image, loaded.data, size, limits)  # a frame of a GIF may be larger than the first
                if number not in numbers:
                    continue
                image.load()
                prepared = image.convert(mode) if mode else filterable(image)
                array = to_array(prepared)
                array = array[:rows, :columns] if form == "GIF" else array  # of which what lies outside is never seen
            timing = {"duration": image.info.get("duration", 0), "plays": plays or 0}
            yield Frame(Picture(array, prepared.mode, form, info | timing, frames, number, notes=notes), size)


@contextlib.contextmanager
def pillow_errors() -> Iterator[None]:
    """Whatever Pillow raises in the block becomes a PictureError."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError:
        raise PictureError(
            "is not a picture that can be read: broken, or of a kind that Pillow does not know"
        ) from None
    except PILLOW_ERRORS as problem:
        text = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise PictureError(f"is broken: {text}") from None


def _form(image: Image.Image) -> str:
    return "JPEG" if image.format == "MPO" else (image.format or "").upper()


def _about(loaded: Loaded) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The metadata of a file, and what the user should know about it."""
    data, image, form = loaded.data, loaded.image, _form(loaded.image)
    info, notes = about_of(image, loaded.file or io.BytesIO(data), loaded.size)
    if form not in ("PNG", "TIFF", "PPM") and (bits := depth_of(data, image)) > 8 and not image.mode.startswith("I"):
        notes = (*notes, f"its {bits} bits per channel were cut to 8: Pillow reads no more of {form}")
    return info, notes


def about_of(image: Image.Image, file: BinaryIO, size: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a file of `size` bytes says about its picture, which Pillow has opened; and what the user should know."""
    if image.format == "PNG":
        from imgconv.formats.png.chunks import metadata_of, split

        info, notes = metadata_of(split(file, size)[0])
        return info | ({"palette": True} if image.mode == "P" else {}), notes
    file.seek(0)
    return _info(image, _form(image), file)


def _picture(loaded: Loaded) -> Picture:
    """The only picture of a file."""
    data, image, block = loaded.data, loaded.image, loaded.block
    with image:
        form = _form(image)
        if form == "PNG" and image.mode == "L" and "transparency" in image.info:
            image.info["transparency"] *= {2: 85, 4: 17}.get(data[24], 1)  # Pillow widens the pixels, but not the key
        info, notes = _about(loaded)
        prepared = filterable(image)
        mode, array = prepared.mode, to_array(prepared, block, plain=True)
        if form == "PPM" and mode == "I":  # Pillow widens 16-bit PGM to 32 bits
            array, mode = array.astype(np.uint16), "I;16"
        if "transparency" in prepared.info:
            notes = (*notes, "its transparent level is left out")
        if len(sizes := image.info.get("sizes", ())) > 1:
            notes = (*notes, f"only the largest of its {len(sizes)} sizes was filtered")
        return Picture(array, mode, form, info, notes=notes)


def about_tiff(file: BinaryIO) -> Picture:
    """What a TIFF says about itself; there are no pixels in the picture's array.

    Raises PictureError where it can be seen without its pixels that it cannot be read.
    """
    from PIL import Image

    prepare_pillow()
    file.seek(0)
    with pillow_errors(), Image.open(file, formats=["TIFF"]) as image:
        refuse_cut(b"", image)
        info, notes = _info(image, "TIFF", file)
        return Picture(np.empty((0, 0)), image.mode, "TIFF", info, notes=notes)


def _info(image: Image.Image, form: str, file: BinaryIO) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The metadata, with options for the encoder of a new file; and what the user should know about that."""
    info: dict[str, Any] = {"palette": True} if image.mode in ("P", "PA") else {}
    notes: tuple[str, ...] = ()
    for key in ("icc_profile", "xmp"):  # a tag of a TIFF may hold anything
        if image.info.get(key) and isinstance(image.info[key], bytes):
            info[key] = image.info[key]
    if dpi := sound_dpi(image.info.get("dpi")):
        info["dpi"] = dpi
    if form == "TIFF":
        from imgconv.formats import exif

        said, notes = exif.of_tiff(file, *image.size)
        notes = (*_channels_left(image, image.tag_v2.get(277, 1)), *notes)  # type: ignore[attr-defined]
        info |= said
        info["compression"] = image.info.get("compression")
    elif image.info.get("exif"):
        info["exif"] = marked(image.info["exif"])
    if form == "GIF":
        from imgconv.formats.timing import extensions_of

        info |= extensions_of(file)
        notes = ("has no end: it may be cut",) if info.pop("cut", False) else ()
    if form == "PPM":
        from imgconv.formats.ppm import LONGEST_HEADER, comment_of

        info |= comment_of(file.read(LONGEST_HEADER))
    if form == "JPEG2000" and image.info.get("comment"):
        info["comment"] = image.info["comment"]
    if form == "JPEG":
        from imgconv.formats import segments

        info |= segments.about(image, file.read())
    if form == "WEBP":
        from imgconv.formats.timing import riff_names

        names = riff_names(file)
        file.seek(0)
        info["lossless"] = b"VP8L" in file.read(4096)[12:]
        if lost := [("other", f"chunk {name.decode('latin-1')}") for name in names if name not in WEBP_CHUNKS]:
            info["lost"] = tuple(lost)
    if form == "BMP":
        header = file.read(138)
        at, length = (int.from_bytes(header[place : place + 4], "little") for place in (126, 130))
        if header[14:15] == b"\x7c" and header[70:74] == b"DEBM" and at and length:
            file.seek(14 + at)
            info["icc_profile"] = file.read(length)
    if form == "PSD":
        file.seek(12)
        notes = _channels_left(image, int.from_bytes(file.read(2), "big"))
        info |= photoshop.info_of({number: value for number, _, value in image.resources})  # type: ignore[attr-defined]
    if form == "TGA":
        info["rle"] = image.info.get("compression") == "tga_rle"
    if form == "JPEG2000":
        from imgconv.formats.boxes import info_of

        info |= info_of(file.read())
        file.seek(0)
        info["no_jp2"] = file.read(2) == b"\xff\x4f"  # a codestream alone
    return info, notes


def _channels_left(image: Image.Image, channels: int) -> tuple[str, ...]:
    """What to say of channels that a file has and Pillow does not read."""
    more = channels - len(image.getbands())
    if more < 1:
        return ()
    return (f"its last {f'{more} channels are' if more > 1 else 'channel is'} none of {image.mode} and left out",)


class PillowSink(Sink):
    """Writes all rows at once, in Pillow's format and mode, with options of its encoder."""

    step = None

    def __init__(self, form: str, mode: str, options: Mapping[str, Any]) -> None:
        self.form, self.mode, self.options = form, mode, options

    def write(self, rows: Array) -> None:
        image, data = encoded(rows, self.form, self.mode, self.options)
        if self.form == "GIF" and self.mode != "L" and image.getcolors(GIF_COLOURS) is None:
            self.notes += (f"GIF holds {GIF_COLOURS} colours; the others were replaced by near ones",)
        put(self.file, data)


def untouched(exif: bytes) -> Image.Exif | None:
    """EXIF data that AVIF's encoder takes as they are; it lays out anew those that state an orientation.

    None where they make no sense to it.
    """
    from PIL import ExifTags, Image

    from imgconv.formats.exif import orientation_of

    class Untouched(Image.Exif):
        def tobytes(self, offset: int = 8) -> bytes:
            return exif

    made = Untouched()
    try:
        orientation = orientation_of(exif)
    except ValueError:
        return None
    made[ExifTags.Base.Orientation] = orientation if 1 <= orientation <= 8 else 1
    made[ExifTags.Base.Software] = ""  # what is empty is not taken
    return made


class Pieces(list[bytes]):
    """A file that takes what a JPEG's encoder makes as it comes, without a copy."""

    write = list.append


def encoded(array: Array, form: str, mode: str, options: Mapping[str, Any]) -> tuple[Image.Image, bytes]:
    """An image of the pixels, and its file's bytes. Raises WriteError for whatever Pillow raises."""
    file = io.BytesIO()
    image = save(array, file, form, mode, options)
    data = file.getvalue()
    if form == "ICNS":  # Pillow would write all sizes up to 1024, magnified
        entry = ICNS_KINDS[image.width] + struct.pack(">I", len(data) + 8) + data
        data = b"icns" + struct.pack(">I", len(entry) + 8) + entry
    return image, data


def save(array: Array, file: Any, form: str, mode: str, options: Mapping[str, Any]) -> Image.Image:
    """Encodes pixels into a file, and returns the image of them, as `encoded` does."""
    palette = options.get("colours")
    with encoder_errors(form):
        import_module(by_name(form).plugin)  # else Pillow imports all of them for a rare one
        array, mode_now = padded(array, mode) if form in PADDED else (array, mode)
        image = from_array(array, "L" if mode in ("1", "P") else mode_now)
        if mode == "1":
            image = back_in(mode, image)
        elif palette:
            image.putpalette(palette)
        given = {key: value for key, value in options.items() if key != "colours"}
        image.save(file, "PNG" if form == "ICNS" else form, **given)
    return image


@contextlib.contextmanager
def encoder_errors(form: str) -> Iterator[None]:
    """Whatever an encoder raises in the block becomes a WriteError."""
    try:
        yield
    except (ImportError, *PILLOW_ERRORS) as problem:
        raise WriteError(f"{form} cannot be written: {' '.join(str(problem).split())}") from None
