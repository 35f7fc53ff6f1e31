"""The library: arrays in, arrays out; Pillow images in, Pillow images out."""

from __future__ import annotations

from dataclasses import fields, replace
from difflib import get_close_matches
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.conventions import PADDINGS
from imgconv.errors import KernelError, PictureError, UsageError
from imgconv.kernels.spec import kernel as to_kernel
from imgconv.kernels.value import Kernel
from imgconv.recipe import Recipe
from imgconv.recipe.options import Options

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL.Image import Image


def correlate(array: npt.ArrayLike, kernel: Any = None, **options: Any) -> npt.NDArray[Any]:
    """Slides a kernel over an array as it is written.

    Parameters
    ----------
    array : array_like, shape (rows, columns) or (rows, columns, channels)
        Any real type. Channels are filtered each by itself.
    kernel : str, path, Kernel or array_like
        Whatever `imgconv.kernel` takes: a name, a file, a matrix. None with `vary`.
    **options
        border : {"edge", "reflect", "symmetric", "wrap", "constant", "constant:V", "keep", "renormalize"}
        padding : {"same", "valid", "full", "tf-same"}
        anchor : (row, column), "low" or "high"
        scale : float, "sum", "abs-sum" or "none"
        offset : float, in sample units
        bias : float or one for each output channel
        stride, dilation : int or (rows, columns)
        channels : {"each", "sum"} or letters such as "rgb"
        after : {"clip", "abs", "relu", "minmax", "offset128", "float"}
        like : {"pillow", "scipy", "ndimage", "opencv", "keras", "imagemagick"}
        method : {"auto", "direct", "fused", "integer", "separable", "box", "fourier"}
        threads : int
        mask : array_like of shape (rows, columns) from 0 to 1, or a shape such as "radial:inner=0.2"
            How strongly the kernel acts: in + mask * (filtered - in), before rounding. 8 and 16 bits are scaled.
        vary : str
            A formula with a range, "gaussian:sigma=0..8": the mask says where in it the kernel of each pixel is.

    Returns
    -------
    ndarray
        Of the array's type and number of dimensions. Integers are rounded half up and clipped to their range;
        floating numbers are neither.

    Raises
    ------
    KernelError
        When the kernel cannot be found or used.
    PictureError
        When the array is no picture.
    UsageError
        When options contradict each other or are out of range.

    Notes
    -----
    out[y, x, c] = offset + sum over i, j of w[i, j] / scale * in[y + i - ay, x + j - ax, c], with the anchor
    (ay, ax) = ((rows - 1) // 2, (columns - 1) // 2) by default. That is ``scipy.signal.correlate2d(mode="same")``.
    A kernel that was written in Pillow's convention is flipped vertically first, as Pillow does.

    Examples
    --------
    >>> correlate([[1, 2, 3], [4, 5, 6]], "1 0 0", border="constant:0")
    array([[0, 1, 2],
           [0, 4, 5]])
    """
    return _filter(array, kernel, "correlate", options)


def convolve(array: npt.ArrayLike, kernel: Any = None, **options: Any) -> npt.NDArray[Any]:
    """True convolution: as `correlate`, with the kernel turned by 180° and its anchor mirrored.

    With border="constant" it is ``scipy.signal.convolve2d(mode="same")``, even-sized kernels included.

    Parameters, returns and errors are those of `correlate`.

    Examples
    --------
    >>> convolve([[1, 2, 3], [4, 5, 6]], "1 0 0", border="constant:0")
    array([[2, 3, 0],
           [5, 6, 0]])
    """
    return _filter(array, kernel, "convolve", options)


def apply(image: Image, kernel: Any = None, **options: Any) -> Image:
    """Filters a Pillow image.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode P comes back as RGB or RGBA, and one with a transparent colour as LA or RGBA, for colours are new ones;
        every other mode stays: 1 is rounded to black and white, PA gets a new palette.
    kernel : str, path, Kernel, array_like
        As `imgconv.kernel` takes it; a list or tuple of names, files or Kernels is a chain, applied in order.
    **options
        Those of `correlate`, and mode : {"correlate", "convolve"}.

    Returns
    -------
    PIL.Image.Image
        With the image's info, its EXIF data without a thumbnail. Pillow's ten named filters give the bytes of
        ``image.filter``.

    Raises
    ------
    KernelError, PictureError, UsageError
        As `correlate` does.
    """
    from imgconv.picture.image import ONLY_IN_MEMORY, back_in, from_array, plain, to_array

    if not hasattr(image, "getbands"):
        kind = type(image).__name__
        raise PictureError(f"apply() takes a Pillow image, not {kind}; correlate() and convolve() take arrays")
    chain = isinstance(kernel, (list, tuple)) and all(not isinstance(k, (list, tuple, int, float)) for k in kernel)
    kernels = kernel if chain else [] if kernel is None else [kernel]
    prepared = image if image.mode in ONLY_IN_MEMORY else plain(image)
    recipe = Recipe(tuple(to_kernel(k) for k in kernels), _options("apply", options))
    array, mode, _ = recipe.apply(to_array(prepared), prepared.mode)
    result = from_array(array, mode)
    if mode == prepared.mode:
        result = back_in(image.mode, result)
    result.info = {key: value for key, value in image.info.items() if key != "transparency"}
    said = {key: image.info[key] for key in ("exif", "xmp") if isinstance(image.info.get(key), bytes)}
    if said:
        from imgconv.picture.exif import for_result

        result.info.update(for_result(said, (image.height, image.width), array.shape, 1)[0].items())
    return result


def _filter(array: npt.ArrayLike, kernel: Any, mode: str, options: dict[str, Any]) -> npt.NDArray[Any]:
    if "mode" in options:
        padding = f"; padding={options['mode']!r} says how large the result is" if options["mode"] in PADDINGS else ""
        raise UsageError(f"{mode}() takes no mode{padding or '; correlate() and convolve() are the two'}")
    if isinstance(kernel, (list, tuple)) and any(isinstance(each, (str, Kernel, PathLike)) for each in kernel):
        raise KernelError(f"{mode}() takes one kernel; call it for each of a chain, or apply() to a Pillow image")
    kernels = () if kernel is None else (to_kernel(kernel),)
    recipe = Recipe(kernels, replace(_options(mode, options), mode=mode))
    try:
        samples = np.asarray(array)
    except (TypeError, ValueError) as problem:
        raise PictureError(f"{mode}() takes an array of numbers: {problem}") from None
    return recipe.apply(samples)[0]


def _options(function: str, given: dict[str, Any]) -> Options:
    """Options from what a function of the library was given."""
    known = [field.name for field in fields(Options)]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known)}"
            raise UsageError(f"{function}() got an unknown option {name!r}; {hint}")
    return Options(**given)
