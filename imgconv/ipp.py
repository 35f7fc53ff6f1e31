"""Intel IPP, for the benchmark only: its static libraries (of PyPI, on x86), linked by the machine's own C compiler."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

LIBRARIES = ("ippcv", "ippi", "ippvm", "ipps", "ippcore")
IPP_KINDS = {"dense": 0, "gaussian": 1, "box": 2}


def ipp_is_there() -> bool:
    """Whether its libraries are installed, and a compiler."""
    prefix = Path(sys.prefix)
    files = [prefix / "lib" / f"lib{name}.a" for name in LIBRARIES] + [prefix / "include" / "ipp" / "ipp.h"]
    return compiler() is not None and all(path.is_file() for path in files)


def compiler() -> str | None:
    """The machine's C compiler."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@cache
def ipp_library() -> Any:
    """The compiled library: `filter` of ipp.c, ready to be called. Raises OSError where it cannot be built."""
    prefix = Path(sys.prefix)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "ipp.so")
        words = [
            str(compiler()), "-O2", "-shared", "-fPIC", f"-I{prefix / 'include' / 'ipp'}",
            str(Path(__file__).with_name("ipp.c")), "-o", str(target),
            *(str(prefix / "lib" / f"lib{name}.a") for name in LIBRARIES), "-lpthread", "-lm",
        ]  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"Intel IPP cannot be built: {done.stderr.strip().splitlines()[-1:]}")
        loaded = ctypes.CDLL(str(target))  # stays when its file goes
    loaded.version.restype = ctypes.c_char_p
    p, i = ctypes.c_void_p, ctypes.c_int
    loaded.filter.argtypes = (p, p, i, i, i, i, i, p, p, i, ctypes.c_float, i, i)
    loaded.begin()
    return loaded
