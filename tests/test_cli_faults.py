"""The command where the machine gives less than it usually does: streams, threads, memory, locale, user, signals."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from makers import imgconv, noise, saved
from PIL import Image

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="faults are made as Linux has them")


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        Path(f"{number}.png").write_bytes(saved(Image.fromarray(noise(12, 16, 3, seed=number)), "PNG"))


NAMES = ("0.png", "1.png", "2.png")
RESULTS = ["0.blur.png", "1.blur.png", "2.blur.png"]


def results():
    return sorted(str(path) for path in Path().glob("*.blur.*"))


def shell(line, **options):
    """Runs a line of the shell in which `imgconv` is this command."""
    line = f'imgconv() {{ "{sys.executable}" -m imgconv "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, **options)


def after(code, *words, **options):
    """The command in a process that first runs some code."""
    code = f"import sys\n{code}\nsys.argv = ['imgconv', *sys.argv[1:]]\nfrom imgconv.__main__ import main\nmain()"
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


# streams


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_picture_for_a_full_standard_output_is_one_error(unbuffered):
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = shell("imgconv apply 0.png -k blur -o - > /dev/full", env=environment)
    assert (done.returncode, done.stderr) == (1, "imgconv: standard output: no space left on device\n")


def test_a_picture_for_a_closed_standard_output_is_an_error():
    done = shell("imgconv apply 0.png -k blur -o - >&-")
    assert (done.returncode, done.stderr) == (1, "imgconv: standard output: is closed\n")


def test_a_full_standard_error_stops_no_batch():
    Path("0.png").write_bytes(b"no picture")
    done = shell("imgconv apply [012].png -k blur 2> /dev/full")
    assert done.returncode == 1
    assert results() == RESULTS[1:]
    assert done.stdout.count("\n") == 2
    done = shell("imgconv apply [12].png -k blur --overwrite --json 2> /dev/full")
    assert done.returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_stops_no_batch_and_is_said_once(unbuffered):
    done = shell("imgconv apply [012].png -k blur > /dev/full", env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stderr) == (1, "imgconv: standard output: No space left on device\n")
    assert results() == RESULTS


def test_a_file_never_gets_the_number_of_a_closed_stream():
    shell("imgconv apply 0.png missing.png -k blur <&- >&- 2>&-")
    assert results() == RESULTS[:1]
    assert Image.open("0.blur.png").tobytes()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_where_only_ascii_is_printed_the_line_is_ascii(jobs):
    environment = os.environ | {"PYTHONUTF8": "0", "LC_ALL": "C"}
    Path("Köln.png").write_bytes(Path("0.png").read_bytes())
    done = imgconv("apply", *NAMES, "Köln.png", "-k", "blur", "-j", jobs, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0.png -> 0.blur.png   16x12 RGB   read ")
    assert "K\\xf6ln.png" in done.stdout or "K\\udcc3\\udcb6ln.png" in done.stdout
    for words in (
        ["kernels", "show", "blur"],
        ["kernels"],
        ["doctor"],
        ["--help"],
        ["match", "0.png", "blur", "1.png"],
    ):
        assert "Error" not in imgconv(*words, env=environment).stderr


# folders that may not be entered or written to


# as root may do everywhere, but for its capabilities
NO_RIGHTS = "import ctypes\nctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-o", "shut/x.png"], "shut/x.png: permission denied; nothing was written"),
        (["-o", "shut/in/x.png", "--overwrite"], "shut/in/x.png: permission denied; nothing was written"),
        (["-o", "read/{stem}.png"], "read/0.png: permission denied; nothing was written"),
        (["-o", "away.png", "--overwrite"], "away.png: permission denied; nothing was written"),
        (["--out-dir", "read"], "read/0.blur.png: permission denied; nothing was written"),
        (["--out-dir", "shut/new"], "shut/new: permission denied"),
        (["--report", "shut/in/x.html"], "shut/in/x.html: permission denied; nothing was written"),
    ],
)
def test_a_folder_that_may_not_be_entered_or_written_to_is_said_before(words, told):
    Path("shut/in").mkdir(parents=True)
    Path("shut").chmod(0)
    Path("read").mkdir(mode=0o500)
    Path("away.png").symlink_to("read/x.png")
    for dry in (["-n"], []):
        done = after(NO_RIGHTS, "apply", "0.png", "-k", "blur", *words, *dry)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"imgconv: {told}\n")
    Path("shut").chmod(0o700)
    assert results() == [*Path("shut/in").iterdir()] == [*Path("read").iterdir()] == []


@pytest.mark.parametrize("inputs", ["0.png", "-r ."])
def test_a_folder_that_has_been_deleted_is_said(inputs):
    done = shell(f"mkdir gone; cd gone; rmdir ../gone; imgconv apply {inputs} -k blur --out-dir out")
    assert done.returncode == 1
    assert done.stderr == "imgconv: the folder in which it was started has been deleted\n"


# threads, memory, exceptions


@pytest.mark.parametrize("form", ["png", "jpg", "tif", "npy"])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_without_a_thread_to_be_had_the_work_is_done_all_the_same(form, jobs):
    Image.fromarray(noise(1200, 900, 3)).save("large.png")
    none = (
        "import threading\n"
        "def refuse(self):\n"
        '    raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = refuse"
    )
    words = ["apply", "large.png", *NAMES, "-k", "blur", "-k", "gaussian:3", "-j", jobs, "--format", form, "-o"]
    imgconv(*words, "with-{stem}{ext}")
    done = after(none, *words, "without-{stem}{ext}")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(f"with-large.{form}").read_bytes() == Path(f"without-large.{form}").read_bytes()
    assert len(list(Path().glob("without-*"))) == 4


BROKEN = """
import imgconv.batch.job as module
real = module.frames_of
def frames_of(file, size, name, *words, **options):
    if name == "0.png":
        raise ZeroDivisionError("nobody foresaw this")
    return real(file, size, name, *words, **options)
