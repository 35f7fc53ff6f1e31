"""Plots of kernels and benchmarks, by matplotlib."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.errors import UsageError
from imgconv.kernels.shown import planes, response, step_response

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from imgconv.kernels.value import Kernel

FORMATS = ("png", "svg", "pdf")
SIDE_WITH_NUMBERS = 9  # of a kernel whose weights are written into its picture
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "imgconv", "font.size": 9.0, "axes.titlesize": 9.0}
WAVES = 256  # samples of the frequency response along an axis
DPI = 150


def form_of(path: str) -> str:
    """The format that a plot's name ends in. Raises UsageError where it is none of `FORMATS`, or nothing draws it."""
    form = os.path.splitext(path)[1][1:].lower()
    if form not in FORMATS:
        raise UsageError(f"--plot {path}: a plot's name ends in .{', .'.join(FORMATS[:-1])} or .{FORMATS[-1]}")
    if find_spec("matplotlib") is None:
        raise UsageError("--plot draws by matplotlib, which is not installed: pip install 'imgconv[plot]'")
    return form


def drawn(draw: Callable[[], Figure], form: str) -> bytes:
    """A plot as the bytes of a file, the same each time; for a process that draws no others."""
    # the user's own settings would change it, and where there is no home a list of fonts would stay behind
    before = os.environ.get("MPLCONFIGDIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MPLCONFIGDIR"] = folder
        import matplotlib

        dates: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        file = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            draw().savefig(file, format=form, dpi=DPI, metadata=dates.get(form))
    # a program that is started later would make the folder anew
    del os.environ["MPLCONFIGDIR"]
    if before is not None:
        os.environ["MPLCONFIGDIR"] = before
    return file.getvalue()


def kernel_figure(kernel: Kernel) -> Figure:
    """Weights in two dimensions and as profiles, the frequency response likewise, and what becomes of an edge."""
    from matplotlib.figure import Figure

    all_planes = planes(kernel)
    weights = all_planes[0]
    rows, columns = weights.shape
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    more = f" (the first of {len(all_planes)} planes of weights)" if len(all_planes) > 1 else ""
    scaled = f", over the scale {kernel.scale:g}" if kernel.scale != 1 else ""
    figure.suptitle(f"{kernel.title or kernel.name}: {rows}×{columns}{scaled}{more}")
    (matrix, profile, step), (waves, along, _) = axes = figure.subplots(2, 3)
    largest = float(np.abs(weights).max()) or 1.0
    drawn = matrix.imshow(weights, cmap="RdBu_r", vmin=-largest, vmax=largest)
    figure.colorbar(drawn, ax=matrix, label="weight")
    matrix.set(title="Weights, as written", xlabel="column (pixels)", ylabel="row (pixels)")
    if max(weights.shape) <= SIDE_WITH_NUMBERS:
        matrix.set(xticks=range(columns), yticks=range(rows))
        for (row, column), weight in np.ndenumerate(weights):
            shade = "white" if abs(weight) > 0.6 * largest else "black"
            matrix.text(column, row, f"{weight:.3g}", ha="center", va="center", color=shade, size=7)
    middle = (rows - 1) // 2, (columns - 1) // 2
    profile.plot(np.arange(columns) - middle[1], weights[middle[0]], "o-", ms=3, label=f"row {middle[0]}")
    profile.plot(np.arange(rows) - middle[0], weights[:, middle[1]], "s--", ms=3, label=f"column {middle[1]}")
    profile.set(title="Profiles through the middle", xlabel="pixels from the middle", ylabel="weight")
    for axis, (name, line) in enumerate((("down", "s--"), ("across", "o-"))):
        edge = step_response(weights, axis)
        step.plot(np.arange(len(edge)) - len(edge) // 2, edge, line, ms=3, label=f"an edge {name}")
    step.set(title="Step response", xlabel="pixels from the edge", ylabel="result, of an edge from 0 to 1")
    grid = response(weights, WAVES)
    shown = waves.imshow(grid, extent=(-0.5, 0.5, 0.5, -0.5), cmap="gray", vmin=0)
    figure.colorbar(shown, ax=waves, label="amplification")
    waves.set(title="Frequency response", xlabel="across (cycles a pixel)", ylabel="down (cycles a pixel)")
    half = WAVES // 2
    frequencies = np.linspace(0, 0.5, half + 1)
    along.plot(frequencies, grid[half, half:], "-", label="across")
    along.plot(frequencies, grid[half:, half], "--", label="down")
    along.set(title="Frequency response along the axes", xlabel="cycles a pixel", ylabel="amplification", xlim=(0, 0.5))
    along.set_ylim(bottom=0)
    for plot in (profile, step, along):
        plot.grid(alpha=0.3)
        plot.legend()
    axes[1, 2].set_axis_off()
    facts = [kernel.about, f"sum {kernel.weights.sum() / kernel.scale:.4g} over the scale, offset {kernel.offset:g}"]
    axes[1, 2].text(0, 1, "\n\n".join(filter(None, facts)), va="top", wrap=True, transform=axes[1, 2].transAxes)
    return figure


def bars_figure(title: str, caption: str, groups: list[tuple[str, list[tuple[str, float, str, str]]]]) -> Figure:
    """Times as bars on a logarithmic axis that all groups share.

    A group is a heading and its bars: a name, milliseconds, what stands behind the bar, and its colour.
    """
    from matplotlib.figure import Figure

    lines = sum(len(bars) + 1.6 for _, bars in groups)
    figure = Figure(figsize=(9, 1.1 + 0.2 * lines), layout="constrained")
    plot = figure.subplots()
    plot.set_title(f"{title}\n{caption}", loc="left", wrap=True)
    place, places, names = 0.0, [], []
    for heading, bars in groups:
        plot.annotate(heading, (0, place), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      va="center", weight="bold")  # fmt: skip
        place += 1
        for name, ms, words, colour in bars:
            plot.barh(place, ms, height=0.7, color=colour)
            plot.annotate(words, (ms, place), (4, 0), textcoords="offset points", va="center", size=8)
            places.append(place)
            names.append(name)
            place += 1
        place += 0.6
    plot.set(xscale="log", yticks=places, yticklabels=names, xlabel="milliseconds", ylim=(place - 0.6, -0.8))
    plot.set_xlim(right=plot.get_xlim()[1] * 8)  # for the words
    plot.grid(axis="x", alpha=0.3)
    plot.spines[["top", "right"]].set_visible(False)
    return figure
