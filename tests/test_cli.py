"""The command as a person or a script meets it: exit status, what is printed where, and which files are there after."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from makers import ENDINGS, FORMATS, imgconv, leftovers, noise, saved, seen_on, smooth
from PIL import Image, ImageFilter

from imgconv.cli import MISUSED, cli, one_line
from imgconv.cli.progress import percent
from imgconv.conventions import METHODS
from imgconv.errors import ImgconvError, KernelError, UsageError

KEYS = ["input", "output", "kernel", "mode", "border", "method", "size", "channels", "dtype", "frames", "read_s",
        "filter_s", "write_s", "compile_s", "total_s", "clipped", "notes", "status", "error"]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(saved(Image.fromarray(noise(12, 16, 3)), "PNG"))
    Path("b.png").write_bytes(saved(Image.fromarray(noise(12, 16, 3, seed=1)), "PNG"))


def files():
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def quick(*words, stdin=None):
    """The command in this process: (exit status, stdout, stderr). Expected errors become 2 or 1 as `main` has it."""
    found = CliRunner().invoke(cli, [str(word) for word in words], input=stdin, standalone_mode=False)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        problem = found.exception
        if isinstance(problem, ImgconvError):
            status = MISUSED if isinstance(problem, UsageError | KernelError) else 1
            return status, found.stdout, found.stderr + f"{problem}\n"
        if hasattr(problem, "format_message"):
            return MISUSED, found.stdout, found.stderr + " ".join(problem.format_message().split()) + "\n"
        raise problem
    return found.return_value or 0, found.stdout, found.stderr


def in_terminal(*words, stdout=True, env=None):
    """Runs the command with stderr (and stdout) on a terminal of its own; returns (exit status, what appeared)."""
    ours, theirs = pty.openpty()
    environment = {"TERM": "xterm-256color", "COLUMNS": "100", **os.environ, **(env or {})}
    command = [sys.executable, "-m", "imgconv", *map(str, words)]
    out = theirs if stdout else subprocess.DEVNULL
    with subprocess.Popen(command, stdin=theirs, stdout=out, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = seen_on(ours)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        status = process.wait()
    os.close(ours)
    return status, seen.decode()


# the main job


def test_a_picture_is_filtered_as_pillow_does():
    done = imgconv("apply", "a.png", "-k", "edge_enhance")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"a\.png → a\.edge_enhance\.png   16×12 RGB   read .* · filter .* \(\w+ 3×3, .*\) ·", done.stdout)
    with Image.open("a.png") as image, Image.open("a.edge_enhance.png") as result:
        assert result.tobytes() == image.filter(ImageFilter.EDGE_ENHANCE).tobytes()
    assert set(files()) == {"a.png", "b.png", "a.edge_enhance.png"}


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_goes_in_and_out(form):
    name = f"x{ENDINGS[form]}"
    Path(name).write_bytes(saved(Image.fromarray(smooth(16, 24)), form))
    status, _, err = quick("apply", name, "-k", "smooth")
    assert status == 0, err
    with Image.open(f"x.smooth{ENDINGS[form]}") as image:
        assert (image.format, image.size) == (form, (24, 16))


def test_arrays_go_in_and_out_as_numbers():
    Path("x.txt").write_text("1 2 3\n4 5.5 6\n")
    assert quick("apply", "x.txt", "-k", "0 0 0; 0 2 0; 0 0 0", "-o", "x.csv")[0] == 0
    assert Path("x.csv").read_text() == "2,4,6\n8,11,12\n"
    np.save("x.npy", np.arange(6, dtype=np.int16).reshape(2, 3) - 3)
    assert quick("apply", "x.npy", "-k", "-1", "--out-dir", "new")[0] == 0
    assert np.load("new/x.matrix.npy").tolist() == [[3, 2, 1], [0, -1, -2]]


def test_a_chain_is_applied_in_order():
    quick("apply", "a.png", "-k", "blur", "-k", "sharpen", "-o", "both.png")
    quick("apply", "a.png", "-k", "blur", "-o", "one.png")
    quick("apply", "one.png", "-k", "sharpen", "-o", "two.png")
    with Image.open("both.png") as both, Image.open("two.png") as two:
        assert both.tobytes() == two.tobytes()


# streams


def test_a_picture_goes_through_standard_input_and_output():
    done = imgconv(
        "apply", "-", "-k", "blur", "-o", "-", "--format", "png", input=Path("a.png").read_bytes(), text=False
    )
    assert done.returncode == 0
    quick("apply", "a.png", "-k", "blur")
    assert done.stdout == Path("a.blur.png").read_bytes()
    assert done.stderr.decode().startswith("- → -   16×12 RGB")


def test_standard_input_alone_goes_to_standard_output_in_its_own_format():
    data = saved(Image.fromarray(smooth(16, 24)), "JPEG")
    done = imgconv("apply", "-", "-k", "blur", "-q", input=data, text=False)
    assert done.stdout.startswith(b"\xff\xd8")
    assert done.stderr == b""


def test_numbers_go_through_a_pipe():
    done = imgconv("apply", "-", "-k", "2", "-q", input="1 2\n3 4\n")
    assert (done.returncode, done.stdout) == (0, "2 4\n6 8\n")


def test_a_picture_never_goes_to_a_terminal():
    status, seen = in_terminal("apply", "a.png", "-k", "blur", "-o", "-")
    assert status == 2
    assert "not written to a terminal" in seen
    assert "PNG\r" not in seen
    Path("x.txt").write_text("1 2\n")
    status, seen = in_terminal("apply", "x.txt", "-k", "2", "-o", "-", "-q")
    assert (status, seen) == (0, "2 4\r\n")


def test_a_full_standard_output_is_an_error():
    for words in (["apply", "a.png", "-k", "blur", "-o", "-"], ["kernels"], ["apply", "a.png", "-k", "blur"]):
        with open("/dev/full", "wb") as full:
            done = imgconv(*words, stdout=full, stderr=subprocess.PIPE, capture_output=False)
        assert done.returncode == 1
        assert re.fullmatch(r"imgconv: standard output: .*\n", done.stderr)


def test_closed_streams_give_no_traceback():
    for redirect, status in (("<&-", 1), (">&- 2>&-", 0)):
        done = subprocess.run(
            f"{sys.executable} -m imgconv apply {'-' if '<' in redirect else 'a.png'} -k blur -o x.png {redirect}",
            shell=True, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_gets_no_traceback():
    command = f"{sys.executable} -m imgconv kernels list | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


# errors


def wrong_files():
    Path("text.png").write_text("I am no picture\n")
    Path("empty.png").write_bytes(b"")
    Path("cut.png").write_bytes(Path("a.png").read_bytes()[:300])
    Path("cut.jpg").write_bytes(saved(Image.fromarray(noise(64, 64, 3)), "JPEG")[:700])
    Path("deep.ppm").write_bytes(b"P3 1 1 65535 1 2 3\n")
    Path("folder.png").mkdir()
    os.mkfifo("pipe.png")
    Path("empty.toml").write_text("")
    Path("ragged.txt").write_text("1 2\n3\n")
    Path("nan.txt").write_text("1 nan\n")
    Path("wrong.txt").write_text("1 two\n")


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["none.png", "-k", "blur"], 1, r"none\.png: no such file"),
        (["text.png", "-k", "blur"], 1, r"text\.png: is not a picture"),
        (["empty.png", "-k", "blur"], 1, r"empty\.png: is empty"),
        (["cut.png", "-k", "blur"], 1, r"cut\.png: is broken"),
        (["cut.jpg", "-k", "blur"], 1, r"cut\.jpg: is broken"),
        (["deep.ppm", "-k", "blur"], 1, r"deep\.ppm: has 16 bits"),
        (["pipe.png", "-k", "blur"], 1, r"pipe\.png: is not a regular file"),
        (["wrong.txt", "-k", "blur"], 1, r"wrong\.txt: row 1: 'two' is not a number"),
        (["folder.png", "-k", "blur"], 2, r"folder\.png: is a folder; -r"),
        (["a.png"], 2, "Missing option .*--kernel"),
        (["-k", "blur"], 2, "Missing argument"),
        (["a.png", "-k", "blurr"], 2, "no kernel named 'blurr'; did you mean blur"),
        (["a.png", "-k", "none.toml"], 2, r"none\.toml: no such file"),
        (["a.png", "-k", "empty.toml"], 2, r"empty\.toml: is empty"),
        (["a.png", "-k", "ragged.txt"], 2, r"ragged\.txt: row 2 has 1 number"),
        (["a.png", "-k", "nan.txt"], 2, r"nan\.txt: row 1: 'nan' is not a finite"),
        (["a.png", "-k", "1 2; 3"], 2, "row 2"),
        (["a.png", "-k", ""], 2, "empty"),
        (["a.png", "-k", "blur", "--foo"], 2, "--foo"),
        (["a.png", "-k", "blur", "-o", "x.foo"], 2, r"x\.foo: its ending"),
        (["a.png", "-k", "blur", "-o", "none/x.png"], 2, "no folder none"),
        (["a.png", "-k", "blur", "-o", "b.png"], 2, r"b\.png: exists"),
        (["a.png", "-k", "blur", "-o", "{foo}.png"], 2, "{foo} is not one of"),
        (["a.png", "-k", "blur", "-o", "{index:{stem.__class__}}.png"], 2, "only index"),
        (["a.png", "-k", "blur", "--border", "edgy"], 2, "edgy"),
        (["a.png", "-k", "blur", "--anchor", "9,9"], 2, "anchor 9,9 lies outside"),
        (["a.png", "-k", "blur", "--scale", "0"], 2, "other than 0"),
        (["a.png", "-k", "blur", "--offset", "nan"], 2, "finite"),
        (["a.png", "-k", "blur", "--mode", "slide"], 2, "slide"),
        (["a.png", "-k", "blur", "-t", "0"], 2, "threads"),
        (["a.png", "-k", "blur", "-j", "0"], 2, "jobs"),
        (["a.png", "-k", "blur", "--co", "quality=9"], 2, "PNG takes"),
        (["a.png", "-k", "blur", "--co", "compress_level=x"], 2, "whole number from 0 to 9"),
        (["a.png", "-k", "blur", "--co", "compress_level=0000000009999"], 2, "whole number from 0 to 9"),
        (["a.png", "-k", "blur", "--dilation", "1000000"], 2, "makes a .* kernel larger than 4095"),
        (["a.png", "-k", "blur", "--memory", "9" * 400 + "G"], 2, "is not a size such as 2G"),
        (["a.png", "-k", "blur", "--depth", "32", "--format", "tif"], 1, r"int32 pictures; write \.npy"),
        (["a.png", "-k", "blur", "--co", "foo=1"], 2, "'foo' is not one of"),
        (["a.png", "-k", "blur", "--metadata", "exif,foo"], 2, "'foo' is neither"),
        (["a.png", "-k", "blur", "--json", "-o", "-"], 2, "--json"),
        (["a.png", "-k", "blur", "--in-place", "--overwrite"], 2, "exclude each other"),
        (["-r", ".", "-k", "blur", "-o", "x.png"], 2, "cannot go to one file"),
    ],
)
def test_errors_are_one_line_and_nothing_is_written(words, status, told):
    wrong_files()
    before = files()
    found, out, err = quick("apply", *words)
    assert found == status, err
    assert re.search(told, err)
    assert err.count("\n") == 1
    assert out == ""
    assert files() == before


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["apply", "cut.jpg", "-k", "blur"], 1),
        (["apply", "none.png", "-k", "blur"], 1),
        (["apply", "a.png", "-k", "ragged.txt"], 2),
        (["apply", "a.png", "-k", "blur", "--foo"], 2),
        (["apply", "a.png", "-k", "blur", "--border", "edgy"], 2),
        (["nonsense"], 2),
        (["--foo"], 2),
        (["compare", "none.png", "-k", "blur"], 1),
        (["kernels", "show", "blurr"], 2),
    ],
)
def test_the_process_prints_one_line_and_exits_so(words, status):
    wrong_files()
    done = imgconv(*words)
    assert done.returncode == status
    assert re.fullmatch(r"imgconv( \w+)?: [^\n]+\n", done.stderr)
    assert done.stdout == ""


def test_a_name_cannot_move_the_cursor_or_break_the_line():
    name = "x\x1b[2J\ny.png"
    Path(name).write_bytes(b"broken")
    done = imgconv("apply", name, "-k", "blur")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
    assert one_line("a\tb\u2028c") == "a\\tb\\u2028c"


@pytest.mark.parametrize("coding", ["utf-8", "ascii"])
def test_names_that_are_no_text_are_printed_somehow(coding):
    name = os.fsdecode(b"\xff\xc3\xa4.png")
    Path(name).write_bytes(Path("a.png").read_bytes())
    environment = os.environ | {"PYTHONIOENCODING": coding}
    for words in ([], ["--json", "--overwrite"], ["-n", "--overwrite"]):
        done = imgconv("apply", name, "-k", "blur", *words, env=environment, text=False)
        assert (done.returncode, done.stderr) == (0, b"")
        if "--json" in words:
            assert json.loads(done.stdout)["input"] == name


def test_a_misspelt_command_is_guessed():
    assert "did you mean apply?" in quick("aply")[2]
    assert "there are apply" in quick("zzz")[2]


def test_a_reader_that_never_was_gets_no_traceback():
    for words in (["kernels"], ["apply", "a.png", "-k", "blur", "-o", "-"]):
        ours, theirs = os.pipe()
        os.close(ours)
        done = imgconv(*words, stdout=theirs, stderr=subprocess.PIPE, capture_output=False)
        os.close(theirs)
        assert (done.returncode, done.stderr) == (1, "")


def test_no_arguments_print_the_help():
    done = imgconv()
    assert done.returncode == 2
    assert "Usage: imgconv" in done.stderr


# many files


def test_a_failed_file_makes_status_1_and_the_rest_is_done():
    Path("bad.png").write_bytes(b"x" * 50)
    done = imgconv("apply", "a.png", "bad.png", "b.png", "-k", "blur")
    assert done.returncode == 1
    assert done.stdout.count("\n") == 2
    assert done.stderr.splitlines()[0].startswith("imgconv: bad.png: ")
    assert done.stderr.splitlines()[1:] == ["imgconv: 1 of 3 files failed"]
    assert {"a.blur.png", "b.blur.png"} < set(files())
    assert "bad.blur.png" not in files()


def test_fail_fast_stops_at_the_first():
    Path("bad.png").write_bytes(b"x" * 50)
    status, _, _ = quick("apply", "bad.png", "a.png", "-k", "blur", "--fail-fast")
    assert status == 1
    assert "a.blur.png" not in files()


def test_json_has_a_line_for_every_file_and_these_keys():
    Path("bad.png").write_bytes(b"x" * 50)
    Path("a.blur.png").write_bytes(b"kept")
    done = imgconv("apply", "a.png", "bad.png", "b.png", "-k", "blur", "--json", "--skip-existing")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [list(each) for each in found] == [KEYS] * 3
    assert [each["status"] for each in found] == ["skipped", "failed", "done"]
    assert found[1]["error"].startswith("bad.png: ")
    assert (found[2]["size"], found[2]["channels"], found[2]["dtype"]) == ([16, 12], 3, "uint8")
    assert (found[2]["kernel"], found[2]["mode"], found[2]["border"]) == ("blur", "correlate", "keep")
    assert found[2]["method"] in METHODS[1:]
    assert done.returncode == 1


def test_jobs_give_the_same_files_in_the_same_order():
    names = []
    for number in range(6):
        names.append(f"{number}.png")
        Path(names[-1]).write_bytes(saved(Image.fromarray(noise(20, 30, 3, seed=number)), "PNG"))
    one = imgconv("apply", *names, "-k", "sharpen", "--out-dir", "one", "--json")
    many = imgconv("apply", *names, "-k", "sharpen", "--out-dir", "many", "--json", "-j", 3)
    assert (one.returncode, many.returncode) == (0, 0)
    for line, name in zip(many.stdout.splitlines(), names, strict=True):
        assert json.loads(line)["input"] == name
        result = name.replace(".png", ".sharpen.png")
        assert Path("one", result).read_bytes() == Path("many", result).read_bytes()


def test_quiet_verbose_and_dry_run():
    assert quick("apply", "a.png", "-k", "blur", "-n")[1] == "a.png → a.blur.png\n"
    assert json.loads(quick("apply", "a.png", "-k", "blur", "-n", "--json")[1])["status"] == "planned"
    assert "a.blur.png" not in files()
    assert quick("apply", "a.png", "-k", "blur", "-q")[1:] == ("", "")
    assert "direct: " in quick("apply", "a.png", "-k", "blur", "-v", "--overwrite", "--method", "direct")[1]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["a.png", "--out-dir", "tree/d.png/in/it"], "tree/d.png/in/it: tree/d.png is no folder"),
        (["a.png", "--out-dir", "l" * 300], f"{'l' * 300}: file name too long"),
        (["-r", "tree", "--out-dir", "out"], "out/x: out/x is no folder"),
        (["a.png", "none.png", "-o", "{stem}.tif"], "none.png: no such file or directory"),
        (["tree/d.png", "pipe.png", "--skip-existing"], "pipe.png: is not a regular file"),
    ],
)
def test_a_dry_run_says_what_a_run_would_fail_with(words, error):
    for name in ("tree/x/c.png", "tree/d.png", "tree/d.blur.png", "out/x"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(Path("a.png").read_bytes())
    os.mkfifo("pipe.png")
    before, told = files(), []
    for dry in (["-n"], []):
        assert files() == before
        status, out, err = quick("apply", *words, "-k", "blur", "--json", *dry)
        assert (status, err) == (1, f"imgconv: {error}\n")
        told.append(
            [[line.get(key) for key in ("input", "output", "error")] for line in map(json.loads, out.splitlines())]
        )
    assert told[0] == told[1]


def test_folders_are_walked_and_the_tree_is_kept():
    Path("tree/x").mkdir(parents=True)
    Path("tree/x/c.png").write_bytes(Path("a.png").read_bytes())
    assert quick("apply", "-r", "tree", "-k", "blur", "--out-dir", "out")[0] == 0
    assert "out/x/c.blur.png" in files()
    Path("empty").mkdir()
    assert quick("apply", "-r", "empty", "-k", "blur")[0] == 2


def test_animated_files_give_a_warning():
    frames = [Image.fromarray(noise(8, 9, seed=seed)) for seed in range(3)]
    for name in ("x.gif", "x.tif"):
        frames[0].save(name, save_all=True, append_images=frames[1:])
        done = imgconv("apply", name, "-k", "blur", "--frames", "first")
        assert done.returncode == 0
        assert done.stderr == f"imgconv: {name}: only the first of 3 frames was filtered\n"


def test_existing_results_are_replaced_or_left_as_asked():
    Path("a.blur.png").write_bytes(b"old")
    before = files()
    assert quick("apply", "a.png", "b.png", "-k", "blur")[0] == 2
    assert files() == before
    assert quick("apply", "a.png", "b.png", "-k", "blur", "--skip-existing")[0] == 0
    assert (Path("a.blur.png").read_bytes(), "b.blur.png" in files()) == (b"old", True)
    assert quick("apply", "a.png", "b.png", "-k", "blur", "--overwrite")[0] == 0
    assert Path("a.blur.png").read_bytes() != b"old"


# terminals


def test_a_progress_bar_is_shown_on_a_terminal_for_several_files_only():
    _, several = in_terminal("apply", "a.png", "b.png", "-k", "blur")
    assert "2/2" in several
    assert "b.png → b.blur.png" in several
    assert not re.search(r"/2[^\r\n\x1b]*[ab]\.png →", several), "a line begins behind the bar"
    _, one = in_terminal("apply", "a.png", "-k", "blur", "--overwrite")
    assert "1/1" not in one
    done = imgconv("apply", "a.png", "b.png", "-k", "blur", "--overwrite")
    assert "\x1b" not in done.stdout + done.stderr


def colours(text):
    return re.findall(r"\x1b\[(?:\d+;)*3\d", text)


def test_colour_is_for_terminals_and_can_be_forced_or_forbidden():
    assert colours(in_terminal("kernels")[1])
    assert not colours(in_terminal("kernels", env={"NO_COLOR": "1"})[1])
    assert not colours(in_terminal("--color", "never", "kernels")[1])
    assert "\x1b" not in imgconv("kernels").stdout
    assert colours(imgconv("--color", "always", "kernels").stdout)
    assert not colours(in_terminal("apply", "a.png", "b.png", "-k", "blur", env={"NO_COLOR": "1"})[1])


# what must never happen


@pytest.mark.parametrize("form", [*FORMATS, "NPY", "TEXT"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(form):
    source, name = "big.png", f"x{ENDINGS.get(form) or {'NPY': '.npy', 'TEXT': '.txt'}[form]}"
    Path(source).write_bytes(saved(Image.fromarray(noise(300, 300)), "PNG"))
    Path(name).write_bytes(b"old")

    imgconv("apply", source, "-k", "blur", "-o", "warm.png")  # compiled code is kept before files are limited
    limited = (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "sys.argv = ['imgconv', *sys.argv[1:]]\nfrom imgconv.cli import main\nmain()"
    )
    command = [sys.executable, "-c", limited, "apply", source, "-k", "blur", "-o", name, "--overwrite"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(rf"imgconv: {re.escape(name)}: file too large; nothing was written\n", done.stderr)
    assert Path(name).read_bytes() == b"old"
    assert leftovers(Path()) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("jobs", [1, 2])
def test_signals_stop_it_cleanly(number, status, jobs):
    names = []
    for index in range(40):
        names.append(f"{index}.png")
        Path(names[-1]).write_bytes(saved(Image.fromarray(noise(400, 400, 3)), "PNG", compress_level=0))
    command = [
        sys.executable,
        "-m",
        "imgconv",
        "apply",
        *names,
        "-k",
        "blur",
        "--out-dir",
        "out",
        "-j",
        str(jobs),
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err == ("imgconv: interrupted\n" if number == signal.SIGINT else "")
    assert leftovers(Path("out")) == []
    done = [path for path in Path("out").iterdir() if path.name != ".imgconv-journal"]
    assert 1 <= len(done) < 40
    assert len({path.read_bytes() for path in done}) == 1


def test_a_signal_at_any_moment_leaves_whole_files_only():
    Path("big.png").write_bytes(saved(Image.fromarray(noise(600, 600, 3)), "PNG", compress_level=0))
    imgconv("apply", "big.png", "-k", "blur", "-o", "x.png")
    new = Path("x.png").read_bytes()
    for wait in (0.05, 0.12, 0.16, 0.2, 0.24, 0.28):
        Path("x.png").write_bytes(b"old")
        command = [sys.executable, "-m", "imgconv", "apply", "big.png", "-k", "blur", "-o", "x.png", "--overwrite"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(wait)
            process.terminate()
            process.wait(timeout=60)
        assert Path("x.png").read_bytes() in (b"old", new)
        assert leftovers(Path()) == []


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="tells by /proc that LLVM is at work")
@pytest.mark.parametrize("wait", [0, 0.03, 0.06, 0.1, 0.15])
def test_a_signal_amid_compiling_is_not_lost(wait, tmp_path):
    """LLVM calls back into Python, where the exception of a signal went nowhere: the command went on and gave 0."""
    Path("x.png").write_bytes(b"old")
    command = [sys.executable, "-m", "imgconv", "apply", "a.png", "-k", "blur", "-o", "x.png", "--overwrite"]
    environment = os.environ | {"IMGCONV_CACHE_DIR": str(tmp_path / "empty")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while "llvmlite" not in Path(f"/proc/{process.pid}/maps").read_text():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(wait)
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, b"")
    assert Path("x.png").read_bytes() == b"old"
    assert leftovers(Path()) == []


def test_a_signal_in_a_destructor_is_not_lost():
    script = """
