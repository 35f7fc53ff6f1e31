"""Real pictures, odd and broken ones among them, through the command line: nothing is lost without a word.

    python tests/collection.py FOLDER      such as Tests/images of Pillow's source, PngSuite, one's own photos

Each goes by the identity into its own format, PNG and TIFF, and through edge_enhance as Pillow has it; `info` and
`explain` look at it. What is written has the frames, durations and pixels that Pillow reads in the file, unless a note
says otherwise; what is refused is refused in one line, and leaves nothing. Prints what is wrong, and what was refused
though Pillow reads it, by reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fuzz
import numpy as np
from PIL import Image, ImageFilter

from imgconv.formats.table import FORMATS, by_name

LARGEST = 20_000_000  # pixels: larger pictures are not compared
MOST_FRAMES = 50  # that are compared
LONGEST_S = 60
PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa")  # modes that become RGBA without loss
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF", "BLP", "JPEG2000")  # mostly, so that their pixels may change
EDGES = ["-k", "edge_enhance", "--like", "pillow", "--frames", "first"]


class Seen(NamedTuple):
    """What Pillow reads."""

    form: str
    frames: list[np.ndarray]
    durations: list[float]
    count: int
    sound: bool  # what Pillow makes of its pixels


def seen(path: Path) -> Seen | None:
    """A file as Pillow reads it; None where it cannot."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            form = str(image.format)
            known = any(form == each.name for each in FORMATS)
            if not known or image.width * image.height > LARGEST:
                return None
            count = getattr(image, "n_frames", 1) if by_name(form).frames else 1
            frames, durations = [], []
            for number in range(min(count, MOST_FRAMES)):
                if count > 1:
                    image.seek(number)
                image.load()
                durations.append(float(image.info.get("duration") or 0))
                frames.append(np.array(image.convert("RGBA") if image.mode in PLAIN else image))
            # it draws half-transparent frames of a PNG otherwise, looks for a level among those that it has widened,
            # and turns TIFF
            key = "transparency" in image.info and image.mode != "P"
            turned = False
            with contextlib.suppress(SyntaxError):  # EXIF data that make no sense
                turned = image.getexif().get(274, 1) != 1
            return Seen(form, frames, durations, count, not turned and not (form == "PNG" and (count > 1 or key)))
    except Exception:
        return None


def differences(before: Seen, after: Seen | None, result: dict[str, Any]) -> Iterator[str]:
    """What is other than before, and not named in a note of the result's JSON."""
    whole = result["dtype"] == "uint8"  # of others there are some that Pillow does not read
    if after is None:
        if whole:
            yield "Pillow cannot read what was written"
    elif not result["notes"]:
        if before.count != after.count:
            yield f"{before.count} frames became {after.count}"
        elif before.count > 1 and before.durations != after.durations:
            yield f"its durations {before.durations[:9]} became {after.durations[:9]}"
        elif before.sound and before.form not in LOSSY and (whole or before.frames[0].dtype != np.uint8):
            for number, (old, new) in enumerate(zip(before.frames, after.frames, strict=True), 1):
                if (
                    "GIF" in (before.form, after.form) and new.shape == old.shape
                ):  # which has no colour where it is clear
                    old, new = (each * (each[..., 3:] > 0) for each in (old, new))
                if new.shape != old.shape or not np.array_equal(old, new, equal_nan=old.dtype.kind == "f"):
                    yield f"frame {number} has other pixels"


def is_pillows(path: Path, found: np.ndarray) -> bool:
    """Whether Pillow's own filter makes the same bytes, where it has one for them."""
    with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
        image.load()
        plain = image.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr") and found.dtype == np.uint8
        if not plain or image.has_transparency_data != (image.mode in ("LA", "RGBA")):
            return True
        return found.shape[2:] != np.shape(image)[2:] or np.array_equal(found, image.filter(ImageFilter.EDGE_ENHANCE))


def look(path: Path) -> tuple[list[str], list[str]]:
    """What was refused though Pillow reads it, and what is wrong; the current folder is empty, before and after."""
    refused, wrong = [], []
    before = seen(path)
    own = by_name(before.form).endings[:1] if before and by_name(before.form).modes else ()
    for target in dict.fromkeys([*own, ".png", ".tif", ".npy"]):
        kernel = EDGES if target == ".npy" else ["-k", "identity"]
        words = ["apply", str(path), *kernel, "-o", f"out{target}", "--json", "-t", "1"]
        status, out, said, problem = fuzz.answer_to(words, LONGEST_S)
        if problem:
            wrong.append(f"{target}: {problem}")
        elif status:
            error = json.loads(out)["error"] if out else said.strip()
            refused += [f"{target}: {error.removeprefix(f'{path}: ')}"] if before else []
            wrong += [f"{target}: not one line: {error}"] if "\n" in error else []
            wrong += [f"{target}: leaves something behind"] if os.listdir() else []
        elif before and target != ".npy":
            wrong += [f"{target}: {each}" for each in differences(before, seen(Path(f"out{target}")), json.loads(out))]
        elif before and not is_pillows(path, np.load("out.npy")):
            wrong.append("edge_enhance is not Pillow's")
        for name in os.listdir():
            os.unlink(name)
    for words in (["info", str(path), "--json"], ["explain", f"{path}@0,0", "-k", "blur"]):
        problem = fuzz.answer_to(words, LONGEST_S).problem
        wrong += [f"{words[0]}: {problem}"] if problem else []
    return refused, wrong


def files_in(folder: Path) -> list[Path]:
    """In an order that is always the same, and has all kinds in any part."""
    paths = sorted(path for path in folder.resolve().rglob("*") if path.is_file())
    return random.Random(1).sample(paths, len(paths))


def run(folder: Path, most: int | None = None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """What `look` finds in each file, or in so many."""
    paths = files_in(folder)[:most]
    for number, told in fuzz.in_processes(__file__, range(len(paths)), lambda: [folder.resolve()]):
        yield paths[number], *(([], [told]) if isinstance(told, str) else told)


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        fuzz.limit()
        Image.MAX_IMAGE_PIXELS = None
        first, last, folder = sys.argv[2:]
        for number, path in list(enumerate(files_in(Path(folder))))[int(first) : int(last)]:
            print(json.dumps([number, look(path)]), flush=True)
        return
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    reasons, files, faults = defaultdict[str, list[str]](list), 0, 0
    for path, refused, wrong in run(Path(sys.argv[1])):
        files, faults = files + 1, faults + bool(wrong)
        for error in refused:
            reasons[re.sub(r"\d[\d,.]*", "N", error)].append(path.name)
        for each in wrong:
            print(f"{path}: {each}")
    for reason, names in sorted(reasons.items(), key=lambda pair: -len(pair[1])):
        print(f"{len(names):5} refused, {reason}   ({', '.join(names[:3])})")
    print(f"{faults} of {files:,} files with something wrong")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
