"""imgconv kernels: the catalogue."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgconv.cli import console, print_json, warn
from imgconv.cli.help import Help, HelpGroup
from imgconv.cli.options import FILE, KernelCommand, check_free, max_pixels_option, offer_kernels
from imgconv.conventions import KERNEL_FORMATS
from imgconv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgconv.formats.limits import Limits
    from imgconv.kernels.value import Kernel

PLANES_SHOWN = 12  # of a kernel with channels


preview_option = click.option(
    "--preview", metavar="PICTURE", type=FILE,
    help="Show in the terminal what becomes of PICTURE. It is made small first; in a pipe nothing.",
)  # fmt: skip


class KernelsGroup(HelpGroup):
    """A group in which a kernel's name alone means `show`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


@click.group(cls=KernelsGroup, invoke_without_command=True)
@click.pass_context
def kernels(ctx: click.Context) -> None:
    """List the named kernels, show one in detail, or convert one between file formats.

    \b
    imgconv kernels                       the list
    imgconv kernels emboss                one of them
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_kernels, preview=None)


@kernels.command("list", cls=Help)
@click.option("--json", "as_json", is_flag=True, help="A JSON array.")
@preview_option
@max_pixels_option
def list_kernels(as_json: bool, preview: str | None, limits: Limits) -> None:
    """List the named kernels, then the formulas: a table on a terminal, plain lines in a pipe.

    \b
    imgconv kernels list
    imgconv kernels list --json
    """
    from imgconv.kernels.catalogue import named, names
    from imgconv.kernels.formulas import FORMULAS, formula, parameters
    from imgconv.kernels.shown import size

    fixed = [named(name) for name in names()]
    formulas = [(formula(name), parameters(name)) for name in FORMULAS]
    rows = [(kernel.name, size(kernel), kernel.about) for kernel in fixed]
    rows += [(f"{kernel.name}:", ", ".join(keys), kernel.about) for kernel, keys in formulas]
    if as_json:
        computed = [as_dict(kernel) | {"parameters": keys} for kernel, keys in formulas]
        print_json([*map(as_dict, fixed), *computed])
    elif sys.stdout.isatty() or click.get_current_context().find_root().color:
        from rich.table import Column, Table

        name = Column("name", style="cyan", no_wrap=True)
        table = Table(name, "size, or keys", "about", box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*row)
        console().print(table)
    else:
        click.echo("\n".join(map("\t".join, rows)))
    if preview is not None and not as_json:
        from imgconv.cli.preview import screen_for_pictures, show_cells

        if screen := screen_for_pictures():
            show_cells(screen, preview, [*names(), *(f"{name}:" for name in FORMULAS)], limits)


@kernels.command("show", cls=KernelCommand)
@click.argument("kernel", shell_complete=offer_kernels)
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@click.option("--toml", "as_toml", is_flag=True, help="As a kernel file, to copy and edit.")
@click.option("--plot", metavar="FILE", type=FILE,
              help="Draw it as .png, .svg or .pdf. Weights, profiles, frequency and step response.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace a plot that exists.")
@preview_option
@max_pixels_option
def show(
    kernel: str, as_json: bool, as_toml: bool, plot: str | None, overwrite: bool, preview: str | None, limits: Limits
) -> None:  # fmt: skip
    """Show a kernel: its weights as written, and what they do. KERNEL is whatever -k takes.

    \b
    imgconv kernels show emboss
    imgconv kernels show sobel_x --preview photo.jpg
    imgconv kernels show gaussian:sigma=2 --plot gaussian.svg
    imgconv kernels show motion:15,30 --toml > mine.toml
    """
    from imgconv.kernels.formulas import parameters
    from imgconv.kernels.spec import formula_name
    from imgconv.kernels.spec import kernel as to_kernel
    from imgconv.kernels.text import toml_text

    shown = to_kernel(kernel)
    formula = formula_name(kernel)
    if plot is not None:
        from imgconv.formats.place import write
        from imgconv.plots import drawn, form_of, kernel_figure

        form = form_of(plot)
        check_free(plot, overwrite=overwrite)
        write(Path(plot), drawn(lambda: kernel_figure(shown), form), overwrite=overwrite)
    if as_json:
        print_json(as_dict(shown) | ({"parameters": parameters(formula)} if formula else {}))
    elif as_toml:
        click.echo(toml_text(shown), nl=False)
    else:
        lines = describe(shown) + (_describe_formula(formula) if formula else [])
        if not formula and formula_name(f"{kernel}:"):
            lines += ["", f"A formula has the same name: imgconv kernels show {shown.name}:"]
        click.echo("\n".join(lines))
        from imgconv.cli.preview import heat_map, screen_for_pictures, show_cells

        if screen := screen_for_pictures():
            for heading, plane in _planes(shown):
                click.echo(f"\n{heading}" if heading else "")
                screen.print(heat_map(plane))
            if preview is not None:
                click.echo()
                show_cells(screen, preview, [kernel], limits)


@kernels.command("convert", cls=KernelCommand)
@click.argument("kernel", shell_complete=offer_kernels)
@click.option("--to", "form", type=click.Choice(tuple(KERNEL_FORMATS)), help="The format.  [default: what -o ends in]")
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
            raise UsageError(f"--to is missing; it takes {', '.join(KERNEL_FORMATS)}")
        form = format_of(path)
    if path is None and form in BINARY and sys.stdout.isatty():
        raise UsageError(f"{form} is binary, and not written to a terminal; redirect it, or give -o FILE")
    data, notes = encode(to_kernels(kernel), form)
    if path is None:
        sys.stdout.buffer.write(data)
    else:
        from imgconv.formats.place import write

        write(path, data, overwrite=overwrite)
    for note in notes:
        warn(note, "convert")


def describe(kernel: Kernel) -> list[str]:
    """The lines of `kernels show`."""
    from imgconv.kernels.shown import SIDE_SHOWN
    from imgconv.kernels.shown import cells as cells_of
    from imgconv.kernels.shown import facts as facts_of

    lines = [kernel.title or kernel.name, *filter(None, [kernel.about])]
    for heading, plane in _planes(kernel):
        cells = [["…" if weight is None else f"{weight:g}" for weight in row] for row in cells_of(plane)]
        width = max(len(cell) for row in cells for cell in row)
        lines += ["", *filter(None, [heading])]
        lines += ["    " + "  ".join(cell.rjust(width) for cell in row) for row in cells]
    facts = facts_of(kernel)
    if max(kernel.shape) > SIDE_SHOWN:
        facts["size"] += ", of which the edges are shown; --toml has all"
    width = max(map(len, facts))
    return [*lines, "", *(f"{name:{width}}  {fact}" for name, fact in facts.items())]


def _planes(kernel: Kernel) -> Iterator[tuple[str, Any]]:
    """The weights as matrices with headings; of many channels only the first few."""
    weights: Any = kernel.weights
    if weights.ndim == 2:
        yield "", weights
    elif weights.ndim == 4 and kernel.shape == (1, 1):
        yield "a row for each channel in, a column for each channel out:", weights[0, 0]
    else:
        planes = list(product(*map(range, weights.shape[2:])))
        for number, plane in enumerate(planes[:PLANES_SHOWN], 1):
            channels = " in, ".join(map(str, plane)) + " out" * (len(plane) == 2)
            more = f" ({len(planes) - number} more are not shown)" * (number == PLANES_SHOWN < len(planes))
            yield f"channel {channels}{more}:", weights[(..., *plane)]


def _describe_formula(name: str) -> list[str]:
    """The definition and the parameters of a formula, as its docstring has them."""
    from imgconv.kernels.formulas import explain, parameters

    defaults = parameters(name)
    _, definition, sections = explain(name)
    entries: list[list[str]] = []
    for line in sections.get("Parameters", "").splitlines():
        if line.startswith(" "):
            entries[-1][1] += f" {line.strip()}"
        else:
            keys = line.partition(" : ")[0].split(", ")
            entries.append([" ".join(key if defaults[key] is None else f"{key}={defaults[key]}" for key in keys), ""])
    width = max((len(keys) for keys, _ in entries), default=0)
    paragraphs = [definition, [f"{keys:{width}} {text}" for keys, text in entries]]
    return [line for paragraph in paragraphs if paragraph for line in ("", *paragraph)]


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
