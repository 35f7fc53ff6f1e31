"""What a picture is written by: the sink of its format, with the metadata and the encoder's options."""

from __future__ import annotations

import io
from collections.abc import Container, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.errors import WriteError
from imgconv.formats.metadata import left_out
from imgconv.formats.picture import Picture, is_opaque
from imgconv.formats.sink import Sink
from imgconv.formats.table import (
    ARRAYS,
    ENCODER_OPTIONS,
    ICNS_KINDS,
    TIMING,
    TOO_FINE,
    Changes,
    Format,
    by_name,
    frames_in,
    mode_of,
)

if TYPE_CHECKING:
    from imgconv.formats.tiff.strips import Page

# TIFF compressions that lose nothing, as Pillow reports and takes them
TIFF_LOSSLESS = ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma")
MODE_WORDS = {
    "LA": "an alpha channel (LA)", "RGBA": "an alpha channel (RGBA)",
    "I;16": "16-bit grey", "LA;16": "16-bit grey with alpha", "RGB;16": "16-bit RGB",
    "RGBA;16": "16-bit RGB with alpha", "I": "32-bit integers", "F": "floating-point samples",
    "LA;F": "floating-point samples with alpha", "RGB;F": "floating-point RGB",
    "RGBA;F": "floating-point RGB with alpha",
}  # fmt: skip
SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")  # as AVIF's encoder has them; JPEG's counts them


def sink_of(about: Picture, form: str, options: Mapping[str, Any] | None = None, threads: int | None = None) -> Sink:
    """What writes a picture of the shape and type of `about.array`, whose pixels are not looked at.

    Its `info` is written as metadata, as far as the format can hold it; `options` are as `table.parse_encoder_options`
    gives them, and those of other formats are passed over. PNG and JPEG may use so many `threads`, by default as many
    as there are cores. Raises WriteError when the format cannot hold the picture as it is.
    """
    sink = _sink_of(about, form, options or {}, threads)
    if "thumbnail" in about.info:
        from imgconv.formats.thumbnail import ThumbnailSink

        sink = ThumbnailSink(about, partial(_sink_of, form=form, options=options or {}, threads=threads))
    sink.notes = (*left_out(about.info, form), *sink.notes)
    return sink


def _sink_of(about: Picture, form: str, options: Mapping[str, Any], threads: int | None) -> Sink:
    if form in ("NPY", "TEXT", "CSV"):
        from imgconv.formats import arrays  # here, as the others: what one format needs is imported for its files

        return arrays.sink_of(about, form)
    if form == "RAW":
        from imgconv.formats.raw import RawSink

        return RawSink(form, about)
    mode = _mode_in(form, about)
    if form == "MPO" and about.frames > 1:
        from imgconv.formats.mpo import MpoSink

        return MpoSink(about, lambda picture: encode(picture, "JPEG", options, threads))
    form = "JPEG" if form == "MPO" else form
    metadata = {key: about.info[key] for key in by_name(form).keeps if key in about.info}
    given = {key: value for key, value in options.items() if form in ENCODER_OPTIONS[key].formats}
    if form == "PNG":
        return _png_sink(about, mode, metadata, given, threads)
    if form in ("PPM", "PBM", "PFM"):
        from imgconv.formats import ppm

        return ppm.sink_of(about, mode)
    if form == "TIFF":
        from imgconv.formats.tiff.strips import TiffSink, page_of

        def page(about: Picture) -> Page:
            metadata = {key: about.info[key] for key in by_name(form).keeps if key in about.info}
            options = _encoder_options(about, form, given) | _palette(about)
            return page_of(about.array, _mode_in(form, about), metadata, options)

        return TiffSink(about, page)
    from imgconv.formats import jpeg
    from imgconv.formats.pillow import PillowSink

    if form == "GIF" and (about.frames > 1 or "dither" in given or "A" in mode):
        from imgconv.formats.gif import GifSink

        return GifSink(replace(about, info=metadata), dither=given.get("dither", False))
    if form == "WEBP" and about.frames > 1:
        from imgconv.formats.pillow import encoded
        from imgconv.formats.webp import WebpSink

        given = _encoder_options(about, form, given)
        return WebpSink(replace(about, info=metadata), lambda part: encoded(part, form, mode, given)[1])
    if form == "HEIF":
        from imgconv.formats.heif import HeifSink

        return HeifSink(about, mode, given)
    everything = metadata | _encoder_options(about, form, given) | _palette(about)
    if form == "AVIF" and about.frames > 1:
        from imgconv.formats.sequence import SequenceSink

        return SequenceSink(form, about, {key: value for key, value in everything.items() if key not in TIMING})
    if form != "JPEG":
        whole = PillowSink(form, mode, everything)
        if form == "AVIF" and "exif" in everything:
            from imgconv.formats.pillow import untouched

            everything["exif"] = untouched(everything["exif"])
            whole.notes = () if everything["exif"] else ("its EXIF data makes no sense to AVIF: left out",)
        return whole
    from imgconv.formats.segments import into_options

    notes = (*into_options(everything), *_unlike(about, given))
    large = jpeg.in_strips(about.array.shape, everything)
    sink = jpeg.JpegSink(about.array, mode, everything, threads) if large else PillowSink(form, mode, everything)
    sink.notes = notes
    return sink


