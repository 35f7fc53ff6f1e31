"""The page of --report in Chromium: what can be done with it, that its sums are the result, that all can read it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from makers import imgconv as command
from PIL import Image

import imgconv
from imgconv.formats.picture import Picture
from imgconv.page import page as page_of
from imgconv.page.section import section
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

playwright = pytest.importorskip("playwright.sync_api", reason="there is no Playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
SAMPLES = Path(__file__).resolve().parent.parent / "samples"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    names = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-crash-reporter"],
            env=dict.fromkeys(names, str(home)),
        )  # fmt: skip
        yield launched
        launched.close()


@pytest.fixture
def show(browser):
    """Opens a page; whatever its console says or it fetches from elsewhere is an error."""
    opened, said = [], []

    def show(path, width=1440, **options):
        shown = browser.new_page(viewport={"width": width, "height": 900}, **options)
        opened.append(shown)
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda problem: said.append(str(problem)))
        shown.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        shown.goto(path.as_uri())
        shown.wait_for_selector("body[data-ready]")
        return shown

    yield show
    for shown in opened:
        shown.close()
    assert said == []


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report by the command, on a part of a photo whose result is a PNG beside it."""
    folder = tmp_path_factory.mktemp("report")
    with Image.open(SAMPLES / "coffee.png") as photo:
        photo.convert("RGB").crop((200, 100, 296, 164)).save(folder / "cup.png")
    done = command("apply", "cup.png", "-k", "emboss", "--report", "cup.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "cup.html"


def shown_sum(shown):
    return float(shown.locator("[data-sum]").get_attribute("data-sum"))


def explained(folder, row, column):
    """What `imgconv explain` says of the first channel of a pixel."""
    done = command("explain", f"cup.png@{row},{column}", "-k", "emboss", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["sums"][0]["channels"][0]


def test_the_slider_moves_by_keys_and_by_dragging(report, show):
    shown = show(report)
    slider, after = shown.get_by_label("Before, after"), shown.get_by_alt_text("after", exact=False).first
    slider.focus()
    for _ in range(7):
        slider.press("ArrowRight")
    assert slider.input_value() == "57"
    clip = "document.querySelector('.stage img + img').style.clipPath"
    assert shown.evaluate(clip) == "inset(0px 0px 0px 57%)"
    box = shown.locator(".stage").first.bounding_box()
    shown.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    shown.mouse.down()
    shown.mouse.move(box["x"] + box["width"] / 4, box["y"] + 30)
    shown.mouse.up()
    assert abs(int(slider.input_value()) - 25) <= 1
    assert after.count() == 1


def test_a_difference_is_amplified(report, show):
    shown = show(report)
    shown.get_by_role("button", name="Difference").press("Enter")
    shown.get_by_label("Amplified").select_option("8 ×")
    assert shown.evaluate("document.querySelectorAll('.stage img')[2].style.filter") == "brightness(8)"
    assert not shown.get_by_label("Before, after").is_visible()


def test_a_pixel_that_is_clicked_shows_the_sum_that_is_in_the_result(report, show):
    shown = show(report)
    viewer, zoom = shown.get_by_role("application"), shown.get_by_role("slider", name="Zoom")
    zoom.fill("40")
    assert zoom.get_attribute("aria-valuetext") == "40 screen pixels a pixel"
    canvas = shown.locator("canvas[aria-label='Pixels after']")
    canvas.click(position={"x": 200, "y": 100})
    row, column = map(int, shown.locator("output").get_attribute("data-at").split(","))
    with Image.open(report.with_name("cup.emboss.png")) as result:
        pixels = np.asarray(result)
    assert shown_sum(shown) == pixels[row, column, 0]
    assert explained(report.parent, row, column)["worked"] == shown_sum(shown)
    assert "as in the result" in shown.locator(".result").inner_text()
    with Image.open(report.with_name("cup.png")) as source:
        before = tuple(map(int, np.asarray(source)[row, column]))
    assert f"row {row}, column {column}: {before} before" in shown.locator("output").inner_text()
    viewer.focus()
    for key in ("Shift+ArrowLeft", "ArrowDown", "ArrowDown", "ArrowRight"):
        shown.keyboard.press(key)
    assert shown.locator("output").get_attribute("data-at") == f"{row + 2},{column - 9}"
    assert shown_sum(shown) == pixels[row + 2, column - 9, 0]
    shown.get_by_label("Channel").select_option("G")
    assert shown_sum(shown) == pixels[row + 2, column - 9, 1]


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_anybody_can_read_it(report, show, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="there is no axe-core")
    shown = show(report, width, color_scheme=scheme)
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 23)"}[scheme]
    assert axe.Axe().run(shown).response["violations"] == []


def test_many_pictures_fit_on_a_phone(tmp_path, show):
    names = ("camera.png", "chelsea_cutout.png", "coffee.png")
    words = [str(SAMPLES / name) for name in names] + ["-k", "blur", "--out-dir", tmp_path, "--report", "all.html"]
    assert command("apply", *words, cwd=tmp_path).returncode == 0
    shown = show(tmp_path / "all.html", 390)
    assert shown.locator("h2.picture").all_inner_texts() == [
        f"{SAMPLES / name} → {tmp_path / Path(name).stem}.blur.png" for name in names
    ]
    assert shown.evaluate("document.documentElement.scrollWidth") == 390


ASYMMETRIC = "1 2 -3; 4 7 2"
SUMS = """async sections => Promise.all(sections.map(async s => {
  if (!s.sum) return [s.title, s.why];
  const off = [];
  for (const given of s.regions) {
    const region = {...given, before: await unpack(given.before), after: await unpack(given.after)};
    const [rows, columns, channels] = region.after.shape;
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        for (let channel = 0; channel < channels; channel++) {
          const sum = sumOf(s.sum, region, row, column, channel).result;
          const result = at(region.after, row, column, channel);
          if (Math.abs(sum - result) > s.sum.bound + s.sum.near * Math.abs(result)
            || Number.isNaN(sum) !== Number.isNaN(result)) off.push([row, column, channel, sum, result]);
        }
  }
  return [s.title, off];
}))"""


def noise(dtype, *shape):
    kind, random = np.dtype(dtype), np.random.default_rng(3)
    if kind.kind == "f":
        samples = random.normal(0, 2, shape).astype(kind)
        samples[2, 3], samples[4, 4] = np.nan, np.inf
        return samples
    if kind.kind == "b":
        return random.random(shape) > 0.5
    limits = np.iinfo(kind)
    return random.integers(limits.min, limits.max, shape, kind, endpoint=True)


def cases():
    """(array, mode, kernels, options), and whether the sums are shown."""
    for border in ("edge", "reflect", "symmetric", "wrap", "wrap-x", "constant:9", "keep", "renormalize"):
        yield noise("uint8", 7, 9, 3), "RGB", [ASYMMETRIC], {"border": border, "scale": 3.0}, True
        yield noise("float32", 6, 7), "", [ASYMMETRIC], {"border": border}, True
    for dtype in ("uint8", "uint16", "int32", "float64", "int8", "int16", "uint32", "float16", "bool"):
        yield noise(dtype, 6, 7), "", [ASYMMETRIC], {"scale": 7.0, "offset": 1.5}, True
        yield noise(dtype, 6, 7, 2), "", [ASYMMETRIC], {"channels": "sum", "border": "renormalize"}, True
    for padding in ("same", "valid", "full", "tf-same"):
        for stride in (1, 2, (2, 3)):
            options = {"padding": padding, "stride": stride, "mode": "convolve", "border": "reflect", "scale": 5.0}
            yield noise("uint8", 8, 9, 3), "", [ASYMMETRIC], options, True
    for after in ("abs", "relu", "offset128", "float"):
        yield noise("uint8", 6, 7, 4), "RGBA", ["sobel_x"], {"after": after}, True
        yield noise("float32", 6, 7), "", ["sobel_x"], {"after": after}, True
    for like in ("pillow", "scipy", "ndimage", "opencv", "keras", "imagemagick"):
        for dtype in ("uint8", "float64"):
            yield noise(dtype, 6, 7), "", [ASYMMETRIC], {"like": like}, True
    rgb, rgba = noise("uint8", 9, 8, 3), noise("uint8", 9, 8, 4)
    yield rgba, "RGBA", ["emboss"], {}, True
    yield rgba, "RGBA", ["blur"], {"channels": "rg"}, True
    yield rgba, "CMYK", [ASYMMETRIC], {}, True
    yield noise("uint16", 6, 7, 4), "RGBA;16", ["sharpen"], {"alpha": "keep"}, True
    yield rgb, "RGB", ["blur", "sharpen", ASYMMETRIC], {}, True
    yield rgb, "RGB", ["blur", ASYMMETRIC], {"padding": "valid"}, True
    yield rgb, "RGB", [ASYMMETRIC], {"bias": (1.0, 2.0, 3.0), "border": "keep"}, True
    yield rgb, "RGB", [ASYMMETRIC], {"dilation": 2}, True
    yield rgb, "RGB", ["gaussian:2"], {"method": "fourier"}, True
    yield noise("uint8", 6, 7, 5), "", [np.ones((1, 2, 5, 2)).tolist()], {"bias": (3.0, 4.0)}, True
    yield noise("uint8", 1, 1), "", ["blur"], {"border": "wrap"}, True
    yield rgb, "LAB", ["blur"], {}, False
    yield rgb, "RGB", ["sobel_x", "sobel_y"], {"combine": "hypot"}, False
    yield rgb, "RGB", ["gaussian:2"], {"like": "pillow"}, False
    yield rgb, "RGB", ["gaussian:2"], {"linear": True}, False
    yield rgb, "RGB", ["gaussian:2"], {"mask": "radial"}, False
    yield rgb, "RGB", ["blur"], {"after": "minmax"}, False
    yield rgba, "RGBA", ["gaussian:2"], {}, False


def test_every_sum_is_the_result_or_not_shown(tmp_path, show):
    sections, shown_ones = [], {}
    for array, mode, kernels, options, summed in cases():
        recipe = Recipe(tuple(imgconv.kernel(kernel) for kernel in kernels), Options(**options))
        title = f"{array.dtype} {array.shape} {mode} {kernels} {options}"
        shown_ones[title] = summed
        sections.append(section(Picture(array, mode, "PNG"), None, "", recipe) | {"title": title})
    path = tmp_path / "sums.html"
    path.write_bytes(page_of("sums", "", (), ()))
    told = show(path).evaluate(SUMS, sections)
    assert [title for title, _ in told] == list(shown_ones)
    for title, off in told:
        assert (off == []) if shown_ones[title] else (type(off) is str and off), title