module.frames_of = frames_of
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_exception_that_nobody_foresaw_fails_its_file(jobs):
    done = after(BROKEN, "apply", *NAMES, "-k", "blur", "-j", jobs)
    assert done.returncode == 1
    assert done.stderr == (
        "imgconv: 0.png: ZeroDivisionError: nobody foresaw this; -v shows where\nimgconv: 1 of 3 files failed\n"
    )
    assert results() == RESULTS[1:]
    done = after(BROKEN, "apply", *NAMES, "-k", "blur", "-j", jobs, "-v", "--overwrite")
    assert re.search(r"^imgconv:   File .*, in frames_of$", done.stderr, re.MULTILINE)


def test_an_exception_that_nobody_foresaw_is_one_line_in_every_command():
    broken = "import imgconv.cli.doctor as module\nmodule._facts = lambda: 1 // 0"
    done = after(broken, "doctor")
    assert done.returncode == 1
    assert done.stderr == "imgconv: ZeroDivisionError: integer division or modulo by zero; -v shows where\n"


# kept code


def made(*words, cache, **options):
    """The command where code is kept in `cache`: (exit status, standard error, whether it says that it is kept)."""
    environment = os.environ | {"IMGCONV_CACHE_DIR": str(cache)} | options.pop("env", {})
    done = imgconv("apply", "0.png", "-k", "1 2 3", "--overwrite", *words, env=environment, **options)
    return done.returncode, done.stderr, "once on this machine" in done.stdout


def unkept(why):
    return (0, f"imgconv: compiled code cannot be kept: {why}; set IMGCONV_CACHE_DIR to a folder of your own\n", False)


def test_code_that_cannot_be_kept_is_said_once():
    Path("file").touch()
    Path("real").mkdir(mode=0o700)
    Path("link").symlink_to("real")
    Path("open").mkdir()
    os.chmod("open", 0o777)
    here = Path.cwd()
    assert made(cache=here / "link") == unkept(f"{here}/link is a symbolic link")
    assert made(cache=here / "open") == unkept(f"{here}/open can be written by others (chmod 700 it)")
    assert made(cache=here / "file") == unkept(f"{here}/file: file exists")
    assert made("1.png", cache="/proc/none") == unkept("/proc/none: no such file or directory")
    assert made("-q", cache=here / "file") == (0, "", False)
    assert list(Path("real").iterdir()) == []


