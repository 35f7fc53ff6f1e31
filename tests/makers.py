"""Picture files made by hand, byte by byte, where Pillow cannot write them; and a way to run the command."""

from __future__ import annotations

import io
import os
import select
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner
from PIL import Image

from imgconv.cli import cli
from imgconv.formats.limits import DEFAULT
from imgconv.formats.picture import Picture
from imgconv.formats.png.codec import PngSink, decoder_of, frame_of

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM", "GIF")
ENDINGS = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "WEBP": ".webp", "BMP": ".bmp", "PPM": ".ppm", "GIF": ".gif"}
PILLOW_MODES = {"L": 1, "LA": 2, "La": 2, "RGB": 3, "RGBA": 4, "RGBa": 4, "RGBX": 4, "CMYK": 4}  # and their channels


def noise(*shape: int, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    top = 256 if dtype == "uint8" else 65536
    return np.random.default_rng(seed).integers(0, top, shape).astype(dtype)


def smooth(rows: int, columns: int) -> np.ndarray:
    """RGB that JPEG can hold well."""
    y, x = np.mgrid[:rows, :columns]
    return np.stack([x * 255 // columns, y * 255 // rows, (x + y) * 255 // (rows + columns)], axis=2).astype(np.uint8)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def encode_png(array: np.ndarray, info: Any = None, **options: Any) -> bytes:
    """A PNG by imgconv."""
    file = io.BytesIO()
    sink = PngSink(array.shape, array.dtype, info, **options)
    sink.begin(file)
    sink.write(array)
    sink.end()
    return file.getvalue()


def decode_png(data: bytes, threads: int | None = None) -> Picture | None:
    """What the PNG decoder of imgconv reads; None where it leaves that to others."""
    decoder = decoder_of(io.BytesIO(data), len(data))
    if decoder is None or decoder.unusual:
        return None
    frame = frame_of(io.BytesIO(data), len(data), DEFAULT, threads)
    return None if frame is None else frame.whole(DEFAULT)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, kind: int, raw: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    body = b"".join(extra) + chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")


def png16(array: np.ndarray) -> bytes:
    """A 16-bit PNG of shape (rows, columns[, 1 to 4])."""
    rows, columns = array.shape[:2]
    channels = array.shape[2] if array.ndim == 3 else 1
    lines = array.astype(">u2").reshape(rows, -1)
    raw = b"".join(b"\0" + line.tobytes() for line in lines)
    return png(columns, rows, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], raw)


def adam7(array: np.ndarray, *extra: bytes) -> bytes:
    """An interlaced PNG, from the specification's 8×8 pattern of passes."""
    pattern = np.array(
        [
            [1, 6, 4, 6, 2, 6, 4, 6],
            [7, 7, 7, 7, 7, 7, 7, 7],
            [5, 6, 5, 6, 5, 6, 5, 6],
            [7, 7, 7, 7, 7, 7, 7, 7],
            [3, 6, 4, 6, 3, 6, 4, 6],
            [7, 7, 7, 7, 7, 7, 7, 7],
            [5, 6, 5, 6, 5, 6, 5, 6],
            [7, 7, 7, 7, 7, 7, 7, 7],
        ]
    )
    rows, columns = array.shape[:2]
    channels = array.shape[2] if array.ndim == 3 else 1
    lines = b""
    for number in range(1, 8):
        for y in range(rows):
            row = [array[y, x] for x in range(columns) if pattern[y % 8, x % 8] == number]
            if row:
                lines += b"\0" + np.array(row).astype(">u2").tobytes()
    data = bytearray(png(columns, rows, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], lines, *extra))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def tiff(array: np.ndarray) -> bytes:
    """An uncompressed little-endian TIFF of one strip, of any sample type."""
    rows, columns = array.shape[:2]
    channels = array.shape[2] if array.ndim == 3 else 1
    pixels = array.astype(array.dtype.newbyteorder("<")).tobytes()
    bits = array.dtype.itemsize * 8
    kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    entries = [
        (256, 4, [columns]),
        (257, 4, [rows]),
        (258, 3, [bits] * channels),
        (259, 3, [1]),
        (262, 3, [2 if channels >= 3 else 1]),
        (273, 4, [8]),
        (277, 3, [channels]),
        (278, 4, [rows]),
        (279, 4, [len(pixels)]),
        *([(338, 3, [2])] if channels == 4 else []),
        (339, 3, [kind] * channels),
    ]
    start = 8 + len(pixels)
    spare = start + 2 + 12 * len(entries) + 4
    table, tail = struct.pack("<H", len(entries)), b""
    for tag, code, values in entries:
        packed = struct.pack(f"<{len(values)}{'HI'[code - 3]}", *values)
        if len(packed) > 4:
            table += struct.pack("<HHII", tag, code, len(values), spare + len(tail))
            tail += packed
        else:
            table += struct.pack("<HHI", tag, code, len(values)) + packed.ljust(4, b"\0")
    return struct.pack("<2sHI", b"II", 42, start) + pixels + table + struct.pack("<I", 0) + tail


def lossless_jpeg(array: np.ndarray) -> bytes:
    """A JPEG of process 14 (ITU-T T.81, annex H): each sample as its difference from the one to the left, or above."""
    rows, columns = array.shape[:2]
    samples = array.reshape(rows, columns, -1).astype(int)
    before = np.concatenate([samples[:, :1], samples[:, :-1]], axis=1)
    before[1:, 0], before[0, 0] = samples[:-1, 0], 128
    bits = ""
    for difference in (samples - before).ravel().tolist():
        size = abs(difference).bit_length()
        low = difference if difference > 0 else difference + 2**size - 1
        bits += f"{size:04b}" + (f"{low:0{size}b}" if size else "")
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    parts = range(1, samples.shape[2] + 1)
    segments = [
        (0xC3, struct.pack(">BHHB", 8, rows, columns, len(parts)) + b"".join(bytes([part, 17, 0]) for part in parts)),
        (0xC4, bytes([0, 0, 0, 0, 9, *[0] * 12, *range(9)])),  # all codes have 4 bits
        (0xDA, bytes([len(parts), *(byte for part in parts for byte in (part, 0)), 1, 0, 0])),
    ]
    told = b"".join(struct.pack(">BBH", 255, marker, len(body) + 2) + body for marker, body in segments)
    return b"\xff\xd8" + told + coded + b"\xff\xd9"


def bmp_with_alpha(array: np.ndarray) -> bytes:
    """A BMP of 32 bits whose header says which of them are alpha (BITMAPV4HEADER)."""
    rows, columns = array.shape[:2]
    pixels = array[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, columns, rows, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    header += struct.pack("<4I", *masks).ljust(68, b"\0")
    return struct.pack("<2sIII", b"BM", 14 + 108 + len(pixels), 0, 14 + 108) + header + pixels


def exif(**tags: Any) -> Image.Exif:
    made = Image.Exif()
    made[271] = "maker"
    made.get_ifd(0x8769)[0x829D] = 2.8  # the aperture, in the nested table
    for name, value in tags.items():
        made[{"orientation": 274}[name]] = value
    return made


def imgconv(*words: Any, cwd: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command as a process of its own."""
    given = {"capture_output": True, "text": True, "timeout": 120, "cwd": cwd} | options
    return subprocess.run([sys.executable, "-m", "imgconv", *map(str, words)], **given)


def leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".imgconv-") and name != ".imgconv-journal"]


def applied(*words: Any, status: int = 0) -> str:
    """Runs `imgconv apply --overwrite` in this process; what it says."""
    done = CliRunner().invoke(cli, ["apply", *map(str, words), "--overwrite"], standalone_mode=False)
    said = done.stdout + done.stderr + str(done.exception or "")
    assert (done.return_value if done.exception is None else 2) == status, said
    return said


def image_of(mode: str, columns: int, rows: int, seed: int = 0) -> Image.Image:
    """Noise in one of `PILLOW_MODES`."""
    data = noise(rows, columns, PILLOW_MODES[mode], seed=seed).tobytes()
    plain = "LA" if mode == "La" else mode
    return Image.frombytes(plain, (columns, rows), data).convert(mode)


def seen_on(terminal: int, *, asked: bytes = b"", answer: bytes = b"") -> bytes:
    """What appears on a terminal until nobody has it open, or for a minute nothing comes; it answers `asked`."""
    seen = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
        if answer and asked in piece:
            os.write(terminal, answer)
    return seen
