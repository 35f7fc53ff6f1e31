"""--report: a page that is whole or not there, small, and without anything from elsewhere."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from makers import imgconv as command
from makers import leftovers, noise, saved, smooth
from PIL import Image

import imgconv
from imgconv.batch.report import Outcome
from imgconv.batch.targets import Job
from imgconv.cli.report import MOST_PICTURES, section_of
from imgconv.formats.picture import Picture
from imgconv.formats.preview import as_bytes, shown_range
from imgconv.page import page
from imgconv.page.section import changes, histogram, section
from imgconv.recipe.recipe import Recipe

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(saved(Image.fromarray(smooth(20, 30)), "PNG"))


def data_of(path):
    """What a page's scripts are given."""
    text = Path(path).read_text("utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_a_page_says_what_was_done():
    done = command("apply", "a.png", "-k", "blur", "-k", "sharpen", "--report", "a.html")
    assert (done.returncode, done.stderr) == (0, "")
    data = data_of("a.html")
    (told,) = data["sections"]
    assert data["title"] == told["title"] == "a.png → a.blur+sharpen.png"
    assert data["about"] == f"imgconv {imgconv.__version__}: imgconv apply a.png -k blur -k sharpen --report a.html"
    assert [kernel["name"] for kernel in data["kernels"]] == ["blur", "sharpen"]
    facts = dict(told["facts"])
    assert (facts["picture"], facts["kernel"], facts["computed"][:9]) == ("30×20 RGB", "blur+sharpen", "2 kernels")
    assert {name for name, _ in told["times"]} >= {"read", "filter", "write"}
    assert told["sum"]["before"] == "blur"


def test_a_page_has_a_section_for_each_picture_and_says_what_failed():
    Path("b.png").write_bytes(b"no picture")
    done = command("apply", "a.png", "b.png", "-k", "blur", "--report", "all.html", "-j", "2")
    assert done.returncode == 1
    first, second = data_of("all.html")["sections"]
    assert first["title"] == "a.png → a.blur.png"
    assert "regions" not in first
    assert second["error"].startswith("b.png: ")
    assert done.stderr.startswith(f"imgconv: {second['error']}")


def test_a_picture_in_place_is_shown_as_it_was():
    before = Path("a.png").read_bytes()
    assert command("apply", "a.png", "-k", "sobel_x", "--in-place", "--report", "a.html").returncode == 0
    assert Path("a.png").read_bytes() != before
    assert data_of("a.html")["sections"][0]["largest"] > 0


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["a.png", "--report", "a.htm.png"], "--report a.htm.png: is a page, so its name ends in .html"),
        (["a.png", "--report", "none/a.html"], "--report none/a.html: there is no folder none"),
        (["a.png", "--report", "old.html"], "old.html: exists; --overwrite replaces it"),
        (["-", "-o", "b.png", "--report", "a.html"], "standard input can be read only once"),
        (["a.png", "--watch", "--report", "a.html"], "--watch has no end"),
    ],
)
def test_what_cannot_be_reported_is_refused_before_any_work(words, error):
    Path("old.html").write_text("old")
    done = command("apply", *words, "-k", "blur", input="")
    assert done.returncode == 2
    assert error in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "old.html"]
    assert Path("old.html").read_text() == "old"


def test_a_dry_run_writes_no_page_and_overwrite_replaces_one():
    assert command("apply", "a.png", "-k", "blur", "-n", "--report", "a.html").returncode == 0
    assert [path.name for path in Path().iterdir()] == ["a.png"]
    Path("a.html").write_text("old")
    assert command("apply", "a.png", "-k", "blur", "--report", "a.html", "--overwrite").returncode == 0
    assert data_of("a.html")["sections"]
    assert leftovers(Path()) == []