def test_code_that_does_not_fit_on_the_disk_is_said():
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    environment = os.environ | {"IMGCONV_CACHE_DIR": str(Path("code").absolute())}
    done = after(full, "apply", "0.png", "-k", "1 2 3", env=environment)
    assert (done.returncode, done.stderr) == unkept(f"{Path('code').absolute()}: file too large")[:2]
    assert list(Path("code").iterdir()) == []


def test_a_user_without_a_home_needs_none():
    """One whom the system does not know: then Python finds no home folder."""
    code = "import pathlib\ndef none():\n    raise RuntimeError('no home')\npathlib.Path.home = none"
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(Path.cwd())}
    for _ in "ab":
        done = after(code, "apply", "0.png", "-k", "1 2 3", "--overwrite", env=environment)
        assert (done.returncode, done.stderr) == (0, "")
    assert "compile" not in done.stdout
    assert after(code, "doctor", env=environment).returncode == 0
    assert (Path(f"imgconv-{os.getuid()}").stat().st_mode & 0o777) == 0o700


NO_NEW_CODE = "import ctypes\nassert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0  # PR_SET_MDWE"


def test_where_no_memory_can_be_run_that_was_written_kept_code_runs_and_nothing_crashes():
    if subprocess.run([sys.executable, "-c", NO_NEW_CODE], capture_output=True, check=False).returncode:
        pytest.skip("this kernel has no PR_SET_MDWE")
    environment = os.environ | {"IMGCONV_CACHE_DIR": str(Path("code").absolute())}
    words = ["apply", "0.png", "-k", "1 2 3", "-o"]
    done = after(NO_NEW_CODE, *words, "cold.png", env=environment)
    assert done.returncode == 1
    assert re.fullmatch(r"imgconv: 0\.png: this system lets no memory be run that .* warm .*\n", done.stderr)
    assert imgconv(*words, "free.png", env=environment).returncode == 0
    done = after(NO_NEW_CODE, *words, "warm.png", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "compile" not in done.stdout
    assert Path("warm.png").read_bytes() == Path("free.png").read_bytes()


# signals


@pytest.mark.parametrize(
    ("number", "status", "told"),
    [("SIGINT", 130, "imgconv: interrupted\n"), ("SIGTERM", 143, ""), ("SIGHUP", 129, "")],
)
@pytest.mark.parametrize("module", ["gc", "click", "numpy"])
def test_a_signal_while_it_starts_is_no_traceback(module, number, status, told):
    code = (
        "import builtins, os, signal\n"
        "real = builtins.__import__\n"
        "def hook(name, *words, **more):\n"
        f"    if name == {module!r}:\n"
        f"        os.kill(os.getpid(), signal.{number})\n"
        "    return real(name, *words, **more)\n"
        "builtins.__import__ = hook"
    )
    done = after(code, "apply", "0.png", "-k", "blur")
    assert (done.returncode, done.stderr) == (status, told)


def test_an_error_names_the_whole_command():
    for words in (["kernels", "show"], ["doctor", "clear"], ["apply"], []):
        done = shell(" ".join(["imgconv", *words, "--nothing"]))
        start = " ".join(["imgconv", *words])
        assert (done.returncode, done.stderr.splitlines()[0][: len(start) + 17]) == (2, f"{start}: No such option ")


@pytest.mark.parametrize("words", [["explain", "a.npy@1,1"], ["compare", "a.npy"], ["apply", "a.npy", "-o", "b.npy"]])
def test_samples_that_cannot_be_summed_are_said_to_be_whose_they_are(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.full((4, 4), 2**60))
    done = imgconv(*words, "-k", "blur")
    assert "a.npy: int64 samples beyond 2**53" in done.stderr
