"""Formulas whose weights sum to 1, so that brightness stays: move, blur, sharpen, emboss; and what all formulas share.

Weights are as correlation slides them: columns count to the right, rows downwards. Angles are in degrees,
counter-clockwise from the right as the picture is seen, so 90 is up and 135 the upper left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import KernelError
from imgconv.kernels.value import LARGEST_SIDE, MOST_PERCENT, MOST_THRESHOLD, Blur, Kernel

IMPULSE = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])  # the identity among zeros
LARGEST_RADIUS = LARGEST_SIDE // 2  # px from the middle tap


@dataclass(frozen=True)
class Doc:
    """What is said of a parameter, and the range that its values are held to; {} in the text stands for the range."""

    text: str
    lowest: float = -math.inf
    highest: float = math.inf
    instead_of: str = ""  # a parameter that says the same

    def __str__(self) -> str:
        return self.text.format(f"{self.lowest:g} to {self.highest:g}")


SIGMAS, RADII = (0.01, 10_000), (1, LARGEST_RADIUS)
REACH = "Taps on each side of the middle, {}; default "
Sigma = Annotated[float, Doc("Standard deviation, px, {}.", *SIGMAS)]
Radius = Annotated[int | None, Doc(REACH + "4·sigma rounded up.", *RADII)]
Angle = Annotated[float, Doc("Degrees, counter-clockwise from the right.")]
Distance = Annotated[float, Doc("px, {}; negative is to the left and up.", -LARGEST_RADIUS, LARGEST_RADIUS)]
OWN_RADIUS = Doc("The same along rows and along columns, where they differ.", 0, LARGEST_RADIUS)
OWN_SIGMA = Doc("The same along rows and along columns, where they differ; 0 leaves that axis as it is.")


def identity() -> Kernel:
    """Changes nothing.

    Source: the unit of convolution
    """
    return Kernel(np.ones((1, 1)))


def shift(dx: Distance = 1, dy: Distance = 0) -> Kernel:
    """Moves the picture to the right by dx and down by dy.

    out[y, x] = in[y − dy, x − dx]. Parts of a pixel are interpolated linearly between two neighbours.

    Source: scipy.ndimage.shift(order=1), away from the border
    """
    return Kernel(np.outer(_shift_taps(dy), _shift_taps(dx)))


def box(
    radius: Annotated[float | None, Doc("px from the middle to the rim, {}; default 1.", 0, LARGEST_RADIUS)] = None,
    size: Annotated[
        int | None, Doc("Instead of radius: taps a side, {}; may be even.", 1, LARGEST_SIDE, instead_of="radius")
    ] = None,
    radius_x: Annotated[float | None, OWN_RADIUS] = None,
    radius_y: Annotated[float | None, OWN_RADIUS] = None,
) -> Kernel:
    """Mean of a square, or of a rectangle.

    All weights are 1 over (2·radius + 1)². With a fractional radius the rim counts by the fraction, the corners by its
    square: radius=1.5 has 0.5 1 1 1 0.5 along each axis.

    Source: Pillow, ImageFilter.BoxBlur(radius); cv2.blur; scipy.ndimage.uniform_filter(size)
    """
    both = (1 if radius is None else radius) if size is None else (size - 1) / 2
    x, y = (both if own is None else own for own in (radius_x, radius_y))

    def taps(own: float | None) -> Array:
        if own is None and size is not None:
            return np.ones(size)
        reach = both if own is None else own
        rim = reach - math.floor(reach)
        whole = np.ones(2 * math.floor(reach) + 1)
        return np.concatenate(([rim], whole, [rim])) if rim else whole

    down, across = taps(radius_y), taps(radius_x)
    lacks = "even size" if not (size or 1) % 2 else ""
    scale = float(down.sum()) * float(across.sum())
    return Kernel(np.outer(down, across), scale=scale, blur=Blur(x, y, passes=1, lacks=lacks))


def disk(
    radius: Annotated[float, Doc("px, 0 to 2047 (soft: 0.01 to 2047).")] = 3,
    rim: Annotated[Literal["hard", "soft"], Doc("Whether a pixel on the rim counts in full or in part.")] = "hard",
) -> Kernel:
    """Mean of a disk, as a lens out of focus has it.

    rim=hard: 1 where x² + y² ≤ radius², over their number. rim=soft: each pixel by the area of it that lies in the
    circle, over the sum.

    Source: hard: skimage.morphology.disk, for whole radii; soft: exact area of a circle and a square
    """
    check_range(0.01 if rim == "soft" else 0, LARGEST_RADIUS, radius=radius)
    if rim == "hard":
        offsets = np.abs(np.arange(-math.floor(radius), math.floor(radius) + 1))
        weights = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.float64)
    else:
        reach = math.ceil(radius - 0.5)
        offsets = np.abs(np.arange(-reach, reach + 1))
        near, far = offsets - 0.5, offsets + 0.5
        area = _disk_area(far[:, None], far, radius) - _disk_area(far[:, None], near, radius)
        weights = area - _disk_area(near[:, None], far, radius) + _disk_area(near[:, None], near, radius)
        weights = np.maximum(weights, 0)
    return Kernel(weights, scale=float(weights.sum()))


def gaussian(
    sigma: Annotated[float, Doc("Standard deviation, px, 0.01 to 10000.")] = 1,  # not refused where it is not used
    sigma_x: Annotated[float | None, OWN_SIGMA] = None,
    sigma_y: Annotated[float | None, OWN_SIGMA] = None,
    radius: Radius = None,
) -> Kernel:
    """Gaussian blur.

    exp(−x²/2σx²) · exp(−y²/2σy²), sampled at the middle of each pixel; each axis over its sum.

    Source: scipy.ndimage.gaussian_filter(sigma, radius=radius), whose own default rounds 4·sigma to the nearest;
    cv2.getGaussianKernel(2·radius + 1, sigma)
    """

    def taps(key: str, own: float | None) -> Array:
        if own == 0:
            return np.ones(1)
        key, value = ("sigma", sigma) if own is None else (key, own)
        check_range(*SIGMAS, **{key: value})
        return gaussian_taps(value, radius)

    x, y = (sigma if own is None else own for own in (sigma_x, sigma_y))
    blur = Blur(x, y, lacks="" if radius is None else "radius in taps (its own is the standard deviation)")
    return Kernel(np.outer(taps("sigma_y", sigma_y), taps("sigma_x", sigma_x)), blur=blur)


def binomial(size: Annotated[int, Doc("Taps a side, {}; may be even.", 1, LARGEST_SIDE)] = 3) -> Kernel:
    """Blur by Pascal's triangle: whole numbers close to a Gaussian of sigma = √(size − 1) / 2.

    Row size − 1 of Pascal's triangle along each axis, over 4^(size − 1). From size 31 on the products no longer fit
    into 53 bits, and the weights are fractions that sum to 1.

    Source: cv2.getGaussianKernel(size, 0) for sizes 3 and 5; cv2.pyrDown for size 5
    """
    whole = pascal(size)
    if size <= 30:
        return Kernel(np.outer(whole, whole).astype(np.float64), scale=4.0 ** (size - 1))
    taps = np.array([number / 2 ** (size - 1) for number in whole])
    return Kernel(np.outer(taps, taps))


def savitzky_golay(
    size: Annotated[int, Doc("Taps a side, odd and more than degree, {}.", 1, LARGEST_SIDE)] = 5,
    degree: Annotated[int, Doc("Of the polynomials, {}; an odd one gives the same as the one below it.", 0, 10)] = 2,
) -> Kernel:
    """Smooths noise away, and keeps height and width of what is larger, as a Gaussian does not.

    Along each axis the value in the middle of the polynomial that fits size pixels best, by least squares: the sum over
    k up to degree of p_k(0) · p_k(x) / Σp_k², with the Gram polynomials p_0 = 1 and p_k+1 = x · p_k − b_k · p_k−1,
    b_k = k²·(size² − k²) / (16·k² − 4). The sum is 1.

    Source: Savitzky and Golay 1964; scipy.signal.savgol_coeffs(size, degree)
    """
    check_range(degree + 1, LARGEST_SIDE, size=size)
    if size % 2 == 0:
        raise KernelError(f"size={size} is even; write an odd one such as {size + 1}")
    x = np.arange(size) - size // 2
    before, now, squares = np.zeros(size), np.ones(size), float(size)
    taps = now / squares
    b = [k**2 * (size**2 - k**2) / (16 * k**2 - 4) for k in range(degree + 1)]
    for k in range(degree):
        before, now, squares = now, x * now - b[k] * before, squares * b[k + 1]
        taps += now[size // 2] / squares * now
    return Kernel(np.outer(taps, taps))


def motion(length: Annotated[float, Doc("px, {}.", 1, LARGEST_SIDE)] = 9, angle: Angle = 0) -> Kernel:
    """Blur along a straight line, as a moving camera has it.

    max(0, 1 − d) over the sum, where d is the distance in px of a pixel's middle from a line segment of length − 1 px
    through the middle of the kernel. At angle 0 or 90 an odd length gives as many equal weights.

    Source: the definition of MATLAB's fspecial("motion"), with round ends
    """
    half = (length - 1) / 2
    right, down = unit_vector(angle)
    # 1e-9: no row for weights that are not 0 only by rounding
    reach = [math.ceil(half * abs(step) + 1 - 1e-9) - 1 for step in (down, right)]
    rows, columns = (np.arange(-r, r + 1) for r in reach)
    y, x = rows[:, None], columns[None, :]
    along = np.clip(x * right + y * down, -half, half)
    # not hypot, which C libraries fuse on some CPUs
    weights = np.maximum(1 - np.sqrt((x - along * right) ** 2 + (y - along * down) ** 2), 0)
    return Kernel(weights, scale=float(weights.sum()))


def unsharp(
    sigma: Annotated[float, Doc("Standard deviation of the blur, px, {}.", *SIGMAS)] = 1,
    amount: Annotated[float, Doc("{}; 1 is Pillow's percent=100.", 0, 100)] = 1,
    radius: Annotated[
        float | None, Doc(REACH + "4·sigma rounded up. With percent or threshold: sigma, as Pillow has it.", *SIGMAS)
    ] = None,
    percent: Annotated[
        int | None, Doc("Instead of amount: Pillow's, {}.", 0, MOST_PERCENT, instead_of="amount")
    ] = None,
    threshold: Annotated[
        int | None,
        Doc("Only what differs by more levels is sharpened, {}; with --like pillow only.", 0, MOST_THRESHOLD),
    ] = None,
) -> Kernel:
    """Sharpens by adding what a Gaussian blur takes away.

    (1 + amount) · identity − amount · gaussian(sigma). The sum is 1.

    Source: skimage.filters.unsharp_mask(radius=sigma, amount); with --like pillow ImageFilter.UnsharpMask(sigma,
    100·amount, threshold), whose blur is three box blurs: without, it differs by some levels of 255
    """
    if radius is not None and (percent is not None or threshold is not None):
        sigma, radius = radius, None
    reach = None if radius is None else int(radius)
    if reach is not None:
        check_range(*RADII, radius=reach)
    if reach != radius:
        raise KernelError(f"radius={radius:g} is no number of taps; with percent it is the blur's standard deviation")
    whole = round(100 * amount) if percent is None else percent
    amount = amount if percent is None else percent / 100
    lacks = "radius in taps (with percent it is the standard deviation)" if reach else ""
    if abs(whole - 100 * amount) > 1e-9:
        lacks = "part of a percent"
    taps = gaussian_taps(sigma, reach)
    weights = -amount * np.outer(taps, taps)
    weights[taps.size // 2, taps.size // 2] += 1 + amount
    return Kernel(weights, blur=Blur(sigma, sigma, percent=whole, threshold=threshold or 0, lacks=lacks))


def sharpen(amount: Annotated[float, Doc("{}.", 0, 100)] = 1) -> Kernel:
    """Sharpens by the four direct neighbours.

    identity − amount · laplacian: the middle is 1 + 4·amount, its neighbours −amount. The sum is 1. The named kernel
    "sharpen" is another one, Pillow's.

    Source: usual definition; amount=1 is 0 −1 0; −1 5 −1; 0 −1 0
    """
    return Kernel(IMPULSE - amount * np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]))


def emboss(
    angle: Annotated[float, Doc("Where the light comes from: degrees, counter-clockwise from the right.")] = 135,
    strength: Annotated[float, Doc("{}.", 0, 100)] = 1,
) -> Kernel:
    """Relief laid over the picture, lit from one side.

    identity + strength · (a slope that falls toward the light), the steeper of its axes 1 a pixel. The sum is 1. The
    named kernel "emboss" is another one, Pillow's grey relief.

    Source: usual definition; angle=135 is −2 −1 0; −1 1 1; 0 1 2
    """
    right, down = np.array(unit_vector(angle)) / max(map(abs, unit_vector(angle)))
    steps = np.arange(-1, 2)
    return Kernel(IMPULSE - strength * (right * steps[None, :] + down * steps[:, None]))


def check_range(lowest: float, highest: float, **values: float) -> None:
    """Refuses a value outside its range, before memory is taken for it."""
    for key, value in values.items():
        if not lowest <= value <= highest:
            raise KernelError(f"{key}={value:g} is out of range; it goes from {lowest:g} to {highest:g}")


def reach_px(wanted: float, radius: int | None) -> int:
    """Taps on each side of the middle: the radius if one was given, else what the formula wants, rounded up."""
    if radius is not None:
        return radius
    if wanted > LARGEST_RADIUS:
        raise KernelError(
            f"reaches {wanted:g} px to each side, more than {LARGEST_RADIUS}; give a smaller one or radius="
        )
    return math.ceil(wanted)


def gaussian_taps(sigma: float, radius: int | None) -> Array:
    """Taps of a sampled Gaussian that sum to 1."""
    reach = reach_px(4 * sigma, radius)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(taps / taps.sum())


def pascal(size: int) -> list[int]:
    """The row of Pascal's triangle that has `size` numbers."""
    return [math.comb(size - 1, k) for k in range(size)]


