"""The library: filters arrays and Pillow images; finds kernels and conventions; compares with other tools."""

from __future__ import annotations

from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from imgconv.arrayfile import Array
from imgconv.conventions import COMPARED, Compared, is_pair
from imgconv.errors import PictureError, UsageError
from imgconv.kernels.spec import kernel as to_kernel
from imgconv.recipe.arrays import filter_array
from imgconv.recipe.layout import layout_of
from imgconv.recipe.recipe import recipe_from

if TYPE_CHECKING:
    from typing import Unpack

    import numpy.typing as npt
    from PIL.Image import Image

    from imgconv.compare import Comparison
    from imgconv.explain.result import PixelSum
    from imgconv.fit import Fit
    from imgconv.formats.picture import Picture
    from imgconv.kernels.spec import KernelLike, KernelsLike
    from imgconv.match.result import Match
    from imgconv.recipe.signature import ApplyOptions, FilterOptions

    PictureLike = str | PathLike[str] | Image | npt.ArrayLike


@overload
def correlate(  # type: ignore[overload-overlap]  # a list of arrays is array_like, too
    array: list[Array] | tuple[Array, ...],
    kernel: KernelLike | None = None,
    *,
    out: None = None,
    **options: Unpack[FilterOptions],
) -> list[Array]: ...
@overload
def correlate(
    array: npt.ArrayLike,
    kernel: KernelLike | None = None,
    *,
    out: Array | None = None,
    **options: Unpack[FilterOptions],
) -> Array: ...
def correlate(array: Any, kernel: Any = None, *, out: Array | None = None, **options: Any) -> Any:
    """Slides a kernel over an array as it is written.

    Parameters
    ----------
    array : array_like, shape (rows, columns) or (rows, columns, channels), or a batch
        Any real type, bfloat16 included. Channels are filtered each by itself. A batch is an array of shape
        (n, rows, columns, channels), or a list of arrays, which need not be of one shape.
    kernel : str, path, Kernel or array_like
        Whatever `imgconv.kernel` takes: a name, a file, a matrix. None with `vary`.
    out : ndarray, optional
        Where the result is written, C-contiguous; it may be the array itself, which takes a copy.
    **options
        border : {"edge", "reflect", "symmetric", "wrap", "wrap-x", "constant", "keep", "renormalize"} or "constant:V"
            What stands in for pixels outside. Default "edge", or the kernel's own.
        padding : {"same", "valid", "full", "tf-same"}
            How large the result is; "tf-same" is TensorFlow's rule under strides. Default "same".
        anchor : (row, column), "low" or "high"
            The tap on the output pixel. "low", the default, is (k - 1) // 2, "high" is k // 2.
        scale : float other than 0, "sum", "abs-sum" or "none"
            What the weights are divided by. Default the kernel's own.
        offset : float
            What is added to every sum, in sample units; nothing where border "keep" copies a pixel.
        bias : float or one for each output channel
            As the offset, but added to the channel: also to pixels that border "keep" copies.
        stride, dilation : int from 1 up, or (rows, columns)
            Steps between output pixels, and between taps.
        channels : {"each", "sum"} or letters such as "rgb"
            Filter each by itself, add them up as Conv2D does, or filter only those. Default "each".
        after : {"clip", "abs", "relu", "minmax", "offset128", "float"}
            What becomes of values outside the range. Default "clip".
        alpha : {"auto", "straight", "keep", "premultiply"}
            Of images: "straight" filters alpha like any channel, "keep" leaves it, "premultiply" weighs colours by it.
            Default "auto": premultiply where the weights sum to the scale, else keep; straight for kernels in Pillow's
            convention, and for the identity.
        linear : bool
            Filter in linear light: samples are taken as sRGB, those of an image by the curves of its profile.
        combine : {"hypot", "sum", "max", "mean"}
            Apply every kernel of a list to the image itself, and take this of the results.
        like : {"pillow", "scipy", "ndimage", "opencv", "keras", "imagemagick"}
            The tool whose conventions hold; single options still win. With "pillow" the formulas gaussian, box and
            unsharp are GaussianBlur, BoxBlur and UnsharpMask on 8-bit samples, by the byte; these take no more options.
        method : {"auto", "direct", "fused", "integer", "fixed", "separable", "decimated", "box", "fourier"}
            How it is computed; "auto", the default, chooses.
        threads : int from 1 up
            Default: all cores that the process may use.
        mask : array_like of shape (rows, columns) from 0 to 1, or a shape such as "radial:inner=0.2"
            How strongly the kernels act: in + mask * (filtered - in), before rounding and once for a whole list. 8 and
            16 bits are scaled. In linear light with `linear`, weighed by alpha where the kernels are.
        vary : str
            A formula with a range, "gaussian:sigma=0..8": the mask says where in it the kernel of each pixel is.

    Returns
    -------
    ndarray, or a list of them
        Of the array's type and number of dimensions: `out`, if it is given; a list for a list. Integers are rounded
        half up and clipped to their range; floating numbers are neither.

    Raises
    ------
    KernelError
        When the kernel cannot be found or used.
    PictureError
        When the array is no picture.
    UsageError
        When options contradict each other or are out of range, or the result does not fit into `out`.

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
    return filter_array(array, kernel, "correlate", out, options)


@overload
def convolve(  # type: ignore[overload-overlap]
    array: list[Array] | tuple[Array, ...],
    kernel: KernelLike | None = None,
    *,
    out: None = None,
    **options: Unpack[FilterOptions],
) -> list[Array]: ...
@overload
def convolve(
    array: npt.ArrayLike,
    kernel: KernelLike | None = None,
    *,
    out: Array | None = None,
    **options: Unpack[FilterOptions],
) -> Array: ...
def convolve(array: Any, kernel: Any = None, *, out: Array | None = None, **options: Any) -> Any:
    """True convolution: as `correlate`, with the kernel turned by 180° and its anchor mirrored.

    With border="constant" it is ``scipy.signal.convolve2d(mode="same")``, even-sized kernels included.

    Parameters, returns and errors are those of `correlate`.

    Examples
    --------
    >>> convolve([[1, 2, 3], [4, 5, 6]], "1 0 0", border="constant:0")
    array([[2, 3, 0],
           [5, 6, 0]])
    """
    return filter_array(array, kernel, "convolve", out, options)


def apply(image: Image, kernel: KernelsLike | None = None, **options: Unpack[ApplyOptions]) -> Image:
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
        ``image.filter``, and so do gaussian, box and unsharp with like="pillow".

    Raises
    ------
    KernelError, PictureError, UsageError
        As `correlate` does.
    """
    if not hasattr(image, "getbands"):
        kind = type(image).__name__
        raise PictureError(f"apply() takes a Pillow image, not {kind}; correlate() and convolve() take arrays")
    from imgconv.pillow import filtered

    return filtered(image, kernel, options)


