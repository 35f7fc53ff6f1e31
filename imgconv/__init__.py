"""Filters pictures with convolution kernels: right to the last bit, and fast.

>>> import imgconv
>>> sharpened = imgconv.correlate(array, "0 -1 0; -1 5 -1; 0 -1 0")        # ndarray in, ndarray out
>>> edges = imgconv.apply(image, "edge_enhance")                           # Pillow image in, Pillow image out
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # as in typing, without the time that importing it takes: a signal may come
if TYPE_CHECKING:
    from typing import Any

    from imgconv.api import apply, convolve, correlate
    from imgconv.errors import ImgconvError, KernelError, PictureError, UsageError, WriteError
    from imgconv.kernels.spec import kernel
    from imgconv.kernels.value import Kernel
    from imgconv.pillow import PillowFilter

# Where each public name lives. Loaded on first use: `imgconv --help` must not pay for NumPy.
_HOMES = {
    "apply": "imgconv.api",
    "convolve": "imgconv.api",
    "correlate": "imgconv.api",
    "kernel": "imgconv.kernels.spec",
    "Kernel": "imgconv.kernels.value",
    "ImgconvError": "imgconv.errors",
    "KernelError": "imgconv.errors",
    "PillowFilter": "imgconv.pillow",
    "PictureError": "imgconv.errors",
    "UsageError": "imgconv.errors",
    "WriteError": "imgconv.errors",
}
__all__ = [
    "ImgconvError",
    "Kernel",
    "KernelError",
    "PictureError",
    "PillowFilter",
    "UsageError",
    "WriteError",
    "__version__",
    "apply",
    "convolve",
    "correlate",
    "kernel",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'imgconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
