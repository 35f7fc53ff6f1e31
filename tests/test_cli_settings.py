"""`--explain` says every setting that was in force, in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from makers import imgconv, noise, saved
from PIL import Image

from imgconv.cli.settings import MEANING
from imgconv.conventions import AFTERS, BORDERS, MODES, PADDINGS


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(saved(Image.fromarray(noise(6, 8, 4)), "PNG"))


def told(*words):
    done = imgconv("apply", *words, "--explain", "-o", "out{ext}", "--overwrite")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_setting_is_said():
    text = told(
        "a.png", "-k", "1 2; 3 4", "--mode", "convolve", "--border", "constant:7", "--bias", "5", "--offset", "2"
    )
    for line in (
        "mode convolve: the kernel is rotated by 180° first", "border constant:7: ", "padding same: ", "stride 1,1: ",
        "dilation 1,1: ", "anchor 0,0: ", "channels each: ", "scale 1: ", "offset 2: ", "bias 5: ", "after clip: ",
        "rounding half-up: ", "sums float32: ", "alpha keep: left as it is", "light stored: ",
    ):  # fmt: skip
        assert f"\n      {line}" in text, line
    assert "auto" not in text


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-k", "emboss"], "flip vertical: the kernel is flipped vertically first, as Pillow does"),
        (["-k", "emboss"], "border keep: pixels whose window leaves the picture are copied from it"),
        (["-k", "blur", "--border", "wrap-x"], "border wrap-x: beside, the other end: c d | a b c d | a b; above and"),
        (["-k", "gaussian:1"], "mode correlate: the kernel is slid as it is written"),
        (["-k", "gaussian:1"], "alpha premultiply: colours are weighed by it"),
        (["-k", "1 1; 1 1", "--like", "opencv"], "anchor 1,1: "),
        (["-k", "1 1; 1 1", "--like", "opencv"], "rounding half-even: "),
        (["-k", "1 1; 1 1", "--like", "imagemagick"], "scale 4: "),
        (["-k", "sobel_x", "-k", "sobel_y", "--combine", "hypot", "--linear"], "combine hypot: "),
        (["-k", "blur", "--mask", "radial:inner=0.1"], "mask "),
        (["--vary", "gaussian:sigma=0..2", "--mask", "linear"], "border edge: "),
    ],
)
def test_what_was_asked_for_is_said_in_words(words, line):
    assert f"\n      {line}" in told("a.png", *words)


def test_every_word_of_an_option_has_a_meaning():
    for option, words in (("mode", MODES), ("border", BORDERS), ("padding", PADDINGS), ("after", AFTERS)):
        assert {f"{option} {word}" for word in words} <= MEANING.keys()


def test_an_array_has_neither_alpha_nor_whole_samples():
    np.save("b.npy", np.ones((4, 5)))
    text = told("b.npy", "-k", "blur")
    assert "alpha" not in text
    assert "sums float64" in text
