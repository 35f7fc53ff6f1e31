"""imgconv bench: this machine, every method against every peer that is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgconv.cli import DONE, console, print_json
from imgconv.cli.help import Help
from imgconv.cli.options import FiniteRange
from imgconv.errors import UsageError

if TYPE_CHECKING:
    from imgconv.bench.costs import Tried
    from imgconv.bench.measure import Row, Settings, Timing
    from imgconv.bench.works import Work

BAR = 24  # cells of the longest bar


@click.command(cls=Help)
@click.option("--size", type=FiniteRange(0.0001, 200), metavar="X",
              help="Megapixels.  [default: 12; 1.92 with --batch]")  # fmt: skip
@click.option("--channels", type=click.IntRange(1, 4), default=3, show_default=True, help="Of the picture.")
@click.option("--rounds", type=click.IntRange(1),
              help="Runs of each. What is slow is run less often.  [default: 7; 3 with --batch]")  # fmt: skip
@click.option("--only", metavar="NAMES", multiple=True, help="Works, with commas between them: 3x3,gaussian5,png.")
@click.option("-t", "--threads", type=click.IntRange(1), metavar="N", help="For everybody.  [default: the cores]")
@click.option("--costs", is_flag=True, help="Instead, the planner's estimates against the clock.")
@click.option("--scaling", is_flag=True, help="Instead, time by size, by kernel and by threads.")
@click.option("--batch", is_flag=True, help="Instead, folders on all cores. Files per second, CPU time.")
@click.option("--small", is_flag=True, help="Instead, small pictures. CPU time of calls, files per second.")
@click.option("--files", type=click.IntRange(4), metavar="N",
              help="JPEGs, and by their number the other files.  [default: 60; 40 with --small]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@click.option("--markdown", "as_markdown", is_flag=True, help="The table for a README.")
@click.option("--plot", metavar="FILE", help="Draw a bar chart too, .png, .svg or .pdf. Replaces a file.")
def bench(
    size: float | None, channels: int, rounds: int | None, only: tuple[str, ...], threads: int | None, costs: bool,
    scaling: bool, batch: bool, small: bool, files: int | None, as_json: bool, as_markdown: bool, plot: str | None,
) -> int:  # fmt: skip
    """Measure this machine: every method of imgconv against every peer that is installed.

    Libraries (Pillow, pillow-simd, OpenCV, SciPy, scikit-image, libvips, Halide, IPP) work on the same pixels in
    memory; programs (vips, GraphicsMagick, ImageMagick, ffmpeg, G'MIC, pnmconvol, GEGL, scripts with Pillow and
    OpenCV) from file to file, beside codecs alone, which do not filter. All take turns, so that a slow moment hits
    all. The error is the largest difference from the float64 sums, in levels (of floating pictures, whose samples
    go from 0 to 1, as it is): rounding gives 0.5, cutting up to 1, more is another result.

    What is missing is left out; pip install 'imgconv[peers]' brings more. pillow-simd takes Pillow's name, so it has
    a folder of its own in the environment (x86 only):

    \b
    CC="cc -mavx2" pip install --no-deps --no-binary :all: --target $VIRTUAL_ENV/pillow-simd pillow-simd

    \b
    imgconv bench                                    everything: some minutes
    imgconv bench --size 1 --rounds 3                a quick look
    imgconv bench --only 3x3,gaussian5,png           some works
    imgconv bench --markdown --plot bench.svg        for a README
    imgconv bench --json > bench.json                for machines
    imgconv bench --costs --size 2                   does the planner know this machine?
    imgconv bench --scaling --size 200               by megapixels, threads and size of the kernel
    imgconv bench --batch --files 400                folders of files; 60 take three minutes
    imgconv bench --small --markdown                 calls on small pictures, small files, Pillow's own calls
    imgconv bench --small --files 8                  sooner: a loop of 20 commands, 100 of which take two minutes

    \b
    Works: copy edge_enhance 3x3 5x5 7x7 15x15 31x31 gaussian5 gaussian20 box15
           3x3-16bit 7x7-16bit 3x3-float 7x7-float png jpeg small-png
           animation raw-video, with as many frames of a megapixel as --size says
           with --batch: jpegs pngs small-jpegs small-pngs
    """
    given = {"--costs": costs, "--scaling": scaling, "--batch": batch, "--small": small}
    instead = next((name for name, wanted in given.items() if wanted), "")
    if sum(given.values()) > 1 or (as_markdown and (as_json or costs or scaling)):
        raise UsageError(
            "--costs, --scaling, --batch, --small are for one at a time,"
            " --markdown for none of --costs, --scaling, --json"
        )
    if plot is not None and instead:
        raise UsageError("--plot draws what is measured by default: neither --costs nor --scaling nor --batch")
    from imgconv.plots import form_of

    form = "" if plot is None else form_of(plot)
    if batch and (channels != 3 or threads is not None):
        raise UsageError("--batch has RGB pictures and all cores that it may use; leave out --channels and --threads")
    if files is not None and not (batch or small):
        raise UsageError("--files is for --batch and --small")
    if instead not in ("", "--batch") and (only or channels != 3):
        raise UsageError(f"{instead} has kernels and pictures of its own; leave out --only and --channels")
    from imgconv.bench.measure import Settings, shape_of
    from imgconv.threads import available_cores

    size = size or (1.92 if batch else 12)
    rounds = rounds or (3 if batch else 5 if small else 7)
    settings = Settings(*shape_of(size), channels, rounds, threads or available_cores())
    if batch:
        _show_batch(settings, files or 60, only, as_json, as_markdown)
    elif small:
        _show_small(settings, files or 40, as_json, as_markdown)
    elif instead:
        (_show_costs if costs else _show_scaling)(settings, size, as_json)
    else:
        _show_works(settings, only, as_json, as_markdown, plot, form)
    return DONE


def _named(only: tuple[str, ...], names: Sequence[str]) -> set[str]:
    """The names of works that --only gives; all of them without it."""
    from difflib import get_close_matches

    wanted = [name.strip() for part in only for name in part.split(",") if name.strip()]
    for name in wanted:
        if name not in names:
            near = get_close_matches(name, names, 3)
            raise UsageError(f"there is no work {name!r}; {'near it: ' + ', '.join(near) if near else ' '.join(names)}")
    return set(wanted if only else names)


def _show_works(
    settings: Settings, only: tuple[str, ...], as_json: bool, as_markdown: bool, plot: str | None, form: str
) -> None:
    from imgconv.bench import chart, commands
    from imgconv.bench.measure import machine
    from imgconv.bench.works import WORKS

    wanted = _named(only, [work.name for work in WORKS])
    facts = machine(settings.threads)
    facts["versions"] |= commands.versions()
    shape = settings.shape
    silent, terminal = as_json or as_markdown, sys.stdout.isatty()
    if not silent:
        click.echo(chart.caption(facts, shape))
    rows = []
    for row in _measured([work for work in WORKS if work.name in wanted], settings):
        rows.append(row)
        if not silent:
            (_show_table if terminal else _show_lines)(row)
    if as_json:
        size_of = {"rows": shape[0], "columns": shape[1], "channels": shape[2], "rounds": settings.rounds}
        print_json({"machine": facts, **size_of, "works": [row.as_dict() for row in rows]})
    elif as_markdown:
        click.echo(chart.markdown(rows, facts, shape), nl=False)
    if plot is not None:
        from imgconv.formats.place import write
        from imgconv.plots import drawn

        write(Path(plot), drawn(lambda: chart.figure(rows, facts, shape), form), overwrite=True)


def _measured(works: list[Work], settings: Settings) -> Iterator[Row]:
    from imgconv.bench import animations, commands
    from imgconv.bench.measure import measure
    from imgconv.bench.works import picture

    source = picture(1, 1, 1, "float64")
    row: Row | None
    for work in works:
        with _progress(work.name) as progress:
            if work.ending in animations.WORDS:
                row = animations.measure(work, settings, progress)
            elif work.kind == "command":
                row = commands.measure(work, settings, progress)
            else:
                if source.dtype != work.dtype:
                    del source  # one is held at a time
                    source = picture(*settings.shape, work.dtype)
                row = measure(work, source, settings, progress)
        if row is not None:
            yield row


@contextmanager
def _progress(what: str) -> Iterator[Callable[[str], None]]:
    """A function that shows on stderr what is being tried, when that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    with console(stderr=True).status(what) as status:
        yield lambda text: status.update(f"{what}: {text}")


