"""Animations: frames composited, filtered and written, held against Pillow, ffmpeg and a plain reference."""

import io
import json
import shutil
import struct
import subprocess
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from makers import chunk, exif, noise, saved, smooth
from makers import imgconv as imgconv_command
from PIL import Image, ImageFilter, ImageSequence, features

import imgconv
from imgconv.batch.inputs import find_inputs
from imgconv.batch.job import Handling, Work
from imgconv.batch.run import run
from imgconv.batch.targets import Targets, make_jobs
from imgconv.errors import PictureError, UsageError
from imgconv.formats.limits import DEFAULT
from imgconv.formats.picture import Picture
from imgconv.formats.read import frames_of
from imgconv.kernels.spec import kernel as kernel_of
from imgconv.recipe.recipe import Recipe

pytestmark = pytest.mark.usefixtures("here")

DURATIONS = [100, 250, 40, 70, 1000]
FORMS = {"png": {}, "gif": {"disposal": 2}, "webp": {"lossless": True, "exact": True}}
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is the oracle")


def drawn(alpha: bool) -> list[Image.Image]:
    """Frames of few colours, in which something moves, and where there is alpha also something that comes and goes."""
    frames = []
    for number in range(len(DURATIONS)):
        pixels = np.zeros((48, 60, 4 if alpha else 3), np.uint8)
        pixels[..., :3] = noise(48, 60, 3) // 100 * 90
        pixels[5 + number : 15 + number, 3 * number : 3 * number + 20, :3] = 30 * number, 200, 7
        if alpha:
            pixels[..., 3] = 255
            pixels[20:40, 10 + 5 * number : 30 + 5 * number] = 0
        frames.append(Image.fromarray(pixels))
    return frames


def made(name: str, frames: list[Image.Image], **options) -> None:
    first, *others = frames
    first.save(name, save_all=True, append_images=others, **{"duration": DURATIONS[: len(frames)]} | options)


def filtered(name: str, kernel: str = "identity", handling: Handling | None = None, **targets):
    given, recipe = Targets(overwrite=True, **targets), Recipe((kernel_of(kernel),))
    jobs = make_jobs(find_inputs([name], given, False).files, recipe.name, given)[0]
    (outcome,) = run(jobs, Work(recipe, given, handling or Handling()), 1)
    return outcome


def seen(name: str) -> tuple[list[np.ndarray], list[float]]:
    """The frames as Pillow shows them, RGBA, black where nothing is seen; and their durations."""
    arrays, durations = [], []
    with Image.open(name) as image:
        for frame in ImageSequence.Iterator(image):
            pixels = np.array(frame.convert("RGBA"))
            pixels[pixels[..., 3] == 0] = 0
            arrays.append(pixels)
            durations.append(frame.info.get("duration"))
    return arrays, durations


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("target", [*FORMS, "tif"])
@pytest.mark.parametrize("source", FORMS)
def test_animations_go_from_format_to_format(source, target, alpha):
    made(f"a.{source}", drawn(alpha), loop=2, **FORMS[source])
    outcome = filtered(f"a.{source}", output=f"b.{target}")
    assert (outcome.status, outcome.frames) == ("done", len(DURATIONS)), outcome.error
    (before, times), (after, times_after) = seen(f"a.{source}"), seen(f"b.{target}")
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, old)
    if target == "tif":
        assert outcome.notes == ["TIFF holds no durations; they are left out"]
        return
    assert (times, outcome.notes) == (times_after, [])
    plays = 3 if source == "gif" else 2  # GIF says how often it is shown again
    with Image.open(f"b.{target}") as image:
        assert image.info["loop"] == (plays - 1 if target == "gif" else plays)


@pytest.mark.parametrize("form", FORMS)
def test_each_frame_is_filtered_as_a_picture_of_its_own(form):
    frames = [Image.fromarray(smooth(40, 50)).rotate(90 * turn).convert("RGB") for turn in range(3)]
    made(f"a.{form}", frames, **({"lossless": True} if form == "webp" else {}))
    with Image.open(f"a.{form}") as image:
        expected = [frame.convert("RGB").filter(ImageFilter.EMBOSS) for frame in ImageSequence.Iterator(image)]
    filtered(f"a.{form}", "emboss", output="b.png")
    for frame, picture in zip(seen("b.png")[0], expected, strict=True):
        np.testing.assert_array_equal(frame[..., :3], np.asarray(picture))


