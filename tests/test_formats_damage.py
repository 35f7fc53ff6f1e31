"""Broken files: what Pillow refuses to load is refused, whatever the format, and never becomes a picture."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import pytest
from makers import ENDINGS, chunk, imgconv, noise, png, png16, saved, smooth
from PIL import Image

ALL_ROWS = ("--border", "wrap")  # which needs the picture as a whole
SIGNATURE = b"\x89PNG\r\n\x1a\n"
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def interlaced(depth: int, channels: int) -> bytes:
    """A PNG of 7×5."""
    shapes = [
        (len(range(y, 5, down)), len(range(x, 7, across)) * channels * depth // 8) for y, x, down, across in PASSES
    ]
    raw = b"".join(b"\0" + noise(length, seed=rows).tobytes() for rows, length in shapes for _ in range(rows) if length)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 7, 5, depth, kind, 0, 0, 1))
    return SIGNATURE + header + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


PNGS = {
    "RGB": saved(Image.fromarray(noise(5, 7, 3)), "PNG"),
    "palette": saved(Image.fromarray(noise(5, 7, 3)).quantize(16), "PNG"),
    "16": png16(noise(5, 7, 3, dtype="uint16")),
    "interlaced": interlaced(8, 3),
    "interlaced 16": interlaced(16, 3),
}
GRADIENT = Image.fromarray(smooth(20, 17))
FILES = {
    **{form: saved(Image.fromarray(noise(5, 7, 3)), form) for form in ENDINGS if form not in ("PNG", "JPEG")},
    **{f"PNG {kind}": data for kind, data in PNGS.items()},
    "JPEG": saved(GRADIENT, "JPEG"),
    "JPEG progressive": saved(GRADIENT, "JPEG", progressive=True),
    "JPEG restarts": saved(GRADIENT, "JPEG", restart_marker_blocks=1),
    "JPEG grey": saved(GRADIENT.convert("L"), "JPEG"),
    "JPEG CMYK": saved(GRADIENT.convert("CMYK"), "JPEG"),
    "TIFF LZW": saved(GRADIENT, "TIFF", compression="tiff_lzw"),
    "TIFF deflate": saved(GRADIENT, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF JPEG": saved(GRADIENT, "TIFF", compression="jpeg"),
    "WEBP lossless": saved(GRADIENT, "WEBP", lossless=True),
    "PPM 16": b"P6 7 5 65535\n" + noise(5 * 7 * 6).tobytes(),
    "PPM text": b"P3\n3 2 255\n" + b" ".join(b"%d" % i for i in range(100, 118)) + b"\n",
}


def loads(data: bytes) -> bool:
    """Whether Pillow does."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except Exception:
        return False
    return True


def taken(folder: Path, files: dict[str, bytes], *words: str) -> dict[str, bool]:
    """Which of some files, by name, the command makes arrays of."""
    source = folder / "in"
    source.mkdir()
    for name, data in files.items():
        (source / name).write_bytes(data)
    identity = ("-k", "0 0 0; 0 1 0; 0 0 0", "--format", "npy", "--out-dir", folder / "out", "--json")
    done = imgconv("apply", *sorted(source.iterdir()), *identity, *words)
    assert "Traceback" not in done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {Path(line["input"]).name: line["status"] == "done" for line in found}


def ending(kind: str) -> str:
    return ENDINGS[kind.partition(" ")[0]]


@pytest.mark.parametrize("words", [(), ALL_ROWS], ids=["strips", "whole"])
def test_a_file_cut_anywhere_is_refused_where_pillow_refuses_it(tmp_path, words):
    cuts = {
        f"{number:02}-{length:04}{ending(kind)}": data[:length]
        for number, (kind, data) in enumerate(FILES.items())
        for length in {*range(1, 40), *range(40, len(data), 11), *range(len(data) - 25, len(data) + 1)}
    }
    found = taken(tmp_path, cuts, *words)
    assert found.keys() == cuts.keys()
    kinds = list(FILES)
    differing = [(kinds[int(name[:2])], name[3:7]) for name, data in cuts.items() if found[name] != loads(data)]
    # the last byte of compressed pixels gives several rows; Pillow asks for them only if another byte is there
    assert set(differing) <= {("PNG interlaced 16", f"{len(PNGS['interlaced 16']) - 21:04}")}


def test_a_jpeg_that_ends_before_its_first_scan_is_left_as_it_was(tmp_path):
    data = saved(GRADIENT, "JPEG")
    data = data[: data.index(b"\xff\xda")]
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    done = imgconv("apply", path, "-k", "blur", "--in-place")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"imgconv: {path}: is broken: it ends before its pixels\n"
    assert path.read_bytes() == data


