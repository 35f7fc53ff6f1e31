"""imgconv's filters wherever Pillow takes one of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFilter

from imgconv.api import apply

if TYPE_CHECKING:
    from typing import Unpack

    from imgconv.kernels.spec import KernelsLike
    from imgconv.recipe.signature import ApplyOptions


class PillowFilter(ImageFilter.MultibandFilter):
    """A filter for ``PIL.Image.Image.filter``.

    Parameters
    ----------
    kernel : str, path, Kernel, array_like, or a list of them
        As `imgconv.apply` takes it.
    **options
        Those of `imgconv.apply`.

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
        result = apply(Image.Image()._new(image), self.kernel, **self.options)
        result.load()
        return result.im
