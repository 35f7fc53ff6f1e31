import numpy as np
import pytest
from cases import PILLOW
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFilter

import imgconv
from imgconv.errors import KernelError
from imgconv.kernels import catalogue
from imgconv.kernels.spec import kernel
from imgconv.kernels.table import parse_toml
from imgconv.kernels.text import toml_text
from imgconv.kernels.value import Kernel

OTHERS = [
    "identity",
    "box_blur",
    "gaussian_blur",
    "laplacian",
    "sobel_x",
    "sobel_y",
    "prewitt_x",
    "prewitt_y",
    "scharr_x",
    "scharr_y",
    "outline",
    "article_edge",
]


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000])
def test_a_name_that_is_too_long_for_a_file_is_no_kernel(name):
    with pytest.raises(KernelError, match=r"^no kernel named 'x{37}…'; imgconv kernels lists them$"):
        kernel(name)


def test_the_catalogue_has_every_promised_name():
    assert set(PILLOW + OTHERS) <= set(catalogue.names())
    for name in catalogue.names():
        found = kernel(name)
        assert found.name == name
        assert found.about.endswith(".")
        assert found.source


@pytest.mark.parametrize("name", PILLOW)
def test_pillows_filters_are_written_as_pillow_writes_them(name):
    (columns, rows), scale, offset, weights = getattr(ImageFilter, name.upper()).filterargs
    found = kernel(name)
    assert found.weights.ravel().tolist() == list(weights)
    assert found.weights.shape == (rows, columns)
    assert (found.scale, found.offset, found.like) == (scale, offset, "pillow")


@pytest.mark.parametrize("spec", ["Edge-Enhance", "EDGE_ENHANCE", " edge enhance "])
def test_dashes_and_capitals_are_forgiven(spec):
    assert kernel(spec) == kernel("edge_enhance")


def test_opencv_has_the_same_derivatives():
    cv2 = pytest.importorskip("cv2")
    for name, dx, dy in [("sobel_x", 1, 0), ("sobel_y", 0, 1)]:
        down, right = cv2.getDerivKernels(dx, dy, 3)
        np.testing.assert_array_equal(kernel(name).weights, np.outer(right, down))
    for name, dx, dy in [("scharr_x", 1, 0), ("scharr_y", 0, 1)]:
        down, right = cv2.getDerivKernels(dx, dy, cv2.FILTER_SCHARR)
        np.testing.assert_array_equal(kernel(name).weights, np.outer(right, down))


def test_a_misspelt_name_is_answered_with_near_ones():
    with pytest.raises(KernelError, match="edge_enhance"):
        kernel("edge_enhence")
    with pytest.raises(KernelError, match="imgconv kernels"):
        kernel("zzz")
    with pytest.raises(KernelError):
        kernel("../kernels/blur".replace("/", "_"))


@pytest.mark.parametrize(
    ("spec", "weights"),
    [
        ("0 -1 0; -1 5 -1; 0 -1 0", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
        ("1,2;3,4", [[1, 2], [3, 4]]),
        ("-1 0 1", [[-1, 0, 1]]),
        ("5", [[5]]),
        (".5 1e-3 1/4", [[0.5, 0.001, 0.25]]),
        ("1;2;", [[1], [2]]),
    ],
)
def test_a_matrix_in_place(spec, weights):
    assert kernel(spec).weights.tolist() == weights


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "empty"),
        ("1 2; 3", "row 2 has 1"),
        ("1 nan; 1 1", "finite"),
        ("1 1e999; 1 1", "finite"),
        ("1 x; 2 3", "'x' is not a number"),
        ("1 ١; 2 3", "not a number"),
        ("1 1_0; 2 3", "not a number"),
        (";", "no numbers"),
        ("1/0 1", "not a number"),
    ],
)
def test_a_broken_matrix_is_refused_with_a_reason(spec, words):
    with pytest.raises(KernelError, match=words):
        kernel(spec)