def unit_vector(angle: float) -> tuple[float, float]:
    """How far to the right and how far down a step of 1 px goes; exact for multiples of 45°."""
    rest = math.remainder(angle, 90)  # -45 to 45, so that mirrored angles give mirrored steps to the last bit
    right, up = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    if abs(rest) == 45:
        right, up = math.sqrt(0.5), math.copysign(math.sqrt(0.5), rest)
    for _ in range(round((math.fmod(angle, 360) - rest) / 90) % 4):
        right, up = -up, right
    return right, -up


def _shift_taps(distance: float) -> Array:
    """Taps that take the pixel `distance` before this one."""
    whole = math.floor(distance)
    reach = math.ceil(abs(distance))
    taps = np.zeros(2 * reach + 1)
    taps[reach - whole] = 1 - (distance - whole)
    if distance != whole:
        taps[reach - whole - 1] = distance - whole
    return taps


def _disk_area(height: Array, width: Array, radius: float) -> Array:
    """Area of a disk's quadrant within width and height of its middle; odd in both."""
    b, a = np.minimum(np.abs(height), radius), np.minimum(np.abs(width), radius)
    flat = np.sqrt(radius * radius - b * b)  # up to here the disk is higher than b
    inside = a * b
    outside = b * flat + _circle_area(a, radius) - _circle_area(flat, radius)
    return np.asarray(np.where(a <= flat, inside, outside) * np.sign(height) * np.sign(width))


def _circle_area(x: Array, radius: float) -> Array:
    """Area under the circle from 0 to x."""
    # radius**2 is a power to Python, which may round to less than x * x where x is the radius
    return np.asarray((x * np.sqrt(radius * radius - x * x) + radius**2 * np.arcsin(x / radius)) / 2)
