"""Pictures in the terminal, and nothing of them in a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from makers import imgconv, noise, saved, seen_on, smooth
from PIL import Image
from rich.color import Color

from imgconv.cli.preview import LEAST, MAP_COLUMNS, MOST, NONE, half_blocks, heat_map

TRUE_COLOURS = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "100"}


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(saved(Image.fromarray(smooth(60, 80)), "PNG"))
    Path("mine.txt").write_text("0 1 0; 1 -4 1; 0 1 0".replace("; ", "\n"))


def in_terminal(*words, answer=b"", stdin=True, **more):
    """What appears on a terminal of its own, which tells what it can do by an answer."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, 800, 640))
    given = theirs if stdin else subprocess.DEVNULL
    command = [sys.executable, "-m", "imgconv", *words]
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | TRUE_COLOURS | more
    with subprocess.Popen(command, stdin=given, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        seen = seen_on(ours, asked=b"\x1b[c", answer=answer)
        assert process.wait() == 0, seen
    os.close(ours)
    return seen.decode()


def pixels_of(text):
    """Half blocks as they are drawn: 8-bit RGB."""
    lines = [[]]
    for span in text.spans:
        upper, lower = (
            colour and Color.parse(colour.name).triplet for colour in (span.style.color, span.style.bgcolor)
        )
        lines[-1].append((upper, lower or (0, 0, 0)))
        if text.plain[span.end : span.end + 1] == "\n":
            lines.append([])
    return np.array(lines).transpose(0, 2, 1, 3).reshape(2 * len(lines), -1, 3)


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_half_blocks_are_the_pixels(rows):
    pixels = noise(rows, 5, 3)
    found = pixels_of(half_blocks(pixels))
    np.testing.assert_array_equal(found[:rows], pixels)
    assert len(found) == rows + rows % 2


def test_a_heat_map_has_a_colour_for_the_most_the_least_and_none():
    drawn = pixels_of(heat_map(np.array([[2.0, 0.0], [-2.0, 1.0]])))
    side = MAP_COLUMNS // 2
    assert drawn.shape == (MAP_COLUMNS, MAP_COLUMNS, 3)
    np.testing.assert_array_equal(drawn[0, 0], MOST)
    np.testing.assert_array_equal(drawn[0, side], NONE)
    np.testing.assert_array_equal(drawn[side, 0], LEAST)
    np.testing.assert_array_equal(drawn[side, side], np.rint((MOST + NONE) / 2))
    assert pixels_of(heat_map(np.zeros((501, 3)))).shape[0] < 130
    assert (pixels_of(heat_map(np.zeros((1, 1)))) == NONE).all()


@pytest.mark.parametrize(
    "words",
    [
        ["apply", "a.png", "-k", "blur", "--preview"], ["kernels", "show", "emboss", "--preview", "a.png"],
        ["kernels", "list", "--preview", "a.png"], ["kernels", "show", "gaussian"],
    ],
)  # fmt: skip
def test_a_pipe_has_nothing_of_it(words):
    done = imgconv(*words)
    assert done.returncode == 0, done.stderr
    assert "▀" not in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_before_and_after_stand_side_by_side_on_a_terminal():
    shown = in_terminal("apply", "a.png", "-k", "mine.txt", "--preview", stdin=False)
    lines = [line for line in shown.splitlines() if "▀" in line]
    assert len(lines) == 49 * 60 // 80 // 2 + 1
    assert {line.count("▀") for line in lines} == {2 * 49 + 2}
    assert re.search(r"before +after", shown)
    with Image.open("a.png") as image:  # of the first pixel
        red, green, blue = np.asarray(image.resize((49, 37), Image.Resampling.BICUBIC))[0, 0]
    assert f"38;2;{red};{green};{blue};" in shown


def test_kernels_are_shown_by_colours_and_by_what_they_make():
    shown = in_terminal("kernels", "show", "mine.txt", "--preview", "a.png", stdin=False)
    assert "38;2;196;84;0" in shown  # -4, the largest
    assert re.search(r"the picture +mine\.txt", shown)
    listed = in_terminal("kernels", "list", "--preview", "a.png", stdin=False)
    assert "the picture" in listed
    assert "gaussian:" in listed
    assert listed.count("▀") > 40 * 24 * 8


def test_a_terminal_with_graphics_gets_them():
    pytest.importorskip("textual_image")
    shown = in_terminal("apply", "a.png", "-k", "blur", "--preview", answer=b"\x1b[?62;4;22c")
    assert "\x1bP" in shown  # sixel
    assert "▀" not in shown


def test_pictures_of_many_files_stand_above_the_bar():
    Path("b.png").write_bytes(Path("a.png").read_bytes())
    shown = in_terminal("apply", "a.png", "b.png", "-k", "identity", "--preview", "-j", "1", stdin=False)
    lines = [line for line in shown.splitlines() if "▀" in line]
    assert len(lines) == 2 * 19
    assert not any("━" in line.rpartition("▀")[2] for line in lines)
    assert [line for line in shown.splitlines() if re.match(r"\S*before +after", line)]  # each begins its own line


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_terminal_without_colours_or_blocks_gets_none(more):
    shown = in_terminal("kernels", "show", "mine.txt", stdin=False, **more)
    assert not re.search("▀|2580", shown)
    assert "symmetric" in shown


@pytest.mark.parametrize("words", [["--json"], ["-q"]])
def test_who_asks_for_json_or_nothing_gets_no_pictures(words):
    assert "▀" not in in_terminal("apply", "a.png", "-k", "blur", "--preview", *words, stdin=False)
