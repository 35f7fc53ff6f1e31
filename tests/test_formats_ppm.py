"""PBM, PGM, PPM and PFM: their comments travel, or are named; and bits."""

from __future__ import annotations

import io

import numpy as np
import pytest
from makers import applied, imgconv, noise, opened
from PIL import Image

from imgconv.formats.picture import Picture
from imgconv.formats.ppm import LONGEST_COMMENT, comment_of
from imgconv.formats.read import parse
from imgconv.formats.write import encode

TEXT = b"first # of two\nsecond"
FILES = {
    "P1": b"P1\n# first # of two\n2 2 #second\n0 1 1 0\n",
    "P2": b"P2 #first # of two\n2 2\n# second\n255\n1 2 3 4\n",
    "P3": b"P3\n# first # of two\n1 2\n#second\n255\n1 2 3 4 5 6\n",
    "P4": b"P4 # first # of two\n2 # second\n2\n\x40\x80",
    "P5": b"P5\n#first # of two\n2 2\n# second\n255\n#abc",
    "P6": b"P6\n# first # of two\n# second\n1 1 255\n#bc",
    "P6 16": b"P6\n# first # of two\n# second\n1 1 65535\nabcdef",
    "Pf": b"Pf\n# first # of two\n2 1 # second\n-1.0\n" + bytes(8),
    "PF": b"PF # first # of two\n1 1\n# second\n1.0\n" + bytes(12),
}


@pytest.mark.parametrize("kind", FILES)
def test_comments_are_found_in_every_header(kind):
    assert parse(FILES[kind], "a").info["comment"] == TEXT
    without = b"\n".join(line.partition(b"#")[0] for line in FILES[kind].split(b"\n")[:5])
    assert comment_of(without) == {}


def test_a_comment_travels_or_is_named(tmp_path):
    source = tmp_path / "a.ppm"
    source.write_bytes(FILES["P6"])

    def made(ending: str, *words: str) -> bytes:
        applied(source, "-k", "identity", "-o", tmp_path / f"b{ending}", "--overwrite", *words)
        return (tmp_path / f"b{ending}").read_bytes()

    assert made(".ppm") == b"P6\n# first # of two\n# second\n1 1\n255\n#bc"
    assert opened(made(".png")).info["Comment"].encode() == TEXT
    assert opened(made(".jpg")).info["comment"] == TEXT
    assert made(".ppm", "--metadata", "none") == b"P6\n1 1\n255\n#bc"
    done = imgconv("apply", source, "-k", "identity", "-o", tmp_path / "b.tif")
    assert "TIFF cannot hold its comment: left out" in done.stderr
    assert '"text"' in imgconv("info", source, "--json").stdout


@pytest.mark.parametrize("form", ["PPM", "PBM"])
def test_bits_are_written_as_pillow_does(form):
    for columns in (1, 7, 8, 19):
        bits = Image.fromarray(noise(5, columns)).point([0] * 128 + [255] * 128, "1")
        picture = Picture(np.asarray(bits.convert("L")), "1", form)
        file = io.BytesIO()
        bits.save(file, "PPM")
        assert encode(picture, form)[0] == file.getvalue()
        picture.info["comment"] = TEXT
        with_comment = encode(picture, form)[0]
        np.testing.assert_array_equal(np.asarray(opened(with_comment)), np.asarray(bits))
        assert parse(with_comment, "a").info["comment"] == TEXT


def test_a_comment_that_no_reader_would_look_through_is_left_out():
    picture = Picture(noise(4, 5), "L", "PNG", {"comment": b"a" * (LONGEST_COMMENT + 1)})
    data, notes = encode(picture, "PPM")
    assert (len(data), notes) == (31, ("its comment is longer than PPM is given one and left out",))
