"""Reading: what comes in, what is refused, and that nothing broken gives anything but a PictureError."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from makers import ENDINGS, FORMATS, chunk, exif, noise, opened, png, png16, saved, smooth, tiff
from PIL import Image

from imgconv.errors import PictureError
from imgconv.formats.picture import Picture, sound_dpi
from imgconv.formats.read import parse, read
from imgconv.formats.write import encode

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


def test_every_format_comes_in_as_pillow_decodes_it(tmp_path):
    for form in FORMATS:
        path = tmp_path / f"a{ENDINGS[form]}"
        path.write_bytes(saved(Image.fromarray(smooth(20, 30)), form))
        picture = read(path)
        with Image.open(path) as image:
            expected = image.convert("RGB")
        assert (picture.format, picture.mode, picture.size, picture.channels) == (form, "RGB", "30×20", 3)
        assert np.array_equal(picture.array, np.asarray(expected)), form


def test_the_content_tells_the_format_not_the_name(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(Image.fromarray(noise(4, 5)), "PNG"))
    assert read(path).format == "PNG"


@pytest.mark.parametrize(
    ("image", "mode"),
    [
        (Image.fromarray(noise(6, 7) > 127), "L"),
        (Image.fromarray(noise(6, 7)), "L"),
        (Image.fromarray(noise(6, 7, 2), "LA"), "LA"),
        (Image.fromarray(noise(6, 7, 4), "RGBA"), "RGBA"),
        (Image.fromarray(noise(6, 7, 3)).quantize(9), "RGB"),
        (Image.fromarray(noise(6, 7, dtype="uint16")), "I;16"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.mode,
)
def test_png_modes(image, mode):
    picture = parse(saved(image, "PNG"), "a")
    assert picture.mode == mode
    expected = image.convert(mode) if image.mode in ("1", "P") else image
    assert np.array_equal(picture.array, np.asarray(expected))


def test_a_palette_with_transparency_becomes_rgba():
    image = Image.fromarray(noise(6, 7, 3)).quantize(9)
    picture = parse(saved(image, "PNG", transparency=bytes([0, 128])), "a")
    assert picture.mode == "RGBA"
    assert set(np.unique(picture.array[:, :, 3])) <= {0, 128, 255}
    assert (np.asarray(image) == 1).sum() == (picture.array[:, :, 3] == 128).sum()


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_the_transparent_grey_becomes_alpha_at_every_depth(depth):
    # pixels 0, 1, 0, 1 … of which 1 is transparent
    row = {1: 0b01010101, 2: 0b00010001, 4: 0b00000001, 8: 1}[depth]
    width = 8 // depth
    picture = parse(png(width, 1, depth, 0, bytes([0, row]), chunk(b"tRNS", b"\0\1")), "a")
    assert picture.mode == "LA"
    ones = [(row >> (8 - depth * (i + 1))) & (2**depth - 1) == 1 for i in range(width)]
    assert (picture.array[0, :, 1] == 0).tolist() == ones


def test_the_transparent_colour_becomes_alpha():
    array = noise(5, 6, 3)
    picture = parse(saved(Image.fromarray(array), "PNG", transparency=tuple(map(int, array[2, 3]))), "a")
    assert picture.mode == "RGBA"
    assert picture.array[2, 3, 3] == 0
    assert (picture.array[:, :, 3] == 0).sum() == (array == array[2, 3]).all(axis=2).sum()


@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (noise(5, 6), "L"),
        (noise(5, 6, 3), "RGB"),
        (noise(5, 6, dtype="uint16"), "I;16"),
        (noise(5, 6, dtype="uint16").astype("int32") - 40000, "I"),
        (noise(5, 6, dtype="uint16").astype("float32") / 7, "F"),
    ],
    ids=str,
)
def test_tiff_sample_types_keep_their_values(array, mode):
    picture = parse(tiff(array), "a")
    assert picture.mode == mode
    assert picture.array.dtype == array.dtype
    assert np.array_equal(picture.array, array)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "RGBA", "LA"])
def test_tiff_colour_modes(mode):
    channels = len(mode) if mode not in ("YCbCr",) else 3
    image = Image.frombytes(mode, (6, 5), noise(5, 6, channels).tobytes())
    picture = parse(saved(image, "TIFF"), "a")
    assert picture.mode == mode
    assert np.array_equal(picture.array, np.asarray(image))


def test_big_endian_16_bit_tiff():
    array = noise(5, 6, dtype="uint16")
    image = Image.frombytes("I;16B", (6, 5), array.astype(">u2").tobytes())
    picture = parse(saved(image, "TIFF"), "a")
    assert picture.mode == "I;16"
    assert np.array_equal(picture.array, array)


def test_16_bit_pgm_in_and_scaled_maxima():
    array = noise(5, 6, dtype="uint16")
    picture = parse(b"P5 6 5 65535\n" + array.astype(">u2").tobytes(), "a")
    assert picture.mode == "I;16"
    assert np.array_equal(picture.array, array)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"P3 1 1 65535 1 2 3\n", "16 bits"),
        (tiff(noise(5, 6).astype("float64") / 3), "64-bit|is not a picture"),
        (tiff(noise(5, 6).astype("uint32") * 16_000_000), "32-bit"),
    ],
    ids=["ppm-text", "tiff-double", "tiff-uint32"],
)
def test_depth_that_pillow_would_cut_is_refused(data, told):
    with pytest.raises(PictureError, match=told) as caught:
        parse(data, "deep.png")
    assert str(caught.value).startswith("deep.png: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("channels", "mode"), [(1, "I;16"), (2, "LA;16"), (3, "RGB;16"), (4, "RGBA;16")])
def test_16_bit_png_keeps_its_depth(channels, mode):
    array = noise(5, 6, channels, dtype="uint16") if channels > 1 else noise(5, 6, dtype="uint16")
    found = parse(png16(array), "a")
    assert found.mode == mode
    assert np.array_equal(found.array, array)


def test_a_16_bit_png_is_turned_upright():
    array = noise(5, 6, 3, dtype="uint16")
    given = Picture(array, "RGB;16", "PNG", {"exif": exif(orientation=6).tobytes(), "dpi": (300, 150)})
    data, _ = encode(given, "PNG")
    assert np.array_equal(parse(data, "a", auto_orient=True).array, np.rot90(array, -1))
    assert round(parse(data, "a", auto_orient=True).info["dpi"][0]) == 150


@pytest.mark.parametrize("form", ["GIF", "TIFF", "PNG", "WEBP"])
def test_of_several_frames_the_first_is_taken_and_they_are_counted(form):
    frames = [Image.fromarray(noise(8, 9, 3, seed=seed)) for seed in range(3)]
    extra = {"lossless": True} if form == "WEBP" else {}
    data = saved(frames[0], form, save_all=True, append_images=frames[1:], **extra)
    picture = parse(data, "a")
    assert picture.frames + picture.others == 3
    if form != "GIF":
        assert np.array_equal(picture.array, np.asarray(frames[0]))


def test_metadata_is_kept_for_the_encoder():
    data = saved(Image.fromarray(smooth(16, 16)), "JPEG", exif=exif(orientation=3), dpi=(300, 150), icc_profile=b"icc")
    info = parse(data, "a").info
    assert info["icc_profile"] == b"icc"
    assert info["dpi"] == (300, 150)
    assert info["exif"].startswith(b"Exif\0\0")


def test_webp_exif_gets_the_mark_that_jpeg_wants():
    data = saved(Image.fromarray(smooth(16, 16)), "WEBP", exif=exif())
    assert parse(data, "a").info["exif"].startswith(b"Exif\0\0")


@pytest.mark.parametrize("dpi", [(0, 0), (float("nan"), 72), (1e9, 1e9), None, (72,)])
def test_a_resolution_that_no_encoder_can_write_is_dropped(dpi):
    assert sound_dpi(dpi) is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_auto_orient_turns_the_pixels_as_pillow_does_and_resets_the_tag(form, orientation):
    from PIL import ImageOps

    data = saved(Image.fromarray(smooth(16, 24)), form, exif=exif(orientation=orientation))
    picture = parse(data, "a", auto_orient=True)
    upright = ImageOps.exif_transpose(opened(data))
    assert np.array_equal(picture.array, np.asarray(upright))
    kept = Image.Exif()
    kept.load(picture.info["exif"])
    assert kept[274] == 1
    assert kept[271] == "maker"
    assert kept.get_ifd(0x8769)[0x829D] == pytest.approx(2.8)


def test_without_auto_orient_pixels_and_tag_stay():
    data = saved(Image.fromarray(smooth(16, 24)), "JPEG", exif=exif(orientation=6))
    picture = parse(data, "a")
    kept = Image.Exif()
    kept.load(picture.info["exif"])
    assert picture.size == "24×16"
    assert kept[274] == 6


def test_a_turned_tiff_is_not_turned_twice():
    # Pillow turns a TIFF upright while it loads; the tag must not say so again
    data = saved(Image.fromarray(noise(16, 24, 3)), "TIFF", exif=exif(orientation=6))
    picture = parse(data, "a")
    kept = Image.Exif()
    kept.load(picture.info["exif"])
    assert picture.size == "16×24"
    assert kept.get(274, 1) == 1


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"hello, this is text\n" * 9, "is not a picture"),
        (b"\x89PNG\r\n\x1a\n", "is not a picture|is broken"),
        (b"\xff\xd8\xff\xe0", "is not a picture|is broken"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture"),
        (png(60000, 60000, 8, 2, b"\0" * 99), "cannot hold"),
        (png(30000, 30000, 8, 2, b"\0" * 99), "cannot hold"),
        (b"P6 99999 99999 255\n", "is cut short"),
    ],
    ids=["empty", "text", "png-mark", "jpeg-mark", "eps", "bomb", "small-bomb", "ppm-bomb"],
)
def test_what_is_no_picture_is_told_in_one_line(data, told):
    with pytest.raises(PictureError, match=told) as caught:
        parse(data, "x.png", ".png")
    assert str(caught.value).startswith("x.png: ")
    assert len(str(caught.value).splitlines()) == 1


SAMPLES = {
    form: saved(Image.fromarray(smooth(24, 32)), form, **({"exif": exif()} if form in ("PNG", "JPEG", "TIFF") else {}))
    for form in FORMATS
} | {
    "progressive": saved(Image.fromarray(smooth(24, 32)), "JPEG", progressive=True, exif=exif(), dpi=(72, 72)),
    "lossless": saved(Image.fromarray(smooth(24, 32)), "WEBP", lossless=True, exif=exif()),
    "lzw": saved(Image.fromarray(smooth(24, 32)), "TIFF", compression="tiff_lzw", exif=exif(orientation=5)),
    "deflate": saved(Image.fromarray(smooth(24, 32)), "TIFF", compression="tiff_adobe_deflate"),
    "palette": saved(Image.fromarray(smooth(24, 32)).quantize(16), "PNG", transparency=3),
    "grey16": png16(noise(9, 10, dtype="uint16")),
}


def parse_or_refuse(data, **options):
    told = "x"
    try:
        parse(data, "broken", **options)
    except PictureError as problem:
        told = str(problem)
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_file_cut_anywhere_is_a_picture_or_an_error(kind, capfd):
    data = SAMPLES[kind]
    cuts = sorted({*range(min(len(data), 64)), *random.Random(1).sample(range(len(data)), min(len(data), 150))})
    for cut in cuts:
        parse_or_refuse(data[:cut])
    assert capfd.readouterr() == ("", ""), "a decoder printed something itself"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM", "progressive", "lzw", "deflate"])
def test_a_file_cut_in_its_middle_is_an_error(kind):
    with pytest.raises(PictureError):
        parse(SAMPLES[kind][: len(SAMPLES[kind]) // 2], "cut")


@pytest.mark.parametrize("kind", SAMPLES)
def test_flipped_bits_never_give_anything_but_a_picture_error(kind, capfd):
    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.integers(0, len(SAMPLES[kind]) - 1), st.integers(1, 255)), min_size=1, max_size=4))
    def check(flips):
        data = bytearray(SAMPLES[kind])
        for position, change in flips:
            data[position] ^= change
        parse_or_refuse(bytes(data), auto_orient=len(flips) % 2 == 0)

    check()
    assert capfd.readouterr() == ("", ""), "a decoder printed something itself"


def test_folders_pipes_and_missing_files_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for name, told in [("", "folder"), ("pipe.png", "not a regular file"), ("none.png", "no such file")]:
        with pytest.raises(PictureError, match=told) as caught:
            read(tmp_path / name)
        assert str(tmp_path) in str(caught.value)


def test_arrays_come_in_by_ending_and_from_a_stream_by_content(tmp_path):
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "a.txt").write_text("1 2\n3 4\n")
    (tmp_path / "a.csv").write_text("1,2\n3,4.5\n")
    assert read(tmp_path / "a.npy").array.dtype == np.int16
    assert read(tmp_path / "a.txt").array.tolist() == [[1, 2], [3, 4]]
    assert read(tmp_path / "a.csv").array.tolist() == [[1, 2], [3, 4.5]]
    assert np.array_equal(parse((tmp_path / "a.npy").read_bytes(), "standard input").array, array)
    assert parse(b"# a remark\n 1 -2\n.5 4\n", "standard input").array.tolist() == [[1, -2], [0.5, 4]]


def test_an_array_of_another_shape_is_no_picture(tmp_path):
    for shape in [(3,), (0, 4), (2, 2, 2, 2), ()]:
        np.save(tmp_path / "a.npy", np.zeros(shape))
        with pytest.raises(PictureError, match="rows, columns"):
            read(tmp_path / "a.npy")
