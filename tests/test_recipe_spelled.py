import json
import os
import pickle
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from makers import noise

from imgconv.cli import cli, recipes
from imgconv.cli.apply import apply
from imgconv.errors import ImgconvError, KernelError
from imgconv.formats.limits import DEFAULT
from imgconv.formats.picture import Frame, Picture, reader_of, unread
from imgconv.formats.table import MODES
from imgconv.kernels.spec import kernels
from imgconv.kernels.text import plain_tables
from imgconv.memory import Samples, SampleType
from imgconv.native import kept
from imgconv.recipe import spelled
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe
from imgconv.recipe.spelled import SpelledRecipe
from imgconv.recipe.strips import filter_frame

WORDS = (
    "blur", "edge_enhance", "emboss", "identity", "sharpen", "sobel_x", "sepia", "gaussian:2", "gaussian:6", "box:9",
    "disk:3", "0 1 2; 1 1 0", "1/9, 1/9; .5", "3x1: 1,2,1; 1x3: 1,2,1", "0.3 0.2 0.1 0.4 0.7",
)  # fmt: skip
ASKED = {
    "border": ("reflect", "symmetric", "wrap", "wrap-x", "constant:7", "keep", "edge"),
    "padding": ("same", "valid", "full", "tf-same"),
    "like": ("pillow", "scipy", "opencv", "keras", "imagemagick"),
    "method": ("direct", "separable", "fused"),
    "mode": ("convolve",),
    "after": ("abs", "minmax", "float"),
    "alpha": ("straight", "keep", "premultiply"),
    "channels": ("sum", "r"),
    "scale": (2.0, "none", "abs-sum"),
    "offset": (10.0,),
    "bias": ((1.0,), (1.0, 2.0, 3.0)),
    "stride": ((2, 1),),
    "dilation": ((2, 2),),
    "threads": (1, 2),
}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A place for plans only: code is where it was."""
    monkeypatch.setattr(kept, "_place", lambda key, ending, place=kept._place: _at(place(key, ending), tmp_path / "s"))
    return tmp_path / "s"


def _at(path, folder):
    return folder / path.name if path.suffix == ".plan" else path


def frame_of(array):
    """A frame of a PNG that is still to be read."""
    flat = array[:, :, 0] if array.shape[2] == 1 else array
    about = Picture(unread(flat.shape, SampleType(str(array.dtype))), MODES[str(array.dtype), array.shape[2]], "PNG")
    return Frame(about, 10**9, reader_of([array]))


def at_once(recipe, array, padded, plain=False):
    """As `applied`, over samples that are there, which may have a fourth byte behind each pixel."""
    pixels = array
    if padded and array.shape[2] == 3:
        pixels = np.full((*array.shape[:2], 4), 255, array.dtype)
        pixels[:, :, :3] = array
        array = pixels[:, :, :3]
    if plain:
        array = Samples(
            array.shape, SampleType(str(array.dtype)), memoryview(pixels.tobytes()), array.shape != pixels.shape
        )
    try:
        result, mode, report = recipe.apply(array, MODES[str(array.dtype), array.shape[2]], padded=padded)
    except ImgconvError as problem:
        return type(problem), str(problem)
    told = [(plan.method, plan.reason, plan.exactness, plan.correlation.weights.shape) for plan in report.plans]
    return result.tobytes(), result.shape, str(result.dtype), mode, told, report.clipped, report.threads, report.kernels


def applied(recipe, array):
    """What becomes of it, and what is told: samples, their type and mode, and the lines below."""
    try:
        work = filter_frame(recipe, frame_of(array), DEFAULT)
        work.plan(1, DEFAULT)
        strips = [np.array(strip) for strip in work.run()]
    except ImgconvError as problem:
        return type(problem), str(problem)
    report = work.report()
    told = [(plan.method, plan.reason, plan.exactness, plan.correlation.weights.shape) for plan in report.plans]
    same = [plan.correlation.border for plan in report.plans], report.clipped, report.threads, report.kernels
    samples = np.concatenate(strips)
    return samples.tobytes(), samples.shape, work.dtype, work.shape, work.mode, told, *same


def options_from(data):
    names = data.draw(st.lists(st.sampled_from(list(ASKED)), max_size=2, unique=True))
    return {name: data.draw(st.sampled_from(ASKED[name])) for name in names}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_what_is_kept_does_what_the_recipe_does(store, data):
    words = tuple(data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=2)))
    kind = data.draw(st.sampled_from(["uint8", "uint8", "uint16"]))
    channels = data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    try:
        options = Options(**options_from(data))
        expected = Recipe(tuple(kernel for word in words for kernel in kernels(word)), options)
    except ImgconvError as problem:
        with pytest.raises(type(problem)):
            SpelledRecipe(words, Options(**vars(options)))
        return
    for _ in range(3):  # planned, kept, and found: other sizes each time
        rows, columns = (int(n) for n in rng.integers(1, 40, 2))
        array = rng.integers(0, 256, (rows, columns, channels)).astype(kind) * (1 if kind == "uint8" else 257)
        recipe = SpelledRecipe(words, options)
        assert recipe.name == expected.name
        assert applied(recipe, array) == applied(expected, array)
        padded = kind == "uint8" and data.draw(st.booleans())
        plain = data.draw(st.booleans())
        assert at_once(recipe, array, padded, plain) == at_once(expected, array, padded)


def test_what_is_kept_takes_no_kernel_and_no_planner(store, monkeypatch):
    options = Options(border="reflect")
    array = noise(50, 60, 3)
    first = applied(SpelledRecipe(("sharpen", "gaussian:1"), options), array)
    monkeypatch.setattr(SpelledRecipe, "made", property(lambda self: pytest.fail("was made")))
    again = SpelledRecipe(("sharpen", "gaussian:1"), options)
    strips = filter_frame(again, frame_of(array), DEFAULT)
    strips.plan(1, DEFAULT)
    (strip,) = strips.run()
    assert isinstance(strip, Samples)
    assert applied(again, array) == first
    assert applied(again.with_threads(1), array)[:5] == first[:5]
    monkeypatch.undo()
    assert applied(pickle.loads(pickle.dumps(again)), array) == first  # as another process gets it


def test_the_text_of_the_kernels_is_kept(store, monkeypatch):
    words = ("sharpen", "gaussian:sigma=1.5", "1 2; 3 4")
    text = plain_tables(kernel for word in words for kernel in kernels(word))
    assert SpelledRecipe(words, Options()).tables == text
    monkeypatch.setattr(SpelledRecipe, "made", property(lambda self: pytest.fail("was made")))
    for options in (Options(), Options(threads=1)):
        assert SpelledRecipe(words, options).tables == text
    monkeypatch.undo()
    with apply.make_context("imgconv apply", ["a.png", *(f"-k{word}" for word in words), "--border", "wrap"]) as ctx:
        assert recipes.key(ctx, SpelledRecipe(words, Options(border="wrap"))) == recipes.key(ctx, None)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (("sharpen",), {}), (("blur", "blur"), {}), (("blur",), {"border": "wrap"}), (("blur",), {"scale": 1}),
        (("blur",), {"offset": 1.0}), (("blur",), {"offset": 0.0}), (("blur",), {"anchor": (1, 2)}),
        (("blur",), {"anchor": "high"}), (("blur",), {"portable": True}), (("blur",), {"mode": "convolve"}),
    ],
)  # fmt: skip
def test_other_words_or_options_have_plans_of_their_own(words, options):
    assert spelled._key(("blur",), Options()) != spelled._key(words, Options(**options))
    assert spelled._key(words, Options(**options)) == spelled._key(words, Options(**options, threads=3))


def test_a_file_counts_by_what_it_holds(store, tmp_path, monkeypatch):
    """Also where its name, size and time are those of another."""
    path, array = tmp_path / "k.txt", noise(20, 30, 3)
    texts = "1 2\n3 4\n", "1 2\n3 9\n"
    expected = [applied(Recipe((*kernels(text.strip().replace("\n", ";")),), Options()), array)[0] for text in texts]
    for number in (0, 0, 1, 1, 0):
        path.write_text(texts[number])
        os.utime(path, ns=(1, 1))
        assert applied(SpelledRecipe((f" {path}",), Options()), array)[0] == expected[number]
    monkeypatch.setattr(SpelledRecipe, "made", property(lambda self: pytest.fail("was made")))
    assert applied(SpelledRecipe((f" {path}",), Options()), array)[0] == expected[0]
    monkeypatch.undo()
    moved = pickle.dumps(SpelledRecipe((str(path),), Options()))
    path.unlink()
    assert applied(pickle.loads(moved), array)[0] == expected[0]  # another machine has no such file
    with pytest.raises(KernelError):
        SpelledRecipe((str(path),), Options())


def test_a_file_that_changes_meanwhile_is_what_it_was_at_the_start(store, tmp_path):
    path, text, arrays = tmp_path / "k.txt", "1 2\n3 4\n", [noise(20, 30, 3), noise(20, 30, 1)]
    path.write_text(text)
    expected = [applied(Recipe((*kernels(path),), Options()), array)[0] for array in arrays]
    applied(SpelledRecipe((str(path),), Options()), arrays[0])  # whose plan is kept
    for _ in range(2):
        recipe = SpelledRecipe((str(path),), Options())
        path.write_text("9 9\n9 9\n")
        assert [applied(recipe, array)[0] for array in arrays] == expected
        assert "[3, 4]" in recipe.tables
        path.write_text(text)


@pytest.mark.parametrize("size", [0, spelled.LARGEST_FILE])
def test_a_file_is_read_once(store, tmp_path, size):
    path, array = tmp_path / "k.txt", noise(20, 30, 3)
    path.write_text("1 2\n3 4\n" + size * " ")
    recipe = SpelledRecipe((str(path),), Options())
    path.unlink()
    assert applied(recipe.with_threads(1), array)[0] == applied(Recipe((*kernels("1 2; 3 4"),), Options()), array)[0]


def test_changed_sources_count(store, monkeypatch, tmp_path):
    array = noise(20, 30, 3)
    applied(SpelledRecipe(("blur",), Options()), array)
    assert len(list(store.iterdir())) == 1
    catalogue = tmp_path / "catalogue"
    shutil.copytree(spelled.folder(), catalogue)
    monkeypatch.setattr(spelled, "folder", lambda: catalogue)
    keys = set()
    for change in (lambda: None, lambda: os.utime(catalogue / "blur.toml", ns=(1, 1)), (catalogue / "new.toml").touch):
        change()
        spelled._stamp.cache_clear()
        keys.add(spelled._key(("blur",), Options()))
    spelled._stamp.cache_clear()
    assert len(keys) == 3


@pytest.mark.parametrize("damage", [b"", b"plan", b"\xff" * 99, None])
def test_a_damaged_plan_is_made_again(store, damage):
    array = noise(20, 30, 3)
    expected = applied(SpelledRecipe(("blur",), Options()), array)
    (path,) = store.iterdir()
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]) if damage is None else damage)
    assert applied(SpelledRecipe(("blur",), Options()), array) == expected
    assert path.read_bytes() == sound


def test_no_more_is_kept_than_is_of_use(store, monkeypatch):
    monkeypatch.setattr(kept, "MOST_VALUES", 3)
    monkeypatch.setattr(kept, "directory", lambda: store)
    for number in range(6):
        applied(SpelledRecipe((f"gaussian:{1 + number / 10}",), Options()), noise(20, 30, 3))
    applied(SpelledRecipe(("gaussian:1.5",), Options()), noise(20, 30, 1))  # added to what is there
    newest = sorted(store.glob("*.plan"), key=os.path.getmtime)
    assert len(newest) == 3
    assert json.loads(CliRunner().invoke(cli, ["doctor", "--json"]).output)["plans"] == 3
    assert len(kept.value(spelled._key(("gaussian:1.5",), Options()))) == 5
    applied(SpelledRecipe(("disk:60",), Options(method="direct")), noise(20, 30, 3))  # large
    assert sorted(store.glob("*.plan"), key=os.path.getmtime) == newest


def test_nothing_is_kept_for_a_package_without_files(store, monkeypatch):
    def missing():
        raise NotADirectoryError

    monkeypatch.setattr(spelled, "_stamp", missing)
    array = noise(20, 30, 3)
    expected = applied(Recipe((*kernels("blur"),), Options()), array)
    assert [applied(SpelledRecipe(("blur",), Options()), array) for _ in range(2)] == [expected] * 2
    assert not store.exists()


def test_nothing_need_be_kept(store):
    store.write_text("in the way")
    array = noise(20, 30, 3)
    expected = applied(Recipe((*kernels("blur"),), Options()), array)
    assert [applied(SpelledRecipe(("blur",), Options()), array) for _ in range(2)] == [expected] * 2


def test_what_the_kernel_decides_is_the_kernels(store):
    """Whatever else is asked of it, it is what the recipe is."""
    recipe, made = SpelledRecipe(("sharpen",), Options()), Recipe((*kernels("sharpen"),), Options())
    assert (recipe.kernels, recipe.all_kernels) == (made.kernels, made.all_kernels)
    assert recipe.apply(noise(9, 9, 3))[0].tobytes() == made.apply(noise(9, 9, 3))[0].tobytes()
    assert not hasattr(recipe, "_nothing")
    assert not hasattr(recipe, "nothing")
