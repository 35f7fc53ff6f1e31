"""The command line: turns words into values, calls the library, prints what came of it, and owns the exit status."""

from __future__ import annotations

import codecs
import contextlib
import gc
import os
import re
import signal
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from imgconv import __version__
from imgconv.cli.help import HelpGroup
from imgconv.cli.sources import config_path, configure, key_of, placed_error
from imgconv.errors import ImgconvError, KernelError, UsageError, nearest, unforeseen

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, MISUSED = 0, 1, 2
SIGNALS = {
    128 + number: number for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
}  # by exit status; SIGHUP comes when the terminal is closed, and on Windows not at all
LOOKALIKES = {"→": "->", "×": "x", "·": "-", "–": "-", "…": "..."}  # where only ASCII can be printed
_print_errors: list[OSError] = []  # why a line did not reach standard output
AGAIN_S = 0.01  # a signal whose exception was lost comes again after this

# what `imgconv --help` says; a command's module is imported when the command is called
COMMANDS = {
    "apply": "Filter pictures (or arrays) and write them.",
    "kernels": "List the named kernels, or show one in detail.",
    "compare": "Do the same work in Pillow, SciPy, OpenCV: same bytes? how much faster? Or compare two pictures.",
    "match": "Find which convention (flip, border, anchor, scale) made a result.",
    "explain": "Show how one pixel of a result comes about: the worked sum.",
    "sheet": "Make a contact sheet: every kernel on one's own picture.",
    "info": "Show what files hold, and what would be lost in another format.",
    "fit": "Find the kernel that best explains a picture made from another.",
    "replay": "Do again what a result's embedded recipe says: the same pixels?",
    "bench": "Measure this machine: every method against every peer that is installed.",
    "doctor": "Show versions, CPU and kept code; clear or warm it.",
    "completion": "Print the completion script for a shell.",
}


class LazyGroup(HelpGroup):
    """A group whose commands are imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"imgconv.cli.{cmd_name}"), cmd_name)
        _complete(command, f"imgconv_{cmd_name}")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.BadParameter as problem:
            raise placed_error(problem) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = nearest(args[0], COMMANDS)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _set_color(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    # behind a command only what was typed there counts: it has one variable
    if value is not None and (not ctx.parent or ctx.get_parameter_source("color") is ParameterSource.COMMANDLINE):
        ctx.find_root().color = {"auto": None, "always": True, "never": False}[value]


COLOR = click.Option(
    ["--color"], type=click.Choice(["auto", "always", "never"]), expose_value=False, callback=_set_color,
    envvar="IMGCONV_COLOR",
    help="auto, always or never. The first, the default, is on a terminal without NO_COLOR.",
)  # fmt: skip


def _complete(command: click.Command, prefix: str) -> None:
    """Every option may come from a variable, as IMGCONV_APPLY_BORDER; and --color may stand behind any command."""
    for option in command.params:
        if isinstance(option, click.Option) and option is not COLOR:
            option.envvar = f"{prefix}_{key_of(option)}".upper().replace("-", "_")
    if COLOR not in command.params:
        command.params.append(COLOR)
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        _complete(inner, f"{prefix}_{name}")


@click.group(cls=LazyGroup, params=[COLOR], context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="imgconv %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Filter pictures with convolution kernels: right to the last bit, and fast.

    \b
    imgconv apply photo.png -k edge_enhance           one photo
    imgconv apply *.jpg -k sharpen --out-dir sharp    many
    imgconv kernels                                   what -k can name
    """
    if os.path.exists(path := config_path()):
        configure(ctx, path, COMMANDS, COLOR)
    if ctx.invoked_subcommand != "apply":  # which imports more before it begins
        imports_done()