def test_nothing_on_a_page_is_from_elsewhere_and_names_are_no_markup():
    name = "<b>&amp;</script>.png"
    given = section(Picture(noise(4, 5), "L", "PNG"), None, "", Recipe((imgconv.kernel("blur"),)))
    text = page(name, name, (imgconv.kernel("blur"),), [given | {"title": name, "facts": []}]).decode()
    assert text.count("</script>") == 2
    assert unescape(re.search("<title>(.*)</title>", text)[1]) == name
    assert set(re.findall(r"https?://[^\"']*", text)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text


def test_a_page_of_a_photo_of_12_megapixels_is_small():
    with Image.open(SAMPLES / "coffee.png") as photo:
        tile = np.asarray(photo.convert("RGB"))
    photo = np.tile(tile, (8, 7, 1))[:3000, :4000]
    kernel = imgconv.kernel("edge_enhance")
    given = section(Picture(photo, "RGB", "PNG"), None, "", Recipe((kernel,)))
    assert len(page("photo", "", (kernel,), [given])) < 3e6
    assert len(given["regions"]) == 2


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_histograms_and_differences_count_every_sample(dtype):
    before = noise(70, 30, 3, dtype="uint16").astype(dtype)
    after = before.copy()
    after[3, 4, 1] = after[3, 4, 1] / 2 + 9
    change = changes(before, after)
    assert (np.count_nonzero(change), change.max()) == (1, abs(float(after[3, 4, 1]) - float(before[3, 4, 1])))
    low, high = shown_range(before)
    counts = histogram(before, low, high)
    assert [sum(channel) for channel in counts] == [2100] * 3
    assert counts[0] == np.bincount(as_bytes(before[:, :, 0], low, high).ravel(), minlength=256).tolist()


def test_match_and_fit_show_what_they_found():
    done = command("apply", "a.png", "-k", "1 2 -3; 4 7 2", "--mode", "convolve", "--scale", "13", "-o", "b.png")
    assert done.returncode == 0
    assert command("match", "a.png", "1 2 -3; 4 7 2", "b.png", "--report", "match.html").returncode == 0
    assert command("fit", "a.png", "b.png", "--size", "2,3", "--report", "fit.html").returncode in (0, 1)
    for name in ("match", "fit"):
        data = data_of(f"{name}.html")
        (told,) = data["sections"]
        assert (data["title"], told["result_size"]) == ("a.png → b.png", [20, 30])
        assert np.shape(told["sum"]["planes"]) == (1, 2, 3)
        assert len(data["kernels"]) == 1
    assert data_of("match.html")["sections"][0]["facts"][0][1].startswith("convolution (kernel flipped on both axes)")
    again = command("match", "a.png", "blur", "b.png", "--report", "match.html")
    assert (again.returncode, again.stderr) == (2, "imgconv: match.html: exists; --overwrite replaces it\n")
    assert command("match", "a.png", "blur", "b.png", "--report", "match.html", "--overwrite").returncode == 1


def test_compare_shows_two_pictures_or_where_a_peer_differs():
    assert command("apply", "a.png", "-k", "emboss", "-o", "b.png").returncode == 0
    done = command("compare", "a.png", "b.png", "--report", "two.html")
    (told,) = data_of("two.html")["sections"]
    assert (done.returncode, told["sum"]) == (1, None)
    assert told["facts"] == [["said", done.stdout.strip().partition("b.png   ")[2]]]
    words = ["-k", "1 1", "--scale", "2", "--peer", "opencv"]  # which rounds ties to even
    done = command("compare", "a.png", *words, "--report", "peers.html")
    first, second = data_of("peers.html")["sections"]
    assert (done.returncode, first["title"], second["title"]) == (1, "a.png → matrix", "imgconv → OpenCV")
    assert first["sum"]["scale"] == 2
    assert second["differing"] == int(done.stdout.split()[2].replace(",", ""))


def test_a_page_has_an_end():
    outcome = Outcome(Job(Path("a.png"), Path("b.png"), "PNG"))
    assert section_of(outcome, "blur", [], MOST_PICTURES)["error"] == "not shown: a page has 500 pictures at most"
