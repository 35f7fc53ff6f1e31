"""A run that was stopped goes on: nothing is done twice, and nothing is taken for done that is not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from makers import leftovers, noise, saved
from PIL import Image, ImageFilter

from imgconv.batch import journal
from imgconv.batch.job import Handling, Work
from imgconv.batch.targets import Job, Targets
from imgconv.kernels.spec import kernel
from imgconv.recipe.recipe import Recipe

COUNT = 12


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("in")
    for number in range(COUNT):
        Path(f"in/{number:02}.png").write_bytes(saved(Image.fromarray(noise(30, 40 + number, 3)), "PNG"))


def command(*words: str, kernel: str = "blur") -> list[str]:
    return [sys.executable, "-m", "imgconv", "apply", "-r", "in", "--out-dir", "out", "-k", kernel, *words]


def run(*words: str, kernel: str = "blur", status: int = 0) -> list[dict]:
    """Every job's line of --json."""
    done = subprocess.run(command("--json", *words, kernel=kernel), capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def statuses(*words: str, **options) -> str:
    """d, s or f for each file: done, skipped, failed."""
    return "".join(line["status"][0] for line in run(*words, **options))


def check_results():
    """Every result is Pillow's, and nothing else lies there."""
    for number in range(COUNT):
        with Image.open(f"in/{number:02}.png") as before, Image.open(f"out/{number:02}.blur.png") as after:
            assert np.array_equal(after, before.filter(ImageFilter.BLUR))
    assert len(os.listdir("out")) == COUNT + 1
    assert leftovers(Path("out")) == []


def test_nothing_is_done_twice():
    assert statuses() == "d" * COUNT
    written = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir("out")}
    assert statuses("--resume") == "s" * COUNT
    assert statuses("--resume", "-j", "2") == "s" * COUNT
    assert {entry.name: entry.stat().st_mtime_ns for entry in os.scandir("out")} == written
    check_results()


def test_what_has_changed_is_done_again():
    run("-j", "2")
    Path("in/03.png").write_bytes(Path("in/04.png").read_bytes())  # another input
    Path("out/05.blur.png").unlink()  # no result
    os.utime("in/06.png")  # the same bytes
    assert statuses("--resume") == "sssdsdssssss"
    assert statuses("--resume", "--border", "reflect") == "d" * COUNT  # another recipe
    assert statuses("--resume", "--border", "reflect") == "s" * COUNT
    assert statuses("--resume", kernel="sharpen") == "d" * COUNT


def test_a_kernel_file_that_changes_is_another_recipe():
    Path("mine.toml").write_text('about = "One."\nweights = [[1, 2, 1]]\nscale = 4\n')
    run(kernel="./mine.toml")
    assert statuses("--resume", kernel="./mine.toml") == "s" * COUNT
    Path("mine.toml").write_text('about = "One."\nweights = [[1, 3, 1]]\nscale = 5\n')
    assert statuses("--resume", kernel="./mine.toml") == "d" * COUNT


def test_broken_files_fail_again_and_they_alone():
    Path("in/02.png").write_bytes(b"\x89PNG broken")
    assert statuses(status=1) == "ddfddddddddd"
    assert statuses("--resume", status=1) == "ssfsssssssss"


def test_a_file_that_no_run_has_made_is_left_alone():
    run()
    Path("out/07.blur.png").write_bytes(b"precious")
    done = subprocess.run(command("--resume"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2, "imgconv: out/07.blur.png: exists; --overwrite replaces, --skip-existing leaves it\n",
    )  # fmt: skip
    assert Path("out/07.blur.png").read_bytes() == b"precious"
    assert statuses("--resume", "--overwrite") == "sssssssdssss"
    check_results()


def test_in_place_nothing_is_filtered_twice():
    words = [sys.executable, "-m", "imgconv", "apply", "-r", "in", "--in-place", "-k", "blur", "--json", "--resume"]
    before = {number: np.array(Image.open(f"in/{number:02}.png")) for number in range(COUNT)}
    for _ in range(2):
        subprocess.run(words, capture_output=True, check=True)
    for number, picture in before.items():
        with Image.open(f"in/{number:02}.png") as after:
            assert np.array_equal(after, Image.fromarray(picture).filter(ImageFilter.BLUR))


def test_without_a_folder_of_their_own_results_have_a_journal_on_request():
    words = [sys.executable, "-m", "imgconv", "apply", "in/00.png", "in/01.png", "-k", "blur"]
    subprocess.run([*words, "-o", "{dir}/{stem}.a{ext}"], capture_output=True, check=True)
    assert not Path("in", journal.NAME).exists()
    for _ in range(2):
        done = subprocess.run([*words, "-o", "{dir}/{stem}.b{ext}", "--resume"], capture_output=True, check=True)
    assert done.stdout.count(b"done before, skipped") == 2


def test_lines_that_cannot_be_read_are_passed_over():
    run()
    file = Path("out", journal.NAME)
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([b'{"result": "00.blur.png", "si', b"[]", b"\xff\xfe", b'{"result": 5}', *lines[:-1]]))
    with file.open("ab") as end:
        end.write(lines[-1][:40])  # by a disk that was full
    assert statuses("--resume", "--overwrite").count("d") == 1
    assert statuses("--resume") == "s" * COUNT


