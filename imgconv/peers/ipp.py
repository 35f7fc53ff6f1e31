"""Intel IPP: its static libraries (of PyPI, on x86), linked by the machine's own C compiler."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.peers.task import Run, Task, Unsupported
from imgconv.threads import available_cores

PREFIX = Path(sys.prefix)
INCLUDE = PREFIX / "include" / "ipp"
LIBRARIES = [PREFIX / "lib" / f"lib{name}.a" for name in ("ippcv", "ippi", "ippvm", "ipps", "ippcore")]
SOURCE = Path(__file__).with_name("ipp.c")
KINDS = ("dense", "gaussian", "box")  # as ipp.c numbers them
TILE = 64  # rows
WHOLE_WEIGHTS = 2**15  # 16 bits


def is_there() -> bool:
    """Whether its libraries are installed, and a compiler."""
    return _compiler() is not None and all(path.is_file() for path in (*LIBRARIES, INCLUDE / "ipp.h"))


def prepare(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    """FilterBorder, whose weights are whole numbers over a divisor where they can be; FilterGaussian, FilterBox."""
    if not is_there():
        raise Unsupported("its libraries or a C compiler are not installed")
    if source.ndim != 3 or source.shape[2] != 3:
        raise Unsupported("it is called for three channels only")
    library = _library()
    c = task.steps[0][0]
    result = np.empty_like(source) if target is None else target
    given = c.weights, np.array([c.scale])
    whole = None
    if source.dtype == np.uint8 and all(
        (part == np.rint(part)).all() and abs(part).max() < WHOLE_WEIGHTS for part in given
    ):
        whole = np.ascontiguousarray(c.weights, np.int16)
    weights = np.ascontiguousarray(task.weights, np.float32)
    source = np.ascontiguousarray(source)
    arguments = (
        *source.shape[:2], source.itemsize, KINDS.index(task.kind), len(weights),
        None if whole is None else whole.ctypes.data, weights.ctypes.data, int(c.scale), task.sigma, TILE,
        threads or available_cores(),
    )  # fmt: skip

    def run() -> Array:
        if status := library.filter(source.ctypes.data, result.ctypes.data, *arguments):
            raise Unsupported(f"it failed with status {status}")
        return result

    return run


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@cache
def _library() -> Any:
    """`filter` of ipp.c, ready to be called. Raises OSError where it cannot be built."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "ipp.so")
        options = ("-O2", "-shared", "-fPIC", f"-I{INCLUDE}")
        words = (_compiler(), *options, SOURCE, "-o", target, *LIBRARIES, "-lpthread", "-lm")
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"it cannot be built: {done.stderr.strip().splitlines()[-1:]}")
        library = ctypes.CDLL(str(target))  # stays when its file goes
    p, i = ctypes.c_void_p, ctypes.c_int
    library.filter.argtypes = (p, p, i, i, i, i, i, p, p, i, ctypes.c_float, i, i)
    library.begin()
    return library
