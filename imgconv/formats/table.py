"""The picture formats that imgconv reads and writes, what each can hold, and the options of its encoder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from imgconv.errors import UsageError


class Format(NamedTuple):
    """One file format."""

    name: str  # Pillow's
    endings: tuple[str, ...]
    start: bytes  # how its files begin, "" where only the ending tells; what could be text as far as it is the format's
    modes: tuple[str, ...] = ()  # Pillow modes that it holds without loss of channels or depth; none: it is only read
    keeps: tuple[str, ...] = ()  # what else it can carry, by the keys of `Picture.info`
    longest_side: int = 2**31 - 1  # pixels
    frames: str = ""  # that it holds: "" one, "animation" several of one size and mode, "pages" several of any

    @property
    def plugin(self) -> str:
        """The module of Pillow that knows it."""
        return f"PIL.{PLUGINS.get(self.name, self.name.capitalize())}ImagePlugin"


TIMING = ("duration", "plays", "default_image")  # of frames, in `Picture.info`
FORMATS = (
    Format(
        "PNG", (".png", ".apng"), rb"\x89PNG\r\n\x1a\n",
        ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "LA;16", "RGB;16", "RGBA;16"),
        ("exif", "icc_profile", "dpi", "xmp", "comment", "photoshop", "chunks", *TIMING), frames="animation",
    ),
    Format(
        "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff",
        ("L", "RGB", "CMYK"), ("exif", "icc_profile", "dpi", "xmp", "comment", "photoshop"), 65500,
    ),
    Format(  # by its ending only: phones write JPEGs that begin so
        "MPO", (".mpo",), b"",
        ("L", "RGB", "CMYK"), ("exif", "icc_profile", "dpi", "xmp", "comment", "photoshop"), 65500, "pages",
    ),
    Format(
        "TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]",
        ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "LA;16", "RGB;16", "RGBA;16", "I", "F",
         "LA;F", "RGB;F", "RGBA;F"),
        ("exif", "icc_profile", "dpi", "xmp", "photoshop"), frames="pages",
    ),
    Format(
        "WEBP", (".webp",), rb"RIFF....WEBP", ("L", "LA", "RGB", "RGBA"),
        ("exif", "icc_profile", "xmp", *TIMING[:2]), 16383, frames="animation",
    ),
    Format(  # readers take the fourth byte of a pixel for filler
        "BMP", (".bmp", ".dib"), rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", ("1", "L", "P", "RGB"), ("dpi",)
    ),
    Format("PPM", (".ppm", ".pgm", ".pnm"), rb"P[1-6]\s+(#|\d)", ("1", "L", "RGB", "I;16", "RGB;16"), ("comment",)),
    Format("PFM", (".pfm",), rb"P[fF]\s+\d", ("F", "RGB;F")),
    Format("PBM", (".pbm",), b"", ("1",), ("comment",)),  # of PPM, what holds no more than bits
    Format(
        "GIF", (".gif",), rb"GIF8[79]a", ("L", "LA", "RGB", "RGBA"), ("comment", *TIMING[:2]), 65535, "animation"
    ),
    Format(
        "AVIF", (".avif", ".avifs"), rb"....ftyp(avi[fs]|m[is]f1.{4}(.{4})*?avi[fs])", ("L", "RGB", "RGBA"),
        ("exif", "icc_profile", "xmp", *TIMING[:1]), 65536, "animation",
    ),
    Format(  # by pillow-heif
        "HEIF", (".heic", ".heif", ".hif"), rb"....ftyp(hei[cxms]|hev[cxms]|m[is]f1)",
        ("L", "RGB", "RGBA", "I;16", "RGB;16", "RGBA;16"), ("exif", "icc_profile", "xmp"), 16384,
    ),
    Format(
        "JPEG2000", (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"), rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
        ("L", "LA", "RGB", "RGBA", "CMYK", "I;16"), ("comment",),
    ),
    Format("QOI", (".qoi",), rb"qoif", ("RGB", "RGBA")),
    Format("ICO", (".ico",), rb"\0\0\x01\0[^\0]\0", ("1", "L", "LA", "RGB", "RGBA"), (), 256),
    Format("ICNS", (".icns",), rb"icns", ("L", "LA", "RGB", "RGBA"), (), 1024),
    Format("DDS", (".dds",), rb"DDS ", ("L", "LA", "RGB", "RGBA")),
    Format("TGA", (".tga", ".icb", ".vda", ".vst"), b"", ("1", "L", "LA", "P", "RGB", "RGBA"), (), 65535),
    Format("SGI", (".sgi", ".rgb", ".rgba", ".bw"), rb"\x01\xda[\0\x01][\x01\x02]\0", ("L", "RGB", "RGBA"), (), 65535),
    Format("PCX", (".pcx",), rb"\n[\0\x02\x03\x05][\0\x01][\x01\x02\x04\x08]", ("1", "L", "P", "RGB"), (), 65535),
    Format(
        "IM", (".im",), rb"Image type: ", ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"),
    ),
    Format("SPIDER", (".spi", ".spider"), b"", ("F",)),
    Format("BLP", (".blp",), rb"BLP[12]", ("P",), (), 65535),
    Format("MSP", (".msp",), rb"DanM|LinS", ("1",), (), 65535),
    Format("XBM", (".xbm",), rb"\s*#define[ \t]+\w*(_width|$)", ("1",)),
    # only read. Left out: what starts programs (EPS, PS, PDF, WMF; IPTC, in which Pillow opens whatever is inside), and
    # what Pillow names without reading it (BUFR, GRIB, HDF5, MPEG)
    *(
        Format(name, endings, start, frames={"FLI": "animation", "DCX": "pages"}.get(name, ""))
        for name, endings, start in (
            ("CUR", (".cur",), rb"\0\0\x02\0[^\0]\0"),
            ("DCX", (".dcx",), rb"\xb1\x68\xde\x3a"),
            ("DIB", (), rb"[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0....(....)?\x01\0[\x01\x04\x08\x10\x18\x20]\0"),
            ("FITS", (".fits", ".fit"), rb"SIMPLE  ="),
            ("FLI", (".fli", ".flc"), rb"....[\x11\x12]\xaf.{8}[\0\x03]\0"),
            ("FTEX", (".ftc", ".ftu"), rb"FTEX"),
            ("GBR", (".gbr",), rb"\0..[\x14-\xff]\0\0\0[\x01\x02].{8}\0\0\0[\x01\x04]"),
            ("IMT", (".imt",), b""),
            ("MCIDAS", (), rb"\0{7}\x04"),
            ("PCD", (".pcd",), b""),
            ("PIXAR", (".pxr",), rb"\x80\xe8\0\0"),
            ("PSD", (".psd",), rb"8BPS"),
            ("SUN", (".ras",), rb"\x59\xa6\x6a\x95"),
            ("XPM", (".xpm",), rb"/\* XPM \*/"),
            ("XVTHUMB", (), rb"P7 332"),
        )
    ),
)  # fmt: skip
PLUGINS = {"WEBP": "WebP", "JPEG2000": "Jpeg2K", "MCIDAS": "McIdas", "XVTHUMB": "XVThumb", "DIB": "Bmp", "PBM": "Ppm"}
START_BYTES = 32  # that tell the format
ICNS_KINDS = {
    16: b"icp4", 32: b"icp5", 64: b"icp6", 128: b"ic07", 256: b"ic08", 512: b"ic09", 1024: b"ic10",
}  # fmt: skip
# of integer samples, by their type and the number of channels; Pillow has none of the last three
MODES = {
    ("uint8", 1): "L", ("uint8", 2): "LA", ("uint8", 3): "RGB", ("uint8", 4): "RGBA",
    ("uint16", 1): "I;16", ("uint16", 2): "LA;16", ("uint16", 3): "RGB;16", ("uint16", 4): "RGBA;16",
}  # fmt: skip
KINDS = {mode: kind for kind, mode in MODES.items()}
PADDED = ("JPEG",)  # whose encoder takes RGB with a fourth byte behind each pixel
PLAIN = ("PNG", "JPEG", "WEBP", "BMP")  # which are written without NumPy, if they are no animations
THUMBNAILS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF")  # that hold EXIF data as it is, with the directory of its thumbnail
FLOAT_MODES = ("F", "LA;F", "RGB;F", "RGBA;F")  # by the number of channels; Pillow has the first
GREY_MODES = ("1", "L", "LA", "I;16", "LA;16", "I", "F", "LA;F")
TOO_FINE = ("float16", "float64")  # samples of arrays that are in no picture unless --depth says so
DEPTHS = {  # the words of --depth, and the samples that they are kept in
    "1": "uint8", "8": "uint8", "10": "uint16", "12": "uint16", "16": "uint16", "32": "int32", "float": "float32",
}  # fmt: skip
ARRAY_ENDINGS = {".npy": "NPY", ".txt": "TEXT", ".csv": "CSV", ".raw": "RAW"}
ARRAYS = tuple(ARRAY_ENDINGS.values())
_BY_NAME = {form.name: form for form in FORMATS}
_NAMES = {ending: form.name for form in FORMATS for ending in form.endings} | ARRAY_ENDINGS
_WRITTEN = {*ARRAYS, *(form.name for form in FORMATS if form.modes)}


def mode_of(dtype: Any, channels: int) -> str:
    """The mode of a picture with samples of NumPy's type; "" where there is none."""
    if dtype.kind == "f":
        return FLOAT_MODES[channels - 1] if channels <= len(FLOAT_MODES) else ""
    return "I" if (dtype.name, channels) == ("int32", 1) else MODES.get((dtype.name, channels), "")


