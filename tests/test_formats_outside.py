"""Files of other programs, and files for them: the command's pixels are plain sums over those that others see."""

from __future__ import annotations

import io
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
from makers import adam7, exif, noise, png16, saved
from PIL import Image

from imgconv.cli import cli

# over 8, so that every sum of 8- and 16-bit samples is exact in whatever order it is added
WEIGHTS = np.array([[1, 0, 2], [0, -3, 1], [4, 1, 0], [0, 2, -1], [1, 0, 1]])
KERNEL = "; ".join(" ".join(map(str, row)) for row in WEIGHTS)
SCALE = 8.0
SIZES = [(1, 1), (1, 7), (7, 1), (5, 3), (34, 29)]
STRIP_BYTES = 2**22  # a larger result goes in strips
pytestmark = pytest.mark.usefixtures("quick_disk")
KINDS = {
    "L": ("uint8", ()), "LA": ("uint8", (2,)), "RGB": ("uint8", (3,)), "RGBA": ("uint8", (4,)),
    "L16": ("uint16", ()), "LA16": ("uint16", (2,)), "RGB16": ("uint16", (3,)), "RGBA16": ("uint16", (4,)),
    "I": ("int32", ()), "F": ("float32", ()), "D": ("float64", (3,)), "B": ("int8", ()), "five": ("int16", (5,)),
    "H": ("float16", ()),
}  # fmt: skip


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
    wide = {"int8": "int32", "int16": "int32", "float16": "float32"}.get(array.dtype.name, array.dtype)
    found = oracle.correlate(array.reshape(*array.shape[:2], -1).astype(wide), weights, SCALE, **options)
    if array.dtype.kind == "i":
        found = found.clip(np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
    return found.astype(array.dtype).reshape(*found.shape[:2], *array.shape[2:])


def sums(array: np.ndarray) -> np.ndarray:
    """The sums as they are, in three dimensions."""
    return oracle.correlate(array.reshape(*array.shape[:2], -1).astype(float), WEIGHTS, SCALE)


def cut(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.floor(values + 0.5).clip(0, np.iinfo(dtype).max).astype(dtype)


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


def converted(form: str, how, **options):
    return lambda array: saved(how(Image.fromarray(array)), form, **options)


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
    "npy of version 2": (lambda array: npy(array, version=(2, 0)), "L RGB16 F"),
    "npy, large end first": (lambda array: npy(array.astype(array.dtype.newbyteorder(">"))), " ".join(KINDS)),
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
    "tif of a palette": (converted("TIFF", lambda image: image.quantize(50)), "RGB", as_colour),
    "tif of two levels": (converted("TIFF", lambda image: image.convert("1")), "L", as_grey),
    "tif of a fax": (converted("TIFF", lambda image: image.convert("1"), compression="group4"), "L", as_grey),
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


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("ending", ["png", "tif", "jpg", "webp"])
def test_what_a_file_says_of_itself_is_there_for_pillow(tmp_path, form, ending):
    told = {"exif": exif().tobytes(), "icc_profile": b"profile " * 9, "dpi": (300, 200)}
    for mode in ("RGB", "L") if "WEBP" not in (form, ending.upper()) else ("RGB",):
        file = {"a.bin": saved(Image.fromarray(samples(mode, 34, 29)), form, **told)}
        (tmp_path / mode).mkdir()
        applied(tmp_path / mode, file, ending)
        with Image.open(tmp_path / mode / "out" / f"a.{ending}") as image:
            assert image.info["icc_profile"] == told["icc_profile"]
            assert image.getexif()[271] == "maker"
            assert image.getexif().get_ifd(0x8769)[0x829D] == pytest.approx(2.8)
            if "WEBP" not in (form, ending.upper()):
                assert image.info["dpi"] == pytest.approx((300, 200), abs=0.1)


def size_of(kind: str, stride: int = 1) -> tuple[int, int]:
    """One at which the result is two strips, or three where samples have more than 8 bits."""
    dtype, channels = KINDS[kind]
    pixel = np.dtype(dtype).itemsize * int(np.prod(channels))
    return int(STRIP_BYTES * (2.3 if np.dtype(dtype).itemsize > 1 else 1.2)) * stride // (1003 * pixel), 1003


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "I", "F", "LA"])
def test_a_tiff_of_any_mode_comes_back_as_pillow_sees_it(tmp_path, mode):
    kind = {"CMYK": "RGBA", "YCbCr": "RGB", "LAB": "RGB"}.get(mode, mode)
    large = samples(kind, *size_of(kind))
    for packed in ("raw", "tiff_lzw", "tiff_adobe_deflate"):
        arrays = small(kind) | ({"large": large} if packed == "tiff_lzw" else {})
        files = {f"{name}.tif": pillow("TIFF", mode, compression=packed)(array) for name, array in arrays.items()}
        (tmp_path / packed).mkdir()
        applied(tmp_path / packed, files, "tif", "--scale", "1", kernel="1")
        for name in files:
            with Image.open(tmp_path / packed / name) as before, Image.open(tmp_path / packed / "out" / name) as after:
                assert (after.mode, after.info["compression"]) == (before.mode, packed)
                np.testing.assert_array_equal(np.asarray(after), np.asarray(before), name)


