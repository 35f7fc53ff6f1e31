"""kernels/README.md is current: made again, it has the same words and pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from gallery import PICTURES, ROOT, gallery
from PIL import Image

from imgconv.kernels.catalogue import names
from imgconv.kernels.formulas import FORMULAS

README = Path("kernels") / "README.md"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    gallery(folder)
    return folder


def test_the_gallery_is_current(made):
    assert (ROOT / README).read_text("utf-8") == (made / README).read_text("utf-8")
    pictures = sorted(path.name for path in (made / PICTURES).iterdir())
    assert pictures == sorted(path.name for path in (ROOT / PICTURES).iterdir())
    for name in pictures:  # formulas are NumPy's to the last bit, which may be another on another machine
        ours, theirs = (np.asarray(Image.open(root / PICTURES / name)).astype(int) for root in (made, ROOT))
        assert np.abs(ours - theirs).max() <= 1, f"{name}: python tests/gallery.py makes the gallery anew"


def test_it_shows_every_kernel_and_formula():
    text = (ROOT / README).read_text("utf-8")
    for name in [*names(), *(f"{name}:" for name in FORMULAS if name != "identity")]:
        assert f"`-k {name}" in text
    shown = re.findall(r"\]\(\.\./(.*?)\)", text)
    assert len(shown) == len(set(shown)) == len(list((ROOT / PICTURES).iterdir()))
    assert sum((ROOT / path).stat().st_size for path in shown) < 1.5e6


def test_it_makes_the_same_bytes_again(made, tmp_path):
    gallery(tmp_path)
    for path in made.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(made)).read_bytes()
