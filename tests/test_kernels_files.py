import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

import imgconv
from imgconv.cli import cli
from imgconv.conventions import KERNEL_FORMATS
from imgconv.errors import KernelError
from imgconv.kernels import catalogue
from imgconv.kernels.files import ENDINGS, parse, read_kernels
from imgconv.kernels.spec import kernel, kernels
from imgconv.kernels.value import Kernel
from imgconv.kernels.write import encode

# no deadline: the machine that runs this may be busy
trials = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
BARE = ("text", "csv", "npy", "gmic")
ROWS = np.array([[1, -2, 3], [4, 5, -6], [7, 8, 10.5]])


def back(made: Kernel, form: str) -> Kernel:
    return parse(encode([made], form)[0], form, made.name)[0]


def notes(made: Kernel, form: str) -> str:
    return "\n".join(encode([made], form)[1])


def taps(made: Kernel) -> dict[tuple[int, int], float]:
    """What a kernel does, whatever its shape: weight by distance from the output pixel."""
    weights, anchor = made.weights, made.anchor
    if made.like == "pillow":
        weights, anchor = weights[::-1], anchor and (weights.shape[0] - 1 - anchor[0], anchor[1])
    anchor = anchor or tuple((k - 1) // 2 for k in weights.shape)
    return {
        (i - anchor[0], j - anchor[1]): weights[i, j] / made.scale
        for i, j in np.argwhere(weights / made.scale).tolist()
    }


finite = st.floats(allow_nan=False, allow_infinity=False)
mild = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)
text = st.text(st.characters(exclude_categories=("Cs",)))


@st.composite
def any_kernel(draw, weights=finite, scale=finite, levels=(2,), likes=(None,)):
    shape = [draw(st.integers(1, 5)), draw(st.integers(1, 5))]
    shape += [draw(st.integers(1, 3)) for _ in range(draw(st.sampled_from(levels)) - 2)]
    numbers = draw(st.lists(weights, min_size=math.prod(shape), max_size=math.prod(shape)))
    anchor = draw(st.none() | st.tuples(st.integers(0, shape[0] - 1), st.integers(0, shape[1] - 1)))
    return Kernel(
        np.array(numbers).reshape(shape), scale=draw(scale.filter(bool)), offset=draw(weights), name="k",
        anchor=anchor, border=draw(st.none() | st.just("reflect")), like=draw(st.sampled_from(likes)),
        about=draw(text), title=draw(text), source=draw(text),
    )  # fmt: skip


@pytest.mark.parametrize("form", ["toml", "json"])
@trials
@given(made=any_kernel(levels=(2, 3, 4), likes=(None, "pillow")))
def test_toml_and_json_lose_nothing(form, made):
    assert back(made, form) == made
    assert notes(made, form) == ""


@pytest.mark.parametrize("form", BARE)
@trials
@given(made=any_kernel(scale=st.just(1.0)))
def test_bare_matrices_hold_the_weights_to_the_last_bit(form, made):
    plain = Kernel(made.weights, name="k")
    assert back(plain, form) == plain
    assert notes(plain, form) == ""


@trials
@given(made=any_kernel(levels=(2, 3, 4)))
def test_npy_holds_every_level(made):
    plain = Kernel(made.weights, name="k")
    assert back(plain, "npy") == plain


@trials
@given(made=any_kernel())
def test_imagemagick_holds_weights_and_anchor(made):
    plain = Kernel(made.weights, name="k", anchor=made.anchor)
    assert back(plain, "imagemagick") == plain
    assert notes(plain, "imagemagick") == ""


