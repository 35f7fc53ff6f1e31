"""Options that several commands share, each defined once, and the types that turn their words into values."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from imgconv.conventions import (
    AFTERS,
    ALPHAS,
    ANCHORS,
    BORDERS,
    COMBINES,
    LIKES,
    METHODS,
    MODES,
    PADDINGS,
    SCALES,
    parse_border,
)
from imgconv.formats.table import METADATA

if TYPE_CHECKING:
    from imgconv.formats.limits import Limits

F = TypeVar("F", bound=Callable[..., Any])


FILE = click.Path(readable=False)  # shells complete it; whether it can be read is found out, and said, by the library


def one_of(*words: str) -> Callable[..., list[str]]:
    """What a shell offers for an option that takes these words, and others."""
    return lambda ctx, param, incomplete: [word for word in words if word.startswith(incomplete)]


def offer_kernels(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a shell offers for a kernel: names, formulas, files; a folder only where nothing else fits."""
    from glob import escape, glob

    from imgconv.kernels.catalogue import names
    from imgconv.kernels.files import ENDINGS
    from imgconv.kernels.formulas import FORMULAS

    words = [word for word in sorted({*names(), *FORMULAS}) if word.startswith(incomplete.replace("-", "_"))]
    files = [path for path in sorted(glob(f"{escape(incomplete)}*")) if path.lower().endswith(ENDINGS)]
    return [CompletionItem(word) for word in words + files] or [CompletionItem(incomplete, type="file")]


class FileCommand(click.Command):
    """A command that takes files: one whose name begins with a dash is no option, nor is what belongs into -k."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # by a shell that completes
            return super().parse_args(ctx, args)
        words = args[: args.index("--")] if "--" in args else args
        known = {name for option in self.params for name in option.opts}
        for word in words:
            if word.startswith("-") and word not in {"-", *known} and os.path.lexists(word):
                ctx.fail(f"the file {word!r} looks like an option; write ./{word} (and ./* for *)")
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption as problem:
            spec = _as_parameter(problem.option_name, args) if "-k" in known else None
            if spec is None:
                raise
            ctx.fail(f"No such option {problem.option_name!r}; a parameter goes into the kernel: -k {spec}")


def _as_parameter(option: str, args: list[str]) -> str | None:
    """--sigma 2 as -k has it, gaussian:sigma=2: for the formula that was given or the first that takes it, if any."""
    from imgconv.kernels.catalogue import canonical
    from imgconv.kernels.formulas import FORMULAS, parameters

    key, line = canonical(option.removeprefix("--")), "\n".join(args)
    takers = [name for name in FORMULAS if key in parameters(name)]
    given = re.findall(r"^(?:-k\n?|--kernel[\n=])(.+)$", line, re.MULTILINE)
    specs = [spec for spec in given if canonical(spec.partition(":")[0]) in takers] + takers
    value = re.search(rf"^{re.escape(option)}[\n=]([\d.]+)$", line, re.MULTILINE)
    return f"{specs[0]}{',' if ':' in specs[0] else ':'}{key}={value[1] if value else '…'}" if specs else None


class KernelCommand(FileCommand):
    """A command that takes a kernel as an argument: one that begins with a minus is a matrix, no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f" {arg}" if re.match(r"-[\d.]", arg) else arg for arg in args])


class Border(click.ParamType[Any]):
    """A border's name, constant with its value: constant:255."""

    name = "border"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            parse_border(value)
        except ValueError as problem:
            self.fail(str(problem), param, ctx)
        return value.strip().lower()


class Number(click.ParamType[Any]):
    """A finite number, or one of a few words."""

    name = "number"

    def __init__(self, *words: str, zero: bool = True) -> None:
        self.words = words
        self.zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self.words or isinstance(value, float):
            return value
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or (number == 0 and not self.zero):
            kind = "a finite number" if self.zero else "a finite number other than 0"
            self.fail(f"{value!r} is not {' or '.join([kind, *self.words])}", param, ctx)
        return number


class Anchor(click.ParamType[Any]):
    """Row,column of a tap, or low or high."""

    name = "anchor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in ANCHORS or isinstance(value, tuple):
            return value
        parts = value.split(",")
        if len(parts) != 2 or not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
            self.fail(f"{value!r} is not ROW,COLUMN (counted from 0), low or high", param, ctx)
        return int(parts[0]), int(parts[1])


class Steps(click.ParamType[Any]):
    """One or two whole numbers from 1 up; one stands for both axes."""

    name = "steps"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if len(parts) > 2 or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
            self.fail(f"{value!r} is not N or ROWS,COLUMNS, from 1 up", param, ctx)
        return int(parts[0]), int(parts[-1])


