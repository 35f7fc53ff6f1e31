"""Pillow; and pillow-simd, which takes Pillow's name: it lies in a folder of its own, and has a process of its own.

CC="cc -mavx2" pip install --no-deps --no-binary :all: --target FOLDER pillow-simd
"""

from __future__ import annotations

import json
import sys
import weakref
from operator import methodcaller
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.formats.image import blur_filter, from_array
from imgconv.peers.task import Run, Task, Unsupported, chained

FOLDER = Path(sys.prefix, "pillow-simd")
PROCESS = """
import json, sys
from functools import reduce
from PIL import Image, ImageFilter

mode, size, length, filters = json.loads(sys.argv[1])
image = Image.frombytes(mode, size, sys.stdin.buffer.read(length))
filters = [getattr(ImageFilter, name)(*(tuple(one) if isinstance(one, list) else one for one in given))
           for name, *given in filters]
while order := sys.stdin.buffer.read(1):
    if order == b"f":
        result = reduce(lambda image, filter: image.filter(filter), filters, image)
    sys.stdout.buffer.write(b"." if order == b"f" else result.tobytes())
    sys.stdout.buffer.flush()
"""


def with_simd(script: str) -> str:
    """A script that is written for Pillow, with pillow-simd."""
    return f"import sys\nsys.path.insert(0, {str(FOLDER)!r})\n{script}"


def _filters(task: Task) -> list[tuple[Any, ...]]:
    """Name and arguments of Pillow's own: gaussians are three boxes; a kernel is flipped before it is slid."""
    if task.kind == "gaussian":
        return [("GaussianBlur", task.sigma)]
    if task.kind == "box":
        return [("BoxBlur", task.radius)]
    return [
        ("Kernel", c.weights.shape[::-1], c.weights[::-1].ravel().tolist(), c.scale, c.offset) for c, _ in task.steps
    ]


def prepare(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    """One thread, as always."""
    from PIL import ImageFilter

    image = from_array(source, task.mode)
    image.load()
    filters = [getattr(ImageFilter, name)(*given) for name, *given in _filters(task)]
    for number, blur in enumerate(task.blurs):
        filters[number] = blur_filter(blur) if blur else filters[number]
    return chained([methodcaller("filter", filter) for filter in filters], image)


def prepare_simd(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    """What it is told and what it answers takes a tenth of a millisecond; the picture is not a part of that."""
    if not FOLDER.is_dir():
        raise Unsupported(f"it is not installed in {FOLDER}")
    return _Process(_filters(task), source, task.mode)


class _Process:
    """When it is called it filters; an array of it is the result."""

    def __init__(self, filters: list[tuple[Any, ...]], source: Array, mode: str) -> None:
        self.like = source
        words = json.dumps([mode, source.shape[1::-1], source.nbytes, filters])
        process = Popen([sys.executable, "-c", with_simd(PROCESS), words], stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        self.orders, self.answers = process.stdin, process.stdout
        weakref.finalize(self, process.communicate)
        self.orders.write(source.tobytes())

    def __call__(self) -> _Process:
        self._ask(b"f", 1)
        return self

    def __array__(self, dtype: object = None, copy: object = None) -> Array:
        return np.frombuffer(self._ask(b"r", self.like.nbytes), self.like.dtype).reshape(self.like.shape)

    def _ask(self, order: bytes, length: int) -> bytes:
        self.orders.write(order)
        self.orders.flush()
        answer = self.answers.read(length)
        if len(answer) < length:
            raise RuntimeError("its process has ended")
        return answer