@needs_ffmpeg
@pytest.mark.parametrize("target", ["png", "gif"])  # its WebP demuxer has no animations
def test_ffmpeg_sees_the_same_frames(target):
    made("a.webp", drawn(alpha=False), lossless=True)
    filtered("a.webp", output=f"b.{target}")
    # each frame once, whatever its duration
    words = ["ffmpeg", "-v", "error", "-f", "apng"] if target == "png" else ["ffmpeg", "-v", "error"]
    words += ["-i", f"b.{target}", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgba", "-"]
    found = np.frombuffer(subprocess.run(words, capture_output=True, check=True).stdout, np.uint8)
    np.testing.assert_array_equal(found.reshape(-1, 48, 60, 4), seen("a.webp")[0])
    probe = ["ffprobe", "-v", "error", "-show_entries", "packet=duration_time", "-of", "json", f"b.{target}"]
    packets = json.loads(subprocess.run(probe, capture_output=True, check=True).stdout)["packets"]
    times = [1000 * float(packet["duration_time"]) for packet in packets]
    assert times[:-1] == pytest.approx(DURATIONS[:-1])  # it knows no end of the last


def apng(size: tuple[int, int], kind: int, depth: int, parts: list[tuple], apart: np.ndarray | None = None) -> bytes:
    """By hand: parts are (array, left, top, num, den, disposal, blend); `apart` is a default image beside them."""

    def raw(array: np.ndarray) -> bytes:
        lines = array.astype(">u2" if depth == 16 else "u1").reshape(len(array), -1)
        return zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0))
    data += chunk(b"acTL", struct.pack(">II", len(parts), 7))
    if apart is not None:
        data += chunk(b"IDAT", raw(apart))
    sequence = 0
    for number, (array, *place) in enumerate(parts):
        head = struct.pack(">IIIIIHHBB", sequence, array.shape[1], array.shape[0], *place)
        data += chunk(b"fcTL", head)
        sequence += 1
        if number or apart is not None:
            data += chunk(b"fdAT", struct.pack(">I", sequence) + raw(array))
            sequence += 1
        else:
            data += chunk(b"IDAT", raw(array))
    return data + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore:Invalid APNG")  # as the command does
def test_what_says_that_it_is_animated_twice_or_behind_its_pixels_is_still():
    """As it is to Pillow, ffmpeg and browsers."""
    part = (noise(6, 5, 3), 0, 0, 1, 10, 0, 0)
    data = apng((5, 6), 2, 8, [part, part])
    control = data[33:53]
    for odd in (data[:53] + data[33:], data[:33] + data[53:-12] + control + data[-12:]):
        (frame,) = frames_of(io.BytesIO(odd), len(odd), "a.png")
        assert np.array_equal(frame.whole(DEFAULT).array, part[0])


