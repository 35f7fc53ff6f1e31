"""The library: filters arrays and Pillow images; finds kernels and conventions; compares with other tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.conventions import COMPARED, PADDINGS, Compared, is_pair
from imgconv.errors import KernelError, PictureError, UsageError
from imgconv.kernels.spec import kernel as to_kernel
from imgconv.kernels.value import Kernel
from imgconv.recipe import Recipe
from imgconv.recipe.layout import layout_of
from imgconv.recipe.options import Options

if TYPE_CHECKING:
    from typing import Unpack

    import numpy.typing as npt
    from PIL.Image import Image

    from imgconv.compare import Comparison
    from imgconv.explain import PixelSum
    from imgconv.fit import Fit
    from imgconv.formats.picture import Picture
    from imgconv.kernels.spec import KernelLike, KernelsLike
    from imgconv.match.result import Match
    from imgconv.recipe.signature import ApplyOptions, FilterOptions

    PictureLike = str | PathLike[str] | Image | npt.ArrayLike


def correlate(array: npt.ArrayLike, kernel: KernelLike | None = None, **options: Unpack[FilterOptions]) -> Array:
    """Slides a kernel over an array as it is written.

    Parameters
    ----------
    array : array_like, shape (rows, columns) or (rows, columns, channels)
        Any real type. Channels are filtered each by itself.
    kernel : str, path, Kernel or array_like
        Whatever `imgconv.kernel` takes: a name, a file, a matrix. None with `vary`.
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
            Filter in linear light: samples are taken as sRGB.
        combine : {"hypot", "sum", "max", "mean"}
            Apply every kernel of a list to the image itself, and take this of the results.
        like : {"pillow", "scipy", "ndimage", "opencv", "keras", "imagemagick"}
            The tool whose conventions hold; single options still win. With "pillow" the formulas gaussian, box and
            unsharp are GaussianBlur, BoxBlur and UnsharpMask on 8-bit samples, by the byte; these take no more options.
        method : {"auto", "direct", "fused", "integer", "separable", "decimated", "box", "fourier"}
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


def convolve(array: npt.ArrayLike, kernel: KernelLike | None = None, **options: Unpack[FilterOptions]) -> Array:
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
    from imgconv.formats.image import ONLY_IN_MEMORY, back_in, filterable, from_array, to_array

    if not hasattr(image, "getbands"):
        kind = type(image).__name__
        raise PictureError(f"apply() takes a Pillow image, not {kind}; correlate() and convolve() take arrays")
    prepared = image if image.mode in ONLY_IN_MEMORY else filterable(image)
    array, mode, _ = recipe_from("apply", kernel, options).apply(to_array(prepared), prepared.mode)
    result = from_array(array, mode)
    if mode == prepared.mode:
        result = back_in(image.mode, result)
    result.info = {key: value for key, value in image.info.items() if key != "transparency"}
    metadata = {key: image.info[key] for key in ("exif", "xmp") if isinstance(image.info.get(key), bytes)}
    if metadata:
        from imgconv.formats.exif import for_result

        result.info.update(for_result(metadata, (image.height, image.width), array.shape, 1)[0].items())
    return result


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

    given = _picture(picture)
    return explain(given.array, given.mode, recipe_from("explain_pixel", kernel, options), row, column)


def _filter(array: npt.ArrayLike, kernel: Any, mode: str, options: Mapping[str, Any]) -> Array:
    if "mode" in options:
        padding = f"padding={options['mode']!r} says how large the result is" if options["mode"] in PADDINGS else ""
        raise UsageError(f"{mode}() takes no mode; {padding or 'correlate() and convolve() are the two'}")
    if isinstance(kernel, (list, tuple)) and any(isinstance(item, (str, Kernel, PathLike)) for item in kernel):
        raise KernelError(f"{mode}() takes one kernel; call it for each of a chain, or apply() to a Pillow image")
    kernels = () if kernel is None else (to_kernel(kernel),)
    recipe = Recipe(kernels, replace(_options(mode, options), mode=mode))
    try:
        samples = np.asarray(array)
    except (TypeError, ValueError) as problem:
        raise PictureError(f"{mode}() takes an array of numbers: {problem}") from None
    return recipe.apply(samples)[0]


def recipe_from(function: str, kernel: Any, options: Mapping[str, Any]) -> Recipe:
    """A kernel or a chain of them, with the options that a function of the library was given."""
    chain = isinstance(kernel, (list, tuple)) and all(not isinstance(k, (list, tuple, int, float)) for k in kernel)
    kernels = kernel if chain else [] if kernel is None else [kernel]
    return Recipe(tuple(to_kernel(k) for k in kernels), _options(function, options))


def _picture(given: Any) -> Picture:
    """What a path, a Pillow image or an array holds."""
    from imgconv.formats.image import filterable, to_array
    from imgconv.formats.picture import Picture

    if isinstance(given, (str, PathLike)):
        from imgconv.formats.read import read

        return read(Path(given))
    image = filterable(given) if hasattr(given, "getbands") else None
    try:
        picture = Picture(to_array(image) if image else np.asarray(given), image.mode if image else "", "")
    except (TypeError, ValueError) as problem:
        raise PictureError(f"a picture is a path, a Pillow image or an array of numbers: {problem}") from None
    layout_of(picture.array, picture.mode)  # refuses what is no picture
    return picture


def _options(function: str, given: Mapping[str, Any]) -> Options:
    """Options from what a function of the library was given."""
    known = [field.name for field in fields(Options)]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known)}"
            raise UsageError(f"{function}() got an unknown option {name!r}; {hint}")
    return Options(**given)
