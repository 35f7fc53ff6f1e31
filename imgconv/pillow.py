"""imgconv's filters wherever Pillow takes one of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFilter

from imgconv.api import apply
from imgconv.kernels.spec import kernel as to_kernel
from imgconv.kernels.value import Kernel
from imgconv.recipe.steps import PILLOW_BLURS

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