def by_name(name: str) -> Format:
    """The format that Pillow calls `name`."""
    return _BY_NAME[name]


def frames_in(name: str) -> str:
    """What frames a format holds, as `Format.frames` says; "" for arrays."""
    return _BY_NAME[name].frames if name in _BY_NAME else "animation" if name == "RAW" else ""


def keeps(name: str, key: str) -> bool:
    """Whether a format can carry what `Picture.info` has under a key; no array can."""
    return name in _BY_NAME and key in _BY_NAME[name].keeps


def name_for(ending: str) -> str | None:
    """The name of the format for a file ending such as ".png", arrays included; None when there is none."""
    return _NAMES.get(ending.lower())


def is_written(name: str | None) -> bool:
    """Whether files of a format can be written, arrays included."""
    return name in _WRITTEN


def endings() -> str:
    """Every ending that can be written, as a message lists them."""
    return ", ".join([form.endings[0] for form in FORMATS if form.modes] + list(ARRAY_ENDINGS))


def format_of(start: bytes) -> Format | None:
    """The format of a file by its first `START_BYTES`."""
    return next((form for form in FORMATS if form.start and re.match(form.start, start, re.DOTALL)), None)


class Changes(NamedTuple):
    """What is to be changed on purpose when a result is written."""

    depth: str | None = None  # of DEPTHS
    background: tuple[int, int, int] | None = None  # that alpha is laid on where the format has none
    requantize: bool = False  # what had a palette gets one again


