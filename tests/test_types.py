"""What type checkers say of calls to the library, and that its documentation and its options are the same list."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import imgconv
from imgconv import conventions
from imgconv.recipe.options import Options

ROOT = Path(__file__).resolve().parent.parent
START = """from pathlib import Path
import imgconv
import numpy as np
from PIL import Image
array = np.zeros((5, 5), np.uint8)
image = Image.new("L", (5, 5))
"""
ACCEPTED = """imgconv.correlate(array, "blur", border="wrap", stride=2, dilation=(1, 2), anchor=(1, 1), after=None)
imgconv.correlate(array, border="constant:7", bias=[1.0, 2.0], mask=array, threads=1, vary="gaussian:sigma=0..8")
imgconv.convolve([[1, 2], [3, 4]], [[1, 2]], channels="rgb", like="scipy").astype(float)
imgconv.correlate(array, "blur", out=np.empty_like(array), border="wrap").astype(float)
imgconv.convolve([array, array], "blur", border="wrap").append(array)
imgconv.apply(image, ["blur", imgconv.kernel("blur"), Path("a.toml")], mode="convolve", combine="hypot").getbbox()
image.filter(imgconv.PillowFilter("blur", alpha="keep", mode="convolve"))
imgconv.match_convention(image, "blur", "b.png").best.border.upper()
imgconv.fit_kernel(array, Path("b.npy"), (3, 3)).kernel.weights.sum()
imgconv.compare_with("scipy", image, "blur", 1, border="edge").impossible.upper()
", ".join(imgconv.kernel_names())
options: imgconv.ApplyOptions = {"border": "wrap", "mode": "convolve"}
imgconv.apply(image, "blur", **options)
"""
REFUSED = {
    'imgconv.correlate(array, "blur", boarder="wrap")': 'No overload variant of "correlate"',
    'imgconv.correlate(array, "blur", stride="three")': 'No overload variant of "correlate"',
    'imgconv.correlate([array], "blur").astype(float)': '"list[ndarray',
    'imgconv.convolve(array, "blur", mode="correlate")': 'No overload variant of "convolve"',
    'imgconv.convolve(array, "blur", padding="all")': 'No overload variant of "convolve"',
    'imgconv.apply(image, "blur", like="gimp")': 'Argument "like"',
    'imgconv.apply(array, "blur")': "Argument 1",
    'imgconv.PillowFilter("blur", boarder="wrap")': 'Unexpected keyword argument "boarder"',
    'imgconv.PillowFilter("blur", alpha="premultiplied")': 'Argument "alpha"',
    'imgconv.compare_with("gimp", image, "blur")': "Argument 1",
    'imgconv.compare_with("scipy", image, "blur", methd="direct")': 'Unexpected keyword argument "methd"',
    'imgconv.fit_kernel(array, array, size="3")': 'Argument "size"',
    'imgconv.match_convention(array, "blur")': 'Missing positional argument "result"',
    'imgconv.convolve2d(array, "blur")': "Module has no attribute",
    "imgconv.apply(image, None).nothing": '"Image" has no attribute',
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What `mypy --strict` says of each line."""
    folder = tmp_path_factory.mktemp("types")
    source = folder / "calls.py"
    source.write_text(START + ACCEPTED + "\n".join(REFUSED) + "\n")
    words = ["--strict", "--cache-dir", folder / "cache", "--config-file", ROOT / "pyproject.toml", source]
    done = subprocess.run([sys.executable, "-m", "mypy", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = source.read_text().splitlines()
    errors = re.findall(r"calls\.py:(\d+): error: (.*)", done.stdout)
    assert len(errors) == done.stdout.count(": error: "), done.stdout
    return {lines[int(number) - 1]: text for number, text in errors}


def test_type_checkers_refuse_wrong_calls_and_no_others(said):
    assert list(said) == list(REFUSED)
    for call, words in REFUSED.items():
        assert said[call].startswith(words), call


def documented(function):
    """The entries under **options in a docstring: name to type."""
    entries = re.findall(r"^    ([a-z, ]+) : (.*)$", inspect.getdoc(function), re.MULTILINE)
    return {name: kind for names, kind in entries for name in names.split(", ")}


def test_options_and_their_documentation_are_the_same_list():
    names = {field.name for field in fields(Options)} - {"portable"}  # what the command's --embed asks for
    assert set(imgconv.ApplyOptions.__annotations__) == names
    assert set(imgconv.FilterOptions.__annotations__) == names - {"mode"} == set(documented(imgconv.correlate))
    assert "mode : {" in inspect.getdoc(imgconv.apply)
    (listed,) = re.findall(r"^Options are those of the command line: `(.*?)`", (ROOT / "README.md").read_text(), re.M)
    assert {word.removesuffix("=") for word in listed.split()} == names


def test_the_words_of_options_are_documented_and_known_to_type_checkers():
    kinds = documented(imgconv.correlate) | {"mode": re.search(r"mode : (.*)", inspect.getdoc(imgconv.apply))[1]}
    types = get_type_hints(imgconv.ApplyOptions)
    for name in ("mode", "border", "padding", "anchor", "scale", "method", "after", "alpha", "combine", "like"):
        words = [word for part in (types[name], *get_args(types[name])) for word in get_args(part) if type(word) is str]
        assert words == re.findall(r'"([\w-]+)"', kinds[name]) == list(getattr(conventions, f"{name.upper()}S")), name
    assert re.findall(r"\w+", inspect.getdoc(imgconv.compare_with).split("peer : ")[1].split("\n")[0]) == list(
        conventions.COMPARED
    )
