"""Jobs: names of results, clashes found before any work, and an honest outcome for each file."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from makers import encode_png, exif, leftovers, noise, opened, png16, saved, smooth
from PIL import Image

from imgconv.batch import frames as frames_module
from imgconv.batch import job as job_module
from imgconv.batch import run as run_module
from imgconv.batch.inputs import find_inputs
from imgconv.batch.job import Handling, Work
from imgconv.batch.report import Outcome
from imgconv.batch.run import over, run, worth
from imgconv.batch.targets import Job, Targets, check_encoder_options, make_jobs
from imgconv.errors import UsageError
from imgconv.formats.read import read
from imgconv.formats.write import encode
from imgconv.kernels.spec import kernel
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

RECIPE = Recipe((kernel("blur"),))


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Path(name).write_bytes(saved(Image.fromarray(smooth(12, 16)), "PNG"))
    Path("sub").mkdir()
    Path("sub/a.png").write_bytes(Path("a.png").read_bytes())


def jobs(*names, output=None, recursive=False, **targets):
    given = Targets(output, **targets)
    return make_jobs(find_inputs(names, given, recursive).files, "blur", given)[0]


def outcomes(*names, recipe=RECIPE, handling=None, most=1, **targets):
    given = Targets(**targets)
    made = make_jobs(find_inputs(names, given, False).files, recipe.name, given)[0]
    return list(run(made, Work(recipe, given, handling or Handling()), most))


# names


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (None, ["a.blur.png", "sub/a.blur.png"]),
        ("{dir}/{stem}-{index}{ext}", ["a-1.png", "sub/a-2.png"]),
        ("{index:04}.{kernel}.tif", ["0001.blur.tif", "0002.blur.tif"]),
        ("{index:3d}{{}}.jpg", ["  1{}.jpg", "  2{}.jpg"]),
    ],
)
def test_templates(output, expected):
    assert [job.output for job in jobs("a.png", "sub/a.png", output=output)] == expected


@pytest.mark.parametrize(
    "template",
    ["{stem.__class__}.png", "{stem[0]}.png", "{0}.png", "{}.png", "{foo}.png", "{stem", "stem}",
     "{stem:>99999999}.png", "{index:999999999}.png", "{index:{stem.__class__}}.png", "{index:{index}}.png",
     "{index:x}.png", "{stem!z}.png",
     "{stem!r}.png"],
)  # fmt: skip
def test_bad_templates_are_refused_in_one_line(template):
    with pytest.raises(UsageError, match="--output") as caught:
        jobs("a.png", output=template)
    assert len(str(caught.value).splitlines()) == 1


def test_format_gives_the_ending():
    assert jobs("a.png", format="jpg")[0].output == "a.blur.jpg"
    assert jobs("a.png", format=".WEBP")[0].format == "WEBP"
    assert jobs("a.png", output="x.dat", format="png")[0].format == "PNG"


def test_a_name_with_braces_is_taken_as_it_is():
    Path("{stem}{.png").write_bytes(b"")
    assert jobs("{stem}{.png")[0].output == "{stem}{.blur.png"


def test_out_dir_takes_all_and_keeps_the_tree_with_r():
    assert [job.output for job in jobs("a.png", out_dir=Path("out"))] == ["out/a.blur.png"]
    Path("tree/x/y").mkdir(parents=True)
    for name in ("tree/x/y/a.png", "tree/b.jpg", "tree/notes.txt", "tree/.imgconv-1.part"):
        Path(name).write_bytes(b"")
    found = [job.output for job in jobs("tree", recursive=True, out_dir=Path("out"))]
    assert sorted(found) == ["out/b.blur.jpg", "out/x/y/a.blur.png"]


def test_results_of_an_earlier_run_are_no_inputs():
    Path("tree/out").mkdir(parents=True)
    for name in ("tree/a.png", "tree/out/a.blur.png"):
        Path(name).write_bytes(b"")
    found = jobs("tree", recursive=True, out_dir=Path("tree/out"), overwrite=True)
    assert [job.input for job in found] == ["tree/a.png"]


# clashes


@pytest.mark.parametrize(
    ("names", "options", "told"),
    [
        (["a.png", "sub/a.png"], {"out_dir": Path("out")}, "would both be written"),
        (["a.png", "./a.png"], {}, "given twice"),
        (["a.png", "b.png"], {"output": "x.png"}, "cannot go to one file"),
        (["a.png", "b.png"], {"output": "{kernel}.png"}, "would both be written"),
        (["a.png", "b.png"], {"output": "-"}, "cannot go to one standard output"),
        (["-", "-"], {"output": "{index}.png"}, "only once"),
        (["a.png"], {"output": "sub"}, "is a folder"),
        (["a.png", "a.png"], {}, "given twice"),
        (["a.png"], {"output": "new/"}, "is a folder; --out-dir"),
        (["a.png"], {"output": ""}, "empty name"),
        ([""], {}, "empty name"),
        (["a.png"], {"output": "none/x.png"}, "there is no folder none"),
        (["a.png"], {"output": "x.foo"}, "ending is not one"),
        (["a.png"], {"output": "x"}, "ending is not one"),
        (["a.png"], {"output": "-", "format": "foo"}, "--format 'foo'"),
        (["a.png"], {"output": "b.png"}, "b.png: exists"),
        (["a.png"], {"output": "a.png"}, "is an input"),
        (["a.png"], {"output": "a.png", "overwrite": True}, "is an input"),
        (["a.png"], {"output": "link.png", "overwrite": True}, "is an input"),
        (["a.png"], {"output": "hard.png", "overwrite": True}, "is an input"),
        (["a.png", "b.png"], {"output": "{stem}.png", "overwrite": True}, "is an input"),
        (["a.png"], {"output": "pipe.png", "overwrite": True}, "not a regular file"),
        (["a.png"], {"in_place": True, "output": "x.png"}, "--in-place"),
        (["a.png"], {"in_place": True, "format": "jpg"}, "--in-place"),
        (["a.png"], {"in_place": True, "overwrite": True}, "exclude each other"),
        (["a.png", "link.png"], {"in_place": True}, "would both be written"),
        (["-"], {"in_place": True}, "standard input"),
        (["a.png"], {"output": "-", "out_dir": Path("out")}, "exclude each other"),
        (["sub"], {}, "is a folder; -r"),
    ],
)
def test_clashes_are_found_before_any_work(names, options, told):
    Path("link.png").symlink_to("a.png")
    os.link("a.png", "hard.png")
    os.mkfifo("pipe.png")
    before = sorted(str(path) for path in Path().rglob("*"))
    with pytest.raises(UsageError, match=told) as caught:
        jobs(*names, **options)
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(str(path) for path in Path().rglob("*")) == before


def test_a_link_to_a_folder_is_seen_through():
    Path("alias").symlink_to("sub")
    with pytest.raises(UsageError, match="would both be written"):
        jobs("sub/a.png", "alias/a.png")


def test_a_dangling_link_counts_as_existing():
    Path("x.png").symlink_to("nowhere.png")
    with pytest.raises(UsageError, match="exists"):
        jobs("a.png", output="x.png")


def test_a_folder_that_cannot_be_listed_fails_alone(monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied", "sub")

    monkeypatch.setattr(os, "scandir", refuse)
    (problem,) = find_inputs(["sub"], Targets(), True).problems
    assert problem.problem == "sub: permission denied"


def test_encoder_options_that_no_target_takes_are_refused():
    with pytest.raises(UsageError, match="PNG takes"):
        check_encoder_options(jobs("a.png"), {"quality": 3})
    check_encoder_options(jobs("a.png", format="jpg"), {"quality": 3})
    with pytest.raises(UsageError, match="no option"):
        check_encoder_options(jobs("a.png", format="npy"), {"quality": 3})


# work


def test_a_failed_file_leaves_the_others():
    Path("b.png").write_bytes(b"broken")
    found = outcomes("a.png", "b.png", "none.png", "sub/a.png")
    assert [each.status for each in found] == ["done", "failed", "failed", "done"]
    assert found[1].error.startswith("b.png: ")
    assert found[2].error == "none.png: no such file or directory"
    assert not Path("b.blur.png").exists()
    with Image.open("a.png") as image, Image.open("a.blur.png") as result:
        from PIL import ImageFilter

        assert result.tobytes() == image.filter(ImageFilter.BLUR).tobytes()


def test_every_error_names_its_file_once():
    Path("c.png").write_bytes(saved(Image.fromarray(noise(5, 6, 4), "RGBA"), "PNG"))
    (found,) = outcomes("c.png", format="jpg")
    why = "JPEG cannot hold an alpha channel (RGBA); write .png or .tif, or give --background COLOUR"
    assert found.error == f"c.png: {why}"


def test_skip_existing_leaves_what_is_there():
    Path("a.blur.png").write_bytes(b"kept")
    found = outcomes("a.png", "b.png", skip_existing=True)
    assert [each.status for each in found] == ["skipped", "done"]
    assert Path("a.blur.png").read_bytes() == b"kept"


def test_in_place_writes_over_the_input_through_a_link():
    Path("a.png").write_bytes(saved(Image.fromarray(noise(12, 16, 3)), "PNG"))
    Path("link.png").symlink_to("a.png")
    before = Path("a.png").read_bytes()
    (found,) = outcomes("link.png", in_place=True)
    assert found.status == "done"
    assert Path("link.png").is_symlink()
    assert Path("a.png").read_bytes() != before


def test_in_place_keeps_the_format_that_the_content_has():
    Path("a.png").write_bytes(saved(Image.fromarray(smooth(12, 16)), "JPEG"))
    outcomes("a.png", in_place=True)
    assert Path("a.png").read_bytes().startswith(b"\xff\xd8")


def test_frames_are_told_and_never_lost_in_place():
    frames = [Image.fromarray(noise(8, 9, 3, seed=seed)) for seed in range(3)]
    data = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    Path("many.tif").write_bytes(data)
    (found,) = outcomes("many.tif", frames=(1,))
    assert (found.notes, found.frames) == (["only the first of 3 frames was filtered"], 1)
    (found,) = outcomes("many.tif", in_place=True, frames=(1,))
    assert (found.status, Path("many.tif").read_bytes()) == ("failed", data)
    (found,) = outcomes("many.tif", in_place=True)
    assert (found.status, found.frames) == ("done", 3)
    with Image.open("many.tif") as image:
        assert image.n_frames == 3


def test_metadata_travels_as_asked():
    options = {"exif": exif(orientation=6), "dpi": (300, 300), "icc_profile": b"icc"}
    Path("m.jpg").write_bytes(saved(Image.fromarray(smooth(16, 24)), "JPEG", **options))
    for words in ((), ("icc",), ("exif", "dpi"), ("exif", "icc", "dpi")):
        outcomes("m.jpg", output="m.png", overwrite=True, handling=Handling(metadata=frozenset(words)))
        with Image.open("m.png") as image:
            found = {
                word for word, key in {"exif": "exif", "icc": "icc_profile", "dpi": "dpi"}.items() if key in image.info
            }
        assert found == set(words)


def test_auto_orient_filters_the_upright_picture():
    Path("m.jpg").write_bytes(saved(Image.fromarray(smooth(16, 24)), "JPEG", exif=exif(orientation=6)))
    (found,) = outcomes("m.jpg", handling=Handling(auto_orient=True))
    assert found.shape[:2] == (24, 16)
    with Image.open("m.blur.jpg") as image:
        assert (image.size, image.getexif()[274]) == ((16, 24), 1)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint32", "int64", "float16", "float64", "bool"])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 7)])
def test_arrays_keep_type_and_shape(dtype, shape):
    array = (noise(*shape) % 2).astype(dtype)
    np.save("x.npy", array)
    outcomes("x.npy", recipe=Recipe((kernel("identity"),)))
    found = np.load("x.identity.npy")
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_a_picture_becomes_numbers_and_a_picture_again():
    outcomes("a.png", recipe=Recipe((kernel("identity"),)), format="npy")
    outcomes("a.identity.npy", recipe=Recipe((kernel("identity"),)), output="back.png")
    with Image.open("a.png") as a, Image.open("back.png") as b:
        assert a.tobytes() == b.tobytes()


def test_json_has_exactly_the_promised_keys():
    keys = (
        "input output kernel mode border method size channels dtype frames read_s filter_s write_s compile_s total_s"
        " clipped notes"
    )
    Path("b.png").write_bytes(b"")
    for found in outcomes("a.png", "b.png"):
        assert list(found.as_dict(RECIPE)) == [*keys.split(), "status", "error"]


def test_too_little_memory_is_an_error_of_the_file(monkeypatch):
    def refuse(*_, **__):
        raise MemoryError

    for module, name in ((job_module, "sink_of"), (frames_module, "filter_frame")):
        monkeypatch.setattr(module, name, refuse)
        (found,) = outcomes("a.png")
        assert found.error == "a.png: is too large for the memory of this machine"


# several at once


@pytest.mark.parametrize("handling", [Handling(), Handling(auto_orient=True)])
def test_many_jpegs_come_out_as_each_by_itself(handling):
    names = [f"{number}.jpg" for number in range(4)]
    for number, name in enumerate(names):
        Path(name).write_bytes(saved(Image.fromarray(noise(40, 30 + number, 3)), "JPEG", exif=exif(orientation=6)))
    Path(names[2]).write_bytes(Path(names[2]).read_bytes()[:300])
    alone = [outcomes(name, handling=handling, out_dir=Path("alone"))[0] for name in names]
    together = outcomes(*names, handling=handling, out_dir=Path("together"), most=2)
    assert [each.status for each in together] == ["done", "done", "failed", "done"]
    assert [each.error for each in together] == [each.error for each in alone]
    for one, other in zip(alone, together, strict=True):
        if one.status == "done":
            assert one.job.target.read_bytes() == other.job.target.read_bytes()


def test_the_cores_are_shared_unless_threads_are_given(monkeypatch):
    monkeypatch.setattr("imgconv.batch.workers.available_cores", lambda: 8)
    assert [each.threads for each in outcomes("a.png", "b.png", most=4)] == [4, 4]
    recipe = Recipe((kernel("blur"),), Options(threads=3))
    found = outcomes("a.png", "b.png", recipe=recipe, most=4, overwrite=True)
    assert [each.threads for each in found] == [3, 3]


def test_nothing_is_left_over(tmp_path):
    outcomes("a.png", "b.png", most=2)
    assert leftovers(tmp_path) == []


def test_few_or_small_jobs_are_not_worth_processes(monkeypatch):
    monkeypatch.setattr(run_module, "available_cores", lambda: 8)
    few, many = MANY[:2], MANY * 20
    for job in MANY:
        job.source.write_bytes(bytes(3000))
    assert (worth(few[:1], None), worth(few, None)) == (1, 1)
    assert 8 < worth(many, None) <= 40  # while some wait for the disk
    assert (worth(few, 7), worth(many, 7), worth(many, 1)) == (2, 7, 1)
    assert worth([*many, Job(None, Path("a.png"), "PNG")], 4) == 1  # only this process has standard input
    os.truncate(MANY[0].source, 2**30)
    os.truncate(MANY[1].source, 2**30)
    assert worth(few, None) == 2


MANY = [Job(Path(f"{n}.png"), Path(f"{n}.out.png"), "PNG") for n in range(50)]


class Jobs:
    """What does jobs when it is told to."""

    def __init__(self):
        self.futures = {}

    def submit(self, job):
        self.futures[job] = Future()
        return self.futures[job]

    def end(self, *numbers, status="done"):
        for number in numbers:
            self.futures[MANY[number]].set_running_or_notify_cancel()
            self.futures[MANY[number]].set_result(Outcome(MANY[number], status))


def test_outcomes_come_in_the_order_of_the_jobs():
    jobs = Jobs()
    running = over(MANY[:4], jobs.submit, tick=lambda pending: len(pending) == 4 and jobs.end(3, 1, 2, 0))
    assert [outcome.job for outcome in running] == MANY[:4]


def test_few_jobs_are_under_way(monkeypatch):
    monkeypatch.setattr(run_module, "WINDOW", 4)
    jobs = Jobs()
    running = over(MANY, jobs.submit, tick=lambda pending: jobs.end(MANY.index(pending[0][0])) if pending else None)
    assert next(running).job is MANY[0]
    assert len(jobs.futures) == 4
    assert len(list(running)) == 49


def test_after_a_failure_what_has_begun_is_finished_and_told():
    jobs = Jobs()

    def tick(pending):
        if len(pending) == 50:
            for number in (0, 1, 2, 3):
                jobs.futures[MANY[number]].set_running_or_notify_cancel()
            jobs.futures[MANY[2]].set_result(Outcome(MANY[2], "failed"))
            for number in (3, 1, 0):
                jobs.futures[MANY[number]].set_result(Outcome(MANY[number]))

    found = list(over(MANY, jobs.submit, keep_going=False, tick=tick))
    assert [(outcome.job, outcome.status == "failed") for outcome in found] == [
        (MANY[0], False), (MANY[1], False), (MANY[2], True), (MANY[3], False),
    ]  # fmt: skip


def test_no_job_begins_after_closing():
    jobs = Jobs()
    running = over(MANY, jobs.submit, tick=lambda pending: jobs.end(0) if len(pending) == 50 else None)
    next(running)
    running.close()
    assert sum(future.cancelled() for future in jobs.futures.values()) == 49


def test_a_future_that_raises_is_a_failure_of_its_file():
    jobs = Jobs()

    def tick(pending):
        jobs.futures[MANY[0]].set_exception(RuntimeError("the machine is gone"))
        jobs.end(1)

    found = list(over(MANY[:2], jobs.submit, tick=lambda pending: len(pending) == 2 and tick(pending)))
    assert [outcome.status for outcome in found] == ["failed", "done"]
    assert found[0].error == "0.png: the machine is gone"


# in strips


STRIPED = {".png": "RGB L RGB;16", ".ppm": "RGB", ".pgm": "L I;16", ".tif": "RGB L I;16 I F CMYK", ".npy": "RGB L F"}


def stored(ending: str, mode: str, rows: int = 90, columns: int = 70) -> Path:
    """A picture file that Pillow, or NumPy, has written; 16-bit colour by hand."""
    dtype = {"I;16": "uint16", "RGB;16": "uint16", "I": "int32", "F": "float32"}.get(mode, "uint8")
    count = len(mode.partition(";")[0])
    array = noise(rows, columns, *([count] if count > 1 else []), dtype="uint8" if dtype == "uint8" else "uint16")
    path = Path(f"{mode.replace(';', '')}{ending}")
    if ending == ".npy":
        np.save(path, array.astype(dtype))
    elif mode == "RGB;16":
        path.write_bytes(png16(array))
    elif mode == "CMYK":
        Image.fromarray(array, "CMYK").save(path)
    else:
        Image.fromarray(array.astype(dtype)).save(path)
    return path


@pytest.mark.parametrize(("ending", "mode"), [(e, mode) for e, modes in STRIPED.items() for mode in modes.split()])
@pytest.mark.parametrize("names", [["blur"], ["sharpen", "gaussian:sigma=2"]])
def test_strips_make_the_file_that_the_whole_makes(ending, mode, names, monkeypatch):
    monkeypatch.setattr("imgconv.recipe.strips.STRIP_BYTES", 2000)
    monkeypatch.setattr("imgconv.formats.png.codec.BAND_BYTES", 1000)
    monkeypatch.setattr("imgconv.formats.tiff.strips.AT_ONCE_BYTES", 500)
    path = stored(ending, mode)
    recipe = Recipe(tuple(kernel(name) for name in names))
    whole = recipe.apply(read(path).array, read(path).mode)
    for target in STRIPED:
        forms = {"RGB;16": (".png",), "CMYK": (".tif",), "I": (".tif", ".npy"), "F": (".tif", ".npy")}
        if target not in forms.get(mode, STRIPED) or (mode == "F" and (ending, target) == (".npy", ".tif")):
            continue
        (found,) = outcomes(str(path), recipe=recipe, format=target, out_dir=Path("out"))
        assert (found.status, found.error) == ("done", None)
        assert 0 < found.strip_rows < 90 or target == ".tif"  # which takes 128 KB at least
        assert found.clipped == whole[2].clipped
        assert found.result_shape == found.shape == whole[0].shape
        back = read(Path(found.job.output))
        assert np.array_equal(back.array, whole[0]), target
        Path(found.job.output).unlink()


def test_a_large_jpeg_is_written_in_strips(monkeypatch):
    monkeypatch.setattr("imgconv.recipe.strips.STRIP_BYTES", 2000)
    monkeypatch.setattr("imgconv.formats.jpeg.STRIP_PIXELS", 1000)
    path = stored(".png", "RGB")
    files = []
    for smallest in (1, 2**20):
        monkeypatch.setattr("imgconv.formats.jpeg.SMALLEST", smallest)
        (found,) = outcomes(str(path), format="jpg", out_dir=Path("out"), overwrite=True)
        assert bool(found.strip_rows) == (smallest == 1)
        files.append(opened(Path("out/RGB.blur.jpg").read_bytes()))
    assert np.array_equal(np.asarray(files[0]), np.asarray(files[1]))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_large_jpeg_from_a_jpeg_is_what_encode_gives(progressive, monkeypatch):
    monkeypatch.setattr("imgconv.formats.jpeg.STRIP_PIXELS", 1000)
    monkeypatch.setattr("imgconv.formats.jpeg.SMALLEST", 1)
    Image.fromarray(smooth(90, 70)).save("a.jpg", quality=80, progressive=progressive, exif=exif())
    picture = read(Path("a.jpg"))
    array, mode, _ = RECIPE.apply(picture.array, picture.mode)
    for options in ({}, {"quality": 50}, {"optimize": True}):
        (found,) = outcomes("a.jpg", overwrite=True, handling=Handling(encoder=options))
        assert found.status == "done"
        data = encode(replace(picture, array=array, mode=mode), "JPEG", options)[0]
        assert Path(found.job.output).read_bytes() == data
        assert bool(opened(data).info.get("progressive")) == progressive


def test_strips_carry_what_the_file_says_about_itself(monkeypatch):
    monkeypatch.setattr("imgconv.recipe.strips.STRIP_BYTES", 2000)
    Image.fromarray(smooth(300, 200)).save("t.png", exif=exif(), dpi=(300, 200))
    assert outcomes("t.png")[0].strip_rows
    kept = opened(Path("t.blur.png").read_bytes())
    assert kept.getexif()[271] == "maker"
    assert kept.info["dpi"] == pytest.approx((300, 200), abs=0.1)
    assert outcomes("t.png", overwrite=True, handling=Handling(metadata=frozenset()))[0].strip_rows
    assert not opened(Path("t.blur.png").read_bytes()).getexif()


def test_a_target_that_needs_the_whole_gets_it(monkeypatch):
    monkeypatch.setattr("imgconv.recipe.strips.STRIP_BYTES", 1)
    for options in ({"format": "webp"}, {"recipe": Recipe((kernel("blur"),), Options(border="wrap"))}):
        (found,) = outcomes("a.png", overwrite=True, **options)
        assert (found.status, found.strip_rows) == ("done", 0)


@pytest.mark.parametrize("most", [0, 2**27])
@pytest.mark.parametrize("opaque", [True, False])
@pytest.mark.parametrize("names", [["blur"], ["gaussian:sigma=2"], ["laplacian"]])
def test_alpha_is_looked_at_before_it_is_filtered(most, opaque, names, monkeypatch):
    monkeypatch.setattr("imgconv.recipe.strips.STRIP_BYTES", 2000)
    monkeypatch.setattr("imgconv.formats.png.codec.BAND_BYTES", 1000)
    monkeypatch.setattr("imgconv.formats.picture.LOOK_BYTES", 3000)
    monkeypatch.setattr("imgconv.formats.picture.HELD_BYTES", most)
    array = noise(90, 70, 4)
    array[:, :, 3] = 255
    array[60:62, 5, 3] = 255 if opaque else 254
    Image.fromarray(array).save("alpha.png")
    recipe = Recipe(tuple(kernel(name) for name in names))
    (found,) = outcomes("alpha.png", recipe=recipe, overwrite=True)
    assert 0 < found.strip_rows < 90
    assert np.array_equal(read(Path(found.job.output)).array, recipe.apply(array, "RGBA")[0])


def test_other_recipes_change_the_mode(monkeypatch):
    monkeypatch.setattr("imgconv.recipe.strips.STRIP_BYTES", 2000)
    monkeypatch.setattr("imgconv.formats.png.codec.BAND_BYTES", 1000)
    path = stored(".png", "RGB")
    recipe = Recipe((kernel("sobel_x"), kernel("sobel_y")), Options(combine="hypot", channels="sum"))
    for ending in (".png", ".npy"):
        (found,) = outcomes(str(path), recipe=recipe, format=ending, overwrite=True)
        assert (found.result_mode, found.strip_rows > 0) == ("L", True)
        back, whole = read(Path(found.job.output)).array, recipe.apply(read(path).array, "RGB")[0]
        assert np.array_equal(back.squeeze(), whole.squeeze())
    floating = Recipe((kernel("sobel_x"),), Options(after="float"))
    (found,) = outcomes(str(path), recipe=floating, overwrite=True)
    assert "PNG cannot hold" in found.error
    assert leftovers(Path()) == []


@pytest.mark.parametrize("ending", [".png", ".tif", ".npy"])
def test_damage_at_the_end_leaves_nothing(ending, monkeypatch):
    monkeypatch.setattr("imgconv.recipe.strips.STRIP_BYTES", 2000)
    monkeypatch.setattr("imgconv.formats.png.codec.BAND_BYTES", 1000)
    array = noise(200, 100, 3)
    if ending == ".npy":
        np.save("t.npy", array)
        os.truncate("t.npy", 59_999)
    elif ending == ".tif":
        Image.fromarray(array).save("t.tif", compression="tiff_adobe_deflate", strip_size=3000)
        data = bytearray(Path("t.tif").read_bytes())
        start = opened(bytes(data)).tag_v2[273][-1]
        data[start : start + 50] = bytes(50)
        Path("t.tif").write_bytes(data)
    else:
        data = bytearray(encode_png(array))
        data[data.index(b"IEND") - 9] ^= 1  # the checksum of all pixels' bytes, in the last of many chunks
        Path("t.png").write_bytes(data)
    Path("t.blur" + ending).write_bytes(b"old")
    (found,) = outcomes("t" + ending, overwrite=True)
    assert found.status == "failed"
    assert found.error.startswith(f"t{ending}: ")
    assert len(found.error.splitlines()) == 1
    assert Path("t.blur" + ending).read_bytes() == b"old"
    assert leftovers(Path()) == []


def test_a_picture_can_be_replaced_in_strips(monkeypatch):
    monkeypatch.setattr("imgconv.recipe.strips.STRIP_BYTES", 2000)
    for path in (stored(".png", "RGB"), stored(".tif", "RGB"), stored(".npy", "RGB")):
        expected = RECIPE.apply(read(path).array)[0]
        assert outcomes(str(path), in_place=True)[0].status == "done"
        assert np.array_equal(read(path).array, expected)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tells memory through /proc")
def test_memory_does_not_grow_with_the_picture():
    """300 megapixels of RGB, 900 MB: the process stays below 100 (measured: 57)."""
    rows, columns = 20_000, 15_000
    with open("large.npy", "wb") as file:  # takes no room on the disk
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (rows, columns, 3)}
        )
        file.truncate(file.tell() + rows * columns * 3)
    code = (
        "import os, re, sys\nleave = os._exit\n"
        "def end(status):\n"
        "    print(*re.findall('VmHWM:.*?([0-9]+) kB', open('/proc/self/status').read()), flush=True)\n"
        "    leave(status)\n"
        "os._exit = end\nsys.argv = ['imgconv', *sys.argv[1:]]\nfrom imgconv.cli import main\nmain()"
    )
    for source, target in (("large.npy", "large.png"), ("large.png", "larger.png")):
        command = [sys.executable, "-c", code, "apply", source, "-k", "blur", "-o", target, "-q"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert int(done.stdout) * 1024 < 100e6
    with Image.open("larger.png") as image:
        assert image.size == (columns, rows)
