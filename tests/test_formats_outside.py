"""Files of other programs, and files for them: the command's pixels are plain sums over those that others see."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import oracle
import pytest
import tifffile
from click.testing import CliRunner
from makers import adam7, noise, png16, saved
from PIL import Image

from imgconv.cli import cli

# over 8, so that every sum of 8- and 16-bit samples is exact in whatever order it is added
WEIGHTS = np.array([[1, 0, 2], [0, -3, 1], [4, 1, 0], [0, 2, -1], [1, 0, 1]])
KERNEL = "; ".join(" ".join(map(str, row)) for row in WEIGHTS)
SCALE = 8.0
SIZES = [(1, 1), (1, 7), (7, 1), (5, 3), (34, 29)]
STRIP_BYTES = 2**22  # a larger result goes in strips
KINDS = {
    "L": ("uint8", ()), "LA": ("uint8", (2,)), "RGB": ("uint8", (3,)), "RGBA": ("uint8", (4,)),
    "L16": ("uint16", ()), "LA16": ("uint16", (2,)), "RGB16": ("uint16", (3,)), "RGBA16": ("uint16", (4,)),
    "I": ("int32", ()), "F": ("float32", ()), "D": ("float64", (3,)), "B": ("int8", ()), "five": ("int16", (5,)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # what takes the time of thousands of small files


@cache
def samples(kind: str, rows: int, columns: int) -> np.ndarray:
    dtype, channels = KINDS[kind]
    array = noise(rows, columns, *channels, dtype="uint16" if dtype == "uint16" else "uint8").astype(dtype)
    array.flags.writeable = False
    return array


def small(kinds: str) -> dict[str, np.ndarray]:
    """Arrays of every size, by names for files."""
    return {f"{kind}_{'x'.join(map(str, size))}": samples(kind, *size) for kind in kinds.split() for size in SIZES}


def plain(array: np.ndarray, weights: np.ndarray = WEIGHTS, **options) -> np.ndarray:
    """The sums by the definition, cut to the samples' range."""
    wide = np.dtype("int32") if array.dtype in (np.int8, np.int16) else array.dtype
    found = oracle.correlate(array.reshape(*array.shape[:2], -1).astype(wide), weights, SCALE, **options)
    if array.dtype != wide:
        found = np.clip(found, np.iinfo(array.dtype).min, np.iinfo(array.dtype).max).astype(array.dtype)
    return found.reshape(*found.shape[:2], *array.shape[2:])