@trials
@given(made=any_kernel())
def test_vips_holds_weights_scale_and_offset(made):
    anchor = tuple(k // 2 for k in made.weights.shape)
    if anchor == tuple((k - 1) // 2 for k in made.weights.shape):
        anchor = None
    plain = Kernel(made.weights, made.scale, made.offset, "k", anchor=anchor)
    assert back(plain, "vips") == plain
    assert notes(plain, "vips") == ""


whole = st.integers(-300, 300).map(float)


@trials
@given(weights=st.lists(whole, min_size=25, max_size=25), scale=st.integers(1, 999), offset=st.floats(0, 1e6))
def test_ffmpeg_holds_whole_weights_scale_and_offset(weights, scale, offset):
    plain = Kernel(np.array(weights).reshape(5, 5), scale, offset, "k")
    assert back(plain, "ffmpeg") == plain
    assert set(encode([plain], "ffmpeg")[1]) <= {
        "ffmpeg 5.1 ignores rdiv and divides by the sum of the weights; newer ones obey it"
    }


@pytest.mark.parametrize("form", ["png", "pgm"])
@trials
@given(levels=st.lists(st.integers(0, 65535), min_size=12, max_size=12).filter(any))
def test_pictures_hold_grey_levels(form, levels):
    weights = np.array(levels, float).reshape(3, 4)
    plain = Kernel(weights, weights.sum(), name="k")
    assert back(plain, form) == plain
    assert notes(plain, form) == ""


@pytest.mark.parametrize("form", KERNEL_FORMATS)
@trials
@given(made=any_kernel(mild, mild, likes=(None, "pillow")))
@example(Kernel([[1, 2], [3, 4]], anchor=(1, 0)))
@example(Kernel([[1, 2], [3, 4]], scale=-1 / 3, like="pillow"))
def test_a_converted_kernel_does_the_same(form, made):
    try:
        found, said = encode([made], form)
    except KernelError as problem:
        assert "grey" in str(problem) or "7×7" in str(problem)  # noqa: PT017
        return
    after = parse(found, form, "k")[0]
    wanted = taps(made)
    if form in ("png", "pgm"):
        total = sum(wanted.values())
        wanted = {where: weight / total for where, weight in wanted.items()}
    got = taps(after)
    tolerance = 1e-9
    if any("whole numbers" in note or "levels of grey" in note for note in said):
        tolerance = 1e-3 * max(map(abs, wanted.values()), default=0)
    for where in wanted.keys() | got.keys():
        assert got.get(where, 0) == pytest.approx(wanted.get(where, 0), rel=1e-9, abs=tolerance)
    assert after.offset == made.offset or "offset" in "\n".join(said)
    for key in ("border", "title", "about", "source"):
        assert (
            getattr(after, key) == getattr(made, key) or key in "\n".join(said) or (form, key) == ("ffmpeg", "border")
        )


def test_what_a_format_cannot_hold_is_said():
    asked = Kernel(ROWS, scale=2, offset=3, anchor=(0, 1), border="wrap", about="x")
    assert notes(asked, "csv") == (
        "csv holds no anchor: zeros put it in the middle of 5×3 weights\n"
        "csv holds no scale: the weights are divided by 2\n"
        "csv holds no offset 3, border wrap, about: left out"
    )
    assert "0 5 7\n" not in encode([asked], "text")[0].decode()
    assert notes(Kernel(ROWS, border="edge"), "vips") == ""
    assert "upside down" in notes(Kernel(ROWS, like="pillow"), "gmic")
    assert "rounded" in notes(Kernel([[math.pi, 1, 0]]), "ffmpeg")
    assert "below 0" in notes(Kernel([[1, 2, 3]], offset=-1), "ffmpeg")
    assert "ignores rdiv" in notes(Kernel([[1, 2, 3]], scale=5), "ffmpeg")
    assert "off by at most" in notes(Kernel([[0.1, 0.3, 1]], scale=1.4), "png")
    assert "not to 3" in notes(Kernel([[1, 2, 3]], scale=2), "pgm")


@pytest.mark.parametrize(
    ("made", "form", "words"),
    [
        (Kernel(np.ones((9, 9))), "ffmpeg", "7×7"),
        (Kernel(np.ones((1, 51))), "ffmpeg", "1×49"),
        (Kernel([[1, -1]]), "png", "below 0"),
        (Kernel([[0, 0]]), "pgm", "zeros alone"),
        (Kernel(np.ones((3, 3, 2))), "csv", "not 3 levels"),
        (Kernel(np.ones((3, 3, 2, 2))), "imagemagick", "not 4 levels"),
        (Kernel([[1e300]], scale=1e-300), "text", "too large"),
        (Kernel([[1e-300, 1e-310, 1e-305]], scale=1e200), "ffmpeg", "too far apart"),
        (Kernel(np.ones((4095, 1)), anchor=(4094, 0)), "npy", "would be 8189×1"),
        (Kernel(np.full((700, 700), 1 / 3)), "toml", "write npy"),
    ],
)
def test_what_a_format_cannot_hold_at_all_is_refused(made, form, words):
    with pytest.raises(KernelError, match=words):
        encode([made], form)


def test_endings(tmp_path):
    assert len(set(ENDINGS)) == len(ENDINGS)
    made = Kernel([[1, 2, 1], [2, 4, 2], [1, 2, 1]], 16, name="k")
    for form, endings in KERNEL_FORMATS.items():
        for ending in endings:
            path = tmp_path / f"k{ending.upper()}"
            path.write_bytes(encode([made], form)[0])
            assert taps(kernel(str(path))) == taps(made)
            assert kernel(path).name == "k"
    with pytest.raises(KernelError) as problem:
        kernel("./k.xyz")
    assert all(ending in str(problem.value) for ending in ENDINGS)


@pytest.mark.parametrize("name", ["emboss", "edge_enhance", "sobel_x", "gaussian_blur"])
def test_the_catalogue_converts(name):
    for form in set(KERNEL_FORMATS) - {"png", "pgm"}:
        assert taps(back(kernel(name), form)) == taps(kernel(name))


# ------------------------------------------------------------------------------------------------ in place


@pytest.mark.parametrize(
    ("spec", "weights", "anchor"),
    [
        ("3x3: 0,-1,0 -1,5,-1 0,-1,0", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]], None),
        ("3: 1,2,3 4,5,6 7,8,9", [[1, 2, 3], [4, 5, 6], [7, 8, 9]], None),
        ("3x3+0+2: 1 2 3 4 5 6 7 8 9", [[1, 2, 3], [4, 5, 6], [7, 8, 9]], (2, 0)),
        ("3x1+2:1,2,3", [[1, 2, 3]], (0, 2)),
        ("2x3:1,2 3,4\n5,6", [[1, 2], [3, 4], [5, 6]], None),
        ("3x2: nan,-,1 .5,NaN,-2;", [[0, 0, 1], [0.5, 0, -2]], None),
        ("(0,1,0;1,-4,1;0,1,0)", [[0, 1, 0], [1, -4, 1], [0, 1, 0]], None),
        (" ( -1e-3 , 2 ) ", [[-0.001, 2]], None),
        ("0m=1 2 3 4 5 6 7 8 9:0rdiv=1/45:0bias=0", [[1, 2, 3], [4, 5, 6], [7, 8, 9]], None),
        ("convolution='1|2|3:1 2 3:0mode=row:1mode=1'", [[1, 2, 3]], None),
        ("0m=1 2 3:0mode=column", [[1], [2], [3]], None),
    ],
)
def test_other_tools_kernels_in_place(spec, weights, anchor):
    found = kernel(spec)
    assert found.weights.tolist() == weights
    assert found.anchor == anchor
    assert kernels(spec) == [found]