def _cells(row: Row, t: Timing) -> list[str]:
    """Median, fastest, ratio to imgconv's and error."""
    from imgconv.bench.chart import duration, error_text

    if t.median_s is None or t.min_s is None:
        return []
    median = ("≈ " if t.estimated else "") + duration(t.median_s * 1e3)
    ratio = row.ratio(t)
    return [median, duration(t.min_s * 1e3), f"{ratio:.2f}×" if ratio else "", error_text(row, t)]


def _show_lines(row: Row) -> None:
    """A line for each result, for a pipe."""
    for t in row.timings:
        tool = t.name + (f" ({t.method})" if t.tool == "imgconv" and t.chosen and t.method else "")
        size = [f"{t.size_bytes:,} bytes"] if t.size_bytes else []
        size += [f"{rate:.3g} frames/s"] if (rate := row.frames_per_s(t)) else []
        click.echo("\t".join([row.work.name, tool, *(_cells(row, t) or [f"failed: {t.problem}"]), *size]))


def _show_table(row: Row) -> None:
    """A table with bars, for a terminal."""
    from rich.table import Column, Table
    from rich.text import Text

    from imgconv.bench.chart import is_off

    files = row.work.kind == "command"
    numbers = ["median", "fastest", "× imgconv", "error", *["file"] * files]
    columns = [Column(heading, justify="right", no_wrap=True) for heading in numbers]
    title = f"{row.work.name}: {row.work.about}"
    rates = bool(row.work.frames)
    columns += [Column("frames/s", justify="right", no_wrap=True)] * rates
    table = Table(Column(no_wrap=True), *columns, Column(no_wrap=True), title=title, title_justify="left", box=None,
                  pad_edge=False)  # fmt: skip
    screen = console()
    longest = min(BAR, screen.width - (64 if files else 52) - 10 * rates)  # what the numbers leave
    slowest = max((t.median_s for t in row.timings if t.median_s), default=1.0)
    for t in row.timings:
        ours = t.tool == "imgconv" and t.chosen
        style = "bold cyan" if ours else ""
        name = Text(t.name + (f" {t.method}" if ours and t.method else ""), style)
        if t.median_s is None:
            problem = Text(t.problem[: max(1, longest)])
            table.add_row(name, Text("failed", "red"), *[""] * (len(columns) - 1), problem)
            continue
        median, fastest, ratio, error = _cells(row, t)
        size = [f"{t.size_bytes / 1e6:.3g} MB" if t.size_bytes else ""] * files
        size += [f"{row.frames_per_s(t):.3g}"] * rates
        bar = "█" * max(1, round(longest * t.median_s / slowest))
        off = Text(error, "red" if is_off(row, t) else "")
        colour = "cyan" if t.tool == "imgconv" else "bright_black"
        table.add_row(name, Text(median, style), fastest, ratio, off, *size, Text(bar, colour))
    screen.print()
    screen.print(table)


