"""--help: what a command does, then its options by theme, a line each; with an option behind it, all about that one."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import Any

import click

from imgconv.cli.sources import key_of

SHORT = 53  # letters that fit beside an option in a terminal of 80: the first sentence of its help has no more
SENTENCES = re.compile(r"(?<=[.…])\s+(?=[A-Z-])")
WIDEST = 100  # columns that help takes in a wider terminal
LONG_METAVAR = 12  # letters, beyond which an option's own name stands in its place

THEMES = {
    "Kernel": ("kernel", "mask", "vary", "mode", "scale", "offset", "bias", "combine", "like"),
    "Input and output": (
        "recursive", "files-from", "null", "include", "exclude", "watch", "watch-kernel", "output", "out-dir", "format",
        "raw", "overwrite", "in-place", "skip-existing", "newer", "resume", "save", "plot", "tolerance", "peer", "size",
        "columns", "crop",
    ),
    "What is measured": ("only", "costs", "scaling", "batch", "small", "files"),
    "Border and size": ("border", "padding", "stride", "dilation", "anchor"),
    "Colour and alpha": ("channels", "alpha", "linear", "after", "depth", "background", "requantize"),
    "File format and metadata": (
        "co", "metadata", "strip-gps", "auto-orient", "frames", "recipe", "save-recipe", "embed",
    ),
    "Speed": ("method", "jobs", "threads", "memory", "max-pixels", "cluster", "rounds", "keep-going"),
    "What is printed": (
        "report", "preview", "dry-run", "json", "toml", "markdown", "quiet", "verbose", "explain", "color", "help",
    ),
}  # fmt: skip
THEME = {name: heading for heading, names in THEMES.items() for name in names}
FEW = 10  # options that need no themes


class Help(click.Command):
    """A command whose help is short, in themes and in colours; and long for options that stand beside --help."""

    def get_help(self, ctx: click.Context) -> str:
        formatter = Formatter(ctx)
        self.format_help(ctx, formatter)
        return formatter.getvalue().rstrip("\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [option for option in self.get_params(ctx) if isinstance(option, click.Option) and not option.hidden]
        if len(options) <= FEW:
            with formatter.section("Options"):
                formatter.write_dl([_full(ctx, option) for option in options])
        else:
            sections: dict[str, list[tuple[str, str]]] = {}
            for option in options:
                sections.setdefault(THEME.get(key_of(option), "Other options"), []).append(_short(ctx, option))
            for heading in sorted(sections, key=[*THEMES, *sections].index):
                with formatter.section(heading):
                    formatter.write_dl(sections[heading])
            longest = max(options, key=lambda option: len(option.help or ""))
            formatter.write_paragraph()
            formatter.write_text(f"All about an option: {ctx.command_path} --help {longest.opts[-1]}")
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = set(args[: args.index("--")] if "--" in args else args)
        if words & {*ctx.help_option_names} and not ctx.resilient_parsing:
            asked = [one for one in self.params if isinstance(one, click.Option) and words & {*one.opts}]
            if asked and words <= {*ctx.help_option_names, *(name for one in asked for name in one.opts)}:
                formatter = Formatter(ctx)
                formatter.write_dl([_full(ctx, option) for option in asked])
                click.echo(formatter.getvalue(), nl=False, color=ctx.color)
                ctx.exit()
        return super().parse_args(ctx, _in_full(self.params, args) if ctx.allow_interspersed_args else args)


def _in_full(params: Iterable[click.Parameter], args: list[str]) -> list[str]:
    """The words with long names for short options, as far as that is plain.

    Click takes -k for a long option first, and looks for one that is spelled like it, which takes 4 ms at every start.
    """
    options = {name: option for option in params if isinstance(option, click.Option) for name in option.opts}
    words: list[str] = []
    while (at := len(words)) < len(args):
        word = args[at]
        option = options.get(word.partition("=")[0] if word.startswith("--") else word)
        values = 0 if option is None or "=" in word or option.is_flag or option.count else option.nargs
        several = option is None and word.startswith("-") and word != "-"  # or none that is known
        if word == "--" or several or len(args) <= at + values:  # the error has the name that was given
            break
        words += [word if option is None or "=" in word else max(option.opts, key=len), *args[at + 1 : at + 1 + values]]
    return words + args[len(words) :]


def _full(ctx: click.Context, option: click.Option) -> tuple[str, str]:
    """The option as it is spelled, and all that is to be said about it."""
    return option.get_help_record(ctx) or ("", "")


def _short(ctx: click.Context, option: click.Option) -> tuple[str, str]:
    """The option and the first sentence about it, so that they fit on a line; more about it where that does."""
    spelled, text = _full(ctx, option)
    metavar = option.make_metavar(ctx)
    if not option.is_flag and len(metavar) > LONG_METAVAR:
        spelled = spelled.replace(metavar, key_of(option).upper())
    about, bracket, default = (option.help or "").partition("  [")
    first = SENTENCES.split(about)[0]
    return spelled, next((more for more in (text, first + bracket + default) if len(more) <= SHORT), first)


class HelpGroup(Help, click.Group):
    """A group with such help."""


class Formatter(click.HelpFormatter):
    """Help with headings and options in colour, where that is wanted."""

    def __init__(self, ctx: click.Context) -> None:
        import shutil

        super().__init__(width=max(50, min(WIDEST, shutil.get_terminal_size().columns) - 2))
        wanted = ctx.find_root().color
        self.coloured = wanted if wanted is not None else sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def _style(self, text: str, **style: Any) -> str:
        return click.style(text, **style) if self.coloured else text

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{self._style(f'{heading}:', bold=True)}\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl([(self._style(name, fg="cyan"), text) for name, text in rows], col_max, col_spacing)
