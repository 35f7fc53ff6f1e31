"""HEIC by pillow-heif, of 8, 10 and 12 bits; deeper samples go through memory as 16 bits."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError, WriteError
from imgconv.formats.limits import READING, Limits, check_whole
from imgconv.formats.picture import Frame, Picture, marked, unread, wanted_of
from imgconv.formats.pillow import encoder_errors, pillow_errors
from imgconv.formats.place import put
from imgconv.formats.sink import Sink
from imgconv.formats.table import KINDS

MISSING = "needs pillow-heif: pip install 'imgconv[heif]'"
DEEPEST = 12


def opened(data: bytes) -> tuple[Any, Picture]:
    """What pillow-heif has opened, and its main picture, whose pixels are not decoded. Raises PictureError."""
    try:
        import pillow_heif
    except ImportError:
        raise PictureError(f"is HEIC, which {MISSING}") from None
    with pillow_errors():
        file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
        if file.premultiplied_alpha:
            raise PictureError("has colours that are weighed by alpha, which is not read of HEIC")
        (columns, rows), mode, about = file.size, file.mode, file.info
        info: dict[str, Any] = {key: about[key] for key in ("icc_profile", "xmp") if about.get(key)}
        if about.get("exif"):
            from imgconv.formats import exif

            info["exif"] = marked(about["exif"])
            with contextlib.suppress(ValueError):  # the pixels are turned already
                info["exif"] = exif.upright(info["exif"], columns, rows)
        if (bits := about.get("bit_depth", 8)) > 8:
            info["bits"] = bits
        dtype, channels = KINDS[mode]
        array = unread((rows, columns, channels)[: 2 + (channels > 1)], np.dtype(dtype))
    return file, Picture(array, mode, "HEIF", info, others=len(file) - 1)


def frames_of(data: bytes, limits: Limits, wanted: Sequence[int] | None) -> Iterator[Frame]:
    """The main picture in the bytes of a file. Raises PictureError."""
    wanted_of(wanted, 1)
    file, about = opened(data)
    pixel = about.channels * about.array.itemsize
    check_whole(len(data), about.array.shape[1], about.array.shape[0], pixel, READING["HEIF"], limits)
    with pillow_errors():
        array = np.asarray(file)
        if (bits := about.info.get("bits", 8)) > 8:
            array = _scaled(array >> (16 - bits), 2**bits - 1, 65535)
    yield Frame(replace(about, array=np.ascontiguousarray(array)), len(data))


def _scaled(array: Array, before: int, after: int) -> Array:
    return np.asarray(
        (array.astype(np.uint32) * np.uint32(after) + np.uint32(before // 2)) // np.uint32(before), "uint16"
    )


class HeifSink(Sink):
    """Writes all rows at once; `options` are quality, subsampling and lossless."""

    step = None

    def __init__(self, about: Picture, mode: str, options: Mapping[str, Any]) -> None:
        try:
            import pillow_heif  # noqa: F401
        except ImportError:
            raise WriteError(f"HEIC {MISSING}") from None
        self.about, self.mode, self.options = about, mode, options
        self.bits = about.info.get("bits", DEEPEST) if about.array.dtype == np.uint16 else 8
        if self.bits == DEEPEST and "bits" not in about.info:
            self.notes = (f"its 16 bits per channel became {DEEPEST}, the most that HEIC holds",)

    def write(self, rows: Array) -> None:
        import pillow_heif

        if self.bits > 8:
            rows = _scaled(rows, 65535, 2**self.bits - 1) << (16 - self.bits)
        lossless = self.options.get("lossless", False)
        chroma = {0: 444, 1: 422, 2: 420}[self.options.get("subsampling", 0)]
        # lossless: without loss in the coding, and no other colours than those that are given
        how = {"quality": -1, "matrix_coefficients": 0} if lossless else {"quality": self.options.get("quality", 90)}
        file, before = io.BytesIO(), pillow_heif.options.SAVE_HDR_TO_12_BIT
        try:
            with encoder_errors("HEIC"):
                pillow_heif.options.SAVE_HDR_TO_12_BIT = self.bits == DEEPEST
                size = rows.shape[1], rows.shape[0]
                image = pillow_heif.from_bytes(self.mode, size, np.ascontiguousarray(rows).tobytes())
                image.info.update({key: self.about.info[key] for key in ("exif", "xmp") if key in self.about.info})
                if profile := self.about.info.get("icc_profile"):
                    image.info.update({"icc_profile": profile, "icc_profile_type": "prof"})
                image.save(file, chroma=444 if lossless else chroma, **how)
        finally:
            pillow_heif.options.SAVE_HDR_TO_12_BIT = before
        put(self.file, file.getvalue())
