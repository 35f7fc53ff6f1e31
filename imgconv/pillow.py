"""imgconv's filters wherever Pillow takes one of its own; and Pillow's own calls, done by imgconv."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFilter

from imgconv.engine.blur import Boxes, blurred, boxes
from imgconv.engine.stage import Span
from imgconv.errors import ImgconvError
from imgconv.formats.image import ONLY_IN_MEMORY, back_in, blur_filter, changed, from_array, read, to_array
from imgconv.formats.picture import unread
from imgconv.kernels.spec import kernel as to_kernel
from imgconv.kernels.value import MOST_PERCENT, MOST_THRESHOLD, Kernel
from imgconv.recipe.chained import Chained
from imgconv.recipe.layout import letters_of
from imgconv.recipe.options import Options
from imgconv.recipe.prepared import LARGEST, Key, key_of, may_change, only_step, put
from imgconv.recipe.recipe import Recipe, by_curves, recipe_from
from imgconv.recipe.settings import pillow_blur
from imgconv.recipe.steps import PILLOW_BLURS, Blurred

if TYPE_CHECKING:
    from typing import Unpack

    from imgconv.kernels.spec import KernelsLike
    from imgconv.recipe.signature import ApplyOptions

__all__ = ["PillowFilter", "install", "installed", "uninstall"]

LARGEST_RADIUS = 100_000  # px; Pillow may have what is beyond
FEWEST_PIXELS = 2**11  # fewer are left to Pillow, which is sooner done with them
PIXELS = {"L": 1, "RGB": 4, "RGBA": 4, "RGBX": 4, "CMYK": 4}  # bytes of one in Pillow's memory, each filtered by itself
PILLOW_SHAPES = (3, 3), (5, 5)  # of its kernels
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
        key = _key("PillowFilter", kernel, options, image)
        change = _kept.get(key) if key else None
        result = change(image) if change else None
        if result is not None:
            return result
        if {*options} <= {"threads"} and image.mode in PILLOW_BLURS and isinstance(kernel, str | Kernel):
            kernel = to_kernel(kernel)
            if kernel.blur is not None and not kernel.blur.lacks:
                options = {**options, "like": "pillow"}
        done = filtered(Image.Image()._new(image), kernel, options)
        made_of = _key("apply", kernel, options, image)
        if key and made_of in _kept and not may_change(self.kernel):
            put(_kept, key, _kept[made_of])
        done.load()
        return done.im


def filtered(image: Image.Image, kernel: Any, options: Mapping[str, Any]) -> Image.Image:
    """What `imgconv.apply` gives."""
    by_profile = isinstance(image.info.get("icc_profile"), bytes) and options.get("linear")
    key = None if by_profile or "transparency" in image.info else _key("apply", kernel, options, image)
    change = _kept.get(key) if key else None
    core = change(image.im) if change else None
    if core is not None:
        result = image._new(core)
        after = core.size[::-1]
    else:
        recipe = recipe_from("apply", kernel, options)
        prepared, pixels = read(image, image.mode not in ONLY_IN_MEMORY)
        if by_profile:
            from imgconv.formats.profile import light_of

            light = light_of({"icc_profile": image.info["icc_profile"]}, letters_of(prepared.mode))[0]
            recipe = by_curves(recipe, light) if light else recipe
        array, mode, _ = recipe.apply(pixels, prepared.mode)
        result, after = from_array(array, mode), array.shape
        if mode == prepared.mode:
            result = back_in(image.mode, result)
        if key and key not in _kept and not may_change(kernel):
            put(_kept, key, _prepared(recipe, image.mode, image.size))
        result.info = {key: value for key, value in image.info.items() if key != "transparency"}
    metadata = {key: image.info[key] for key in ("exif", "xmp") if isinstance(image.info.get(key), bytes)}
    if metadata:
        from imgconv.formats.exif import for_result

        result.info.update(for_result(metadata, (image.height, image.width), after, 1)[0].items())
    return result


Change = Callable[[Any], Any]  # makes Pillow's memory of a result from that of an image, or None
_kept: dict[Key, Change | None] = {}


def _key(function: str, kernel: Any, options: Mapping[str, Any], image: Any) -> Key | None:
    """What a call can be looked up by, None where it cannot; of an image with or without its Python side."""
    key = key_of(function, kernel, options) if image.mode in PIXELS else None
    return (*key, image.mode, image.size) if key else None


def _prepared(recipe: Recipe, mode: str, size: tuple[int, int]) -> Change | None:
    """What a recipe does to such images, where that is one step and little work."""
    columns, rows = size
    if columns * rows < FEWEST_PIXELS and (own := _pillows_own(recipe)):
        return own
    bands = Image.getmodebands(mode)
    array = unread((rows, columns, bands)[: 3 if bands > 1 else 2], np.dtype(np.uint8))
    step = only_step(recipe, array, mode)
    small = step.small(PIXELS[mode]) if isinstance(step, Chained) and array.nbytes <= LARGEST else None
    if small is not None and small.target_shape[:2] == (rows, columns):
        return partial(changed, change=small.fill)
    if isinstance(step, Blurred):
        return partial(_blurred, blur=step.boxes, threads=recipe.options.threads)
    return None


def _blurred(core: Any, blur: Boxes, threads: int | None = None) -> Any:
    return changed(core, lambda old, new: blurred(old, Span(0, len(new)), blur, threads, new), by_parts=True)


def _pillows_own(recipe: Recipe) -> Change | None:
    """Pillow's filter, where it has the recipe's, as code that takes tiny images."""
    (kernel, *more), options = recipe.kernels or (None,), recipe.options
    if more or kernel is None or replace(options, like=None, threads=None) != Options():
        return None
    if (blur := pillow_blur(kernel, options)) is not None:
        own: Change | None = None if blur.percent is not None and blur.x != blur.y else blur_filter(blur).filter
        return own
    if (options.like or kernel.like) != "pillow" or (kernel.anchor, kernel.border) != (None, None):
        return None
    if kernel.weights.shape not in PILLOW_SHAPES:
        return None
    return ImageFilter.Kernel(kernel.shape, kernel.weights.ravel().tolist(), kernel.scale, kernel.offset).filter


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
        rows, core, result = Span(0, self.height), None, None
        if blur is not None:
            core = _blurred(self.im, blur)
            if core is None:
                result = blurred(to_array(self).reshape(self.height, self.width, -1), rows, blur)
        elif kernel is not None:
            key = _key("filter", kernel, {}, self)
            change = _kept.get(key) if key else None
            core = change(self.im) if change else None
            if core is None:
                recipe = Recipe((kernel,))
                result = recipe.apply(to_array(self), self.mode)[0]
                if key and key not in _kept:
                    put(_kept, key, _prepared(recipe, self.mode, self.size))
        if result is not None:
            image = from_array(result, self.mode)
            image.load()
            core = image.im
        if core is not None:
            return self._new(core)
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
    if size not in PILLOW_SHAPES or len(weights) != size[0] * size[1]:
        return None
    return Kernel(np.reshape(weights, size), scale, offset, like="pillow")
