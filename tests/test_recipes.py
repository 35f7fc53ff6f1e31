"""Where options come from: the command line, a recipe, variables, config.toml; and recipes as files."""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from makers import imgconv, noise, saved
from PIL import Image
from test_cli import quick

from imgconv.cli import cli


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    Path("a.png").write_bytes(saved(Image.fromarray(noise(12, 16, 3)), "PNG"))
    Path("mine.toml").write_text("weights = [[0.1, 0.2, 0.3], [0, 1, 0]]\nscale = 3\nborder = 'reflect'\n")


def config(text):
    Path("home/imgconv").mkdir(parents=True, exist_ok=True)
    Path("home/imgconv/config.toml").write_text(text)


def done(*words):
    status, out, err = quick("apply", "a.png", *words)
    assert status == 0, err
    return out


def pixels(*words):
    done(*words, "-o", "out.png", "--overwrite", "-q")
    with Image.open("out.png") as image:
        return np.array(image)


def refused(*words):
    status, out, err = quick("apply", "a.png", *words, "-o", "out.png")
    assert status == 2, err
    assert (out, err.count("\n"), Path("out.png").exists()) == ("", 1, False)
    return err


SETTINGS = [
    ["-k", "edge_enhance"],
    ["-k", "gaussian:sigma=1.3", "--border", "constant:7", "--linear"],
    ["-k", "./mine.toml", "-k", "blur", "--mode", "convolve", "--anchor", "1,0", "--padding", "full"],
    ["-k", "0 -1 0; -1 5 -1; 0 -1 0", "--stride", "2", "--dilation", "1,2", "--after", "abs", "--offset", "0.1"],
    ["-k", "sobel_x", "-k", "sobel_y", "--combine", "hypot", "--scale", "0.3", "--bias", "1,2.5,3"],
    ["--vary", "gaussian:sigma=0..3", "--mask", "linear:band=0.4"],
    ["-k", "blur", "--mask", "mask.png", "--like", "opencv", "--metadata", "icc,dpi", "--co", "compress_level=1"],
    ["-k", "blur", "--metadata", "none", "--channels", "rb", "--method", "direct", "--auto-orient"],
]


@pytest.mark.parametrize("words", SETTINGS, ids=lambda words: "-".join(words)[:60])
def test_a_saved_recipe_does_the_same_elsewhere(words, monkeypatch):
    Path("mask.png").write_bytes(saved(Image.fromarray(noise(12, 16, seed=3)), "PNG"))
    wanted = pixels(*words)
    assert done(*words, "--save-recipe", "r.toml", "-n").endswith(".png\n")
    Path("mine.toml").unlink()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    Path("a.png").write_bytes(Path("../a.png").read_bytes())
    assert np.array_equal(pixels("--recipe", "../r.toml"), wanted)
    done("--recipe", "../r.toml", "--save-recipe", "again.toml", "-n")
    assert np.array_equal(pixels("--recipe", "again.toml"), wanted)


def test_a_saved_recipe_is_what_a_person_would_write():
    done("-k", "blur", "--border", "wrap", "--stride", "2", "--co", "compress_level=1", "--co", "optimize=true",
         "--save-recipe", "r.toml", "-n", "-t", "1", "--out-dir", "b")  # fmt: skip
    assert Path("r.toml").read_text() == (
        'kernel = ["blur"]\nborder = "wrap"\nstride = [2, 2]\nco = {compress_level = 1, optimize = true}\n'
    )


def test_a_recipe_is_saved_without_any_picture():
    assert quick("apply", "-k", "blur", "--save-recipe", "r.toml")[0] == 0
    assert Path("r.toml").read_text() == 'kernel = ["blur"]\n'
    assert quick("apply", "-k", "blur", "--co", "x=1", "--save-recipe", "s.toml")[0] == 2
    assert not Path("s.toml").exists()


def test_kernels_from_files_are_saved_with_their_weights_and_names():
    done("-k", "./mine.toml", "-k", "blur", "--save-recipe", "r.toml", "-n")
    first, second = tomllib.loads(Path("r.toml").read_text())["kernel"]
    assert first == {"name": "mine", "weights": [[0.1, 0.2, 0.3], [0, 1, 0]], "scale": 3, "border": "reflect"}
    assert second["name"] == "blur"
    assert "a.mine+blur.png" in done("--recipe", "r.toml", "-n")


def test_a_mask_is_named_with_its_hash():
    Path("mask.png").write_bytes(saved(Image.fromarray(noise(12, 16, seed=3)), "PNG"))
    done("-k", "blur", "--mask", "mask.png", "--save-recipe", "r.toml", "-n")
    digest = hashlib.sha256(Path("mask.png").read_bytes()).hexdigest()
    assert tomllib.loads(Path("r.toml").read_text())["mask"] == {"file": "mask.png", "sha256": digest}
    Path("mask.png").write_bytes(saved(Image.fromarray(noise(12, 16, seed=4)), "PNG"))
    assert "mask.png is not the mask that the recipe was made with" in refused("--recipe", "r.toml")


