"""Plots: of a kernel, with what it does to waves and edges, and of a benchmark."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from makers import imgconv as command
from PIL import Image

import imgconv
from imgconv.kernels.shown import planes, response, step_response
from imgconv.plots import drawn, kernel_figure

pytestmark = pytest.mark.usefixtures("here")

pytest.importorskip("matplotlib", reason="there is no matplotlib")


@pytest.mark.parametrize("spec", ["emboss", "gaussian:sigma=1.5", "1 2 -3 4; 4 7 2 9", "1 2"])
def test_the_frequency_response_is_that_of_numpys_transform(spec):
    (weights,) = planes(imgconv.kernel(spec))
    size = 32
    spectrum = np.abs(np.fft.fft2(weights, (size, size)))
    inner = np.fft.ifftshift(response(weights, size)[:-1, :-1])  # whose last row and column are the first again
    assert inner == pytest.approx(spectrum, abs=1e-12)


@pytest.mark.parametrize("spec", ["emboss", "gaussian:sigma=1.5", "1 2 -3 4; 4 7 2 9"])
def test_the_step_response_is_a_filtered_step(spec):
    (weights,) = planes(imgconv.kernel(spec))
    for axis in (0, 1):
        taps = weights.shape[axis]
        step = np.zeros((40, 40))
        step[(slice(None),) * axis + (slice(20, None),)] = 1
        filtered = np.moveaxis(imgconv.correlate(step, weights, padding="valid"), axis, 0)[:, 0]
        expected = step_response(weights, axis)
        assert filtered[20 - taps : 20 + 2] == pytest.approx(expected, abs=1e-12)


def test_a_kernel_is_drawn_in_each_format_the_same_each_time_and_without_a_home(monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", "")  # which drawing sets
    Path("tmp").mkdir()
    Path("home").mkdir(mode=0o500)
    done = command("kernels", "show", "emboss", "--plot", "a.svg", env=os.environ | {"HOME": "home", "TMPDIR": "tmp"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("emboss\n")
    assert list(Path("tmp").iterdir()) == []
    texts = {each.text for each in ElementTree.parse("a.svg").iter("{http://www.w3.org/2000/svg}text")}
    assert {"Weights, as written", "Step response", "cycles a pixel", "pixels from the edge", "weight"} <= texts
    png, svg, pdf = (drawn(lambda: kernel_figure(imgconv.kernel("emboss")), form) for form in ("png", "svg", "pdf"))
    with Image.open(io.BytesIO(png)) as image:
        assert image.size == (1650, 990)
    assert Path("a.svg").read_bytes() == svg
    assert pdf.startswith(b"%PDF")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("a.jpg", "--plot a.jpg: a plot's name ends in .png, .svg or .pdf"),
        ("old.png", "old.png: exists; --overwrite replaces it"),
    ],
)
def test_what_cannot_be_drawn_is_refused(name, error):
    Path("old.png").touch()
    for words in (["kernels", "show", "blur"], *([["bench", "--size", "0.001"]] if name == "a.jpg" else [])):
        done = command(*words, "--plot", name)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"imgconv: {error}\n")


def test_without_matplotlib_it_is_said_how_to_get_it():
    code = "import sys; sys.modules['matplotlib'] = None; del sys.argv[0]; from imgconv.__main__ import main; main()"
    words = [sys.executable, "-c", code, "imgconv", "kernels", "show", "blur", "--plot", "a.png"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("which is not installed: pip install 'imgconv[plot]'\n")


def test_a_program_that_is_started_later_is_not_told_of_a_folder_that_is_gone():
    drawn(lambda: kernel_figure(imgconv.kernel("blur")), "svg")
    assert Path(os.environ.get("MPLCONFIGDIR", ".")).is_dir()
