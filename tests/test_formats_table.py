"""Every format that Pillow reads: its pixels come through, and what cannot be written says so."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from makers import noise, opened, saved
from PIL import Image
from rare import WRITTEN, of_mode, only_read, opened_as, written

from imgconv.cli import cli
from imgconv.errors import PictureError
from imgconv.formats import blocks
from imgconv.formats.limits import DEFAULT
from imgconv.formats.read import parse
from imgconv.formats.table import FORMATS, by_name, format_of, name_for
from imgconv.info import describe

pytestmark = [
    pytest.mark.usefixtures("quick_disk"),
    pytest.mark.filterwarnings("ignore:IM image format"),  # which Pillow will drop
]
IDENTITY = ("-k", "identity", "--alpha", "straight")
FORMS = {ending: name_for(ending) for ending in [*WRITTEN, ".icns", ".j2k"]}
# PostScript and what may hold it start programs, as Pillow reads WMF on Windows; the others are only named
OFF = {"EPS", "WMF", "IPTC", "BUFR", "GRIB", "HDF5", "MPEG"}


def run(*words):
    done = CliRunner().invoke(cli, ["apply", *map(str, words)], standalone_mode=False)
    return done.return_value if done.exception is None else done.exception, done.output + done.stderr


def plain(image: Image.Image) -> np.ndarray:
    """Pixels as they are filtered: without palettes and in whole bytes."""
    key = "transparency" in image.info
    mode = {"1": "L", "P": "RGBA" if key else "RGB", "PA": "RGBA"}.get(image.mode)
    return np.asarray(image.convert(mode) if mode else image)


def test_the_table_has_every_format_that_pillow_reads_but_for_those_that_start_programs():
    Image.init()
    assert set(Image.OPEN) - OFF <= {form.name for form in FORMATS} | {"MPO"}
    assert not OFF & {form.name for form in FORMATS}


@pytest.mark.parametrize(("ending", "mode", "data"), [pytest.param(*case, id="-".join(case[:2])) for case in written()])
def test_what_pillow_writes_comes_through_and_goes_back_into_its_own_format(tmp_path, ending, mode, data):
    form = FORMS[ending]
    expected = plain(opened_as(data, "DIB" if ending == ".dib" else form))
    picture = parse(data, "x", ending)
    assert np.array_equal(picture.array, expected)
    (tmp_path / f"in{ending}").write_bytes(data)
    status, said = run(tmp_path / f"in{ending}", *IDENTITY, "-o", tmp_path / f"out{ending}")
    if by_name(form).modes == ("1",):
        assert status == 1
        assert "give --depth 1" in said
        status, said = run(tmp_path / f"in{ending}", *IDENTITY, "--depth", "1", "-o", tmp_path / f"out{ending}")
    assert status == 0, said
    result = opened_as((tmp_path / f"out{ending}").read_bytes(), form)
    if form == "AVIF":  # which Pillow always codes as YCbCr
        assert abs(plain(result).astype(int) - expected).max() < 40
    elif result.mode == "RGBA" != picture.mode:
        assert np.array_equal(np.asarray(result.convert(picture.mode)), expected)
    else:
        assert np.array_equal(plain(result), expected)


def test_large_pictures_are_those_of_pillow(monkeypatch):
    monkeypatch.setattr(blocks, "SMALL", 0)  # from which their memory is one block
    for ending, mode, data in written():
        expected = plain(opened_as(data, "DIB" if ending == ".dib" else FORMS[ending]))
        assert np.array_equal(parse(data, "x", ending).array, expected), (ending, mode)
    for ending, data, pixels in only_read():
        assert np.array_equal(parse(data, "x", ending).array, pixels), ending


@pytest.mark.parametrize(("ending", "data", "pixels"), [pytest.param(*case, id=case[0]) for case in only_read()])
def test_what_is_only_read_names_what_to_do(tmp_path, ending, data, pixels):
    picture = parse(data, "x", ending)
    form = picture.format
    assert np.array_equal(picture.array, pixels)
    assert picture.others == 0
    source = tmp_path / f"in{ending}"
    source.write_bytes(data)
    status, said = run(source, *IDENTITY)
    assert status == 1
    assert f"{source}: {form} is read, but not written; --format takes one of .png" in said
    status, said = run(source, *IDENTITY, "--format", "png", "-o", tmp_path / "{stem}.out{ext}")
    assert status == 0, said
    assert np.array_equal(plain(opened((tmp_path / "in.out.png").read_bytes())), pixels)
    assert run(source, *IDENTITY, "--in-place")[0] == 1
    assert source.read_bytes() == data


def frames_in(path):
    """Each frame of a file, as Pillow has it."""
    with Image.open(path) as found:
        return [found.seek(number) or found.copy() for number in range(found.n_frames)]


def test_frames_of_what_is_only_read(tmp_path):
    """Autodesk's FLC, and pages of a fax."""
    greys = noise(2, 4, 5)
    header = struct.pack("<IHHHHHHI", 0, 0xAF12, 2, 5, 4, 8, 3, 40).ljust(128, b"\0")
    frames = b"".join(struct.pack("<IHH8xIH", 16 + 26, 0xF1FA, 1, 26, 16) + grey.tobytes() for grey in greys)
    (tmp_path / "a.flc").write_bytes(header + frames)
    status, said = run(tmp_path / "a.flc", *IDENTITY, "-o", tmp_path / "a.png")
    assert status == 0, said
    found = frames_in(tmp_path / "a.png")
    assert all(np.array_equal(np.asarray(frame.convert("L")), grey) for frame, grey in zip(found, greys, strict=True))
    assert [frame.info["duration"] for frame in found] == [40, 40]
    assert describe(tmp_path / "a.flc").durations == (40, 40)
    pages = [of_mode("L", rows) for rows in (4, 6)]
    first, second = (saved(page, "PCX") for page in pages)
    (tmp_path / "a.dcx").write_bytes(struct.pack("<4I", 0x3ADE68B1, 16, 16 + len(first), 0) + first + second)
    status, said = run(tmp_path / "a.dcx", *IDENTITY, "-o", tmp_path / "a.tif")
    assert status == 0, said
    found = frames_in(tmp_path / "a.tif")
    assert all(np.array_equal(np.asarray(frame), np.asarray(page)) for frame, page in zip(found, pages, strict=True))
    assert describe(tmp_path / "a.dcx").frames == 2


