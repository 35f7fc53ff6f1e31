"""imgconv doctor: versions, the machine, and the kept code."""

from __future__ import annotations

import os
import platform
import signal
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import click

from imgconv import __version__
from imgconv.cli import DONE, FAILED, print_json
from imgconv.cli.help import Help, HelpGroup
from imgconv.cli.progress import duration
from imgconv.cli.sources import config_path

if TYPE_CHECKING:
    from imgconv.native.kept import Function

PACKAGES = ("numpy", "pillow", "numba", "llvmlite", "isal", "zlib-ng", "click", "rich")


@click.group(cls=HelpGroup, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> int | None:
    """Show versions, threads, CPU, where compiled code is kept and whether it is sound.

    Exit status 1 when an entry is damaged or code cannot be kept.

    \b
    imgconv doctor
    imgconv doctor warm
    """
    if ctx.invoked_subcommand is not None:
        return None
    facts = _facts()
    if as_json:
        print_json(facts)
    else:
        for name, value in facts.items():
            text = "  ".join(f"{k} {v}" for k, v in value.items()) if name == "packages" else value
            if text and name != "entries":
                click.echo(f"{name:9} {text}")
        for entry in facts["entries"]:
            click.echo(f"  {entry['variant']:18} {entry['bytes']:7,} bytes  {entry['state']}  {entry['file']}")
        if not facts["entries"]:
            click.echo("  nothing kept yet; the first use of a kernel compiles, imgconv doctor warm does it now")
    damaged = any(entry["state"].startswith("damaged") for entry in facts["entries"])
    return FAILED if damaged or facts["problem"] else DONE


@doctor.command(cls=Help)
def clear() -> None:
    """Delete all kept code and plans: imgconv doctor clear."""
    from imgconv.native import kept

    count = kept.clear()
    click.echo(f"{count} {'entry' if count == 1 else 'entries'} deleted from {kept.directory()}")


@doctor.command(cls=Help)
def warm() -> int:
    """Compile everything now, so that no later run has to: imgconv doctor warm."""
    from imgconv.native import kept
    from imgconv.threads import available_cores

    if problem := kept.keeping_problem():
        click.echo(f"nothing can be kept: {problem}", err=True)
        return FAILED
    functions = _functions()
    # most of compiling is Python's work, which threads would take turns at
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    workers = min(available_cores(), len(functions))
    pool = ProcessPoolExecutor(workers, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        for function, (seconds, problem) in zip(functions, pool.map(_prepared, functions), strict=True):
            if problem:  # the disk is full, say
                click.echo(f"{function} cannot be kept: {problem}", err=True)
                return FAILED
            click.echo(f"{function!s:26} {'compiled in ' + duration(seconds) if seconds else 'was there'}")
    finally:
        pool.shutdown(cancel_futures=True)
    return DONE


def _prepared(function: Function) -> tuple[float, str | None]:
    """The seconds that compiling took, and why what was compiled could not be kept."""
    from imgconv.native import kept

    return kept.prepare(function), kept.unkept()


def _functions() -> list[Function]:
    """Everything that can ever be compiled."""
    from imgconv.engine.blur import BLUR
    from imgconv.engine.methods import VARIANTS
    from imgconv.formats.image import MOVES
    from imgconv.formats.png.codec import FILTER, UNFILTER

    return [*(variant.function for variant in VARIANTS), *BLUR.values(), FILTER, UNFILTER, *MOVES.values()]


def _facts() -> dict[str, Any]:
    from imgconv.native import kept
    from imgconv.native.cpu import cpu
    from imgconv.threads import available_cores

    packages = dict.fromkeys(PACKAGES, "missing")
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            packages[package] = version(package)
    return {
        "imgconv": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "packages": packages,
        "system": platform.platform(),
        "cpu": cpu().name,
        "cores": available_cores(),
        "code": str(kept.directory()),
        "plans": len([*kept.directory().glob("*.plan")]),  # of recipes, which lie there, too
        "problem": kept.keeping_problem(),
        "config": path if os.path.exists(path := config_path()) else "",
        "entries": [
            {"variant": e.function, "bytes": e.bytes, "state": e.state, "file": e.path.name}
            for e in kept.entries(_functions())
        ],
    }
