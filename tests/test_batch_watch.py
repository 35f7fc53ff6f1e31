"""Waiting for inputs: what is complete is done once, what changes again, and results never."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from makers import noise, saved
from PIL import Image
from test_cli import quick

from imgconv.batch import watch
from imgconv.batch.inputs import find_inputs
from imgconv.batch.targets import Targets
from imgconv.errors import UsageError

pytest.importorskip("watchfiles")
LATEST_S = 30.0  # nothing here takes so long


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seconds in (("STILL_S", 0.2), ("LOOK_S", 0.05), ("SETTLE_S", 0.3)):
        monkeypatch.setattr(watch, name, seconds)
    Path("in").mkdir()


@pytest.fixture
def given():
    """What is given, set by set."""
    stop = threading.Event()
    timer = threading.Timer(LATEST_S, stop.set)
    timer.start()

    def rounds(*names):
        for _, ready in watch.watched(names, lambda: find_inputs(names, Targets(), True), stop):
            yield {str(path) for path in ready}

    yield rounds
    timer.cancel()


def later(*steps):
    """Does steps in a thread, with a moment between two of them."""

    def work():
        for step in steps:
            time.sleep(0.12)
            step()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def append(name, data=b"x"):
    def step():
        with open(name, "ab") as file:
            file.write(data)

    return step


def gathered(rounds, count):
    """The next `count` names that are given, in any grouping."""
    names = []
    while len(names) < count:
        names += next(rounds)
    return sorted(names)


def test_first_what_is_there_and_then_what_appears_or_changes(given):
    append("in/a.png")()
    append("in/notes.md")()
    rounds = given("in")
    assert next(rounds) == {"in/a.png"}
    later(append("in/b.png"))
    assert next(rounds) == {"in/b.png"}
    later(append("in/a.png"), lambda: os.replace("in/b.png", "in/c.png"))
    assert gathered(rounds, 2) == ["in/a.png", "in/c.png"]


def test_a_file_that_is_being_written_is_given_once_when_it_is_complete(given):
    rounds = given("in")
    writing = later(*[append("in/a.png")] * 8)
    assert next(rounds) == {"in/a.png"}
    writing.join(0.05)
    assert Path("in/a.png").read_bytes() == b"x" * 8
    later(append("in/b.png"))
    assert next(rounds) == {"in/b.png"}


def test_what_lies_in_a_folder_that_has_just_been_made_is_seen(given):
    rounds = given("in")

    def make():
        Path("in/x/y/z").mkdir(parents=True)
        for name in ("in/x/a.png", "in/x/y/z/b.png"):
            append(name)()

    later(make)
    assert gathered(rounds, 2) == ["in/x/a.png", "in/x/y/z/b.png"]


def test_a_named_file_is_seen_again_when_it_is_replaced(given):
    rounds = given("in/a.png")
    later(append("in/other.png"), append("in/a.png"))
    assert next(rounds) == {"in/a.png"}
    append("in/b.png", b"yy")()
    later(lambda: os.replace("in/b.png", "in/a.png"))
    assert next(rounds) == {"in/a.png"}


@pytest.mark.parametrize("name", ["-", "s3://bucket/in", "none/a.png"])
def test_what_cannot_be_watched_is_refused(given, name):
    with pytest.raises(UsageError):
        next(given(name))


def test_stopping_ends_it(given):
    stop = threading.Event()
    later(stop.set)
    assert list(watch.watched(["in"], lambda: find_inputs(["in"], Targets(), True), stop)) == []


# the command


class Watching:
    """`imgconv apply in -r --watch` as a process, and the lines that it prints."""

    def __init__(self, *words):
        words = [sys.executable, "-u", "-m", "imgconv", "apply", "in", "-r", "--watch", "-k", "identity", *words]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        assert self.process.stderr.readline() == "imgconv: watching; Ctrl-C ends it\n"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self):
        return json.loads(self.process.stdout.readline())

    def ended(self, number):
        self.process.send_signal(number)
        out, said = self.process.communicate(timeout=LATEST_S)
        return self.process.returncode, out, said


def picture(name, seed):
    Path(name).write_bytes(saved(Image.fromarray(noise(12, 16, 3, seed=seed)), "PNG"))


def test_watching_does_what_is_there_and_what_comes_until_interrupted():
    picture("in/a.png", 1)
    Path("in/bad.png").write_bytes(b"bad")
    with Watching("--out-dir", "in/out", "--json") as watching:
        assert [(line["input"], line["status"]) for line in (watching.line(), watching.line())] == [
            ("in/a.png", "done"),
            ("in/bad.png", "failed"),
        ]
        Path("in/x").mkdir()
        picture("in/x/b.png", 2)
        assert watching.line()["output"] == "in/out/x/b.identity.png"
        picture("in/bad.png", 3)  # is tried again when it changes
        assert watching.line()["status"] == "done"
        picture("in/a.png", 4)
        assert watching.line()["input"] == "in/a.png"
    with Image.open("in/out/a.identity.png") as image:
        assert np.array_equal(np.asarray(image), noise(12, 16, 3, seed=4))
    assert sorted(name for name in os.listdir("in/out") if name[0] != ".") == [
        "a.identity.png",
        "bad.identity.png",
        "x",
    ]


def test_ctrl_c_ends_the_waiting_with_0():
    with Watching() as watching:
        assert watching.ended(signal.SIGINT) == (0, "", "")


def test_results_beside_their_inputs_are_not_watched():
    picture("in/a.png", 1)
    with Watching("--json") as watching:
        assert watching.line()["output"] == "in/a.identity.png"
        time.sleep(1.5)  # it would be done by then
        picture("in/b.png", 2)
        assert watching.line()["output"] == "in/b.identity.png"
        assert watching.ended(signal.SIGTERM)[0] == 143
    with Watching("--json", "--skip-existing") as watching:  # what is there already is left
        assert [watching.line()["status"] for _ in range(4)] == ["passed over"] * 2 + ["skipped"] * 2


@pytest.mark.parametrize("words", [["--in-place"], ["-o", "-", "--format", "png"], ["-o", "{dir}/{index:03}.png"]])
def test_watching_refuses_what_would_never_end(words):
    picture("in/a.png", 1)
    status, _, said = quick("apply", "in", "-r", "--watch", "-k", "blur", *words)
    assert (status, said.count("\n")) == (2, 1)
    assert said.startswith("--watch")


@pytest.mark.parametrize(("name", "says"), [("in", "pip install 'imgconv[watch]'"), ("-", "cannot be watched")])
def test_what_cannot_be_watched_is_all_that_is_said(name, says, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    status, _, said = quick("apply", name, "-r", "--watch", "-k", "blur", "--out-dir", "out")
    assert (status, said.count("\n")) == (2, 1)
    assert says in said


def test_names_that_clash_are_said_and_the_watching_goes_on():
    picture("in/a.png", 1)
    with Watching("--json", "-o", "{dir}/out/{stem}.png", "--out-dir", "done") as watching:
        assert watching.line()["output"] == "done/out/a.png"
        Path("in/a.jpg").write_bytes(Path("in/a.png").read_bytes())
        assert "would both be written" in watching.process.stderr.readline()
        Path("in/a.jpg").unlink()
        picture("in/b.png", 1)
        assert watching.line()["output"] == "done/out/b.png"


# --watch-kernel


def test_a_kernel_is_applied_again_whenever_its_file_changes():
    Path("a.txt").write_text("1 2\n3 4\n")
    Path("k.txt").write_text("1\n")
    words = [sys.executable, "-u", "-m", "imgconv", "apply", "a.txt", "-k", "./k.txt", "-o", "b.txt", "--watch-kernel"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(LATEST_S, process.kill)
        timer.start()
        for text, expected in (("", [[1, 2], [3, 4]]), ("3\n", [[3, 6], [9, 12]]), ("5\n", [[5, 10], [15, 20]])):
            if text:
                Path("k.txt").write_text(text)
            assert process.stdout.readline().startswith("a.txt → b.txt   ")
            assert np.loadtxt("b.txt").tolist() == expected
            if not text:
                assert process.stderr.readline() == "imgconv: watching ./k.txt; Ctrl-C ends it\n"
        Path("k.txt").write_text("no kernel\n")
        assert "k.txt" in process.stderr.readline()
        Path("new.txt").write_text("7\n")
        os.replace("new.txt", "k.txt")  # as editors do
        assert process.stdout.readline()
        assert np.loadtxt("b.txt").tolist() == [[7, 14], [21, 28]]
        process.send_signal(signal.SIGINT)
        assert process.wait(LATEST_S) in (0, 130)  # the latter where it comes before all of a run has ended
        timer.cancel()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-k", "blur"], "needs a kernel in a file"), (["-k", "k.txt", "-o", "-"], "takes neither --in-place"),
        (["-k", "k.txt", "--watch"], "do not go together"),
        (["-k", "k.txt", "--report", "r.html"], "do not go together"),
        (["-", "-k", "k.txt"], "standard input do not go together"),
    ],
)  # fmt: skip
def test_watching_a_kernel_refuses_what_makes_no_sense(words, says):
    picture("in/a.png", 1)
    Path("k.txt").write_text("1\n")
    status, _, said = quick("apply", "in/a.png", "--watch-kernel", *words)
    assert (status, said.count("\n")) == (2, 1)
    assert says in said
    assert not Path("in/a.k.png").exists()