import os, signal, sys, time
import click
import imgconv.cli as command

class Ending:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        sum([n for n in range(1000)])  # Python calls the handler here

@click.command()
def work():
    command.imports_done()
    Ending()
    time.sleep(20)

command.cli = work
sys.argv = ["imgconv"]
command.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (143, "")


# pictures that go through in strips


def large(rows: int = 20_000, columns: int = 15_000) -> str:
    """An array file that takes no room on the disk; the command needs seconds for the largest."""
    with open("large.npy", "wb") as file:
        described = {"descr": "|u1", "fortran_order": False, "shape": (rows, columns, 3)}
        np.lib.format.write_array_header_1_0(file, described)
        file.truncate(file.tell() + rows * columns * 3)
    return "large.npy"


def has_nameless_file(process: int) -> bool:
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if "deleted" in os.readlink(descriptor):
                return True
    return False


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="tells by /proc that it is at work")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("target", ["x.png", "x.npy", "x.tif", "-"])
def test_signals_amid_strips_leave_the_old_file_and_nothing_else(number, status, target):
    Path(target).write_bytes(b"old")
    command = [sys.executable, "-m", "imgconv", "apply", large(), "-k", "blur", "-o", target, "--overwrite"]
    command += ["--format", "png"] if target == "-" else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while target != "-" and not any(Path(name).stat().st_size for name in leftovers(Path())):
            assert process.poll() is None
            time.sleep(0.01)
        while target == "-" and not has_nameless_file(process.pid):
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert (out, err) == (b"", b"imgconv: interrupted\n" if number == signal.SIGINT else b"")
    assert Path(target).read_bytes() == b"old"
    assert leftovers(Path()) == []


