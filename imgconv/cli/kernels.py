"""imgconv kernels: the catalogue."""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgconv.cli import console, say
from imgconv.cli.options import FILE, KernelCommand, offer_kernels
from imgconv.errors import UsageError

if TYPE_CHECKING:
    from imgconv.kernels.value import Kernel

FORMATS = ("toml", "json", "text", "csv", "npy", "vips", "imagemagick", "ffmpeg", "gmic", "png", "pgm")
PLANES_SHOWN = 12  # of a kernel with channels
SIDE_SHOWN, EDGE_SHOWN = 15, 3  # of more rows or columns than the former, the latter at either end, as NumPy does


class KernelsGroup(click.Group):
    """A group in which a kernel's name alone means `show`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


@click.group(cls=KernelsGroup, invoke_without_command=True)
@click.pass_context
def kernels(ctx: click.Context) -> None:
    """List the named kernels, show one in detail, or convert one between file formats."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_kernels)


@kernels.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON array.")
def list_kernels(as_json: bool = False) -> None:
    """List the named kernels, then the formulas: a table on a terminal, plain lines in a pipe."""
    from imgconv.kernels.catalogue import named, names
    from imgconv.kernels.formulas import FORMULAS, formula, parameters

    found = [named(name) for name in names()]
    formulas = [formula(name) for name in FORMULAS]
    lines = [(kernel.name, _size(kernel), kernel.about) for kernel in found]
    lines += [(f"{kernel.name}:", ", ".join(parameters(kernel.name)), kernel.about) for kernel in formulas]
    if as_json:
        computed = [as_dict(kernel) | {"parameters": parameters(kernel.name)} for kernel in formulas]
        click.echo(json.dumps([as_dict(kernel) for kernel in found] + computed))
    elif screen := console() if sys.stdout.isatty() or click.get_current_context().find_root().color else None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("name", "size, or keys", "about"):
            table.add_column(heading, no_wrap=heading == "name", style="cyan" if heading == "name" else None)
        for line in lines:
            table.add_row(*line)
        screen.print(table)
    else:
        for line in lines:
            click.echo("\t".join(line))


@kernels.command("show", cls=KernelCommand)
@click.argument("kernel", shell_complete=offer_kernels)
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@click.option("--toml", "as_toml", is_flag=True, help="As a kernel file, to copy and edit.")
def show(kernel: str, as_json: bool, as_toml: bool) -> None:
    """Show a kernel: its weights as written, and what they do. KERNEL is whatever -k takes."""
    from imgconv.kernels.spec import formula_name
    from imgconv.kernels.spec import kernel as to_kernel
    from imgconv.kernels.write import toml_text

    found = to_kernel(kernel)
    computed = formula_name(kernel)
    if as_json:
        click.echo(json.dumps(as_dict(found) | ({"parameters": _defaults(computed)} if computed else {})))
    elif as_toml:
        click.echo(toml_text(found), nl=False)
    else:
        click.echo("\n".join(describe(found)))
        if computed:
            click.echo("\n".join(_describe_formula(computed)))
        elif formula_name(f"{kernel}:"):
            click.echo(f"\nA formula has the same name: imgconv kernels show {found.name}:")


