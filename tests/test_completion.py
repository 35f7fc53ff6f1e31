"""Completion, in the real shells: a line is typed with the tab key, and what the command is then given is looked at."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from makers import imgconv

from imgconv.cli import cli

# what is typed, and what it becomes
LINE = [
    ("app\t", "apply"),
    ("pho\t", "photo.png"),
    ("-k edge_enhance_m\t", "-k edge_enhance_more"),
    ("-k gabo\t", "-k gabor"),
    ("-k min\t", "-k mine.toml"),
    ("--border sym\t", "--border symmetric"),
    ("--like ndi\t", "--like ndimage"),
    ("--format web\t", "--format webp"),
    ("--mode conv\t", "--mode convolve"),
    ("--overw\t", "--overwrite"),
    ("-o resu\t", "-o result.png"),
]
TYPED = " ".join(["imgconv", *(typed for typed, _ in LINE)])
GIVEN = " ".join(given for _, given in LINE)


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photo.png", "result.png", "mine.toml"):
        Path(name).touch()
    Path("bin").mkdir()
    stub = Path("bin/imgconv")
    stub.write_text(
        f'#!/bin/sh\n[ -n "$_IMGCONV_COMPLETE" ] && exec {sys.executable} -m imgconv "$@"\n'
        f'echo "$@" > {tmp_path}/given.part; mv {tmp_path}/given.part {tmp_path}/given\n'
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("TERM", "dumb")


def typed(command: list[str], **environment: str) -> str:
    """What the command is given when the line is typed into a shell on a terminal of its own."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **environment}, start_new_session=True
    ) as shell:
        os.close(theirs)
        os.set_blocking(ours, False)
        seen, sent, until = b"", False, time.monotonic() + 100
        while not Path("given").exists() and time.monotonic() < until and shell.poll() is None:
            try:
                seen += os.read(ours, 4096)
            except BlockingIOError:
                time.sleep(0.02)
            if not sent and b"ready>" in seen:
                os.write(ours, TYPED.replace("\t ", "\t").encode() + b"\n")
                sent = True
        shell.kill()
    os.close(ours)
    assert Path("given").exists(), seen.decode(errors="replace")
    return " ".join(Path("given").read_text().split())


def needs(shell: str) -> str:
    return shutil.which(shell) or pytest.skip(f"{shell} is not installed")


def test_bash():
    shell = needs("bash")
    Path("rc").write_text(f"PS1='ready>'\n{imgconv('completion', 'bash').stdout}")
    assert typed([shell, "--noprofile", "--rcfile", "rc", "-i"]) == GIVEN


def test_zsh(tmp_path):
    shell = needs("zsh")
    script = imgconv("completion", "zsh").stdout
    Path(".zshrc").write_text(
        f"PS1='ready>'\nunsetopt zle_bracketed_paste\nautoload -U compinit; compinit -u -D\n{script}"
    )
    assert typed([shell, "-i", "-d"], ZDOTDIR=str(tmp_path)) == GIVEN


def test_fish():
    shell = needs("fish")
    Path("imgconv.fish").write_text(imgconv("completion", "fish").stdout)
    line, asked = "imgconv", ""
    some = [LINE[0], LINE[1], LINE[3], LINE[5], LINE[-1]]  # each asks the command anew
    for word, given in some:
        asked += f"complete -C '{line} {word.strip()}' | string replace -r '\\t.*' '' | string join ' '\n"
        line += f" {given}"
    home = {"HOME": os.getcwd(), "XDG_CONFIG_HOME": os.getcwd(), "XDG_DATA_HOME": os.getcwd()}
    done = subprocess.run(
        [shell, "--no-config", "-c", f"source imgconv.fish\n{asked}true"],
        capture_output=True, text=True, check=True, env={**os.environ, **home},
    )  # fmt: skip
    found = [line.split() for line in done.stdout.splitlines()]
    for (_, given), words in zip(some, found, strict=True):
        assert given.split()[-1] in words, (given, words)
        assert len(words) <= 2, words


def offered(*words: str) -> list[str]:
    """What the command itself offers, whatever the shell, in place of the last word."""
    found = BashComplete(cli, {}, "imgconv", "_IMGCONV_COMPLETE").get_completions(list(words[:-1]), words[-1])
    return [item.value if item.type == "plain" else f"{item.type}:" for item in found]


@pytest.mark.parametrize(
    "words",
    ["apply", "apply -k blur a.png -o", "apply --mask", "apply --recipe", "apply --save-recipe", "compare", "fit",
     "fit -o", "match", "match a.png blur", "replay", "replay a.png", "kernels convert -o"],
)  # fmt: skip
def test_files_are_completed(words):
    assert offered(*words.split(), "") == ["file:"]
    assert offered(*words.split(), "none/") == ["file:"]


@pytest.mark.parametrize("words", ["apply -k", "compare -k", "match a.png", "kernels show", "kernels convert"])
def test_kernels_are_completed(words):
    assert {"blur", "gaussian", "mine.toml"} <= set(offered(*words.split(), ""))
    assert offered(*words.split(), "edge-enhance-m") == ["edge_enhance_more"]


def test_other_words_are_completed():
    assert offered("apply", "--out-dir", "") == ["dir:"]
    assert offered("apply", "--co", "qual") == ["quality="]
    assert offered("apply", "--metadata", "ic") == ["icc"]
    assert offered("apply", "--anchor", "h") == ["high"]
    assert {"png", "npy"} <= set(offered("apply", "--format", ""))
    assert offered("apply", "--unknown", "a.png", "-k", "edge_enhance_m") == ["edge_enhance_more"]
