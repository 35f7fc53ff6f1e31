"""The README names every command and shows what is true."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import imgconv
from imgconv.cli import COMMANDS
from imgconv.conventions import LIKES, METHODS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_named(command):
    assert f"imgconv {command}" in README


def test_every_convention_and_public_name_is_named():
    for like in LIKES:
        assert f"`{like}`" in README
    for name in ("correlate", "convolve", "apply", "kernel", "PillowFilter"):
        assert f"imgconv.{name}(" in README or f"{name}()" in README
        assert hasattr(imgconv, name)
    assert "direct" in METHODS


def shown():
    """(folder, command, what it prints) of every example whose output is shown."""
    for block in re.findall(r"```sh\n(\$ .*?)```", README, re.DOTALL):
        folder = ROOT
        for part in block.strip().removeprefix("$ ").split("\n$ "):
            command, _, output = part.partition("\n")
            if command.startswith("cd "):
                folder = ROOT / command[3:]
            yield folder, command, output


def test_the_examples_print_what_they_show(tmp_path):
    checked = 0
    made = {"samples": tmp_path}
    for name in ("scipy_keras_8x8.txt", "scipy_keras_kernel_3x3.txt", "channels_2x2x3.npy", "channels_kernel_hwio.npy"):
        (tmp_path / name).write_bytes((ROOT / "samples" / name).read_bytes())
    for folder, command, output in shown():
        if command.startswith("cd ") or "photo.png" in command:
            continue
        where = made["samples"] if folder == ROOT and "samples/" not in command else folder
        done = subprocess.run(
            command.replace("imgconv", f"{sys.executable} -m imgconv", 1),
            shell=True, cwd=where, capture_output=True, text=True, check=True,
        )  # fmt: skip
        if output:
            assert done.stdout.startswith(output.strip()), command
            checked += 1
    assert checked >= 4