def applied(folder: Path, files: dict[str, bytes], ending: str, *options: str, kernel: str = KERNEL) -> str:
    """Runs the command on files by name, whose results go to "out" under the same names; gives what it says."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "out").mkdir()
    words = ["apply", *(str(folder / name) for name in files), "-k", kernel, "--scale", str(SCALE), *options, "-v"]
    words += ["-o", f"{folder}/out/{{stem}}.{ending}"]
    done = CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)
    assert done.return_value == 0, done.stderr
    return done.stdout


# who else reads files


def by_pillow(path: Path | io.BytesIO, mode: str | None = None) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert(mode) if mode else image)


def as_grey(path: Path) -> np.ndarray:
    return by_pillow(path, "L")


def as_colour(path: Path) -> np.ndarray:
    return by_pillow(path, "RGB")


def by_opencv(path: Path) -> np.ndarray:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return found if found.ndim == 2 else found[:, :, [2, 1, 0, 3][: found.shape[2]]]


def by_opencv_as_two(path: Path) -> np.ndarray:
    """Grey with alpha, which OpenCV widens."""
    return by_opencv(path)[:, :, [0, 3]]


def by_vips(path: Path) -> np.ndarray:
    subprocess.run(["vips", "rawsave", path, path.with_suffix(".raw")], check=True, capture_output=True)
    like = by_opencv(path)
    return np.fromfile(path.with_suffix(".raw"), like.dtype).reshape(like.shape)


def by_numpy(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path)
    return np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2)


# who else writes files


def pillow(form: str, mode: str | None = None, **options):
    return lambda array: saved(Image.fromarray(array, mode), form, **options)


def converted(form: str, how):
    return lambda array: saved(how(Image.fromarray(array)), form)


def opencv(ending: str, *options: int):
    def encoded(array: np.ndarray) -> bytes:
        given = array if array.ndim == 2 else array[:, :, [2, 1, 0, 3][: array.shape[2]]]
        return cv2.imencode(ending, given, options)[1].tobytes()

    return encoded


def tiff(**options):
    def encoded(array: np.ndarray) -> bytes:
        file, channels = io.BytesIO(), array.shape[2] if array.ndim == 3 else 1
        told = {"photometric": "rgb" if channels > 2 else "minisblack", "metadata": None, **options}
        if channels in (2, 4):
            told = {"extrasamples": ["unassalpha"], "planarconfig": "contig", **told}
        planes = told.get("planarconfig") == "separate"
        tifffile.imwrite(file, np.moveaxis(array, 2, 0) if planes else array, **told)
        return file.getvalue()

    return encoded


def npy(array: np.ndarray, order: str = "C", version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array, order=order), version)
    return file.getvalue()


def pnm(array: np.ndarray) -> bytes:
    letter, top = b"6" if array.ndim == 3 else b"5", b"%d" % np.iinfo(array.dtype).max
    size = b"%d #\n%d" % array.shape[1::-1]
    return b"P%s %s %s\n" % (letter, size, top) + array.astype(array.dtype.newbyteorder(">")).tobytes()


COLOURS = "L RGB RGBA L16 RGB16 RGBA16"
SAMPLES = "L LA RGB RGBA L16 LA16 RGB16 RGBA16 F I"
FILES = {
    "png by Pillow": (pillow("PNG", compress_level=1), "L LA RGB RGBA L16"),
    "png, small": (pillow("PNG", optimize=True), "L LA RGB RGBA"),
    "png by OpenCV": (opencv(".png"), COLOURS),
    "png by OpenCV, coded by runs": (opencv(".png", cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE), COLOURS),
    "png 16": (png16, "L16 LA16 RGB16 RGBA16"),
    "png, interlaced": (adam7, "L16 LA16 RGB16 RGBA16"),
    "tif by OpenCV": (opencv(".tif"), COLOURS + " F"),
    "tif by OpenCV, not packed": (opencv(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 1), COLOURS),
    "tif, rows alone": (tiff(rowsperstrip=1), SAMPLES),
    "tif in strips of 7": (tiff(rowsperstrip=7), SAMPLES),
    "tif, large end first": (tiff(byteorder=">", rowsperstrip=5), SAMPLES),
    "tif, deflated strips": (tiff(compression="zlib", rowsperstrip=7), COLOURS),
    "tif, deflated differences": (tiff(compression="zlib", predictor=True), COLOURS),
    "tif in planes": (tiff(planarconfig="separate"), "RGB RGB16 RGBA16"),
    "tif in tiles": (tiff(tile=(16, 32)), COLOURS),
    "tif, big": (tiff(bigtiff=True), "L RGB RGBA L16"),
    "webp": (pillow("WEBP", lossless=True, exact=True), "RGB RGBA"),
    "bmp by Pillow": (pillow("BMP"), "L RGB"),
    "bmp by OpenCV": (opencv(".bmp"), "L RGB"),
    "ppm by Pillow": (pillow("PPM"), "L RGB L16"),
    "ppm by OpenCV": (opencv(".ppm"), "RGB RGB16"),
    "ppm with remarks": (pnm, "L RGB L16 RGB16"),
    "npy": (npy, " ".join(KINDS)),
    "npy of version 2": (lambda array: npy(array, version=(2, 0)), " ".join(KINDS)),
    "npy by columns": (lambda array: npy(array, "F"), " ".join(KINDS)),
} | {
    f"tif by Pillow, {packed}": (pillow("TIFF", compression=packed), "L LA RGB RGBA L16 I F")
    for packed in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma")
}  # fmt: skip
SEEN = {  # what is not as it was given, and who shows how it is
    "jpg by Pillow": (pillow("JPEG"), "L RGB", by_pillow),
    "jpg, progressive": (pillow("JPEG", progressive=True, subsampling=1, quality=60), "L RGB", by_pillow),
    "jpg of inks": (pillow("JPEG", "CMYK"), "RGBA", by_pillow),
    "jpg by OpenCV": (opencv(".jpg"), "L RGB", by_pillow),
    "webp": (pillow("WEBP", quality=70), "RGB RGBA", by_pillow),
    "gif": (pillow("GIF"), "L RGB", as_colour),
    "png of a palette": (converted("PNG", lambda image: image.quantize(50)), "RGB", as_colour),
    "png of two levels": (converted("PNG", lambda image: image.convert("1")), "L", as_grey),
    "tif with a jpeg": (pillow("TIFF", compression="jpeg"), "L RGB", by_pillow),
    "tif of inks": (pillow("TIFF", "CMYK", compression="tiff_lzw"), "RGBA", by_pillow),
}  # fmt: skip
PACKED = [f"compression={name}" for name in ("none", "lzw", "deflate", "packbits")]
WRITTEN = [
    ("png", by_pillow, "L LA RGB RGBA L16", ["compress_level=6"]),
    ("png", by_opencv, COLOURS, ["compress_level=0", "compress_level=1", "optimize=true"]),
    ("png", by_opencv_as_two, "LA LA16", ["compress_level=9"]),
    ("tif", by_pillow, "L LA RGB RGBA L16 I F", [*PACKED, "compression=zstd", "compression=lzma"]),
    ("tif", by_opencv, "L RGB L16 RGB16 RGBA16 F", PACKED),
    ("tif", tifffile.imread, "LA16 RGB16 RGBA16", ["compression=none", "compression=deflate"]),
    ("ppm", by_opencv, "L RGB L16 RGB16", [""]),
    ("bmp", by_pillow, "L RGB", [""]),
    ("bmp", by_opencv, "RGB", [""]),
    ("webp", by_pillow, "RGB RGBA", ["lossless=true", "method=6"]),
    ("gif", as_grey, "L", [""]),
    ("npy", by_numpy, " ".join(KINDS), [""]),
    ("txt", by_numpy, "L L16 I F B", [""]),
    ("csv", by_numpy, "L L16 I F B", [""]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "reader", "kinds", "told"),
    [pytest.param(*row[:3], told, id=f"{row[0]} {row[1].__name__} {told}") for row in WRITTEN for told in row[3]],
)
def test_others_see_the_sums(tmp_path, ending, reader, kinds, told):
    arrays = small(kinds)
    applied(tmp_path, {f"{name}.npy": npy(array) for name, array in arrays.items()}, ending, *co(told))
    for name, array in arrays.items():
        found, expected = reader(tmp_path / "out" / f"{name}.{ending}"), plain(array)
        assert found.dtype == expected.dtype or ending in ("txt", "csv"), name
        np.testing.assert_array_equal(found, expected, name)
    if ending == "png" and shutil.which("pngcheck"):
        subprocess.run(["pngcheck", "-q", *(tmp_path / "out").iterdir()], check=True)
    for path in (tmp_path / "out").iterdir() if ending == "tif" and shutil.which("tiffinfo") else ():
        assert subprocess.run(["tiffinfo", "-D", path], capture_output=True, check=True).stderr == b""


def co(*pairs: str) -> list[str]:
    return [word for pair in pairs if pair for word in ("--co", pair)]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"quality": 95, "subsampling": 0}, []),
        ({"quality": 60, "subsampling": 2}, co("quality=60", "subsampling=4:2:0")),
        ({"quality": 80, "subsampling": 1}, co("quality=80", "subsampling=4:2:2")),
        ({"quality": 95, "subsampling": 0, "progressive": True}, co("progressive=true")),
    ],
)
def test_a_jpeg_has_the_pixels_of_pillows_own(tmp_path, told, words):
    arrays = small("L RGB") | {"L_large": samples("L", 1100, 1003), "RGB_large": samples("RGB", 1100, 1003)}
    applied(tmp_path, {f"{name}.npy": npy(array) for name, array in arrays.items()}, "jpg", *words)
    for name, array in arrays.items():
        expected = by_pillow(io.BytesIO(saved(Image.fromarray(plain(array)), "JPEG", **told)))
        np.testing.assert_array_equal(by_pillow(tmp_path / "out" / f"{name}.jpg"), expected, name)


@pytest.mark.parametrize("way", FILES)
def test_the_sums_over_what_others_wrote(tmp_path, way):
    encoded, kinds = FILES[way]
    arrays = small(kinds)
    files = {f"{name}.{way[:3]}": encoded(array) for name, array in arrays.items()}
    applied(tmp_path, files, "npy", "--alpha", "straight")
    for name, array in arrays.items():
        found, expected = np.load(tmp_path / "out" / f"{name}.npy"), plain(array)
        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found, expected, name)


@pytest.mark.parametrize("way", SEEN)
def test_the_sums_over_what_others_see(tmp_path, way):
    encoded, kinds, reader = SEEN[way]
    files = {f"{name}.{way[:3]}": encoded(array) for name, array in small(kinds).items()}
    applied(tmp_path, files, "npy", "--alpha", "straight")
    for name in files:
        found = np.load(tmp_path / "out" / f"{name[:-4]}.npy")
        np.testing.assert_array_equal(found, plain(reader(tmp_path / name)), name)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "I", "F", "LA"])
def test_a_tiff_of_any_mode_comes_back_as_pillow_sees_it(tmp_path, mode):
    kind = {"CMYK": "RGBA", "YCbCr": "RGB", "LAB": "RGB"}.get(mode, mode)
    large = samples(kind, *size_of(kind))
    for packed in ("raw", "tiff_lzw", "tiff_adobe_deflate"):
        arrays = small(kind) | ({} if packed == "tiff_adobe_deflate" else {"large": large})
        files = {f"{name}.tif": pillow("TIFF", mode, compression=packed)(array) for name, array in arrays.items()}
        (tmp_path / packed).mkdir()
        applied(tmp_path / packed, files, "tif", "--scale", "1", kernel="1")
        for name in files:
            with Image.open(tmp_path / packed / name) as before, Image.open(tmp_path / packed / "out" / name) as after:
                assert (after.mode, after.info["compression"]) == (before.mode, packed)
                np.testing.assert_array_equal(np.asarray(after), np.asarray(before), name)


# large pictures, which go in strips


def size_of(kind: str, stride: int = 1) -> tuple[int, int]:
    """One at which the result is two strips, or three where samples have more than 8 bits."""
    dtype, channels = KINDS[kind]
    pixel = np.dtype(dtype).itemsize * int(np.prod(channels))
    return int(STRIP_BYTES * (2.3 if np.dtype(dtype).itemsize > 1 else 1.2)) * stride // (1003 * pixel), 1003


def linear(array: np.ndarray) -> np.ndarray:
    """The sums in linear light, by the sRGB standard's formulas."""
    top = np.iinfo(array.dtype).max
    x = np.arange(top + 1) / top
    levels = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    light = oracle.correlate(levels[array], WEIGHTS, SCALE).clip(0, 1)
    back = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.floor(back * top + 0.5).astype(array.dtype)