def test_taps_outside_an_imagemagick_kernel_are_said():
    assert kernel("3x1: nan,1,-").about == "2 taps that the ImageMagick string leaves out weigh 0 here."


@pytest.mark.parametrize(
    ("spec", "scale", "offset"),
    [
        ("0m=1 2 1 2 4 2 1 2 1", 16, 0),
        ("0m=1 0 -1 2 0 -2 1 0 -1:0bias=128", 1, 128),
        ("0m=1 2 1 2 4 2 1 2 1:0rdiv=1/9:0bias=2", 9, 2),
        ("0m=1 2 1 2 4 2 1 2 1:0rdiv=0.25", 4, 0),
        ("convolution=" + "1 2 1 2 4 2 1 2 1:" * 4 + "1/9:" * 4 + "3:3:3:3", 9, 3),
    ],
)  # fmt: skip
def test_ffmpegs_rdiv_and_bias(spec, scale, offset):
    assert (kernel(spec).scale, kernel(spec).offset) == (scale, offset)


def test_lists_and_flags_give_several_kernels():
    found = kernels("3x1: 1,2,3; 1x3: 4,5,6;")
    assert [k.weights.tolist() for k in found] == [[[1, 2, 3]], [[4], [5], [6]]]
    assert [k.name for k in found] == ["matrix_1", "matrix_2"]
    for flag, count in [("@", 8), (">", 4), ("<", 4)]:
        assert len(kernels(f"3x3{flag}: 1,2,3 4,5,6 7,8,9")) == count
    with pytest.raises(KernelError, match=r"gives 4 kernels.*-k takes them as several"):
        kernel("3x3>: 1,2,3 4,5,6 7,8,9")
    with pytest.raises(KernelError, match="holds one kernel, not 2"):
        encode(found, "toml")
    said = encode(found, "imagemagick")[0]
    assert said == b"3x1: 1,2,3; 1x3: 4 5 6\n"
    assert parse(said, "imagemagick", "matrix") == found