def main() -> NoReturn:
    """Entry point of the `imgconv` command."""
    sys.unraisablehook = _repeat_lost_signal
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # Pillow's and NumPy's are for programmers; errors are raised
    _prepare_streams()
    try:
        status = cli.main(prog_name="imgconv", standalone_mode=False)
        sys.stdout.flush()
        for problem in _print_errors:
            raise problem
        kept = sys.modules.get("imgconv.native.kept")
        if kept and (why := kept.unkept()) and not {"-q", "--quiet"} & set(sys.argv):
            warn(f"compiled code cannot be kept: {why}; set IMGCONV_CACHE_DIR to a folder of your own")
        # everything is written: taking the interpreter apart would cost a sixth of a small picture's time
        os._exit(status if isinstance(status, int) else DONE)
    except click.exceptions.NoArgsIsHelpError as problem:
        with contextlib.suppress(OSError):
            problem.show()
        sys.exit(MISUSED)
    except click.ClickException as problem:
        context: Any = getattr(problem, "ctx", None)
        fail(problem.format_message(), MISUSED, context.command_path.partition(" ")[2] if context else None)
    except ImgconvError as problem:
        fail(str(problem), MISUSED if isinstance(problem, (UsageError, KernelError)) else FAILED)
    except SystemExit as stop:
        if stop.code not in SIGNALS:
            raise
        for number in SIGNALS.values():
            signal.signal(number, signal.SIG_IGN)
        if SIGNALS[stop.code] == signal.SIGINT:
            warn("interrupted")
        # a thread may still be at work: Python 3.11 takes one for ended whose join was interrupted
        if "imgconv.formats.place" in sys.modules:
            import_module("imgconv.formats.place").abandon()
        os._exit(stop.code)
    except Exception as problem:
        if isinstance(problem, FileNotFoundError) and problem.filename is None:  # os.getcwd
            fail("the folder in which it was started has been deleted", FAILED)
        if isinstance(problem, OSError) and problem.filename is None:
            # what is printed goes nowhere: the reader has gone, as `| head` does, or the disk is full
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if not isinstance(problem, BrokenPipeError):
                warn(f"standard output: {problem.strerror or problem}")
            sys.exit(FAILED)
        if {"-v", "--verbose"} & set(sys.argv):
            sys.excepthook(type(problem), problem, problem.__traceback__)
        fail(f"{unforeseen(problem)}; -v shows where", FAILED)


def imports_done() -> None:
    """From now on a signal is an exception, and garbage is collected, though not among what has been imported.

    While modules are imported, `__main__` ends the process at once: an exception amid that may leave a lock behind for
    which another thread waits.
    """
    for number in SIGNALS.values():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
    gc.freeze()
    gc.enable()


def fail(text: str, status: int, command: str | None = None) -> NoReturn:
    """One line on stderr, then the exit."""
    warn(" ".join(text.split()), command)
    sys.exit(status)


def warn(text: str, command: str | None = None) -> None:
    """A warning or an error: one line on stderr."""
    print_line(f"{'imgconv ' + command if command else 'imgconv'}: {text}", err=True)


def print_line(text: str, *, err: bool = False) -> None:
    """A line; unlike click.echo it goes above a progress bar, not into it. One that cannot be printed stops nothing."""
    try:
        print(one_line(text), file=sys.stderr if err else sys.stdout, flush=True)
    except OSError as problem:
        stop_again(problem)
        if not err:
            if isinstance(problem, BrokenPipeError):
                raise
            _print_errors[:] = [problem]


def stop_again(problem: OSError) -> None:
    """Raises the signal's exception again whose place an error of printing took, as where the terminal has gone."""
    before = problem.__context__
    while before is not None:
        if isinstance(before, SystemExit):
            raise before
        before = before.__context__


def print_json(value: Any) -> None:
    """A line of JSON on standard output."""
    from json import dumps  # most runs print none

    print_line(dumps(value))


def one_line(text: str) -> str:
    """The text with control characters spelt out: a file's name must not move the cursor or break a line."""
    if text.isprintable():
        return text
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: ascii(match[0])[1:-1], text)


def console(*, stderr: bool = False) -> Console:
    """A rich console that obeys --color and NO_COLOR."""
    from rich.console import Console

    wanted = click.get_current_context().find_root().color
    colourless = wanted is False or (wanted is None and bool(os.environ.get("NO_COLOR")))
    return Console(stderr=stderr, force_terminal=wanted or None, color_system=None if colourless else "auto")


def _prepare_streams() -> None:
    """Standard streams that can be closed, or meet any text, without a traceback."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:  # or a file that is written would get a stream's number
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 -- lives as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    codecs.register_error("imgconv", _in_known_letters)
    for stream in (sys.stdout, sys.stderr):
        if stream.errors != "surrogateescape" or stream.encoding.lower() != "utf-8":
            stream.reconfigure(errors="imgconv")  # type: ignore[union-attr]


def _in_known_letters(problem: UnicodeError) -> tuple[str, int]:
    """For a stream that cannot encode a character: one that looks like it, or its escape."""
    assert isinstance(problem, UnicodeEncodeError)
    text = problem.object[problem.start : problem.end]
    return "".join(LOOKALIKES.get(letter) or ascii(letter)[1:-1] for letter in text), problem.end


def _repeat_lost_signal(lost: sys.UnraisableHookArgs) -> None:
    """Raises a signal again whose exception was lost: Python drops those in destructors and callbacks."""
    stop = lost.exc_value
    if not isinstance(stop, SystemExit) or stop.code not in SIGNALS:
        sys.__unraisablehook__(lost)
        return
    import _thread
    from threading import Timer

    again = Timer(AGAIN_S, _thread.interrupt_main, [SIGNALS[stop.code]])
    again.daemon = True
    again.start()