def rebuilt(data: bytes, change) -> bytes:
    """A PNG whose first IDAT is made anew by `change`, which takes its body."""
    at = data.index(b"IDAT") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    return data[:at] + change(data[at + 8 : at + 8 + length]) + data[at + 12 + length :]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if at != -1 else data[:-1] + bytes([data[-1] ^ 1])


DAMAGES = {
    "stream's checksum": lambda data: rebuilt(data, lambda body: chunk(b"IDAT", flipped(body, -1))),
    "stream's checksum in a chunk of its own": lambda data: rebuilt(
        data, lambda body: chunk(b"IDAT", body[:-4]) + chunk(b"IDAT", flipped(body[-4:], -1))
    ),
    "part of the checksum in a chunk of its own": lambda data: rebuilt(
        data, lambda body: chunk(b"IDAT", body[:-2]) + chunk(b"IDAT", flipped(body[-2:], -1))
    ),
    "no checksum of the stream": lambda data: rebuilt(data, lambda body: chunk(b"IDAT", body[:-4])),
    "bytes behind the stream": lambda data: rebuilt(data, lambda body: chunk(b"IDAT", body + b"more")),
    "a chunk behind the stream": lambda data: rebuilt(
        data, lambda body: chunk(b"IDAT", body) + chunk(b"IDAT", b"more")
    ),
    "pixels behind the last one": lambda data: rebuilt(
        data, lambda body: chunk(b"IDAT", zlib.compress(zlib.decompress(body) + bytes(50)))
    ),
    "a pixel too few": lambda data: rebuilt(
        data, lambda body: chunk(b"IDAT", zlib.compress(zlib.decompress(body)[:-1]))
    ),
    "damage behind the last pixel": lambda data: rebuilt(
        data, lambda body: chunk(b"IDAT", body[:2] + unfinished(zlib.decompress(body)) + b"\7" + body[-4:])
    ),
    "checksum of the pixels' chunk": lambda data: rebuilt(data, lambda body: flipped(chunk(b"IDAT", body), -1)),
    "checksum of the header": lambda data: flipped(data, 32),
    "checksum before the pixels": lambda data: data[:33] + flipped(chunk(b"tEXt", b"a\0b"), -1) + data[33:],
    "checksum behind the pixels": lambda data: data[:-12] + flipped(chunk(b"tEXt", b"a\0b"), -1) + data[-12:],
    "checksum of a critical chunk behind": lambda data: data[:-12] + flipped(chunk(b"ABCD", b"b"), -1) + data[-12:],
    "checksum of the end": lambda data: flipped(data, -1),
    "no end": lambda data: data[:-12],
    "cut in a chunk behind the pixels": lambda data: data[:-12] + chunk(b"tEXt", b"a\0b")[:-6],
    "cut in the checksum of a chunk behind": lambda data: data[:-12] + chunk(b"tEXt", b"a\0b")[:-2],
    "what is no chunk behind the pixels": lambda data: data[:-12] + bytes(30),
    "bytes behind the end": lambda data: data + b"more",
}


def unfinished(raw: bytes) -> bytes:
    """Deflated, without a last block."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(raw) + packer.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize("words", [(), ALL_ROWS], ids=["strips", "whole"])
def test_of_damaged_pngs_pillow_and_we_take_the_same(tmp_path, words):
    files = {
        f"{number:02}-{kind}.png".replace(" ", "-"): change(data)
        for number, change in enumerate(DAMAGES.values())
        for kind, data in PNGS.items()
    }
    found = taken(tmp_path, files, *words)
    assert {name: loads(data) for name, data in files.items()} == found
    assert not found["00-RGB.png"]
    assert found["01-RGB.png"]


def test_damage_that_no_checksum_of_the_stream_rules_out_counts_in_the_chunk(tmp_path):
    """More may come out of damaged pixels than belongs to them: then Pillow sees neither checksum, and takes them."""
    body = zlib.compress(bytes(3000))
    at = next(at for at in range(2, len(body)) if len(try_inflate(flipped(body, at))) > 3000)
    good = png(50, 20, 8, 2, b"")
    header = good[: good.index(b"IDAT") - 4]
    data = header + chunk(b"IDAT", body)[:8] + flipped(body, at) + chunk(b"IDAT", body)[-4:] + chunk(b"IEND", b"")
    assert taken(tmp_path, {"a.png": data}) == {"a.png": False}


def try_inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data)
    except zlib.error:
        return b""
