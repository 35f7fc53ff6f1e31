"""Pillow images whose pixels lie in one block of memory, and where: so that pixels need not go through its codecs.

Pillow splits a large image into blocks of 16 MB, and its memory comes in pages of 4 kB, each of which costs a fault:
a 12-megapixel JPEG decodes in 42 ms into large pages, in 55 without. NumPy asks for large pages by itself, and is not
needed here: a file can be decoded while it is imported.

Where they are Arrow's C data interface says, which Pillow has had since 11.2.1, that version leaking every image.
Only images that Pillow has made itself are looked into: asked for those over foreign memory (`Image.frombuffer`),
Pillow crashes before 13.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import PIL
from PIL import Image, ImageFile

_core: Any = Image.core  # type: ignore[attr-defined]
VERSION = tuple(map(int, PIL.__version__.split(".")[:2]))
HAS_ARROW, TELLS_OF_ALL = VERSION >= (11, 3), VERSION >= (13, 0)
LARGEST_BLOCK = 2**31 - 2**12  # bytes: Pillow counts them in 32 bits, and by pages
SMALL = 2**16  # pixels: so few go sooner through Pillow's codecs
LARGEST_SPARE = 2**25  # bytes
LARGE_PAGES_FROM = 2**22  # bytes, as NumPy has it
PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}  # 4 in all other modes
RESTARTS = b"\xff\xdd\0\4"  # the segment of a JPEG with its restart interval
JPEG_PIECE = 2**23  # bytes decoded in one call, which lets other threads run; between two, Ctrl-C is heard

_pointer_in = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_spare: list[Block] = []  # one at most
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not wait for a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Block(NamedTuple):
    """The pixels of an image, without gaps: 4 bytes each where it has several channels; there as long as `core` is."""

    address: int
    size: int  # bytes
    core: Any


class Lent:
    """Owns the memory of an image, and keeps it for the next one of that mode and size: Pillow clears what it makes."""

    def __init__(self, block: Block) -> None:
        self.block = block

    def __del__(self) -> None:
        _spare[:] = [self.block] if self.block.size <= LARGEST_SPARE else []


class _ArrowArray(ctypes.Structure):
    """Arrow's C data interface, version 1: a C structure that Pillow fills in."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
        ("children", ctypes.POINTER(ctypes.c_void_p)),
    )


def load(image: ImageFile.ImageFile, data: bytes = b"", threads: int | None = 1) -> Block | None:
    """Decodes an image that was opened; returns where its pixels are, if they are in one block.

    A JPEG whose file is `data` takes threads, if restart intervals allow that.
    """
    jpeg = image.format in ("JPEG", "MPO")
    if jpeg:
        image.decodermaxblock = JPEG_PIECE
    if not image.tile and type(image).load is ImageFile.ImageFile.load:  # not asked where there is memory already
        raise OSError("it ends before its pixels")
    block = None
    small = image.width * image.height <= SMALL
    # others do more in it, and once only; or take a picture that has memory for one that is there (ICNS, GBR)
    plain = type(image).load_prepare is ImageFile.ImageFile.load_prepare and (image.tile or image.format == "WEBP")
    if not small and plain:
        block = _taken(image) if jpeg else None
        if block is not None:
            image.im = block.core
        else:
            with _undivided():
                image.load_prepare()
            block = block_of(image.im)
        if jpeg and threads != 1:
            from imgconv.formats.segments import before_pixels

            header = before_pixels(data)
            if RESTARTS in header and header != data:
                from imgconv.formats import intervals  # here, because few files have them

                intervals.decode(image, header, data, threads)
    image.load()
    return block if block is not None and block.core is image.im else None


def _taken(image: Image.Image) -> Block | None:
    """The memory that was kept, for an image whose decoder writes every pixel."""
    try:
        block = _spare.pop()
    except IndexError:
        return None
    return block if (block.core.mode, block.core.size) == (image.mode, image.size) else None


def new(mode: str, size: tuple[int, int]) -> Block | None:
    """The memory of a new image, whose pixels are still to be written; None where Pillow does not say where it is."""
    if not HAS_ARROW:
        return None
    if size[0] * size[1] <= SMALL:  # Pillow does not divide it, and setting its blocks' size takes longer
        return block_of(_core.new(mode, size))
    with _undivided():
        core = _core.new(mode, size)
    return block_of(core)


def image_of(block: Block) -> Image.Image:
    """The image whose pixels are in a block."""
    return Image.Image()._new(block.core)


def block_of(core: Any) -> Block | None:
    """Where the pixels of an image are that Pillow has just made; None where it does not say, or they are divided."""
    if not HAS_ARROW or 0 in core.size:
        return None
    try:
        capsule = core.__arrow_c_array__()
    except ValueError:
        return None
    array = _ArrowArray.from_address(_pointer_in(capsule, b"arrow_array"))
    if array.length != core.size[0] * core.size[1]:
        return None
    pixels = array.length
    if array.n_children:
        array = _ArrowArray.from_address(array.children[0])
    block = Block(array.buffers[1], pixels * PIXEL_BYTES.get(core.mode, 4), core)
    _ask_for_large_pages(block)
    return block


def part_of(core: Any, rows: slice, columns: slice) -> Block | None:
    """A copy of part of an image, whatever memory that lies in."""
    with _undivided():
        part = core.crop((columns.start, rows.start, columns.stop, rows.stop))
    return block_of(part)


@contextlib.contextmanager
def _undivided() -> Iterator[None]:
    """Images that are made meanwhile get one block; if that cannot be had, Pillow divides them by itself."""
    with _lock:
        before = _core.get_block_size()
        _core.set_block_size(LARGEST_BLOCK)
        try:
            yield
        finally:
            _core.set_block_size(before)


@cache
def _advice() -> Any:
    """The system's madvise, or None."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    try:
        function = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def _ask_for_large_pages(block: Block) -> None:
    """A hint only: where the system refuses, nothing changes."""
    advise = _advice()
    if advise is not None and block.size >= LARGE_PAGES_FROM:
        start = -(-block.address // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (block.address + block.size) // mmap.PAGESIZE * mmap.PAGESIZE
        advise(start, end - start, mmap.MADV_HUGEPAGE)
