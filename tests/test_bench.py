"""The benchmark's machinery on tiny pictures: what is right, what is left out, what is printed. No times."""

from __future__ import annotations

import io
import json
import math
import re
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from imgconv.bench import animations, chart, codecs, commands, costs, folders, measure, programs, scaling, small
from imgconv.bench.works import WORKS, Work, error_from, picture
from imgconv.cli import cli
from imgconv.engine.proof import SUMS_OFF
from imgconv.errors import UsageError
from imgconv.peers.table import PEERS, Peer
from imgconv.peers.task import Unsupported

TINY = measure.Settings(rows=61, columns=80, rounds=1, threads=2)
MIDDLING = measure.Settings(rows=190, columns=200, rounds=1, threads=2)  # larger than the largest kernel
LIBRARY = [work for work in WORKS if work.kind != "command"]
FACTS = measure.machine(1)
# levels: rounding is off by one half; float32 sums of 16-bit samples by a little more
RIGHT = {"uint8": 0.51, "uint16": 0.53, "float32": 1e-5}


def named(name):
    return next(work for work in WORKS if work.name == name)


def run(*words):
    found = CliRunner().invoke(cli, ["bench", *map(str, words)], standalone_mode=False)
    if found.exception is not None:
        raise found.exception
    return found.stdout


@pytest.fixture(autouse=True)
def _only_what_is_quick(request, monkeypatch):
    """Halide compiles for seconds; one test asks for it."""
    if "halide" not in request.node.name:
        monkeypatch.delitem(PEERS, "halide")


@pytest.mark.parametrize("work", LIBRARY, ids=lambda work: work.name)
def test_every_method_and_peer_does_the_work(work):
    source = picture(MIDDLING.rows, MIDDLING.columns, 3, work.dtype)
    row = measure.measure(work, source, MIDDLING)
    assert not [timing.problem for timing in row.timings if timing.problem]
    if work.kind == "copy":
        assert [timing.tool for timing in row.timings] == ["NumPy"]
        return
    ours = [timing for timing in row.timings if timing.tool == "imgconv"]
    assert [timing.chosen for timing in ours] == [True] + [False] * (len(ours) - 1)
    assert "direct" in [timing.method for timing in ours]
    for timing in ours:
        if not timing.estimated:
            assert timing.error is not None
            by_design = SUMS_OFF if timing.method in ("decimated", "fixed") else 0
            assert timing.error < RIGHT[work.dtype] + by_design
            assert timing.times_s
    for timing in row.timings:  # of the others some cut, some approximate, but all slide the same kernel
        if timing.tool == "OpenCV":
            assert timing.error < 1
        elif timing.tool == "SciPy" and work.kind == "dense" and work.name != "edge_enhance":
            assert timing.error <= 1
        elif timing.tool == "scikit-image":
            assert timing.error < 0.1
        elif timing.tool in ("libvips", "Pillow"):
            assert timing.error < (12 if work.dtype == "uint16" else 6)


@pytest.mark.parametrize("name", ["edge_enhance", "7x7", "box15", "3x3-16bit", "3x3-float"])
def test_halide_does_the_work(name):
    pytest.importorskip("halide")
    work = named(name)
    source = picture(TINY.rows, TINY.columns, 3, work.dtype)
    found = PEERS["halide"].prepare(work.task, source, np.empty_like(source), 2)()
    assert error_from(work, source)(found) < RIGHT[work.dtype]


def test_a_wrong_result_shows(monkeypatch):
    liar = Peer("Liar", "numpy", ("numpy",), lambda task, source, target, threads: source.copy)
    monkeypatch.setitem(PEERS, "liar", liar)
    source = picture(TINY.rows, TINY.columns, 3, "uint8")
    row = measure.measure(named("5x5"), source, TINY)
    liar = row.timings[-1]
    assert liar.error > 5
    assert chart.is_off(row, liar)
    assert "off by" in chart.markdown([row], FACTS, source.shape)


def test_a_missing_peer_is_left_out_and_a_failing_one_is_shown(monkeypatch):
    def missing(*_):
        raise ImportError

    def failing(*_):
        raise RuntimeError("out of\nluck")

    def lacking(*_):
        raise Unsupported("it has no such thing")

    for name, make in (("opencv", missing), ("scipy", failing), ("libvips", lacking)):
        monkeypatch.setitem(PEERS, name, PEERS[name]._replace(make=make))
    row = measure.measure(named("3x3"), picture(9, 9, 1, "uint8"), TINY)
    found = {timing.tool: timing for timing in row.timings}
    assert not {"OpenCV", "libvips"} & set(found)
    assert found["SciPy"].problem == "RuntimeError: out of luck"
    assert found["SciPy"].median_s is None
    assert "failed" in chart.markdown([row], FACTS, (9, 9, 1))


