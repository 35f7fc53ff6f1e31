"""A Recipe: kernels in order, and how they are applied. Arrays in, arrays out; pictures likewise."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imgconv.conventions import ANCHORS, MODES, SCALES, parse_border
from imgconv.engine.plan import Correlation, Plan, plan
from imgconv.engine.run import available_cores, execute, prepare, to_samples
from imgconv.errors import KernelError, PictureError, UsageError
from imgconv.kernels.value import Kernel

# how each sample type is computed when no loop takes it as it is; the result comes back in the type that went in
WIDER = {
    "bool": "uint8",
    "int8": "int32",
    "int16": "int32",
    "uint32": "float64",
    "int64": "float64",
    "uint64": "float64",
    "float16": "float32",
}
EXACT = 2.0**53  # whole numbers up to here are exact in float64


@dataclass(frozen=True)
class Options:
    """How kernels are applied; None means the kernel's own word, else the default.

    Attributes
    ----------
    mode : str
        "correlate" slides the kernel as it stands, "convolve" turns it by 180° first.
    border : str or None
        One of edge, reflect, symmetric, wrap, constant (or constant:VALUE), keep, renormalize. Default edge.
    padding : str
        "same", "valid" or "full": how large the result is.
    anchor : (int, int), "low", "high" or None
        The tap on the output pixel, rows first. "low" is (k - 1) // 2, "high" is k // 2. Default low.
    scale : float, "sum", "abs-sum", "none" or None
        What the weights are divided by.
    offset : float or None
        What is added to every sum.
    method : str
        How it is computed; "auto" chooses.
    threads : int or None
        Default: all cores that the process may use.
    """

    mode: str = "correlate"
    border: str | None = None
    padding: str = "same"
    anchor: tuple[int, int] | str | None = None
    scale: float | str | None = None
    offset: float | None = None
    method: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"mode {self.mode!r} is not one of {', '.join(MODES)}")
        if self.border is not None:
            try:
                parse_border(self.border)
            except ValueError as problem:
                raise UsageError(str(problem)) from None
        if isinstance(self.anchor, str) and self.anchor not in ANCHORS:
            raise UsageError(f"anchor {self.anchor!r} is neither {' nor '.join(ANCHORS)} nor two numbers")
        if isinstance(self.scale, str) and self.scale not in SCALES:
            raise UsageError(f"scale {self.scale!r} is neither a number nor one of {', '.join(SCALES)}")
        if isinstance(self.scale, (int, float)) and (self.scale == 0 or not np.isfinite(self.scale)):
            raise UsageError(f"scale must be a finite number other than 0, not {self.scale:g}")
        if self.offset is not None and not np.isfinite(self.offset):
            raise UsageError(f"offset must be a finite number, not {self.offset:g}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads must be 1 or more, not {self.threads}")


@dataclass(frozen=True)
class Report:
    """What an application did: for the line with the timing."""

    plans: tuple[Plan, ...]
    filter_s: float  # without compiling
    compile_s: float
    clipped: int  # samples outside the range of their type, over all kernels
    threads: int


@dataclass(frozen=True)
class Recipe:
    """Kernels in the order in which they are applied, and the options that hold for all of them."""

    kernels: tuple[Kernel, ...]
    options: Options = Options()

    def __post_init__(self) -> None:
        for kernel in self.kernels:
            correlation(kernel, self.options)

    @property
    def name(self) -> str:
        """The kernels' names, as a file name has them."""
        return "+".join(kernel.name for kernel in self.kernels)

    def apply(self, array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Report]:
        """Filters an array of shape (rows, columns) or (rows, columns, channels) of any real type.

        Integers are rounded half up and clipped to their type after each kernel; floating numbers are neither.

        Raises
        ------
        PictureError
            When the array is empty, has another shape, or holds what cannot be computed.
        """
        samples, back = _samples(array)
        steps = [correlation(kernel, self.options) for kernel in self.kernels]
        plans = tuple(plan(step, samples.dtype.name, self.options.method) for step in steps)
        compile_s = sum(prepare(chosen) for chosen in plans)
        clipped = 0
        started = time.perf_counter()
        for chosen in plans:
            done = execute(chosen, samples, self.options.threads)
            samples, clipped = done.array, clipped + done.clipped
            if samples.dtype != back and back.kind in "iub":
                samples, more = _narrow(samples, back)
                clipped += more
        filter_s = time.perf_counter() - started
        result = samples.reshape(samples.shape[:2]) if array.ndim == 2 else samples
        threads = self.options.threads or available_cores()
        return result.astype(back, copy=False), Report(plans, filter_s, compile_s, clipped, threads)


