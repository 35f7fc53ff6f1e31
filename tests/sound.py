"""Small sound files of every format, mode, compression, depth and layout, made anew."""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import rare
import tifffile
from makers import adam7, chunk, exif, noise, png, png16, saved, smooth, tiff
from PIL import Image


class Seed(NamedTuple):
    """A sound file: what it is for, its ending and its bytes."""

    role: str
    ending: str
    data: bytes


def seeds() -> list[Seed]:
    """Small files of every format, mode, compression, depth and layout."""
    found = [Seed("picture", ending, data) for ending, data in pictures()]
    found += [Seed("kernel", ending, data) for ending, data in kernels()]
    return found + [Seed("mask", ending, data) for ending, data in masks()]


def pictures() -> Iterator[tuple[str, bytes]]:
    modes = {mode: of_mode(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F")}
    said = {"exif": exif(orientation=6), "icc_profile": bytes(range(256)), "dpi": (300, 200)}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield ".png", saved(modes[mode], "PNG", **said)
    yield ".png", saved(modes["P"], "PNG", transparency=bytes(range(9)))
    yield ".png", saved(modes["L"], "PNG", transparency=7)
    yield ".png", saved(modes["RGB"], "PNG", save_all=True, append_images=[modes["RGB"].transpose(1)])
    for depth, kind in ((1, 0), (2, 0), (4, 0), (1, 3), (2, 3), (4, 3)):
        extra = [chunk(b"PLTE", bytes(range(3 * 2**depth)))] if kind else [chunk(b"tRNS", b"\0\1")]
        yield ".png", png(8, 3, depth, kind, (b"\0" + bytes(range(depth))) * 3, *extra)
    texts = (chunk(b"tEXt", b"Title\0a"), chunk(b"zTXt", b"Title\0\0" + zlib.compress(b"a" * 99)),
             chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"), chunk(b"gAMA", b"\0\0\xb1\x8f"),
             chunk(b"bKGD", b"\0\1"), chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"icc")),
             chunk(b"pHYs", b"\0\0\1\0\0\0\1\0\1"), chunk(b"iTXt", b"Comment\0\0\0\0\0a"),
             chunk(b"tEXt", b"Raw profile type exif\0\nexif\n8\n49492a00080000000000"),
             chunk(b"zTXt", b"Raw profile type 8bim\0\0" + zlib.compress(b"\n8bim\n4\n3842494d")))  # fmt: skip
    yield ".png", png(4, 3, 8, 0, b"\0abcd\1efgh\2ijkl", *texts)
    for channels in ([], [2], [3], [4]):
        yield ".png", png16(noise(5, 6, *channels, dtype="uint16"))
        yield ".png", adam7(noise(9, 7, *channels, dtype="uint16"))
        yield ".tif", tiff(noise(5, 6, *channels, dtype="uint16"))
    for mode in ("L", "RGB", "CMYK"):
        yield ".jpg", saved(modes[mode], "JPEG", **said)
        yield ".jpg", saved(modes[mode], "JPEG", progressive=True, quality=30)
    yield ".jpg", saved(modes["RGB"], "JPEG", subsampling=2, restart_marker_blocks=1, comment=b"comment")
    yield ".jpg", saved(modes["RGB"], "MPO", save_all=True, append_images=[modes["RGB"]])
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"):
        yield ".tif", saved(modes[mode], "TIFF", **said)
    yield ".tif", saved(modes["RGB"].convert("LAB"), "TIFF")
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma", "tiff_ccitt", "group4"):
        mode = "1" if compression in ("tiff_ccitt", "group4") else "RGB"
        yield ".tif", saved(modes[mode], "TIFF", compression=compression)
    yield ".tif", saved(modes["RGB"], "TIFF", save_all=True, append_images=[modes["L"]])
    yield ".tif", saved(modes["RGB"], "TIFF", big_tiff=True)
    for options in (
        {"tile": (16, 16)}, {"tile": (16, 16), "compression": "zlib"}, {"rowsperstrip": 1, "compression": "zlib"},
        {"planarconfig": "separate"}, {"byteorder": ">"}, {"bigtiff": True}, {"rowsperstrip": 2},
    ):  # fmt: skip
        for dtype in ("uint8", "uint16"):
            array = noise(17, 18, 3, dtype=dtype)
            array = np.moveaxis(array, 2, 0) if "planarconfig" in options else array
            file = io.BytesIO()
            tifffile.imwrite(file, array, photometric="rgb", **options)
            yield ".tif", file.getvalue()
    for mode in ("RGB", "RGBA"):
        yield ".webp", saved(modes[mode], "WEBP", exif=exif(orientation=3))
        yield ".webp", saved(modes[mode], "WEBP", lossless=True)
    yield ".webp", saved(modes["RGB"], "WEBP", save_all=True, append_images=[modes["RGB"].transpose(0)])
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield ".bmp", saved(modes[mode], "BMP")
    for mode in ("1", "L", "RGB", "I;16"):
        yield ".ppm", saved(modes[mode], "PPM")
    yield ".ppm", b"P6 3 2 65535\n" + bytes(range(36))
    yield ".pgm", b"P2\n# comment\n3 2\n15\n1 2 3\n4 5 15\n"
    yield ".ppm", b"P3 2 1 255 1 2 3 4 5 6\n"
    yield ".pbm", b"P1 3 2 1 0 1 0 1 0\n"
    for mode in ("L", "P", "RGBA"):
        yield ".gif", saved(modes[mode], "GIF")
    yield ".gif", saved(modes["P"], "GIF", save_all=True, append_images=[modes["P"].transpose(1)], transparency=3)
    with contextlib.suppress(ImportError):
        import pillow_heif

        for mode, channels, dtype in (("L", (), "uint8"), ("RGBA", (4,), "uint8"), ("RGB;16", (3,), "uint16")):
            file = io.BytesIO()
            pillow_heif.encode(mode, (20, 18), noise(18, 20, *channels, dtype=dtype).tobytes(), file)
            yield ".heic", file.getvalue()
    for ending, _mode, data in rare.written():
        yield ending, data
    for ending, data, _pixels in rare.only_read():
        yield ending, data
    yield from arrays()


