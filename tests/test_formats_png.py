"""PNG by imgconv's own encoder and decoder, against Pillow, OpenCV and pngcheck."""

from __future__ import annotations

import io
import itertools
import shutil
import struct
import subprocess
import zlib

import cv2
import numpy as np
import pytest
from makers import chunk, decode_png, encode_png, noise, png, png16, saved, smooth
from PIL import Image

from imgconv.errors import PictureError
from imgconv.formats.png import codec as module
from imgconv.formats.png.codec import PngSink, decoder_of
from imgconv.formats.png.deflate import adler_of_both, deflated
from imgconv.formats.table import MODES
from imgconv.native import compiler

SIZES = [(1, 1), (1, 7), (7, 1), (3, 2), (65, 33), (400, 301)]
KINDS = [(dtype, channels) for dtype, channels in MODES]


def picture(content: str, rows: int, columns: int, dtype: str, channels: int) -> np.ndarray:
    shape = (rows, columns) if channels == 1 else (rows, columns, channels)
    if content == "noise":
        return noise(*shape, dtype=dtype)
    top = np.iinfo(dtype).max
    if content == "flat":
        return np.full(shape, top // 3, dtype)
    if content == "pattern":
        return np.resize(noise(977, dtype=dtype), shape)
    y, x = np.mgrid[:rows, :columns]
    planes = [np.sin(x / 9 + c) * np.cos(y / 7) + noise(rows, columns, seed=c) / 2000 for c in range(channels)]
    soft = np.stack(planes, axis=2) if channels > 1 else planes[0]
    return np.clip((soft + 1.2) / 2.5 * top, 0, top).astype(dtype)


def by_opencv(data: bytes) -> np.ndarray:
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array.ndim == 2:
        return array
    return array[:, :, [2, 1, 0, 3][: array.shape[2]]]


def parts(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a file whose checksums are right."""
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + body)
        found.append((name, body))
        at += 12 + length
    return found


@pytest.mark.parametrize("content", ["noise", "flat", "pattern", "photo"])
@pytest.mark.parametrize(("dtype", "channels"), KINDS)
def test_everyone_reads_back_what_was_written(dtype, channels, content):
    for rows, columns in SIZES:
        array = picture(content, rows, columns, dtype, channels)
        data = encode_png(array)
        own = decode_png(data)
        assert own.mode == MODES[dtype, channels]
        assert own.array.dtype == array.dtype
        assert np.array_equal(own.array, array)
        if channels != 2:  # OpenCV widens it
            assert np.array_equal(by_opencv(data), array)
        if dtype == "uint8" or channels == 1:  # Pillow cuts the others
            image = Image.open(io.BytesIO(data))
            assert image.mode == MODES[dtype, channels]
            assert np.array_equal(np.asarray(image), array)


@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("content", ["noise", "flat", "pattern", "photo"])
def test_every_level_says_the_same(level, content):
    array = picture(content, 130, 300, "uint8", 3)
    data = encode_png(array, level=level)
    assert np.array_equal(decode_png(data).array, array)
    assert np.array_equal(by_opencv(data), array)


@pytest.mark.skipif(shutil.which("pngcheck") is None, reason="pngcheck is not installed")
@pytest.mark.parametrize(("dtype", "channels"), KINDS)
def test_pngcheck_finds_nothing_wrong(dtype, channels, tmp_path):
    for number, ((rows, columns), content) in enumerate(itertools.product(SIZES, ("flat", "noise", "photo"))):
        info = {"dpi": (72, 72), "icc_profile": b"profile " * 20, "xmp": b"<x/>"} if number % 2 else {}
        data = encode_png(picture(content, rows, columns, dtype, channels), info, level=(None, 0, 1, 9)[number % 4])
        (tmp_path / f"{number}.png").write_bytes(data)
    done = subprocess.run(["pngcheck", "-q", *tmp_path.iterdir()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("level", [None, 1, 9])
def test_the_bytes_do_not_depend_on_the_threads(dtype, level):
    array = picture("photo", 500, 400, dtype, 3)
    assert len([name for name, _ in parts(encode_png(array, level=level)) if name == b"IDAT"]) > 3
    assert len({encode_png(array, level=level, threads=threads) for threads in (1, 2, 3, 7, None)}) == 1


def test_a_view_is_written_as_its_copy():
    array = noise(60, 80, 4)
    for view in (array[::2, ::-1], array[5:, 3:, :3], array.transpose(1, 0, 2)):
        assert encode_png(view) == encode_png(view.copy())
        bits = view[:, :, 0] // 128 * 255
        assert encode_png(bits, bilevel=True) == encode_png(bits.copy(), bilevel=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_read_only_and_turned_samples_are_written_as_others(dtype):
    array = noise(500, 400, dtype=dtype)
    for same in (array.view(), array.astype(f">u{array.itemsize}"), array.T.astype(f"<u{array.itemsize}").T):
        same.flags.writeable = False
        assert encode_png(same) == encode_png(array)


def test_photographs_are_about_as_small_as_pillow_has_them():
    for channels in (1, 3):
        array = picture("photo", 400, 600, "uint8", channels)
        assert len(encode_png(array)) < 1.05 * len(saved(Image.fromarray(array), "PNG"))
    array = noise(300, 300, 3)
    assert len(encode_png(array)) < 1.001 * len(saved(Image.fromarray(array), "PNG"))
    assert len(encode_png(np.zeros((1000, 1000, 3), np.uint8))) < 8000


def graphics() -> dict[str, np.ndarray]:
    """What is on screens: text, lines, flat colours, ramps, few colours, a pattern."""
    random = np.random.default_rng(0)
    page = np.full((600, 900, 3), 250, np.uint8)
    glyphs = np.kron(random.random((40, 6, 4)) < 0.4, np.ones((1, 2, 2), bool)).astype(np.uint8)
    for y in range(10, 580, 20):
        for x in range(10, 10 + 8 * int(random.integers(10, 105)), 8):
            page[y : y + 12, x : x + 8] -= glyphs[random.integers(40)][:, :, None] * np.uint8(200)
    y, x = np.mgrid[:600, :900]
    plot = np.where(np.abs(300 + 200 * np.sin(x / 60) - y)[:, :, None] < 2, [200, 30, 60], [255, 255, 255])
    return {
        "page": page,
        "grey page": page[:, :, 0],
        "plot": plot.astype(np.uint8),
        "ramp": ((x * 255 // 900 + y * 128 // 600) & 255).astype(np.uint8),
        "checks": ((x // 40 + y // 40) % 2 * 255).astype(np.uint8),
        "few colours": np.stack([picture("photo", 600, 900, "uint8", 1) // 64 * 64] * 3, axis=2),
    }


@pytest.mark.parametrize("kind", graphics())
def test_graphics_are_about_as_small_as_pillow_has_them(kind):
    array = graphics()[kind]
    data = encode_png(array)
    # bands know nothing of each other, which costs small pictures more
    assert len(data) < 1.05 * len(saved(Image.fromarray(array), "PNG")) + 3000
    assert np.array_equal(decode_png(data).array, array)
    assert np.array_equal(by_opencv(data), array)
    tall = np.concatenate([array] * 12)
    assert tall.nbytes > module.BANDS * 4 * module.BAND_BYTES
    assert len(encode_png(tall)) < 1.05 * len(saved(Image.fromarray(tall), "PNG"))


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 2, 5), np.uint8), np.zeros((2, 2), np.int32), np.zeros((0, 2), np.uint8), np.zeros(4, np.uint8)],
)
def test_what_png_cannot_hold_is_refused(array):
    with pytest.raises(ValueError, match="PNG cannot hold"):
        encode_png(array)


@pytest.mark.parametrize("size", [(1, 1), (37, 41), (300, 1024)])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pillows_files_are_read(mode, size):
    for content, level in (("noise", 1), ("photo", 6), ("flat", 9)):
        array = picture(content, *size, "uint8", len(mode))
        found = decode_png(saved(Image.fromarray(array), "PNG", compress_level=level, dpi=(72, 72)))
        assert found.mode == mode
        assert np.array_equal(found.array, array)
        assert round(found.info["dpi"][0]) == 72


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_opencvs_files_are_read(dtype, channels):
    array = picture("photo", 90, 70, dtype, channels)
    for strategy, level in itertools.product(range(5), (0, 1, 9)):
        options = [cv2.IMWRITE_PNG_STRATEGY, strategy, cv2.IMWRITE_PNG_COMPRESSION, level]
        given = array if channels == 1 else array[:, :, [2, 1, 0, 3][:channels]]
        found = decode_png(cv2.imencode(".png", given, options)[1].tobytes())
        assert np.array_equal(found.array, array)


def filtered(array: np.ndarray, kinds: list[int]) -> bytes:
    """A PNG whose rows have the given filters, in turn: PNG's definition, byte by byte."""
    rows, columns = array.shape[:2]
    channels = array.shape[2] if array.ndim == 3 else 1
    pixel = channels * array.itemsize
    raw = array.astype(array.dtype.newbyteorder(">")).reshape(rows, -1).view(np.uint8).astype(int)
    lines = b""
    for y in range(rows):
        kind = kinds[y % len(kinds)]
        line = []
        for x, value in enumerate(raw[y]):
            a = raw[y, x - pixel] if x >= pixel else 0
            b = raw[y - 1, x] if y else 0
            c = raw[y - 1, x - pixel] if y and x >= pixel else 0
            near = sorted((abs(a + b - c - p), i, p) for i, p in enumerate((a, b, c)))[0][2]
            line.append((value - (0, a, b, (a + b) // 2, near)[kind]) % 256)
        lines += bytes([kind, *line])
    return png(columns, rows, 8 * array.itemsize, {1: 0, 2: 4, 3: 2, 4: 6}[channels], lines)


@pytest.mark.parametrize(("dtype", "channels"), KINDS)
def test_every_filter_is_undone(dtype, channels):
    for rows, columns in ((1, 1), (2, 3), (11, 35)):
        array = picture("noise", rows, columns, dtype, channels)
        for kinds in ([0], [1], [2], [3], [4], [4, 3, 0, 1, 2], [2, 4, 1, 3]):
            assert np.array_equal(decode_png(filtered(array, kinds)).array, array), kinds


@pytest.mark.parametrize("threads", [1, 2, None])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_large_picture_is_read_in_one_thread_or_two(dtype, threads):
    array = picture("photo", 1300, 1200, dtype, 3)
    assert array.nbytes > module.RELAY_BYTES
    data = encode_png(array)
    assert np.array_equal(decode_png(data, threads).array, array)
    damaged = bytearray(png(1200, 1300, 8, 2, (b"\0" * 3601) * 1299 + b"\7" + b"\0" * 3600))
    with pytest.raises(PictureError, match="filter"):
        decode_png(bytes(damaged), threads)


def in_strips(data: bytes, counts: list[int]) -> np.ndarray:
    """Reads so many rows at a time, in turn, each time into memory with a mark right behind."""
    decoder = decoder_of(io.BytesIO(data), len(data))
    found, (left, *pixels) = [], decoder.shape
    turns = itertools.cycle(counts)
    while left:
        count = min(next(turns), left)
        memory = np.full((count + 1, *pixels), 77, decoder.dtype)
        decoder.read(memory[:count])
        assert (memory[count] == 77).all()
        found.append(memory[:count])
        left -= count
    return np.concatenate(found).squeeze()


@pytest.mark.parametrize(("dtype", "channels"), KINDS)
def test_rows_are_read_in_strips(dtype, channels):
    for rows, columns in ((7, 1), (61, 35), (700, 401)):
        array = picture("photo", rows, columns, dtype, channels)
        for data in (encode_png(array), png16(array) if dtype == "uint16" else encode_png(array, level=9)):
            for counts in ([1], [2, 3, 1], [64], [rows - 1, 1], [rows]):
                assert np.array_equal(in_strips(data, counts), array.squeeze()), counts


def test_damage_behind_the_last_row_is_found():
    data = bytearray(png(2, 1, 8, 0, b"\0\1\2"))
    data[data.index(b"IEND") - 9] ^= 1  # the checksum of the stream
    decoder = decoder_of(io.BytesIO(data), len(data))
    with pytest.raises(PictureError, match="compressed pixels are damaged"):
        decoder.read(np.empty((1, 2, 1), np.uint8))


@pytest.mark.parametrize("level", [None, 0, 1, 9])
@pytest.mark.parametrize(("dtype", "channels"), KINDS)
def test_strips_of_whole_bands_make_the_same_file(dtype, channels, level):
    array = picture("photo", 701, 400, dtype, channels)
    told = {"dpi": (72, 72), "srgb": 1}
    for bands in (1, 3, 100):
        file, sink = io.BytesIO(), PngSink(array.shape, array.dtype, told, level=level)
        sink.begin(file)
        step = bands * sink.step
        for start in range(0, len(array), step):
            sink.write(array[start : start + step])
        sink.end()
        assert file.getvalue() == encode_png(array, told, level=level)


def test_the_filter_loop_chooses_the_least_sum():
    array = picture("photo", 40, 70, "uint8", 3)
    stream = b"".join(body for name, body in parts(encode_png(array)) if name == b"IDAT")
    lines = np.frombuffer(zlib.decompress(stream), np.uint8).reshape(40, 211)
    sizes = []
    for kind in (0, 1, 2, 4):  # averages are not taken
        body = next(body for name, body in parts(filtered(array, [kind])) if name == b"IDAT")
        rest = np.frombuffer(zlib.decompress(body), np.uint8).reshape(40, 211)[:, 1:].astype(int)
        sizes.append(np.minimum(rest, 256 - rest).sum(axis=1))
    assert np.array_equal(lines[:, 0], np.take([0, 1, 2, 4], np.argmin(sizes, axis=0)))
    assert len(set(lines[:, 0])) > 1


def interlaced() -> bytes:
    data = bytearray(encode_png(noise(3, 3)))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


UNUSUAL = {
    "palette": saved(Image.fromarray(smooth(8, 8)).quantize(16), "PNG"),
    "bilevel": saved(Image.new("1", (8, 8)), "PNG"),
    "colour key": png(2, 1, 8, 0, b"\0\1\2", chunk(b"tRNS", b"\0\2")),
    "animated": saved(
        Image.new("RGB", (8, 8)), "PNG", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")], duration=50
    ),
    "interlaced": interlaced(),
    "unknown": png(2, 1, 8, 0, b"\0\1\2", chunk(b"ABcd", b"")),
    "no PNG": saved(Image.new("RGB", (8, 8)), "BMP"),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_the_unusual_is_left_to_pillow(kind):
    assert decode_png(UNUSUAL[kind]) is None


def try_to_read(data: bytes) -> np.ndarray | None:
    try:
        found = decode_png(data)
    except PictureError:
        return None
    return None if found is None else found.array


@pytest.mark.parametrize(
    "array", [noise(9, 10, 3), noise(5, 6, 2, dtype="uint16"), picture("flat", 40, 50, "uint8", 1)]
)
def test_a_file_cut_anywhere_gives_an_error_or_all_pixels(array):
    data = encode_png(array, {"dpi": (72, 72), "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"})
    end = data.index(b"IEND") - 12  # the checksum of the stream is not there, nor that of the chunk
    for length in range(len(data)):
        found = try_to_read(data[:length])
        assert found is not None or length < end, length
        assert found is None or np.array_equal(found, array)


@pytest.mark.parametrize("array", [noise(4, 5, 3), noise(3, 4, 4, dtype="uint16"), picture("flat", 40, 50, "uint8", 1)])
def test_a_flipped_bit_gives_an_error_or_the_right_pixels(array):
    data = encode_png(array, {"dpi": (72, 72), "icc_profile": b"profile", "xmp": b"<x/>"})
    for at in range(len(data)):
        for bit in (0, 3, 7):
            found = try_to_read(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
            assert found is None or np.array_equal(found, array), (at, bit)


def test_damage_with_a_right_checksum_does_no_harm():
    """Checksums made anew, so that the inflating and unfiltering itself meets what is wrong."""
    data = encode_png(picture("photo", 30, 40, "uint8", 3))
    for at in range(len(data)):
        chunks = parts(data)
        changed = bytearray(b"".join(body for _, body in chunks))
        if at >= len(changed):
            break
        changed[at] ^= 1 << at % 8
        again, start = module.SIGNATURE, 0
        for name, body in chunks:
            again += chunk(name, bytes(changed[start : start + len(body)]))
            start += len(body)
        try_to_read(again)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png(4, 4, 8, 0, b"\0" * 15), "fewer pixels"),
        (png(4, 4, 8, 0, b"\5" * 20), "filter that PNG does not know"),
        (png(30000, 30000, 8, 2, b"\0"), "cannot hold 30000×30000"),
        (png16(noise(4, 4, 3, dtype="uint16"))[:-30], "ends within its pixels"),
        (png(2, 1, 8, 0, b"\0\1\2").replace(b"IDAT", b"IDAU"), "checksum"),
        (module.SIGNATURE, "does not begin with its header"),
        (module.SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0)), "before its pixels"),
    ],
)
def test_a_broken_file_is_told_about(data, message):
    with pytest.raises(PictureError, match=message):
        decode_png(data)


def test_no_memory_is_taken_for_a_bomb():
    flat = zlib.compress(b"\0" * 10_000_000)
    data = module.SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0)) + chunk(b"IDAT", flat)
    assert decode_png(data + chunk(b"IEND", b"")).array.tolist() == [[0, 0]]


