"""Files of formats that Pillow reads and does not write, and others that its encoders make, each of a few pixels."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator

import numpy as np
from makers import noise, saved
from PIL import Image, ImageFile

WRITTEN = {  # by Pillow: ending, format, modes, options
    ".avif": ("AVIF", ("L", "RGB", "RGBA"), {}),
    ".jp2": ("JPEG2000", ("L", "LA", "RGB", "RGBA", "CMYK", "I;16"), {}),
    ".qoi": ("QOI", ("RGB", "RGBA"), {}),
    ".ico": ("ICO", ("1", "L", "LA", "P", "RGB", "RGBA"), {"sizes": [(20, 18)]}),
    ".dds": ("DDS", ("L", "LA", "RGB", "RGBA"), {}),
    ".tga": ("TGA", ("1", "L", "LA", "P", "RGB", "RGBA"), {}),
    ".sgi": ("SGI", ("L", "RGB", "RGBA"), {}),
    ".pcx": ("PCX", ("1", "L", "P", "RGB"), {}),
    ".im": ("IM", ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"), {}),
    ".spi": ("SPIDER", ("F",), {}),
    ".blp": ("BLP", ("P",), {}),
    ".msp": ("MSP", ("1",), {}),
    ".xbm": ("XBM", ("1",), {}),
    ".dib": ("DIB", ("1", "L", "P", "RGB"), {}),
}


def of_mode(mode: str, rows: int = 18, columns: int = 20) -> Image.Image:
    """Noise in one of Pillow's modes."""
    if mode in ("1", "P"):
        grey = Image.fromarray(noise(rows, columns, 3, seed=3))
        return grey.convert("1") if mode == "1" else grey.quantize(9)
    if mode in ("I;16", "I", "F"):
        dtype = {"I;16": "uint16", "I": "int32", "F": "float32"}[mode]
        return Image.fromarray(noise(rows, columns, dtype="uint16").astype(dtype))
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (columns, rows), noise(rows, columns, channels).tobytes())


def written() -> Iterator[tuple[str, str, bytes]]:
    """Ending, mode and bytes of what Pillow writes."""
    for ending, (form, modes, options) in WRITTEN.items():
        for mode in modes:
            with warnings.catch_warnings(action="ignore"):  # Pillow will drop IM
                data = saved(of_mode(mode), form, **options)
            yield ending, mode, data
    yield ".tga", "RGB", saved(of_mode("RGB"), "TGA", compression="tga_rle")
    yield ".j2k", "RGB", saved(of_mode("RGB"), "JPEG2000", no_jp2=True)
    yield ".dds", "RGBA", saved(of_mode("RGBA"), "DDS", pixel_format="DXT5")
    yield ".icns", "RGBA", icns(of_mode("RGBA", 32, 32))
    yield ".ico", "RGBA", saved(of_mode("RGBA", 48, 48), "ICO", bitmap_format="bmp")


def only_read() -> Iterator[tuple[str, bytes, np.ndarray]]:
    """Ending, bytes and pixels of what Pillow only reads."""
    grey, colours = noise(2, 3), noise(2, 3, 3)
    dib = saved(Image.fromarray(colours), "DIB")
    double = dib[:8] + struct.pack("<i", 4) + dib[12:] + bytes(8)
    yield ".cur", struct.pack("<HHH4B2HII", 0, 2, 1, 3, 2, 0, 0, 0, 0, len(double), 22) + double, colours
    pcx = saved(Image.fromarray(grey), "PCX")
    yield ".dcx", struct.pack("<III", 0x3ADE68B1, 12, 0) + pcx, grey
    cards = ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 3", "NAXIS2  = 2", "END")
    header = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
    yield ".fits", header + grey[::-1].tobytes().ljust(2880, b"\0"), grey
    body = struct.pack("<IH", 12, 16) + grey.tobytes()
    frame = struct.pack("<IHHQ", 16 + len(body), 0xF1FA, 1, 0) + body
    start = struct.pack("<IHHHHHHI", 128 + len(frame), 0xAF12, 1, 3, 2, 8, 3, 50).ljust(128, b"\0")
    yield ".flc", start + frame, np.stack([grey] * 3, axis=2)
    yield (
        ".ftu",
        b"FTEX" + struct.pack("<8iI", 1, 3, 2, 1, 1, 1, 32, 0, 0)[:28] + struct.pack("<I", 18) + colours.tobytes(),
        colours,
    )
    yield ".gbr", struct.pack(">5I", 22, 1, 3, 2, 1) + b"a\0" + grey.tobytes(), grey
    yield ".imt", b"* a\nwidth 3\nheight 2\npixel n8\n\x0c" + grey.tobytes(), grey
    area = [0] * 64
    area[1], area[8], area[9], area[10], area[13], area[33] = 4, 2, 3, 1, 1, 256
    yield ".area", struct.pack(">64i", *area) + grey.tobytes(), grey
    pixar = bytearray(1024)
    pixar[:4] = b"\x80\xe8\0\0"
    struct.pack_into("<6H", pixar, 416, 2, 3, 0, 0, 14, 2)
    yield ".pxr", bytes(pixar) + colours.tobytes(), colours
    for kind, array in ((1, grey[:, :, None]), (3, colours)):
        planes = array.transpose(2, 0, 1).tobytes()
        head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, array.shape[2], 2, 3, 8, kind) + bytes(12)
        yield ".psd", head + b"\0\0" + planes, array[:, :, 0] if kind == 1 else array
    rows = np.concatenate([colours.reshape(2, 9), np.zeros((2, 1), np.uint8)], axis=1)
    yield ".ras", struct.pack(">8I", 0x59A66A95, 3, 2, 24, 20, 3, 0, 0) + rows.tobytes(), colours
    xpm = b'/* XPM */\nstatic char *a[] = {\n"2 1 2 1",\n"a c #0a0b0c",\n"b c #ff0080",\n"ab"};\n'
    yield ".xpm", xpm, np.array([[[10, 11, 12], [255, 0, 128]]], np.uint8)
    shades = np.array([[0, 255, 0b11100000]], np.uint8)
    seen = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    yield ".xv", b"P7 332\n#END_OF_COMMENTS\n3 1 255\n" + shades.tobytes(), seen


def icns(image: Image.Image) -> bytes:
    """An icon of 32×32 pixels, and one of 16×16."""
    entries = b""
    for kind, side in ((b"icp4", 16), (b"icp5", 32)):
        body = saved(image.resize((side, side)), "PNG")
        entries += kind + struct.pack(">I", len(body) + 8) + body
    return b"icns" + struct.pack(">I", len(entries) + 8) + entries


def opened_as(data: bytes, form: str) -> ImageFile.ImageFile:
    """What Pillow reads in a file, taken for one of a format."""
    Image.init()
    image = Image.open(io.BytesIO(data), formats=[form])
    image.load()
    return image