def test_files_in_a_recipe_lie_beside_it(monkeypatch):
    Path("r.toml").write_text('kernel = ["./mine.toml", "1 1/2; 0 0"]\nmask = "mask.png"\n')
    Path("mask.png").write_bytes(saved(Image.fromarray(noise(12, 16, seed=3)), "PNG"))
    wanted = pixels("-k", "./mine.toml", "-k", "1 1/2; 0 0", "--mask", "mask.png")
    Path("deep").mkdir()
    monkeypatch.chdir("deep")
    Path("a.png").write_bytes(Path("../a.png").read_bytes())
    assert np.array_equal(pixels("--recipe", "../r.toml"), wanted)


@pytest.mark.parametrize("more", [["--save-recipe", "r.toml"], ["--embed"], ["--resume"]])
def test_all_frames_may_be_asked_for_where_a_recipe_is_written_down(more):
    Path("first.toml").write_text("kernel = 'blur'\nframes = [1]\n")
    assert "\nframes all: command line\n" in "\n" + done(
        "--recipe", "first.toml", "--frames", "all", "--explain", *more
    )
    assert not Path("r.toml").exists() or Path("r.toml").read_text() == 'kernel = ["blur"]\n'


def test_a_recipe_is_not_overwritten_unasked():
    Path("r.toml").write_text("kept")
    assert refused("-k", "blur", "--save-recipe", "r.toml").endswith("r.toml: exists; --overwrite replaces it\n")
    assert Path("r.toml").read_text() == "kept"
    done("-k", "blur", "--save-recipe", "r.toml", "-n", "--overwrite")
    assert Path("r.toml").read_text() == 'kernel = ["blur"]\n'
    assert "none/r.toml" in refused("-k", "blur", "--save-recipe", "none/r.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('bordr = "wrap"', "r.toml: 'bordr' is no setting of apply; did you mean border?"),
        ("overwrite = true", "r.toml: overwrite does not decide what a picture becomes"),
        ("jobs = 3", "r.toml: jobs does not decide"),
        ('recipe = "r.toml"', "r.toml: "),
        ('border = "wrapp"', "r.toml: border: border 'wrapp' is not one of"),
        ('mode = "x"', "r.toml: mode: 'x' is not one of"),
        ("border = [1, {a = 1}]", "r.toml: border takes a word or a number, not a table"),
        ('linear = "yes"', "r.toml: linear takes true or false, not 'yes'"),
        ('kernel = ["blr"]', "r.toml: kernel: no kernel named 'blr'; did you mean blur"),
        ('kernel = "none.toml"', "r.toml: kernel: none.toml: no such file"),
        ('[[kernel]]\nname = "../x"\nweights = [[1]]', "r.toml: kernel: name '../x'"),
        ('[[kernel]]\nname = "x"\nweight = [[1]]', "r.toml: kernel: 'weight' is not a key"),
        ('[[kernel]]\nweights = [["1"]]', "r.toml: kernel: weights, row 1: '1' is not a number"),
        ('mask = {file = "a.png"}', "r.toml: mask: takes a shape"),
        ("border = 1979-05-27", "r.toml: border takes a word or a number, not datetime"),
        ('mask = "a\\u0000b"', "r.toml: mask takes a word or a number, not 'a"),
        ('mask = {file = "a\\u0000b", sha256 = ""}', "is no name that a file can have"),
        ('kernel = "a\\u0000b/c.toml"', "r.toml: kernel: 'a\\x00b/c.toml': is no name"),
        ("scale = nan", "r.toml: scale: 'nan' is not a finite number"),
        ("stride = [0]", "r.toml: stride: '0' is not N"),
        ("co = {quality = [1]}", "r.toml: co takes a word"),
        ("a = ", "r.toml: is not TOML"),
        ("a" + ".a" * 20000 + "=1", "r.toml: is not TOML that can be read"),
        ("#" * (4 * 2**20 + 1), "r.toml: 4,194,305 bytes, more than"),
    ],
)
def test_a_wrong_recipe_is_one_line_with_file_and_key(text, says):
    Path("r.toml").write_text(text)
    line = refused("--recipe", "r.toml", *(["-k", "blur"] if "kernel" not in text else []))
    assert says in line


def test_only_regular_files_are_recipes():
    os.mkfifo("pipe")
    assert "pipe: is not a regular file" in refused("--recipe", "pipe")
    assert ".: is a folder" in refused("--recipe", ".")
    assert "none.toml: no such file" in refused("--recipe", "none.toml")


