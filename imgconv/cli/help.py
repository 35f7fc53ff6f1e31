"""--help: what a command does, then its options by theme, a line each; with an option behind it, all about that one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from imgconv.cli.sources import Setting, key_of

SHORT = 52  # letters of an option's help that fit beside it in a terminal of 80
WIDEST = 100  # columns that help takes in a wider terminal
LONG_METAVAR = 12  # letters, beyond which an option's own name stands in its place

# for each theme its options, with what is said of them where their help is longer
THEMES: dict[str, dict[str, str]] = {
    "Kernel": {
        "kernel": "A name, a file or a matrix; again for a chain.",
        "mask": "Where it acts: a file, radial[:…], linear[:…].",
        "vary": "A formula that the mask drives: gaussian:sigma=0..8.",
        "mode": "correlate (as written) or convolve (turned by 180°).",
        "scale": "Divide the weights: X, sum, abs-sum, none.",
        "offset": "Add to every sum.  [default: the kernel's own]",
        "bias": "Add to each output channel, or to all.",
        "combine": "Several on one picture: hypot, sum, max, mean.",
        "like": "As pillow, scipy, ndimage, opencv, keras, …",
    },
    "Input and output": {
        "recursive": "",
        "files-from": "Inputs from a list, a line each; - is stdin.",
        "null": "Names in that list end with NUL characters.",
        "include": "Only inputs that match, such as '*.{jpg,png}'.",
        "exclude": "No inputs that match.",
        "watch": "Go on with what appears, until Ctrl-C.",
        "watch-kernel": "Filter again when a kernel's file changes.",
        "output": "A file, - or a template such as {stem}.{kernel}{ext}.",
        "out-dir": "",
        "format": "Format of the result, such as png.",
        "raw": "Raw video, such as 1920x1080:rgb24.",
        "overwrite": "",
        "in-place": "",
        "skip-existing": "",
        "newer": "Only inputs that are newer than their result.",
        "resume": "Only what the journal does not have as done.",
        "save": "Write the difference: a picture, or .npy, .txt.",
        "plot": "Draw it as .png, .svg or .pdf.",
        "tolerance": "Differences that count as none.",
        "peer": "The tool to compare with: pillow, scipy, opencv.",
        "size": "",
        "columns": "Pictures beside each other.",
        "crop": "The middle as it is, instead of all made smaller.",
    },
    "What is measured": {
        "only": "",
        "costs": "The planner's estimates against the clock.",
        "scaling": "Time by size of the picture and kernel, and threads.",
        "batch": "Folders on all cores: files per second, CPU time.",
        "small": "Small pictures: CPU time of calls, files per second.",
        "files": "JPEGs, and by their number the other files.",
    },
    "Border and size": {
        "border": "edge, reflect, symmetric, wrap, constant[:V], keep, …",
        "padding": "How large the result is: same, valid, full, tf-same.",
        "stride": "Pixels from one output pixel to the next.",
        "dilation": "Pixels from one tap to the next.",
        "anchor": "The tap on the output pixel: low is (k-1)//2.",
    },
    "Colour and alpha": {
        "channels": "Filter each, sum them, or only some such as rgb.",
        "alpha": "straight, keep, premultiply.  [default: auto]",
        "linear": "",
        "after": "clip, abs, relu, minmax, offset128, float.",
        "depth": "Bits of a sample in the result.",
        "background": "A colour below alpha, where a format has none.",
        "requantize": "A new palette for pictures that had one.",
    },
    "File format and metadata": {
        "co": "Tell the encoder: quality=90, lossless=true, …",
        "metadata": "What travels along: all, none, or such as icc,exif.",
        "strip-gps": "Leave out the place where it was made.",
        "auto-orient": "Turn upright by EXIF before filtering.",
        "frames": "Of an animation or TIFF: all, first, or 1,3-5.",
        "recipe": "Kernels and options from a file.",
        "save-recipe": "Kernels and options into a file.",
        "embed": "The recipe into the result's metadata, for replay.",
    },
    "Speed": {
        "method": "auto, direct, fused, integer, separable, fourier, …",
        "jobs": "Files at once.  [default: auto, as many as pay]",
        "threads": "Threads in one picture.  [default: the cores]",
        "memory": "Of all jobs together, such as 2G.",
        "max-pixels": "The largest picture that is taken whole.",
        "cluster": "By Dask: a scheduler's address, or local:N.",
        "rounds": "",
        "keep-going": "",
    },
    "What is printed": {
        "report": "Write a page: before, after, pixels, their sums.",
        "preview": "Show before and after in the terminal.",
        "dry-run": "",
        "json": "",
        "toml": "",
        "markdown": "",
        "quiet": "",
        "verbose": "Say how each kernel was computed, and why.",
        "explain": "Say every setting, and where it came from.",
        "color": "auto, always or never.",
        "help": "",
    },
}
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
        return super().parse_args(ctx, args)


def _full(ctx: click.Context, option: click.Option) -> tuple[str, str]:
    """The option as it is spelled, and all that is to be said about it."""
    return option.get_help_record(ctx) or ("", "")


def _short(ctx: click.Context, option: click.Option) -> tuple[str, str]:
    """The option and what it is for, in so few letters that they fit on a line."""
    spelled, text = _full(ctx, option)
    key, metavar = key_of(option), option.make_metavar(ctx)
    renamed = not option.is_flag and len(metavar) > LONG_METAVAR
    if renamed:
        spelled = spelled.replace(metavar, key.upper())
    if key in THEME and (len(text) > SHORT or (renamed and isinstance(option, Setting))):  # whose words stood there
        text = THEMES[THEME[key]][key] or text
    return spelled, text


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