def test_damage_behind_the_pixels_costs_a_remark_only():
    data = encode_png(noise(4, 4))
    end = data.index(b"IEND") - 4
    text = bytearray(chunk(b"tEXt", b"Comment\0hello"))
    assert decode_png(data[:end] + bytes(text) + data[end:]).info["chunks"][0].body == b"Comment\0hello"
    text[-1] ^= 1
    found = decode_png(data[:end] + bytes(text) + data[end:])
    assert found is not None
    assert found.info == {}  # nothing else was said


@pytest.mark.parametrize("level", [None, 0, 1, 6])
def test_deflate_says_what_it_was_given(level):
    """Every length to 600 of bytes that are alike, few, skewed or random; and what makes the longest codes."""
    random = np.random.default_rng(0)
    fibonacci = np.repeat(np.arange(22, dtype=np.uint8), np.round(1.618 ** np.arange(22)).astype(int))
    inputs = [random.permutation(fibonacci), np.repeat(noise(3000), 5), np.tile(noise(40_000), 3)]
    inputs += [np.tile(noise(period), 9000 // period) for period in (2, 3, 7, 8, 12, 33, 257, 1000)]
    inputs += [np.zeros(200_000, np.uint8), noise(200_000), np.clip(random.geometric(0.5, 100_000), 0, 255)]
    for length in range(1, 600, 7):
        inputs += [np.zeros(length), noise(length), noise(length) // 128, random.geometric(0.3, length) % 256]
    for given in inputs:
        lines = np.ascontiguousarray(given, np.uint8)
        packed = deflated(lines, level)
        assert packed.endswith(b"\0\0\xff\xff")
        assert len(packed) <= len(lines) + len(lines) // 1024 + 64
        assert zlib.decompressobj(-15).decompress(packed) == lines.tobytes()
        assert zlib.decompress(b"\x78\x5e" + packed + b"\3\0" + struct.pack(">I", zlib.adler32(lines.data)))


def test_checksums_are_put_together_right():
    for first, second in (
        (b"", b""),
        (b"a", b""),
        (b"", b"b"),
        (b"\xff" * 70_000, b"\xfe" * 65_521),
        (b"ab", b"c" * 9),
    ):
        together = adler_of_both(zlib.adler32(first), zlib.adler32(second), len(second))
        assert together == zlib.adler32(first + second)


def test_the_loops_need_nothing_from_outside():
    for function in (module.FILTER, module.UNFILTER):
        _, code = compiler.module_of(function)
        declared = [line for line in str(code).splitlines() if line.startswith("declare ")]
        assert all("@llvm." in line for line in declared), declared
        assert "external" not in str(code)