def test_a_matrix_of_imgconvs_own_is_still_one():
    assert kernel("1 2; 3 4").weights.tolist() == [[1, 2], [3, 4]]
    assert kernels(ROWS) == [Kernel(ROWS, name="array")]
    made = Kernel(ROWS)
    assert kernels(made) == [made]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("3x3: 1,2,3", "holds 3 numbers; 3x3 needs 9"),
        ("3x3: 1,2,3 4,5,6 7,8,9,10", "holds 10 numbers"),
        ("3x3:", "holds 1 numbers"),
        ("999999999x999999999: 1", "needs 999999998000000001"),
        ("0x0: 1", "0x0 needs 0"),
        ("3x3+3+0: 1 2 3 4 5 6 7 8 9", "outside 3x3"),
        ("3x3-1-1: 1 2 3 4 5 6 7 8 9", "not a size"),
        ("2x1: nan,-", "holds no number"),
        ("2x1: inf,1", "finite"),
        ("2x1: 1,,1", "holds 3 numbers"),
        ("2x2: 1,,1 2", "'' is not a number"),
        ("2x1: 1e999,1", "finite"),
        ("3x2>: 1 2 3 4 5 6", "by 90°, not 3x2"),
        ("5x5@: " + "1 " * 25, "by 45°, not 5x5"),
        ("1x1: 1;" * 300, "more than 256 kernels"),
        ("3x1: 1,2,3; Sobel", "own names"),
        ("(1,2;3)", "row 2 has 1"),
        ("()", "no numbers"),
        ("(1,2", "no matrix"),
        ("((1,2))", "no matrix"),
        ("(1,2^3,4)", "slice or channel"),
        ("(1,2/3,4)", "slice or channel"),
        ("(1,nan)", "finite"),
        ("0m=1 2 3", "9, 25 or 49"),
        ("0m=1 2 3 4:0mode=row", "an odd number"),
        ("0m=" + "1 " * 51 + ":0mode=row", "an odd number"),
        ("0m=1.5 2 3:0mode=row", "whole number"),
        ("0m=1 2 3:0mode=diagonal", "square, row or column"),
        ("0m=1 2 3:0mode=row:0rdiv=-1", "below 0"),
        ("0m=1 2 3:0mode=row:0rdiv=x", "not a number"),
        ("0m=1 2 3:0mode=row:0rdiv=1e-320", "scale"),
        ("0m=1 2 3:0mode=row:size=3", "no option"),
        ("0m=1 2 3:1m=3 2 1:0mode=row:1mode=row", "different kernels"),
        ("convolution=0rdiv=1", "no matrix"),
    ],
)
def test_broken_kernels_of_other_tools_get_one_line(spec, words):
    with pytest.raises(KernelError, match=re.escape(words)) as problem:
        kernels(spec)
    assert "\n" not in str(problem.value)
    assert len(str(problem.value)) < 250


# ------------------------------------------------------------------------------------------------ hostile files


