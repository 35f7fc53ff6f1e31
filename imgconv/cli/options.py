"""Options that several commands share, each defined once, and the types that turn their words into values."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import click

from imgconv.cli.help import Help
from imgconv.cli.sources import KernelType, MaskType, VaryType, give_way, setting
from imgconv.conventions import (
    AFTERS,
    ALPHAS,
    ANCHORS,
    BORDERS,
    COMBINES,
    LIKES,
    METADATA,
    METHODS,
    MODES,
    PADDINGS,
    SCALES,
    parse_border,
)
from imgconv.errors import UsageError
from imgconv.formats.table import Changes

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from imgconv.formats.limits import Limits
    from imgconv.formats.raw import Raw

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(readable=False)  # shells complete it; whether it can be read is found out, and said, by the library


def check_free(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Raises UsageError where a file exists and is not to be replaced."""
    if os.path.lexists(path) and not overwrite:
        raise UsageError(f"{path}: exists; --overwrite replaces it")


def one_of(*words: str) -> Callable[..., list[str]]:
    """What a shell offers for an option that takes these words, and others."""
    return lambda ctx, param, incomplete: [word for word in words if word.startswith(incomplete)]


def offer_kernels(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a shell offers for a kernel: names, formulas, files; a folder only where nothing else fits."""
    from glob import escape, glob

    from click.shell_completion import CompletionItem

    from imgconv.kernels.catalogue import names
    from imgconv.kernels.files import ENDINGS
    from imgconv.kernels.formulas import FORMULAS

    words = [word for word in sorted({*names(), *FORMULAS}) if word.startswith(incomplete.replace("-", "_"))]
    files = [path for path in sorted(glob(f"{escape(incomplete)}*")) if path.lower().endswith(ENDINGS)]
    return [CompletionItem(word) for word in words + files] or [CompletionItem(incomplete, type="file")]


class FileCommand(Help):
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
            rest = super().parse_args(ctx, list(args))
        except click.NoSuchOption as problem:
            spec = _as_parameter(problem.option_name, args) if "-k" in known else None
            if spec is None:
                raise
            ctx.fail(f"No such option {problem.option_name!r}; a parameter goes into the kernel: -k {spec}")
        give_way(ctx)
        return rest


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


class FiniteRange(click.FloatRange):
    """Numbers in a range; NaN, which lies in each, is none, nor is infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value!r} is not a finite number", param, ctx)


# what turns an option's text into its value; Click adds the option's name to a BadParameter


def to_border(text: str) -> str:
    """A border's name, constant with its value: constant:255."""
    try:
        parse_border(text)
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None
    return text.strip().lower()


def to_number(text: str, words: tuple[str, ...] = ()) -> float | str:
    """A finite number; where words may stand in its place, other than 0."""
    if text in words:
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (words and number == 0):
        finite = "a finite number other than 0" if words else "a finite number"
        raise click.BadParameter(f"{text!r} is not {' or '.join([finite, *words])}")
    return number


def to_numbers(text: str) -> tuple[float | str, ...]:
    """Finite numbers with commas between them."""
    return tuple(map(to_number, text.split(",")))


def _whole_numbers(text: str) -> tuple[int, ...]:
    """The numbers in "3,2", from 0 up; none where the text is anything else."""
    parts = [part.strip() for part in text.split(",")]
    return tuple(map(int, parts)) if all(part.isascii() and part.isdigit() for part in parts) else ()


def to_anchor(text: str) -> tuple[int, ...] | str:
    """Row,column of a tap, or low or high."""
    place = _whole_numbers(text)
    if len(place) != 2 and text not in ANCHORS:
        raise click.BadParameter(f"{text!r} is not ROW,COLUMN (counted from 0), low or high")
    return place or text


def to_steps(text: str) -> tuple[int, int]:
    """One or two whole numbers from 1 up; one stands for both axes."""
    steps = _whole_numbers(text)
    if len(steps) not in (1, 2) or 0 in steps:
        raise click.BadParameter(f"{text!r} is not N or ROWS,COLUMNS, from 1 up")
    return steps[0], steps[-1]


def to_metadata(text: str) -> frozenset[str]:
    """Words for what travels along: all, none, or a list such as exif,icc."""
    if text in ("all", "none"):
        return frozenset(METADATA if text == "all" else ())
    words = frozenset(word.strip() for word in text.split(","))
    for word in sorted(words - set(METADATA)):
        raise click.BadParameter(f"{word!r} is neither all, none nor one of {', '.join(METADATA)}")
    return words