def test_planes_and_channels_that_pillow_passes_over_are_said(tmp_path):
    cards = ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 3", "NAXIS1  = 3", "NAXIS2  = 2", "NAXIS3  = 4", "END")
    fits = "".join(card.ljust(80) for card in cards).ljust(2880).encode() + bytes(2880)
    assert parse(fits, "x", ".fits").others == 3
    with pytest.raises(PictureError, match="64-bit samples"):
        parse(fits.replace(b"= 8 ", b"= -64"), "x", ".fits")
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 5, 2, 3, 8, 4) + bytes(14)
    assert parse(head + bytes(30), "x").notes == ("its last channel is none of CMYK and left out",)
    for extra, said in ((1, "channel is"), (2, "2 channels are")):
        file = io.BytesIO()
        array = noise(4, 5, 3 + extra)
        how = {"photometric": "rgb", "planarconfig": "contig", "extrasamples": [0] * extra}
        tifffile.imwrite(file, array, metadata=None, **how)
        found = parse(file.getvalue(), "x")
        assert np.array_equal(found.array, array[:, :, :3])
        assert found.notes == (f"its last {said} none of RGB and left out",)


def test_faces_slices_and_sizes_that_pillow_passes_over_are_said():
    flat = saved(of_mode("RGB"), "DDS")
    whole = int.from_bytes(flat[108:112], "little")
    for depth, kind, others in ((0, 0, 0), (0, 0xFE00, 5), (0, 0x0E00, 1), (7, 0x200000, 6)):
        head = flat[:24] + struct.pack("<I", depth) + flat[28:108] + struct.pack("<II", whole, kind)
        found = parse(head + flat[116:], "x", ".dds")
        assert found.others == others
        assert np.array_equal(found.array, np.asarray(of_mode("RGB")))
    base = bytearray(385 * 2048)
    base[2048:2052] = b"PCD_"
    assert [parse(bytes(base) + more, "x", ".pcd").others for more in (b"", bytes(2048))] == [0, 1]


def test_a_palette_with_alpha_keeps_it():
    head = struct.pack("<BBBHHBHHHHBB", 0, 1, 1, 0, 2, 32, 0, 0, 2, 1, 8, 0x20)
    found = parse(head + bytes((3, 2, 1, 77, 6, 5, 4, 255)) + b"\0\1", "x", ".tga")
    assert (found.mode, found.array.tolist()) == ("RGBA", [[[1, 2, 3, 77], [4, 5, 6, 255]]])


def test_a_target_that_is_only_read_is_refused_before_any_work(tmp_path):
    (tmp_path / "in.png").write_bytes(saved(of_mode("RGB"), "PNG"))
    for words in (["--format", "psd"], ["-o", tmp_path / "out.psd"]):
        problem, _ = run(tmp_path / "in.png", *IDENTITY, *words)
        assert "not one that can be written: .png, " in str(problem)


def test_folders_are_walked_for_all_of_them(tmp_path):
    cases = [(ending, data) for ending, data, _ in only_read() if ending not in (".imt",)]
    for number, (ending, data) in enumerate(cases):
        (tmp_path / f"{number}{ending}").write_bytes(data)
    status, said = run(tmp_path, "-r", *IDENTITY, "--format", "png", "--out-dir", tmp_path / "out")
    assert status == 0, said
    assert len(list((tmp_path / "out").glob("*.png"))) == len(cases)