def test_what_is_slow_is_run_less_often(monkeypatch):
    work, source = named("3x3"), picture(64, 9, 1, "uint8")
    rounds = measure.Settings(64, 9, 1, rounds=3)

    def pillow():
        return next(timing for timing in measure.measure(work, source, rounds).timings if timing.tool == "Pillow")

    assert len(pillow().times_s) == 3
    monkeypatch.setattr(measure, "PATIENCE_S", 0.0)
    assert (len(pillow().times_s), pillow().estimated) == (1, False)
    monkeypatch.setattr(measure, "TOO_LONG_S", 0.0)
    assert (len(pillow().times_s), pillow().estimated, pillow().error) == (1, True, None)


def test_turns_are_taken():
    said = []
    makers = [(measure.Timing(name), lambda name=name: said.append(name), most) for name, most in (("a", 9), ("b", 2))]
    measure.take_turns(makers, 3)
    assert "".join(said) == "ababa"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_picture_has_a_photos_spectrum(dtype):
    found = picture(256, 300, 3, dtype)
    assert (found.shape, found.dtype) == ((256, 300, 3), dtype)
    np.testing.assert_array_equal(found, picture(256, 300, 3, dtype))
    plane = found[:, :256, 0].astype(float)
    power = np.abs(np.fft.fft2(plane - plane.mean())) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256))) * 256
    rings = [power[(radius >= r) & (radius < 2 * r)].mean() for r in (4, 8, 16, 32, 64)]
    slope = np.polyfit(np.log2([4, 8, 16, 32, 64]), np.log2(rings), 1)[0]
    assert -3.2 < slope < -1.6  # photographs have about -2
    assert picture(1, 1, 2, dtype).shape == (1, 1, 2)


def test_the_reference_is_the_sum():
    source = picture(20, 23, 1, "uint8")
    work = Work("", "", "dense", 3)
    exact = np.zeros(source.shape)
    for y in range(1, 19):
        for x in range(1, 22):
            exact[y, x, 0] = (work.task.weights * source[y - 1 : y + 2, x - 1 : x + 2, 0]).sum()
    assert error_from(work, source)(exact) < 1e-9
    exact[10, 5] += 3
    assert error_from(work, source)(exact) == pytest.approx(3)
    assert error_from(named("31x31"), source)(exact) is None  # every window leaves the picture


def test_sizes_are_three_to_four():
    assert measure.shape_of(12) == (3000, 4000)
    assert measure.shape_of(0.0001) == (9, 12)


def test_commands_take_files_to_files():
    row = commands.measure(named("small-png"), TINY)
    found = {timing.tool: timing for timing in row.timings}
    assert {"imgconv", "Python + Pillow"} <= found.keys()
    for timing in row.timings:
        assert timing.problem == ""
        assert timing.error <= (1 if timing.tool == "GEGL" else 0.5) if timing.filters else timing.error is None
        assert timing.size_bytes > 100
    assert commands.measure(named("jpeg"), measure.Settings(9, 9, channels=4)) is None
    row = commands.measure(named("jpeg"), measure.Settings(33, 40, channels=1, rounds=1))
    assert {timing.error for timing in row.timings} == {None}
    assert {timing.problem for timing in row.timings} == {""}


@pytest.mark.parametrize("name", ["animation", "raw-video"])
def test_animations_go_through_whole(name):
    row = animations.measure(named(name), measure.Settings(30, 40, rounds=1))
    assert {"imgconv", "Python + Pillow"} <= {timing.tool for timing in row.timings}
    assert (row.work.frames, row.work.about.split(", ")[-1]) == (2, "2 frames of 40×30")
    for timing in row.timings:
        assert timing.problem == ""
        assert timing.error is None if name == "animation" else timing.error <= 1
        assert row.frames_per_s(timing) == 2 / timing.median_s


def test_a_command_that_fails_is_shown(monkeypatch, tmp_path):
    words = [sys.executable, "-c", "raise SystemExit('no luck')"]
    monkeypatch.setattr(commands, "command_lines", lambda *_: {"x": (words, tmp_path / "x.png")})
    timing, *_ = commands.measure(named("png"), TINY).timings
    assert timing.problem == "exit status 1: no luck"