def match_convention(before: PictureLike, kernel: KernelLike, result: PictureLike) -> Match:
    """Finds the convention (flip, anchor, border, scale, offset, rounding, padding) under which a result was made.

    Parameters
    ----------
    before, result : path, PIL.Image.Image, or array_like of shape (rows, columns) or (rows, columns, channels)
        Any real type, finite. `result` is what another tool made of `before`; it may be smaller or larger by the
        kernel (padding) or a stride, and have one channel where those of `before` are added up.
    kernel : str, path, Kernel or array_like
        As `imgconv.kernel` takes it.

    Returns
    -------
    Match
        ``best.fit`` is "exact", "rounding" or "" when no convention gives it;
        ``apply(before, best.matrix or kernel, **dataclasses.asdict(best.options))`` gives it again
        from an image.

    Raises
    ------
    KernelError
        When the kernel cannot be found or used.
    PictureError
        When a picture cannot be read or is not finite, or no convention gives a result of that size.

    Examples
    --------
    >>> match_convention([[1, 5, 2], [4, 3, 8]], "1 2 4", [[11, 16, 26], [27, 30, 36]]).best.flip
    'both'
    """
    from imgconv.match import match

    first, second, weights = _picture(before), _picture(result), to_kernel(kernel)
    return match(first.array, weights, second.array, first.mode)