@pytest.mark.parametrize("target", ["x.png", "x.npy", "x.tif", "x.ppm"])
def test_a_disk_that_fills_amid_strips_leaves_the_old_file_and_nothing_else(target):
    Path(target).write_bytes(b"old")
    imgconv("apply", large(5, 5), "-k", "blur", "-o", "warm.png")  # compiled code is kept before files are limited
    limited = (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "sys.argv = ['imgconv', *sys.argv[1:]]\nfrom imgconv.cli import main\nmain()"
    )
    command = [sys.executable, "-c", limited, "apply", large(), "-k", "blur", "-o", target, "--overwrite"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"imgconv: {target}: file too large; nothing was written\n")
    assert Path(target).read_bytes() == b"old"
    assert leftovers(Path()) == []


def test_verbose_says_that_it_went_in_strips():
    assert "in strips of 464 rows" in quick("apply", large(1000, 3000), "-k", "blur", "-o", "x.png", "-v")[1]
    assert "strips" not in quick("apply", "a.png", "-k", "blur", "-v")[1]


@pytest.mark.parametrize("form", ["png", "tif", "npy"])
@pytest.mark.parametrize("rows", [1000, 3000])  # in memory, and on the disk
def test_strips_go_to_standard_output_once_all_are_well(form, rows):
    words = ["apply", large(rows, 3000), "-k", "blur"]
    imgconv(*words, "-o", f"x.{form}")
    assert imgconv(*words, "-o", "-", "--format", form, text=False).stdout == Path(f"x.{form}").read_bytes()
    Path("x.png").write_bytes(saved(Image.fromarray(noise(1500, 1500, 3)), "PNG")[:-5000])
    done = imgconv("apply", "x.png", "-k", "blur", "-o", "-", "--format", form)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"imgconv: x.png: is broken: .*\n", done.stderr)