# in strips


def linear(array: np.ndarray) -> np.ndarray:
    """The sums in linear light, by the sRGB standard's formulas."""
    top = np.iinfo(array.dtype).max
    x = np.arange(top + 1) / top
    levels = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    light = sums(levels[array]).clip(0, 1)
    back = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return cut(back * top, array.dtype)


def weighed(array: np.ndarray) -> np.ndarray:
    """Means of colours, weighed by alpha, times what the kernel does to an even surface."""
    x = array.astype(float)
    total = sums(np.dstack([x[:, :, :-1] * x[:, :, -1:], x[:, :, -1:]]))
    colour, cover = total[:, :, :-1] * WEIGHTS.sum() / SCALE, total[:, :, -1:]
    colour = np.divide(colour, cover, out=np.zeros_like(colour), where=cover != 0)
    return cut(np.dstack([colour, cover]), array.dtype)


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
    f"-k {KERNEL}": lambda array: plain(plain(array)),
    f"-k {KERNEL} --combine hypot": lambda array: cut(abs(sums(array)) * 2**0.5, array.dtype),
    "--after abs": lambda array: cut(abs(sums(array)), array.dtype),
    "--after offset128": lambda array: cut(sums(array) + 128, array.dtype),
    "--after float": lambda array: sums(array).astype(np.float32),
    "--channels sum": lambda array: cut(sums(array).sum(axis=2, keepdims=True), array.dtype),
    "--channels g": lambda array: np.dstack([array[:, :, 0], plain(array)[:, :, 1], array[:, :, 2]]),
    "--bias 1,2,3": lambda array: cut(sums(array) + np.arange(1, 4), array.dtype),
}
NEARLY = ("--linear", "--alpha premultiply", f"-k {KERNEL} --combine hypot")  # rounded from sums that are not exact


def options_of(way: str) -> list[str]:
    return ["-k", KERNEL, *way.split(KERNEL)[1].split()] if KERNEL in way else way.split()


