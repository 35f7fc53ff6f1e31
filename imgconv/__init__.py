"""Filters pictures with convolution kernels: right to the last bit, and fast.

>>> import imgconv
>>> sharpened = imgconv.correlate(array, "0 -1 0; -1 5 -1; 0 -1 0")        # ndarray in, ndarray out
>>> edges = imgconv.apply(image, "edge_enhance")                           # Pillow image in, Pillow image out
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # as in typing, without the time that importing it takes: a signal may come
if TYPE_CHECKING:
    from imgconv import pillow
    from imgconv.api import apply, compare_with, convolve, correlate, explain_pixel, fit_kernel, match_convention
    from imgconv.compare import Comparison
    from imgconv.errors import ImgconvError, KernelError, PictureError, UsageError, WriteError
    from imgconv.explain.result import PixelSum
    from imgconv.fit import Fit
    from imgconv.kernels.spec import kernel, kernel_names
    from imgconv.kernels.value import Kernel
    from imgconv.lazy import map_blocks
    from imgconv.match.result import Explanation, Match
    from imgconv.pillow import PillowFilter
    from imgconv.recipe.signature import ApplyOptions, FilterOptions

__all__ = [
    "ApplyOptions", "Comparison", "Explanation", "FilterOptions", "Fit", "ImgconvError", "Kernel", "KernelError",
    "Match", "PictureError", "PillowFilter", "PixelSum", "UsageError", "WriteError", "__version__", "apply",
    "compare_with", "convolve", "correlate", "explain_pixel", "fit_kernel", "kernel", "kernel_names", "map_blocks",
    "match_convention", "pillow",
]  # fmt: skip

# Where public names live. Loaded on first use: `imgconv --help` must not pay for NumPy. Type checkers read the imports
# above instead: to them __getattr__ would make every name valid.
if not TYPE_CHECKING:
    _HOMES = {
        "imgconv.api": (
            "apply", "compare_with", "convolve", "correlate", "explain_pixel", "fit_kernel", "match_convention",
        ),
        "imgconv.compare": ("Comparison",),
        "imgconv.errors": ("ImgconvError", "KernelError", "PictureError", "UsageError", "WriteError"),
        "imgconv.explain.result": ("PixelSum",),
        "imgconv.fit": ("Fit",),
        "imgconv.kernels.spec": ("kernel", "kernel_names"),
        "imgconv.kernels.value": ("Kernel",),
        "imgconv.lazy": ("map_blocks",),
        "imgconv.match.result": ("Explanation", "Match"),
        "imgconv.pillow": ("PillowFilter",),
        "imgconv.recipe.signature": ("ApplyOptions", "FilterOptions"),
    }  # fmt: skip

    def __getattr__(name):
        for home, names in _HOMES.items():
            if name in names:
                from importlib import import_module

                found = globals()[name] = getattr(import_module(home), name)  # asked for once: it takes 3 µs
                return found
        if name == "pillow":
            from importlib import import_module

            return import_module("imgconv.pillow")
        raise AttributeError(f"module 'imgconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