def fit_kernel(before: PictureLike, after: PictureLike, size: int | tuple[int, int] | None = None) -> Fit:
    """Finds the kernel that best explains `after` as a filtered `before`, by least squares.

    Parameters
    ----------
    before, after : path, PIL.Image.Image, or array_like of shape (rows, columns) or (rows, columns, channels)
        Any real type, finite; of the same shape, or `after` smaller by the kernel less one (padding valid).
    size : int or (rows, columns), from 1 up, of 1024 weights at most
        By default the smallest of 3, 5 and 7 that explains it.

    Returns
    -------
    Fit
        ``kernel`` is one of the catalogue, or small whole numbers over a scale, where those explain `after`; it slides
        as it stands (correlation), unless it names another convention itself.
        ``explains`` says whether no sample is further off than rounding, ``rms`` and ``largest`` how far, in levels.

    Raises
    ------
    PictureError
        When a picture cannot be read, they cannot go together, or say too little: too few samples, or flat.
    UsageError
        When the size is out of range.
    """
    from imgconv.fit import fit

    pair = size if size is None or isinstance(size, tuple) else (size, size)
    if pair is not None and not is_pair(pair, 1):
        raise UsageError(f"size must be one or two whole numbers from 1 up, not {size!r}")
    return fit(_picture(before).array, _picture(after).array, pair)


def compare_with(
    peer: Compared,
    picture: PictureLike,
    kernel: KernelsLike,
    rounds: int = 5,
    **options: Unpack[ApplyOptions],
) -> Comparison:
    """Does the same work in imgconv and in another tool: the same samples? how much faster?

    Parameters
    ----------
    peer : {"pillow", "scipy", "opencv"}
        It gets the border, anchor and flip that hold here, as far as it has them.
    picture : path, PIL.Image.Image, or array_like of shape (rows, columns) or (rows, columns, channels)
    kernel : str, path, Kernel, array_like, or a list of them
        As `apply` takes it.
    rounds : int from 1 up
        Runs of each, turn by turn; the times are medians.
    **options
        Those of `apply`.

    Returns
    -------
    Comparison
        Where the peer is not installed or cannot do it, ``impossible`` says why, and ``equal`` is False.

    Raises
    ------
    KernelError, PictureError
        As `apply` does, and when the picture cannot be read.
    UsageError
        When the peer is no such tool, `rounds` is below 1, or an option is out of range.
    """
    from imgconv.compare import compare

    if peer not in COMPARED:
        raise UsageError(f"peer {peer!r} is not one of {', '.join(COMPARED)}")
    if not isinstance(rounds, int) or rounds < 1:
        raise UsageError(f"rounds must be a whole number from 1 up, not {rounds!r}")
    return compare(peer, _picture(picture), recipe_from("compare_with", kernel, options), rounds)


def explain_pixel(
    picture: PictureLike, row: int, column: int, kernel: KernelsLike, **options: Unpack[ApplyOptions]
) -> PixelSum:
    """Works the sum of one pixel of a result: what lies under the kernel, the products, and what becomes of them.

    Parameters
    ----------
    picture : path, PIL.Image.Image, or array_like of shape (rows, columns) or (rows, columns, channels)
    row, column : int
        Of the result, counted from 0.
    kernel : str, path, Kernel, array_like, or a list of them
        As `apply` takes it; of a chain the last one is worked.
    **options
        Those of `apply`, but for `vary`.

    Returns
    -------
    PixelSum
        ``channels[0].result`` is the sample that filtering gives, ``.terms`` the window with its weights, products
        and sums for each channel that is added up, ``.steps`` what follows; ``as_dict()`` has all of it for JSON.

    Raises
    ------
    KernelError, PictureError
        As `apply` does, and when the picture cannot be read.
    UsageError
        When the pixel lies outside the result, or an option is out of range.
    """
    from imgconv.explain import explain

    if not (isinstance(row, Integral) and isinstance(column, Integral)):
        raise UsageError(f"row and column must be whole numbers, not {row!r} and {column!r}")
    given = _picture(picture)
    return explain(given.array, given.mode, recipe_from("explain_pixel", kernel, options), int(row), int(column))


def _picture(given: Any) -> Picture:
    """What a path, a Pillow image or an array holds."""
    from imgconv.formats import image
    from imgconv.formats.picture import Picture

    if isinstance(given, (str, PathLike)):
        from imgconv.formats.read import read

        return read(Path(given))
    try:
        if hasattr(given, "getbands"):
            prepared, pixels = image.read(given)
            picture = Picture(pixels, prepared.mode, "")
        else:
            picture = Picture(np.asarray(given), "", "")
    except (TypeError, ValueError) as problem:
        raise PictureError(f"a picture is a path, a Pillow image or an array of numbers: {problem}") from None
    layout_of(picture.array, picture.mode)  # refuses what is no picture
    return picture
