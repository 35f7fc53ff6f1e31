"""imgconv kernels: the catalogue."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from imgconv.cli import console

if TYPE_CHECKING:
    from imgconv.kernels.value import Kernel


@click.group(invoke_without_command=True)
@click.pass_context
def kernels(ctx: click.Context) -> None:
    """List the named kernels, or show one in detail."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_kernels)


@kernels.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON array.")
def list_kernels(as_json: bool = False) -> None:
    """List the named kernels: a table on a terminal, plain lines in a pipe."""
    from imgconv.kernels.catalogue import named, names

    found = [named(name) for name in names()]
    if as_json:
        click.echo(json.dumps([as_dict(kernel) for kernel in found]))
    elif screen := console() if sys.stdout.isatty() or click.get_current_context().find_root().color else None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("name", "size", "about"):
            table.add_column(heading, no_wrap=heading != "about", style="cyan" if heading == "name" else None)
        for kernel in found:
            table.add_row(kernel.name, _size(kernel), kernel.about)
        screen.print(table)
    else:
        for kernel in found:
            click.echo(f"{kernel.name}\t{_size(kernel)}\t{kernel.about}")


@kernels.command("show")
@click.argument("kernel")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@click.option("--toml", "as_toml", is_flag=True, help="As a kernel file, to copy and edit.")
def show(kernel: str, as_json: bool, as_toml: bool) -> None:
    """Show a kernel: its weights as written, and what they do. KERNEL is whatever -k takes."""
    from imgconv.kernels.files import toml_text
    from imgconv.kernels.spec import kernel as to_kernel

    found = to_kernel(kernel)
    if as_json:
        click.echo(json.dumps(as_dict(found)))
    elif as_toml:
        click.echo(toml_text(found), nl=False)
    else:
        click.echo("\n".join(describe(found)))


def describe(kernel: Kernel) -> list[str]:
    """The lines of `kernels show`."""
    cells = [[f"{x:g}" for x in row] for row in kernel.weights]
    width = max(len(cell) for row in cells for cell in row)
    lines = [kernel.title or kernel.name]
    if kernel.about:
        lines.append(kernel.about)
    lines += ["", *("    " + "  ".join(cell.rjust(width) for cell in row) for row in cells), ""]
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
    return f"{kernel.weights.shape[0]}×{kernel.weights.shape[1]}"
