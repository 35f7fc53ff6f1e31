"""What a file may claim: no small one takes much memory or time, and none that is honest is refused."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from makers import ENDINGS, chunk, imgconv, noise, png, saved
from PIL import Image

from imgconv.formats.table import by_name

resource = pytest.importorskip("resource")
MOST = 10**9  # bytes that a file of less than a megabyte may make the command take
PEAK = (
    "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == 'darwin' else 1024),"
    "file=sys.stderr); sys.exit(done.returncode)"
)


def jpeg(columns: int, rows: int, **options) -> bytes:
    data = bytearray(saved(Image.new("RGB", (1, 1)), "JPEG", **options))
    at = data.find(b"\xff\xc2" if options else b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", rows, columns)
    return bytes(data)


def gif(canvas: tuple[int, int], frame: tuple[int, int]) -> bytes:
    data = bytearray(saved(Image.new("P", (1, 1)), "GIF"))
    data[6:10] = struct.pack("<HH", *canvas)
    at = data.index(b",")
    data[at + 5 : at + 9] = struct.pack("<HH", *frame)
    return bytes(data)


def webp(columns: int, rows: int) -> bytes:
    """Solid, without loss: a pixel takes no bits, so this is whole."""
    data = bytearray(saved(Image.new("RGB", (1, 1)), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    (word,) = struct.unpack("<I", data[at : at + 4])
    data[at : at + 4] = struct.pack("<I", word & ~(2**28 - 1) | (rows - 1) << 14 | columns - 1)
    return bytes(data)


def solid_png(columns: int, rows: int, depth: int, kind: int, channels: int) -> bytes:
    packer = zlib.compressobj(9)
    row = bytes(1 + -(-columns * depth * channels // 8))
    body = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tiff(
    columns: int, rows: int, compression: int, tags: list[tuple[int, int, int, int]] = (), room: int = 10
) -> bytes:
    entries = [
        (256, 4, 1, columns), (257, 4, 1, rows), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, rows), (279, 4, 1, 10), *tags,
    ]  # fmt: skip
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<2sHI", b"II", 42, 8 + room) + bytes(room) + table + bytes(4)


def overlapping(count: int) -> bytes:
    """EXIF whose tags are all the same 200 kB."""
    fields = b"".join(struct.pack("<HHII", 20000 + i, 7, 200_000, 8) for i in range(count))
    return struct.pack("<2sHIH", b"II", 42, 8, count) + fields + bytes(200_000)


def texts(word: bytes, body: bytes, count: int) -> bytes:
    data = png(2, 1, 8, 2, b"\0\1\2\3\4\5\6")
    return data[:33] + chunk(word, body) * count + data[33:]


def with_exif(data: bytes) -> bytes:
    exif = overlapping(15_000)
    parts = [b"Exif\0\0" + exif[start : start + 60_000] for start in range(0, len(exif), 60_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(part)) + part for part in parts)
    return data[:2] + segments + data[20:]  # in place of JFIF's, which says the resolution


SQUEEZED = zlib.compress(b"\n" * 10**6, 9)
HOSTILE = {
    "claim.jpg": lambda: jpeg(56321, 7789),
    "below-the-limit.jpg": lambda: jpeg(13000, 13000),
    "progressive.jpg": lambda: jpeg(13000, 13000, progressive=True),
    "frame.gif": lambda: gif((18208, 17993), (18208, 17993)),
    "canvas.gif": lambda: gif((13000, 13000), (1, 1)),
    "largest.webp": lambda: webp(16383, 16383),
    "below-the-limit.webp": lambda: webp(13000, 13000),
    "one-bit.png": lambda: solid_png(32000, 32000, 1, 0, 1),
    "below-the-limit.png": lambda: solid_png(13000, 13000, 1, 0, 1),
    "one-row.png": lambda: solid_png(100_000_000, 1, 8, 2, 3),
    "text.png": lambda: texts(b"zTXt", b"Raw profile type exif\0\0" + SQUEEZED, 900),
    "xmp.png": lambda: texts(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(16 * 2**20), 9), 60),
    "remarks.png": lambda: texts(b"tEXt", b"a\0b", 60_000),
    "damaged-remarks.png": lambda: texts(b"zTXt", b"a\1b", 60_000),
    "cleared.gif": lambda: b"GIF89a\xff\xff\xff\xff\0\0\0!\xf9\4\x08\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\1\0\0;",
    "exif.png": lambda: texts(b"eXIf", overlapping(15_000), 1),
    "exif.jpg": lambda: with_exif(saved(Image.new("RGB", (16, 16)), "JPEG")),
    "exif.webp": lambda: saved(Image.new("RGB", (4, 4)), "WEBP", exif=b"Exif\0\0" + overlapping(15_000)),
    "tags.tif": lambda: tiff(4, 4, 1, [(30000 + i, 7, 500_000, 8) for i in range(20_000)], 500_000),
    **{
        f"rows-{power}-{compression}-{columns}.tif": lambda power=power, compression=compression, columns=columns: tiff(
            columns, 2**power - 1, compression
        )
        for power in (30, 32)
        for compression in (1, 4, 5, 8, 32773, 34925, 50000)
        for columns in (1, 1000)
    },
    **{f"square-{compression}.tif": lambda compression=compression: tiff(13000, 13000, compression)
       for compression in (1, 4, 5, 8, 50000)},
}  # fmt: skip


def test_no_small_file_takes_much_memory_or_gives_more_than_a_line(tmp_path):
    for name, make in HOSTILE.items():
        data = make()
        assert len(data) < 10**6, name
        (tmp_path / name).write_bytes(data)
    words = [sys.executable, "-c", PEAK, sys.executable, "-m", "imgconv", "apply", *sorted(HOSTILE), "-k", "blur"]
    words += ["-o", "{index}.npy", "--json", "--auto-orient"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    *lines, peak = done.stderr.splitlines()
    assert int(peak) < MOST
    assert "Traceback" not in done.stderr
    found = {line["input"]: line["error"] for line in map(json.loads, done.stdout.splitlines())}
    assert found.keys() == HOSTILE.keys()
    taken = {"xmp.png", "remarks.png", "damaged-remarks.png", "exif.png", "exif.webp"}
    assert {name for name, error in found.items() if not error} <= taken
    assert all(error.startswith(f"{name}: ") for name, error in found.items() if error)
    assert len(lines) <= len(HOSTILE) + 2  # what is left out of many is said once
    assert found["claim.jpg"].endswith("bytes cannot hold 56321×7789 pixels")
    assert (
        "more than the 178,956,970 that are taken into memory whole; --max-pixels takes more" in found["largest.webp"]
    )
    assert "GB of memory for 34 bytes" in found["below-the-limit.webp"]


SOLID = {
    **{form: {} for form in ENDINGS},
    "JPEG smallest": {"optimize": True, "progressive": True},
    "PNG smallest": {"compress_level": 9},
    "WEBP lossless": {"lossless": True, "method": 0},
    **{form: {} for form in ("AVIF", "JPEG2000", "PCX", "SGI")},
    "TGA": {"rle": True},
    **{
        f"TIFF {kind}": {"compression": kind} for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "jpeg")
    },
}


def test_no_solid_picture_by_pillow_is_refused(tmp_path):
    """Nothing is compressed better by its encoders."""
    grey = Image.new("L", (2000, 1500))
    for kind, options in SOLID.items():
        grey.save(tmp_path / f"{kind}{by_name(kind.partition(' ')[0]).endings[0]}", **options)
    for kind in ("group4", "group3"):
        grey.convert("1").save(tmp_path / f"{kind}.tif", compression=kind)
    grey.convert("1").save(tmp_path / "one bit.png", compress_level=9)
    # with a border that needs all rows, so that none goes in strips
    words = ("-k", "0 0 0; 0 1 0; 0 0 0", "--border", "wrap", "--format", "png", "--co", "compress_level=1", "-q")
    done = imgconv("apply", "-r", tmp_path, "--out-dir", tmp_path / "out", *words)
    assert (done.returncode, done.stderr) == (0, "")


def test_max_pixels_is_for_what_is_taken_whole(tmp_path):
    for ending in (".png", ".bmp"):
        Image.fromarray(noise(30, 40, 3)).save(tmp_path / f"a{ending}")
    for words, refused in (
        (("a.bmp", "--max-pixels", "1199"), True),
        (("a.bmp", "--max-pixels", "1200"), False),
        (("a.png", "--max-pixels", "1199", "--border", "wrap"), True),
        (("a.png", "--max-pixels", "1199"), False),  # in strips
    ):
        done = imgconv("apply", *words, "-k", "gaussian:sigma=1", "-o", "b.png", "--overwrite", cwd=tmp_path)
        assert done.returncode == int(refused), done.stderr
        if refused:
            told = "has 40×30 pixels, more than the 1,199 that are taken into memory whole; --max-pixels takes more"
            assert done.stderr == f"imgconv: {words[0]}: {told}\n"
    for words in (("compare", "a.bmp", "-k", "blur"), ("match", "a.bmp", "blur", "a.bmp"), ("fit", "a.bmp", "a.bmp")):
        assert "more than the 9 that" in imgconv(*words, "--max-pixels", "9", cwd=tmp_path).stderr
    assert imgconv("apply", "a.bmp", "-k", "blur", "--max-pixels", "0", cwd=tmp_path).returncode == 2


def test_the_user_may_vouch_for_a_file(tmp_path):
    (tmp_path / "a.webp").write_bytes(webp(7000, 6000))
    words = ("apply", "a.webp", "-k", "blur", "--linear", "-o", "b.npy")
    assert "which look like a bomb; --max-pixels N takes it" in imgconv(*words, cwd=tmp_path).stderr
    least = 2 * 10**9  # bytes of address space: a control group's limit is heeded likewise

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (least, least))

    done = imgconv(*words, "--max-pixels", 10**8, cwd=tmp_path, preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr == "imgconv: a.webp: needs about 6.1 GB of memory; 2.0 GB are there\n"


def test_arrays_are_as_large_as_their_files(tmp_path):
    np.save(tmp_path / "a.npy", noise(300, 400))
    done = imgconv("apply", "a.npy", "-k", "blur", "--border", "wrap", "--max-pixels", "9", "-o", "b.npy", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(tmp_path / "b.npy").exists()


def test_a_refusal_of_memory_says_sizes_that_differ(tmp_path):
    (tmp_path / "a.png").write_bytes(saved(Image.new("L", (4, 4)), "PNG"))
    done = imgconv("apply", "a.png", "-k", "blur", "--memory", "64M", cwd=tmp_path)
    found = re.fullmatch(r"imgconv: a\.png: needs about (\d+) MB of memory; --memory allows 67 MB\n", done.stderr)
    assert found is not None
    assert int(found[1]) > 67
