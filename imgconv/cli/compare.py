"""imgconv compare: the same work in Pillow, SciPy and OpenCV, or two pictures beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from imgconv.cli import DONE, FAILED, print_json, print_line
from imgconv.cli.options import (
    FILE,
    FileCommand,
    FiniteRange,
    check_free,
    filter_options,
    kernel_option,
    make_recipe,
    max_pixels_option,
    threads_option,
)
from imgconv.cli.progress import duration
from imgconv.cli.report import check_report, report_option, write_pair
from imgconv.cli.sources import key_of
from imgconv.conventions import COMPARED
from imgconv.errors import UsageError
from imgconv.formats.table import endings, name_for

if TYPE_CHECKING:
    from imgconv.compare import Comparison
    from imgconv.difference import Difference
    from imgconv.formats.limits import Limits

OF_TWO = {"other", "tolerance", "save"}  # what only two pictures take
OF_ALL = {"input", "limits", "as_json", "report", "overwrite"}


@click.command(cls=FileCommand)
@click.argument("input", metavar="INPUT", type=FILE)
@click.argument("other", metavar="[OTHER]", type=FILE, required=False)
@click.option("--tolerance", type=FiniteRange(0), default=0, show_default=True, metavar="X",
              help="Differences that count as none. Between samples of INPUT and OTHER.")  # fmt: skip
@click.option("--save", metavar="FILE", type=FILE,
              help="Write the difference: a picture, or .npy, .txt. In the picture the largest is white; .npy, .txt and"
              " .csv have the numbers OTHER - INPUT.")  # fmt: skip
@report_option
@click.option("--overwrite", is_flag=True, help="Replace a file or page that exists.")
@kernel_option(required=False)
@filter_options
@threads_option
@click.option("--peer", type=click.Choice([*COMPARED, "all"]), default="all", show_default=True,
              help="The tool to compare with: pillow, scipy, opencv. All are Pillow and the others that are"
              " installed.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Runs of each. Medians are shown.")
@max_pixels_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def compare(
    input: str, other: str | None, tolerance: float, save: str | None, report: str | None, overwrite: bool,
    kernels: tuple[str, ...], peer: str, rounds: int, as_json: bool, limits: Limits, **options: Any,
) -> int:  # fmt: skip
    """Do the same work in Pillow, SciPy, OpenCV: same bytes? how much faster? Or compare two pictures (or arrays).

    Each peer gets the border, anchor and flip that hold here, as far as it has them. SciPy sums in float64, and the
    sums are rounded as imgconv rounds; OpenCV rounds ties to even (so does imgconv with --like opencv).

    Exit status 0 when every byte is the same as Pillow's, 1 when not. Where Pillow cannot do the work or was not asked
    for, the peers that can decide; 1 when there is none. Of two pictures: 0 when they are equal, within --tolerance,
    and 1 when they differ.

    \b
    imgconv compare photo.png -k edge_enhance
    imgconv compare photo.png -k gaussian:sigma=2 --peer scipy
    imgconv compare photo.png -k sharpen --like opencv --peer opencv
    imgconv compare mine.png theirs.png --tolerance 1 --save where.png
    imgconv compare mine.png theirs.png --report page.html
    """
    ctx = click.get_current_context()
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if wrong := sorted(given & OF_TWO if other is None else given - OF_TWO - OF_ALL):
        (option,) = (one for one in ctx.command.params if one.name == wrong[0])
        fits = "goes with two pictures" if other is None else "is for a kernel; two pictures are compared as they are"
        raise UsageError(f"--{key_of(option)} {fits}")
    check_report(report, overwrite=overwrite)
    if other is not None:
        return _two(input, other, tolerance, save, report, overwrite, as_json, limits)
    if not kernels:
        raise click.UsageError("Missing option '-k' / '--kernel', or a second picture to compare with.")
    recipe = make_recipe(kernels, limits=limits, **options)
    from imgconv.compare import Comparison, compare
    from imgconv.formats.read import named, read
    from imgconv.peers.table import PEERS

    picture = read(Path(input), limits=limits)
    names = [name for name in COMPARED if name == "pillow" or PEERS[name].installed] if peer == "all" else [peer]
    with named(input):
        results = {name: compare(name, picture, recipe, rounds) for name in names}
    able = [result for result in results.values() if not result.impossible]
    if "pillow" in results and not results["pillow"].impossible:
        able = [results["pillow"]]
    status = DONE if able and all(result.equal for result in able) else FAILED
    lines = [
        f"{recipe.name}   {_line(PEERS[name].name, result, recipe.options.like)}" for name, result in results.items()
    ]
    if report is not None:
        from imgconv.compare import peer_result
        from imgconv.formats.picture import Picture

        ours, mode, _ = recipe.apply(picture.array, picture.mode)
        beside = [
            (f"imgconv → {PEERS[name].name}", Picture(ours, mode, ""), peer_result(name, picture, recipe))
            for name, result in results.items() if not (result.equal or result.impossible)
        ]  # fmt: skip
        write_pair(report, (input, recipe.name), picture, None, recipe, lines, beside, overwrite=overwrite)
    if as_json:
        pillow = results.get("pillow", Comparison(impossible="it was not asked for")).as_dict()
        pillow["pillow_s"] = pillow.pop("peer_s")
        peers = [{"peer": name, **result.as_dict()} for name, result in results.items()]
        print_json({"input": input, "kernel": recipe.name, **pillow, "peers": peers})
        return status
    for line in lines:
        print_line(f"{input}   {line}")
    return status


def _two(
    input: str, other: str, tolerance: float, save: str | None, report: str | None, overwrite: bool, as_json: bool,
    limits: Limits,
) -> int:  # fmt: skip
    """Compares two pictures."""
    from imgconv.difference import amplified, difference
    from imgconv.formats.read import read

    form = ""
    if save is not None:
        form = name_for(Path(save).suffix) or ""
        if not form:
            raise UsageError(f"{save}: its ending says no format; it takes {endings()}")
        check_free(save, overwrite=overwrite)
    one, two = (read(Path(name), limits=limits) for name in (input, other))
    found = difference(one, two, tolerance)
    if save is not None and not found.unlike:
        from imgconv.formats.picture import Picture
        from imgconv.formats.place import write
        from imgconv.formats.write import encode

        if form in ("NPY", "TEXT", "CSV"):
            shown = Picture(two.array.reshape(one.array.shape).astype(float) - one.array, "", form)
        else:
            shown = amplified(one, two, found.largest)
        write(Path(save), encode(shown, form)[0], overwrite=overwrite)
    line = _difference_line(found, tolerance)
    if report is not None:
        write_pair(report, (input, other), one, two, None, [line], overwrite=overwrite)
    if as_json:
        saved = save if save is not None and not found.unlike else None
        print_json({"input": input, "other": other, "tolerance": tolerance, **found.as_dict(), "saved": saved})
    else:
        print_line(f"{input}   {other}   {line}")
    return DONE if found.equal else FAILED


def _difference_line(found: Difference, tolerance: float) -> str:
    if found.unlike:
        return f"they differ in {found.unlike}"
    within = f", within {tolerance:g}" if tolerance else ""
    if not found.largest:
        return f"equal: {found.all_pixels:,} pixels"
    share = 100 * found.pixels / found.all_pixels
    numbers = f"largest {found.largest:.6g}, mean {found.mean:.4g}, PSNR {found.psnr:.2f} dB"
    numbers += "" if found.ssim is None else f", SSIM {found.ssim:.6f}"
    if found.equal:
        return f"equal{within}   {numbers}"
    (top, bottom), (left, right), (y, x) = found.rows or (0, 0), found.columns or (0, 0), found.first or (0, 0)
    here, there = (" ".join(f"{value:.6g}" for value in samples) for samples in found.samples or ())
    return (
        f"{found.pixels:,} of {found.all_pixels:,} pixels differ{' by more than ' * bool(tolerance)}"
        f"{f'{tolerance:g}' if tolerance else ''} ({share:.3g} %)   {numbers}"
        f"   rows {top} to {bottom}, columns {left} to {right}; first at {y},{x}: {here} against {there}"
    )


def _line(peer: str, result: Comparison, like: str | None) -> str:
    if result.impossible:
        return f"{peer} cannot do this: {result.impossible}"
    if result.equal:
        verdict = "same bytes" if result.largest == 0 else f"same up to rounding ({result.largest:.2g})"
    else:
        share = 100 * result.pixels / result.all_pixels
        verdict = f"{result.pixels:,} pixels differ ({share:.3g} %), by {result.largest:.4g} at most"
        if result.only_border:
            verdict += ", all of them along the border"
            verdict += " (--border keep does there what Pillow does)" if peer == "Pillow" else ""
    if result.lacks:
        verdict += f" inside ({peer} has no {result.lacks})"
    if peer == "OpenCV" and result.largest == 1 and result.pixels > result.all_pixels / 100 and like != "opencv":
        verdict += " (it rounds ties to even, and so does --like opencv)"
    ratio = result.peer_s / result.imgconv_s
    return (
        f"{verdict}   imgconv {duration(result.imgconv_s)} · {peer} {duration(result.peer_s)}"
        f" · {ratio:.{1 if ratio >= 1 else 2}f} times as fast"
    )
