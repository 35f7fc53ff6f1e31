"""The command line: turns words into values, calls the library, prints what came of it, and owns the exit status."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

from imgconv import __version__
from imgconv.errors import ImgconvError, KernelError, UsageError

DONE, FAILED, MISUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

# what `imgconv --help` says; a command's module is imported when the command is called
COMMANDS = {
    "apply": "Filter pictures (or arrays) and write them.",
    "kernels": "List the named kernels, or show one in detail.",
    "compare": "Do the same work in Pillow: same bytes? how much faster?",
    "doctor": "Show versions, CPU and kept code; clear or warm it.",
    "completion": "Print the completion script for a shell.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"imgconv.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="imgconv %(version)s")
def cli() -> None:
    """Filter pictures with convolution kernels: right to the last bit, and fast.

    \b
    imgconv apply photo.png -k edge_enhance           one photo
    imgconv apply *.jpg -k sharpen --out-dir sharp    many
    imgconv kernels                                   what -k can name
    """


def main() -> NoReturn:
    """Entry point of the `imgconv` command."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        status = cli.main(prog_name="imgconv", standalone_mode=False)
        sys.stdout.flush()
        _exit(status if isinstance(status, int) else DONE)
    except click.exceptions.NoArgsIsHelpError as problem:
        click.echo(problem.ctx.get_help() if problem.ctx else "", err=True)
        _exit(MISUSED)
    except click.ClickException as problem:
        fail(problem.format_message(), _command(problem), MISUSED)
    except (UsageError, KernelError) as problem:
        fail(str(problem), None, MISUSED)
    except ImgconvError as problem:
        fail(str(problem), None, FAILED)
    except (KeyboardInterrupt, click.Abort):
        fail("interrupted", None, INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _exit(FAILED)


def fail(text: str, command: str | None, status: int) -> NoReturn:
    """One line on stderr, then the exit."""
    say(" ".join(text.split()), command)
    _exit(status)


def say(text: str, command: str | None = None) -> None:
    """A warning or an error: one line on stderr."""
    click.echo(f"{'imgconv ' + command if command else 'imgconv'}: {text}", err=True)


def _command(problem: click.ClickException) -> str | None:
    context: Any = getattr(problem, "ctx", None)
    return context.info_name if context is not None and context.parent is not None else None


def _exit(status: int) -> NoReturn:
    sys.exit(status)


def _terminated(number: int, frame: FrameType | None) -> None:
    sys.exit(TERMINATED)