def composited(size: tuple[int, int], parts: list[tuple], top: int) -> list[np.ndarray]:
    """As the specification says, pixel by pixel; parts have alpha."""
    canvas, frames = np.zeros((size[1], size[0], parts[0][0].shape[2]), np.int64), []
    for array, left, up, _, _, disposal, blend in parts:
        before = canvas.copy()
        for y, row in enumerate(array.astype(np.int64)):
            for x, source in enumerate(row):
                target = canvas[up + y, left + x]
                if not blend or source[-1] == top:
                    target[:] = source
                elif source[-1]:
                    alpha, below = Fraction(int(source[-1]), top), Fraction(int(target[-1]), top)
                    both = alpha + below * (1 - alpha)
                    for c in range(len(source) - 1):
                        mixed = (int(source[c]) * alpha + int(target[c]) * below * (1 - alpha)) / both
                        target[c] = int(mixed + Fraction(1, 2))
                    target[-1] = int(both * top + Fraction(1, 2))
        frames.append(canvas.copy())
        box = canvas[up : up + len(array), left : left + array.shape[1]]
        if disposal == 2 and len(frames) > 1:
            canvas = before
        elif disposal:
            box[...] = 0
    return frames


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("apart", [False, True])
def test_png_is_composited_as_its_specification_says(depth, apart):
    kind = f"uint{depth}"
    parts = [(noise(9, 12, 4, dtype=kind), 0, 0, 1, 30, 2, 0)]
    for seed, place in enumerate([(3, 2, 1, 30, 0, 1), (0, 4, 7, 0, 1, 1), (5, 1, 1, 3, 2, 1), (2, 2, 3, 1, 2, 0)]):
        parts.append((noise(4, 6, 4, dtype=kind, seed=seed), *place))
    still = noise(9, 12, 4, dtype=kind, seed=9) if apart else None
    data = apng((12, 9), 6, depth, parts, still)
    found = [frame.whole(DEFAULT) for frame in frames_of(io.BytesIO(data), len(data), "a")]
    if still is not None:
        assert found[0].info["default_image"]
        np.testing.assert_array_equal(found.pop(0).array, still)
    for picture, expected in zip(found, composited((12, 9), parts, 2**depth - 1), strict=True):
        np.testing.assert_array_equal(picture.array, expected)
    assert [picture.info["duration"] for picture in found] == [Fraction(1000, 30)] * 2 + [70, Fraction(1000, 3), 3000]
    Path("a.png").write_bytes(data)
    outcome = filtered("a.png", output="b.png")
    data = Path("b.png").read_bytes()
    again = [frame.whole(DEFAULT) for frame in frames_of(io.BytesIO(data), len(data), "b")]
    assert (outcome.frames, again[0].info["plays"]) == (len(parts) + apart, 7)
    assert [picture.info["duration"] for picture in again][apart:] == [picture.info["duration"] for picture in found]
    assert ["default_image" in picture.info for picture in again] == [apart] + [False] * (len(again) - 1)
    for old, new in zip(found, again[apart:], strict=True):
        np.testing.assert_array_equal(new.array, old.array)


def test_frames_without_alpha_get_one_where_pixels_are_cleared():
    parts = [(noise(9, 12, 3), 0, 0, 1, 30, 1, 0), (noise(4, 4, 3), 2, 2, 1, 30, 0, 0)]
    data = apng((12, 9), 2, 8, parts)
    _, second = [frame.whole(DEFAULT) for frame in frames_of(io.BytesIO(data), len(data), "a")]
    assert (second.mode, int(np.count_nonzero(second.array[..., 3]))) == ("RGBA", 16)