def test_strips_come_from_standard_input():
    data = saved(Image.fromarray(noise(1500, 1200, 3)), "PNG", compress_level=1)
    Path("x.png").write_bytes(data)
    imgconv("apply", "x.png", "-k", "blur", "-o", "y.png")
    words = ["apply", "-", "-k", "blur", "-o", "z.png", "-v"]
    done = imgconv(*words, input=data, text=False)
    assert b"in strips of" in done.stdout
    assert Path("z.png").read_bytes() == Path("y.png").read_bytes()
    done = imgconv(*words, "--overwrite", input=data[:-5000], text=False)
    assert (done.returncode, done.stderr) == (1, b"imgconv: standard input: is broken: it ends within its pixels\n")
    assert Path("z.png").read_bytes() == Path("y.png").read_bytes()


def test_an_ignored_interrupt_stays_ignored():
    code = (
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nsys.argv = ['imgconv', '--version']\n"
        "from imgconv.cli import main\n"
        "try:\n    main()\nfinally:\n    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


# the other commands


def test_compare_says_same_bytes():
    status, out, _ = quick("compare", "a.png", "-k", "edge_enhance", "--rounds", 1)
    assert status == 0
    assert "same bytes" in out
    found = json.loads(quick("compare", "a.png", "-k", "edge_enhance", "--rounds", 1, "--json")[1])
    assert (found["equal"], found["pixels"], found["kernel"]) == (True, 0, "edge_enhance")


def test_compare_says_what_differs():
    status, out, _ = quick("compare", "a.png", "-k", "edge_enhance", "--border", "edge", "--rounds", 1)
    assert status == 1
    assert "pixels differ" in out
    assert "along the border" in out
    found = json.loads(quick("compare", "a.png", "-k", "sharpen", "--border", "wrap", "--rounds", 1, "--json")[1])
    assert (found["equal"], found["only_border"]) == (False, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a.png", "-k", "1 2 3 4"], "3×3 or 5×5"),
        (["a.png", "-k", "blur", "--padding", "valid"], "size of the picture"),
        (["a.png", "-k", "blur", "--anchor", "0,0"], "anchor"),
        (["a.png", "-k", "blur", "--stride", "2"], "--stride"),
        (["a.png", "-k", "blur", "--after", "float"], "--after"),
        (["a.png", "-k", "blur", "-k", "sharpen", "--combine", "max"], "--combine"),
        (["stack.npy", "-k", "stack.npy"], "same weights"),
        (["deep.tif", "-k", "blur"], "8-bit"),
        (["x.npy", "-k", "blur"], "8-bit"),
    ],
)
def test_compare_says_why_pillow_cannot(words, told):
    Image.fromarray(noise(8, 9, dtype="uint16")).save("deep.tif")
    np.save("x.npy", np.ones((4, 5)))
    np.save("stack.npy", np.ones((3, 3, 3)))
    status, out, _ = quick("compare", *words, "--peer", "pillow")
    assert status == 1
    assert "Pillow cannot do this" in out
    assert told in out


