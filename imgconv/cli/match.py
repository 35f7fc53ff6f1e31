"""imgconv match: which convention made a result."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgconv.cli import DONE, FAILED, print_json, print_line
from imgconv.cli.options import KernelCommand, max_pixels_option, offer_kernels
from imgconv.cli.report import check_report, overwrite_page_option, report_option, write_pair

if TYPE_CHECKING:
    from imgconv.formats.limits import Limits
    from imgconv.formats.picture import Picture
    from imgconv.kernels.value import Kernel
    from imgconv.match.result import Explanation


@click.command(cls=KernelCommand)
@click.argument("input", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("kernel", metavar="KERNEL", shell_complete=offer_kernels)
@click.argument("result", metavar="RESULT", type=click.Path(path_type=Path))
@max_pixels_option
@report_option
@overwrite_page_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def match(
    input: Path, kernel: str, result: Path, report: str | None, overwrite: bool, as_json: bool, limits: Limits
) -> int:
    """Find which convention (flip, anchor, border, scale, offset, rounding, padding) made RESULT out of INPUT.

    RESULT is what another tool made of INPUT with KERNEL (whatever -k takes). Prints the convention, the tool that is
    known for it, the runner-up, and the command that gives RESULT.

    Exit status 0 when a convention gives it, exactly or within rounding; 1 when none does.

    \b
    imgconv match photo.png emboss theirs.png
    imgconv match a.npy '1 2; 3 4' from_scipy.npy
    imgconv match in.txt kernel.txt from_keras.txt --json
    """
    check_report(report, overwrite=overwrite)
    from imgconv.formats.read import read
    from imgconv.kernels.spec import kernel as to_kernel
    from imgconv.match import match as find
    from imgconv.match.result import option_words

    weights = to_kernel(kernel)
    before, after = read(input, limits=limits), read(result, limits=limits)
    answer = find(before.array, weights, after.array, before.mode)
    best, runner_up = answer.best, answer.runner_up
    words = ["imgconv", "apply", str(input), "-k", best.matrix or kernel, *option_words(best.options)]
    command = shlex.join([*words, "-o", str(_target(result, after, best))])
    notes = list(answer.notes)
    if not best.fit and after.format in ("JPEG", "WEBP"):
        notes.append(f"{after.format} changes the samples that it keeps; a PNG would tell more")
    lines = [] if best.fit else ["no convention gives this result; the nearest:"]
    lines.append(_line(best, weights) + (f"   that is {' or '.join(answer.like)}" if answer.like else ""))
    if not best.fit:
        border, all_border = best.differing - best.interior_differing, best.samples - best.interior
        inside = f"{best.interior_differing:,} of {best.interior:,}"
        lines.append(f"    interior: {inside} samples differ; border: {border:,} of {all_border:,}")
    lines += [f"    {note}" for note in notes]
    if runner_up:
        lines.append(f"runner-up: {_line(runner_up, weights)}")
    lines.append(command)
    if report is not None:
        from imgconv.recipe.recipe import Recipe

        recipe = Recipe((to_kernel(best.matrix) if best.matrix else weights,), best.options)
        write_pair(report, (str(input), str(result)), before, after, recipe, lines, overwrite=overwrite)
    if as_json:
        print_json({
            "input": str(input), "kernel": weights.name, "result": str(result), "fit": best.fit or None,
            "best": best.as_dict(), "runner_up": runner_up.as_dict() if runner_up else None,
            "like": answer.like, "notes": notes, "command": command,
        })  # fmt: skip
    for line in lines if not as_json else ():
        print_line(line)
    return DONE if best.fit else FAILED


ROUNDINGS = {"half-even": "rounded half to even", "cut": "cut, not rounded", "wrap": "cut, modulo the range"}


def _line(one: Explanation, kernel: Kernel) -> str:
    """The convention, only what differs from the defaults and the kernel, and how well it fits."""
    from imgconv.match.result import FLIP_WORDS

    words = {
        FLIP_WORDS[one.flip]: True,
        f"border {one.border}": one.border,
        f"anchor {one.anchor}": one.anchor,
        f"padding {one.padding}": one.padding != "same",
        f"stride {one.stride[0]},{one.stride[1]}": one.stride != (1, 1),
        f"scale {one.scale:g}": one.scale != kernel.scale,
        f"offset {one.offset:g}": one.offset != kernel.offset,
        ROUNDINGS.get(one.rounding, ""): one.rounding in ROUNDINGS,
    }
    differ = f"{one.differing:,} of {one.samples:,} samples differ, by at most {one.largest:.4g}"
    if one.fit and not one.differing:
        differ = f"samples differ by at most {one.largest:.4g}"
    how = "exact" if one.fit == "exact" else f"within rounding: {differ}" if one.fit else differ
    return f"{', '.join(word for word, holds in words.items() if holds)}   {how}"


def _target(result: Path, after: Picture, best: Explanation) -> Path:
    """A name beside the result's, of a format that loses nothing."""
    ending = result.suffix if after.format not in ("JPEG", "WEBP", "GIF") else ".png"
    if best.options.after == "float" and after.mode and after.format != "TIFF":
        ending = ".npy"
    return result.with_name(f"{result.stem}.again{ending}")
