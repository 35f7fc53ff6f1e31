"""Inputs: lists, patterns, folders, and results that would meet where names are one to a file system only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from makers import imgconv, noise, saved
from PIL import Image

from imgconv.batch import inputs
from imgconv.batch import targets as targets_module
from imgconv.batch.inputs import Patterns, find_inputs, listed_in
from imgconv.batch.targets import Targets, is_skipped, make_jobs
from imgconv.errors import UsageError

TREE = ("a.png", "b.jpg", "x/a.png", "x/raw/c.png", "raw/d.png", "x/y/raw.png", "x y/[e].png", "x/y/z/f.PNG")


@pytest.fixture(autouse=True)
def _in_tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = saved(Image.fromarray(noise(6, 7, 3)), "PNG")
    for name in TREE:
        Path("tree", name).parent.mkdir(parents=True, exist_ok=True)
        Path("tree", name).write_bytes(data)


def found(include=(), exclude=()):
    met = find_inputs(["tree"], Targets(), True, Patterns(include, exclude))
    assert len(met.files) + len(met.unwanted) >= len(TREE) - 3
    return {name.removeprefix("tree/") for name, _ in met.files}


def made(*names, **targets):
    given = Targets(**targets)
    return make_jobs(find_inputs(names, given, True).files, "blur", given)[0]


# patterns


@pytest.mark.parametrize(
    "pattern",
    ["*.png", "raw", "raw/", "/raw", "/raw/", "x/raw", "x/*", "x/**", "**/raw", "x/**/c.png", "**/c.png", "*", "?.png",
     "[ab].*", "[!a].png", "x/?/raw.png", "x?raw", "x*c.png", "/a.png", "x/y/", "*.PNG", r"\[e\].png", "x y", "nothing",
     "x/**/*.png", "**/y/**", "[a/]*", "[]a]*.jpg"],
)  # fmt: skip
@pytest.mark.skipif(shutil.which("git") is None, reason="git is the oracle")
def test_excluding_is_what_git_ignores(pattern):
    ours = pattern.replace(r"\[", "[[]").replace(r"\]", "]")
    subprocess.run(["git", "init", "-q", "tree"], check=True)
    shutil.rmtree("tree/.git/hooks", ignore_errors=True)
    Path("tree/.gitignore").write_text(f"{pattern}\n")
    asked = subprocess.run(
        ["git", "-C", "tree", "check-ignore", "-z", "--stdin"],
        input="\0".join(TREE), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.stderr == ""
    ignored = {name for name in asked.stdout.split("\0") if name}
    assert found(exclude=[".git", ours]) == set(TREE) - ignored


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.{jpg,PNG}"], [], {"b.jpg", "x/y/z/f.PNG"}),
        (["*.jpg", "raw/*"], [], {"b.jpg", "raw/d.png"}),
        (["raw/"], [], {"raw/d.png", "x/raw/c.png"}),
        (["x/**"], ["raw", "{y,q}"], {"x/a.png"}),
        (["*.gif"], [], set()),
        ([], ["", "/"], set(TREE)),
    ],
)
def test_what_is_included_and_not_excluded_is_an_input(include, exclude, expected):
    assert found(include, exclude) == expected


def test_an_excluded_folder_is_not_walked(monkeypatch):
    seen, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: seen.append(folder) or scandir(folder))
    met = find_inputs(["tree"], Targets(), True, Patterns(exclude=["x"]))
    assert "tree/x/y" not in seen
    assert met.unwanted == ["tree/x"]


def test_patterns_hold_for_inputs_that_were_named_too():
    met = find_inputs(["./tree/a.png", "tree/b.jpg", "-"], Targets(), False, Patterns(["tree/*"], ["a.*"]))
    assert (met.files, met.unwanted) == ([("tree/b.jpg", ""), ("-", "")], ["./tree/a.png"])


def test_what_is_left_out_is_counted():
    words = ("apply", "-r", "tree", "-k", "blur", "-n", "--include", "*.jpg", "--exclude", "x*")
    done = imgconv(*words)
    assert (done.returncode, done.stdout) == (0, "tree/b.jpg → tree/b.blur.jpg\n")
    assert done.stderr == "imgconv: 4 files left out by --include or --exclude\n"
    lines = [json.loads(line) for line in imgconv(*words, "--json").stdout.splitlines()]
    assert [line["status"] for line in lines] == ["passed over"] * 4 + ["planned"]
    done = imgconv("apply", "-r", "tree", "-k", "blur", "--include", "*.gif")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no pictures in tree (0 files of other kinds, 8 left out as asked)" in done.stderr


# lists


def test_a_list_has_a_line_or_a_nul_for_each_name():
    Path("list").write_bytes(b"a.png\r\n\nb b.png\n\xff.png\n-x.png")
    assert listed_in("list", nul=False) == ["a.png", "b b.png", os.fsdecode(b"\xff.png"), "-x.png"]
    Path("list").write_bytes(b"a\nb.png\0c.png\0")
    assert listed_in("list", nul=True) == ["a\nb.png", "c.png"]
    with pytest.raises(UsageError, match="NUL characters; -0"):
        listed_in("list", nul=False)
    with pytest.raises(UsageError, match="--files-from none: no such file"):
        listed_in("none", nul=False)


def test_what_has_no_end_is_neither_a_list_nor_a_picture(monkeypatch):
    monkeypatch.setattr(inputs, "LARGEST_LIST", 20)
    with pytest.raises(UsageError, match="--files-from /dev/zero: has more than 20 bytes, which is no list of files"):
        listed_in("/dev/zero", nul=True)
    with open("/dev/zero", "rb") as endless:
        done = imgconv("apply", "-", "-k", "blur", "-o", "x.png", "--memory", "20M", stdin=endless)
    says = "imgconv: standard input: more than 20,971,520 bytes; --memory takes more\n"
    assert (done.returncode, done.stderr) == (1, says)


def test_inputs_come_from_arguments_and_a_list():
    out = ("-k", "identity", "--out-dir", "out")
    done = imgconv("apply", "tree/a.png", "--files-from", "-", "-0", *out, input="tree/b.jpg\0tree/raw\0")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    done = imgconv("apply", "tree/a.png", "--files-from", "-", "-0r", *out, input="tree/b.jpg\0tree/raw\0")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(name for name in os.listdir("out") if name[0] != ".") == [
        "a.identity.png",
        "b.identity.jpg",
        "d.identity.png",
    ]
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["tree/a.png", "tree/b.jpg", "tree/raw/d.png"]


@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [
        ([], "", "Missing argument 'INPUT...' (or --files-from)"),
        (["a.png", "-0"], "", "--files-from"),
        (["-", "--files-from", "-"], "", "standard input"),
        (["--files-from", "-"], "", "no pictures in -"),
        (["--files-from", "-"], "tree/a.png\n./tree/a.png\n", "given twice"),
        (["--files-from", "."], "", "is a directory"),
    ],
)
def test_lists_that_make_no_sense_are_refused(words, stdin, told):
    done = imgconv("apply", *words, "-k", "blur", input=stdin)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert told in done.stderr


# newer


def test_newer_does_what_is_newer_than_its_result_or_has_none():
    words = ("apply", "-r", "tree", "-k", "identity", "--out-dir", "out", "--newer", "--json")

    def statuses():
        lines = map(json.loads, imgconv(*words).stdout.splitlines())
        return {line["input"].removeprefix("tree/"): line["status"] for line in lines}

    assert set(statuses().values()) == {"done"}
    assert set(statuses().values()) == {"skipped"}
    os.utime("tree/b.jpg", ns=(0, os.stat("out/b.identity.jpg").st_mtime_ns + 1))
    Path("out/x/a.identity.png").unlink()
    Path("out/a.identity.png").write_bytes(b"old")
    os.utime("out/a.identity.png", (0, 0))
    assert {name for name, status in statuses().items() if status == "done"} == {"b.jpg", "x/a.png", "a.png"}
    assert Path("out/a.identity.png").read_bytes() != b"old"


def test_newer_goes_with_overwriting_but_not_with_leaving():
    made("tree/a.png", newer=True, overwrite=True)
    for other in ("in_place", "skip_existing"):
        with pytest.raises(UsageError, match="exclude each other"):
            made("tree/a.png", newer=True, **{other: True})
    (job,) = made("tree/none.png", newer=True)
    assert not is_skipped(job, Targets(newer=True))


# clashes


@pytest.fixture
def _ignoring_case(monkeypatch):
    """As a file system does that takes A for a, and é for e with an accent."""
    from unicodedata import normalize

    lexists = os.path.lexists

    def seen(path):
        folder, name = os.path.split(path)
        listed = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        return lexists(path) or normalize("NFD", name).casefold() in {
            normalize("NFD", each).casefold() for each in listed
        }

    monkeypatch.setattr(targets_module.os.path, "lexists", seen)


PAIRS = [
    ("A.png", "a.png"),
    ("\xe9.png", "e\u0301.png"),
    ("p/A/x.png", "p/a/x.png"),
    ("p/\xc9/x.png", "p/e\u0301/X.png"),
]


@pytest.mark.usefixtures("_ignoring_case")
@pytest.mark.parametrize("names", PAIRS)
@pytest.mark.parametrize("there", [False, True])
def test_names_that_a_file_system_takes_for_one_clash(names, there):
    Path("out").mkdir() if there else None
    inputs = [(f"tree/{number}/{name}", os.path.dirname(name)) for number, name in enumerate(names)]
    with pytest.raises(UsageError, match="would both be written to out/"):
        make_jobs(inputs, "blur", Targets(out_dir=Path("out")))
    assert sorted(os.listdir(".")) == ["out", "tree"][not there :]
    assert not there or os.listdir("out") == []


@pytest.mark.parametrize("names", PAIRS)
def test_names_that_it_tells_apart_do_not(names):
    Path("A").touch()
    if os.path.exists("a"):
        pytest.skip("this file system ignores case")
    inputs = [(f"tree/{number}/{name}", os.path.dirname(name)) for number, name in enumerate(names)]
    assert len(make_jobs(inputs, "blur", Targets(out_dir=Path("out")))[0]) == 2