def test_files_of_every_kind(tmp_path):
    weights = [[1.0, 2.0], [3.0, 4.5]]
    (tmp_path / "a.txt").write_text("# mine\n1 2\n3\t4.5\n")
    (tmp_path / "b.csv").write_text("1, 2\r\n3,4.5\r\n")
    np.save(tmp_path / "c.npy", np.array(weights, ">f4"))
    (tmp_path / "d.toml").write_text("weights = [[1, 2], [3, 4.5]]")
    np.save(tmp_path / "e.npy", np.asfortranarray(weights))
    for path in sorted(tmp_path.iterdir()):
        found = kernel(str(path))
        assert found.weights.tolist() == weights
        assert found.name == path.stem
        assert kernel(path) == found


TOML = "weights = [[1, 2], [3, 4]]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("about = 'x'", "has no weights"),
        ("weights = []", "rows of numbers"),
        ("weights = [1, 2]", "rows of numbers"),
        ("weights = [[1, 2], [3]]", "row 2 has 1"),
        ("weights = [[nan, 2]]", "finite"),
        ("weights = [[inf, 2]]", "finite"),
        ("weights = [[1e400, 2]]", "finite"),
        ("weights = [[1" + "0" * 400 + ", 2]]", "finite"),
        ("weights = [[true, 2]]", "not a number"),
        ("weights = [['1', 2]]", "not a number"),
        (TOML + "scale = 0", "scale"),
        (TOML + "scale = nan", "scale"),
        (TOML + "offset = inf", "offset"),
        (TOML + "like = 'gimp'", "gimp"),
        (TOML + "border = 'mirror'", "mirror"),
        (TOML + "border = 'edge:3'", "edge:3"),
        (TOML + "anchor = [2, 0]", "anchor"),
        (TOML + "anchor = [0.5, 0]", "anchor"),
        (TOML + "anchor = [true, 0]", "anchor"),
        (TOML + "scael = 2", "did you mean 'scale'"),
        (TOML + "about = 3", "text"),
        ("weights = [[1, 2]", "not TOML"),
        ("weights = " + "[" * 5000, "not TOML"),
        ("weights = [[" + "1," * 5000 + "]]", "4095"),
    ],
)
def test_a_broken_kernel_file_gets_one_line(tmp_path, text, words):
    path = tmp_path / "k.toml"
    path.write_text(text)
    with pytest.raises(KernelError, match=words) as problem:
        kernel(path)
    assert str(problem.value).startswith(f"{path}: ")
    assert "\n" not in str(problem.value)


def test_what_is_no_kernel_file_is_refused(tmp_path):
    big = tmp_path / "big.toml"
    big.write_text(TOML + "#" * 2**20)
    with pytest.raises(KernelError, match="more than"):
        kernel(big)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(KernelError, match="folder"):
        kernel(tmp_path / "folder.toml")
    with pytest.raises(KernelError, match="no such file"):
        kernel("./none.toml")
    with pytest.raises(KernelError, match="should end in"):
        kernel("./none.xyz")
    np.save(tmp_path / "evil.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(KernelError, match="not real numbers"):
        kernel(tmp_path / "evil.npy")
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999, 99999999), }"
    (tmp_path / "huge.npy").write_bytes(header + text.ljust(117) + b"\n")
    with pytest.raises(KernelError, match="cut short"):
        kernel(tmp_path / "huge.npy")


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(st.lists(finite, min_size=3, max_size=3), min_size=1, max_size=4),
    finite.filter(bool),
    finite,
    st.text(st.characters(exclude_categories=("Cs",))),
)
def test_a_kernel_survives_its_file(weights, scale, offset, about):
    before = Kernel(np.array(weights), scale=scale, offset=offset, about=about, border="constant:3", like="pillow",
                    name="k", anchor=(0, 2), source="a\\b\"c")  # fmt: skip
    after = parse_toml(toml_text(before).encode(), "k")
    assert after == before
    assert hash(after) == hash(before)


def test_a_kernel_is_a_value():
    weights = np.eye(3)
    made = Kernel(weights)
    weights[0, 0] = 7
    assert made.weights[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        made.weights[0, 0] = 7
    assert made == Kernel(np.eye(3))
    assert made != Kernel(np.eye(3), scale=2)
    assert imgconv.kernel(made) is made


def test_what_show_says():
    assert kernel("gaussian_blur").rank == 1
    assert kernel("emboss").rank == 2
    assert kernel("gaussian_blur").is_symmetric
    assert not kernel("sobel_x").is_symmetric
