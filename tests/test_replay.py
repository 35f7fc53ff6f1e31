"""Recipes in results: put in by --embed, done again by `imgconv replay`, and never trusted."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from makers import exif, imgconv, noise, png16, saved, smooth
from PIL import Image
from test_cli import quick
from test_recipes import SETTINGS

from imgconv.formats.read import read
from imgconv.formats.write import encode
from imgconv.formats.xmp import Embedded, recipe_of, with_recipe
from imgconv.kernels.family import family
from imgconv.kernels.text import toml_value

HOLDING = (".png", ".jpg", ".tif", ".webp")
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="kept"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    Path("a.png").write_bytes(saved(Image.fromarray(noise(12, 16, 3)), "PNG"))
    Path("mask.png").write_bytes(saved(Image.fromarray(noise(12, 16, seed=3)), "PNG"))
    Path("mine.toml").write_text("about = 'secret'\nweights = [[0.1, 0.2, 0.3], [0, 1, 0]]\nscale = 3\n")


def done(*words):
    status, out, err = quick(*words)
    assert status == 0, err
    return out


def embed(result, *words, source="a.png"):
    done("apply", source, *words, "-o", result, "--embed", "--overwrite", "-q")
    return read(Path(result))


def put(name, recipe, form="PNG"):
    """A picture that says that a recipe made it."""
    picture = read(Path("a.png"))
    picture.info["xmp"] = with_recipe(b"", Embedded(recipe, "imgconv 0"), form)
    Path(name).write_bytes(encode(picture, form)[0])


def agrees(result, original="a.png", *words):
    assert ": the same " in done("replay", result, original, *words)


@pytest.mark.parametrize("ending", HOLDING)
@pytest.mark.parametrize("words", SETTINGS, ids=lambda words: "-".join(words)[:60])
def test_a_result_is_made_again(words, ending):
    if "--co" in words:
        words = [*words[:-2], *(["--co", "quality=55"] if ending in (".jpg", ".webp") else [])]
    embed(f"b{ending}", *words)
    Path("mine.toml").unlink()
    agrees(f"b{ending}", "a.png", *(["--mask", "mask.png"] if "mask.png" in words else []))


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_16_bits_are_made_again(ending):
    Path("deep.png").write_bytes(png16(noise(20, 30, 3, dtype="uint16")))
    embed(f"b{ending}", "-k", "gaussian:sigma=4", source="deep.png")
    agrees(f"b{ending}", "deep.png")


def test_pillows_own_blurs_are_made_again():
    embed("b.png", "-k", "gaussian:2", "-k", "unsharp:radius=2,percent=150,threshold=3", "--like", "pillow")
    agrees("b.png")


@pytest.mark.parametrize("words", [[], ["--auto-orient"], ["--metadata", "none"], ["--metadata", "exif"]])
@pytest.mark.parametrize("ending", HOLDING)
def test_a_turned_photograph_is_made_again_from_its_own_encoding(words, ending):
    photo = saved(Image.fromarray(smooth(24, 40)), "JPEG", quality=70, exif=exif(orientation=6), xmp=PACKET)
    Path("a.jpg").write_bytes(photo)
    found = embed(f"b{ending}", "-k", "sharpen", *words, source="a.jpg")
    agrees(f"b{ending}", "a.jpg")
    assert (b'dc:format="kept"' in found.info["xmp"]) == (not words or words == ["--auto-orient"])


def test_in_place_a_result_is_made_again_from_a_copy():
    Path("copy.png").write_bytes(Path("a.png").read_bytes())
    done("apply", "a.png", "-k", "blur", "--embed", "--in-place")
    agrees("a.png", "copy.png")


def test_what_is_embedded_is_a_recipe_with_all_weights_and_says_nothing_else():
    words = ["-k", "./mine.toml", "-k", "gaussian:sigma=0.7", "--mask", os.path.abspath("mask.png"), "--border", "wrap"]
    found = recipe_of(embed("b.png", *words).info["xmp"])
    Path("r.toml").write_text(found.recipe)
    done("apply", "a.png", "--recipe", "r.toml", "-o", "again.png", "-q")
    assert np.array_equal(read(Path("again.png")).array, read(Path("b.png")).array)
    for word in (os.getcwd(), "secret", "sigma=0.7"):
        assert word not in found.recipe
    assert [part.split()[0] for part in found.versions.split(", ")] == ["imgconv", "python", "numpy", "pillow"]


@pytest.mark.parametrize("ending", HOLDING)
def test_a_recipe_does_not_outlive_its_picture(ending):
    embed(f"b{ending}", "-k", "blur")
    Path("bare").mkdir()
    status, _, err = quick("apply", f"b{ending}", "-k", "sharpen", "--out-dir", "bare")
    assert status == 0
    assert "the recipe in its XMP, which made the picture before, is left out" in err
    assert recipe_of(read(Path(f"bare/b.sharpen{ending}")).info.get("xmp", b"")) is None
    embed(f"c{ending}", "-k", "sharpen", source=f"b{ending}")
    agrees(f"c{ending}", f"b{ending}")


def test_pixels_that_differ_are_counted_and_versions_named():
    picture = embed("b.tif", "-k", "blur")
    numpy = f"numpy {np.__version__}".encode()
    picture.array[3, 4, 1] ^= 1
    picture.array[5, 6] ^= 2
    picture.info["xmp"] = picture.info["xmp"].replace(numpy, b"numpy 1.0")
    Path("c.tif").write_bytes(encode(picture, "TIFF")[0])
    status, out, _ = quick("replay", "c.tif", "a.png")
    assert status == 1
    assert out == (
        "c.tif: 2 of 192 pixels differ from those made again from a.png, by 2 at most;"
        f" numpy was 1.0, is {np.__version__}\n"
    )
    status, out, _ = quick("replay", "c.tif", "a.png", "--json")
    found = json.loads(out)
    assert (status, found["equal"], found["pixels"], found["all_pixels"], found["largest"]) == (1, False, 2, 192, 2)
    assert (found["made_with"]["numpy"], found["here"]["numpy"]) == ("1.0", np.__version__)


def test_a_sample_that_is_no_number_differs_from_all_others():
    np.save("a.npy", noise(6, 8, dtype="float32"))
    picture = embed("b.tif", "-k", "blur", source="a.npy")
    picture.array[3, 4] = np.nan
    Path("c.tif").write_bytes(encode(picture, "TIFF")[0])
    assert (
        "c.tif: 1 of 48 pixels differ from those made again from a.npy, by inf at most"
        in quick("replay", "c.tif", "a.npy")[1]
    )
    found = json.loads(quick("replay", "c.tif", "a.npy", "--json")[1])
    assert (found["equal"], found["pixels"], found["largest"]) == (False, 1, None)


def test_another_original_is_none():
    embed("b.png", "-k", "blur")
    Path("other.png").write_bytes(saved(Image.fromarray(noise(9, 16, 3)), "PNG"))
    assert quick("replay", "b.png", "other.png")[:2] == (
        1, "b.png: is 16×12, made again from other.png it is 16×9\n",
    )  # fmt: skip
    Path("grey.png").write_bytes(saved(Image.fromarray(noise(12, 16)), "PNG"))
    assert "b.png: has other channels" in quick("replay", "b.png", "grey.png")[1]


def test_a_mask_that_is_a_file_must_be_given_and_be_the_same():
    embed("b.png", "-k", "blur", "--mask", "mask.png")
    status, _, err = quick("replay", "b.png", "a.png")
    assert (status, err) == (2, "b.png: its recipe has a mask, mask.png; --mask says where it lies\n")
    Path("mask.png").rename("there.png")
    agrees("b.png", "a.png", "--mask", "there.png")
    status, _, err = quick("replay", "b.png", "a.png", "--mask", "a.png")
    assert status == 2
    assert "b.png: its recipe: mask: a.png is not the mask" in err
    embed("c.png", "-k", "blur")
    assert quick("replay", "c.png", "a.png", "--mask", "there.png")[0] == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--method", "decimated"], "method decimated cannot be embedded"),
        (["--mask", "linear:angle=30"], "a mask of angle 30"),
        (["-o", "b.gif"], "GIF cannot hold a recipe; --embed takes PNG, JPEG, MPO, TIFF, WEBP"),
        (["-o", "b.npy"], "NPY cannot hold a recipe"),
    ],
)
def test_what_cannot_be_embedded_is_refused_before_any_work(words, says):
    before = sorted(os.listdir())
    status, _, err = quick("apply", "a.png", "-k", "blur", *words, "--embed")
    assert (status, says in err, sorted(os.listdir())) == (2, True, before), err


def test_an_inputs_own_format_is_its_jobs_error():
    Path("a.gif").write_bytes(saved(Image.fromarray(noise(12, 16)), "GIF"))
    Path("gif").write_bytes(Path("a.gif").read_bytes())
    status, _, err = quick("apply", "gif", "a.png", "-k", "blur", "--embed", "--in-place")
    assert status == 1
    assert "imgconv: gif: GIF cannot hold a recipe" in err
    assert Path("gif").read_bytes() == Path("a.gif").read_bytes()
    Path("bad.jpg").write_bytes(saved(Image.fromarray(noise(12, 16)), "JPEG", xmp=b"no packet"))
    status, _, err = quick("apply", "bad.jpg", "-k", "blur", "--embed")
    assert status == 1
    assert "bad.jpg: its XMP makes no sense" in err
    assert not Path("bad.blur.jpg").exists()
    long = PACKET.replace(b"kept", b"x" * 65000)
    Path("long.jpg").write_bytes(saved(Image.fromarray(noise(12, 16)), "JPEG", xmp=long))
    status, _, err = quick("apply", "long.jpg", "-k", "blur", "--embed")
    assert (status, err) == (0, "")
    assert len(Path("long.blur.jpg").read_bytes()) > 65000
    assert quick("replay", "long.blur.jpg", "long.jpg")[0] == 0


def test_files_elsewhere_are_replayed():
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/a.png", Path("a.png").read_bytes())
    done("apply", "memory://a.png", "-k", "blur", "-o", "memory://b.png", "--embed", "-q")
    assert done("replay", "memory://b.png", "memory://a.png").startswith("memory://b.png: the same 192 pixels")


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ('kernel = ["blur"]', "its recipe has no kernels with weights"),
        ('kernel = ["mine.toml"]', "its recipe has no kernels with weights"),
        ("border = 'wrap'", "its recipe has no kernels"),
        ("a =", "its recipe is not TOML"),
        ("overwrite = true\n[[kernel]]\nweights = [[1]]", "its recipe: 'overwrite' is no setting"),
        ("method = 'decimated'\n[[kernel]]\nweights = [[1]]", "method decimated cannot be embedded"),
        ("vary = 'gaussian:sigma=0..9'\nmask = 'radial'", "its recipe has no kernels with weights"),
        ("mask = 'radial'\n[vary]\nname = 'x'", "its recipe: vary: a family has the keys"),
        ("mask = 'mask.png'\n[[kernel]]\nweights = [[1]]", "its recipe has a mask that is neither"),
        ("co = {x = 1}\n[[kernel]]\nweights = [[1]]", "--co x=1"),
        ("[[kernel]]\nname = '../../x'\nweights = [[1]]", "its recipe: kernel: name"),
        ("[[kernel]]\nweights = [[nan]]", "its recipe: kernel: "),
    ],
)
def test_an_embedded_recipe_is_not_trusted(recipe, says):
    put("b.png", recipe)
    status, out, err = quick("replay", "b.png", "a.png")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_a_picture_without_a_recipe_has_none():
    status, _, err = quick("replay", "a.png", "a.png")
    assert (status, err) == (1, "a.png: holds no recipe; imgconv apply --embed puts one in\n")


def test_variables_and_the_config_have_no_say(monkeypatch):
    embed("b.png", "-k", "./mine.toml")
    Path("home/imgconv").mkdir(parents=True)
    Path("home/imgconv/config.toml").write_text("[apply]\nborder = 'wrap'\nmode = 'convolve'\n")
    monkeypatch.setenv("IMGCONV_APPLY_PADDING", "full")
    monkeypatch.setenv("IMGCONV_APPLY_JOBS", "no number")
    agrees("b.png")


def test_as_on_another_machine():
    """With other kernels of NumPy and OpenBLAS, another number of threads, in a process of its own."""
    Path("a.png").write_bytes(saved(Image.fromarray(smooth(300, 200)), "PNG"))
    ranks = noise(2, 4, 21, dtype="float64") - 0.5
    np.save("k.npy", ranks[0].T @ ranks[1])
    for words in (["gaussian:sigma=8"], ["./k.npy"], ["blur", "--linear"]):
        embed("b.png", "-k", *words)
        elsewhere = {**os.environ, "OPENBLAS_CORETYPE": "Prescott", "OMP_NUM_THREADS": "1"}
        found = imgconv("replay", "b.png", "a.png", "-t", "1", env=elsewhere)
        assert (found.returncode, found.stderr) == (0, ""), found


def test_the_levels_of_a_family_are_embedded_with_their_weights(monkeypatch):
    """So that the exponentials of another machine have no say: here they are off by much more than a bit."""
    embed("b.png", "--vary", "gaussian:sigma=0..3", "--mask", "radial")
    family.cache_clear()
    exponential = np.exp
    monkeypatch.setattr(np, "exp", lambda *given: exponential(*given) ** 1.1)
    agrees("b.png")
    Path("r.toml").write_text(recipe_of(read(Path("b.png")).info["xmp"]).recipe)
    done("apply", "a.png", "--recipe", "r.toml", "--save-recipe", "s.toml", "-o", "c.png", "-q")
    done("apply", "a.png", "--recipe", "s.toml", "-o", "d.png", "-q")
    for name in ("c.png", "d.png"):
        assert np.array_equal(read(Path(name)).array, read(Path("b.png")).array)


FAMILY = {
    "name": "x",
    "values": [0, 1],
    "strengths": [0, 1],
    "places": [0, 1],
    "error": 0,
    "kernel": [{"weights": [[1]]}] * 2,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"values": [0]}, {"values": "x"}, {"places": [0, 2]}, {"places": [1, 0]}, {"strengths": [0, True]},
        {"strengths": [-1, 1]}, {"strengths": [0, 2]}, {"error": "0"}, {"kernel": [{"weights": [[1]]}]},
        {"kernel": {}}, {"kernel": [{}, {}]}, {"name": "a/b"}, {"more": 1},
    ],
)  # fmt: skip
def test_a_family_that_makes_no_sense_is_refused(changes):
    put("b.png", f"mask = 'radial'\nvary = {toml_value(FAMILY)}")
    agrees("b.png")
    put("b.png", f"mask = 'radial'\nvary = {toml_value(FAMILY | changes)}")
    status, out, err = quick("replay", "b.png", "a.png")
    assert (status, out) == (2, "")
    assert "b.png: its recipe: vary: " in err


def test_it_is_read_by_others():
    embed("b.jpg", "-k", "blur")
    with Image.open(io.BytesIO(Path("b.jpg").read_bytes())) as image:
        assert b"urn:imgconv:1.0/" in image.info["xmp"]
