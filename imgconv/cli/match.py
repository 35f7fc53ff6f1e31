"""imgconv match: which convention made a result."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgconv.cli import DONE, FAILED, one_line
from imgconv.cli.options import KernelCommand, max_pixels_option, offer_kernels

if TYPE_CHECKING:
    from imgconv.formats.limits import Limits
    from imgconv.formats.picture import Picture
    from imgconv.match.result import Explanation


@click.command(cls=KernelCommand)
@click.argument("input", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("kernel", metavar="KERNEL", shell_complete=offer_kernels)
@click.argument("result", metavar="RESULT", type=click.Path(path_type=Path))
@max_pixels_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def match(input: Path, kernel: str, result: Path, as_json: bool, limits: Limits) -> int:
    """Find which convention (flip, anchor, border, scale, offset, rounding, padding) made RESULT out of INPUT.

    RESULT is what another tool made of INPUT with KERNEL (whatever -k takes). Prints the convention, the tool that is
    known for it, the runner-up, and the command that gives RESULT.

    Exit status 0 when a convention gives it, exactly or within rounding; 1 when none does.

    \b
    imgconv match photo.png emboss theirs.png
    imgconv match a.npy '1 2; 3 4' from_scipy.npy
    imgconv match in.txt kernel.txt from_keras.txt --json
    """
    from imgconv.formats.read import read
    from imgconv.kernels.spec import kernel as to_kernel
    from imgconv.match import match as find
    from imgconv.match.result import FLIP_WORDS, option_words

    weights = to_kernel(kernel)
    before, after = read(input, limits=limits), read(result, limits=limits)
    found = find(before.array, weights, after.array, before.mode)
    best = found.best
    words = ["imgconv", "apply", str(input), "-k", best.matrix or kernel, *option_words(best.options)]
    command = shlex.join([*words, "-o", str(_target(result, after, best))])
    notes = list(found.notes)
    if not best.fit and after.format in ("JPEG", "WEBP"):
        notes.append(f"{after.format} changes the samples that it keeps; a PNG would tell more")
    if as_json:
        data = {
            "input": str(input), "kernel": weights.name, "result": str(result), "fit": best.fit or None,
            "best": best.as_dict(), "runner_up": found.runner_up.as_dict() if found.runner_up else None,
            "like": found.like, "notes": notes, "command": command,
        }  # fmt: skip
        click.echo(json.dumps(data))
        return DONE if best.fit else FAILED

    def line(one: Explanation) -> str:
        return "   ".join([", ".join([FLIP_WORDS[one.flip], *_details(one, weights.scale, weights.offset)]), how(one)])

    if not best.fit:
        click.echo("no convention gives this result; the nearest:")
    known = f"   that is {' or '.join(found.like)}" if found.like else ""
    click.echo(one_line(line(best) + known))
    if not best.fit:
        click.echo(f"    {_where(best)}")
    for note in notes:
        click.echo(one_line(f"    {note}"))
    if found.runner_up:
        click.echo(one_line(f"runner-up: {line(found.runner_up)}"))
    click.echo(one_line(command))
    return DONE if best.fit else FAILED


def how(one: Explanation) -> str:
    """How well an explanation fits."""
    if one.fit == "exact":
        return "exact"
    if one.fit and not one.differing:
        return f"within rounding: samples differ by at most {one.largest:.4g}"
    share = f"{one.differing:,} of {one.samples:,} samples differ, by at most {one.largest:.4g}"
    return f"within rounding: {share}" if one.fit else share


def _details(one: Explanation, scale: float, offset: float) -> list[str]:
    """What there is to say besides the flip."""
    roundings = {"half-even": "rounded half to even", "cut": "cut, not rounded", "wrap": "cut, modulo the range"}
    parts = [
        f"border {one.border}" if one.border else "",
        f"anchor {one.anchor}" if one.anchor else "",
        f"padding {one.padding}" if one.padding != "same" else "",
        f"stride {one.stride[0]},{one.stride[1]}" if one.stride != (1, 1) else "",
        f"scale {one.scale:g}" if one.scale != scale else "",
        f"offset {one.offset:g}" if one.offset != offset else "",
        roundings.get(one.rounding, ""),
    ]
    return [part for part in parts if part]


def _where(one: Explanation) -> str:
    border, all_border = one.differing - one.interior_differing, one.samples - one.interior
    return (
        f"interior: {one.interior_differing:,} of {one.interior:,} samples differ; border: {border:,} of {all_border:,}"
    )


def _target(result: Path, after: Picture, best: Explanation) -> Path:
    """A name beside the result's, of a format that loses nothing."""
    ending = result.suffix if after.format not in ("JPEG", "WEBP", "GIF") else ".png"
    if best.options.after == "float" and after.mode and after.format != "TIFF":
        ending = ".npy"
    return result.with_name(f"{result.stem}.again{ending}")
