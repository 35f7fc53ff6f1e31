"""Formulas against the tools that compute the same, and what must hold for any parameters."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

import imgconv
from imgconv.errors import KernelError
from imgconv.kernels import catalogue
from imgconv.kernels.formulas import FORMULAS, explain, parameters, parameters_of
from imgconv.kernels.spec import kernel

RNG = np.random.default_rng(5)
PICTURE = RNG.random((41, 53))
DIRECTIONS = ["e", "ne", "n", "nw", "w", "sw", "s", "se"]  # counter-clockwise
OPERATORS = ["sobel", "prewitt", "scharr", "kirsch", "robinson", "freichen"]


def weights(spec):
    found = kernel(spec)
    return found.weights / found.scale


def same(ours, theirs, within=1e-13):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=within)


# the grammar


@pytest.mark.parametrize(
    ("spec", "name", "title"),
    [
        ("gaussian", "gaussian", "gaussian"),
        ("gaussian:", "gaussian", "gaussian"),
        ("gaussian:2.5", "gaussian_sigma2.5", "gaussian:sigma=2.5"),
        (" Gaussian : RADIUS = 6 , sigma=2 ", "gaussian_sigma2_radius6", "gaussian:sigma=2,radius=6"),
        ("gaussian:sigma-x=3,sigma_y=0", "gaussian_sigma_x3_sigma_y0", "gaussian:sigma_x=3,sigma_y=0"),
        ("gaussian:1/3", "gaussian_sigma0.333333333333", "gaussian:sigma=0.3333333333333333"),
        ("sobel:NE", "sobel_ne", "sobel:direction=ne"),
        ("shift:dx=-3,dy=0.5", "shift_dx-3_dy0.5", "shift:dx=-3,dy=0.5"),
        ("gabor:lambda=10", "gabor_wavelength10", "gabor:wavelength=10"),
        ("box:size=4.0", "box_size4", "box:size=4"),
    ],
)
def test_a_formula_is_named_by_what_was_given(spec, name, title):
    found = kernel(spec)
    assert (found.name, found.title) == (name, title)
    assert found == kernel(title)
    assert not set(name) & set(":=,/ ")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("gausian:2", "did you mean gaussian"),
        ("gausian", "did you mean gaussian"),
        ("zzz:1", "imgconv kernels lists them"),
        ("gaussian:sigm=2", "did you mean sigma.*it takes sigma, sigma_x, sigma_y, radius"),
        ("gaussian:2,3", "'3' has no key; only sigma"),
        ("gaussian:2,sigma=3", "sigma is given twice"),
        ("gabor:wavelength=3,lambda=3", "wavelength is given twice"),
        ("gaussian:sigma=", "needs a number"),
        ("gaussian:,", "needs a number"),
        ("gaussian:sigma=x", "'x' is not a number"),
        ("gaussian:sigma=nan", "not a number"),
        ("gaussian:sigma=1e400", "not a number"),
        ("gaussian:sigma=1_0", "not a number"),
        ("gaussian:sigma=٣", "not a number"),
        ("gaussian:sigma=2\n3", "not a number"),
        ("gaussian:radius=2.5", "not a whole number; write radius=3"),
        ("gaussian:sigma=0", "from 0.01 to 10000"),
        ("gaussian:sigma=-1", "from 0.01 to 10000"),
        ("gaussian:sigma=512", "reaches 2048 px.*more than 2047"),
        ("gaussian:sigma=2,radius=2048", "from 1 to 2047"),
        ("gaussian:radius=0", "from 1 to 2047"),
        ("gaussian:sigma_x=-1", "sigma_x=-1 is out of range"),
        ("dog:sigma2=0", "sigma2=0 is out of range"),
        ("box:size=1e300", "from 1 to 4095"),
        ("box:radius=2047.5", "from 0 to 2047"),
        ("box:radius=1,size=3", "give one of them"),
        ("disk:radius=0,rim=soft", "from 0.01"),
        ("binomial:0", "from 1 to 4095"),
        ("savitzky_golay:size=4", "even; write an odd one such as 5"),
        ("savitzky_golay:5,degree=5", "from 6 to 4095"),
        ("motion:length=5000", "from 1 to 4095"),
        ("dog:sigma2=2,ratio=2", "give one of them"),
        ("dog:1,ratio=-1", "from 0.01 to 100"),
        ("gradient:angle=3,direction=n", "give one of them"),
        ("gabor:angle=3,theta=3", "give one of them"),
        ("gabor:sigma=2000", "reaches"),
        ("derivative:5", "from 1 to 4"),
        ("derivative:size=4", "even; write an odd one"),
        ("derivative:4,size=3", "from 5 to 31"),
        ("shift:dx=3000", "from -2047 to 2047"),
        ("sobel:north", "not one of e, ne, n"),
        ("roberts:e", "not one of ne, nw, sw, se"),
        ("laplacian:5", "not one of 4, 8, opencv3"),
        ("identity:1", "it takes none"),
        ("http://example.org/k", "no formula named 'http'"),
    ],
)
def test_a_broken_formula_is_refused_with_a_reason(spec, words):
    with pytest.raises(KernelError, match=words) as problem:
        kernel(spec)
    assert "\n" not in str(problem.value)


def test_the_catalogue_comes_first_and_files_stay_files(tmp_path, monkeypatch):
    assert kernel("emboss").like == "pillow"
    assert kernel("emboss:").like is None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gaussian:2.txt").write_text("1 2 3")
    assert kernel("gaussian:2.txt").weights.tolist() == [[1, 2, 3]]
    for name in {"identity", "laplacian"} & set(catalogue.names()):
        assert kernel(name).weights.tolist() == kernel(f"{name}:").weights.tolist()


def test_a_named_kernel_does_not_load_the_formulas():
    code = "import sys; from imgconv.kernels.spec import kernel; kernel('blur'); kernel('1 2; 3 4');"
    code += "sys.exit('imgconv.kernels.formulas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", FORMULAS)
def test_every_formula_is_explained(name):
    about, _, sections = explain(name)
    assert about.endswith(".")
    assert sections["References"]
    documented = [
        key
        for line in sections.get("Parameters", "").splitlines()
        if not line.startswith(" ")
        for key in line.partition(" : ")[0].split(", ")
    ]
    assert documented == list(parameters(name))
    assert kernel(f"{name}:").name == name


def test_a_formula_needs_no_docstring(monkeypatch):
    """As python -OO leaves none."""
    monkeypatch.setattr(FORMULAS["gaussian"], "__doc__", None)
    assert explain("gaussian")[0] == ""
    assert np.array_equal(kernel("gaussian:2").weights, kernel("gaussian:sigma=2").weights)


RANGES = [
    (name, key, parameter.doc)
    for name in FORMULAS
    for key, parameter in parameters_of(name).items()
    if parameter.doc.highest < np.inf
]


@pytest.mark.parametrize(("name", "key", "doc"), RANGES)
def test_a_parameter_is_held_to_the_range_that_its_text_names(name, key, doc):
    assert f"{doc.lowest:g} to {doc.highest:g}" in explain(name)[2]["Parameters"]
    for value in (doc.lowest - 1, doc.highest + 1):
        with pytest.raises(KernelError, match=f"^{name}: {key}=.*from {doc.lowest:g} to {doc.highest:g}$"):
            kernel(f"{name}:{key}={value}")


def test_list_and_show():
    def run(*words):
        done = subprocess.run([sys.executable, "-m", "imgconv", "kernels", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    lines = [line.split("\t")[0] for line in run("list").splitlines()]
    assert lines == [*catalogue.names(), *(f"{name}:" for name in FORMULAS)]
    listed = json.loads(run("list", "--json"))
    assert [entry["name"] for entry in listed if "parameters" in entry] == list(FORMULAS)
    for spec in ("gaussian", "gaussian:sigma=2"):
        shown = run("show", spec)
        assert shown.startswith(f"{spec}\nGaussian blur.\n")
        assert "exp(−x²/2σx²)" in shown
        assert "sigma=1 " in shown
        assert "scipy.ndimage.gaussian_filter" in shown
    assert "show emboss:\n" in run("show", "emboss")
    assert json.loads(run("show", "--json", "disk:2"))["parameters"] == {"radius": 3, "rim": "hard"}


# against other tools


@pytest.mark.parametrize(("sigma", "radius"), [(0.5, 2), (1, 4), (2.5, 10), (5, 20), (5, 3), (0.01, 2)])
def test_gaussian(sigma, radius):
    cv2 = pytest.importorskip("cv2")
    ndimage = pytest.importorskip("scipy.ndimage")
    ours = weights(f"gaussian:sigma={sigma},radius={radius}")
    taps = cv2.getGaussianKernel(2 * radius + 1, sigma, cv2.CV_64F)
    same(ours, taps @ taps.T)
    ours = imgconv.correlate(PICTURE, f"gaussian:sigma={sigma},radius={radius}", border="symmetric")
    same(ours, ndimage.gaussian_filter(PICTURE, sigma, radius=radius))
    along = imgconv.correlate(PICTURE, f"gaussian:sigma_x={sigma},sigma_y=0,radius={radius}", border="symmetric")
    same(along, ndimage.gaussian_filter1d(PICTURE, sigma, axis=1, radius=radius))


def test_gaussian_by_default_reaches_as_far_as_scipy_or_one_further():
    ndimage = pytest.importorskip("scipy.ndimage")
    for sigma in (1, 2, 2.5, 3.75):
        same(
            imgconv.correlate(PICTURE, f"gaussian:{sigma}", border="symmetric"), ndimage.gaussian_filter(PICTURE, sigma)
        )
    assert kernel("gaussian:1.1").weights.shape == (11, 11)  # ndimage: 9


def test_box():
    cv2 = pytest.importorskip("cv2")
    for size in (1, 2, 3, 4, 7):
        assert kernel(f"box:size={size}").weights.tolist() == np.ones((size, size)).tolist()
        assert kernel(f"box:size={size}").scale == size**2
        theirs = cv2.blur(PICTURE, (size, size), borderType=cv2.BORDER_REPLICATE)
        same(imgconv.correlate(PICTURE, f"box:size={size}", border="edge", anchor="high"), theirs)
    assert kernel("box:radius=15").weights.shape == (31, 31)
    assert kernel("box:radius=15").scale == 961


@pytest.mark.parametrize("radius", [0, 0.25, 0.5, 1, 1.5, 2.75, 6])
def test_box_of_any_radius_is_pillows(radius):
    picture = RNG.integers(0, 256, (40, 50), dtype=np.uint8)
    theirs = np.asarray(Image.fromarray(picture).filter(ImageFilter.BoxBlur(radius))).astype(int)
    ours = imgconv.correlate(picture, f"box:{radius}", border="edge").astype(int)
    assert np.abs(ours - theirs).max() <= 1  # Pillow rounds after each axis


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5, 8, 13])
def test_disk_is_scikit_images(radius):
    morphology = pytest.importorskip("skimage.morphology")
    theirs = morphology.disk(radius)
    assert kernel(f"disk:{radius}").weights.tolist() == theirs.tolist()
    assert kernel(f"disk:{radius}").scale == theirs.sum()


@pytest.mark.parametrize("radius", [0.3, 0.5, 0.6, 1, 1.407242555445394, 2.5, 3, 7.2])
def test_a_soft_disk_counts_areas(radius):
    found = kernel(f"disk:{radius},rim=soft")
    assert found.scale == pytest.approx(np.pi * radius**2, rel=1e-12)
    fine = 200
    middle = (np.arange(found.weights.shape[0] * fine) + 0.5) / fine - found.weights.shape[0] / 2
    inside = middle[:, None] ** 2 + middle**2 <= radius**2
    counted = inside.reshape(found.weights.shape[0], fine, -1, fine).mean(axis=(1, 3))
    same(found.weights, counted, 5e-3)
    assert found.weights.max() <= 1 + 1e-12
    assert (found.weights[0] > 0).any()


def test_binomial():
    cv2 = pytest.importorskip("cv2")
    for size in (3, 5):
        taps = cv2.getGaussianKernel(size, 0, cv2.CV_64F)
        same(weights(f"binomial:{size}"), taps @ taps.T, 0)
    assert kernel("binomial:4").weights[0].tolist() == [1, 3, 3, 1]
    for size in (29, 30, 31, 32, 1100):
        taps = weights(f"binomial:{size}").sum(0)
        reference = [1.0]
        for _ in range(size - 1):
            reference = np.convolve(reference, [0.5, 0.5])
        same(taps, reference, 1e-14)
    assert kernel("binomial:30").weights.max() < 2**53


@pytest.mark.parametrize(("size", "degree"), [(1, 0), (3, 1), (5, 0), (5, 2), (5, 4), (7, 3), (9, 8), (41, 4)])
def test_savitzky_golay(size, degree):
    signal = pytest.importorskip("scipy.signal")
    spec = f"savitzky_golay:size={size},degree={degree}"
    taps = signal.savgol_coeffs(size, degree)
    same(weights(spec), np.outer(taps, taps), 1e-10)
    for border, mode in (("wrap", "wrap"), ("edge", "nearest"), ("reflect", "mirror"), ("constant", "constant")):
        down = signal.savgol_filter(PICTURE, size, degree, axis=0, mode=mode)
        same(
            imgconv.correlate(PICTURE, spec, border=border), signal.savgol_filter(down, size, degree, mode=mode), 1e-10
        )


def test_savitzky_golay_by_the_tables_of_1964():
    for size, table in (
        (5, [-3, 12, 17, 12, -3]),
        (7, [-2, 3, 6, 7, 6, 3, -2]),
        (9, [-21, 14, 39, 54, 59, 54, 39, 14, -21]),
    ):
        taps = np.array(table) / sum(table)
        same(weights(f"savitzky_golay:size={size},degree=3"), np.outer(taps, taps), 1e-16)


@pytest.mark.parametrize("degree", range(11))
def test_savitzky_golay_leaves_polynomials_of_its_degree_as_they_are(degree):
    x = np.linspace(-1, 1, 60)
    surface = np.polynomial.Chebyshev(RNG.random(degree + 1))(x) * (1 + x[:, None] ** degree)
    for size in (degree + 1 + degree % 2, 31):
        found = imgconv.correlate(surface, f"savitzky_golay:size={size},degree={degree}", padding="valid")
        half = size // 2
        same(found, surface[half : 60 - half, half : 60 - half], 1e-11)


def test_motion():
    assert kernel("motion:9").weights.tolist() == [[1] * 9]
    assert kernel("motion:length=9,angle=90").weights.tolist() == [[1]] * 9
    assert kernel("motion:4").weights.tolist() == [[0.5, 1, 1, 1, 0.5]]
    assert kernel("motion:1").weights.tolist() == [[1]]
    rising = kernel("motion:length=9,angle=30").weights
    assert rising[0, -1] > 0  # from the lower left to the upper right
    assert rising[0, 0] == 0
    assert (rising == rising[::-1, ::-1]).all()
    assert (kernel("motion:length=9,angle=-30").weights == rising[::-1]).all()
    # the definition, one pixel at a time
    half, (ux, uy) = 4, (np.cos(np.pi / 6), -np.sin(np.pi / 6))
    steps = np.linspace(-half, half, 100_001)
    for row, column in np.ndindex(rising.shape):
        y, x = row - rising.shape[0] // 2, column - rising.shape[1] // 2
        distance = np.hypot(x - steps * ux, y - steps * uy).min()
        assert rising[row, column] == pytest.approx(max(0, 1 - distance), abs=1e-4)


def test_motion_is_the_same_on_every_cpu():
    """To the last bit: by what IEEE 754 rounds in one way, which hypot is not."""
    right, up = math.cos(math.radians(37)), math.sin(math.radians(37))
    found = kernel("motion:length=9,angle=37").weights
    for row, column in np.ndindex(found.shape):
        y, x = row - found.shape[0] // 2, column - found.shape[1] // 2
        along = min(max(x * right - y * up, -4.0), 4.0)
        away_x, away_y = x - along * right, y + along * up
        assert found[row, column] == max(1 - math.sqrt(away_x * away_x + away_y * away_y), 0)


@pytest.mark.parametrize(("sigma", "amount"), [(1, 1), (2, 0.5), (3, 2)])
def test_unsharp(sigma, amount):
    filters = pytest.importorskip("skimage.filters")
    ours = imgconv.correlate(PICTURE, f"unsharp:sigma={sigma},amount={amount}", border="symmetric")
    same(np.clip(ours, 0, 1), filters.unsharp_mask(PICTURE, sigma, amount))
    smooth = imgconv.correlate(RNG.integers(0, 256, (60, 60), dtype=np.uint8), "gaussian:2", border="edge")
    theirs = np.asarray(Image.fromarray(smooth).filter(ImageFilter.UnsharpMask(sigma, int(100 * amount), 0)))
    ours = imgconv.correlate(smooth, f"unsharp:sigma={sigma},amount={amount}", border="edge")
    apart = np.abs(ours.astype(int) - theirs)[12:-12, 12:-12]  # Pillow repeats the rim once for each of three boxes
    assert apart.max() <= 1 + 2 * amount  # a blur that is off by 1 counts `amount` times


def test_sharpen_and_emboss():
    assert kernel("sharpen:1").weights.tolist() == [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
    assert kernel("emboss:").weights.tolist() == [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]
    assert kernel("emboss:0").weights.tolist() == [[1, 0, -1], [1, 1, -1], [1, 0, -1]]
    assert kernel("emboss:angle=-45,strength=2").weights.tolist() == [[4, 2, 0], [2, 1, -2], [0, -2, -4]]


def test_laplacian():
    cv2 = pytest.importorskip("cv2")
    ndimage = pytest.importorskip("scipy.ndimage")
    for variant, ksize in (("4", 1), ("opencv3", 3)):
        theirs = cv2.Laplacian(PICTURE, cv2.CV_64F, ksize=ksize, borderType=cv2.BORDER_REPLICATE)
        same(imgconv.correlate(PICTURE, f"laplacian:{variant}", border="edge"), theirs)
    same(imgconv.correlate(PICTURE, "laplacian:", border="symmetric"), ndimage.laplace(PICTURE))
    assert kernel("laplacian:8").weights.tolist() == [[1, 1, 1], [1, -8, 1], [1, 1, 1]]


@pytest.mark.parametrize("sigma", [1, 1.5, 2, 4])
def test_log(sigma):
    ndimage = pytest.importorskip("scipy.ndimage")
    found = kernel(f"log:{sigma}").weights
    point = np.zeros(found.shape)
    point[found.shape[0] // 2, found.shape[1] // 2] = 1
    theirs = ndimage.gaussian_laplace(point, sigma, mode="constant")
    same(found / np.abs(found).max(), theirs / np.abs(found).max(), 0.002)
    assert abs(found.sum()) < 1e-15


def test_dog():
    ndimage = pytest.importorskip("scipy.ndimage")
    filters = pytest.importorskip("skimage.filters")
    ours = imgconv.correlate(PICTURE, "dog:sigma=1,sigma2=2,radius=8", border="symmetric")
    same(ours, ndimage.gaussian_filter(PICTURE, 1, radius=8) - ndimage.gaussian_filter(PICTURE, 2, radius=8))
    same(ours, filters.difference_of_gaussians(PICTURE, 1, 2, mode="reflect"), 1e-4)
    assert kernel("dog:2").weights.tolist() == kernel("dog:sigma=2,sigma2=3.2").weights.tolist()


@pytest.mark.parametrize(("sigma", "radius"), [(0.7, 3), (1, 4), (3, 12)])
def test_derivatives_of_gaussian(sigma, radius):
    ndimage = pytest.importorskip("scipy.ndimage")

    def theirs(*order):
        return ndimage.gaussian_filter(PICTURE, sigma, order=order, radius=radius)

    def ours(name, angle):
        spec = f"{name}:sigma={sigma},angle={angle},radius={radius}"
        return imgconv.correlate(PICTURE, spec, border="symmetric")

    same(ours("gradient", 0), theirs(0, 1))
    same(ours("gradient", 90), -theirs(1, 0))
    same(ours("gradient", 30), np.cos(np.pi / 6) * theirs(0, 1) - np.sin(np.pi / 6) * theirs(1, 0))
    assert kernel("gradient:direction=nw").weights.tolist() == kernel("gradient:angle=135").weights.tolist()
    if sigma >= 1:
        most = np.abs(kernel(f"ridge:sigma={sigma},radius={radius}").weights).sum()
        same(ours("ridge", 0), -theirs(2, 0), 0.004 * most)
        same(ours("ridge", 90), -theirs(0, 2), 0.004 * most)
        mixed = theirs(0, 2) / 4 + theirs(2, 0) * 3 / 4 + 2 * np.sin(np.pi / 6) * np.cos(np.pi / 6) * theirs(1, 1)
        same(ours("ridge", 30), -mixed, 0.004 * most)


def test_ridge_finds_the_line_that_it_names():
    line = np.zeros((41, 41))
    line[np.arange(41), np.arange(41)[::-1]] = 1  # rises to the right: 45°
    answers = {a: imgconv.correlate(line, f"ridge:sigma=2,angle={a}")[20, 20] for a in (0, 45, 90, 135)}
    assert max(answers, key=answers.get) == 45


@pytest.mark.parametrize("theta", [0, 30, 45, 90, 200, -77.5])
@pytest.mark.parametrize(("sigma", "wavelength", "gamma", "psi"), [(3, 8, 0.5, 90), (2, 5, 1, 0), (1.5, 3.3, 0.8, 33)])
def test_gabor(theta, sigma, wavelength, gamma, psi):
    cv2 = pytest.importorskip("cv2")
    spec = f"gabor:sigma={sigma},lambda={wavelength},gamma={gamma},psi={psi}"
    rest = (sigma, np.radians(theta), wavelength, gamma, np.radians(psi))
    same(kernel(f"{spec},theta={theta}").weights, cv2.getGaborKernel((0, 0), *rest))
    same(kernel(f"{spec},angle={-theta},radius=7").weights, cv2.getGaborKernel((15, 15), *rest))


def test_gabors_default_phase_is_opencvs():
    cv2 = pytest.importorskip("cv2")
    same(kernel("gabor:sigma=3,lambda=8").weights, cv2.getGaborKernel((0, 0), 3, 0, 8, 0.5))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivative(order):
    cv2 = pytest.importorskip("cv2")
    for size in range(3 if order < 3 else 5, 32, 2):
        right, down = cv2.getDerivKernels(order, 0, size, normalize=True, ktype=cv2.CV_64F)
        same(weights(f"derivative:{order},size={size}"), down @ right.T)
        same(weights(f"derivative:{order},size={size},axis=y"), right @ down.T)
    # exact on polynomials: the derivative of x^order is order!, of every lower power 0
    x = np.arange(-15.0, 16)[None, :]
    for spec in (f"derivative:{order}", f"derivative:{order},size=7"):
        for power in range(order + 1):
            wanted = 0 if power < order else np.prod(np.arange(1, order + 1))
            rows = np.broadcast_to(x**power, (31, 31))
            assert imgconv.correlate(rows, spec)[15, 15] == pytest.approx(wanted, abs=1e-9)
            assert imgconv.correlate(rows.T, f"{spec},axis=y")[15, 15] == pytest.approx(wanted, abs=1e-9)


def test_derivative_of_size_3_is_sobel():
    assert kernel("derivative:size=3").weights.tolist() == kernel("sobel").weights.tolist()


def test_compass_operators_are_those_of_other_tools():
    cv2 = pytest.importorskip("cv2")
    ndimage = pytest.importorskip("scipy.ndimage")
    filters = pytest.importorskip("skimage.filters")

    def ours(spec, border="symmetric"):
        return imgconv.correlate(PICTURE, spec, border=border)

    for name, direction, dx, dy in [("e", "v", 1, 0), ("s", "h", 0, 1)]:
        border = {"borderType": cv2.BORDER_REPLICATE}
        same(ours(f"sobel:{name}", "edge"), cv2.Sobel(PICTURE, cv2.CV_64F, dx, dy, ksize=3, **border))
        same(ours(f"scharr:{name}", "edge"), cv2.Scharr(PICTURE, cv2.CV_64F, dx, dy, **border))
        same(ours(f"prewitt:{name}"), ndimage.prewitt(PICTURE, axis=dy == 0))
        same(ours(f"sobel:{name}"), ndimage.sobel(PICTURE, axis=dy == 0))
        for operator, over in (("sobel", 4), ("prewitt", 3), ("scharr", 16)):
            theirs = getattr(filters, f"{operator}_{direction}")(PICTURE)
            same(ours(f"{operator}:{name}") / over, theirs)
    same(ours("roberts:se")[:-1, :-1], filters.roberts_pos_diag(PICTURE)[:-1, :-1])
    same(ours("roberts:sw")[:-1, :-1], filters.roberts_neg_diag(PICTURE)[:-1, :-1])
    for name, axis in (("x", "e"), ("y", "s")):
        for operator in ("sobel", "prewitt", "scharr"):
            assert kernel(f"{operator}_{name}").weights.tolist() == kernel(f"{operator}:{axis}").weights.tolist()


# what holds for any parameters


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_turn_of_the_direction_turns_the_kernel(operator):
    for number, direction in enumerate(DIRECTIONS):
        here = kernel(f"{operator}:{direction}").weights
        quarter = kernel(f"{operator}:{DIRECTIONS[(number + 2) % 8]}").weights
        assert np.rot90(here).tolist() == quarter.tolist()
        assert abs(here.sum()) < 1e-15
        # brightness rises toward the direction
        rows, columns = np.mgrid[-1:2, -1:2]
        angle = np.pi / 4 * number
        toward = np.round(np.cos(angle)) * columns - np.round(np.sin(angle)) * rows
        assert (here * toward).sum() == max((kernel(f"{operator}:{d}").weights * toward).sum() for d in DIRECTIONS)
    assert kernel(operator + ":").weights.tolist() == kernel(f"{operator}:e").weights.tolist()


def test_roberts_turns_too():
    for here, quarter in zip(["ne", "nw", "sw", "se"], ["nw", "sw", "se", "ne"], strict=True):
        assert np.rot90(kernel(f"roberts:{here}").weights).tolist() == kernel(f"roberts:{quarter}").weights.tolist()
    assert kernel("roberts:ne").weights.tolist() == [[0, 1], [-1, 0]]


sigmas = st.floats(0.01, 12)
angles = st.floats(-720, 720)
amounts = st.floats(0, 100)


@given(sigmas, sigmas, angles, amounts, st.floats(0, 9), st.integers(1, 40), st.floats(1, 30))
@settings(max_examples=50, deadline=None)
def test_what_keeps_brightness_sums_to_1(sigma, sigma_y, angle, amount, radius, size, length):
    for spec in (
        f"gaussian:{sigma},sigma_y={sigma_y}",
        f"box:{radius}",
        f"box:size={size}",
        f"disk:{radius}",
        f"disk:{radius + 0.01},rim=soft",
        f"binomial:{size}",
        f"savitzky_golay:{2 * size + 9},degree={size % 11}",
        f"motion:length={length},angle={angle}",
        f"unsharp:sigma={sigma},amount={amount}",
        f"sharpen:{amount}",
        f"emboss:angle={angle},strength={amount}",
        f"shift:dx={angle / 30},dy={sigma}",
    ):
        assert weights(spec).sum() == pytest.approx(1, abs=1e-12), spec


@given(sigmas, sigmas, angles)
@settings(max_examples=50, deadline=None)
def test_what_answers_to_change_sums_to_0(sigma, other, angle):
    for spec in (
        f"log:{sigma}",
        f"dog:sigma={sigma},sigma2={other}",
        f"gradient:sigma={sigma},angle={angle}",
        f"ridge:sigma={sigma},angle={angle}",
    ):
        found = weights(spec)
        assert abs(found.sum()) <= 1e-13 * np.abs(found).sum() + 1e-15, spec


@given(sigmas, angles, st.floats(0, 9), st.integers(1, 40), st.floats(1, 30))
@settings(max_examples=50, deadline=None)
def test_symmetry(sigma, angle, radius, size, length):
    for spec in (
        f"gaussian:{sigma}",
        f"box:{radius}",
        f"box:size={size}",
        f"disk:{radius}",
        f"disk:{radius + 0.01},rim=soft",
        f"binomial:{size}",
        f"savitzky_golay:{2 * size + 9},degree={size % 11}",
        f"log:{sigma}",
        f"dog:{sigma}",
        f"unsharp:{sigma}",
    ):
        found = kernel(spec).weights
        for other in (found.T, found[::-1], found[:, ::-1]):
            same(found, other, 1e-12 * np.abs(found).max())
    for spec in (f"motion:length={length},angle={angle}", f"ridge:sigma={sigma},angle={angle}"):
        found = kernel(spec).weights
        same(found, found[::-1, ::-1], 1e-12 * np.abs(found).max())
    found = kernel(f"gradient:sigma={sigma},angle={angle}").weights
    same(found, -found[::-1, ::-1], 1e-12 * np.abs(found).max())


@pytest.mark.parametrize(
    "spec",
    [
        *("gaussian:5", "gaussian:sigma_x=3,sigma_y=1", "box:15", "box:size=4", "box:2.5", "binomial:9", "binomial:40"),
        "savitzky_golay:size=11,degree=4",
        *("shift:dx=2.5,dy=-1.5", "motion:9", "gradient:3", "gradient:sigma=3,angle=90", "ridge:3", "derivative:2"),
        *("derivative:3,size=9", *(f"{name}:{d}" for name in OPERATORS if name != "kirsch" for d in "nesw")),
    ],
)
def test_separable_formulas_are_of_rank_1(spec):
    found = kernel(spec).weights
    assert kernel(spec).rank == 1
    largest = np.unravel_index(np.abs(found).argmax(), found.shape)
    product = np.outer(found[:, largest[1]], found[largest[0]]) / found[largest]
    same(found, product, 4e-16 * np.abs(found).max())


@pytest.mark.parametrize("spec", ["box:7", "box:size=6", "disk:5", "binomial:30", "derivative:2,size=9", "motion:9",
                                  "laplacian:8", "kirsch:nw", "robinson:ne,levels=3"])  # fmt: skip
def test_whole_numbers_stay_whole(spec):
    found = kernel(spec)
    assert (found.weights == np.rint(found.weights)).all()
    assert found.scale == int(found.scale)


@given(st.integers(-9, 9), st.integers(-9, 9))
@settings(max_examples=30, deadline=None)
def test_shift_shifts_right_and_down(dx, dy):
    ours = imgconv.correlate(PICTURE, f"shift:dx={dx},dy={dy}", border="wrap")
    assert (ours == np.roll(PICTURE, (dy, dx), axis=(0, 1))).all()


@pytest.mark.parametrize(("dx", "dy"), [(0.5, 0), (-0.25, 1.75), (3.1, -2.6)])
def test_shift_by_parts_of_a_pixel(dx, dy):
    ndimage = pytest.importorskip("scipy.ndimage")
    ours = imgconv.correlate(PICTURE, f"shift:dx={dx},dy={dy}")
    same(ours[5:-5, 5:-5], ndimage.shift(PICTURE, (dy, dx), order=1)[5:-5, 5:-5])