class EncoderOption(NamedTuple):
    """Something that `--co KEY=VALUE` tells an encoder."""

    formats: tuple[str, ...]
    values: str  # as a message describes them
    parse: Callable[[str], Any]  # raises ValueError or KeyError
    lossy: bool = False  # a format that may lose something or nothing is to lose something


def _whole(low: int, high: int) -> tuple[str, Callable[[str], int]]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError
        return int(text)

    return f"a whole number from {low} to {high}", parse


def _one_of(values: dict[str, Any]) -> tuple[str, Callable[[str], Any]]:
    return "one of " + ", ".join(values), lambda text: values[text.lower()]


_FLAG = ("true or false", lambda text: {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
    text.lower()
])  # fmt: skip
_COMPRESSIONS = {
    "none": "raw", "lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate", "packbits": "packbits", "zstd": "zstd",
    "lzma": "lzma",
}  # fmt: skip
ENCODER_OPTIONS = {
    "quality": EncoderOption(("JPEG", "WEBP", "AVIF", "HEIF"), *_whole(1, 100), lossy=True),
    "subsampling": EncoderOption(("JPEG", "AVIF", "HEIF"), *_one_of({"4:4:4": 0, "4:2:2": 1, "4:2:0": 2})),
    "progressive": EncoderOption(("JPEG",), *_FLAG),
    "optimize": EncoderOption(("PNG", "JPEG"), *_FLAG),
    "compress_level": EncoderOption(("PNG",), *_whole(0, 9)),
    "lossless": EncoderOption(("WEBP", "HEIF"), *_FLAG),
    "alpha_quality": EncoderOption(("WEBP",), *_whole(0, 100), lossy=True),
    "method": EncoderOption(("WEBP",), *_whole(0, 6)),
    "dither": EncoderOption(("GIF",), *_one_of({"none": False, "floyd-steinberg": True})),
    "compression": EncoderOption(("TIFF",), *_one_of(_COMPRESSIONS)),
}


def parse_encoder_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Values for encoders from words such as "quality=90". Raises UsageError where they make no sense."""
    options = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        option = ENCODER_OPTIONS.get(key.strip().lower())
        if option is None:
            raise UsageError(f"--co {pair}: {key!r} is not one of {', '.join(ENCODER_OPTIONS)}")
        try:
            options[key.strip().lower()] = option.parse(value.strip())
        except (ValueError, KeyError):
            raise UsageError(f"--co {pair}: {key} takes {option.values}") from None
    return options
