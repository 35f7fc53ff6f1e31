"""Where options come from when they are not on the command line: a recipe, variables, the user's config.toml.

The command line wins over the recipe, that over variables, those over config.toml. A recipe is whole: a setting that it
does not have is the default, whatever variables and config.toml say, so that it does the same everywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from imgconv.errors import ImgconvError, UsageError, nearest

RECIPE, CONFIG = "imgconv.recipe", "imgconv.config"  # in Context.meta: the file's name
LARGEST_FILE = 4 * 2**20  # bytes
LARGEST_CONFIG = 2**16
NEAREST = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)
EXCLUDES = {  # of apply's options, by their names in Context.params
    "kernels": ("vary",),
    "in_place": ("output", "out_dir", "form", "overwrite", "skip_existing", "newer", "watch"),
    "skip_existing": ("overwrite", "newer", "resume"),
    "newer": ("resume",),
    "cluster": ("most",),
}
KERNEL_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,200}")  # it becomes a part of files' names


class Setting(click.Option):
    """An option that decides what becomes of a picture, and so belongs in a recipe."""

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """None under a recipe, which is whole."""
        return None if RECIPE in ctx.meta else super().value_from_envvar(ctx)


setting = partial(click.option, cls=Setting)


class KernelType(click.ParamType):  # type: ignore[type-arg]  # takes them since Click 8.4
    """What -k takes: a text, which is made a kernel later; in a recipe also a table with weights."""

    name = "text"

    def split_envvar_value(self, rv: str) -> list[str]:
        """One kernel a line: a matrix has blanks."""
        return [line for line in rv.splitlines() if line.strip()]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text itself; what does not stand on the command line is looked at at once, so that its place is named."""
        if ctx is None or param is None or ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE:
            return value
        from imgconv.kernels.spec import kernels
        from imgconv.kernels.table import from_table

        try:
            if isinstance(value, dict):
                name = _kernel_name(value)
                return from_table({key: inner for key, inner in value.items() if key != "name"}, name)
            kernels(value)
        except (ValueError, ImgconvError) as problem:
            self.fail(str(problem), param, ctx)
        return value


class VaryType(click.ParamType):  # type: ignore[type-arg]  # as above
    """What --vary takes: a formula with a range; in a recipe also a table with the levels."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text itself, or the family."""
        if not isinstance(value, dict):
            return value
        from imgconv.kernels.family import from_table

        try:
            return from_table(value, _kernel_name(value))
        except (ValueError, ImgconvError) as problem:
            self.fail(str(problem), param, ctx)


def _kernel_name(table: dict[str, Any]) -> str:
    """Raises ValueError where the name in a table cannot be a part of files' names."""
    name = table.get("name", "kernel")
    if not isinstance(name, str) or not KERNEL_NAME.fullmatch(name):
        raise ValueError(f"name {str(name)[:40]!r} cannot be in a file's name")
    return name


