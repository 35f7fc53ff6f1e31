"""MPO: what of a file with several JPEGs is a picture of its own, held against Pillow and exiftool."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from makers import exif, imgconv, noise, opened, saved, smooth
from PIL import Image

from imgconv.errors import PictureError
from imgconv.formats.limits import DEFAULT
from imgconv.formats.picture import Picture
from imgconv.formats.read import frames_of

pytestmark = pytest.mark.usefixtures("here")

FULL_HD, PANORAMA, DISPARITY, ANGLE, PRIMARY, GAIN_MAP = 0x010002, 0x020001, 0x020002, 0x020003, 0x030000, 0x050000


def jpeg(number: int, rows: int = 24, columns: int = 40, **options) -> bytes:
    picture = Image.fromarray(np.roll(smooth(rows, columns), 5 * number, axis=1))
    return saved(picture, "JPEG", quality=80 + number, **options)


def with_index(order: str, *pictures: tuple[int, bytes]) -> bytes:
    """A file by hand: behind the first picture's first segment an index of them all."""
    (_, first), *_ = pictures
    at = 4 + int.from_bytes(first[4:6], "big")
    index = 8 + 2 + 3 * 12 + 4
    length = 4 + index + 16 * len(pictures)
    places, where = [0], len(first) + length + 4 - at - 8
    for _, data in pictures[1:]:
        places.append(where)
        where += len(data)
    sizes = [len(first) + length + 4, *(len(data) for _, data in pictures[1:])]
    body = struct.pack(order + "2sHIH", {"<": b"II", ">": b"MM"}[order], 42, 8, 3)
    for tag, kind, count, value in (
        (0xB000, 7, 4, b"0100"), (0xB001, 4, 1, struct.pack(order + "I", len(pictures))),
        (0xB002, 7, 16 * len(pictures), struct.pack(order + "I", index)),
    ):  # fmt: skip
        body += struct.pack(order + "HHI", tag, kind, count) + value
    body += bytes(4)
    for (kind, _), size, place in zip(pictures, sizes, places, strict=True):
        body += struct.pack(order + "IIIHH", kind, size, place, 0, 0)
    segment = b"\xff\xe2" + struct.pack(">H", length + 2) + b"MPF\0" + body
    return first[:at] + segment + first[at:] + b"".join(data for _, data in pictures[1:])


def apply(name: str, target: str, *words: str, kernel: str = "identity") -> dict:
    done = imgconv("apply", name, "-k", kernel, "-o", target, "--overwrite", "--json", *words)
    return json.loads(done.stdout)


def pillow_frames(name: str) -> list[Image.Image]:
    with Image.open(name) as image:
        assert image.format == "MPO"
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            found.append(image.copy())
    return found


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [PANORAMA, DISPARITY, ANGLE])
def test_pictures_of_their_own_are_frames(kind, order):
    Path("a.mpo").write_bytes(with_index(order, *((kind, jpeg(number)) for number in range(3))))
    assert len(pillow_frames("a.mpo")) == 3
    result = apply("a.mpo", "b.tif")
    assert (result["status"], result["frames"], result["notes"]) == ("done", 3, [])
    with Image.open("b.tif") as image:
        for number, expected in enumerate(pillow_frames("a.mpo")):
            image.seek(number)
            np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_single_frames_are_had_from_a_file():
    Path("a.mpo").write_bytes(with_index("<", *((DISPARITY, jpeg(number)) for number in range(3))))
    assert apply("a.mpo", "c-{frame}.png", "--frames", "3")["status"] == "done"
    np.testing.assert_array_equal(np.asarray(Image.open("c-3.png")), np.asarray(pillow_frames("a.mpo")[2]))
    assert "has 3 frames, and JPEG holds one" in apply("a.mpo", "b.jpg")["error"]


def test_pictures_of_one_size_that_pillow_put_together_are_frames():
    first, second = (Image.fromarray(smooth(16, 24)).rotate(turn) for turn in (0, 180))
    Path("a.mpo").write_bytes(saved(first, "MPO", save_all=True, append_images=[second]))
    assert apply("a.mpo", "b.tif")["frames"] == 2


@pytest.mark.parametrize("name", ["a.mpo", "a.jpg"])
def test_what_goes_with_the_first_is_no_frame_and_is_named(name):
    small, large = jpeg(1, 12, 20), jpeg(1)
    marked = large[:2] + b"\xff\xe1" + struct.pack(">H", 40) + b"http://ns.adobe.com/xap/1.0/\0hdrgm:Ve" + large[2:]
    pictures = (PRIMARY, jpeg(0)), (GAIN_MAP, small), (FULL_HD, large), (0, marked), (0, small)
    Path(name).write_bytes(with_index("<", *pictures))
    result = apply(name, f"b{name[1:]}")
    note = "holds 4 more (gain map, preview, picture of another size), which are left out"
    assert (result["status"], result["frames"], result["notes"]) == ("done", 1, [note])
    assert opened(Path(f"b{name[1:]}").read_bytes()).format == "JPEG"
    told = json.loads(imgconv("info", name, "--json").stdout)
    assert (told["frames"], told["others"]) == (1, 4)
    assert "--in-place would lose the others" in imgconv("apply", name, "-k", "identity", "--in-place").stderr