def weighed(array: np.ndarray) -> np.ndarray:
    """Means of colours, weighed by alpha, times what the kernel does to an even surface."""
    x = array.astype(float)
    sums = oracle.correlate(np.dstack([x[:, :, :-1] * x[:, :, -1:], x[:, :, -1:]]), WEIGHTS, SCALE)
    colour, cover = sums[:, :, :-1] * WEIGHTS.sum() / SCALE, sums[:, :, -1:]
    colour = np.divide(colour, cover, out=np.zeros_like(colour), where=cover != 0)
    return np.floor(np.dstack([colour, cover]) + 0.5).clip(0, np.iinfo(array.dtype).max).astype(array.dtype)


def spread(array: np.ndarray) -> np.ndarray:
    """Sums of taps that are nine rows apart."""
    weights = np.zeros((37, 3))
    weights[::9] = WEIGHTS
    return plain(array, weights)


WAYS = {
    "": plain,
    "--border reflect --offset 3": lambda array: plain(array, border="reflect", offset=3.0),
    "--border symmetric": lambda array: plain(array, border="symmetric"),
    "--padding valid": lambda array: plain(array, padding="valid"),
    "--padding full --border constant:9": lambda array: plain(array, border="constant", outside=9, padding="full"),
    "--stride 2,1": lambda array: plain(array)[::2],
    "--dilation 9,1": spread,
    "--linear": linear,
    "--alpha premultiply": weighed,
    "--alpha straight -t 1": plain,
    "again": lambda array: plain(plain(array)),
}
NEARLY = ("--linear", "--alpha premultiply")  # sums that are not exact: where they are rounded is not told
LARGE = [
    ("npy", "RGB", "", "png", by_opencv),
    ("npy", "L", "--padding valid", "png", by_pillow),
    ("npy", "RGBA16", "--dilation 9,1", "png", by_opencv),
    ("npy", "RGB", "--stride 2,1", "tif", by_opencv),
    ("npy", "D", "--border reflect --offset 3", "npy", by_numpy),
    ("npy", "F", "", "tif", by_pillow),
    ("png by OpenCV", "RGB16", "", "npy", by_numpy),
    ("png by Pillow", "RGB", "again", "png", by_opencv),
    ("png by OpenCV", "RGBA", "--alpha premultiply", "png", by_opencv),
    ("png by OpenCV", "RGB", "--linear", "tif", by_opencv),
    ("png 16", "LA16", "--alpha straight -t 1", "npy", by_numpy),
    ("ppm with remarks", "RGB16", "--padding full --border constant:9", "ppm", by_opencv),
    ("ppm by Pillow", "L", "--dilation 9,1", "ppm", by_pillow),
    ("ppm by OpenCV", "RGB16", "", "png", by_vips),
    ("tif in strips of 7", "RGB", "", "jpg", by_pillow),
    ("tif in strips of 7", "L16", "--border symmetric", "png", by_opencv),
    ("tif by Pillow, raw", "RGBA", "--alpha premultiply", "tif", by_pillow),
    ("tif by Pillow, tiff_lzw", "RGB", "--border reflect --offset 3", "tif", by_pillow),
    ("tif by Pillow, tiff_adobe_deflate", "RGB", "--stride 2,1", "npy", by_numpy),
    ("tif, large end first", "F", "again", "npy", by_numpy),
    ("tif, deflated strips", "RGB", "", "tif", by_vips),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "way", "ending", "reader"), LARGE)
def test_a_large_picture_in_strips(tmp_path, name, kind, way, ending, reader):
    if reader is by_vips and not shutil.which("vips"):
        pytest.skip("vips is not installed")
    array, source = samples(kind, *size_of(kind, 2 if "--stride" in way else 1)), f"a.{name[:3]}"
    options = ["-k", KERNEL] if way == "again" else way.split()
    assert "in strips of" in applied(tmp_path, {source: FILES[name][0](array)}, ending, *options)
    found, expected = reader(tmp_path / "out" / f"a.{ending}"), WAYS[way](array)
    if ending == "jpg":
        expected = by_pillow(io.BytesIO(saved(Image.fromarray(expected), "JPEG", quality=95, subsampling=0)))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if way in NEARLY:
        off = found != expected
        assert off.mean() < 1e-3
        expected[off] = np.clip(found[off], np.maximum(expected[off], 1) - 1, np.minimum(expected[off], 254) + 1)
    np.testing.assert_array_equal(found, expected)
