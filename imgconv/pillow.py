"""imgconv's filters wherever Pillow takes one of its own; and Pillow's own calls, done by imgconv."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFilter

from imgconv.api import apply
from imgconv.engine.blur import Boxes, blurred, boxes
from imgconv.engine.stage import Span
from imgconv.errors import ImgconvError
from imgconv.formats.image import changed, from_array, to_array
from imgconv.kernels.blur import MOST_PERCENT, MOST_THRESHOLD
from imgconv.kernels.spec import kernel as to_kernel
from imgconv.kernels.value import Kernel
from imgconv.recipe import Recipe
from imgconv.recipe.steps import PILLOW_BLURS

if TYPE_CHECKING:
    from typing import Unpack

    from imgconv.kernels.spec import KernelsLike
    from imgconv.recipe.signature import ApplyOptions

__all__ = ["PillowFilter", "install", "installed", "uninstall"]

LARGEST_RADIUS = 100_000  # px; Pillow may have what is beyond
FEWEST_PIXELS = 2**14  # fewer are left to Pillow, which is sooner done with them
KERNELS = (
    ImageFilter.Kernel, ImageFilter.BLUR, ImageFilter.CONTOUR, ImageFilter.DETAIL, ImageFilter.EDGE_ENHANCE,
    ImageFilter.EDGE_ENHANCE_MORE, ImageFilter.EMBOSS, ImageFilter.FIND_EDGES, ImageFilter.SHARPEN, ImageFilter.SMOOTH,
    ImageFilter.SMOOTH_MORE,
)  # fmt: skip


class PillowFilter(ImageFilter.MultibandFilter):
    """A filter for ``PIL.Image.Image.filter``.

    Parameters
    ----------
    kernel : str, path, Kernel, array_like, or a list of them
        As `imgconv.apply` takes it.
    **options
        Those of `imgconv.apply`. Without any but `threads`, what Pillow has itself gives Pillow's bytes, as with
        like="pillow": "gaussian:2", "box:radius=2.5" and "unsharp:radius=2,percent=150,threshold=3" are GaussianBlur,
        BoxBlur and UnsharpMask, on pictures that those take.

    Raises
    ------
    KernelError, PictureError, UsageError
        From ``image.filter``, as `imgconv.apply` raises them.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.new("L", (5, 5), 9).filter(PillowFilter("box:radius=1")).getpixel((2, 2))
    9
    """

    name = "imgconv"

    def __init__(self, kernel: KernelsLike, **options: Unpack[ApplyOptions]) -> None:
        self.kernel = kernel
        self.options = options

    def filter(self, image: Any) -> Any:
        """Filters what Pillow hands to its filters: an image without its Python side."""
        kernel, options = self.kernel, self.options
        if {*options} <= {"threads"} and image.mode in PILLOW_BLURS and isinstance(kernel, str | Kernel):
            kernel = to_kernel(kernel)
            if kernel.blur is not None and not kernel.blur.lacks:
                options = {**options, "like": "pillow"}
        result = apply(Image.Image()._new(image), kernel, **options)
        result.load()
        return result.im


@contextmanager
def installed() -> Iterator[None]:
    """While it holds, ``Image.filter`` is imgconv's, for the filters that it has by the byte: all others stay Pillow's.

    These are the ten named ones, Kernel, GaussianBlur, BoxBlur and UnsharpMask, on pictures of 8 bits in grey, RGB or
    CMYK, with or without alpha, that are not tiny. It holds for all threads.

    Examples
    --------
    >>> from PIL import Image, ImageFilter
    >>> with installed():
    ...     Image.new("L", (500, 500), 9).filter(ImageFilter.GaussianBlur(2)).getpixel((2, 2))
    9
    """
    before = Image.Image.filter
    install()
    try:
        yield
    finally:
        Image.Image.filter = before  # type: ignore[method-assign]


def install() -> None:
    """Makes ``Image.filter`` imgconv's, as `installed` does, until `uninstall`."""
    Image.Image.filter = _filter  # type: ignore[method-assign]


def uninstall() -> None:
    """Makes ``Image.filter`` Pillow's again."""
    Image.Image.filter = _pillows  # type: ignore[method-assign]


_pillows = Image.Image.filter


def _filter(self: Image.Image, filter: Any) -> Image.Image:
    """What takes the place of ``Image.filter``."""
    self.load()  # which may change the mode
    if self.mode in PILLOW_BLURS and self.width * self.height >= FEWEST_PIXELS:
        made = filter() if isinstance(filter, type) and filter.__module__ == ImageFilter.__name__ else filter
        blur, kernel = _boxes_of(made), _kernel_of(made)
        rows, result = Span(0, self.height), None
        if blur is not None:
            core = changed(self.im, lambda old, new: blurred(old, rows, blur, target=new))
            if core is not None:
                return self._new(core)
            result = blurred(to_array(self).reshape(self.height, self.width, -1), rows, blur)
        elif kernel is not None:
            result = Recipe((kernel,)).apply(to_array(self), self.mode)[0]
        if result is not None:
            image = from_array(result, self.mode)
            image.load()
            return self._new(image.im)
    return _pillows(self, filter)


def _boxes_of(filter: Any) -> Boxes | None:
    """The passes that one of Pillow's own blurs is; None for everything else, and what Pillow may refuse."""
    kind = type(filter)
    if kind not in (ImageFilter.GaussianBlur, ImageFilter.BoxBlur, ImageFilter.UnsharpMask):
        return None
    radii = filter.radius
    if not isinstance(radii, tuple) or kind is ImageFilter.UnsharpMask:
        radii = radii, radii
    if len(radii) != 2 or not all(type(r) in (int, float) and 0 <= r <= LARGEST_RADIUS for r in radii):
        return None
    x, y = radii
    if kind is not ImageFilter.UnsharpMask:
        return boxes(x, y, 1 if kind is ImageFilter.BoxBlur else 3)
    whole = {type(filter.percent), type(filter.threshold)} == {int}
    if not whole or abs(filter.percent) > MOST_PERCENT or not 0 <= filter.threshold <= MOST_THRESHOLD:
        return None
    return boxes(x, y, 3, filter.percent, filter.threshold)


def _kernel_of(filter: Any) -> Kernel | None:
    """The weights of one of Pillow's kernels; None for everything else, and what Pillow may refuse."""
    if type(filter) not in KERNELS:
        return None
    try:
        size, scale, offset, weights = filter.filterargs
        return _kept_kernel(tuple(size), float(scale), float(offset), tuple(weights))
    except (TypeError, ValueError, OverflowError, ImgconvError):
        return None


@lru_cache(maxsize=32)
def _kept_kernel(size: tuple[int, ...], scale: float, offset: float, weights: tuple[float, ...]) -> Kernel | None:
    if size not in ((3, 3), (5, 5)) or len(weights) != size[0] * size[1]:
        return None
    return Kernel(np.reshape(weights, size), scale, offset, like="pillow")
