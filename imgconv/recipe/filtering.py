"""One kernel over one picture, in floating numbers: its channels, its alpha, its light."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.engine import channels
from imgconv.engine.plan import Correlation, Plan, plan
from imgconv.engine.run import Chain, Filtered, execute, is_local, prepare
from imgconv.engine.stage import Span
from imgconv.errors import UsageError
from imgconv.recipe.layout import BY_COUNT, EXACT
from imgconv.recipe.settings import correlation

if TYPE_CHECKING:
    import numpy.typing as npt

    from imgconv.kernels.value import Kernel
    from imgconv.recipe.layout import Layout
    from imgconv.recipe.options import Options
    from imgconv.recipe.settings import Settings

    Array = npt.NDArray[Any]


MAGICK_EPSILON = 1e-12  # of full alpha


class Part:
    """Some rows of a picture, from which some rows of a result are computed.

    Attributes
    ----------
    height : int
        Rows of the whole picture.
    first : int
        Which row of it is the first that is there.
    rows : Span
        Of the result, strides left aside.
    """

    def __init__(self, height: int, first: int, rows: Span) -> None:
        self.height = height
        self.first = first
        self.rows = rows


class Filter:
    """A kernel with everything that is in force for it; it keeps the plans that were carried out, and their compiling.

    Samples have the shape (rows, columns, channels) and a type that the loops take.

    Attributes
    ----------
    part : Part or None
        What samples are, if they are not the whole picture.
    opaque : bool or None
        Whether all of the picture is, where that is known; else its samples are looked at.
    """

    def __init__(self, kernel: Kernel, settings: Settings, options: Options, layout: Layout) -> None:
        self.kernel = kernel
        self.settings = settings
        self.options = options
        self.layout = layout
        self.plans: list[Plan] = []
        self.compile_s = 0.0
        self.part: Part | None = None
        self.opaque: bool | None = None
        self.chains: dict[Any, Chain] = {}  # for parts, by what they compute

    @property
    def gain(self) -> float:
        """What the kernel does to an even surface."""
        return float(self.kernel.weights.sum()) / self.settings.scale

    @property
    def signed(self) -> bool:
        """Whether a and b of LAB are filtered as what they are: Pillow's own kernels take them 128 higher."""
        pillow = self.settings.flip == "vertical" and self.options.combine is None
        return self.layout.letters == "lab" and not pillow

    def is_plain(self, samples: Array) -> bool:
        """Whether the kernel is one correlation from samples to samples: the fast way."""
        o, s, back = self.options, self.settings, self.layout.back
        return (
            self.kernel.weights.ndim == 2
            and (o.channels, o.stride, o.linear, s.bias) == ("each", (1, 1), False, ())
            and (s.after == "clip" or (s.after == "float" and back.kind == "f"))
            and ((s.rounding, s.sums) == ("half-up", "float32") or samples.dtype == back == np.float64)
            and (not self.layout.has_alpha or self.alpha_way(samples) == "straight")
            # it makes no difference to a mean what 0 is
            and (not self.signed or (abs(self.gain - 1) < 1e-9 and s.after == "clip" and s.border != "constant"))
        )

    def is_link(self, samples: Array) -> bool:
        """Whether it can go through such a picture together with others, band by band, whatever the pixels are."""
        return (
            samples.dtype == self.layout.back  # what was computed in a wider type is cut to its own in between
            and self.settings.padding in ("same", "tf-same")
            and (not self.layout.has_alpha or self.settings.alpha == "straight")
            and self.is_plain(samples)
            and self.is_local(samples)
        )

    def is_local(self, samples: Array) -> bool:
        """Whether the fast way can take such a picture strip by strip."""
        return is_local(self.planned(self.plain(samples), samples.dtype))

    def plain(self, samples: Array) -> Correlation:
        """What the fast way computes."""
        return correlation(self.kernel, self.options, self.settings, shape=self.whole(samples))

    def whole(self, samples: Array) -> tuple[int, ...]:
        """The shape that samples have, or would have if all rows of the picture were there."""
        return samples.shape if self.part is None else (self.part.height, *samples.shape[1:])

    def plainly(self, samples: Array) -> Filtered:
        """The fast way."""
        return self.correlated(self.plain(samples), samples)

    def planned(self, c: Correlation, dtype: np.dtype[Any]) -> Plan:
        """How the correlation is computed."""
        return plan(c, dtype.name, self.options.method)

    def ready(self, c: Correlation, dtype: np.dtype[Any]) -> Plan:
        """The plan, noted and with its loop loaded; compiling is not taken for filtering."""
        chosen = self.planned(c, dtype)
        self.compile_s += prepare(chosen)
        self.plans.append(chosen)
        return chosen

    def correlated(self, c: Correlation, samples: Array) -> Filtered:
        """Plans and carries out a correlation."""
        return (self.in_order if c.in_order and self.layout.back.kind != "f" else self.carried_out)(c, samples)

    def carried_out(self, c: Correlation, samples: Array) -> Filtered:
        """A correlation within the error bound of its plan."""
        if self.part is not None:
            chain = self.chain(c, samples)
            return chain.run(np.ascontiguousarray(samples), self.part.first, self.part.rows, threads=1)
        done = execute(self.ready(c, samples.dtype), samples, self.options.threads)
        if c.border == "renormalize" and samples.dtype.kind == "f" and self.layout.back.kind in "iub":
            done.array[np.isnan(done.array)] = c.offset  # nothing was known there, and integers have no NaN
        return done

    def in_order(self, c: Correlation, samples: Array) -> Filtered:
        """Sums that are to be cut, where the last bit shows: rows in which that could be are summed again, in order."""
        exact = replace(c, exact=True)
        chosen = self.planned(c, samples.dtype)
        if c.border == "renormalize" or not chosen.error_bound:
            return self.carried_out(exact, samples)
        done = self.carried_out(c, samples)
        bound = chosen.error_bound * min(self.layout.top + 1, EXACT)

        def unsure(row: Array) -> bool:
            near = np.rint(row)
            return bool(((np.abs(row - near) <= bound) & (near != 0)).any())  # near 0 both sides are cut to 0

        rows = [y for y, row in enumerate(done.array) if unsure(row)]
        if rows:
            again = Chain([self.planned(exact, samples.dtype)], self.whole(samples))
            first, start, threads = 0, 0, self.options.threads
            if self.part is not None:
                first, start, threads = self.part.first, self.part.rows.start, 1
            for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
                span = Span(start + int(run[0]), start + int(run[-1]) + 1)
                done.array[run] = again.run(np.ascontiguousarray(samples), first, span, threads).array
        return done

    def chain(self, c: Correlation, samples: Array) -> Chain:
        """A correlation alone, made ready for parts of a picture; kept, since there are many."""
        key = (c.weights.tobytes(), c.offset, samples.dtype, samples.shape[1:])
        if key not in self.chains:
            self.chains[key] = Chain([self.ready(c, samples.dtype)], self.whole(samples))
        return self.chains[key]

    def values(self, samples: Array) -> Array:
        """The unrounded results; channels that `--channels` does not name stay."""
        wide = self.settings.sums != "float32" or samples.dtype.name in ("int32", "float64")
        values: Array = samples.astype(np.float64 if wide else np.float32)
        has_alpha, signed = self.layout.has_alpha, self.signed
        if signed:
            values[:, :, 1:] -= 128
        if self.options.channels in ("each", "sum"):
            way = self.alpha_way(samples) if has_alpha else "straight"
            if self.layout.premultiplied and (way != "straight" or self.options.linear):
                return weighed(self.light(weighed(values, self.layout.top, -1), way, has_alpha), self.layout.top)
            return self.light(values, way, has_alpha)
        chosen = self.chosen(values.shape[2])
        result = self.sampled(values)
        result[:, :, chosen] = self.light(
            values[:, :, chosen], "straight", has_alpha and chosen[-1] == values.shape[2] - 1
        )
        return result

    def chosen(self, count: int) -> list[int]:
        """The channels that `--channels` names by letters."""
        wanted = self.options.channels.lower()
        letters = self.layout.letters or BY_COUNT.get(count, "")
        for letter in wanted:
            if letter not in letters:
                have = letters or f"{count} without letters"
                raise UsageError(f"channels {wanted!r}: {letter!r} is not among the picture's ({have})")
        return sorted({letters.index(letter) for letter in wanted})

    def sampled(self, values: Array) -> Array:
        """The pixels under the anchor, one for each pixel of the result: for channels that are not filtered."""
        c = correlation(self.kernel, self.options, self.settings, shape=self.whole(values))
        before, beyond = c.anchor, tuple(k - 1 - a for k, a in zip(c.weights.shape, c.anchor, strict=True))
        if self.part is not None:
            lies = (before[0] if c.padding == "valid" else 0) - self.part.first
            values = values[self.part.rows.start + lies : self.part.rows.stop + lies]
            before, beyond = (0, before[1]), (0, beyond[1])
        if c.padding == "valid":
            values = values[before[0] : values.shape[0] - beyond[0], before[1] : values.shape[1] - beyond[1]]
        elif c.padding == "full":
            around = ((beyond[0], before[0]), (beyond[1], before[1]), (0, 0))
            mode: Any = "edge" if c.border == "renormalize" else c.border
            outside = {"constant_values": c.outside} if c.border == "constant" else {}
            values = np.pad(values, around, mode, **outside)
        return values[:: self.options.stride[0], :: self.options.stride[1]].copy()

    def light(self, values: Array, way: str, alpha: bool) -> Array:
        """The results, taken in linear light if that was asked for; alpha, the last channel if there, is no light."""
        if not self.options.linear:
            return self.covered(values, way)
        letters, top = self.layout.letters, self.layout.top
        if letters not in ("", *BY_COUNT.values()):
            raise UsageError(f"linear light needs grey or RGB samples, not {letters.upper()}")
        values = values.copy()
        colours = values[:, :, : values.shape[2] - alpha]
        colours[:] = channels.to_linear(colours / top) * top
        result = self.covered(values, way)
        colours = result[:, :, : max(1, result.shape[2] - alpha)]
        colours[:] = channels.from_linear(colours / top) * top
        return result

    def alpha_way(self, samples: Array) -> str:
        """How alpha is treated: opaque pictures need no weighing, nor do colours that are weighed already."""
        weights, s, gain = self.kernel.weights, self.settings, self.gain
        way = s.alpha
        if self.layout.mode == "RGBX" and way != "straight":  # what is no alpha weighs nothing
            return "keep"
        if weights.ndim > 2 or self.options.channels == "sum":
            if way == "premultiply":
                raise UsageError(
                    "alpha premultiply takes kernels of 2 levels, each channel by itself; use straight or keep"
                )
            if weights.ndim > 2:  # weights for one channel less are for the colours
                return "keep" if weights.shape[2] == samples.shape[2] - 1 else "straight"
            return "straight" if way == "straight" else "keep"
        if way == "premultiply":
            if abs(weights.sum()) <= 1e-8 * np.abs(weights).sum():
                raise UsageError(
                    f"alpha premultiply needs weights that do not sum to 0 as those of {self.kernel.name} do"
                )
            if s.border == "keep" and (s.offset != 0 or s.bias or not np.isclose(gain, 1)):
                raise UsageError(
                    "alpha premultiply with border keep needs weights that sum to the scale, and no offset"
                )
            weighed = self.layout.premultiplied and not self.options.linear
            if weighed and np.isclose(gain, 1) and s.offset == 0 and not s.bias:
                return "straight"
            if self.unweighed_if_opaque and self.is_opaque(samples):
                return "straight"
        return way

    @property
    def unweighed_if_opaque(self) -> bool:
        """Whether weighing by alpha changes nothing in a picture that is opaque."""
        s = self.settings
        return s.offset == 0 and not s.bias and s.border not in ("constant", "keep") and s.padding != "full"

    @property
    def asks_whether_opaque(self) -> bool:
        """Whether it depends on that how alpha is treated."""
        known, self.opaque = self.opaque, False
        try:
            return (
                self.layout.has_alpha
                and self.options.channels == "each"
                and self.unweighed_if_opaque
                and self.alpha_way(np.empty((1, 1, len(self.layout.letters)))) == "premultiply"
            )
        finally:
            self.opaque = known

    def is_opaque(self, samples: Array) -> bool:
        """Whether alpha, the last channel, is full everywhere."""
        if self.opaque is None:
            return bool((samples[:, :, -1] == self.layout.top).all())
        return self.opaque

    def covered(self, values: Array, way: str) -> Array:
        """The sums, with alpha treated in one of the ways of `--alpha`, or as ImageMagick does ("mean")."""
        s, top, gain = self.settings, self.layout.top, self.gain
        if way == "straight":
            return self.sums(values, s)
        colour, cover = values[:, :, :-1], values[:, :, -1:]
        if way == "keep":
            return np.concatenate([self.sums(colour, s), self.sampled(cover)], axis=2)
        # the mean of the colours, each weighed by its alpha, times what the kernel does to an even surface
        weighed = np.concatenate([colour * (cover / top), cover], axis=2)
        result = self.sums(weighed, s._replace(offset=0.0, bias=()))
        colour, cover = result[:, :, :-1], result[:, :, -1:]
        if way == "mean":  # it carries transparency instead of alpha, and divides by no less than this
            least = np.where(cover < 0, -MAGICK_EPSILON, MAGICK_EPSILON) * top
            colour = colour * top / np.where(abs(cover) < abs(least), least, cover) + s.offset
            return self.biased(np.concatenate([colour, cover + (1 - gain) * top], axis=2), s)
        colour = np.divide(colour * (top * gain), cover, out=np.zeros_like(colour), where=cover != 0) + s.offset
        return self.biased(np.concatenate([colour, cover], axis=2), s)

    def sums(self, values: Array, s: Settings) -> Array:
        """The floating sums of every output channel, with offset, bias and stride."""
        o = self.options

        def one(part: Array, taps: Array, offset: bool) -> Array:
            c = correlation(self.kernel, o, s if offset else s._replace(offset=0.0), taps, self.whole(part))
            return self.correlated(c, np.ascontiguousarray(part)).array

        result = channels.sums(values, self.kernel.weights, o.channels == "sum", one)
        return self.biased(result[:: o.stride[0], :: o.stride[1]], s)

    def biased(self, result: Array, s: Settings) -> Array:
        """With the bias of each channel; alpha has none where only the colours' are given."""
        if not s.bias:
            return result
        count = result.shape[2]
        bias = s.bias * count if len(s.bias) == 1 else s.bias
        if self.layout.has_alpha and len(bias) == count - 1:
            bias = (*bias, 0.0)
        if len(bias) != count:
            raise UsageError(f"bias has {len(s.bias)} numbers, the result has {count} channels")
        total: Array = result + np.asarray(bias, result.dtype)
        return total


def weighed(values: Array, top: float, power: int = 1) -> Array:
    """The colours of a picture times its alpha, or divided by it (`power` -1); they are 0 where alpha is."""
    colour, cover = values[:, :, :-1], values[:, :, -1:]
    share = np.power(cover / top, power, out=np.zeros_like(cover), where=cover != 0)
    return np.concatenate([colour * share, cover], axis=2)
