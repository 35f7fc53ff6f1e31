"""What the three articles found, from the command line."""

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import PILLOW
from PIL import Image, ImageFilter

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
# Pillow's wheels for AArch64 give other bytes for these, and imgconv those of x86-64 everywhere
FUSED = {"detail", "smooth_more"} if platform.machine().lower() in ("aarch64", "arm64") else set()
PHOTOS = ["astronaut", "camera", "chelsea", "coffee", "chelsea_cutout"]


def imgconv(folder, *arguments):
    command = [sys.executable, "-m", "imgconv", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def applied(folder, *arguments):
    """The numbers that `imgconv apply … -o -` prints."""
    text = imgconv(folder, "apply", *arguments, "-o", "-")
    return np.array([[float(word) for word in line.split()] for line in text.splitlines()])


def sample(name):
    return np.loadtxt(SAMPLES / name, ndmin=2)


def test_the_convolution_worked_by_hand(tmp_path):
    text = imgconv(
        tmp_path, "apply", SAMPLES / "hand_5x5.txt", "-k", SAMPLES / "hand_kernel_3x3.txt", "--padding", "valid",
        "-o", "-",
    )  # fmt: skip
    assert text == "312 348 384\n492 528 564\n672 708 744\n"
    assert text == (SAMPLES / "hand_result_3x3.txt").read_text()


def test_the_first_articles_numbers_are_in_the_samples():
    array, kernel = sample("scipy_keras_8x8.txt"), sample("scipy_keras_kernel_3x3.txt")
    np.testing.assert_array_equal(np.load(SAMPLES / "scipy_keras_8x8.npy"), array.astype(np.float32))
    assert array[0, :2].tolist() == [-0.000116551484, -0.00188735046]
    assert array[4].tolist() == [
        -0.0155315138, -0.25150612, -0.663918316, 2.7207942, 3.01719952, -0.619484246, -0.282673597, -0.0199690927,
    ]  # fmt: skip
    assert array[7, 7] == -0.000192666746
    assert 0 < abs(array - array.T).max() < 1e-6  # nearly symmetric, not quite
    assert kernel.tolist() == [
        [0.04277903, 0.5318366, 0.025291916],
        [0.5756132, -0.493123, 0.116359994],
        [0.10616145, -0.319581, -0.115053006],
    ]


def test_keras_takes_the_kernel_as_given_not_transposed(tmp_path):
    """The article's transposed kernel gives Keras' mean, but not its numbers."""
    how = ("--padding", "same", "--border", "constant")
    keras = sample("keras_3x3_same.txt")
    np.savetxt(tmp_path / "transposed.txt", sample("scipy_keras_kernel_3x3.txt").T)
    given, transposed = (
        applied(tmp_path, SAMPLES / "scipy_keras_8x8.txt", "-k", kernel, *how)
        for kernel in (SAMPLES / "scipy_keras_kernel_3x3.txt", "transposed.txt")
    )
    assert abs(given - keras).max() < 2e-7
    assert abs(transposed - keras).max() > 1.4
    np.testing.assert_allclose([given.mean(), transposed.mean()], keras.mean(), atol=1e-7)


@pytest.mark.parametrize("size", ["3x3", "2x2"])
@pytest.mark.parametrize("form", ["txt", "npy"])
def test_correlation_is_keras(tmp_path, size, form):
    source, kernel = SAMPLES / f"scipy_keras_8x8.{form}", SAMPLES / f"scipy_keras_kernel_{size}.txt"
    for padding in ("same", "valid"):
        extra = ("--format", "txt", "--padding", padding, "--border", "constant")
        got = applied(tmp_path, source, "-k", kernel, *extra)
        np.testing.assert_allclose(got, sample(f"keras_{size}_{padding}.txt"), atol=1e-6)


def test_keras_strides(tmp_path):
    source, kernel = SAMPLES / "scipy_keras_8x8.txt", SAMPLES / "scipy_keras_kernel_2x2.txt"
    for padding in ("tf-same", "valid"):
        got = applied(tmp_path, source, "-k", kernel, "--like", "keras", "--stride", "2", "--padding", padding)
        np.testing.assert_allclose(got, sample(f"keras_2x2_{padding.removeprefix('tf-')}_stride2.txt"), atol=1e-6)


@pytest.mark.parametrize("size", ["3x3", "2x2"])
def test_convolution_is_scipy(tmp_path, size):
    signal = pytest.importorskip("scipy.signal")
    source, kernel = SAMPLES / "scipy_keras_8x8.txt", SAMPLES / f"scipy_keras_kernel_{size}.txt"
    expected = signal.convolve2d(sample(source.name), sample(kernel.name), mode="same")
    for how in (("--border", "constant"), ("--like", "scipy")):
        got = applied(tmp_path, source, "-k", kernel, "--mode", "convolve", *how)
        np.testing.assert_allclose(got, expected, atol=1e-12)


def test_conv2d_sums_over_its_channels(tmp_path):
    source = SAMPLES / "channels_3x3x3.npy"
    np.testing.assert_array_equal(np.load(source), np.full((3, 3, 3), (1, 100, 10000)))
    how = ("--format", "txt", "--padding", "valid")
    sums = [[40404, 40404], [40404, 40404]]
    assert applied(tmp_path, source, "-k", SAMPLES / "channels_kernel_hwio.npy", *how).tolist() == sums
    assert applied(tmp_path, source, "-k", "1 1; 1 1", "--channels", "sum", *how).tolist() == sums
    imgconv(tmp_path, "apply", source, "-k", "1 1; 1 1", "--padding", "valid", "-o", "each.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "each.npy"), np.full((2, 2, 3), (4, 400, 40000)))


@pytest.mark.parametrize("photo", PHOTOS)
def test_each_photo_under_pillows_ten(tmp_path, photo):
    with Image.open(SAMPLES / f"{photo}.png") as before:
        before.load()
    (tmp_path / "photo.png").write_bytes((SAMPLES / f"{photo}.png").read_bytes())
    names = PILLOW if photo == "chelsea" else PILLOW[:: 1 + len(photo) % 2]
    for name in names:
        imgconv(tmp_path, "apply", "photo.png", "-k", name)
        with Image.open(tmp_path / f"photo.{name}.png") as after:
            theirs = before.filter(getattr(ImageFilter, name.upper()))
            assert after.mode == theirs.mode
            assert name in FUSED or after.tobytes() == theirs.tobytes(), name


def test_the_articles_edge_kernel_is_pillows_edge_enhance_inside(tmp_path):
    for name in ("article_edge", "edge_enhance"):
        imgconv(tmp_path, "apply", SAMPLES / "chelsea.png", "-k", name, "-o", f"{name}.png")
    ours, theirs = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("article_edge", "edge_enhance"))
    np.testing.assert_array_equal(ours[1:-1, 1:-1], theirs[1:-1, 1:-1])
    assert (ours != theirs).any()