def test_text_and_source_code_are_no_pictures():
    for text in (b"#define WIDTH 3\n", b"/* a */\n", b"\n\n", b"\n\5 a", b"P7\nWIDTH 3\n", b"*\nwidth 3\n", bytes(32)):
        assert format_of(text) is None


@pytest.mark.parametrize(("bits", "form"), [(12, "JPEG2000"), (16, "SGI"), (10, "AVIF")])
def test_depth_that_pillow_cuts_is_said(bits, form):
    if form == "JPEG2000":
        data = saved(of_mode("RGB"), "JPEG2000", no_jp2=True)
        data = data[:42] + bytes([bits - 1, 1, 1]) * 3 + data[51:]  # the size of samples, in its first segment
    elif form == "SGI":
        data = b"\1\xda\0\2" + (3).to_bytes(2, "big") + bytes([0, 3, 0, 2, 0, 3]) + bytes(500) + bytes(36)
    else:
        data = saved(of_mode("RGB"), "AVIF")
        at = data.index(b"av1C\x81") + 6
        data = data[:at] + bytes([data[at] | 64]) + data[at + 1 :]  # as if it had 10 bits
        from imgconv.formats.decode import depth_of

        assert depth_of(data, opened_as(saved(of_mode("RGB"), "AVIF"), "AVIF")) == bits
        return
    picture = parse(data, "x", "")
    assert f"its {bits} bits per channel were cut to 8: Pillow reads no more of {form}" in picture.notes


def test_icons_say_that_they_have_other_sizes():
    data = saved(of_mode("RGBA", 48, 48), "ICO", sizes=[(16, 16), (48, 48)])
    picture = parse(data, "x")
    assert picture.array.shape == (48, 48, 4)
    assert picture.notes == ("only the largest of its 2 sizes was filtered",)
    for size, form in (((47, 47), "icns"), ((300, 20), "ico")):
        from imgconv.errors import WriteError
        from imgconv.formats.write import encode

        with pytest.raises(WriteError, match="holds"):
            encode(parse(saved(of_mode("RGB", *size), "PNG"), "x"), form.upper())


def test_pictures_inside_of_others_claim_no_more_than_others():
    png = bytearray(saved(of_mode("RGBA", 32, 32), "PNG"))
    png[16:24] = b"\0\0\xff\xff\0\0\xff\xff"
    head = b"\0\0\1\0\1\0" + bytes([32, 32, 0, 0, 1, 0, 32, 0]) + len(png).to_bytes(4, "little") + b"\x16\0\0\0"
    bitmap = b"\x28\0\0\0\xff\xff\0\0\xff\xff\1\0\1\0\x20\0" + bytes(24)
    for data in (head + png, head + bitmap, b"icns" + (len(png) + 16).to_bytes(4, "big") + b"icp5"
                 + (len(png) + 8).to_bytes(4, "big") + png):  # fmt: skip
        with pytest.raises(PictureError, match="pixels, more than the"):
            parse(bytes(data), "x", limits=DEFAULT)


def test_a_common_format_imports_no_plugin_of_a_rare_one(tmp_path):
    (tmp_path / "a.jpg").write_bytes(saved(of_mode("RGB"), "JPEG"))
    (tmp_path / "a.webp").write_bytes(saved(of_mode("RGB"), "WEBP"))
    code = (
        "import sys; from pathlib import Path; from imgconv.formats.read import read; from imgconv.formats.write import"
        " encode; p = read(Path(sys.argv[1])); encode(p, p.format); print(*(name for name in sys.modules"
        " if name.startswith('PIL.') and name.endswith('ImagePlugin')))"
    )
    for name, own in (("a.jpg", "PIL.JpegImagePlugin"), ("a.webp", "PIL.WebPImagePlugin")):
        done = subprocess.run([sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True, check=True)
        found = set(done.stdout.split())
        assert own in found
        # those that Pillow itself imports for every picture
        common = {f"PIL.{name}ImagePlugin" for name in ("Bmp", "Gif", "Jpeg", "Mpo", "Ppm", "Png", "Tiff")}
        assert found <= common | {own}


def test_sound_files_of_every_format_are_known_by_their_start():
    for ending, data, _ in only_read():
        assert ending == ".imt" or format_of(data[:32]) is not None, ending
    for ending, mode, data in written():
        form = format_of(data[:32])
        assert form or ending in (".tga", ".spi"), (ending, mode)
    assert parse(saved(of_mode("RGB"), "TGA"), "x", ".tga").format == "TGA"
    with pytest.raises(PictureError, match="not a picture that can be read"):
        parse(io.BytesIO(saved(of_mode("RGB"), "TGA")).getvalue(), "x")
