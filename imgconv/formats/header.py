"""What the header of a file says: the picture as it will be read, without any pixel."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from imgconv.formats import pillow, timing
from imgconv.formats.decode import depth_of, known, pictures_in, prepare_pillow
from imgconv.formats.image import mode_of
from imgconv.formats.picture import Picture, unread
from imgconv.formats.read import frames_of
from imgconv.formats.table import ARRAY_ENDINGS, KINDS, START_BYTES, format_of, frames_in, name_for
from imgconv.memory import SampleType

TYPES = {"I": "int32", "F": "float32"}  # of samples that do not have 8 or 16 bits
DETAILED = {"L": "I;16", "I": "I;16", "LA": "LA;16", "RGB": "RGB;16", "RGBA": "RGBA;16"}  # by what Pillow calls them
BEGIN = 2**16  # bytes that are read of a file first


def header_of(file: BinaryIO, size: int, ending: str) -> tuple[Picture, str, str, list[float]]:
    """The picture as it will be read, without its pixels; mode and depth as the file has them; durations."""
    from PIL import Image

    start = file.read(BEGIN)
    if start.startswith(b"\x93NUMPY") or name_for(ending) in ARRAY_ENDINGS.values():
        about = next(frames_of(file, size, "", ending)).about
        return about, "", about.array.dtype.name, []
    if start[:2] in (b"Pf", b"PF"):
        about = next(frames_of(file, size, "", ending)).about
        return about, about.mode, "32", []
    if (begun := format_of(start[:START_BYTES])) and begun.name == "HEIF":
        from imgconv.formats.heif import opened

        file.seek(0)
        _, about = opened(file.read())
        return about, about.mode, str(about.info.get("bits", 8)), []
    prepare_pillow()
    form = known(start[:START_BYTES], ending)
    file.seek(0)
    with pillow.pillow_errors(), Image.open(file, formats=[form]) as image:
        form = "JPEG" if image.format == "MPO" else form
        info, notes = pillow.about_of(image, _jpeg_header(file, image) if form == "JPEG" else file, size)
        durations = timing.durations_of(form, file)
        depth, mode = depth_of(start, image), image.mode
        mode = DETAILED.get(mode, mode) if depth == 16 else mode
        seen_as = mode_of(mode, image.has_transparency_data)
        bands = Image.getmodebands(seen_as.removesuffix(";16") if seen_as != "I;16" else "L")
        counted = _counted(file, size, form, image, len(durations), ending)
        dtype, _ = KINDS.get(seen_as, (TYPES.get(seen_as, "uint8"), bands))
        array = unread((image.height, image.width, bands)[: 2 + (bands > 1)], SampleType(dtype))
        return Picture(array, seen_as, form, info, notes=notes, **counted), mode, str(depth), durations


def _counted(file: BinaryIO, size: int, form: str, image: Any, shown: int, ending: str) -> dict[str, Any]:
    """How many frames there are, and how many pictures that are none, as a Picture has it."""
    if form == "TIFF":
        from imgconv.formats.tiff.pages import pages_of
        from imgconv.formats.tiff.tags import Tags

        try:
            pages, others = pages_of(Tags(file, size), None)
        except ValueError:
            return {}
        return {"frames": len(pages), "others": others}
    if image.format == "MPO":
        from imgconv.formats import mpf

        parts = mpf.parts_of(file, size)
        own = sum(not part.about for part in parts) if name_for(ending) == "MPO" else 1
        return {"frames": own, **mpf.others_in(parts, alone=own == 1)}
    if shown:
        return {"frames": shown}
    count = pictures_in(image)
    return {"frames": count} if frames_in(form) else {"others": count - 1}


def _jpeg_header(file: BinaryIO, image: Any) -> BinaryIO:
    """A JPEG file as far as its first pixels; all of it where more is behind the last."""
    from imgconv.formats.segments import END, FILLING, frame_in

    file.seek(-min(64, file.seek(0, io.SEEK_END)), io.SEEK_END)
    behind = "mp" in image.info or not file.read().rstrip(FILLING).endswith(END)
    file.seek(0)
    data = file.read(-1 if behind else BEGIN)
    while not frame_in(data)[1] and (more := file.read(len(data))):
        data += more
    return io.BytesIO(data)