def test_kernels_are_listed_and_shown_and_written_as_files():
    status, out, _ = quick("kernels")
    assert status == 0
    listed = dict(line.split("\t")[:2] for line in out.splitlines())
    assert listed["edge_enhance"] == "3×3"
    named = {each["name"] for each in json.loads(quick("kernels", "list", "--json")[1])}
    assert named == {name.removesuffix(":") for name in listed}
    assert "sum" in quick("kernels", "show", "emboss")[1]
    Path("mine.toml").write_text(quick("kernels", "show", "emboss", "--toml")[1])
    quick("apply", "a.png", "-k", "mine.toml", "-o", "1.png")
    quick("apply", "a.png", "-k", "emboss", "-o", "2.png")
    assert Path("1.png").read_bytes() == Path("2.png").read_bytes()


def test_doctor_and_completion_say_something():
    assert json.loads(quick("doctor", "--json")[1])["packages"]["numpy"] == np.__version__
    for shell in ("bash", "zsh", "fish"):
        assert "_IMGCONV_COMPLETE" in quick("completion", shell)[1]


def test_every_command_has_help_with_every_option_explained():
    for name in cli.list_commands(None):
        command = cli.get_command(None, name)
        assert command.help
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, (name, parameter.name)


def test_a_kernel_that_begins_with_a_minus_is_no_option():
    status, shown, _ = quick("kernels", "show", "-1 0 1")
    assert status == 0
    assert "-1   0   1" in shown


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100 %"), (0.5914, "59 %"), (0.0996, "10 %"), (0.0587, "5.9 %"), (0.0032, "0.32 %"), (1e-9, "under 0.01 %")],
)
def test_a_share_is_told_as_people_read_it(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("kernel", "alpha"), [("gaussian:sigma=1", "premultiply"), ("sobel_x", "keep"), ("blur", "straight"),
                          ("identity", "straight"), ("sepia", "keep")],
)  # fmt: skip
def test_explain_says_what_auto_chose(kernel, alpha):
    Image.fromarray(noise(8, 9, 4)).save("c.png")
    status, told, _ = quick("apply", "c.png", "-k", kernel, "--explain")
    assert status == 0
    assert f"alpha {alpha}" in told
    assert "auto" not in told
