"""A recipe written down: the settings of a command as a TOML file that does the same everywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from imgconv import __version__
from imgconv.cli.options import check_free
from imgconv.cli.sources import LARGEST_FILE, Setting, file_sha256, key_of, origin
from imgconv.errors import UsageError, WriteError
from imgconv.formats.table import parse_encoder_options


def save_recipe(ctx: click.Context, path: str, *, overwrite: bool) -> None:
    """Writes what is in force as a recipe file. Raises UsageError when it cannot be written."""
    from imgconv.formats.place import placed, put

    parse_encoder_options(ctx.params["encoder"])
    check_free(path, overwrite=overwrite)
    text = recipe_text(ctx, Path(path).parent).encode()
    if len(text) > LARGEST_FILE:
        raise UsageError(f"{path}: would take {len(text):,} bytes, more than the {LARGEST_FILE:,} that are read")
    try:
        with placed(Path(path), overwrite=overwrite) as file:
            put(file, text)
    except WriteError as problem:
        raise UsageError(str(problem)) from None


def embedded(ctx: click.Context) -> tuple[str, str]:
    """What --embed puts into a result: the recipe with all weights, and the versions that it was made with."""
    text = recipe_text(ctx)
    if len(text) > LARGEST_FILE:
        raise UsageError(f"--embed: the recipe takes {len(text):,} bytes, more than the {LARGEST_FILE:,} that are read")
    return text, ", ".join(f"{name} {version}" for name, version in versions().items())


def key(ctx: click.Context, recipe: Any) -> str:
    """What tells this recipe from others, in a journal."""
    from imgconv.native.kept import sha256

    return sha256(recipe_text(ctx, tables=getattr(recipe, "tables", "")).encode())[:16]


def versions() -> dict[str, str]:
    """Of imgconv, and of what it stands on where bytes could depend on it."""
    from importlib.metadata import version
    from platform import python_version

    return {"imgconv": __version__, "python": python_version()} | {name: version(name) for name in ("numpy", "pillow")}


def recipe_text(ctx: click.Context, folder: Path | None = None, tables: str = "") -> str:
    """The settings of a command that are not defaults, as TOML.

    Kernels from files are written with their weights, and a mask in a file is named with its SHA-256. Without a
    `folder`, in which the recipe will lie, all kernels have their weights, and a mask's file only its name; the kernels
    may be `tables` already.
    """
    from imgconv.kernels.text import toml_value

    lines, all_tables = "", ""
    for option in ctx.command.params:
        value = ctx.params.get(option.name or "")
        if isinstance(option, Setting) and origin(ctx, option) and value is not None:  # all frames, the default
            weights = tables if option.name == "kernels" else ""
            weights = weights or _weights(option, value, inline=folder is None)
            all_tables += weights
            lines += "" if weights else f"{key_of(option)} = {toml_value(_as_toml(option, value, folder))}\n"
    return lines + all_tables


def _weights(option: click.Option, value: Any, *, inline: bool) -> str:
    """Kernels as tables with weights, where they are to have them or a word would not name them elsewhere; else ""."""
    from imgconv.kernels.spec import kernels, names_file
    from imgconv.kernels.text import plain_tables, toml_tables

    if option.name == "vary" and (inline or not isinstance(value, str)):
        from imgconv.kernels.family import family
        from imgconv.kernels.family import toml_text as family_text

        return family_text(family(value) if isinstance(value, str) else value)
    if option.name != "kernels" or not (inline or any(not isinstance(spec, str) or names_file(spec) for spec in value)):
        return ""
    found = [kernel for spec in value for kernel in kernels(spec)]
    return plain_tables(found) if inline else toml_tables(found)


def _as_toml(option: click.Option, value: Any, folder: Path | None) -> Any:
    """A setting's value in the types that TOML has."""
    if option.name == "mask":
        from imgconv.masks import is_shape

        if is_shape(value):
            return value
        name = os.path.basename(value)
        if folder is not None:  # beside the recipe, both can go elsewhere together
            path, beside = os.path.abspath(value), os.path.abspath(folder)
            name = os.path.relpath(path, beside) if Path(path).is_relative_to(beside) else path
        return {"file": name, "sha256": file_sha256(value)}
    if option.name == "encoder":
        pairs = (pair.partition("=") for pair in value)
        return {key.strip().lower(): _typed(text.strip()) for key, _, text in pairs}
    if isinstance(value, frozenset):
        return sorted(value) or "none"
    return value


def _typed(text: str) -> Any:
    return int(text) if text.isascii() and text.isdigit() else {"true": True, "false": False}.get(text, text)