def correlation(kernel: Kernel, options: Options) -> Correlation:
    """What `kernel` means under `options`, as weights that are slid as they stand.

    Raises
    ------
    KernelError, UsageError
        When the two do not go together.
    """
    weights = kernel.oriented
    rows, columns = weights.shape
    anchor = kernel.oriented_anchor if options.anchor is None else options.anchor
    if anchor is None or anchor == "low":
        anchor = ((rows - 1) // 2, (columns - 1) // 2)
    elif anchor == "high":
        anchor = (rows // 2, columns // 2)
    assert not isinstance(anchor, str)
    if not (0 <= anchor[0] < rows and 0 <= anchor[1] < columns):
        raise UsageError(
            f"anchor {anchor[0]},{anchor[1]} lies outside the {rows}×{columns} kernel {kernel.name}"
            f" (rows 0 to {rows - 1}, columns 0 to {columns - 1})"
        )
    if options.mode == "convolve":
        weights = weights[::-1, ::-1]
        anchor = (rows - 1 - anchor[0], columns - 1 - anchor[1])
    own_border = kernel.border or ("keep" if kernel.like == "pillow" and options.padding != "full" else "edge")
    border, outside = parse_border(options.border or own_border)
    return Correlation(
        weights=np.ascontiguousarray(weights),
        scale=_scale(kernel, options.scale),
        offset=kernel.offset if options.offset is None else options.offset,
        anchor=anchor,
        border=border,
        outside=outside,
        padding=options.padding,
    )


def _scale(kernel: Kernel, scale: float | str | None) -> float:
    if scale is None:
        return kernel.scale
    if scale == "none":
        return 1.0
    if scale in ("sum", "abs-sum"):
        total = float(kernel.weights.sum() if scale == "sum" else np.abs(kernel.weights).sum())
        if total == 0:
            raise KernelError(f"{kernel.name}: the weights sum to 0, so they cannot be scaled by {scale}")
        return total
    return float(scale)


def _samples(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], np.dtype[Any]]:
    """The array as (rows, columns, channels) of a type that the loops take, and the type to come back to."""
    array = np.asarray(array)
    if array.ndim not in (2, 3):
        raise PictureError(f"an array of {array.ndim} dimensions is no picture; it takes (rows, columns[, channels])")
    if array.size == 0:
        raise PictureError(f"an array of shape {array.shape} has no pixels")
    back = array.dtype.newbyteorder("=")
    name = WIDER.get(back.name, back.name)
    if name not in ("uint8", "uint16", "int32", "float32", "float64"):
        raise PictureError(f"samples of type {back} cannot be filtered; convert them to a real type such as float64")
    if name == "float64" and back.kind in "iu" and max(float(array.max()), -float(array.min())) > EXACT:
        raise PictureError(f"{back} samples beyond 2**53 cannot be summed exactly; convert them to float64 first")
    shaped = array[:, :, None] if array.ndim == 2 else array
    return np.ascontiguousarray(shaped, dtype=name), back


def _narrow(samples: npt.NDArray[Any], back: np.dtype[Any]) -> tuple[npt.NDArray[Any], int]:
    """Samples of a wider type, rounded and clipped to the range of `back`; still in the wider type."""
    if back.kind == "b":
        inside = np.minimum(samples, 1)
        return inside, int(np.count_nonzero(inside != samples))
    narrow, clipped = to_samples(samples.astype(np.float64, copy=False), back)
    return narrow.astype(samples.dtype), clipped