def test_the_command_line_wins_over_the_recipe_that_over_variables_those_over_the_config(monkeypatch):
    config('[apply]\nborder = "wrap"\nmode = "convolve"\nkernel = "blur"\n')

    def border(*words):
        (line,) = [line for line in done(*words, "--explain", "-n").splitlines() if line.startswith("border ")]
        return line.removeprefix("border ")

    assert border() == f"wrap: config {Path('home/imgconv/config.toml').absolute()}"
    monkeypatch.setenv("IMGCONV_APPLY_BORDER", "edge")
    assert border() == "edge: variable IMGCONV_APPLY_BORDER"
    Path("r.toml").write_text('kernel = "sharpen"\nborder = "reflect"\n')
    assert border("--recipe", "r.toml") == "reflect: recipe r.toml"
    assert border("--recipe", "r.toml", "--border", "symmetric") == "symmetric: command line"


def test_a_recipe_is_whole(monkeypatch):
    """What it does not say is the default, so that it does the same for everybody."""
    wanted = pixels("-k", "./mine.toml")
    Path("r.toml").write_text('kernel = "mine.toml"\n')
    config('[apply]\nborder = "wrap"\nout-dir = "there"\n')
    monkeypatch.setenv("IMGCONV_APPLY_MODE", "convolve")
    assert not np.array_equal(pixels("-k", "./mine.toml", "--out-dir", "."), wanted)
    assert np.array_equal(pixels("--recipe", "r.toml", "--out-dir", "."), wanted)
    assert "there/a.mine.png" in done("--recipe", "r.toml", "-n")


def test_explain_says_where_each_setting_is_from(monkeypatch):
    config('[apply]\npadding = "same"\n')
    monkeypatch.setenv("IMGCONV_APPLY_OFFSET", "2")
    Path("r.toml").write_text("dilation = 2\n")
    out = done("-k", "./mine.toml", "--like", "opencv", "--mode", "convolve", "--explain")
    place = Path("home/imgconv/config.toml").absolute()
    for line, where in {
        "mode convolve": "command line",
        "border reflect": "--like opencv",
        "padding same": f"config {place}",
        "stride 1,1": "default",
        "anchor 1,1": "--like opencv",
        "scale 3": "the kernel's own",
        "offset 2": "variable IMGCONV_APPLY_OFFSET",
        "rounding half-even": "--like opencv",
    }.items():
        (found,) = [text for text in out.splitlines() if text.strip().startswith(f"{line}: ") and "[" in text]
        assert found.endswith(f"[{where}]"), found
    out = done("-k", "emboss", "--recipe", "r.toml", "--explain")
    own = {line.split(":")[0].strip() for line in out.splitlines() if line.endswith("[the kernel's own]")}
    assert own == {"flip vertical", "border keep", "anchor 1,1", "offset 128"}
    assert "kernel emboss: command line\n" in out
    assert "dilation 2,2: recipe r.toml\n" in out


