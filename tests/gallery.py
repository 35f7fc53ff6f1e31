"""Makes kernels/README.md and its pictures anew: `python tests/gallery.py`. tests/test_gallery.py checks them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from imgconv.formats.picture import Picture
from imgconv.formats.read import read
from imgconv.formats.write import encode
from imgconv.kernels.catalogue import named, names
from imgconv.kernels.formulas import FORMULAS, formula, parameters
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
PICTURES = Path("docs") / "kernels"
ROWS, COLUMNS = slice(76, 172), slice(140, 284)  # an eye and fur
# formulas whose defaults show little
SHOWN = {"shift": "shift:dx=20,dy=10", "motion": "motion:length=15,angle=30"}
# results around 0 are shown around grey, small or large ones from the least to the most; these are dark on purpose
DARK, STRETCHED = ("find_edges", "outline"), ("dog:", "ridge:", "gabor:")
HEAD = """# The kernels

What each makes of a part of `samples/chelsea.png`, by the options that stand beside it; `python tests/gallery.py`
makes this page. `imgconv kernels show NAME` has the weights, `imgconv sheet photo.jpg` all of it on one's own photo.

![The picture itself](../docs/kernels/picture.png)
"""


def table(specs: list[str], picture: Picture, folder: Path) -> str:
    """A picture of each, written into the folder, beside what it is."""
    lines = ["| | |", "|---|---|"]
    for spec in specs:
        kernel = formula(spec) if ":" in spec else named(spec)
        flat = kernel.weights.ndim > 2 or abs(kernel.weights.sum()) > 1e-8 * np.abs(kernel.weights).sum()
        after = None if flat or kernel.offset or spec in DARK else "minmax" if spec in STRETCHED else "offset128"
        array, mode, _ = Recipe((kernel,), Options(after=after)).apply(picture.array, picture.mode)
        path = PICTURES / f"{spec.partition(':')[0]}{'_formula' * (':' in spec)}.png"
        write(folder / path, Picture(array, mode, "PNG"))
        options = f"-k {spec}{f' --after {after}' * bool(after)}"
        size = "×".join(map(str, kernel.weights.shape))
        lines.append(f"| ![{spec}](../{path.as_posix()}) | `{options}`<br>{size}<br>{kernel.about} |")
    return "\n".join(lines) + "\n"


def write(path: Path, picture: Picture) -> None:
    path.write_bytes(encode(picture, "PNG", {"compress_level": 9})[0])


def gallery(folder: Path) -> None:
    """Writes everything below a folder."""
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    (folder / "kernels").mkdir(exist_ok=True)
    picture = Picture(read(ROOT / "samples" / "chelsea.png").array[ROWS, COLUMNS], "RGB", "PNG")
    write(folder / PICTURES / "picture.png", picture)
    formulas = [SHOWN.get(name, f"{name}:") for name in FORMULAS if parameters(name)]
    text = (
        f"{HEAD}\n## The catalogue\n\n{table(names(), picture, folder)}\n## Formulas\n\n"
        "With their defaults; `imgconv kernels show gaussian:` says what each parameter does.\n\n"
        f"{table(formulas, picture, folder)}"
    )
    (folder / "kernels" / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    gallery(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
