"""A Recipe: kernels in order, and how they are applied. Arrays in, arrays out; pictures likewise."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from imgconv.conventions import (
    AFTERS,
    ALPHAS,
    ANCHORS,
    COMBINES,
    LIKES,
    METHODS,
    MODES,
    PADDINGS,
    SCALES,
    parse_border,
)
from imgconv.engine import channels
from imgconv.engine.plan import Correlation, Plan, plan
from imgconv.engine.run import Filtered, available_cores, execute, prepare
from imgconv.errors import KernelError, PictureError, UsageError
from imgconv.kernels.family import Family, family
from imgconv.kernels.value import LARGEST_SIDE, Kernel
from imgconv.masks import Space, around, blend, strips, tiles, to_mask

Array = npt.NDArray[Any]

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
LETTERS = {
    "L": "l", "LA": "la", "RGB": "rgb", "RGBA": "rgba", "CMYK": "cmyk", "YCbCr": "ybr", "HSV": "hsv", "LAB": "lab",
    "I": "l", "F": "l",
}  # fmt: skip
BY_COUNT = {1: "l", 2: "la", 3: "rgb", 4: "rgba"}
GEOMETRY = ("flip", "border", "padding", "anchor", "alpha")
EXACT = 2.0**53  # whole numbers up to here are exact in float64


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and bool(np.isfinite(float(value)))


def _is_pair(value: Any, lowest: int) -> bool:
    """Whether it is two whole numbers, none below `lowest`."""
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    return pair and all(isinstance(n, Integral) and int(n) >= lowest for n in value)


@dataclass(frozen=True)
class Options:
    """How kernels are applied; None means what `like` says, else the kernel's own word, else the default.

    Attributes
    ----------
    mode : str
        "correlate" slides the kernel as it stands, "convolve" turns it by 180° first.
    border : str or None
        One of edge, reflect, symmetric, wrap, constant (or constant:VALUE), keep, renormalize. Default edge.
    padding : str or None
        "same", "valid", "full" or "tf-same" (TensorFlow's rule under strides): how large the result is. Default same.
    anchor : (int, int), "low", "high" or None
        The tap on the output pixel, rows first. "low" is (k - 1) // 2, "high" is k // 2. Default low.
    scale : float, "sum", "abs-sum", "none" or None
        What the weights are divided by.
    offset : float or None
        What is added to every sum.
    bias : tuple of float or None
        What is added to each output channel; one number for all of them.
    stride, dilation : (int, int)
        Steps between output pixels, and between taps; rows first.
    channels : str
        "each", "sum" (adds over the channels, as Conv2D), or the letters of those to filter, such as "rgb".
    after : str or None
        What becomes of values outside the range: clip, abs, relu, minmax, offset128, float. Default clip.
    alpha : str or None
        "straight" filters alpha like any channel, "keep" leaves it, "premultiply" weighs colours by it. Default
        "auto": premultiply where the weights sum to the scale, else keep; straight for kernels in Pillow's convention.
    linear : bool
        Filter in linear light: samples are taken as sRGB.
    combine : str or None
        Apply every kernel to the picture itself and take the hypot, sum, max or mean of the results.
    like : str or None
        The tool whose conventions hold; one of pillow, scipy, ndimage, opencv, keras, imagemagick.
    method : str
        How it is computed; "auto" chooses.
    threads : int or None
        Default: all cores that the process may use.
    mask : str, ndarray or None
        Where, and how strongly, the kernels act: a shape such as "radial:inner=0.2" (see `imgconv.masks`), or an array
        of the picture's rows and columns, from 0 to 1 (8 and 16 bits are scaled). The result is
        in + mask · (filtered − in): of unrounded values, and once for the whole chain, so that the kernels see the
        whole picture between them. In linear light with `linear`, weighed by alpha where the kernels are.
    vary : str or None
        Instead of kernels, a formula with a range, such as "gaussian:sigma=0..8": the mask says which value each pixel
        gets (see `imgconv.kernels.family`).
    """

    mode: str = "correlate"
    border: str | None = None
    padding: str | None = None
    anchor: tuple[int, int] | str | None = None
    scale: float | str | None = None
    offset: float | None = None
    bias: tuple[float, ...] | None = None
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    channels: str = "each"
    after: str | None = None
    alpha: str | None = None
    linear: bool = False
    combine: str | None = None
    like: str | None = None
    method: str = "auto"
    threads: int | None = None
    mask: Any = None
    vary: str | None = None

    def __post_init__(self) -> None:
        for name, words in (
            ("mode", MODES), ("padding", PADDINGS), ("after", AFTERS), ("alpha", ALPHAS), ("combine", COMBINES),
            ("like", tuple(LIKES)), ("method", METHODS),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value not in words:
                raise UsageError(f"{name} {value!r} is not one of {', '.join(words)}")
        if self.border is not None:
            try:
                parse_border(self.border)
            except ValueError as problem:
                raise UsageError(str(problem)) from None
        if self.anchor is not None and self.anchor not in ANCHORS and not _is_pair(self.anchor, 0):
            raise UsageError(
                f"anchor {self.anchor!r} is neither {' nor '.join(ANCHORS)} nor two whole numbers from 0 up"
            )
        if isinstance(self.scale, str):
            if self.scale not in SCALES:
                raise UsageError(f"scale {self.scale!r} is neither a number nor one of {', '.join(SCALES)}")
        elif self.scale is not None and (not _is_finite(self.scale) or self.scale == 0):
            raise UsageError(f"scale must be a finite number other than 0, not {self.scale!r}")
        if self.offset is not None and not _is_finite(self.offset):
            raise UsageError(f"offset must be a finite number, not {self.offset!r}")
        if self.bias is not None:
            bias = (self.bias,) if isinstance(self.bias, Real) else tuple(self.bias)
            if not bias or not all(_is_finite(number) for number in bias):
                raise UsageError("bias must be finite numbers, one for each output channel or one for all")
            object.__setattr__(self, "bias", tuple(float(number) for number in bias))
        for name in ("stride", "dilation"):  # one number stands for both axes
            steps = getattr(self, name)
            pair = (steps, steps) if isinstance(steps, Integral) else steps
            if not _is_pair(pair, 1):
                raise UsageError(f"{name} must be one or two whole numbers from 1 up, not {steps!r}")
            object.__setattr__(self, name, (int(pair[0]), int(pair[1])))
        if self.channels not in ("each", "sum") and not self.channels.isalpha():
            raise UsageError(f"channels {self.channels!r} is neither each nor sum nor letters such as rgb")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads must be 1 or more, not {self.threads}")
        if self.mask is not None:
            object.__setattr__(self, "mask", to_mask(self.mask))
            if self.stride != (1, 1) or self.padding in ("valid", "full") or self.channels == "sum":
                raise UsageError("a mask mixes the result with the picture: padding same, stride 1, no sum of channels")
        if self.vary is not None and self.mask is None:
            raise UsageError("vary needs a mask, which says where the parameter is small and where large")
        if self.vary is not None and self.combine is not None:
            raise UsageError("vary is one kernel, so there is nothing to combine")


@dataclass(frozen=True)
class Settings:
    """Options and a kernel's own word put together: nothing is left open but what depends on the picture."""

    flip: str
    border: str
    outside: float
    padding: str
    anchor: tuple[int, int] | str
    scale: float
    offset: float
    bias: tuple[float, ...]  # one for each output channel; a single one is in the offset
    after: str
    rounding: str
    sums: str
    alpha: str

    def describe(self) -> dict[str, Any]:
        """Every setting by its option's name, for `--explain`."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        outside = found.pop("outside")
        if self.border == "constant":
            found["border"] = f"constant:{outside:g}"
        return found


@dataclass(frozen=True)
class Report:
    """What an application did: for the line with the timing."""

    plans: tuple[Plan, ...]
    filter_s: float  # without compiling
    compile_s: float
    clipped: int  # samples outside the range of their type, over all kernels
    threads: int
    kernels: int = 1
    vary: str = ""  # the levels of a family, and how far they are from the kernel of each pixel


@dataclass(frozen=True)
class Recipe:
    """Kernels in the order in which they are applied, and the options that hold for all of them."""

    kernels: tuple[Kernel, ...]
    options: Options = Options()

    def __post_init__(self) -> None:
        o = self.options
        if o.vary is not None and self.kernels:
            raise UsageError("vary takes the place of the kernels; give one or the other")
        if o.vary is None and not self.kernels:
            raise UsageError("there is no kernel; give one, or vary with a mask")
        for kernel in (*self.kernels, *(family(o.vary).kernels if o.vary is not None else ())):
            s = settle(kernel, o, picture=False)
            correlation(kernel, o, s)
            if kernel.weights.ndim > 2 and o.channels not in ("each", "sum"):
                raise UsageError(f"channels {o.channels!r} takes kernels of 2 levels; {kernel.name} has more")
            if s.border == "keep" and (kernel.weights.ndim == 4 or o.channels == "sum"):
                raise UsageError("border keep copies pixels from the picture, so it cannot go with a sum over channels")

    @property
    def name(self) -> str:
        """The kernels' names, as a file name has them."""
        if self.options.vary is not None:
            return family(self.options.vary).name
        return "+".join(kernel.name for kernel in self.kernels)

    def settled(self, picture: bool) -> list[tuple[Kernel, Settings]]:
        """Each kernel with every setting that is in force for it, for pictures or for bare arrays."""
        return [(kernel, settle(kernel, self.options, picture=picture)) for kernel in self.kernels]

    def apply(self, array: Array, mode: str = "") -> tuple[Array, str, Report]:
        """Filters an array of shape (rows, columns) or (rows, columns, channels) of any real type.

        Parameters
        ----------
        array : ndarray
        mode : str
            Pillow's mode of a picture, which says which channel is alpha; "" for a bare array.

        Returns
        -------
        (ndarray, str, Report)
            Of the array's type and dimensions, unless an option asks for others; and the mode that it has now.
            Integers are rounded half up and clipped to their type after each kernel; floating numbers are neither.

        Raises
        ------
        PictureError
            When the array is empty, has another shape, or holds what cannot be computed.
        UsageError
            When an option does not fit the picture.
        """
        samples, back = _samples(array)
        job = _Job(self, mode, back)
        started = time.perf_counter()
        samples = job.run(samples)
        filter_s = time.perf_counter() - started - job.compile_s
        if array.ndim == 2 and samples.shape[2] == 1:
            samples = samples[:, :, 0]
        if not job.floating or back.kind == "f":
            samples = samples.astype(back, copy=False)
        threads = self.options.threads or available_cores()
        vary = family(self.options.vary).reason if self.options.vary is not None else ""
        report = Report(tuple(job.plans), filter_s, job.compile_s, job.clipped, threads, len(self.kernels), vary)
        return samples, job.mode_of(samples), report


class _Job:
    """One application of a recipe: what is known about the picture, and what is found out on the way."""

    def __init__(self, recipe: Recipe, mode: str, back: np.dtype[Any]) -> None:
        self.kernels = recipe.kernels
        self.options = recipe.options
        self.settings = [settle(kernel, recipe.options, picture=bool(mode)) for kernel in recipe.kernels]
        self.mode = mode
        self.letters = LETTERS.get(mode.partition(";")[0], "")
        self.back = back  # the type to come back to
        self.top = float(np.iinfo(back).max) if back.kind in "iu" else 1.0
        self.clipped = 0
        self.floating = False  # the result is left floating
        self.compile_s = 0.0
        self.plans: list[Plan] = []
        self.before: Array | None = None  # what the result is to be mixed with
        self.full: Array | None = None  # pixels where it takes nothing of that

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.letters in ("la", "rgba")

    def run(self, samples: Array) -> Array:
        """Every kernel in turn, or all of them on the same picture when they are to be combined."""
        if self.options.mask is not None:
            self.options.mask.check(*samples.shape[:2])
            if self.options.vary is not None:
                return self.varied(samples, family(self.options.vary))
            self.before = samples
        steps = list(zip(self.kernels, self.settings, strict=True))
        if self.options.combine:
            results = [self.values(samples, kernel, s) for kernel, s in steps]
            values = combined(results, self.options.combine)
            if self.has_alpha:  # each has its own; the root of two squares makes no sense of them
                values[:, :, -1] = combined([result[:, :, -1] for result in results], "max")
            return self.finish(values, samples.dtype, steps[-1][1], last=True)
        for number, (kernel, s) in enumerate(steps, 1):
            last = number == len(steps)
            plain = self.is_plain(samples, kernel, s)
            if plain and not (last and self.options.mask):
                samples = self.plainly(samples, kernel, s)
                continue
            result = self.finish(self.values(samples, kernel, s), samples.dtype, s, last=last)
            if plain:  # where the mask is 1, the bytes of the fast way: it may round ties otherwise
                self.put_full(result, samples, kernel, s)
            samples = result
        return samples

    def plainly(self, samples: Array, kernel: Kernel, s: Settings) -> Array:
        """One kernel the fast way."""
        c = correlation(kernel, self.options, s, shape=samples.shape)
        return self.narrow(*self.correlated(c, samples))

    def put_full(self, result: Array, samples: Array, kernel: Kernel, s: Settings) -> None:
        """Puts the result of the fast way where the mask is 1."""
        if self.full is None or not self.full.any():
            return
        clipped, plans = self.clipped, list(self.plans)
        np.copyto(result, self.plainly(samples, kernel, s), where=self.full[:, :, None])
        self.clipped, self.plans = clipped, plans

    def mixed(self, values: Array, before: Array) -> Array:
        """in + mask · (filtered − in), in the place of the filtered values."""
        if values.shape != before.shape:
            raise UsageError(
                f"a mask mixes the result with the picture, but the result has {values.shape[2]} channels,"
                f" the picture {before.shape[2]}"
            )
        self.full = np.empty(values.shape[:2], bool)
        space = self.space(before, zip(self.kernels, self.settings, strict=True))
        for rows in strips(values.shape[0]):
            share = self.options.mask.strengths(values.shape[:2], rows, slice(None)).astype(values.dtype)
            self.full[rows] = share == 1
            values[rows] = blend([(1 - share, before[rows].astype(values.dtype)), (share, values[rows])], space)
        return values

    def space(self, samples: Array, steps: Iterable[tuple[Kernel, Settings]]) -> Space:
        """In which terms results are mixed: those in which the kernels add."""
        weigh = (
            self.has_alpha
            and self.options.channels == "each"
            and any(self.alpha_way(samples, kernel, s) == "premultiply" for kernel, s in steps)
        )
        return Space(self.options.linear, self.has_alpha, weigh, self.top)

    def varied(self, samples: Array, levels: Family) -> Array:
        """The kernel of each pixel, mixed out of the levels of a family.

        By tiles: only the levels that a tile asks for are computed there, and none is held for the whole picture.
        """
        steps = [(kernel, settle(kernel, self.options, picture=bool(self.mode))) for kernel in levels.kernels]
        space = self.space(samples, steps)
        reach = [0, 0]
        for kernel, s in steps:
            c = correlation(kernel, self.options, s)
            reach = [max(r, a, k - 1 - a) for r, a, k in zip(reach, c.anchor, c.weights.shape, strict=True)]
        size = (samples.shape[0], samples.shape[1])
        result: Array | None = None
        plans: dict[int, list[Plan]] = {}
        for window in tiles(size, reach):
            part, inside = around(samples, window, reach, wraps=steps[0][1].border == "wrap")
            places = np.interp(self.options.mask.strengths(size, *window), levels.strengths, levels.places)
            terms = []
            for number in range(int(places.min()), int(np.ceil(places.max())) + 1):
                share = np.maximum(0, 1 - np.abs(places - number))
                if share.any():
                    self.plans = []
                    terms.append((share, self.values(part, *steps[number])[inside]))
                    plans.setdefault(number, self.plans)
            mixture = blend(terms, space)
            if result is None:
                result = np.empty((*size, mixture.shape[2]), mixture.dtype)
            result[window] = mixture
        assert result is not None
        self.plans = [each for number in sorted(plans) for each in plans[number]]
        return self.finish(result, samples.dtype, steps[-1][1], last=True)

    def is_plain(self, samples: Array, kernel: Kernel, s: Settings) -> bool:
        """Whether the kernel is one correlation from samples to samples: the fast way."""
        o = self.options
        return (
            kernel.weights.ndim == 2
            and (o.channels, o.stride, o.linear, s.bias) == ("each", (1, 1), False, ())
            and (s.after == "clip" or (s.after == "float" and self.back.kind == "f"))
            and ((s.rounding, s.sums) == ("half-up", "float32") or samples.dtype == self.back == np.float64)
            and (not self.has_alpha or self.alpha_way(samples, kernel, s) == "straight")
        )

    def correlated(self, c: Correlation, samples: Array) -> Filtered:
        """Plans and carries out a correlation; compiling is not taken for filtering."""
        chosen = plan(c, samples.dtype.name, self.options.method)
        self.compile_s += prepare(chosen)
        self.plans.append(chosen)
        done = execute(chosen, samples, self.options.threads)
        if c.border == "renormalize" and samples.dtype.kind == "f" and self.back.kind in "iub":
            done.array[np.isnan(done.array)] = c.offset  # nothing was known there, and integers have no NaN
        return done

    def values(self, samples: Array, kernel: Kernel, s: Settings) -> Array:
        """The unrounded results of one kernel; channels that `--channels` does not name stay."""
        wide = s.sums == "float64" or samples.dtype.name in ("int32", "float64")
        values = samples.astype(np.float64 if wide else np.float32)
        if self.options.channels in ("each", "sum"):
            way = self.alpha_way(samples, kernel, s) if self.has_alpha else "straight"
            return self.light(values, kernel, s, way, self.has_alpha)
        chosen = self.chosen(values.shape[2])
        alpha = self.has_alpha and chosen[-1] == values.shape[2] - 1
        filtered = self.light(values[:, :, chosen], kernel, s, "straight", alpha)
        result = self.sampled(values, kernel, s)
        result[:, :, chosen] = filtered
        return result

    def chosen(self, count: int) -> list[int]:
        """The channels that `--channels` names by letters."""
        wanted = self.options.channels.lower()
        letters = self.letters or BY_COUNT.get(count, "")
        for letter in wanted:
            if letter not in letters:
                have = letters or f"{count} without letters"
                raise UsageError(f"channels {wanted!r}: {letter!r} is not among the picture's ({have})")
        return sorted({letters.index(letter) for letter in wanted})

    def sampled(self, values: Array, kernel: Kernel, s: Settings) -> Array:
        """The pixels under the anchor, one for each pixel of the result: for channels that are not filtered."""
        c = correlation(kernel, self.options, s, shape=values.shape)
        before, beyond = c.anchor, tuple(k - 1 - a for k, a in zip(c.weights.shape, c.anchor, strict=True))
        if c.padding == "valid":
            values = values[before[0] : values.shape[0] - beyond[0], before[1] : values.shape[1] - beyond[1]]
        elif c.padding == "full":
            around = ((beyond[0], before[0]), (beyond[1], before[1]), (0, 0))
            mode: Any = "edge" if c.border == "renormalize" else c.border
            outside = {"constant_values": c.outside} if c.border == "constant" else {}
            values = np.pad(values, around, mode, **outside)
        return values[:: self.options.stride[0], :: self.options.stride[1]].copy()

    def light(self, values: Array, kernel: Kernel, s: Settings, way: str, alpha: bool) -> Array:
        """The results, taken in linear light if that was asked for; alpha, the last channel if there, is no light."""
        if not self.options.linear:
            return self.covered(values, kernel, s, way)
        if self.letters not in ("", *BY_COUNT.values()):
            raise UsageError(f"linear light needs grey or RGB samples, not {self.letters.upper()}")
        values = values.copy()
        colours = values[:, :, : values.shape[2] - alpha]
        colours[:] = channels.to_linear(colours / self.top) * self.top
        result = self.covered(values, kernel, s, way)
        colours = result[:, :, : max(1, result.shape[2] - alpha)]
        colours[:] = channels.from_linear(colours / self.top) * self.top
        return result

    def alpha_way(self, samples: Array, kernel: Kernel, s: Settings) -> str:
        """How alpha is treated: "auto" looks at the kernel, and opaque pictures need no weighing."""
        way = s.alpha
        gain = float(kernel.weights.sum()) / s.scale
        if kernel.weights.ndim > 2 or self.options.channels == "sum":
            if way == "premultiply":
                raise UsageError(
                    "alpha premultiply takes kernels of 2 levels, each channel by itself; use straight or keep"
                )
            if kernel.weights.ndim > 2:  # weights for one channel less are for the colours
                return "keep" if kernel.weights.shape[2] == samples.shape[2] - 1 else "straight"
            return "straight" if way == "straight" else "keep"
        if way == "auto":
            way = "premultiply" if np.isclose(gain, 1) else "keep"
        if way == "premultiply":
            if np.isclose(gain, 0):
                raise UsageError(f"alpha premultiply needs weights that do not sum to 0 as those of {kernel.name} do")
            if s.border == "keep" and (s.offset != 0 or s.bias or not np.isclose(gain, 1)):
                raise UsageError(
                    "alpha premultiply with border keep needs weights that sum to the scale, and no offset"
                )
            exact = s.offset == 0 and not s.bias and s.border not in ("constant", "keep") and s.padding != "full"
            if exact and (samples[:, :, -1] == self.top).all():
                return "straight"
        return way

    def covered(self, values: Array, kernel: Kernel, s: Settings, way: str) -> Array:
        """The sums, with alpha treated in one of the ways of `--alpha`."""
        if way == "straight":
            return self.sums(values, kernel, s)
        colour, cover = values[:, :, :-1], values[:, :, -1:]
        if way == "keep":
            return np.concatenate([self.sums(colour, kernel, s), self.sampled(cover, kernel, s)], axis=2)
        # the mean of the colours, each weighed by its alpha, times what the kernel does to an even surface
        weighed = np.concatenate([colour * (cover / self.top), cover], axis=2)
        result = self.sums(weighed, kernel, replace(s, offset=0.0, bias=()))
        colour, cover = result[:, :, :-1], result[:, :, -1:]
        gain = float(kernel.weights.sum()) / s.scale
        colour = np.divide(colour * (self.top * gain), cover, out=np.zeros_like(colour), where=cover != 0) + s.offset
        result = np.concatenate([colour, cover], axis=2)
        return result + self.bias(s, result.shape[2], result.dtype) if s.bias else result

    def sums(self, values: Array, kernel: Kernel, s: Settings) -> Array:
        """The floating sums of every output channel, with offset, bias and stride."""
        o = self.options

        def one(part: Array, taps: Array, offset: bool) -> Array:
            c = correlation(kernel, o, s if offset else replace(s, offset=0.0), taps, part.shape)
            return self.correlated(c, np.ascontiguousarray(part)).array

        result = channels.sums(values, kernel.weights, o.channels == "sum", one)[:: o.stride[0], :: o.stride[1]]
        return result + self.bias(s, result.shape[2], result.dtype) if s.bias else result

    def bias(self, s: Settings, count: int, kind: np.dtype[Any]) -> Array:
        """The bias of each of `count` channels; alpha has none where only the colours' are given."""
        bias = (*s.bias, 0.0) if self.has_alpha and len(s.bias) == count - 1 else s.bias
        if len(bias) != count:
            raise UsageError(f"bias has {len(s.bias)} numbers, the result has {count} channels")
        return np.asarray(bias, kind)

    def finish(self, values: Array, kind: np.dtype[Any], s: Settings, last: bool) -> Array:
        """Unrounded results as samples again; only the last kernel of a chain is stretched, masked or left floating."""
        if self.mode and values.shape[2] != len(self.letters):
            self.letters = BY_COUNT.get(values.shape[2], "")
        if last and s.after != "float":  # a picture's alpha is in its range already
            colours = values[:, :, : values.shape[2] - self.has_alpha]
            colours[:] = channels.after(colours, s.after, self.top, self.back.kind == "f")
        if last and self.before is not None:
            values = self.mixed(values, self.before)
        if last and s.after == "float":
            self.floating = True
            return values
        samples, clipped = channels.to_samples(values, self.back, s.rounding)
        self.clipped += clipped
        return samples.astype(kind, copy=False)

    def narrow(self, samples: Array, clipped: int) -> Array:
        """Counts what was clipped; where a wider type was computed, clips to the range of the real one."""
        if samples.dtype != self.back and self.back.kind in "iub":
            kind = samples.dtype
            samples, clipped = channels.to_samples(samples.astype(np.float64, copy=False), self.back)
            samples = samples.astype(kind)
        self.clipped += clipped
        return samples

    def mode_of(self, result: Array) -> str:
        """The mode that a picture has after its channels or its type have changed."""
        count = result.shape[2] if result.ndim == 3 else 1
        before = len(LETTERS.get(self.mode.partition(";")[0], "l"))
        if not self.mode or (count == before and result.dtype == self.back):
            return self.mode
        if count == 1 and result.dtype.kind == "f":
            return "F"
        if self.back not in (np.uint8, np.uint16) or result.dtype != self.back or count > 4:
            return f"{count} channels of {result.dtype}"
        plain = ("L", "LA", "RGB", "RGBA")[count - 1]
        if self.back == np.uint8:
            return plain
        return "I;16" if count == 1 else f"{plain};16"


def settle(kernel: Kernel, options: Options, *, picture: bool) -> Settings:
    """Puts options, `like` and the kernel's own word together: an option wins over --like, that over the kernel.

    For a `picture`, a tool that gives floating numbers is followed up to the sums; a file wants samples.
    """
    asked = LIKES[options.like] if options.like else {}
    own = LIKES[kernel.like] if kernel.like and not options.like else {}
    # the convention in which weights were written says how they lie, not how a result is rounded
    both = {key: value for key, value in own.items() if key in GEOMETRY} | asked
    padding = options.padding or both.get("padding", "same")
    if own.get("border") == "keep" and padding == "full":
        del both["border"]
    border, outside = parse_border(options.border or asked.get("border") or kernel.border or both.get("border", "edge"))
    anchor = options.anchor or kernel.anchor or both.get("anchor", "low")
    flip = both.get("flip", "none")
    if flip == "vertical" and options.anchor is None and kernel.anchor is not None:
        anchor = (kernel.shape[0] - 1 - kernel.anchor[0], kernel.anchor[1])
    scale = options.scale
    if scale is None and options.mode == "correlate" and kernel.weights.ndim == 2 and kernel.weights.sum() != 0:
        scale = asked.get("scale")
    after = options.after or both.get("after", "clip")
    if picture and options.after is None and after == "float":
        after = "clip"
    bias = options.bias or ()
    return Settings(
        flip=flip,
        border=border,
        outside=outside,
        padding=padding,
        anchor=anchor,
        scale=_scale(kernel, scale),
        offset=(kernel.offset if options.offset is None else options.offset) + (bias[0] if len(bias) == 1 else 0),
        bias=bias if len(bias) > 1 else (),
        after=after,
        rounding=both.get("rounding", "half-up"),
        sums=both.get("sums", "float32"),
        alpha=options.alpha or both.get("alpha", "auto"),
    )


def correlation(
    kernel: Kernel,
    options: Options,
    settings: Settings | None = None,
    taps: Array | None = None,
    shape: tuple[int, ...] | None = None,
) -> Correlation:
    """What a plane of a kernel's weights (`taps`, default the first) means, as weights that are slid as they stand.

    `shape` is the picture's; TensorFlow's padding depends on it.

    Raises
    ------
    UsageError
        When the settings do not go together.
    """
    s = settings or settle(kernel, options, picture=False)
    if taps is None:
        taps = kernel.weights.reshape(*kernel.shape, -1)[:, :, 0]
    if s.flip == "vertical":
        taps = taps[::-1]
    size = taps.shape
    anchor = s.anchor
    if anchor == "low":
        anchor = ((size[0] - 1) // 2, (size[1] - 1) // 2)
    elif anchor == "high":
        anchor = (size[0] // 2, size[1] // 2)
    assert not isinstance(anchor, str)
    if not all(0 <= a < k for a, k in zip(anchor, size, strict=True)):
        raise UsageError(
            f"anchor {anchor[0]},{anchor[1]} lies outside the {size[0]}×{size[1]} kernel {kernel.name}"
            f" (rows 0 to {size[0] - 1}, columns 0 to {size[1] - 1})"
        )
    if options.mode == "convolve":
        taps = taps[::-1, ::-1]
        anchor = (size[0] - 1 - anchor[0], size[1] - 1 - anchor[1])
    if options.dilation != (1, 1):
        dy, dx = options.dilation
        spread = np.zeros(((size[0] - 1) * dy + 1, (size[1] - 1) * dx + 1))
        if max(spread.shape) > LARGEST_SIDE:
            raise UsageError(f"dilation {dy},{dx} makes a {size[0]}×{size[1]} kernel larger than {LARGEST_SIDE}")
        spread[::dy, ::dx] = taps
        taps, anchor = spread, (anchor[0] * dy, anchor[1] * dx)
    padding = s.padding
    if padding == "tf-same":
        padding = "same"
        if shape is not None and options.anchor is None and kernel.anchor is None:
            anchor = _tensorflow_anchor(shape, taps.shape, options.stride)
    return Correlation(
        weights=np.ascontiguousarray(taps),
        scale=s.scale,
        offset=s.offset,
        anchor=anchor,
        border=s.border,
        outside=s.outside,
        padding=padding,
        exact=s.flip == "vertical",  # Pillow's kernels promise Pillow's bytes
    )


def _tensorflow_anchor(shape: tuple[int, ...], taps: tuple[int, ...], stride: tuple[int, int]) -> tuple[int, int]:
    """Where the first window starts under TensorFlow's SAME, which spreads the padding as evenly as it can.

    tf.nn: out = ceil(in / stride), padding = max((out - 1) * stride + k - in, 0), of which half, rounded down, comes
    first.
    """
    before = []
    for size, k, step in zip(shape, taps, stride, strict=False):
        out = -(-size // step)
        before.append(max((out - 1) * step + k - size, 0) // 2)
    return before[0], before[1]


def combined(results: list[Array], how: str) -> Array:
    """Several results of the same shape as one: their hypot (root of the sum of squares), sum, max or mean."""
    if len({result.shape for result in results}) > 1:
        raise UsageError("combined kernels must give results of the same size; use --padding same")
    stack = np.stack(results)
    if how == "hypot":
        return np.asarray(np.sqrt((stack * stack).sum(axis=0)))
    ways: dict[str, Any] = {"sum": np.sum, "max": np.max, "mean": np.mean}
    return np.asarray(ways[how](stack, axis=0))


def _scale(kernel: Kernel, scale: float | str | None) -> float:
    if scale is None:
        return kernel.scale
    if scale == "none":
        return 1.0
    if scale in ("sum", "abs-sum"):
        if kernel.weights.ndim > 2:
            raise UsageError(f"scale {scale} takes a kernel of 2 levels; {kernel.name} has {kernel.weights.ndim}")
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