class Numbers(click.ParamType[Any]):
    """Finite numbers with commas between them."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        return tuple(Number().convert(part, param, ctx) for part in value.split(","))


class Metadata(click.ParamType[Any]):
    """Words for what travels along: all, none, or a list such as exif,icc."""

    name = "metadata"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, frozenset):
            return value
        if value in ("all", "none"):
            return frozenset(METADATA if value == "all" else ())
        words = frozenset(word.strip() for word in value.split(","))
        for word in sorted(words - METADATA.keys()):
            self.fail(f"{word!r} is neither all, none nor one of {', '.join(METADATA)}", param, ctx)
        return words


def kernel_option(function: F, *, required: bool = True) -> F:
    """-k, repeated for a chain."""
    return click.option(
        "-k", "--kernel", "kernels", multiple=True, required=required, metavar="KERNEL", shell_complete=offer_kernels,
        help="A name (imgconv kernels lists them), a file (.toml .npy .txt .csv), or a matrix in place such as"
        " '0 -1 0; -1 5 -1; 0 -1 0'. Repeat it for a chain.",
    )(function)  # fmt: skip


def max_pixels_option(function: F) -> F:
    """--max-pixels: the function gets `limits`."""

    def to_limits(ctx: click.Context, param: click.Parameter, value: int | None) -> Limits:
        from imgconv.formats.limits import DEFAULT, Limits

        return DEFAULT if value is None else Limits(value, vouched=True)

    return click.option(
        "--max-pixels", "limits", type=click.IntRange(1), callback=to_limits, metavar="N",
        help="The largest picture that is taken into memory whole.  [default: 178956970, as Pillow; and no more than"
        " 1 GB of memory, or 1000 times the file]",
    )(function)  # fmt: skip


def place_options(function: F) -> F:
    """-k or --vary, and the mask that says where."""
    function = click.option(
        "--vary", metavar="FORMULA",
        help="Instead of -k, a formula with a range that the mask drives from its first end to its last:"
        " gaussian:sigma=0..8. -v says how close that is to the kernel of each pixel.",
    )(function)  # fmt: skip
    function = click.option(
        "--mask", metavar="FILE|radial[:…]|linear[:…]", type=FILE,
        help="Where, and how strongly, the kernel acts, once for a chain. A grey picture or an array from 0 to 1, of"
        " the input's size; radial:cx=0.5,cy=0.5,inner=0.25,outer=1 by the distance from a middle, in halves of the"
        " diagonal; linear:angle=90,from=0,to=1 by the way across the picture, with band=0.5 by the distance from a"
        " band in it (tilt-shift). Shapes rise smoothly; ,invert turns them round.",
    )(function)  # fmt: skip
    return kernel_option(function, required=False)


def filter_options(function: F) -> F:
    """What changes the numbers."""
    for option in reversed([
        click.option("--mode", type=click.Choice(MODES), default="correlate", show_default=True,
                     help="Slide the kernel as written, or turned by 180°."),
        click.option("--border", type=Border(), metavar="BORDER", shell_complete=one_of(*BORDERS),
                     help="What stands in for pixels outside: edge, reflect, symmetric, wrap, constant[:V], keep,"
                     " renormalize.  [default: the kernel's own, else edge]"),
        click.option("--padding", type=click.Choice(PADDINGS),
                     help="How large the result is; tf-same is TensorFlow's rule under strides.  [default: same]"),
        click.option("--stride", type=Steps(), default="1", metavar="N[,M]", show_default=True,
                     help="Pixels from one output pixel to the next; rows first."),
        click.option("--dilation", type=Steps(), default="1", metavar="N[,M]", show_default=True,
                     help="Pixels from one tap to the next; rows first."),
        click.option("--anchor", type=Anchor(), metavar="Y,X|low|high", shell_complete=one_of(*ANCHORS),
                     help="The tap on the output pixel; low is (k-1)//2, high is k//2.  [default: low]"),
        click.option("--channels", default="each", metavar="each|sum|LETTERS", show_default=True,
                     shell_complete=one_of("each", "sum", "rgb", "rgba", "a", "l"),
                     help="Filter each channel, add them up as Conv2D does, or filter only some, such as rgb, a, l."),
        click.option("--scale", type=Number(*SCALES, zero=False), metavar="X|sum|abs-sum|none",
                     shell_complete=one_of(*SCALES),
                     help="What the weights are divided by.  [default: the kernel's own]"),
        click.option("--offset", type=Number(), metavar="X",
                     help="What is added to every sum.  [default: the kernel's own]"),
        click.option("--bias", type=Numbers(), metavar="X[,…]",
                     help="What is added to each output channel, or to all of them; also to pixels that are copied."),
        click.option("--after", type=click.Choice(AFTERS),
                     help="What becomes of values outside the range.  [default: clip]"),
        click.option("--alpha", type=click.Choice(ALPHAS),
                     help="Filter alpha like any channel, keep it, or weigh colours by it.  [default: auto, which is"
                     " straight for Pillow's kernels, premultiply for means, keep for the rest]"),
        click.option("--linear", is_flag=True, help="Filter in linear light: samples are taken as sRGB."),
        click.option("--combine", type=click.Choice(COMBINES),
                     help="Apply every kernel to the picture itself, and take this of the results."),
        click.option("--like", type=click.Choice(tuple(LIKES)), help="Do as that tool does; single options still win."),
        click.option("--method", type=click.Choice(METHODS), default="auto", show_default=True,
                     help="Which way it is computed."),
        click.option("-t", "--threads", type=click.IntRange(1), metavar="N",
                     help="Threads in one picture.  [default: the cores]"),
    ]):  # fmt: skip
        function = option(function)
    return function


def make_recipe(
    kernel_specs: tuple[str, ...], *, limits: Limits, mask: str | None = None, auto_orient: bool = False, **options: Any
) -> Any:
    """The Recipe that -k, --mask and the filter options spell; a mask in a file is turned upright as pictures are."""
    from imgconv.kernels.spec import kernels
    from imgconv.recipe import Recipe
    from imgconv.recipe.options import Options

    if not kernel_specs and options.get("vary") is None:
        raise click.UsageError("Missing option '-k' / '--kernel' (or --vary with --mask).")
    if mask is not None:
        from imgconv.masks import is_shape, read_mask

        options["mask"] = mask if is_shape(mask) else read_mask(mask, limits, auto_orient=auto_orient)
    return Recipe(tuple(kernel for spec in kernel_specs for kernel in kernels(spec)), Options(**options))