def test_a_jpeg_stays_a_jpeg_whatever_else_it_holds():
    Path("a.jpg").write_bytes(with_index("<", (DISPARITY, jpeg(0)), (DISPARITY, jpeg(1))))
    result = apply("a.jpg", "b.jpg")
    assert result["frames"] == 1
    assert result["notes"] == ["holds 1 more (other view; a name that ends in .mpo keeps it), which are left out"]
    Path("a.jpg").rename("a.MPO")
    told = json.loads(imgconv("info", "a.MPO", "--json").stdout)
    assert (told["frames"], told["others"]) == (2, 0)
    assert apply("a.MPO", "b.mpo")["frames"] == 2


@pytest.mark.parametrize("kind", [DISPARITY, PANORAMA])
def test_frames_are_written_as_others_read_them(kind):
    said = [exif(orientation=number) for number in (1, 3, 6)]
    Path("a.mpo").write_bytes(with_index("<", *((kind, jpeg(n, exif=said[n], dpi=(300, 300))) for n in range(3))))
    result = apply("a.mpo", "{stem}.{kernel}{ext}")
    assert (result["output"], result["frames"], result["notes"]) == ("a.identity.mpo", 3, [])
    with Image.open("a.mpo") as before, Image.open("a.identity.mpo") as after:
        kinds = [[entry["Attribute"]["MPType"] for entry in image.mpinfo[0xB002]] for image in (before, after)]
        assert kinds[0] == kinds[1]
        assert after.n_frames == 3
        for number in range(3):
            for image in (before, after):
                image.seek(number)
            assert after.info["exif"] == before.info["exif"]
            assert after.quantization == before.quantization
            assert np.abs(np.asarray(before).astype(int) - np.asarray(after)).mean() < 3
    assert opened(Path("a.identity.mpo").read_bytes()).size == (40, 24)  # for who knows the first only


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_finds_the_pictures_where_the_index_says():
    Path("a.mpo").write_bytes(with_index(">", *((DISPARITY, jpeg(number)) for number in range(3))))
    apply("a.mpo", "b.mpo", kernel="blur")
    words = ["exiftool", "-j", "-n", "-a", "-G4", "-warning", "-MPImageType", "-MPImageStart", "-MPImageLength"]
    (found,) = json.loads(subprocess.run([*words, "b.mpo"], capture_output=True, check=True).stdout)
    assert not [key for key in found if "Warning" in key]
    data = Path("b.mpo").read_bytes()
    values = {name: [found[key] for key in found if name in key] for name in ("Type", "Start", "Length")}
    assert values["Type"] == [DISPARITY] * 3
    assert [data[start : start + 3] for start in values["Start"]] == [b"\xff\xd8\xff"] * 3
    assert sum(values["Length"]) == len(data)


def test_other_animations_become_pictures_of_one_file():
    frames = [Image.fromarray(noise(20, 24, 3, seed=number) // 200 * 200) for number in range(3)]
    Path("a.gif").write_bytes(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    result = apply("a.gif", "b.mpo")
    assert (result["status"], result["frames"]) == ("done", 3)
    assert len(pillow_frames("b.mpo")) == 3
    assert apply("b.mpo", "c.tif")["frames"] == 3
    Path("a.raw").write_bytes(bytes(2 * 20 * 24))
    with open("a.raw", "rb") as raw:
        done = imgconv("apply", "-", "--raw", "24x20:gray", "-k", "identity", "-o", "d.mpo", stdin=raw)
    assert (done.returncode, done.stdout) == (1, "")
    assert "says at its beginning how many" in done.stderr


def test_a_file_that_lacks_a_picture_fails():
    data = with_index("<", (DISPARITY, jpeg(0)), (DISPARITY, jpeg(1)))
    Path("a.mpo").write_bytes(data[:-200])
    assert "a.mpo: is broken: its picture 2 is not where its index says" in apply("a.mpo", "b.mpo")["error"]
    assert not Path("b.mpo").exists()
    assert apply("a.mpo", "b.mpo", "--frames", "first")["status"] == "done"
    for size in range(1, len(data) - 200, 97):
        with pytest.raises(PictureError, match=r"^a\.mpo: is"):
            pictures(data[:size])


def pictures(data: bytes) -> list[Picture]:
    return [frame.whole(DEFAULT) for frame in frames_of(io.BytesIO(data), len(data), "a.mpo", ".mpo")]
