"""Formulas that answer to change: Laplacians, derivatives of Gaussians, compass operators. Most sum to 0.

Directions and angles as in `smoothing`; a derivative is positive where the picture gets brighter that way.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from imgconv.errors import KernelError
from imgconv.kernels.smoothing import Array, check_only_one, check_range, gaussian_taps, reach_px, toward
from imgconv.kernels.value import Kernel

Direction = Literal["e", "ne", "n", "nw", "w", "sw", "s", "se"]
Diagonal = Literal["ne", "nw", "sw", "se"]
COMPASS = {"e": 0, "ne": 45, "n": 90, "nw": 135, "w": 180, "sw": 225, "s": 270, "se": 315}  # degrees


def laplacian(variant: Literal["4", "8", "opencv3"] = "4") -> Kernel:
    """Sum of second differences: bright in hollows, dark on tops, 0 on slopes.

    4: the direct neighbours − 4 times the middle. 8: all neighbours − 8 times the middle. opencv3: twice the diagonal
    neighbours − 8 times the middle.

    Parameters
    ----------
    variant : 4, 8 or opencv3
        Which of them.

    References
    ----------
    4: cv2.Laplacian(ksize=1), scipy.ndimage.laplace; opencv3: cv2.Laplacian(ksize=3)
    """
    rim, corner = {"4": (1, 0), "8": (1, 1), "opencv3": (0, 2)}[variant]
    return Kernel(np.array([[corner, rim, corner], [rim, -4 * (rim + corner), rim], [corner, rim, corner]]))


def log(sigma: float = 1, radius: int | None = None) -> Kernel:
    """Laplacian of Gaussian: edges and blobs of one size, free of finer noise.

    g(y)·g″(x) + g″(y)·g(x) with the sampled Gaussian g and g″(x) = (x²/σ² − c)/σ² · g(x), c such that g″ sums to 0.

    Parameters
    ----------
    sigma : float
        Standard deviation, px, 0.01 to 10000.
    radius : int
        Taps on each side of the middle, 1 to 2047; default 4·sigma rounded up.

    References
    ----------
    Marr and Hildreth 1980; scipy.ndimage.gaussian_laplace has c = 1, so its sum is not quite 0: for sigma ≥ 1 and
    radius ≥ 4·sigma the weights differ by less than 0.002 of the largest
    """
    blur = gaussian_taps(sigma, radius)
    bend = _derived(blur, sigma, 2)
    return Kernel(np.outer(blur, bend) + np.outer(bend, blur))


def dog(sigma: float = 1, sigma2: float | None = None, ratio: float | None = None, radius: int | None = None) -> Kernel:
    """Difference of Gaussians: a band of detail between two sizes.

    gaussian(sigma) − gaussian(sigma2), both of the same radius. The sum is 0.

    Parameters
    ----------
    sigma : float
        Standard deviation of the first, px, 0.01 to 10000.
    sigma2 : float
        Standard deviation of the second, px, 0.01 to 10000; default ratio · sigma.
    ratio : float
        Instead of sigma2: how many times sigma it is, 0.01 to 100; default 1.6.
    radius : int
        Taps on each side of the middle, 1 to 2047; default 4 times the larger sigma, rounded up.

    References
    ----------
    Marr and Hildreth 1980, ratio 1.6; skimage.filters.difference_of_gaussians, which cuts each Gaussian at 4 of its own
    sigmas
    """
    check_only_one(sigma2=sigma2, ratio=ratio)
    check_range(0.01, 100, ratio=1.6 if ratio is None else ratio)
    second = sigma * (1.6 if ratio is None else ratio) if sigma2 is None else sigma2
    check_range(0.01, 10000, sigma=sigma, sigma2=second)
    reach = reach_px(4 * max(sigma, second), radius)
    near, far = gaussian_taps(sigma, reach), gaussian_taps(second, reach)
    return Kernel(np.outer(near, near) - np.outer(far, far))


def gradient(
    sigma: float = 1, angle: float | None = None, direction: Direction | None = None, radius: int | None = None
) -> Kernel:
    """First derivative of a Gaussian: how steeply the picture rises toward a direction.

    cos(angle) · ∂/∂x + sin(angle) · ∂/∂up of the blurred picture, from the sampled Gaussian g and g′(x) = x/σ² · g(x).

    Parameters
    ----------
    sigma : float
        Standard deviation, px, 0.01 to 10000.
    angle : float
        Degrees, counter-clockwise from the right; default 0.
    direction : e, ne, n, nw, w, sw, s or se
        Instead of angle.
    radius : int
        Taps on each side of the middle, 1 to 2047; default 4·sigma rounded up.

    References
    ----------
    Freeman and Adelson 1991; scipy.ndimage.gaussian_filter(sigma, order=(0, 1), radius=radius) for angle 0
    """
    check_only_one(angle=angle, direction=direction)
    right, down = toward(COMPASS[direction] if direction else angle or 0)
    blur = gaussian_taps(sigma, radius)
    slope = _derived(blur, sigma, 1)
    return Kernel(right * np.outer(blur, slope) + down * np.outer(slope, blur))


def ridge(sigma: float = 1, angle: float = 0, radius: int | None = None) -> Kernel:
    """Bright on bright lines of one width that run along a direction; dark on dark ones.

    Minus the second derivative of a Gaussian across the line, with g″ as in log. The sum is 0.

    Parameters
    ----------
    sigma : float
        Standard deviation, px, 0.01 to 10000: about half the width of the line.
    angle : float
        Along the line: degrees, counter-clockwise from the right.
    radius : int
        Taps on each side of the middle, 1 to 2047; default 4·sigma rounded up.

    References
    ----------
    Freeman and Adelson 1991; −scipy.ndimage.gaussian_filter(sigma, order=(2, 0), radius=radius) for angle 0, up to
    what is said of log
    """
    right, down = toward(angle)
    blur = gaussian_taps(sigma, radius)
    slope, bend = _derived(blur, sigma, 1), _derived(blur, sigma, 2)
    across = down**2 * np.outer(blur, bend) + right**2 * np.outer(bend, blur)
    return Kernel(2 * right * down * np.outer(slope, slope) - across)


def gabor(
    sigma: float = 3,
    wavelength: float = 8,
    angle: float | None = None,
    theta: float | None = None,
    gamma: float = 0.5,
    psi: float = 90,
    radius: int | None = None,
) -> Kernel:
    """Gabor wave: stripes of one width and direction under a Gaussian.

    exp(−(u² + gamma²·v²)/2σ²) · cos(2π·u/wavelength + psi), with u toward theta + 180°, v across; not normalised.

    Parameters
    ----------
    sigma : float
        Standard deviation along the wave, px, 0.01 to 10000.
    wavelength : float
        px from stripe to stripe, 0.01 to 10000; `lambda` means the same.
    angle : float
        Across the stripes: degrees, counter-clockwise from the right; default 0.
    theta : float
        Instead of angle, as OpenCV counts: degrees clockwise.
    gamma : float
        Sigma along the wave over sigma along the stripes, 0.01 to 100.
    psi : float
        Phase in degrees: 90 answers to edges, 0 to lines.
    radius : int
        Taps on each side of the middle, 1 to 2047; default 3 sigmas along each axis, as OpenCV has for ksize (0, 0).

    References
    ----------
    cv2.getGaborKernel(ksize, sigma, theta, lambd, gamma, psi), there with radians
    """
    check_only_one(angle=angle, theta=theta)
    check_range(0.01, 10000, sigma=sigma, wavelength=wavelength)
    check_range(0.01, 100, gamma=gamma)
    right, down = toward(-theta if theta is not None else angle or 0)
    reach = [round(max(abs(3 * sigma * a), abs(3 * sigma / gamma * b))) for a, b in ((down, right), (right, down))]
    rows, columns = (np.arange(-r, r + 1) for r in (reach_px(r, radius) for r in reach))
    y, x = -rows[:, None], -columns[None, :]  # OpenCV stores it turned by 180°
    u, v = x * right + y * down, y * right - x * down
    wave = np.cos(2 * np.pi / wavelength * u + math.radians(psi))
    return Kernel(np.exp(-0.5 * ((u / sigma) ** 2 + (gamma * v / sigma) ** 2)) * wave)


def derivative(order: int = 1, axis: Literal["x", "y"] = "x", size: int | None = None) -> Kernel:
    """Derivative of order 1 to 4 along one axis.

    Without size the shortest central difference, alone: −1 0 1 over 2; 1 −2 1; −1 2 0 −2 1 over 2; 1 −4 6 −4 1. With
    size the same smoothed by binomials: (z − 1)^order · (z + 1)^(size − 1 − order) along the axis, (z + 1)^(size − 1)
    across it, over the scale that makes it the derivative per px.

    Parameters
    ----------
    order : int
        1 to 4.
    axis : x or y
        To the right or downwards.
    size : int
        Taps a side, odd, 3 to 31 and more than order.

    References
    ----------
    cv2.getDerivKernels(order, 0, size, normalize=True), cv2.Sobel(ksize=size)
    """
    check_range(1, 4, order=order)
    if size is None:
        along = [[-1, 0, 1], [1, -2, 1], [-1, 2, 0, -2, 1], [1, -4, 6, -4, 1]][order - 1]
        weights, scale = np.array([along], dtype=np.float64), 2.0 if order % 2 else 1.0
    else:
        check_range(max(3, order + 1), 31, size=size)
        if size % 2 == 0:
            raise KernelError(f"size={size} is even; write an odd one such as {size - 1 if size > 4 else size + 1}")
        rising = _pascal(size - order)
        for _ in range(order):
            rising = np.convolve(rising, [-1, 1])
        weights, scale = np.outer(_pascal(size), rising), 2.0 ** (2 * size - 2 - order)
    return Kernel(weights if axis == "x" else weights.T, scale=scale)


def sobel(direction: Direction = "e") -> Kernel:
    """Derivative toward a direction, smoothed across it by 1 2 1.

    e is −1 0 1; −2 0 2; −1 0 1; the others turn its rim by steps of 45°.

    Parameters
    ----------
    direction : e, ne, n, nw, w, sw, s or se
        Where rising brightness gives a positive result.

    References
    ----------
    Sobel and Feldman 1968; cv2.Sobel(ksize=3); skimage.filters.sobel_v and sobel_h are a quarter of e and s
    """
    return Kernel(_turned(np.outer([1, 2, 1], [-1, 0, 1]), direction))


def prewitt(direction: Direction = "e") -> Kernel:
    """Derivative toward a direction, averaged across it.

    e is −1 0 1; −1 0 1; −1 0 1; the others turn its rim by steps of 45°.

    Parameters
    ----------
    direction : e, ne, n, nw, w, sw, s or se
        Where rising brightness gives a positive result.

    References
    ----------
    Prewitt 1970; scipy.ndimage.prewitt; skimage.filters.prewitt_v and prewitt_h are a third of e and s
    """
    return Kernel(_turned(np.outer([1, 1, 1], [-1, 0, 1]), direction))


def scharr(direction: Direction = "e") -> Kernel:
    """Derivative toward a direction, smoothed across it by 3 10 3 so that all directions count nearly alike.

    e is −3 0 3; −10 0 10; −3 0 3; the others turn its rim by steps of 45°.

    Parameters
    ----------
    direction : e, ne, n, nw, w, sw, s or se
        Where rising brightness gives a positive result.

    References
    ----------
    Scharr 2000; cv2.Scharr; skimage.filters.scharr_v and scharr_h are a sixteenth of e and s
    """
    return Kernel(_turned(np.outer([3, 10, 3], [-1, 0, 1]), direction))


def kirsch(direction: Direction = "e") -> Kernel:
    """Edge toward a direction: three neighbours against the other five.

    e is −3 −3 5; −3 0 5; −3 −3 5; the others turn its rim by steps of 45°.

    Parameters
    ----------
    direction : e, ne, n, nw, w, sw, s or se
        Which neighbours count by 5.

    References
    ----------
    Kirsch 1971
    """
    return Kernel(_turned(np.array([[-3, -3, 5], [-3, 0, 5], [-3, -3, 5]]), direction))


def robinson(direction: Direction = "e", levels: Literal["5", "3"] = "5") -> Kernel:
    """Compass gradient: Robinson's masks of five levels (sobel's) or of three (prewitt's).

    Parameters
    ----------
    direction : e, ne, n, nw, w, sw, s or se
        Where rising brightness gives a positive result.
    levels : 5 or 3
        How many different weights.

    References
    ----------
    Robinson 1977
    """
    return sobel(direction) if levels == "5" else prewitt(direction)


def freichen(direction: Direction = "e") -> Kernel:
    """Derivative toward a direction, smoothed across it by 1 √2 1.

    e is −1 0 1; −√2 0 √2; −1 0 1 over √8, so that its squares sum to 1; the others turn its rim by steps of 45°.

    Parameters
    ----------
    direction : e, ne, n, nw, w, sw, s or se
        Where rising brightness gives a positive result.

    References
    ----------
    Frei and Chen 1977, whose own basis has e, s and two more of another kind in place of the diagonals
    """
    return Kernel(_turned(np.outer([1, math.sqrt(2), 1], [-1, 0, 1]), direction), scale=math.sqrt(8))


def roberts(direction: Diagonal = "se") -> Kernel:
    """Difference of two pixels that touch at a corner: the smallest derivative, along a diagonal.

    se is −1 0; 0 1.

    Parameters
    ----------
    direction : ne, nw, sw or se
        Where rising brightness gives a positive result. Only diagonals: it has no other.

    References
    ----------
    Roberts 1965; skimage.filters.roberts_pos_diag is se, roberts_neg_diag is sw
    """
    turns = ("se", "ne", "nw", "sw").index(direction)
    return Kernel(np.rot90(np.array([[-1, 0], [0, 1]]), turns))


def _derived(blur: Array, sigma: float, order: int) -> Array:
    """Taps of the first or second derivative of a Gaussian, as correlation slides them."""
    x = np.arange(blur.size) - blur.size // 2
    if order == 1:
        return np.asarray(x / sigma**2 * blur)
    bend = ((x / sigma) ** 2 - 1) / sigma**2 * blur
    bend = bend - bend.sum() * blur
    return np.asarray(bend - bend.sum() * blur)  # again: for a small sigma the first time rounds off more than is left


def _pascal(size: int) -> Array:
    return np.array([math.comb(size - 1, k) for k in range(size)], dtype=np.float64)


def _turned(weights: Array, direction: Direction) -> Array:
    """3×3 weights that look to the right, their rim turned to another direction."""
    rim = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    rows, columns = zip(*rim, strict=True)
    turned = weights.astype(np.float64)
    turned[rows, columns] = np.roll(weights[rows, columns], -COMPASS[direction] // 45)
    return turned
