"""imgconv compare: the same work in Pillow, SciPy and OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgconv.cli import DONE, FAILED, print_json, print_line
from imgconv.cli.options import (
    FILE,
    FileCommand,
    filter_options,
    kernel_option,
    make_recipe,
    max_pixels_option,
    threads_option,
)
from imgconv.cli.progress import duration
from imgconv.conventions import COMPARED

if TYPE_CHECKING:
    from imgconv.compare import Comparison
    from imgconv.formats.limits import Limits


@click.command(cls=FileCommand)
@click.argument("input", metavar="INPUT", type=FILE)
@kernel_option(required=True)
@filter_options
@threads_option
@click.option("--peer", type=click.Choice([*COMPARED, "all"]), default="all", show_default=True,
              help="The tool to compare with; all are Pillow and the others that are installed.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Runs of each; medians are shown.")
@max_pixels_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def compare(
    input: str, kernels: tuple[str, ...], peer: str, rounds: int, as_json: bool, limits: Limits, **options: Any
) -> int:
    """Do the same work in Pillow, SciPy, OpenCV: same bytes? how much faster?

    Each peer gets the border, anchor and flip that hold here, as far as it has them. SciPy sums in float64, and the
    sums are rounded as imgconv rounds; OpenCV rounds ties to even (so does imgconv with --like opencv).

    Exit status 0 when every byte is the same as Pillow's, 1 when not. Where Pillow cannot do the work or was not asked
    for, the peers that can decide; 1 when there is none.

    \b
    imgconv compare photo.png -k edge_enhance
    imgconv compare photo.png -k gaussian:sigma=2 --peer scipy
    imgconv compare photo.png -k sharpen --like opencv --peer opencv
    """
    recipe = make_recipe(kernels, limits=limits, **options)
    from imgconv.compare import Comparison, compare
    from imgconv.formats.read import read
    from imgconv.peers import PEERS

    picture = read(Path(input), limits=limits)
    names = [name for name in COMPARED if name == "pillow" or PEERS[name].installed] if peer == "all" else [peer]
    results = {name: compare(name, picture, recipe, rounds) for name in names}
    able = [result for result in results.values() if not result.impossible]
    if "pillow" in results and not results["pillow"].impossible:
        able = [results["pillow"]]
    status = DONE if able and all(result.equal for result in able) else FAILED
    if as_json:
        pillow = results.get("pillow", Comparison(impossible="it was not asked for")).as_dict()
        pillow["pillow_s"] = pillow.pop("peer_s")
        peers = [{"peer": name, **result.as_dict()} for name, result in results.items()]
        print_json({"input": input, "kernel": recipe.name, **pillow, "peers": peers})
        return status
    for name, result in results.items():
        print_line(f"{input}   {recipe.name}   {_line(PEERS[name].name, result, recipe.options.like)}")
    return status


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
