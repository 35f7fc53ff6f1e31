"""imgconv compare: the same work in Pillow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from imgconv.cli import DONE, FAILED
from imgconv.cli.apply import duration
from imgconv.cli.options import filter_options, kernel_option, make_recipe


@click.command()
@click.argument("input", metavar="INPUT")
@kernel_option
@filter_options
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Runs of each; medians are shown.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def compare(input: str, kernels: tuple[str, ...], rounds: int, as_json: bool, **options: Any) -> int:
    """Do the same work in Pillow: same bytes? how much faster?

    Exit status 0 when every byte is the same, 1 when not or when Pillow cannot do it.
    """
    recipe = make_recipe(kernels, **options)
    from imgconv.peers import compare_with_pillow
    from imgconv.picture.read import read

    result = compare_with_pillow(read(Path(input)), recipe, rounds)
    if as_json:
        click.echo(json.dumps({"input": input, "kernel": recipe.name, **result.as_dict()}))
        return DONE if result.equal else FAILED
    if result.impossible:
        click.echo(f"{input}   {recipe.name}   Pillow cannot do this: {result.impossible}")
        return FAILED
    if result.equal:
        verdict = "same bytes"
    else:
        share = 100 * result.pixels / result.all_pixels
        verdict = f"{result.pixels:,} pixels differ ({share:.3g} %), by {result.largest} at most"
        if result.only_border:
            verdict += ", all of them along the border (--border keep does there what Pillow does)"
    click.echo(
        f"{input}   {recipe.name}   {verdict}   imgconv {duration(result.imgconv_s)}"
        f" · Pillow {duration(result.pillow_s)} · {result.pillow_s / result.imgconv_s:.1f} times as fast"
    )
    return DONE if result.equal else FAILED
