"""Formulas that answer to change: Laplacians, derivatives of Gaussians, compass operators. Most sum to 0.

Directions and angles as in `smoothing`; a derivative is positive where the picture gets brighter that way.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import KernelError
from imgconv.kernels.smoothing import (
    RADII,
    REACH,
    SIGMAS,
    Doc,
    Radius,
    Sigma,
    check_range,
    gaussian_taps,
    pascal,
    reach_px,
    unit_vector,
)
from imgconv.kernels.value import Kernel

Direction = Literal["e", "ne", "n", "nw", "w", "sw", "s", "se"]
RISING = "Where rising brightness gives a positive result."
Rising = Annotated[Direction, Doc(RISING)]
COMPASS = {"e": 0, "ne": 45, "n": 90, "nw": 135, "w": 180, "sw": 225, "s": 270, "se": 315}  # degrees


def laplacian(variant: Annotated[Literal["4", "8", "opencv3"], Doc("Which of them.")] = "4") -> Kernel:
    """Sum of second differences: bright in hollows, dark on tops, 0 on slopes.

    4: the direct neighbours − 4 times the middle. 8: all neighbours − 8 times the middle. opencv3: twice the diagonal
    neighbours − 8 times the middle.

    Source: 4: cv2.Laplacian(ksize=1), scipy.ndimage.laplace; opencv3: cv2.Laplacian(ksize=3)
    """
    rim, corner = {"4": (1, 0), "8": (1, 1), "opencv3": (0, 2)}[variant]
    return Kernel(np.array([[corner, rim, corner], [rim, -4 * (rim + corner), rim], [corner, rim, corner]]))


def log(sigma: Sigma = 1, radius: Radius = None) -> Kernel:
    """Laplacian of Gaussian: edges and blobs of one size, free of finer noise.

    g(y)·g″(x) + g″(y)·g(x) with the sampled Gaussian g and g″(x) = (x²/σ² − c)/σ² · g(x), c such that g″ sums to 0.

    Source: Marr and Hildreth 1980; scipy.ndimage.gaussian_laplace has c = 1, so its sum is not quite 0: for sigma ≥
    1 and radius ≥ 4·sigma the weights differ by less than 0.002 of the largest
    """
    blur = gaussian_taps(sigma, radius)
    bend = _derivative_taps(blur, sigma, 2)
    return Kernel(np.outer(blur, bend) + np.outer(bend, blur))


def dog(
    sigma: Annotated[float, Doc("Standard deviation of the first, px, {}.", *SIGMAS)] = 1,
    sigma2: Annotated[
        float | None, Doc("Standard deviation of the second, px, {}; default ratio · sigma.", *SIGMAS)
    ] = None,
    ratio: Annotated[
        float | None, Doc("Instead of sigma2: how many times sigma it is, {}; default 1.6.", 0.01, 100, "sigma2")
    ] = None,
    radius: Annotated[int | None, Doc(REACH + "4 times the larger sigma, rounded up.", *RADII)] = None,
) -> Kernel:
    """Difference of Gaussians: a band of detail between two sizes.

    gaussian(sigma) − gaussian(sigma2), both of the same radius. The sum is 0.

    Source: Marr and Hildreth 1980, ratio 1.6; skimage.filters.difference_of_gaussians, which cuts each Gaussian at
    4 of its own sigmas
    """
    second = sigma * (1.6 if ratio is None else ratio) if sigma2 is None else sigma2
    check_range(*SIGMAS, sigma2=second)
    reach = reach_px(4 * max(sigma, second), radius)
    near, far = gaussian_taps(sigma, reach), gaussian_taps(second, reach)
    return Kernel(np.outer(near, near) - np.outer(far, far))


def gradient(
    sigma: Sigma = 1,
    angle: Annotated[float | None, Doc("Degrees, counter-clockwise from the right; default 0.")] = None,
    direction: Annotated[Direction | None, Doc("Instead of angle.", instead_of="angle")] = None,
    radius: Radius = None,
) -> Kernel:
    """First derivative of a Gaussian: how steeply the picture rises toward a direction.

    cos(angle) · ∂/∂x + sin(angle) · ∂/∂up of the blurred picture, from the sampled Gaussian g and g′(x) = x/σ² · g(x).

    Source: Freeman and Adelson 1991; scipy.ndimage.gaussian_filter(sigma, order=(0, 1), radius=radius) for angle 0
    """
    right, down = unit_vector(COMPASS[direction] if direction else angle or 0)
    blur = gaussian_taps(sigma, radius)
    slope = _derivative_taps(blur, sigma, 1)
    return Kernel(right * np.outer(blur, slope) + down * np.outer(slope, blur))


def ridge(
    sigma: Annotated[float, Doc("Standard deviation, px, {}: about half the width of the line.", *SIGMAS)] = 1,
    angle: Annotated[float, Doc("Along the line: degrees, counter-clockwise from the right.")] = 0,
    radius: Radius = None,
) -> Kernel:
    """Bright on bright lines of one width that run along a direction; dark on dark ones.

    Minus the second derivative of a Gaussian across the line, with g″ as in log. The sum is 0.

    Source: Freeman and Adelson 1991; −scipy.ndimage.gaussian_filter(sigma, order=(2, 0), radius=radius) for angle
    0, up to what is said of log
    """
    right, down = unit_vector(angle)
    blur = gaussian_taps(sigma, radius)
    slope, bend = _derivative_taps(blur, sigma, 1), _derivative_taps(blur, sigma, 2)
    across = down**2 * np.outer(blur, bend) + right**2 * np.outer(bend, blur)
    return Kernel(2 * right * down * np.outer(slope, slope) - across)


def gabor(
    sigma: Annotated[float, Doc("Standard deviation along the wave, px, {}.", *SIGMAS)] = 3,
    wavelength: Annotated[float, Doc("px from stripe to stripe, {}; `lambda` means the same.", *SIGMAS)] = 8,
    angle: Annotated[
        float | None, Doc("Across the stripes: degrees, counter-clockwise from the right; default 0.")
    ] = None,
    theta: Annotated[
        float | None, Doc("Instead of angle, as OpenCV counts: degrees clockwise.", instead_of="angle")
    ] = None,
    gamma: Annotated[float, Doc("Sigma along the wave over sigma along the stripes, {}.", 0.01, 100)] = 0.5,
    psi: Annotated[float, Doc("Phase in degrees: 90 answers to edges, 0 to lines.")] = 90,
    radius: Annotated[
        int | None, Doc(REACH + "3 sigmas along each axis, as OpenCV has for ksize (0, 0).", *RADII)
    ] = None,
) -> Kernel:
    """Gabor wave: stripes of one width and direction under a Gaussian.

    exp(−(u² + gamma²·v²)/2σ²) · cos(2π·u/wavelength + psi), with u toward theta + 180°, v across; not normalised.

    Source: cv2.getGaborKernel(ksize, sigma, theta, lambd, gamma, psi), there with radians
    """
    right, down = unit_vector(-theta if theta is not None else angle or 0)
    reach = [round(max(abs(3 * sigma * a), abs(3 * sigma / gamma * b))) for a, b in ((down, right), (right, down))]
    rows, columns = (np.arange(-r, r + 1) for r in (reach_px(r, radius) for r in reach))
    y, x = -rows[:, None], -columns[None, :]  # OpenCV stores it turned by 180°
    u, v = x * right + y * down, y * right - x * down
    wave = np.cos(2 * np.pi / wavelength * u + math.radians(psi))
    return Kernel(np.exp(-0.5 * ((u / sigma) ** 2 + (gamma * v / sigma) ** 2)) * wave)


def derivative(
    order: Annotated[int, Doc("{}.", 1, 4)] = 1,
    axis: Annotated[Literal["x", "y"], Doc("To the right or downwards.")] = "x",
    size: Annotated[int | None, Doc("Taps a side, odd, 3 to 31 and more than order.")] = None,
) -> Kernel:
    """Derivative of order 1 to 4 along one axis.

    Without size the shortest central difference, alone: −1 0 1 over 2; 1 −2 1; −1 2 0 −2 1 over 2; 1 −4 6 −4 1. With
    size the same smoothed by binomials: (z − 1)^order · (z + 1)^(size − 1 − order) along the axis, (z + 1)^(size − 1)
    across it, over the scale that makes it the derivative per px.

    Source: cv2.getDerivKernels(order, 0, size, normalize=True), cv2.Sobel(ksize=size)
    """
    if size is None:
        along = [[-1, 0, 1], [1, -2, 1], [-1, 2, 0, -2, 1], [1, -4, 6, -4, 1]][order - 1]
        weights, scale = np.array([along]), 2.0 if order % 2 else 1.0
    else:
        check_range(max(3, order + 1), 31, size=size)
        if size % 2 == 0:
            raise KernelError(f"size={size} is even; write an odd one such as {size - 1 if size > 4 else size + 1}")
        rising = np.array(pascal(size - order))
        for _ in range(order):
            rising = np.convolve(rising, [-1, 1])
        weights, scale = np.outer(pascal(size), rising), 2.0 ** (2 * size - 2 - order)
    return Kernel(weights if axis == "x" else weights.T, scale=scale)


def sobel(direction: Rising = "e") -> Kernel:
    """Derivative toward a direction, smoothed across it by 1 2 1.

    e is −1 0 1; −2 0 2; −1 0 1; the others turn its rim by steps of 45°.

    Source: Sobel and Feldman 1968; cv2.Sobel(ksize=3); skimage.filters.sobel_v and sobel_h are a quarter of e and s
    """
    return Kernel(_rotated(np.outer([1, 2, 1], [-1, 0, 1]), direction))


def prewitt(direction: Rising = "e") -> Kernel:
    """Derivative toward a direction, averaged across it.

    e is −1 0 1; −1 0 1; −1 0 1; the others turn its rim by steps of 45°.

    Source: Prewitt 1970; scipy.ndimage.prewitt; skimage.filters.prewitt_v and prewitt_h are a third of e and s
    """
    return Kernel(_rotated(np.outer([1, 1, 1], [-1, 0, 1]), direction))


def scharr(direction: Rising = "e") -> Kernel:
    """Derivative toward a direction, smoothed across it by 3 10 3 so that all directions count nearly alike.

    e is −3 0 3; −10 0 10; −3 0 3; the others turn its rim by steps of 45°.

    Source: Scharr 2000; cv2.Scharr; skimage.filters.scharr_v and scharr_h are a sixteenth of e and s
    """
    return Kernel(_rotated(np.outer([3, 10, 3], [-1, 0, 1]), direction))


def kirsch(direction: Annotated[Direction, Doc("Which neighbours count by 5.")] = "e") -> Kernel:
    """Edge toward a direction: three neighbours against the other five.

    e is −3 −3 5; −3 0 5; −3 −3 5; the others turn its rim by steps of 45°.

    Source: Kirsch 1971
    """
    return Kernel(_rotated(np.array([[-3, -3, 5], [-3, 0, 5], [-3, -3, 5]]), direction))


def robinson(
    direction: Rising = "e", levels: Annotated[Literal["5", "3"], Doc("How many different weights.")] = "5"
) -> Kernel:
    """Compass gradient: Robinson's masks of five levels (sobel's) or of three (prewitt's).

    Source: Robinson 1977
    """
    return sobel(direction) if levels == "5" else prewitt(direction)


def freichen(direction: Rising = "e") -> Kernel:
    """Derivative toward a direction, smoothed across it by 1 √2 1.

    e is −1 0 1; −√2 0 √2; −1 0 1 over √8, so that its squares sum to 1; the others turn its rim by steps of 45°.

    Source: Frei and Chen 1977, whose own basis has e, s and two more of another kind in place of the diagonals
    """
    return Kernel(_rotated(np.outer([1, math.sqrt(2), 1], [-1, 0, 1]), direction), scale=math.sqrt(8))


def roberts(
    direction: Annotated[Literal["ne", "nw", "sw", "se"], Doc(f"{RISING} Only diagonals: it has no other.")] = "se",
) -> Kernel:
    """Difference of two pixels that touch at a corner: the smallest derivative, along a diagonal.

    se is −1 0; 0 1.

    Source: Roberts 1965; skimage.filters.roberts_pos_diag is se, roberts_neg_diag is sw
    """
    turns = ("se", "ne", "nw", "sw").index(direction)
    return Kernel(np.rot90(np.array([[-1, 0], [0, 1]]), turns))


def _derivative_taps(blur: Array, sigma: float, order: int) -> Array:
    """Taps of the first or second derivative of a Gaussian, as correlation slides them."""
    x = np.arange(blur.size) - blur.size // 2
    if order == 1:
        return np.asarray(x / sigma**2 * blur)
    bend = ((x / sigma) ** 2 - 1) / sigma**2 * blur
    bend = bend - bend.sum() * blur
    return np.asarray(bend - bend.sum() * blur)  # again: for a small sigma the first time rounds off more than is left


def _rotated(weights: Array, direction: Direction) -> Array:
    """3×3 weights that look to the right, turned to another direction."""
    return rotate_rim(weights.astype(np.float64), -COMPASS[direction] // 45)


def rotate_rim(array: Array, steps: int) -> Array:
    """A 3×3 array whose eight outer taps have moved on by `steps`, clockwise; a third axis goes along."""
    rows, columns = [0, 0, 0, 1, 2, 2, 2, 1], [0, 1, 2, 2, 2, 1, 0, 0]
    turned = array.copy()
    turned[rows, columns] = np.roll(array[rows, columns], steps, axis=0)
    return turned