def png(columns=3, rows=3, depth=8, colour=0, body=None) -> bytes:
    """A PNG made by hand: it may promise what it does not hold."""

    def chunk(kind, data):
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    header = columns.to_bytes(4) + rows.to_bytes(4) + bytes([depth, colour, 0, 0, 0])
    body = zlib.compress(b"\0\1\2\3" * 3) if body is None else body
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def npy(header: str, body=b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header.encode() + b"\n" + body


HOSTILE = [
    ("json", b"", "is empty"),
    ("json", b"[" * 100_000, "nested too deeply"),
    ("json", b'{"weights":' + b"[" * 100_000, "nested too deeply"),
    ("json", b"[[1" + b"0" * 5000 + b"]]", "not JSON"),
    ("json", b"[[NaN, 1]]", "finite"),
    ("json", b"[[1e999, 1]]", "finite"),
    ("json", b"[[true, 1]]", "not a number"),
    ("json", b'[["1", 1]]', "not a number"),
    ("json", b"[[[[[1]]]]]", "not a number"),
    ("json", b"[[[1, 2], [3]]]", "equally long"),
    ("json", b"[1, 2]", "rows of numbers"),
    ("json", b"3", "no JSON object"),
    ("json", b"{}", "has no weights"),
    ("json", b'{"weights": [[1]], "weights": [[2]]}', "comes twice"),
    ("json", b'{"weights": [[1]], "scael": 2}', "did you mean 'scale'"),
    ("json", b'{"weights": [[1]], "about": "\\ud800"}', "half a character"),
    ("json", b'{"weights": [[1]], "about": ["x"]}', "must be text"),
    ("json", b'{"weights": [[1]], "scale": 0}', "scale"),
    ("json", b"\xff", "not text"),
    ("toml", b"weights = [[1" + b"0" * 5000 + b"]]", "not TOML"),
    ("toml", b"weights = [[[1, 2], [3, 4, 5]]]", "equally long"),
    ("toml", b"a." * 2**18, "dotted keys"),
    ("toml", b"1." * 2**18, "dotted keys"),
    ("toml", b"1 .\t" * 2**17, "dotted keys"),
    ("toml", b'"=,".' * 2**17, "dotted keys"),
    ("toml", b"." + b" " * 2**19 + b"x", "not TOML"),
    ("pgm", b"P2" + b"#\n" * 2**20, "no PGM"),
    ("vips", b"", "no libvips matrix"),
    ("vips", b"3 3", "no numbers"),
    ("vips", b"3\n1 2 3", "no libvips matrix"),
    ("vips", b"3 1 1 0 0\n1 2 3", "no libvips matrix"),
    ("vips", b"3 -1\n1 2 3", "sizes are 1 to 4095"),
    ("vips", b"2.5 1\n1 2 3", "sizes are 1 to 4095"),
    ("vips", b"1e9 1e9\n1", "sizes are 1 to 4095"),
    ("vips", b"3 2\n1 2 3", "2 rows of 3 numbers; it holds 1 rows of 3"),
    ("vips", b"2 1 0\n1 2", "scale"),
    ("vips", b"2 1 nan\n1 2", "finite"),
    ("vips", b"MATLAB 5.0 MAT-file", "MATLAB"),
    ("imagemagick", b"", "holds no kernel"),
    ("imagemagick", b"Gaussian:0x2", "own names"),
    ("imagemagick", b"1 2 3", "needs 9, 25, 49"),
    ("ffmpeg", b"", "9, 25 or 49"),
    ("ffmpeg", b"9" * 100, "whole number"),
    ("gmic", b"1 2 3", "no matrix"),
    ("text", b"1 2\n3\n", "row 2 has 1"),
    ("npy", b"", "not a sound"),
    ("npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }", b"x" * 8), "shape (-1, -1)"),
    ("npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999), }"), "k.npy"),
    ("npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 99 + "), }", b"x" * 8), "k.npy"),
    ("npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1), }", b"x" * 8), "levels"),
    ("npy", npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4096, 1), }", b"x" * 4096), "4095 on a side"),
    ("npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }", b"x" * 8), "not real numbers"),
    ("npy", npy("{'descr': '<c16', 'fortran_order': False, 'shape': (1, 1), }", b"x" * 16), "not real numbers"),
    ("npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }", b"\0\0\0\0\0\0\xf8\x7f"), "finite"),
    ("png", b"", "no PNG"),
    ("png", png()[:30], "not a sound"),
    ("png", png()[:50], "not a sound"),
    ("png", png(2**31 - 1, 2**31 - 1), "more than 4095"),
    ("png", png(colour=2), "colours or alpha"),
    ("png", png(colour=3), "colours or alpha"),
    ("png", png(colour=4), "colours or alpha"),
    ("png", png(depth=7), "not a sound"),
    ("png", png(body=b"not deflated"), "not a sound"),
    ("png", png(body=zlib.compress(bytes(12))), "black all over"),
    ("pgm", b"", "no PGM"),
    ("pgm", b"P6 1 1 255 abc", "colours"),
    ("pgm", b"P5 -1 1 255 a", "no PGM"),
    ("pgm", b"P5 99999 99999 255 a", "sizes are 1 to 4095"),
    ("pgm", b"P5 4095 4095 65535 a", "cut short"),
    ("pgm", b"P5 1 1 65536 a", "largest level"),
    ("pgm", b"P5 2 1 9 ab", "above 9"),
    ("pgm", b"P2 2 1 9\n1", "holds 1 levels"),
    ("pgm", b"P2 2 1 9\n1 x", "not a whole number"),
    ("pgm", b"P2 2 1 9\n0 0", "black all over"),
]


@pytest.mark.parametrize(("form", "data", "words"), HOSTILE, ids=lambda value: repr(value)[:20])
def test_hostile_files_get_one_line(tmp_path, form, data, words):
    path = tmp_path / f"k{KERNEL_FORMATS[form][0]}"
    path.write_bytes(data)
    with pytest.raises(KernelError, match=re.escape(words)) as problem:
        read_kernels(path)
    assert str(problem.value).startswith(f"{path}: ")
    assert "\n" not in str(problem.value)
    assert len(str(problem.value)) < 250 + len(str(path))


@pytest.mark.parametrize("form", KERNEL_FORMATS)
def test_files_are_capped_and_regular(tmp_path, form):
    big = tmp_path / f"big{KERNEL_FORMATS[form][0]}"
    with open(big, "wb") as file:
        file.truncate(129 * 2**20)
    with pytest.raises(KernelError, match="more than the"):
        kernel(big)
    pipe = tmp_path / f"pipe{KERNEL_FORMATS[form][0]}"
    os.mkfifo(pipe)
    with pytest.raises(KernelError, match="not a regular file"):
        kernel(pipe)


SEEDS = {form: [data for kind, data, _ in HOSTILE if kind == form] for form in KERNEL_FORMATS}
for _form in KERNEL_FORMATS:
    SEEDS[_form].append(encode([Kernel([[1, 2, 1], [2, 4, 2], [1, 2, 1]], 16)], _form)[0])


