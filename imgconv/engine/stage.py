"""A plan made ready for pictures of one size: what stands under its windows, and its loop's arguments."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from imgconv.engine.band import Band
from imgconv.errors import PictureError
from imgconv.memory import ITEMSIZES, address_of, fresh
from imgconv.native import kept

if TYPE_CHECKING:
    from imgconv.engine.correlation import Plan

# Samples in a tile. Lines of 1024 stay in the first-level cache; those of direct and fused sums over larger samples,
# and of bytes that are read where they lie, are as long as a row, so that the CPU reads ahead by itself: float32 3×3
# takes 12 ms (one thread) instead of 14, edge_enhance 6.1 instead of 9.
TILE = 1024
LONG_TILE = 12288
NEAR_SAMPLES = 2**13  # of all lines under a window, in a first-level cache
RING_BYTES = 2**22  # beyond it tiles get shorter, and what lies around each is summed again for the next
# Floating and 16-bit results that are larger than a cache go past it: float32 3×3 over 12 megapixels takes 7.2 ms
# instead of 9.2
STREAMED_BYTES = 2**25
LINE_BYTES = 64
SLACK = 512  # elements a vector loop may read or write past its line


class Span(NamedTuple):
    """A run of indices along one axis."""

    start: int
    stop: int

    def within(self, other: Span) -> Span:
        """The part of this span that is in `other`; an empty one lies in this span, too."""
        start = min(max(self.start, other.start), self.stop)
        return Span(start, max(start, min(self.stop, other.stop)))


Window = tuple[Span, Span]  # rows and columns


class ThreadLoop:
    """A compiled loop with the memory that one thread needs for it.

    `row_map` is for all rows of the window, `ring_size` counts elements of `line_type`; where `streamed`, results may
    go past the caches. `fields` are the others of a `Band`, in which an array stands for its address.
    """

    def __init__(
        self,
        call: Any,
        row_map: array[int],
        itemsize: int,
        ring_size: int,
        line_type: str,
        lines: int,
        streamed: bool,
        fields: dict[str, Any],
    ) -> None:
        self._call, self._row_map, self._itemsize, self._streamed = call, row_map, itemsize, streamed
        # arrays are held here: the band has only their addresses
        self._fields = fields | {
            "ring": aligned(ring_size * ITEMSIZES[line_type]), "lines": fresh(lines * ITEMSIZES["int64"])
        }  # fmt: skip
        values = {name: v if isinstance(v, (int, float)) else address_of(v) for name, v in self._fields.items()}
        self._band = Band(**values)
        self._at, self._rows_at = ctypes.addressof(self._band), address_of(row_map)

    def __call__(self, source: int, target: int, target_bytes: int, rows: Span) -> int:
        """Computes rows of the window; returns how many samples were clipped.

        `source` is the address of source row 0, which need not be in memory where no window reaches it; `target` that
        of the window's first sample, `target_bytes` from there to its next row.
        """
        band = self._band
        band.source, band.target = source, target + rows.start * target_bytes
        band.row_map = self._rows_at + rows.start * self._row_map.itemsize
        band.rows, band.begin = rows.stop - rows.start, rows.start
        band.target_stride = target_bytes // self._itemsize
        band.stream = self._streamed and target_bytes % LINE_BYTES == 0
        clipped: int = self._call(self._at)
        return clipped


class Stage:
    """A plan over sources of one shape.

    `target_shape` is that of all that comes out, and `window` what that is in the source's coordinates: row 0 of the
    target is row `window[0].start` of the source. The loop computes the part `inner` of it: all but the frame that
    border "keep" copies.
    """

    def __init__(self, chosen: Plan, shape: tuple[int, ...]) -> None:
        c = chosen.correlation
        self.plan = chosen
        self.shape = (shape[0], shape[1], shape[2])
        axes = list(zip(shape, c.weights.shape, c.anchor, strict=False))
        rows, columns = (_span(size, taps, anchor, c.padding) for size, taps, anchor in axes)
        if rows.stop <= rows.start or columns.stop <= columns.start:
            raise PictureError(
                f"padding valid leaves nothing of a {shape[0]}×{shape[1]} picture"
                f" under a {c.weights.shape[0]}×{c.weights.shape[1]} kernel (rows × columns)"
            )
        self.window: Window = rows, columns
        self.target_shape = (rows.stop - rows.start, columns.stop - columns.start, shape[2])
        self.inner = self.window
        if c.border in ("keep", "renormalize"):
            inner = [_span(size, taps, anchor, "valid") for size, taps, anchor in axes]
            if any(span.stop <= span.start for span in inner):
                inner = [Span(rows.start, rows.start), Span(columns.start, columns.start)]
            self.inner = inner[0], inner[1]

    def needed(self, rows: Span) -> Span:
        """The source rows that target rows `rows` are computed from, those on which they lie included."""
        height, start = self.shape[0], self.window[0].start
        on = Span(min(max(rows.start + start, 0), height), min(max(rows.stop + start, 0), height))
        under = [row for row in self._row_map(Span(start + rows.start, start + rows.stop)) if row >= 0]
        if not under:
            return on
        return Span(min(on.start, min(under)), max(on.stop, max(under) + 1))

    def _row_map(self, rows: Span) -> list[int]:
        """The source rows under the windows of some rows, in the source's coordinates."""
        c, (above, below) = self.plan.correlation, self.plan.halo
        count = rows.stop - rows.start + c.weights.shape[0] - 1
        return border_map(rows.start - c.anchor[0] - above, count + above + below, self.shape[0], by_axis(c.border)[0])

    def home(self, rows: Span) -> Span:
        """The source rows on which target rows `rows` lie; those beside the first and last one belong to them."""
        start, height = self.window[0].start, self.shape[0]
        first = 0 if rows.start == 0 else min(max(rows.start + start, 0), height)
        last = height if rows.stop == self.target_shape[0] else min(max(rows.stop + start, 0), height)
        return Span(first, last)

    def loop(self) -> Callable[[], ThreadLoop]:
        """What makes the compiled loop over the inner window, for each thread."""
        chosen, c = self.plan, self.plan.correlation
        (rows, columns), channels = self.inner, self.shape[2]
        kernel_rows, kernel_columns = c.weights.shape
        begin = columns.start - c.anchor[1]
        length = columns.stop - columns.start + kernel_columns - 1
        column_map = border_map(begin, length, self.shape[1], by_axis(c.border)[1])
        left = min(max(0, -begin), length)
        middle = max(0, min(length, self.shape[1] - begin) - left)
        outside = column_map[:left] + column_map[left + middle :]
        itemsize = ITEMSIZES[chosen.variant.dtype]
        samples = (columns.stop - columns.start) * channels
        reach = (kernel_columns - 1) * channels
        fitting = RING_BYTES // (chosen.ring_lines * ITEMSIZES[chosen.line_type]) - reach
        short = chosen.line_type != "uint8" and chosen.variant.dtype in ("uint8", "uint16")
        short = short or chosen.method in ("separable", "box", "decimated")
        most = TILE if short else LONG_TILE
        if short and chosen.method in ("direct", "integer"):  # a tap a line, and no other use of it
            most = min(most, max(most // 4, NEAR_SAMPLES // kernel_rows))
        tile = min(samples, max(most // 4, min(most, fitting)))
        slack = SLACK + -(tile + reach + SLACK) % LINE_BYTES
        return partial(
            ThreadLoop,
            kept.loop(chosen.variant.function).call,
            _words(self._row_map(rows)),
            itemsize,
            ring_size=chosen.ring_lines * (tile + reach + slack),
            line_type=chosen.line_type,
            lines=kernel_rows + sum(chosen.halo) + 16,
            streamed=(rows.stop - rows.start) * samples * itemsize > STREAMED_BYTES,
            fields=dict(
                column_map=_words(at * channels + c if at >= 0 else -1 for at in outside for c in range(channels)),
                ends=chosen.ends,
                shifts=_words(at * channels for at in chosen.shifts.tolist()),
                weights=_weights(chosen),
                outside=c.outside,
                base=chosen.base,
                kernel_rows=kernel_rows,
                reach=reach,
                step=channels,
                samples=samples,
                source_stride=self.shape[1] * channels,
                left=left * channels,
                middle=middle * channels,
                first=max(0, begin) * channels,
                tile=tile,
                slack=slack,
            ),
        )


def _weights(chosen: Plan) -> Any:
    """What the loop is given for weights."""
    if chosen.method == "fourier":
        from imgconv.engine.methods import fourier  # here, because few plans are by transforms

        return fourier.tables(chosen)
    return chosen.weights


def _words(numbers: Iterable[int]) -> array[int]:
    return array("q", [*numbers, 0])  # never empty: it has an address


def aligned(size: int) -> memoryview:
    """So many bytes that begin on a cache line: a store across two lines takes twice as long."""
    memory = fresh(size + LINE_BYTES)
    start = -address_of(memory) % LINE_BYTES
    return memory[start : start + size]


def _span(size: int, taps: int, anchor: int, padding: str) -> Span:
    """What comes out along an axis of `size` pixels."""
    if padding == "valid":
        return Span(anchor, size - (taps - 1 - anchor))
    if padding == "full":
        return Span(-(taps - 1 - anchor), size + anchor)
    return Span(0, size)


def by_axis(border: str) -> tuple[str, str]:
    """What a border is for the rows above and below, and what for the columns beside."""
    return ("edge", "wrap") if border == "wrap-x" else (border, border)


def border_map(start: int, count: int, size: int, border: str) -> list[int]:
    """Which of `size` pixels stands at each of the indices start, start + 1, …; -1 for the value outside."""
    stop = start + count
    before, behind = range(start, min(stop, 0)), range(max(start, size), stop)
    pixel = partial(_pixel_outside, size=size, border=border)
    return [*map(pixel, before), *range(max(start, 0), min(stop, size)), *map(pixel, behind)]


def _pixel_outside(index: int, size: int, border: str) -> int:
    if border == "wrap":
        return index % size
    if border == "reflect":
        folded = index % max(1, 2 * size - 2)
        return min(folded, 2 * size - 2 - folded)
    if border == "symmetric":
        folded = index % (2 * size)
        return min(folded, 2 * size - 1 - folded)
    if border in ("constant", "renormalize"):
        return -1
    return 0 if index < 0 else size - 1


def inside(window: Sequence[Span], origin: Sequence[Span]) -> tuple[slice, ...]:
    """A window as an index into an array that starts at `origin`."""
    return tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(window, origin, strict=True))


def frame(outer: Window, inner: Window) -> Iterator[Window]:
    """The strips of outer that inner leaves, none of them empty."""
    (rows, columns), (inner_rows, inner_columns) = outer, inner
    for strip in (
        (Span(rows.start, inner_rows.start), columns),
        (Span(inner_rows.stop, rows.stop), columns),
        (inner_rows, Span(columns.start, inner_columns.start)),
        (inner_rows, Span(inner_columns.stop, columns.stop)),
    ):
        if all(span.stop > span.start for span in strip):
            yield strip
