"""What values show of themselves in notebooks."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from makers import noise
from PIL import Image

import imgconv
from imgconv.recipe.recipe import Recipe

ARRAY = noise(12, 14)
HOSTILE = imgconv.Kernel(np.ones((2, 2)), name="<script>", about="a & b", source="<img src=x>")


class Reader(HTMLParser):
    """The text of HTML, in which every element must end."""

    def __init__(self):
        super().__init__()
        self.open, self.said, self.seen = [], "", set()

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said += data + "\n"


def values():
    filtered = imgconv.convolve(ARRAY, "1 2 -3; 4 7 2", scale=9)
    yield imgconv.kernel("emboss"), ["Kernel emboss", "sum", "ImageFilter.EMBOSS", "-1", "frequency response"]
    yield imgconv.kernel("gaussian:sigma=9"), ["73×73", "…", "separable", "yes"]
    yield HOSTILE, ["<script>", "a & b"]
    yield Recipe((imgconv.kernel("blur"),)).apply(ARRAY)[2].plans[0], ["Plan: integer", "why", "keep", "proven"]
    yield (
        imgconv.compare_with("pillow", Image.fromarray(ARRAY), "blur", 1),
        ["same bytes", "0 of 168", "imgconv", "peer"],
    )
    yield imgconv.compare_with("scipy", ARRAY, "blur", 1, linear=True), ["cannot do this", "--linear"]
    yield imgconv.match_convention(ARRAY, "1 2 -3; 4 7 2", filtered), ["exact", "convolution", "--mode convolve"]
    yield imgconv.fit_kernel(ARRAY, imgconv.correlate(ARRAY, "3 1; -1 1", scale=4), 2), ["Fit: Kernel", "explains it"]


@pytest.mark.parametrize("number", range(8))
def test_values_show_what_they_are_as_html_and_as_text(number):
    value, words = [*values()][number]
    bundle = value._repr_mimebundle_()
    assert bundle["text/html"] == value._repr_html_()
    reader = Reader()
    reader.feed(bundle["text/html"])
    assert reader.open == []
    assert not reader.seen & {"script", "img", "style"}
    for word in words:
        assert word in reader.said, word
    assert words[0] in bundle["text/plain"]
    assert "<div" not in bundle["text/plain"]