def _show_costs(settings: Settings, size: float, as_json: bool) -> None:
    from imgconv.bench import costs

    with _progress("every method with one thread"):
        measured = costs.costs(settings)
    unit = costs.cycle_ns(measured)
    regrets = costs.regrets(measured)
    if as_json:
        pairs = [{"chosen": a.as_dict(), "faster": b.as_dict()} for a, b in regrets if costs.is_wrong(a, b)]
        largest = max(a.time / b.time for a, b in regrets)
        told = {"cycle_ns": unit, "costs": [cost.as_dict() for cost in measured], "misjudged": pairs, "regret": largest}
        print_json(told)
        return
    click.echo(f"16 samples, one thread; * is the planner's choice; its cycle is {unit:.3g} ns here")
    click.echo(
        f"{'kernel':20} {'type':7} {'method':11} {'taps':>4} {'ns':>7} {'ns/tap':>7} {'planned ns':>10}  ratio  regret"
    )
    ratios = {choice: choice.time / best.time for choice, best in regrets}
    for cost in measured:
        method = cost.method + " *" * cost.chosen
        planned = cost.estimate * unit
        click.echo(
            f"{cost.kernel:20} {cost.dtype:7} {method:11} {cost.taps:4} {cost.measured_ns:7.1f} {cost.tap_ns:7.3f}"
            f" {planned:10.1f} {cost.measured_ns / planned:5.2f}×"
            + (f"  {ratios[cost]:5.2f}×" if cost in ratios else "")
        )
    _show_regret(regrets)