def test_programs_that_are_not_there_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(commands, "program", lambda name: None)
    monkeypatch.setattr(Peer, "installed", False)
    found = commands.command_lines(tmp_path / "a.png", tmp_path, 3, 1)
    assert list(found) == ["imgconv", "Python + Pillow"]
    assert commands.versions() == {}


def test_json_has_everything():
    told = json.loads(run("--size", 0.002, "--rounds", 1, "--only", "copy,3x3", "--only", "box15", "-t", 1, "--json"))
    assert set(told) == {"machine", "rows", "columns", "channels", "rounds", "works"}
    assert set(told["machine"]) == {"cpu", "vectors", "cores", "threads", "system", "versions", "date", "load"}
    assert told["machine"]["threads"] == 1
    assert {"imgconv", "python", "NumPy", "Pillow"} <= told["machine"]["versions"].keys()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", told["machine"]["date"])
    assert [work["work"] for work in told["works"]] == ["copy", "3x3", "box15"]
    first = told["works"][1]["results"][0]
    assert set(first) == {"tool", "method", "chosen", "median_ms", "min_ms", "ratio", "codecs_ratio", "rounds", "error",
                          "estimated", "size_bytes", "problem", "frames_per_s"}  # fmt: skip
    assert (first["tool"], first["chosen"], first["ratio"], first["problem"]) == ("imgconv", True, 1.0, None)