def to_frames(text: str) -> tuple[int, ...] | None:
    """The numbers of frames, from 1 up: first, or a list such as 1,3-5; None for all."""
    if text in ("all", "first"):
        return None if text == "all" else (1,)
    spans = [re.fullmatch(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*", part, re.ASCII) for part in text.split(",")]
    numbers = {n for span in spans if span for n in range(int(span[1]), int(span[2] or span[1]) + 1)}
    if not all(spans) or 0 in numbers or not numbers:
        raise click.BadParameter(f"{text!r} is neither all, first nor numbers from 1 up such as 1,3-5")
    return tuple(sorted(numbers))


def to_raw(text: str) -> Raw:
    """What raw video is."""
    from imgconv.formats.raw import parse

    return parse(text)


def to_jobs(text: str) -> int | None:
    """How many files at once; None for auto."""
    if text == "auto":
        return None
    if len(number := _whole_numbers(text)) != 1 or not number[0]:
        raise click.BadParameter(f"{text!r} is not auto or a whole number from 1 up")
    return number[0]


def to_bytes(text: str) -> int:
    """A size in memory: 2G, 1.5GB, 500M, or bytes; K, M, G, T are powers of 1024."""
    parts = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?) ?([KMGT]?)(?:i?B)?", text.strip(), re.ASCII | re.IGNORECASE)
    size = int(float(parts[1]) * 1024 ** " KMGT".index(parts[2].upper() or " ")) if parts else 0
    if not size:
        raise click.BadParameter(f"{text!r} is not a size such as 2G or 500M")
    return size


def to_changes(depth: str | None, background: str | None, requantize: bool) -> Changes:
    """What is to be changed on purpose. Raises UsageError where the colour is none."""
    if background is None:
        return Changes(depth, None, requantize)
    from imgconv.formats.convert import colour_of

    try:
        return Changes(depth, colour_of(background), requantize)
    except ValueError:
        raise UsageError(
            f"--background {background!r} is no colour such as white, '#fff' or 'rgb(255,255,255)'"
        ) from None


def _to_limits(ctx: click.Context, param: click.Parameter, value: int | None) -> Limits:
    from imgconv.formats.limits import DEFAULT, Limits

    return DEFAULT if value is None else Limits(value, vouched=True)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator; help lists them in this order."""
    return lambda function: reduce(lambda inner, option: option(inner), reversed(options), function)


def kernel_option(*, required: bool) -> Callable[[F], F]:
    """-k, repeated for a chain."""
    return setting(
        "-k", "--kernel", "kernels", multiple=True, required=required, metavar="KERNEL", type=KernelType(),
        shell_complete=offer_kernels,
        help="A name, a file or a matrix; again for a chain. Names are those of imgconv kernels; files end in .toml,"
        " .npy, .txt, .csv …; a matrix is such as '0 -1 0; -1 5 -1; 0 -1 0'.",
    )  # fmt: skip


# the command gets `limits`
max_pixels_option = click.option(
    "--max-pixels", "limits", type=click.IntRange(1), callback=_to_limits, metavar="N",
    help="The largest picture that is taken whole. Into memory.  [default: 178956970, as Pillow; and no more than"
    " 1 GB of memory, or 1000 times the file]",
)  # fmt: skip

# -k or --vary, and the mask that says where
place_options = together(
    kernel_option(required=False),
    setting("--mask", metavar="FILE|radial[:…]|linear[:…]", type=MaskType(),
            help="Where it acts: a file, radial[:…], linear[:…]. And how strongly, once for a chain. A grey picture or"
            " an array from 0 to 1, of the input's size; radial:cx=0.5,cy=0.5,inner=0.25,outer=1 by the distance from a"
            " middle, in halves of the diagonal; linear:angle=90,from=0,to=1 by the way across the picture, with"
            " band=0.5 by the distance from a band in it (tilt-shift). They rise smoothly; ,invert turns them round."),
    setting("--vary", metavar="FORMULA", type=VaryType(),
            help="A formula that the mask drives: gaussian:sigma=0..8. Instead of -k, from the first end of the range"
            " to the last. -v says how close that is to the kernel of each pixel."),
)  # fmt: skip

_sizes_and_values = together(
    setting("--border", type=to_border, metavar="BORDER", shell_complete=one_of(*BORDERS),
            help="edge, reflect, symmetric, wrap, constant[:V], keep, … What stands in for pixels outside: "
            + ", ".join(BORDERS) + ".  [default: the kernel's own, else edge]"),
    setting("--padding", type=click.Choice(PADDINGS),
            help="How large the result is: same, valid, full, tf-same. The last is TensorFlow's rule under strides."
            "  [default: same]"),
    setting("--stride", type=to_steps, default="1", metavar="N[,M]", show_default=True,
            help="Pixels from one output pixel to the next. Rows first."),
    setting("--dilation", type=to_steps, default="1", metavar="N[,M]", show_default=True,
            help="Pixels from one tap to the next. Rows first."),
    setting("--anchor", type=to_anchor, metavar="Y,X|low|high", shell_complete=one_of(*ANCHORS),
            help="The tap on the output pixel: low is (k-1)//2. And high is k//2.  [default: low]"),
    setting("--channels", default="each", metavar="each|sum|LETTERS", show_default=True,
            shell_complete=one_of("each", "sum", "rgb", "rgba", "a", "l"),
            help="Filter each, sum them, or only some such as rgb. The sum is Conv2D's."),
    setting("--scale", type=lambda text: to_number(text, SCALES), metavar="X|sum|abs-sum|none",
            shell_complete=one_of(*SCALES),
            help="Divide the weights: X, sum, abs-sum, none.  [default: the kernel's own]"),
    setting("--offset", type=to_number, metavar="X",
            help="Add to every sum.  [default: the kernel's own]"),
    setting("--bias", type=to_numbers, metavar="X[,…]",
            help="Add to each output channel, or to all. Also to pixels that are copied."),
    setting("--after", type=click.Choice(AFTERS),
            help="clip, abs, relu, minmax, offset128, float. What becomes of values outside the range."
            "  [default: clip]"),
    setting("--alpha", type=click.Choice(ALPHAS),
            help="straight, keep, premultiply, or auto, the default. Filter alpha like any channel, keep it, or weigh"
            " colours by it; auto is straight for Pillow's kernels, premultiply for means, keep for the rest."),
    setting("--linear", is_flag=True,
            help="Filter in linear light. By the curves of the picture's profile, or a PNG's gamma, else of sRGB."),
    setting("--combine", type=click.Choice(COMBINES),
            help="Several on one picture: hypot, sum, max, mean. Every kernel is applied to the picture itself, and"
            " this is taken of the results."),
    setting("--method", type=click.Choice(METHODS), default="auto", show_default=True,
            help="auto, direct, fused, integer, box, fourier, … Which way it is computed."),
)  # fmt: skip


def _filter_options(*, twice: bool) -> Callable[[F], F]:
    """What changes the numbers; --mode and --like once, or `twice` for two sides that are compared."""
    modes: Any = ("correlate",) if twice else "correlate"
    return together(
        setting("--mode", type=click.Choice(MODES), default=modes, show_default=True, multiple=twice,
                help="correlate (as written) or convolve (turned by 180°)."),
        _sizes_and_values,
        setting("--like", type=click.Choice(tuple(LIKES)), multiple=twice,
                help="As pillow, scipy, ndimage, opencv, keras, … Single options still win."),
    )  # fmt: skip


filter_options, sides_options = _filter_options(twice=False), _filter_options(twice=True)

threads_option = click.option(
    "-t", "--threads", type=click.IntRange(1), metavar="N", help="Threads in one picture.  [default: the cores]"
)


def make_recipe(
    kernel_specs: tuple[str, ...], *, limits: Limits, mask: str | None = None, auto_orient: bool = False, **options: Any
) -> Any:
    """The Recipe that -k, --mask and the filter options spell; a mask in a file is turned upright as pictures are."""
    from imgconv.recipe.options import Options

    if not kernel_specs and options.get("vary") is None:
        raise click.UsageError("Missing option '-k' / '--kernel' (or --vary with --mask).")
    if mask is not None:
        from imgconv.masks import is_shape, read_mask

        options["mask"] = mask if is_shape(mask) else read_mask(mask, limits, auto_orient=auto_orient)
    if kernel_specs:
        from imgconv.recipe.spelled import SpelledRecipe

        return SpelledRecipe(kernel_specs, Options(**options))
    from imgconv.recipe.recipe import Recipe

    return Recipe((), Options(**options))