@st.composite
def nearly(draw, form):
    """Bytes that begin well: a sound or hostile file, cut, or with some bytes replaced."""
    data = bytearray(draw(st.sampled_from(SEEDS[form]))[:400])
    for _ in range(draw(st.integers(0, 4))):
        where = draw(st.integers(0, len(data)))
        data[where : where + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(data)


@pytest.mark.parametrize("form", KERNEL_FORMATS)
@trials
@given(data=st.data())
def test_no_bytes_raise_anything_but_a_kernel_error(form, data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"fuzz{KERNEL_FORMATS[form][0]}"
    path.write_bytes(data.draw(st.binary(max_size=200) | nearly(form)))
    try:
        found = read_kernels(path)
    except KernelError as problem:
        assert "\n" not in str(problem)  # noqa: PT017
    else:
        assert all(isinstance(made, Kernel) for made in found)


@trials
@given(st.text(max_size=60) | st.text("0123456789x+-@<>:,; .()=|/nambirdv", max_size=60))
def test_no_text_after_k_raises_anything_but_a_kernel_error(spec):
    try:
        assert kernels(spec)
    except KernelError as problem:
        assert str(problem)  # noqa: PT017


def test_pictures_as_kernels(tmp_path):
    for mode, dtype in [("L", np.uint8), ("I;16", np.uint16)]:
        levels = np.array([[1, 2], [3, 200 if mode == "L" else 40000]], dtype)
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "PNG")
        found = parse(file.getvalue(), "png", "k")[0]
        assert found.weights.tolist() == levels.tolist()
        assert found.scale == levels.sum()
    for text_or_bytes in (b"P2 # a\n2 # b\n 2\n100\n1 2 # c\n3 100\n", b"P5 2 2 100\n\1\2\3\x64"):
        assert parse(text_or_bytes, "pgm", "k")[0].weights.tolist() == [[1, 2], [3, 100]]
    assert parse(b"P5 2 1 1000\n\1\2\0\3", "pgm", "k")[0].weights.tolist() == [[258, 3]]
    bits = io.BytesIO()
    Image.fromarray(np.eye(3, dtype=bool)).save(bits, "PNG")
    assert parse(bits.getvalue(), "png", "k")[0] == Kernel(np.eye(3), 3, name="k")


def test_pillow_is_loaded_only_for_png():
    code = """
import sys
from imgconv.kernels.files import parse
from imgconv.kernels.spec import kernel
from imgconv.kernels.write import encode
for form in ("toml", "json", "text", "csv", "npy", "vips", "imagemagick", "ffmpeg", "gmic", "pgm"):
    parse(encode([kernel("gaussian_blur")], form)[0], form, "k")
assert "PIL" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------------ the programs

PICTURE = np.random.default_rng(8).integers(0, 256, (8, 8)).astype(np.uint8)
ASYMMETRIC = [
    Kernel([[1, 2, 3], [4, 5, 6], [7, 8, 10]], 46, name="odd"),
    Kernel([[1, -2, 3, 4], [5, 6, 7, -8]], 17, name="even"),
    Kernel([[1, 2], [3, 4]], 11, anchor=(1, 0), name="anchored"),
    Kernel([[3, 2, 1], [1, 5, 7], [9, 0, 1]], 29, anchor=(2, 0), name="corner"),
    Kernel([[4, 3, 2, 1]], 10, name="row"),
    Kernel([[4], [3], [2]], 9, anchor=(0, 0), name="column"),
    Kernel([[0, 0, 0], [1, 2, 0], [0, 0, 4]], 7, like="pillow", name="upside_down"),
    Kernel([[0.1, 0.25, 0.3], [0, 0.5, 0], [0, 0, 1]], 2.15, name="fractions"),
]
named = pytest.mark.parametrize("made", ASYMMETRIC, ids=lambda made: made.name)


def program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not installed")


def write_picture(path):
    Image.fromarray(PICTURE).save(path)


def ours(made, border="edge", mode="correlate"):
    do = imgconv.correlate if mode == "correlate" else imgconv.convolve
    return do(PICTURE.astype(np.float64), made, border=border)


@named
def test_vips_makes_the_same_numbers(tmp_path, made):
    vips = program("vips")
    write_picture(tmp_path / "in.png")
    shifted = Kernel(made.weights, made.scale, 3, anchor=made.anchor, like=made.like)
    (tmp_path / "k.mat").write_bytes(encode([shifted], "vips")[0])
    subprocess.run([vips, "conv", "in.png", "out.csv", "k.mat", "--precision", "float"], cwd=tmp_path, check=True)
    theirs = np.loadtxt(tmp_path / "out.csv")
    np.testing.assert_allclose(theirs, ours(shifted), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(theirs, ours(kernel(tmp_path / "k.mat")), rtol=1e-5, atol=1e-4)


def test_vips_reads_and_writes_what_we_do(tmp_path):
    vips = program("vips")
    made = Kernel([[1, 2.5, 3], [4, -5, 6]], 2.5, 3, name="k", anchor=(1, 1))
    (tmp_path / "k.mat").write_bytes(encode([made], "vips")[0])
    subprocess.run([vips, "copy", "k.mat", "l.mat"], cwd=tmp_path, check=True)
    copied = kernel(tmp_path / "l.mat")
    assert (copied.weights.tolist(), copied.scale, copied.offset) == (made.weights.tolist(), 2.5, 3)


@named
@pytest.mark.parametrize("mode", ["correlate", "convolve"])
def test_imagemagick_makes_the_same_numbers(tmp_path, made, mode):
    magick = program("magick", "convert-im6.q16", "convert")
    if made.weights.min() < 0:
        made = Kernel(abs(made.weights), 40, name=made.name)  # ImageMagick without HDRI cuts at 0
    write_picture(tmp_path / "in.png")
    spec = encode([made], "imagemagick")[0].decode()
    how = mode.capitalize()
    command = [magick, "in.png", "-morphology", how, spec, "-depth", "16", "-endian", "LSB", "gray:out"]
    subprocess.run(command, cwd=tmp_path, check=True)
    theirs = np.fromfile(tmp_path / "out", "<u2").reshape(8, 8) / 257
    np.testing.assert_allclose(theirs, ours(made, mode=mode), atol=0.01)
    np.testing.assert_allclose(theirs, ours(kernel(spec), mode=mode), atol=0.01)


@pytest.mark.parametrize(
    "spec",
    [
        "3x3@: 1,2,3 4,5,6 7,8,9",
        "3x3>: 1,2,3 4,5,6 7,8,9",
        "3x3<: 1,2,3 4,5,6 7,8,9",
        "3x3+0+0@: 1,2,3 4,5,6 7,8,9",
        "3x3+2+1>: 1,2,3 4,5,6 7,8,9",
        "3x3+1+2<: 1,2,3 4,5,6 7,8,9",
        "3x3@>: 0,1,0 1,2,1 0,1,0",
        "3x3>: 0,1,0 1,2,1 0,1,0",
        "3x3<: 0,1,0 1,2,1 0,1,0",
        "3x3>: 1,2,1 3,4,3 1,2,1",
        "2x2>: 1,2 3,4",
        "4x4<: 1,2,3,4 5,6,7,8 9,8,7,6 5,4,3,2",
        "4x1>: 1,2,3,4",
        "4x1+3+0<: 1,2,3,4",
        "1x3>: 1,2,3",
        "3: nan,-,1 2,3,4 5,6,7",
        "3x3>: nan,-,1 2,3,4 5,6,7",
        "3x2+1: 1,2,3 4,5,6",
        "3x1: 1,2,3; 1x3: 4,5,6;; 2x2+1+0: 1,2 3,4",
        "2x1: .5,-1e-3",
    ],
)
def test_imagemagick_reads_the_same_kernels(spec):
    magick = program("magick", "convert-im6.q16", "convert")
    command = [magick, "xc:", "-define", "morphology:showkernel=1", "-morphology", "Correlate", spec, "null:"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    theirs = []
    for part in shown.split("Kernel ")[1:]:
        columns, _, x, y = map(int, re.search(r"of size (\d+)x(\d+)\+(\d+)\+(\d+)", part).groups())
        lines = [line.split(":")[1].split() for line in part.splitlines() if re.match(r" *\d+:", line)]
        assert all(len(line) == columns for line in lines)
        theirs.append(([[0 if word in ("nan", "-nan") else float(word) for word in line] for line in lines], (y, x)))
    own = [(k.weights.tolist(), k.anchor or tuple((n - 1) // 2 for n in k.weights.shape)) for k in kernels(spec)]
    assert own == theirs


def ffmpeg_filters(ffmpeg, tmp_path, options):
    write_picture(tmp_path / "in.png")
    command = [ffmpeg, "-v", "error", "-i", "in.png", "-vf", f"format=gray,convolution={options}", "-f", "rawvideo"]
    done = subprocess.run([*command, "-pix_fmt", "gray", "-"], cwd=tmp_path, check=True, capture_output=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(8, 8)


@named
def test_ffmpeg_makes_the_same_numbers(tmp_path, made):
    ffmpeg = program("ffmpeg")
    # ffmpeg 5.1 takes no rdiv, so divide by the sum; bias is taken
    automatic = Kernel(made.weights, made.weights.sum(), 3, anchor=made.anchor, like=made.like)
    options = encode([automatic], "ffmpeg")[0].decode().strip()
    theirs = ffmpeg_filters(ffmpeg, tmp_path, options)
    found = imgconv.correlate(PICTURE, automatic, border="reflect")
    # its 3×3 mirrors the last column with a repeat in some versions, so the last columns are left to the others
    np.testing.assert_array_equal(theirs[:5, :5], found[:5, :5])
    np.testing.assert_array_equal(theirs[:5, :5], imgconv.correlate(PICTURE, kernel(options), border="reflect")[:5, :5])


@named
def test_gmic_makes_the_same_numbers(tmp_path, made):
    gmic = program("gmic")
    write_picture(tmp_path / "in.png")
    matrix = encode([made], "gmic")[0].decode().strip()
    subprocess.run([gmic, "in.png", matrix, "correlate[0]", "[1]", "keep[0]", "output", "out.dlm"],
                   cwd=tmp_path, check=True, capture_output=True)  # fmt: skip
    theirs = np.loadtxt(tmp_path / "out.dlm", delimiter=",")
    np.testing.assert_allclose(theirs, ours(made), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(theirs, ours(kernel(matrix)), rtol=1e-5, atol=1e-4)


def test_other_programs_read_our_pictures(tmp_path):
    made = Kernel([[1, 2, 3], [4, 5000, 6]], name="k")
    for form in ("png", "pgm"):
        (tmp_path / f"k.{form}").write_bytes(encode([made], form)[0])
        with Image.open(tmp_path / f"k.{form}") as picture:
            levels = np.asarray(picture, float)
        np.testing.assert_allclose(levels / levels.sum(), made.weights / made.weights.sum(), atol=1e-4)


# ------------------------------------------------------------------------------------------------ the command


def convert(*words):
    return CliRunner().invoke(cli, ["kernels", "convert", *map(str, words)])


def test_convert_prints(tmp_path):
    done = convert("sharpen", "--to", "imagemagick")
    assert done.exit_code == 0
    assert done.stdout == encode([kernel("sharpen")], "imagemagick")[0].decode()
    assert "holds no scale: the weights are divided by 16" in done.stderr
    assert json.loads(convert("sobel_x", "--to", "json", "-o", "-").stdout)["weights"][0] == [-1, 0, 1]
    assert convert("3x3>: 1,2,3 4,5,6 7,8,9", "--to", "imagemagick").stdout.count("; ") == 3


def test_convert_writes(tmp_path):
    target = tmp_path / "k.npy"
    assert convert("sobel_x", "-o", target).exit_code == 0
    assert np.load(target).tolist() == kernel("sobel_x").weights.tolist()
    again = subprocess.run([sys.executable, "-m", "imgconv", "kernels", "convert", "sobel_y", "-o", target],
                           capture_output=True, text=True)  # fmt: skip
    assert again.returncode == 1
    assert "exists" in again.stderr
    assert np.load(target).tolist() == kernel("sobel_x").weights.tolist()
    assert convert("sobel_y", "-o", target, "--overwrite").exit_code == 0
    assert np.load(target).tolist() == kernel("sobel_y").weights.tolist()
    odd = tmp_path / "named.anyhow"
    assert convert("sobel_y", "--to", "toml", "-o", odd).exit_code == 0
    assert "weights" in odd.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k.npy", "named.anyhow"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sobel_x"], "--to is missing"),
        (["sobel_x", "-o", "k.xyz"], "should end in"),
        (["sobel_x", "--to", "png"], "below 0"),
        (["nonesuch", "--to", "png"], "no kernel named"),
        (["3x3>: 1,2,3 4,5,6 7,8,9", "--to", "csv"], "holds one kernel, not 4"),
        (["sobel_x", "--to", "bmp"], "bmp"),
    ],
)
def test_convert_refuses_in_one_line(words, said):
    done = subprocess.run(
        [sys.executable, "-m", "imgconv", "kernels", "convert", *words], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_convert_writes_nothing_binary_to_a_terminal():
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", "imgconv", "kernels", "convert", "box_blur", "--to", "npy"]
        done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(theirs)
        os.close(ours)
    assert done.returncode == 2
    assert "not written to a terminal" in done.stderr


def test_every_catalogue_kernel_survives_toml_and_json():
    for name in catalogue.names():
        for form in ("toml", "json"):
            assert back(kernel(name), form) == kernel(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encode([kernel("box_blur")], "png")[0][:4] == b"\x89PNG"
