"""imgconv completion: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click

from imgconv.cli.help import Help


@click.command(cls=Help)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    imgconv completion bash > ~/.local/share/bash-completion/completions/imgconv
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "imgconv", "_IMGCONV_COMPLETE").source())