def _show_regret(pairs: Sequence[tuple[Tried, Tried]]) -> None:
    """Where the planner's choice is not the fastest, and by how much at most."""
    from imgconv.bench.costs import NOTEWORTHY, is_wrong

    for choice, best in pairs:
        if is_wrong(choice, best):
            ratio = choice.time / best.time
            where = " ".join(map(str, choice.row))
            click.echo(f"{where}: the planner takes {choice.method}, {best.method} is {ratio:.2f}× as fast")
    choice, best = max(pairs, key=lambda pair: pair[0].time / pair[1].time)
    click.echo(
        f"regret, the planner's choice over the fastest that it may choose: at most {choice.time / best.time:.2f}×"
        f" ({' '.join(map(str, choice.row))}); more than {NOTEWORTHY}× would be wrong"
    )


def _show_scaling(settings: Settings, size: float, as_json: bool) -> None:
    from imgconv.bench import chart, scaling
    from imgconv.bench.costs import regrets
    from imgconv.bench.measure import machine

    facts = machine(settings.threads)
    if not as_json:
        click.echo(f"up to {chart.caption(facts, settings.shape)}; * is the planner's choice")
    points: list[scaling.Point] = []
    with _progress("scaling") as progress:
        for point in scaling.measure(size, settings.rounds, settings.threads, progress):
            if not as_json and (not points or point.what != points[-1].what):
                what = f"by {point.what}"
                click.echo(f"\n{what:18} {'method':10} {'MP':>6} {'threads':>7} {'taps':>4} {'ms':>8}  ms/MP")
            points.append(point)
            if not as_json:
                method = point.method + " *" * point.chosen
                click.echo(
                    f"{point.kernel:18} {method:11} {point.megapixels:5g} {point.threads:7} {point.taps:4}"
                    f" {point.median_s * 1e3:8.2f} {point.ms_per_megapixel:6.3f}"
                )
    if as_json:
        print_json({"machine": facts, "points": [point.as_dict() for point in points]})
    else:
        click.echo()
        _show_regret(regrets(points))


def _show_machine(facts: dict[str, Any], settings: Settings, heading: str) -> None:
    """What the numbers depend on, under a heading if there is one."""
    from imgconv.bench import chart

    if heading:
        click.echo(f"{chart.heading(facts, heading)}\n")
    click.echo(chart.caption(facts, settings.shape))


def _show_batch(settings: Settings, files: int, only: tuple[str, ...], as_json: bool, as_markdown: bool) -> None:
    from imgconv.bench import commands, folders
    from imgconv.bench.measure import machine

    every = folders.folders(files, settings.rows, settings.columns)
    wanted = _named(only, [folder.name for folder in every])
    facts = machine(settings.threads)
    facts["versions"] |= commands.versions()
    if not as_json:
        _show_machine(facts, settings, "folders" * as_markdown)
    results = []
    for folder in every:
        if folder.name not in wanted:
            continue
        with _progress(folder.name) as progress:
            results.append(folders.measure(folder, settings.rounds, settings.threads, progress))
        if not as_json:
            click.echo()
            for line in results[-1].lines(as_markdown):
                click.echo(line)
    if not as_json:
        click.echo(f"\n{folders.NOTE}")
    if as_json:
        print_json({"machine": facts, "rounds": settings.rounds, "works": [result.as_dict() for result in results]})


def _show_small(settings: Settings, files: int, as_json: bool, as_markdown: bool) -> None:
    from imgconv.bench import small
    from imgconv.bench.measure import machine

    facts = machine(settings.threads)
    if not as_json:
        _show_machine(facts, settings, "small pictures and files" * as_markdown)
    with _progress("small") as progress:
        tables = []
        for table in small.tables(settings, files, progress):
            tables.append(table)
            for line in ("", *table.lines(as_markdown)) if not as_json else ():
                click.echo(line)
    if as_json:
        print_json({"machine": facts, "rounds": settings.rounds, "tables": [table.as_dict() for table in tables]})