def test_a_run_that_ends_between_journal_and_name_leaves_the_older_result_known():
    run()
    file = Path("out", journal.NAME)
    with file.open("a") as end:
        end.write('{"result": "00.blur.png", "size": 1, "written_ns": 2, "input": "x", "recipe": "y"}\n')
    assert statuses("--resume") == "s" * COUNT


@pytest.mark.skipif(os.name != "posix", reason="links and pipes are POSIX's")
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda name: os.symlink("../own", name)])
def test_what_is_no_journal_is_said_and_left_as_it_is(make):
    Path("own").write_text("mine")
    os.mkdir("out")
    make("out/.imgconv-journal")
    done = subprocess.run(command("--resume"), capture_output=True, text=True, check=False, timeout=60)
    path = os.path.realpath("out") + "/.imgconv-journal"
    told = f"imgconv: {path}: is not a regular file; --resume goes by the journal there\n"
    assert (done.returncode, done.stderr) == (2, told)
    done = subprocess.run(command(), capture_output=True, text=True, check=False, timeout=60)
    told = f"imgconv: {path}: is not a regular file; --resume will not know what has been done\n"
    assert (done.returncode, done.stderr) == (0, told)
    check_results()
    assert Path("own").read_text() == "mine"


def test_it_does_not_go_with_what_decides_otherwise():
    for words in (["--skip-existing"], ["--newer"]):
        done = subprocess.run(command("--resume", *words), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_run_that_is_killed_again_and_again_comes_to_its_end():
    chance = random.Random(5)
    for _ in range(8):
        process = subprocess.Popen(command("--resume", "-j", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(chance.uniform(0.1, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    left = statuses("--resume")
    assert len(left) == COUNT
    assert "f" not in left
    check_results()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("option", ["--resume", "--skip-existing"])
def test_the_second_name_of_a_result_goes_whose_run_was_killed_amid_naming_it(option):
    for left in Path("in").glob("*[1-9].png"):
        left.unlink()
    killed = (
        "import os, sys\n"
        "real = os.link\n"
        "def link(part, target):\n"
        "    real(part, target)\n"
        "    os.kill(os.getpid(), 9)\n"
        "os.link = link\n"
        "from imgconv.formats import place\n"
        "place.NAMELESS = 0\n"  # where files have names from the start
        "sys.argv[0] = 'imgconv'\n"
        "from imgconv.__main__ import main\n"
        "main()"
    )
    Path("in/10.png").rename("10.png")
    subprocess.run([sys.executable, "-c", killed, *command("--resume")[3:]], check=False)
    assert len(leftovers(Path("out"))) == 1
    assert statuses(option) == "s"
    assert leftovers(Path("out")) == []


def test_two_runs_at_once_do_not_disturb_each_other():
    runs = [subprocess.Popen(command("--resume", "-j", "2", "-q"), stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1] for process in runs] == [b"", b""]
    assert [process.returncode for process in runs] == [0, 0]
    check_results()


def test_a_result_that_has_come_meanwhile_is_taken_for_done_if_it_is_the_same():
    """As where a process was killed after it had named a result, and before it could tell."""
    source, target = Path("in/00.png"), Path("out/00.png")
    recipe, job = Recipe((kernel("blur"),)), Job(source, target, "PNG")

    def status(**changed) -> str:
        outcome = Work(recipe, Targets(out_dir=Path("out"), journal="blur")._replace(**changed), Handling())(job)
        return outcome.status

    assert [status(), status(), status(journal="another"), status(overwrite=True)] == [
        "done", "skipped", "failed", "done"
    ]  # fmt: skip
    source.write_bytes(Path("in/01.png").read_bytes())
    assert status() == "failed"


def test_what_another_run_has_done_meanwhile_is_known(tmp_path):
    target = tmp_path / "a.png"
    for recipe in ("first", "another"):
        target.write_text(recipe)
        assert journal.entry_of(target) is None
        written = os.stat(target).st_mtime_ns
        line = {"result": "a.png", "size": len(recipe), "written_ns": written, "input": "", "recipe": recipe}
        with open(tmp_path / journal.NAME, "a") as file:
            file.write(f'\n{json.dumps(line)}\n{{"result": ')  # the last is not whole yet
        assert journal.entry_of(target).recipe == recipe


@pytest.mark.skipif(os.name != "posix", reason="processes are forked")
def test_a_disk_that_is_full_for_a_while_costs_only_the_files_of_that_while():
    full = (
        "import os, sys\n"
        "from imgconv.batch import job\n"
        "real = job.sink_of\n"
        "def sink_of(*words):\n"
        "    sink = real(*words)\n"
        "    if words[0].array.shape[1] in (43, 44, 50):\n"
        "        def write(rows):\n"
        "            raise OSError(28, 'No space left on device')\n"
        "        sink.write = write\n"
        "    return sink\n"
        "job.sink_of = sink_of\n"
        "sys.argv[0] = 'imgconv'\n"
        "from imgconv.__main__ import main\n"
        "main()"
    )
    words = [sys.executable, "-c", full, *command("-j", "2", "-q")[3:]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [f"imgconv: out/{n}.blur.png: no space left on device; nothing was written" for n in ("03", "04", "10")]
    assert (done.returncode, done.stderr.splitlines()) == (1, [*lines, "imgconv: 3 of 12 files failed"])
    assert statuses("--resume") == "sssddsssssds"
    check_results()