def test_a_default_image_is_left_out_where_there_is_no_place_for_it():
    parts = [(noise(9, 12, 4), 0, 0, 1, 10, 0, 0), (noise(9, 12, 4, seed=1), 0, 0, 1, 10, 0, 0)]
    Path("a.png").write_bytes(apng((12, 9), 6, 8, parts, noise(9, 12, 4, seed=2)))
    outcome = filtered("a.png", output="b.webp")
    assert (outcome.frames, len(seen("b.webp")[0])) == (2, 2)
    assert "default image" in outcome.notes[0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cut", [0.2, 0.5, 0.8, 0.97])
def test_a_broken_frame_fails_the_file(form, cut):
    made(f"a.{form}", [Image.fromarray(noise(30, 40, 3, seed=seed)) for seed in range(5)])
    data = Path(f"a.{form}").read_bytes()
    Path(f"a.{form}").write_bytes(data[: int(cut * len(data))])
    outcome = filtered(f"a.{form}", output="b.png")
    assert outcome.status == "failed"
    assert outcome.error.startswith(f"a.{form}: ")
    assert not Path("b.png").exists()


def test_a_format_without_frames_takes_one_or_a_name_for_each():
    made("a.gif", drawn(alpha=False))
    outcome = filtered("a.gif", output="b.jpg")
    assert "--frames first takes the first, and -o with {frame} in the name makes a file of each" in outcome.error
    assert filtered("a.gif", output="b.jpg", frames=(1,)).status == "done"
    outcome = filtered("a.gif", output="{stem}-{frame:02}.png")
    assert (outcome.frames, outcome.job.output) == (5, "a-{frame:02}.png")
    for number, expected in enumerate(seen("a.gif")[0], 1):
        (found,), durations = seen(f"a-{number:02}.png")
        np.testing.assert_array_equal(found, expected)
        assert durations == [None]
    assert filtered("a.gif", output="c-{frame}.png", frames=(2, 5)).frames == 2
    assert sorted(path.name for path in Path().glob("c-*")) == ["c-2.png", "c-5.png"]


def test_a_gif_is_nearer_to_the_picture_than_pillows_median_cut():
    with Image.open(Path(__file__).parents[1] / "samples" / "astronaut.png") as image:
        photo = image.convert("RGB").crop((100, 0, 300, 200))
    made("a.png", [photo, photo.transpose(Image.Transpose.ROTATE_90)], duration=20)
    median_cut = np.asarray(photo.quantize(256, Image.Quantize.MEDIANCUT).convert("RGB")).astype(int)
    bound = ((median_cut - np.asarray(photo)) ** 2).mean()
    for dither in (False, True):
        outcome = filtered("a.png", output="b.gif", handling=Handling({"dither": dither}))
        assert "256 colours" in outcome.notes[0]
        found = seen("b.gif")[0][0][..., :3].astype(int) - np.asarray(photo)
        assert (found**2).mean() < bound * (1.5 if dither else 0.9)  # what dithering is for is not seen pixel by pixel
        assert abs(found.mean()) < 0.5


def test_durations_that_do_not_fit_are_rounded_with_a_word():
    made("a.png", drawn(alpha=False), duration=33.4)
    outcome = filtered("a.png", output="b.gif")
    assert (outcome.notes, seen("b.gif")[1]) == (
        ["GIF counts in hundredths of a second; durations are rounded"],
        [30] * 5,
    )
    outcome = filtered("a.png", output="b.webp")
    assert (outcome.notes, seen("b.webp")[1]) == (["WebP counts in milliseconds; durations are rounded"], [33] * 5)


def test_frames_of_several_sizes_go_only_where_each_has_its_own():
    made("a.tif", [Image.fromarray(noise(9, 8, 3)), Image.fromarray(noise(7, 8, 3))])
    outcome = filtered("a.tif", output="b.gif")
    assert "one size" in outcome.error
    assert not Path("b.gif").exists()


@pytest.mark.parametrize("form", FORMS)
def test_metadata_of_an_animation_travels(form):
    webp = {"icc_profile": b"icc", "xmp": b"<x/>", "exif": exif(), "lossless": True}
    options = {"png": {"exif": exif(), "icc_profile": b"icc"}, "webp": webp, "gif": {"comment": b"hi"}}[form]
    made(f"a.{form}", drawn(alpha=False), **options)
    filtered(f"a.{form}", output=f"b.{form}")
    with Image.open(f"a.{form}") as before, Image.open(f"b.{form}") as after:
        for key in ("icc_profile", "xmp", "exif", "comment"):
            old, new = (image.info.get(key) or b"" for image in (before, after))
            assert old.removeprefix(b"Exif\0\0") == new.removeprefix(b"Exif\0\0")


def test_pictures_of_a_file_that_no_frame_follows_are_named():
    Path("a.jpg").write_bytes(
        saved(Image.fromarray(smooth(32, 32)), "MPO", save_all=True, append_images=[Image.fromarray(smooth(8, 8))])
    )
    outcome = filtered("a.jpg", output="b.jpg")
    assert outcome.notes == ["holds 1 more (picture of another size), which are left out"]
    assert filtered("a.jpg", output="b.jpg", frames=(2,)).status == "failed"


def test_what_is_not_there_cannot_be_asked_for():
    made("a.gif", drawn(alpha=False))
    data = Path("a.gif").read_bytes()
    with pytest.raises(PictureError, match="has 5 frames, and no number 9"):
        next(frames_of(io.BytesIO(data), len(data), "a", wanted=(9,)))
    frame: Picture = next(frames_of(io.BytesIO(data), len(data), "a", wanted=(4,))).whole(DEFAULT)
    assert (frame.number, frame.frames, frame.info["duration"]) == (4, 5, 70)


def test_a_frame_goes_nowhere_where_an_input_or_another_frame_could_be():
    made("a.gif", drawn(alpha=False))
    made("a1.gif", drawn(alpha=False))
    made("a-3.png", drawn(alpha=False))

    def jobs(*names, **targets):
        given = Targets(overwrite=True, **targets)
        return make_jobs(find_inputs(names, given, False).files, "blur", given)

    with pytest.raises(UsageError, match="beside a digit"):
        jobs("a.gif", "a1.gif", output="{stem}{frame}.png")
    with pytest.raises(UsageError, match="is an input, and a frame"):
        jobs("a.gif", "a-3.png", output="{stem}-{frame}.png")
    assert len(jobs("a.gif", "a1.gif", output="{stem}-{frame}.png")[0]) == 2
    with pytest.raises(UsageError, match="cannot go to one file"):
        jobs("a.gif", "a1.gif", output="{frame}.png")
    made("a.blur-3.png", drawn(alpha=False))  # of an earlier run
    assert jobs("a.gif", "a.blur-3.png", output="{stem}.{kernel}-{frame:02}.png")[1] == ["a.blur-3.png"]


def test_of_frames_that_exist_none_is_replaced_unasked_and_the_others_can_be_left():
    made("a.gif", drawn(alpha=False))
    Path("b-4.png").write_bytes(b"mine")
    given, recipe = Targets(output="b-{frame}.png"), Recipe((kernel_of("identity"),))

    def run_with(given):
        jobs = make_jobs(find_inputs(["a.gif"], given, False).files, recipe.name, given)[0]
        return next(iter(run(jobs, Work(recipe, given, Handling()), 1)))

    assert run_with(given).error == "a.gif: b-4.png: exists; --overwrite replaces it"
    assert sorted(path.name for path in Path().glob("b-*")) == ["b-4.png"]
    assert run_with(given._replace(skip_existing=True)).frames == 4
    assert Path("b-4.png").read_bytes() == b"mine"
    assert run_with(given._replace(skip_existing=True)).status == "skipped"


@pytest.mark.skipif(not features.check("avif"), reason="Pillow has no AVIF")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_avif_has_all_frames_and_durations(mode):
    pictures = [Image.fromarray(smooth(48, 64)).rotate(90 * turn).convert(mode) for turn in range(4)]
    made("a.png", pictures, loop=2)
    outcome = filtered("a.png", output="b.avif")
    assert (outcome.frames, outcome.notes) == (4, ["AVIF is written to be shown for ever, and not 2×"])
    (before, times), (after, again) = seen("a.png"), seen("b.avif")
    assert [round(time) for time in times] == again
    for old, new in zip(before, after, strict=True):
        assert np.abs(old.astype(int) - new).mean() < 4
    assert filtered("b.avif", output="c.png").frames == 4
    for old, new in zip(after, seen("c.png")[0], strict=True):
        np.testing.assert_array_equal(old, new)
    data = Path("b.avif").read_bytes()
    Path("b.avif").write_bytes(data[: len(data) * 3 // 4])
    assert filtered("b.avif", output="d.png").status == "failed"


def test_a_later_frame_of_a_gif_cannot_claim_more_than_its_bytes_hold():
    made("a.gif", drawn(alpha=False))
    data = bytearray(Path("a.gif").read_bytes())
    place = data.rindex(b"\0,") + 1
    data[place + 5 : place + 9] = struct.pack("<HH", 60000, 60000)
    Path("a.gif").write_bytes(data)
    outcome = filtered("a.gif", output="b.gif")
    assert (outcome.status, "cannot hold 60" in outcome.error) == ("failed", True)


def test_of_a_pillow_image_with_frames_the_current_one_is_filtered():
    made("a.gif", drawn(alpha=False))
    with Image.open("a.gif") as image:
        image.seek(3)
        result, expected = imgconv.apply(image, "emboss"), image.filter(ImageFilter.EMBOSS)
        assert image.tell() == 3
    np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))


def test_an_animation_with_a_recipe_is_not_taken_for_its_first_frame():
    made("a.png", drawn(alpha=False))
    assert imgconv_command("apply", "a.png", "-k", "blur", "--embed", "-o", "b.png").returncode == 0
    done = imgconv_command("replay", "b.png", "a.png")
    assert (done.returncode, done.stderr) == (1, "imgconv: b.png: has 5 frames; replay makes results of one again\n")
