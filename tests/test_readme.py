"""The README names every command and shows what is true."""

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import imgconv
from imgconv.cli import COMMANDS
from imgconv.conventions import LIKES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_named(command):
    assert f"imgconv {command}" in README


def test_every_convention_and_public_name_is_named():
    for like in LIKES:
        assert f"`{like}`" in README
    for name in imgconv.__all__:
        if inspect.isfunction(getattr(imgconv, name)) or name == "PillowFilter":
            assert f"imgconv.{name}(" in README or f"{name}()" in README


def shown():
    """(folder, command, what it prints) of every example whose output is shown."""
    folder = ""
    for block in re.findall(r"```sh\n(\$ .*?)```", README, re.DOTALL):
        for part in block.strip().removeprefix("$ ").split("\n$ "):
            command, _, output = part.partition("\n")
            if command.startswith("cd "):
                folder = command[3:]
            else:
                yield folder, command, output


def test_the_examples_print_what_they_show(tmp_path):
    shutil.copytree(ROOT / "samples", tmp_path / "samples", ignore=shutil.ignore_patterns("*.png", "*.jpg"))
    checked = 0
    for folder, command, output in shown():
        if "photo.png" in command:
            continue
        done = subprocess.run(
            command.replace("imgconv", f"{sys.executable} -m imgconv", 1),
            shell=True, cwd=tmp_path / folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        if output:
            assert done.stdout.startswith(output.strip()), command
            checked += 1
    assert checked >= 4