@kernels.command("convert", cls=KernelCommand)
@click.argument("kernel", shell_complete=offer_kernels)
@click.option("--to", "form", type=click.Choice(FORMATS), help="The format.  [default: what -o ends in]")
@click.option("-o", "--output", metavar="FILE", type=FILE, help="Where to; - or nothing for standard output.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
def convert(kernel: str, form: str | None, output: str | None, overwrite: bool) -> None:
    """Write a kernel as another tool has it. KERNEL is whatever -k takes.

    The result filters as KERNEL does: where a format has no word for scale, flip or anchor, the weights are changed
    to that effect. What was changed, or is lost, is said on standard error.

    \b
    imgconv kernels convert sharpen --to imagemagick
    imgconv kernels convert '3x3: 0,1,0 1,-4,1 0,1,0' -o mine.toml
    ffmpeg -i a.mp4 -vf "convolution=$(imgconv kernels convert sharpen --to ffmpeg)" b.mp4
    """
    from imgconv.kernels.files import BINARY, format_of
    from imgconv.kernels.spec import kernels as to_kernels
    from imgconv.kernels.write import encode

    path = None if output in (None, "-") else Path(output or "")
    if form is None:
        if path is None:
            raise UsageError(f"--to is missing; it takes {', '.join(FORMATS)}")
        form = format_of(path)
    if path is None and form in BINARY and sys.stdout.isatty():
        raise UsageError(f"{form} is binary, and not written to a terminal; redirect it, or give -o FILE")
    found = to_kernels(kernel)
    data, notes = encode(found, form)
    if path is None:
        sys.stdout.buffer.write(data)
    else:
        from imgconv.formats.place import write

        write(path, data, overwrite=overwrite)
    for note in notes:
        say(note, "convert")


def describe(kernel: Kernel) -> list[str]:
    """The lines of `kernels show`."""
    lines = [kernel.title or kernel.name]
    if kernel.about:
        lines.append(kernel.about)
    for heading, plane in _planes(kernel):
        rows, columns = (_shown(count) for count in plane.shape)
        cells = [[f"{plane[y, x]:g}" if y is not None and x is not None else "…" for x in columns] for y in rows]
        width = max(len(cell) for row in cells for cell in row)
        lines += ["", *([heading] if heading else [])]
        lines += ["    " + "  ".join(cell.rjust(width) for cell in row) for row in cells]
    lines.append("")
    total = float(kernel.weights.sum())
    over = f" (over the scale: {total / kernel.scale:g})" if kernel.scale != 1 else ""
    agree = "agree" if kernel.is_symmetric else "differ"
    facts = {
        "size": _size(kernel),
        "scale": f"{kernel.scale:g}",
        "offset": f"{kernel.offset:g}",
        "sum": f"{total:g}{over}",
        "symmetric": "yes, under a turn by 180°" if kernel.is_symmetric else "no",
        "separable": "yes" if kernel.rank == 1 else f"no (rank {kernel.rank})",
        "correlation and convolution": f"{agree} for this kernel",
    }
    if max(kernel.shape) > SIDE_SHOWN:
        facts["size"] += ", of which the edges are shown; --toml has all"
    if kernel.anchor is not None:
        facts["anchor"] = f"row {kernel.anchor[0]}, column {kernel.anchor[1]}"
    if kernel.border is not None:
        facts["border"] = kernel.border
    if kernel.like == "pillow":
        facts["like"] = "pillow: flipped vertically before it is slid; border keep"
    if kernel.source:
        facts["source"] = kernel.source
    wide = max(len(name) for name in facts)
    return lines + [f"{name:{wide}}  {fact}" for name, fact in facts.items()]


def _shown(count: int) -> list[int | None]:
    """Which rows or columns are shown: of many the first and the last, and None for those between."""
    every: list[int | None] = [*range(count)]
    return every if count <= SIDE_SHOWN else [*every[:EDGE_SHOWN], None, *every[-EDGE_SHOWN:]]


def _planes(kernel: Kernel) -> list[tuple[str, Any]]:
    """The weights as matrices with headings; of many channels only the first few."""
    weights: Any = kernel.weights
    if weights.ndim == 2:
        return [("", weights)]
    if weights.ndim == 4 and kernel.shape == (1, 1):
        return [("a row for each channel in, a column for each channel out:", weights[0, 0])]
    numbers = list(product(*(range(count) for count in weights.shape[2:])))
    planes: list[tuple[str, Any]] = []
    for which in numbers[:PLANES_SHOWN]:
        heading = f"channel {which[0]}" + (f" in, {which[1]} out" if len(which) == 2 else "")
        if len(numbers) > len(planes) + 1 == PLANES_SHOWN:
            heading += f" ({len(numbers) - PLANES_SHOWN} more are not shown)"
        planes.append((f"{heading}:", weights[(..., *which)]))
    return planes


def _describe_formula(name: str) -> list[str]:
    """The definition and the parameters of a formula, as its docstring has them."""
    from imgconv.kernels.formulas import explain

    definition, sections = explain(name)[1:]
    entries: list[list[str]] = []
    for line in sections.get("Parameters", "").splitlines():
        if line.startswith(" "):
            entries[-1][1] += f" {line.strip()}"
        else:
            keys = ((key, _defaults(name)[key]) for key in line.partition(" : ")[0].split(", "))
            entries.append([" ".join(key if value is None else f"{key}={value}" for key, value in keys), ""])
    wide = max((len(keys) for keys, _ in entries), default=0)
    lines = ["", *definition] if definition else []
    return lines + ([""] if entries else []) + [f"{keys:{wide}} {text}" for keys, text in entries]


def _defaults(name: str) -> dict[str, Any]:
    from imgconv.kernels.formulas import parameters

    return parameters(name)


def as_dict(kernel: Kernel) -> dict[str, Any]:
    """A kernel as `--json` prints it."""
    return {
        "name": kernel.name,
        "about": kernel.about,
        "weights": kernel.weights.tolist(),
        "scale": kernel.scale,
        "offset": kernel.offset,
        "sum": float(kernel.weights.sum()),
        "symmetric": kernel.is_symmetric,
        "separable": kernel.rank == 1,
        "anchor": kernel.anchor,
        "border": kernel.border,
        "like": kernel.like,
        "source": kernel.source,
    }


def _size(kernel: Kernel) -> str:
    return "×".join(str(size) for size in kernel.weights.shape)
