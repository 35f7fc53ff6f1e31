"""Writing: what a file holds when Pillow opens it again, and that a target is whole at every instant."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from makers import (
    ENDINGS,
    FORMATS,
    bmp_with_alpha,
    exif,
    imgconv,
    leftovers,
    lossless_jpeg,
    noise,
    opened,
    saved,
    smooth,
)
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import get_sampling

from imgconv import correlate as filtered
from imgconv.errors import UsageError, WriteError
from imgconv.formats import table
from imgconv.formats.picture import Picture
from imgconv.formats.place import placed, put, write
from imgconv.formats.read import parse
from imgconv.formats.table import ENCODER_OPTIONS, by_name, endings, name_for, parse_encoder_options
from imgconv.formats.write import encode

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS = {
    "PNG": "L LA RGB RGBA I;16 LA;16 RGB;16 RGBA;16",
    "TIFF": "L LA RGB RGBA CMYK YCbCr LAB I;16 I F",
    "WEBP": "RGB RGBA",
}
LOSSLESS |= {"BMP": "L RGB", "PPM": "L RGB I;16"}
CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3, "LAB": 3, "LA;16": 2, "RGB;16": 3, "RGBA;16": 4}
TYPES = {"I;16": "uint16", "LA;16": "uint16", "RGB;16": "uint16", "RGBA;16": "uint16", "I": "int32", "F": "float32"}


def picture(mode: str, form: str = "PNG") -> Picture:
    shape = (12, 17, CHANNELS[mode]) if mode in CHANNELS else (12, 17)
    return Picture(
        noise(*shape, dtype="uint16" if mode in TYPES else "uint8").astype(TYPES.get(mode, "uint8")), mode, form
    )


@pytest.mark.parametrize(("form", "mode"), [(form, mode) for form in LOSSLESS for mode in LOSSLESS[form].split()])
def test_lossless_formats_give_the_same_pixels_back(form, mode):
    given = picture(mode)
    back = parse(encode(given, form)[0], "back")
    assert back.mode == mode
    assert np.array_equal(back.array, given.array)


@pytest.mark.parametrize("form", FORMATS)
def test_a_mode_is_held_or_refused_never_changed(form):
    for mode in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F"):
        if mode in by_name(form).modes:
            back = parse(encode(picture(mode if mode != "HSV" else "RGB"), form)[0], "back")
            assert back.channels >= CHANNELS.get(mode, 1), mode
            assert back.array.dtype == TYPES.get(mode, "uint8")
        else:
            with pytest.raises(WriteError, match=f"{form} cannot hold") as caught:
                encode(replace(picture("RGB"), mode=mode), form)
            assert "write .tif" in str(caught.value) or "write .png" in str(caught.value)


def test_16_bit_colour_is_refused_where_it_would_be_cut():
    for form in ("JPEG", "WEBP", "BMP", "GIF"):
        with pytest.raises(WriteError, match=r"cannot hold 16-bit RGB; write \.png or \.tif, or give --depth 8$"):
            encode(picture("RGB;16"), form)
    bare = Picture(noise(5, 6, 3, dtype="uint16"), "", "NPY")
    assert np.array_equal(parse(encode(bare, "PNG")[0], "a").array, bare.array)


def test_png_is_sound_for_pngcheck(tmp_path):
    if shutil.which("pngcheck") is None:
        pytest.skip("pngcheck is not installed")
    for mode in LOSSLESS["PNG"].split():
        given = replace(picture(mode), info={"exif": exif().tobytes(), "icc_profile": ICC, "dpi": (300, 300)})
        path = tmp_path / f"{mode.replace(';', '')}.png"
        write(path, encode(given, "PNG")[0], overwrite=False)
        subprocess.run(["pngcheck", "-q", path], check=True, capture_output=True)


METADATA = {"exif": exif(orientation=6).tobytes(), "icc_profile": ICC, "dpi": (300, 200)}


@pytest.mark.parametrize("source", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("target", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM", "GIF"])
def test_metadata_travels_between_formats(source, target):
    told = {key: value for key, value in METADATA.items() if key in by_name(source).keeps}
    given = parse(saved(Image.fromarray(smooth(16, 24)), source, **told), "a")
    data, _ = encode(given, target)
    kept = Image.open(io.BytesIO(data))
    found, keeps = kept.getexif(), by_name(target).keeps
    if "exif" in keeps:
        assert found[271] == "maker"
        assert found.get_ifd(0x8769)[0x829D] == pytest.approx(2.8)
        # a TIFF was turned upright when it was read
        assert found.get(274, 1) == (1 if source == "TIFF" else 6)
    if "icc_profile" in keeps:
        assert kept.info["icc_profile"] == ICC
    if "dpi" in keeps and "dpi" in by_name(source).keeps:
        assert kept.info["dpi"] == pytest.approx((300, 200), abs=0.1)


def test_tiff_to_tiff_carries_no_layout_of_the_old_file():
    image = Image.fromarray(smooth(64, 64)).convert("L")
    old = saved(image, "TIFF", compression="tiff_lzw", exif=exif(), tiffinfo={317: 2, 278: 8, 270: "about it"})
    given = parse(old, "a")
    smaller = replace(given, array=given.array[:20, :30].astype(np.uint8))
    back = opened(encode(smaller, "TIFF")[0])
    assert back.size == (30, 20)
    assert back.tag_v2[256] == 30
    assert 317 not in back.tag_v2 or back.tag_v2[317] in (1, 2)
    assert sum(back.tag_v2[279]) < 64 * 64
    assert back.tag_v2[270] == "about it"
    assert np.array_equal(np.asarray(back), smaller.array)


def test_tiff_from_rgb_to_grey_states_one_sample():
    given = parse(saved(Image.fromarray(smooth(16, 16)), "TIFF"), "a")
    back = opened(encode(Picture(given.array[:, :, 0].copy(), "L", "TIFF", given.info), "TIFF")[0])
    assert back.mode == "L"
    assert back.tag_v2.get(277, 1) == 1


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma", "raw"])
def test_lossless_tiff_compression_is_kept(compression):
    old = saved(Image.fromarray(smooth(16, 24)), "TIFF", compression=compression)
    data, _ = encode(parse(old, "a"), "TIFF")
    assert opened(data).info["compression"] == compression
    assert np.array_equal(np.asarray(opened(data)), np.asarray(opened(old)))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"])
def test_nested_exif_goes_into_a_compressed_tiff(compression, capfd):
    given = Picture(smooth(40, 60), "RGB", "JPEG", METADATA)
    image = opened(encode(given, "TIFF", {"compression": compression})[0])
    assert image.info["compression"] == compression
    assert image.info["icc_profile"] == ICC
    assert image.getexif().get_ifd(0x8769)[0x829D] == pytest.approx(2.8)
    assert np.array_equal(np.asarray(image.transpose(Image.Transpose.ROTATE_90)), given.array)  # orientation 6
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_inside_a_tiff_is_written_without_loss():
    old = saved(Image.fromarray(smooth(16, 24)), "TIFF", compression="jpeg")
    given = parse(old, "a")
    back = parse(encode(given, "TIFF")[0], "b")
    assert np.array_equal(back.array, given.array)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_to_jpeg_keeps_tables_subsampling_and_scans(subsampling, progressive):
    old = saved(Image.fromarray(smooth(32, 48)), "JPEG", quality=71, subsampling=subsampling, progressive=progressive)
    data, _ = encode(parse(old, "a"), "JPEG")
    before, after = opened(old), opened(data)
    assert after.quantization == before.quantization
    assert get_sampling(after) == subsampling
    assert bool(after.info.get("progressive")) == progressive


def test_grey_and_cmyk_jpeg_keep_their_tables():
    for image in (Image.fromarray(noise(32, 48)), Image.fromarray(noise(32, 48, 4), "CMYK")):
        old = saved(image, "JPEG", quality=64)
        given = parse(old, "a")
        back = opened(encode(given, "JPEG")[0])
        assert back.mode == image.mode
        assert back.quantization == opened(old).quantization


def test_a_subsampling_that_pillow_cannot_write_becomes_none():
    old = bytearray(saved(Image.fromarray(smooth(32, 48)), "JPEG", subsampling=2))
    frame = old.index(b"\xff\xc0")
    assert old[frame + 11] == 0x22
    given = parse(bytes(old), "a")
    back = opened(encode(replace(given, info=given.info | {"subsampling": -1}), "JPEG")[0])
    assert get_sampling(back) == 0


def test_a_png_becomes_a_good_jpeg():
    array = smooth(32, 48)
    data, _ = encode(Picture(array, "RGB", "PNG"), "JPEG")
    assert get_sampling(opened(data)) == 0
    assert np.abs(np.asarray(opened(data)).astype(int) - array).max() <= 4


def test_webp_stays_as_lossless_as_it_was():
    array = smooth(32, 48)
    for lossless in (True, False):
        given = parse(saved(Image.fromarray(array), "WEBP", lossless=lossless, exif=exif()), "a")
        data, _ = encode(given, "WEBP")
        assert (b"VP8L" in data[:64]) is lossless
        assert np.array_equal(np.asarray(opened(data)), given.array) is lossless
    assert np.array_equal(np.asarray(opened(encode(Picture(array, "RGB", "PNG"), "WEBP")[0])), array)


def test_lossless_webp_keeps_colours_under_full_transparency():
    array = noise(8, 9, 4)
    array[..., 3] = 0
    assert np.array_equal(parse(encode(Picture(array, "RGBA", "PNG"), "WEBP")[0], "a").array, array)


def test_gif_keeps_every_grey():
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data, notes = encode(Picture(array, "L", "PNG"), "GIF")
    assert notes == ()
    assert np.array_equal(np.asarray(opened(data).convert("L")), array)


def test_gif_says_when_colours_are_lost():
    few = smooth(16, 16) // 128 * 128
    data, notes = encode(Picture(few, "RGB", "PNG"), "GIF")
    assert notes == ()
    assert np.array_equal(np.asarray(opened(data).convert("RGB")), few)
    _, notes = encode(Picture(noise(32, 32, 3), "RGB", "PNG"), "GIF")
    assert "256" in notes[0]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_gif_keeps_every_colour_and_what_is_clear(mode):
    array = np.zeros((16, 16, len(mode)), np.uint8)
    array[..., -1] = 255
    array[..., 0].flat = np.arange(256)
    array[0, 0] = 0
    data, notes = encode(Picture(array, mode, "PNG"), "GIF")
    assert notes == ()
    assert np.array_equal(np.asarray(opened(data).convert(mode)), array)
    assert b"NETSCAPE" not in data  # which is for animations


def test_gif_says_when_half_transparent_pixels_are_lost():
    array = np.full((8, 8, 4), 255, np.uint8)
    array[0, 0, 3] = 128
    assert "transparent" in encode(Picture(array, "RGBA", "PNG"), "GIF")[1][0]
    array[0, 0, 3] = 0
    data, notes = encode(Picture(array, "RGBA", "PNG"), "GIF")
    assert notes == ()
    assert np.array_equal(np.asarray(opened(data).convert("RGBA"))[..., 3], array[..., 3])


@pytest.mark.parametrize(("form", "side"), [("JPEG", 65501), ("WEBP", 16384), ("GIF", 65536)])
def test_a_picture_that_is_too_long_for_a_format_is_refused_in_words(form, side, capfd):
    with pytest.raises(WriteError, match="pixels on a side"):
        encode(Picture(np.zeros((1, side), np.uint8), "L", "PNG"), form)
    assert capfd.readouterr() == ("", "")


def test_metadata_that_is_longer_than_a_format_holds_is_named():
    given = Picture(smooth(8, 8), "RGB", "PNG", {"exif": b"Exif\0\0" + bytes(70_000), "icc_profile": bytes(17_000_000)})
    data, notes = encode(given, "JPEG")
    assert "exif" not in opened(data).info
    assert [note.split(" is ")[0] for note in notes] == ["its EXIF data", "its ICC profile"]


def test_arrays_go_where_their_type_fits():
    for array, mode in [
        (noise(5, 6), "L"),
        (noise(5, 6, 3), "RGB"),
        (noise(5, 6, 1), "L"),
        (noise(5, 6, dtype="uint16"), "I;16"),
    ]:
        back = parse(encode(Picture(array, "", "NPY"), "PNG")[0], "a")
        assert back.mode == mode
        assert np.array_equal(back.array, array.squeeze())
    for array, told in [(np.zeros((2, 2)), "float64 with 1 channel;"), (noise(2, 2, 5), "uint8 with 5 channels;")]:
        with pytest.raises(WriteError, match=told):
            encode(Picture(array, "", "NPY"), "PNG")


def test_text_holds_one_channel():
    assert encode(Picture(noise(2, 3, 1), "", "NPY"), "CSV")[0].count(b",") == 4
    with pytest.raises(WriteError, match="one channel"):
        encode(Picture(noise(2, 3, 3), "RGB", "PNG"), "TEXT")


# what --co says


def test_encoder_options_change_the_file():
    given = Picture(smooth(64, 64), "RGB", "PNG")

    def size(form, *pairs):
        return len(encode(given, form, parse_encoder_options(pairs))[0])

    assert size("JPEG", "quality=30") < size("JPEG")
    assert size("PNG", "compress_level=0") > size("PNG")
    assert size("TIFF", "compression=deflate") < size("TIFF")
    assert size("WEBP", "lossless=false") != size("WEBP")
    assert size("WEBP", "quality=20") == size("WEBP", "quality=20", "lossless=false")
    assert size("PNG", "quality=1") == size("PNG")
    assert get_sampling(opened(encode(given, "JPEG", parse_encoder_options(["subsampling=4:2:0"]))[0])) == 2


def test_alpha_quality_is_pillows():
    array = np.dstack([smooth(64, 64), noise(64, 64)])
    given, sizes = Picture(array, "RGBA", "PNG"), []
    for quality in (0, 20, 100):
        data, _ = encode(given, "WEBP", parse_encoder_options([f"alpha_quality={quality}"]))
        assert b"VP8L" not in data[:64]
        theirs = saved(Image.fromarray(array), "WEBP", quality=90, alpha_quality=quality, exact=True)
        np.testing.assert_array_equal(np.asarray(opened(data)), np.asarray(opened(theirs)))
        assert np.array_equal(np.asarray(opened(data))[:, :, 3], array[:, :, 3]) is (quality == 100)
        sizes.append(len(data))
    assert sizes == sorted(set(sizes))
    lossless = parse_encoder_options(["alpha_quality=0", "lossless=true"])
    assert np.array_equal(np.asarray(opened(encode(given, "WEBP", lossless)[0])), array)


def test_quality_wins_over_the_tables_of_the_old_file():
    old = saved(Image.fromarray(smooth(32, 48)), "JPEG", quality=71, subsampling=1)
    back = opened(encode(parse(old, "a"), "JPEG", {"quality": 30})[0])
    assert back.quantization == opened(saved(Image.new("RGB", (8, 8)), "JPEG", quality=30)).quantization
    assert get_sampling(back) == 1


@pytest.mark.parametrize(
    "pair",
    ["quality=0", "quality=101", "quality=x", "quality", "quality=９", "lossless=maybe", "subsampling=4:1:1", "foo=1",
     "=1", "compress_level=10", "alpha_quality=101", "quality=" + "9" * 5000, "compression=jpeg"],
)  # fmt: skip
def test_wrong_encoder_options_are_refused_in_one_line(pair):
    with pytest.raises(UsageError) as caught:
        parse_encoder_options([pair])
    assert len(str(caught.value).splitlines()) == 1


def test_every_encoder_option_belongs_to_formats_that_exist():
    for option in ENCODER_OPTIONS.values():
        assert set(option.formats) <= {form.name for form in table.FORMATS}


def test_every_listed_ending_has_a_format():
    for ending in endings().split(", "):
        assert name_for(ending) == name_for(ending.upper()) is not None


# durable writing


def test_a_new_file_follows_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write(tmp_path / "a", b"1", overwrite=False)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o600)
    write(tmp_path / "a", b"new", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real/a")
    write(tmp_path / "link", b"new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"new"


def test_what_exists_is_not_replaced_unless_asked(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(WriteError, match="exists"):
        write(tmp_path / "a", b"new", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_without_hard_links_it_is_renamed(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "a", b"new", overwrite=False)
    with pytest.raises(WriteError, match="exists"):
        write(tmp_path / "a", b"newer", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace", "fchmod"])
@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(143)])
def test_whatever_happens_the_old_file_stays_and_nothing_is_left(tmp_path, monkeypatch, step, problem):
    (tmp_path / "a").write_bytes(b"old")

    def fail(*_):
        raise problem

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(WriteError if isinstance(problem, OSError) else type(problem)):
        write(tmp_path / "a", b"new", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("no")])
def test_what_goes_wrong_while_a_file_is_written_leaves_the_old_one(tmp_path, problem):
    (tmp_path / "a").write_bytes(b"old")
    expected = WriteError if isinstance(problem, OSError) else type(problem)

    def write_half():
        with placed(tmp_path / "a", overwrite=True) as file:
            put(file, b"half of it")
            assert len(leftovers(tmp_path)) == 1
            raise problem

    with pytest.raises(expected):
        write_half()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_short_writes_of_the_system_are_continued(tmp_path, monkeypatch):
    monkeypatch.setattr("imgconv.formats.place.PIECE", 3)
    write(tmp_path / "a", b"0123456789", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_devices_pipes_and_folders_are_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(WriteError, match="not a regular file"):
            write(tmp_path / name, b"1", overwrite=True)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert leftovers(tmp_path) == []


def test_a_missing_folder_and_a_file_for_a_folder_are_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for name in ("none/a", "file/a", "x" * 300):
        with pytest.raises(WriteError, match=name.split("/")[0]) as caught:
            write(tmp_path / name, b"1", overwrite=False)
        assert len(str(caught.value).splitlines()) == 1


# what its own name must be able to hold


@pytest.mark.parametrize("ending", [*ENDINGS.values(), ".npy", ".csv"])
def test_one_channel_with_an_axis_of_its_own_is_grey(tmp_path, ending):
    array = noise(5, 6, 3)
    Image.fromarray(array).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", array[:, :, :1])
    expected = np.clip(array.astype(int).sum(axis=2), 0, 255)
    for source, options in (("a.png", ("--channels", "sum")), ("a.npy", ())):
        target = tmp_path / f"{source}{ending}"
        done = imgconv("apply", tmp_path / source, "-k", "identity", *options, "-o", target)
        assert done.returncode == 0, done.stderr
        found = parse(target.read_bytes(), "a", ending)
        assert found.array.shape[:2] == (5, 6)
        if ending != ".jpg":  # WebP and GIF know no grey
            assert (found.array.reshape(5, 6, -1) == (expected if options else array[:, :, 0])[:, :, None]).all()


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 3)])
def test_a_lossless_jpeg_is_written_under_its_own_name(tmp_path, shape):
    array = noise(*shape)
    (tmp_path / "a.jpg").write_bytes(lossless_jpeg(array))
    assert np.array_equal(np.asarray(opened((tmp_path / "a.jpg").read_bytes())), array)
    done = imgconv("apply", tmp_path / "a.jpg", "-k", "identity")
    assert done.returncode == 0, done.stderr
    assert "lossless" in done.stderr
    with Image.open(tmp_path / "a.identity.jpg") as back:
        assert np.abs(np.asarray(back).astype(int) - array).mean() < 4


@pytest.mark.parametrize("kernel", ["blur", "sobel_x", "find_edges"])
def test_an_opaque_bmp_of_32_bits_is_written_under_its_own_name(tmp_path, kernel):
    array = noise(9, 8, 4)
    array[:, :, 3] = 255
    (tmp_path / "a.bmp").write_bytes(bmp_with_alpha(array))
    assert opened((tmp_path / "a.bmp").read_bytes()).mode == "RGBA"
    done = imgconv("apply", tmp_path / "a.bmp", "-k", kernel, "--in-place")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.asarray(opened((tmp_path / "a.bmp").read_bytes())), filtered(array[:, :, :3], kernel))
    array[2, 2, 3] = 254
    (tmp_path / "b.bmp").write_bytes(bmp_with_alpha(array))
    done = imgconv("apply", tmp_path / "b.bmp", "-k", kernel, "--in-place")
    assert done.returncode == 1
    assert "cannot hold an alpha channel" in done.stderr
