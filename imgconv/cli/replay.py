"""imgconv replay: do again what a result's embedded recipe says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from imgconv.cli import DONE, FAILED, print_json, print_line
from imgconv.cli.apply import apply
from imgconv.cli.options import FILE, FileCommand, make_recipe, max_pixels_option, threads_option, to_changes
from imgconv.cli.recipes import versions
from imgconv.cli.sources import Setting, put_in_force
from imgconv.errors import UsageError

if TYPE_CHECKING:
    from imgconv.batch.replay import Replayed
    from imgconv.formats.limits import Limits


@click.command(cls=FileCommand)
@click.argument("result", metavar="RESULT", type=FILE)
@click.argument("original", metavar="ORIGINAL", type=FILE)
@click.option("--mask", metavar="FILE", type=FILE, help="Where the mask lies, if the recipe has one that is a file.")
@threads_option
@max_pixels_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def replay(result: str, original: str, mask: str | None, threads: int | None, limits: Limits, as_json: bool) -> int:
    """Do again what RESULT's embedded recipe says, from ORIGINAL: the same pixels?

    Nothing is written. Exit status 0 when all pixels are the same, byte for byte, and 1 when not.

    \b
    imgconv apply photo.jpg -k sharpen --embed
    imgconv replay photo.sharpen.jpg photo.jpg
    """
    from imgconv.arrayfile import as_json as json_value
    from imgconv.batch.job import Handling
    from imgconv.batch.remote import place
    from imgconv.batch.replay import replay, result_of
    from imgconv.formats.table import parse_encoder_options

    made, before = place(result), place(original)
    picture, embedded = result_of(made, limits)
    given = _settings(embedded.recipe, f"{made}: its recipe", mask)
    metadata, auto_orient, encoder = given.pop("metadata"), given.pop("auto_orient"), given.pop("encoder")
    del given["form"], given["frames"], given["strip_gps"]  # the result's own; its first; no matter of pixels
    kernels = given.pop("kernels")
    changes = to_changes(given.pop("depth"), given.pop("background"), given.pop("requantize"))
    recipe = make_recipe(kernels, limits=limits, auto_orient=auto_orient, portable=True, threads=threads, **given)
    handling = Handling(parse_encoder_options(encoder), metadata, auto_orient, limits, changes)
    found = replay(picture, before, recipe, handling)
    made_with = dict(part.rsplit(" ", 1) for part in embedded.versions.split(", ") if " " in part)
    here = versions()
    if as_json:
        names = {"result": str(made), "original": str(before)}
        print_json(names | json_value(found) | {"made_with": made_with, "here": here})
    else:
        others = [name for name in here if made_with.get(name, here[name]) != here[name] and not found.equal]
        versions_then = [f"{name} was {made_with[name]}, is {here[name]}" for name in others]
        print_line("; ".join([_line(str(made), str(before), found), *versions_then]))
    return DONE if found.equal else FAILED


def _settings(recipe: str, name: str, mask: str | None) -> dict[str, Any]:
    """The settings in an embedded recipe by the names that `make_recipe` has for them; no file that it names is opened.

    Raises UsageError or click.BadParameter where they make no sense.
    """
    from imgconv.kernels.table import table_of
    from imgconv.masks import is_shape

    try:
        table = table_of(recipe.encode())
    except ValueError as problem:
        raise UsageError(f"{name} {problem}") from None
    kernels = table.get("kernel")
    weighed = isinstance(kernels, list) and all(isinstance(kernel, dict) for kernel in kernels)
    if not weighed and not (kernels is None and isinstance(table.get("vary"), dict)):
        raise UsageError(f"{name} has no kernels with weights")
    recorded = table.get("mask", "linear")
    if isinstance(recorded, dict):
        if mask is None:
            raise UsageError(f"{name} has a mask, {recorded.get('file')}; --mask says where it lies")
        table["mask"] = recorded | {"file": mask}
    elif not isinstance(recorded, str) or not is_shape(recorded):
        raise UsageError(f"{name} has a mask that is neither a shape nor a file with its SHA-256")
    elif mask is not None:
        raise UsageError(f"{name} has no mask that is a file")
    settings = click.Command("apply", params=[option for option in apply.params if isinstance(option, Setting)])
    context = click.Context(settings, parent=click.get_current_context())
    put_in_force(context, table, name, None)
    settings.parse_args(context, [])
    return context.params


def _line(result: str, original: str, found: Replayed) -> str:
    """What a person is told."""
    if found.equal:
        return f"{result}: the same {found.all_pixels:,} pixels as made again from {original}"
    if found.size != found.size_again:
        sizes = "{}×{}, made again from {} it is {}×{}".format(*found.size, original, *found.size_again)
        return f"{result}: is {sizes}"
    if found.largest is None:
        return f"{result}: has other channels than what was made again from {original}"
    share = f"{found.pixels:,} of {found.all_pixels:,} pixels differ from those made again from {original}"
    return f"{result}: {share}, by {found.largest:g} at most"