def of_mode(mode: str) -> Image.Image:
    if mode == "P":
        return Image.fromarray(noise(6, 7, 3)).quantize(9)
    if mode in ("I;16", "I", "F"):
        dtype = {"I;16": "uint16", "I": "int32", "F": "float32"}[mode]
        return Image.fromarray(noise(6, 7, dtype="uint16").astype(dtype))
    return Image.fromarray(smooth(18, 20)).convert(mode)


def arrays() -> Iterator[tuple[str, bytes]]:
    for dtype in ("|b1", "|u1", "<i2", ">u2", "<f2", ">f4", "<f8", "<i8", "<u8", "<f16"):
        for array in (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(24).reshape(2, 3, 4))):
            file = io.BytesIO()
            np.lib.format.write_array(file, array.astype(dtype), version=(2, 0) if dtype == "<f8" else None)
            yield ".npy", file.getvalue()
    yield ".txt", b"# comment\n1 2.5 -3e2\n4 1/3 6\n"
    yield ".csv", b"\xef\xbb\xbf1,2,3\r\n4,5,6\r\n"


def kernels() -> Iterator[tuple[str, bytes]]:
    yield (
        ".toml",
        (
            b'about = "a"\ntitle = "b"\nsource = "c"\nscale = 2\noffset = 1.5\nanchor = [0, 1]\nborder = "constant:3"\n'
            b'like = "pillow"\nweights = [[1, 2, 3], [4, 5, 6]]\n'
        ),
    )
    yield ".toml", b"weights = [[[[1.0, 2], [3, 4]]], [[[5, 6], [7, 8]]]]\n"
    yield ".json", b'{"weights": [[1, 2, 3], [4, 5, 6]], "scale": 2, "border": "wrap", "anchor": [1, 1]}'
    yield ".json", b"[[1, 2], [3, 4]]"
    yield ".txt", b"1 2 3\n4 5 6\n"
    yield ".csv", b"1,2,3\n4,5,6\n"
    yield ".mat", b"3 2 9 0.5\n1 2 3\n4 5 6\n"
    yield ".im", b"3x3+0+2: 0,-1,0 -1,5,-1 0,nan,-"
    yield ".im", b"3x3>: 1,2,3,4,5,6,7,8,9; 3x1<: 1 2 3"
    yield ".kernel", b"3x3@: 1,2,3,4,5,6,7,8,9"
    yield ".ffmpeg", b"convolution='0m=0 -1 0 -1 5 -1 0 -1 0:0rdiv=1/9:0bias=3'"
    yield ".ffmpeg", b"0m=1 2 3 4 5:0mode=column:0rdiv=0.2"
    yield ".gmic", b"(0,1,0;1,-4,1;0,1,0)"
    yield ".png", saved(Image.fromarray(noise(3, 5)), "PNG")
    yield ".png", png16(noise(3, 3, dtype="uint16"))
    yield ".png", saved(Image.fromarray(noise(3, 5) > 127), "PNG")
    yield ".pgm", b"P2 3 2 15 1 2 3 4 5 15\n"
    yield ".pgm", b"P5\n# comment\n3 2\n300\n" + bytes([1, 0] * 6)
    for ending, data in arrays():
        if ending == ".npy":
            yield ending, data


def masks() -> Iterator[tuple[str, bytes]]:
    for mode in ("1", "L", "I;16"):
        yield ".png", saved(of_mode(mode).resize((7, 6)), "PNG")
    yield ".png", saved(Image.fromarray(noise(6, 7)).convert("RGBA"), "PNG")
    yield ".jpg", saved(Image.fromarray(noise(6, 7)), "JPEG")
    for dtype in ("<f4", "|u1", "|b1", ">f8"):
        file = io.BytesIO()
        np.save(file, (noise(6, 7) > 127).astype(dtype))
        yield ".npy", file.getvalue()
    yield ".txt", b"0 0.5 1 0 0.5 1 0\n" * 6