def test_variables_have_the_names_of_the_options(monkeypatch):
    for name, value in {
        "IMGCONV_APPLY_KERNEL": "0 1 0; 1 1 1; 0 1 0\nblur", "IMGCONV_APPLY_MAX_PIXELS": "1", "IMGCONV_APPLY_CO":
        "compress_level=1 optimize=no", "IMGCONV_APPLY_OUT_DIR": "x", "IMGCONV_APPLY_LINEAR": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    out = done("-n", "--explain")
    assert out.endswith("a.png → x/a.matrix+blur.png\n")
    for name in ("KERNEL", "MAX_PIXELS", "CO", "OUT_DIR", "LINEAR"):
        assert f": variable IMGCONV_APPLY_{name}\n" in out
    monkeypatch.setenv("IMGCONV_APPLY_BORDER", "no")
    assert "variable IMGCONV_APPLY_BORDER: border 'no' is not one of" in refused()


def test_variables_neither_show_the_version_nor_help(monkeypatch):
    for name in ("VERSION", "HELP", "APPLY_HELP"):
        monkeypatch.setenv(f"IMGCONV_{name}", "1")
    assert done("-k", "blur", "-n") == "a.png → a.blur.png\n"


def test_the_config_is_for_every_command_and_its_color_for_all(monkeypatch):
    config('color = "always"\n[kernels.show]\njson = true\n[doctor]\n')
    assert quick("kernels", "show", "blur")[1].startswith("{")
    assert "\x1b[" in quick("kernels", "list")[1]
    assert "\x1b[" not in quick("--color", "never", "kernels", "list")[1]
    assert "\x1b[" not in quick("kernels", "list", "--color", "never")[1]
    monkeypatch.setenv("IMGCONV_COLOR", "never")
    assert "\x1b[" not in quick("kernels", "list")[1]
    assert "\x1b[" in quick("--color", "always", "kernels", "list")[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[aply]", "config.toml: 'aply' is no command; did you mean apply?"),
        ("border = 1", "config.toml: 'border' is no command; write [apply], then its options"),
        ("apply = 1", "config.toml: apply is a command; write [apply]"),
        ("[apply]\nbordr = 1", "config.toml: [apply]: 'bordr' is no option of apply; did you mean border?"),
        ("[apply]\nhelp = true", "config.toml: [apply]: 'help' is no option of apply"),
        ("[apply]\ncolor = 'never'", "config.toml: [apply]: color is for all commands"),
        ("[apply]\nthreads = 'x'", "config.toml: threads: 'x' is not a valid integer range"),
        ("color = 'x'", "config.toml: color: 'x' is not one of"),
        ("x", "config.toml: is not TOML"),
    ],
)
def test_a_wrong_config_is_one_line_with_file_and_key(text, says):
    config(text)
    assert says in refused("-k", "blur")
    assert CliRunner().invoke(cli, ["--help"]).exit_code == 0
    assert CliRunner().invoke(cli, ["--version"]).exit_code == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("kernel = 'blur'", ["--vary", "gaussian:sigma=0..2", "--mask", "radial"]),
        ("vary = 'gaussian:sigma=0..2'\nmask = 'radial'", ["-k", "blur"]),
        ("out-dir = 'there'", ["-k", "blur", "--in-place"]),
        ("format = 'tif'", ["-k", "blur", "--in-place"]),
        ("out-dir = 'there'", ["-k", "blur", "-o", "-", "--format", "png"]),
        ("overwrite = true", ["-k", "blur", "--skip-existing"]),
        ("resume = true", ["-k", "blur", "--newer"]),
        ("jobs = 2", ["-k", "blur", "--cluster", "local:2"]),
    ],
)
def test_an_option_on_the_command_line_undoes_what_it_excludes_in_the_config(given, words):
    alone = done(*words, "-n")
    config(f"[apply]\n{given}\n")
    assert done(*words, "-n") == alone
    kept = given.partition(" ")[0]
    assert f"{kept} " not in [line[: len(kept) + 1] for line in done(*words, "-n", "--explain").splitlines()]


def test_a_kernel_on_the_command_line_takes_the_place_of_what_a_recipe_varies():
    assert "give one or the other" in refused("--vary", "gaussian:sigma=0..2", "--mask", "radial", "-k", "blur")
    Path("r.toml").write_text("vary = 'gaussian:sigma=0..2'\nmask = 'radial'\n")
    assert (pixels("--recipe", "r.toml", "-k", "blur") == pixels("-k", "blur", "--mask", "radial")).all()


@pytest.mark.parametrize("name", ["home/imgconv/config.toml", "r.toml"])
def test_files_as_notepad_saves_them(name):
    config("")
    text = "kernel = 'sharpen'\r\nborder = 'wrap'\r\n"
    Path(name).write_bytes(("\ufeff" + ("[apply]\r\n" if "config" in name else "") + text).encode())
    assert "border wrap: " in done("-n", "--explain", *(["--recipe", name] if name == "r.toml" else []))


def test_opposite_flags_and_underscores_in_the_config():
    config("[apply]\nfail-fast = true\nauto_orient = true\n")
    out = done("-k", "blur", "-n", "--explain")
    assert "keep-going false: config " in out
    assert "auto-orient true: config " in out


def test_the_config_may_name_a_recipe_that_lies_beside_it():
    config("[apply]\nrecipe = 'mine.toml'\n")
    Path("home/imgconv/mine.toml").write_text("kernel = 'sharpen'\n")
    assert done("-n", "--explain").startswith("kernel sharpen: recipe ")


def test_what_is_explained_gives_no_password_away():
    out = done("-k", "blur", "-n", "--explain", "--exclude", "s3://me:secret@there/*")
    assert "exclude s3://…@there/*: command line" in out
    assert "secret" not in out


def test_doctor_says_where_the_config_is():
    assert "config " not in quick("doctor")[1]
    config("")
    assert f"config    {Path('home/imgconv/config.toml').absolute()}" in quick("doctor")[1]


def test_a_relative_folder_for_configs_is_passed_over():
    """So the XDG Base Directory Specification says; the user's own .config holds instead."""
    Path("own/.config/imgconv").mkdir(parents=True)
    Path("own/.config/imgconv/config.toml").write_text("[apply]\nkernel = 'sharpen'\n")
    config("[apply]\nkernel = 'blur'\n")
    environment = {**os.environ, "XDG_CONFIG_HOME": "home", "HOME": os.path.abspath("own")}
    assert imgconv("apply", "a.png", "-n", env=environment).stdout == "a.png → a.sharpen.png\n"