class MaskType(click.Path):
    """What --mask takes; a recipe names a file with its SHA-256, so that it cannot be another one."""

    def __init__(self) -> None:
        super().__init__(readable=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The shape, or the file's name."""
        if not isinstance(value, dict):
            return super().convert(value, param, ctx)
        if set(value) != {"file", "sha256"} or not all(isinstance(inner, str) for inner in value.values()):
            self.fail('takes a shape, a file, or {file = "…", sha256 = "…"}', param, ctx)
        if file_sha256(value["file"]) != value["sha256"]:
            self.fail(f"{value['file']} is not the mask that the recipe was made with", param, ctx)
        return value["file"]


def file_sha256(name: str) -> str:
    """Of a file's content. Raises UsageError when it cannot be read."""
    from hashlib import file_digest

    from imgconv.arrayfile import opened

    with opened(Path(name), UsageError)[0] as file:
        return file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # BinaryIO has readinto


def key_of(option: click.Parameter) -> str:
    """What an option is called in files: its long name."""
    return max(option.opts, key=len).lstrip("-")


def config_path() -> str:
    """Where the user's config.toml lies, if there is one."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return os.path.join(base if os.path.isabs(base) else os.path.expanduser("~/.config"), "imgconv", "config.toml")


def configure(ctx: click.Context, path: str, commands: Iterable[str], color: click.Option) -> None:
    """Makes the user's config.toml the defaults of the command that is called; `ctx` is that of the group.

    Raises UsageError when the file cannot be read, or has a key or a value that makes no sense.
    """
    assert isinstance(ctx.command, click.Group)
    ctx.meta[CONFIG] = path
    table = _read(path, LARGEST_CONFIG)
    for key, value in table.items():
        if key != "color" and key not in commands:
            near = _near(key, commands) if isinstance(value, dict) else "; write [apply], then its options"
            raise UsageError(f"{path}: {key!r} is no command{near}")
        if key != "color" and not isinstance(value, dict):
            raise UsageError(f"{path}: {key} is a command; write [{key}], then its options")
    if "color" in table and ctx.get_parameter_source("color") is ParameterSource.DEFAULT:
        ctx.default_map = {"color": table["color"]}
        color.handle_parse_result(ctx, {}, [])
    name = str(ctx.invoked_subcommand)
    command = ctx.command.get_command(ctx, name)
    assert command is not None
    ctx.default_map = {name: _defaults(command, table.get(name, {}), f"{path}: [{name}]", Path(path).parent)}


def use_recipe(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
    """What --recipe does, before other options are looked at: the file's settings become defaults."""
    if path is not None and not ctx.resilient_parsing:
        put_in_force(ctx, _read(path, LARGEST_FILE), path, Path(path).parent)
    return path


def put_in_force(ctx: click.Context, table: Mapping[str, Any], name: str, folder: Path | None) -> None:
    """Makes a recipe's settings the defaults of a command, and those of variables and config.toml no longer any.

    Raises UsageError where a key or value makes no sense.
    """
    settings = {option.name for option in ctx.command.params if isinstance(option, Setting)}
    others = {key: value for key, value in (ctx.default_map or {}).items() if key not in settings}
    ctx.default_map = others | _defaults(ctx.command, table, name, folder, recipe=True)
    ctx.meta[RECIPE] = name


def give_way(ctx: click.Context) -> None:
    """Of options that exclude each other, those that are given nearest hold: what config.toml says can be undone."""
    pairs = [(one, other) for one, others in EXCLUDES.items() for other in others]
    pairs += [("output", "out_dir")] * (ctx.params.get("output") == "-")
    for pair in pairs:
        sources = [ctx.get_parameter_source(name) for name in pair if ctx.params.get(name)]
        if len(sources) == 2 and sources[0] is not sources[1] and set(sources) <= set(NEAREST):
            weaker = pair[sources.index(max(sources, key=NEAREST.index))]
            ctx.params[weaker] = {tuple: (), bool: False}.get(type(ctx.params[weaker]))
            ctx.set_parameter_source(weaker, ParameterSource.DEFAULT)


def _read(path: str, limit: int) -> dict[str, Any]:
    from imgconv.arrayfile import read_bytes
    from imgconv.kernels.table import table_of

    data = read_bytes(Path(path), limit, UsageError)
    try:
        return table_of(data)
    except ValueError as problem:
        raise UsageError(f"{path}: {problem}") from None


def _defaults(
    command: click.Command, table: Mapping[str, Any], where: str, folder: Path | None, *, recipe: bool = False
) -> dict[str, Any]:
    """A table of options by their long names as what Click takes for defaults; files are looked for in the folder."""
    options = {key_of(option): option for option in command.params if isinstance(option, click.Option)}
    opposites = {name.lstrip("-"): option for option in options.values() for name in option.secondary_opts}
    known = [key for key, option in options.items() if isinstance(option, Setting) or not recipe]
    inner = command.commands if isinstance(command, click.Group) else {}
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        if key in inner and isinstance(value, dict):
            defaults[key] = _defaults(inner[key], value, f"{where[:-1]}.{key}]", folder)
            continue
        word = key.replace("_", "-")
        option = options.get(word) or opposites.get(word)
        if word == "color":
            raise UsageError(f"{where}: color is for all commands; it stands above the first of them")
        if option is None or option.name is None:
            what = "setting" if recipe else "option"
            raise UsageError(f"{where}: {key[:40]!r} is no {what} of {command.name}{_near(word, known)}")
        if recipe and not isinstance(option, Setting):
            raise UsageError(
                f"{where}: {key} does not decide what a picture becomes, so it is no part of a recipe;"
                " it belongs on the command line or into config.toml"
            )
        try:
            spelled = _spelled(option, value, folder)
        except ValueError as problem:
            raise UsageError(f"{where}: {key} takes {problem}") from None
        defaults[option.name] = not spelled if word in opposites else spelled
    return defaults


def _near(word: str, known: Iterable[str]) -> str:
    return f"; did you mean {near}?" if (near := nearest(word, known)) else ""


def _spelled(option: click.Option, value: Any, folder: Path | None) -> Any:
    """A value of TOML as the command line spells it. Raises ValueError with what would be right."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise ValueError(f"true or false, not {_short(value)}")
        return value
    if option.name == "encoder" and isinstance(value, dict):
        return [f"{key}={_word(inner)}" for key, inner in value.items()]
    if option.multiple:
        return [_found(option, item, folder) for item in (value if isinstance(value, list) else [value])]
    if isinstance(value, list) and value:
        return ",".join(map(_word, value))
    return _found(option, value, folder)


def _found(option: click.Option, value: Any, folder: Path | None) -> Any:
    """One word; a kernel's or a mask's file from the folder of the file that names it."""
    if option.name == "mask":
        from imgconv.masks import is_shape

        if isinstance(value, dict) and isinstance(value.get("file"), str) and folder:
            return value | {"file": str(folder / value["file"])}
        if isinstance(value, str) and is_shape(value):
            return value
    if isinstance(value, dict) and option.name in ("mask", "kernels", "vary"):
        return value
    if option.name == "kernels" and folder and isinstance(value, str):
        from imgconv.kernels.spec import names_file

        return str(folder / value) if names_file(value) else _word(value)
    return str((folder or Path()) / _word(value)) if option.name in ("mask", "recipe") else _word(value)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float) or "\0" in str(value):
        raise ValueError(f"a word or a number, not {_short(value)}")
    return repr(value) if isinstance(value, float) else str(value)


def _short(value: Any) -> str:
    kinds = {dict: "a table", list: "a list", bool: str(value).lower()}
    return kinds.get(type(value)) or repr(value)[:40]


def origin(ctx: click.Context, option: click.Option) -> str:
    """Where an option's value is from; "" for its default."""
    source = ctx.get_parameter_source(option.name or "")
    if source is ParameterSource.COMMANDLINE:
        return "command line"
    if source is ParameterSource.ENVIRONMENT:
        return f"variable {option.envvar}"
    if source is not ParameterSource.DEFAULT_MAP:
        return ""
    recipe = RECIPE in ctx.meta and isinstance(option, Setting)
    return f"recipe {ctx.meta[RECIPE]}" if recipe else f"config {ctx.meta[CONFIG]}"


def origins(ctx: click.Context) -> dict[str, str]:
    """Where the value of every option is from that is not its default, by the option's long name."""
    options = [option for option in ctx.command.params if isinstance(option, click.Option)]
    return {key_of(option): where for option in options if (where := origin(ctx, option))}


def placed_error(problem: click.BadParameter) -> click.UsageError:
    """The error, with the place of a value that does not stand on the command line."""
    ctx, option = problem.ctx, problem.param
    where = origin(ctx, option) if ctx and isinstance(option, click.Option) else ""
    if where in ("", "command line") or not option:
        return problem
    kind, _, name = where.partition(" ")
    place = where if kind == "variable" else f"{name}: {key_of(option)}"
    return click.UsageError(f"{place}: {problem.message}", ctx)


def given_lines(ctx: click.Context) -> Iterator[str]:
    """For --explain: every option that is given, with its value and where that is from."""
    from imgconv.batch.remote import hidden

    for option in ctx.command.params:
        if isinstance(option, click.Option) and option.name in ctx.params and (where := origin(ctx, option)):
            given = ctx.params[option.name]
            shown = _shown(option.default if given is None else given)  # all frames, as many jobs as pay
            value = "" if option.callback else f" {hidden(shown)}"
            yield f"{key_of(option)}{value}: {where}"


def _shown(value: Any) -> str:
    if type(value) in (tuple, list, frozenset):
        return ",".join(map(_shown, sorted(value) if isinstance(value, frozenset) else value))
    return str(value).lower() if isinstance(value, bool) else str(getattr(value, "name", value))