def check(found: np.ndarray, array: np.ndarray, way: str, seen=None) -> None:
    expected = WAYS[way](array)
    if seen is not None:
        expected = seen(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if way in NEARLY:
        off = found != expected
        assert off.mean() < 1e-3
        expected[off] = np.clip(found[off], np.maximum(expected[off], 1) - 1, np.minimum(expected[off], 254) + 1)
    np.testing.assert_array_equal(found, expected)


@pytest.fixture
def _few_bytes(monkeypatch):
    monkeypatch.setattr("imgconv.recipe.strips.STRIP_BYTES", 300)


@pytest.mark.usefixtures("_few_bytes")
@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_strips(tmp_path, way):
    array = samples("RGBA" if "--alpha" in way else "RGB", 131, 23)
    assert "in strips of" in applied(tmp_path, {"a.png": opencv(".png")(array)}, "npy", *options_of(way))
    check(np.load(tmp_path / "out" / "a.npy"), array, way)


@pytest.mark.usefixtures("_few_bytes")
@pytest.mark.parametrize("border", [*oracle.PAD_MODES])
@pytest.mark.parametrize("padding", ["same", "valid", "full"])
@pytest.mark.parametrize("anchor", [None, (0, 0), (4, 1)])
def test_every_border_in_strips(tmp_path, border, padding, anchor):
    arrays = {f"{kind}_{rows}": samples(kind, rows, 23) for kind in ("L", "RGB16", "I", "F", "D") for rows in (5, 31)}
    outside = 9 if border == "constant" else 0
    words = ["--border", f"{border}:9" if outside else border, "--padding", padding]
    words += ["--anchor", f"{anchor[0]},{anchor[1]}"] if anchor else []
    applied(tmp_path, {f"{name}.npy": npy(array) for name, array in arrays.items()}, "npy", *words)
    for name, array in arrays.items():
        expected = plain(array, border=border, padding=padding, outside=outside, anchor=anchor)
        np.testing.assert_array_equal(np.load(tmp_path / "out" / f"{name}.npy"), expected, name)


@pytest.mark.usefixtures("_few_bytes")
@pytest.mark.parametrize("border", ["edge", "reflect", "symmetric", "constant"])
@pytest.mark.parametrize("anchor", [0, 20, 40])
def test_pictures_lower_than_the_kernel_in_strips(tmp_path, border, anchor):
    weights = np.arange(-20.0, 21)[:, None]
    arrays = {str(rows): samples("LA", rows, 3) for rows in (1, 2, 3, 19, 20, 21, 22, 40, 41, 42, 83)}
    files = {f"{name}.npy": npy(array) for name, array in arrays.items()}
    words = ["--border", border, "--anchor", f"{anchor},0"]
    applied(tmp_path, files, "npy", *words, kernel="; ".join(str(int(weight)) for weight in weights[:, 0]))
    for name, array in arrays.items():
        expected = plain(array, weights, border=border, anchor=(anchor, 0))
        np.testing.assert_array_equal(np.load(tmp_path / "out" / f"{name}.npy"), expected, name)


LARGE = [
    ("npy", "RGB", "", "png", by_opencv),
    ("npy", "L", "--padding valid", "png", by_pillow),
    ("npy", "RGBA16", "--dilation 9,1", "png", by_opencv),
    ("npy", "D", "--border reflect --offset 3", "npy", by_numpy),
    ("npy", "F", "", "tif", by_pillow),
    ("png by OpenCV", "RGB16", "", "npy", by_numpy),
    ("png by Pillow", "RGB", f"-k {KERNEL}", "png", by_opencv),
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
    ("tif by Pillow, tiff_adobe_deflate", "RGB", "--stride 2,1", "tif", by_opencv),
    ("tif, large end first", "F", f"-k {KERNEL}", "npy", by_numpy),
    ("tif, deflated strips", "RGB", "", "tif", by_vips),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "way", "ending", "reader"), LARGE)
def test_a_large_picture_in_strips(tmp_path, name, kind, way, ending, reader):
    if reader is by_vips and not shutil.which("vips"):
        pytest.skip("vips is not installed")
    array, source = samples(kind, *size_of(kind, 2 if "--stride" in way else 1)), f"a.{name[:3]}"
    assert "in strips of" in applied(tmp_path, {source: FILES[name][0](array)}, ending, *options_of(way))
    as_jpeg = pillow("JPEG", quality=95, subsampling=0)
    seen = (lambda array: by_pillow(io.BytesIO(as_jpeg(array)))) if ending == "jpg" else None
    check(reader(tmp_path / "out" / f"a.{ending}"), array, way, seen)
    if ending == "png" and shutil.which("pngcheck"):
        subprocess.run(["pngcheck", "-q", tmp_path / "out" / "a.png"], check=True)
