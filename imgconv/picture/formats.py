"""The picture formats that imgconv reads and writes, and what each can hold."""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """One file format."""

    name: str  # Pillow's
    endings: tuple[str, ...]
    modes: tuple[str, ...]  # Pillow modes that it holds without loss of channels or depth
    keeps: tuple[str, ...]  # what else it can carry: exif, icc_profile, dpi


FORMATS = (
    Format("PNG", (".png", ".apng"), ("L", "LA", "RGB", "RGBA", "I;16"), ("exif", "icc_profile", "dpi")),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), ("L", "RGB", "CMYK", "YCbCr"), ("exif", "icc_profile", "dpi")),
    Format(
        "TIFF",
        (".tif", ".tiff"),
        ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"),
        ("exif", "icc_profile", "dpi"),
    ),
    Format("WEBP", (".webp",), ("L", "LA", "RGB", "RGBA"), ("exif", "icc_profile")),
    Format("BMP", (".bmp", ".dib"), ("L", "RGB", "RGBA"), ("dpi",)),
    Format("PPM", (".ppm", ".pgm", ".pnm"), ("L", "RGB", "I;16"), ()),
    Format("GIF", (".gif",), ("L", "LA", "RGB", "RGBA"), ()),
)
ARRAY_ENDINGS = {".npy": "NPY", ".txt": "TEXT", ".csv": "CSV"}


def by_name(name: str) -> Format:
    """The format that Pillow calls `name`."""
    return next(form for form in FORMATS if form.name == name)


def name_for(ending: str) -> str | None:
    """The name of the format for a file ending such as ".png", arrays included; None when there is none."""
    ending = ending.lower()
    if ending in ARRAY_ENDINGS:
        return ARRAY_ENDINGS[ending]
    return next((form.name for form in FORMATS if ending in form.endings), None)


def endings() -> str:
    """Every ending that can be written, as a message lists them."""
    return ", ".join([form.endings[0] for form in FORMATS] + list(ARRAY_ENDINGS))