def test_lines_in_a_pipe_and_markdown_and_plots(tmp_path):
    words = ["--size", 0.002, "--rounds", 1, "--only", "3x3,box15"]
    lines = run(*words, "--plot", tmp_path / "a.svg").splitlines()
    assert FACTS["cpu"] in lines[0]
    assert all(line.split("\t")[0] in ("3x3", "box15") for line in lines[1:])
    assert "\x1b" not in "".join(lines)
    drawn = ElementTree.fromstring((tmp_path / "a.svg").read_text())
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"imgconv", "Pillow", "box, radius 15"} <= set(texts)
    table = run(*words, "--markdown", "--plot", tmp_path / "a.png")
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert len(rows) == 4
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as image:
        assert image.format == "PNG"
        assert image.width == 1350


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "3x33"], "near it: 3x3"),
        (["--plot", "x.jpg"], ".svg or .pdf"),
        (["--costs", "--only", "3x3"], "--only"),
        (["--scaling", "--channels", "1"], "--channels"),
        (["--costs", "--scaling"], "one at a time"),
        (["--scaling", "--plot", "x.svg"], "neither --costs nor --scaling"),
        (["--json", "--markdown"], "--markdown for none"),
        (["--batch", "--threads", "1"], "--threads"),
        (["--batch", "--only", "png"], "near it: pngs"),
        (["--files", "4"], "for --batch and --small"),
        (["--small", "--batch"], "one at a time"),
        (["--small", "--only", "png"], "--only"),
    ],
)
def test_misuse_is_said(words, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        run(*words)


def test_costs_hold_the_plan_against_the_clock():
    settings = measure.Settings(48, 64, 1, rounds=1)
    found = costs.costs(settings, ("edge_enhance", "box, radius 2"), ("uint8", "float32"))
    assert {cost.dtype for cost in found} == {"uint8", "float32"}
    assert {"direct", "fused", "fixed", "integer", "separable", "box", "fourier"} >= {cost.method for cost in found}
    for name in ("edge_enhance", "box, radius 2"):
        assert sum(cost.chosen for cost in found if (cost.kernel, cost.dtype) == (name, "uint8")) == 1
    assert costs.cycle_ns(found) > 0
    told = json.loads(json.dumps([cost.as_dict() for cost in found]))
    assert told[0]["tap_ns"] == pytest.approx(told[0]["measured_ns"] / told[0]["taps"])


def test_a_wrong_choice_is_told():
    def cost(method, ns, error=0.0, chosen=False, allowed=True):
        return costs.Cost("k", method, 9, chosen, allowed, error, "uint8", ns, 10.0)

    def wrong(*others):
        return [best.method for a, best in costs.regrets([choice, *others]) if costs.is_wrong(a, best)]

    choice = cost("direct", 10, chosen=True)
    assert wrong(cost("integer", 9)) == []
    assert wrong(cost("integer", 5), cost("box", 7)) == ["integer"]
    assert wrong(cost("fused", 8.5, 1.0)) == []  # not worth a level
    assert wrong(cost("fused", 5, 1.0)) == ["fused"]
    assert wrong(cost("fused", 5, 1.0, allowed=False)) == []


def test_scaling_goes_over_sizes_threads_and_kernels(monkeypatch):
    monkeypatch.setattr(scaling, "SIZES", (0.001, 0.002, 1.0))
    monkeypatch.setattr(scaling, "SIDES", (3, 41))
    monkeypatch.setattr(scaling, "LONGEST_S", 1e-9)  # everything is slow: no method is tried at a second side
    points = list(scaling.measure(0.002, 1, 1))
    assert {point.megapixels for point in points if point.what == "size"} == {0.001, 0.002}
    assert {point.threads for point in points if point.what == "threads"} >= {1}
    kernels = [point for point in points if point.what == "kernel"]
    assert {point.kernel for point in kernels} == {"dense", "gaussian", "box"}
    assert len({(point.kernel, point.method) for point in kernels}) == len(kernels)
    for family in ("dense", "gaussian", "box"):
        assert sum(point.chosen for point in kernels if (point.kernel, point.taps) == (family, 3)) == 1
    assert all(point.median_s > 0 for point in points)
    assert points[0].as_dict()["ms_per_megapixel"] == pytest.approx(points[0].median_s * 1e6)


def test_scaling_prints_lines_or_json(monkeypatch):
    monkeypatch.setattr(scaling, "SIDES", (3,))
    text = run("--scaling", "--size", "0.001", "--rounds", "1")
    assert [line.split()[1] for line in text.splitlines() if line.startswith("by ")] == ["size", "threads", "kernel"]
    assert text.splitlines()[-1].startswith("regret, ")
    told = json.loads(run("--scaling", "--size", "0.001", "--rounds", "1", "--json"))
    assert told["points"][0]["what"] == "size"
    assert told["machine"]["cores"] >= 1


SOME = {name: programs.PROGRAMS[name] for name in ("imgconv", "Pillow Pool", programs.THREADS)}
OWN, *_ = codecs.CODECS[".png"]


def test_folders_are_done_by_everybody(monkeypatch):
    monkeypatch.setattr(programs, "PROGRAMS", SOME)
    monkeypatch.setattr(folders, "TOO_SLOW", math.inf)  # what is only estimated on a busy machine is not looked at
    monkeypatch.setitem(codecs.CODECS, ".png", {OWN: codecs.png})
    monkeypatch.setattr(programs, "XARGS", commands.Command("", programs=("no-such-program",)))
    monkeypatch.setattr(folders, "folders", lambda *_: [folders.Folder(named("png"), 3, 18, 24)])
    (told,) = json.loads(run("--batch", "--json"))["works"]
    assert [one["tool"] for one in told["results"]] == [*SOME, OWN]
    for one in told["results"]:
        assert one["problem"] is None
        assert one["files_per_s"] == pytest.approx(3e3 / one["median_ms"], rel=1e-3)
        assert one["cpu_ms_per_file"] >= 0
        assert one["codecs_ratio"] is None if one["tool"] == OWN else one["codecs_ratio"] > 0
        assert (one["in_turn_ms_per_file"] is None) == (one["tool"] in ("Pillow Pool", OWN))
    assert [one["error"] for one in told["results"]] == [0.5, 0.5, 0.5, None]
    parts = told["imgconv_cpu_ms_per_file"]
    assert [*parts] == ["parent", "workers", "job: codecs", "job: loops", "job: fsync", "job: Python"]
    assert all(ms > 0 for name, ms in parts.items() if name.startswith("job"))


def test_small_pictures_and_files_are_told(monkeypatch):
    monkeypatch.setattr(small, "SIDES", (5, 16))
    monkeypatch.setattr(small, "SAMPLE_S", 0.0)
    some = {name: programs.PROGRAMS[name] for name in ("imgconv", *small.POOLS)}
    monkeypatch.setattr(programs, "PROGRAMS", some)
    few = [
        folders.Folder(replace(named(work), name=name), number, 18, 24)
        for work, name, number in (("jpeg", "jpegs", 3), ("png", "small-pngs", 40))
    ]
    monkeypatch.setattr(folders, "folders", lambda *_: few)
    told = json.loads(run("--small", "--size", "0.001", "--rounds", "1", "--json"))
    calls, files, installed = told["tables"]
    assert [*calls["rows"]] == ["5×5 float32", "5×5 RGB", "16×16 RGB"]
    assert [*calls["rows"]["5×5 RGB"]] == [*small.CALLS]
    assert all(calls["rows"]["16×16 RGB"].values())
    assert calls["rows"]["5×5 float32"]["Pillow"] is None  # it takes no such pictures
    assert all(files["rows"]["4 PNGs of 512×512, a command for each"].values())
    ratios = [row["Pillow"] / row["installed()"] for row in installed["rows"].values()]
    assert [row["times as fast"] for row in installed["rows"].values()] == pytest.approx(ratios)
    assert len(ratios) == 9


def test_what_is_small_is_told_in_lines():
    table = small.Table("k", "ms", ("a", "b"), {"x": (1234.5, None), "y": (12.34, 0.5)})
    lines = [["k,", "ms", "a", "b"], ["x", "1234", "–"], ["y", "12.3", "0.50"]]
    assert [line.split() for line in table.lines(False)] == lines
    assert table.lines(True)[1:3] == ["|---|---:|---:|", "| x | 1234 | – |"]


@pytest.mark.skipif(commands.program(programs.XARGS) is None, reason="no xargs")
def test_xargs_is_given_the_files(tmp_path):
    lines = programs.folder_lines(".jpg", 100, tmp_path, 2)
    list_of_names = ["-a", str(tmp_path / "names"), "-P", "2"]
    for tool in ("imgconv under xargs -n 1", "imgconv under xargs -n 12"):
        assert lines[tool][1:6] == [*list_of_names, "-n"]
        assert lines[tool][-4:] == ["-j", "1", "-t", "1"]
    assert {"imgconv", "Pillow Pool", "codecs alone: Pillow"} <= lines.keys()
    if "vips under xargs" in lines:
        assert "@.jpg" in lines["vips under xargs"]
        assert f"{tmp_path / 'out' / '@.jpg'}[Q=90]" in lines["vips under xargs"]


def test_what_a_folder_took_is_told_in_lines():
    times = {"imgconv": 2.0, "x": 8.0, "codecs": 1.6}
    timings = [measure.Timing(tool, times_s=[seconds], filters=tool != "codecs") for tool, seconds in times.items()]
    folder = folders.folders(100, 1000, 2000)[0]
    row = measure.Row(folder.work, [*timings, measure.Timing("y", problem="no luck")])
    cpu_s, parts_s = {"imgconv": 0.1, "x": 0.4}, {"parent": 0.02, "workers": 0.08}
    result = folders.Result(folder, row, cpu_s, parts_s, {"imgconv": 0.02})
    lines = result.lines(markdown=False)
    assert lines[0].startswith("100 JPEGs of 2000×1000")
    assert lines[1].split() == ["imgconv", "50", "1", "1.25", "100", "20", "50"]  # one after the other in its parent
    assert lines[2].split() == ["x", "12.5", "4", "5", "400", "40"]
    assert lines[3].split() == ["codecs", "62.5", "0.8"]
    assert lines[4].split() == ["y", "failed"]
    assert lines[6:8] == ["y: no luck", "CPU milliseconds of imgconv for a file: parent 20, workers 80."]
    assert lines[8] == "imgconv takes 1.25 times as long as its codecs."
    assert len({line.count("|") for line in result.lines(markdown=True)[:6]}) == 1


def test_folders_are_measured_where_cpu_time_is_not_known(monkeypatch):
    monkeypatch.setattr(programs, "PROGRAMS", {name: programs.PROGRAMS[name] for name in ("imgconv", "Pillow Pool")})
    monkeypatch.setitem(codecs.CODECS, ".png", {})
    monkeypatch.setattr(programs, "XARGS", commands.Command("", programs=("no-such-program",)))
    monkeypatch.setattr(folders._Place, "inside", lambda self: {})
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(folders, "SPENT_SCRIPT", "raise ImportError")
    result = folders.measure(folders.Folder(named("png"), 3, 18, 24), 1, 1)
    assert [timing.problem for timing in result.row.timings] == ["", ""]
    assert not result.cpu_s
    assert "CPU time is not known here." in result.lines(markdown=False)


def test_a_readme_has_a_machine_by_its_name_and_who_is_faster():
    timings = [measure.Timing(tool, times_s=[seconds]) for tool, seconds in (("imgconv", 2.0), ("x", 1.5), ("y", 3.0))]
    timings.append(measure.Timing("codecs alone: z", times_s=[1.0], filters=False))
    facts = FACTS | {"cpu": "A CPU", "vectors": "AVX2", "cores": 2}
    heading, table, faster, *_ = chart.markdown([measure.Row(named("png"), timings)], facts, (1, 1, 3)).split("\n\n")
    assert heading == "### A CPU, AVX2, 2 cores"
    assert table.splitlines()[0] == "| whole command | imgconv | x | y | codecs alone |"
    assert "| **2 s** (2.0× codecs) | 1.5 s (0.75×) | 3 s (1.5×) | 1 s (z) |" in table
    assert faster == "Faster than imgconv: edge_enhance, PNG to PNG: x 1.5 s (0.75×)."
