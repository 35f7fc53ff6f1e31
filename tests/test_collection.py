"""`python tests/collection.py` over a few files made here, and over some of Pillow's own test images."""

from __future__ import annotations

import os
from pathlib import Path

import collection
import numpy as np
import pytest
from makers import noise, saved, smooth
from PIL import Image

FILES = 100  # of Pillow's, in about half a minute


def test_files_of_all_kinds_come_through_or_are_refused_in_a_line(tmp_path):
    frames = [Image.fromarray(noise(9, 8, 3, seed=seed)) for seed in range(2)]
    for name, data in {
        "a.png": saved(Image.fromarray(noise(9, 8, 4)), "PNG"),
        "frames.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=[30, 50]),
        "float.tif": saved(Image.fromarray(np.float32(noise(9, 8))), "TIFF"),
        "photo.jpg": saved(Image.fromarray(smooth(9, 8)), "JPEG"),
        "cut.png": saved(Image.fromarray(noise(90, 80, 4)), "PNG")[:9000],
        "text.txt": b"no picture",
    }.items():
        (tmp_path / name).write_bytes(data)
    found = {path.name: (refused, wrong) for path, refused, wrong in collection.run(tmp_path)}
    assert len(found) == 6
    assert not any(wrong for _, wrong in found.values())
    assert [name for name, (refused, _) in found.items() if refused] == ["float.tif"]  # which no PNG holds


def test_what_was_lost_is_found():
    pixels = noise(9, 8, 4)
    before = collection.Seen("PNG", [pixels, pixels], [30.0, 50.0], 2, True)
    result = {"dtype": "uint8", "notes": []}
    assert list(collection.differences(before, before, result)) == []
    for after, said in (
        (before._replace(count=1), "2 frames became 1"),
        (before._replace(durations=[30.0, 30.0]), "its durations [30.0, 50.0] became [30.0, 30.0]"),
        (before._replace(frames=[pixels, pixels ^ 1]), "frame 2 has other pixels"),
        (None, "Pillow cannot read what was written"),
    ):
        assert list(collection.differences(before, after, result)) == [said]


@pytest.mark.skipif("PILLOW_TESTS" not in os.environ, reason="PILLOW_TESTS names no folder with Pillow's own tests")
def test_pillows_own_pictures():
    wrong = {path.name: wrong for path, _, wrong in collection.run(Path(os.environ["PILLOW_TESTS"]) / "images", FILES)}
    assert len(wrong) == FILES
    assert {name: told for name, told in wrong.items() if told} == {}