def _png_sink(
    about: Picture, mode: str, metadata: dict[str, Any], given: Mapping[str, Any], threads: int | None
) -> Sink:
    from imgconv.formats.png.chunks import fit
    from imgconv.formats.png.codec import PngSink

    lost = fit(metadata)
    # Pillow's `optimize` means the smallest file, whatever the level
    make = partial(PngSink, level=9 if given.get("optimize") else given.get("compress_level"), threads=threads)
    if about.frames > 1 and mode in ("1", "P"):
        raise WriteError("PNG holds no palettes or single bits in an animation; --frames first takes one")
    if about.frames > 1:
        from imgconv.formats.png.animation import ApngSink

        def plain(shape: tuple[int, ...], info: Mapping[str, Any]) -> PngSink:
            return make(shape, about.array.dtype, info)

        sink: Sink = ApngSink(replace(about, info=metadata), plain)
    else:
        palette = (about.info["colours"], about.info["alphas"]) if mode == "P" else None
        sink = make(about.array.shape, about.array.dtype, metadata, bilevel=mode == "1", palette=palette)
    sink.notes = (*lost, *sink.notes)
    return sink


def encode(
    picture: Picture, form: str, options: Mapping[str, Any] | None = None, threads: int | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """A picture as the bytes of a file, and what the user should know about it. Otherwise as `sink_of`."""
    file, sink = io.BytesIO(), sink_of(picture, form, options, threads)
    sink.begin(file)
    sink.write(picture.array)
    sink.end()
    return file.getvalue(), sink.notes


def lost_in(about: Picture, form: str) -> list[str]:
    """What of a picture is lost in a file of the format, or why it cannot be written; its pixels are not looked at."""
    notes = left_out(about.info, form)
    if form not in ARRAYS:
        try:
            if about.mode not in by_name(form).modes:
                from imgconv.formats import convert  # here, because most pictures stay as they are

                if change := convert.converted(about, form, Changes()):
                    about = replace(about, mode="P" if change.palette else change.about.mode)
                    notes += change.notes
            _mode_in(form, about)
        except WriteError as problem:
            return [str(problem)]
    if form == "PNG":
        from imgconv.formats.png.chunks import fit

        notes += fit(dict(about.info))
    if form == "JPEG":
        from imgconv.formats.segments import into_options

        notes += [*into_options(dict(about.info)), *_unlike(about, ())]
        notes += ["JPEG loses detail of its pixels"] if about.format != "JPEG" else []
    if about.frames > 1 and not frames_in(form):
        notes.append(f"{form} holds one of its {about.frames} frames")
    if about.others:
        notes.append(f"its {about.others} more pictures ({about.other_kinds}) are left out")
    return notes


def _unlike(picture: Picture, given: Container[str]) -> tuple[str, ...]:
    """What a JPEG's encoder cannot do as it was, where the user has not said how it is to be."""
    if picture.format == "JPEG" and not picture.info.get("qtables"):
        return ("was a lossless JPEG and is none now; write .png or .tif to lose nothing",)
    return tuple(note for option, note in picture.info.get("unlike", ()) if option not in given)


def fitted(picture: Picture, form: str) -> Picture:
    """The picture without alpha that is full, where a file of the format cannot be written with it: BMP's, or GIF's.

    A frame of a GIF has alpha where any other may have.
    """
    if picture.format not in (form, "GIF") or picture.mode != "RGBA" or form in ARRAYS:
        return picture
    if "RGBA" in by_name(form).modes or not is_opaque(picture.array):
        return picture
    return replace(picture, array=np.ascontiguousarray(picture.array[:, :, :3]), mode="RGB")


def _mode_in(form: str, picture: Picture) -> str:
    """The mode in which a picture format holds the picture. Raises WriteError when it cannot hold it as it is."""
    holds = by_name(form)
    if not holds.modes:
        raise WriteError(f"{form} is read, but not written; --format names another, such as png or tif")
    mode = picture.mode or _mode_of_array(picture.array, form)
    if mode not in holds.modes:
        raise WriteError(f"{form} cannot hold {MODE_WORDS.get(mode, f'{mode} pictures')}; {_hint(mode, holds)}")
    if max(picture.array.shape[:2]) > holds.longest_side:
        raise WriteError(f"{form} holds at most {holds.longest_side} pixels on a side, not {picture.size}; write .png")
    if form == "ICNS" and (len(set(picture.array.shape[:2])) > 1 or len(picture.array) not in ICNS_KINDS):
        raise WriteError(
            f"ICNS holds squares of {', '.join(map(str, ICNS_KINDS))} pixels, not {picture.size}; write .png"
        )
    return mode


def _encoder_options(picture: Picture, form: str, given: dict[str, Any]) -> dict[str, Any]:
    """Options of Pillow's encoder: what the user gave, then what the old file had, then our defaults."""
    info = picture.info
    if form == "JPEG" and not info.get("qtables"):  # from another format, or without loss
        return {"quality": 95, "subsampling": 0, **given}
    if form == "JPEG":
        options: dict[str, Any] = {"progressive": info["progressive"], **info.get("restarts", {})}
        if "quality" not in given:
            options["qtables"] = info["qtables"]
        if picture.mode == "RGB":  # -1: a subsampling that Pillow cannot write; none loses nothing
            options["subsampling"] = max(0, info["subsampling"])
            options["keep_rgb"] = info.get("keep_rgb", False)
        return options | given
    if form == "TIFF":
        compression = info.get("compression")
        return {"compression": compression if compression in TIFF_LOSSLESS else "raw", **given}
    if form == "WEBP":
        lossy = any(ENCODER_OPTIONS[key].lossy for key in given)
        lossless = info.get("lossless", picture.format != "WEBP") and not lossy
        return {"lossless": lossless, "quality": 90, "exact": True, **given}
    if form == "AVIF":
        sampling = SAMPLINGS[given.get("subsampling", 0)] if picture.channels > 1 else "4:0:0"
        return {"quality": 90, **given, "subsampling": sampling}
    if form == "ICO":
        return {"sizes": [picture.array.shape[1::-1]], **given}  # else there were all smaller ones, too
    return given | {key: info[key] for key in ("rle", "no_jp2") if picture.format == form and key in info}


def _palette(about: Picture) -> dict[str, Any]:
    return {"colours": about.info["colours"]} if about.mode == "P" else {}


def _mode_of_array(array: Any, form: str) -> str:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype.name not in TOO_FINE and (mode := mode_of(array.dtype, channels)):
        return mode
    many = f"{channels} channel{'s' if channels > 1 else ''}"
    raise WriteError(f"{form} cannot hold an array of {array.dtype} with {many}; write .npy instead")


def _hint(mode: str, holds: Format) -> str:
    """What to do about a mode that a format does not hold."""
    better = " or ".join(by_name(name).endings[0] for name in ("PNG", "TIFF") if mode in by_name(name).modes)
    better = better or (".npy" if " " in mode else ".tif")  # what is no mode has a text of several words
    bare, _, kind = mode.partition(";")
    grey = bare in ("L", "LA", "I", "F")
    if not (grey or bare in ("RGB", "RGBA")):
        return f"write {better}"
    asked, held = [], {*holds.modes}
    if "A" in bare and not any("A" in one for one in held):
        asked.append("--background COLOUR")
        mode = {"LA;16": "I;16", "LA;F": "F"}.get(mode, mode.replace("A", ""))
    eight = {"RGB", "P", *(["L"] if grey else ())}
    words = {"8": eight, "float": {"F" if grey else "RGB;F"}, "1": {"1"}}
    if mode not in held and not (not kind and mode in ("L", "RGB") and held & eight):
        asked += [f"--depth {word}" for word, modes in words.items() if held & modes][:1] or [""]
    return f"write {better}" + (f", or give {' and '.join(asked)}" if all(asked) else "")
