"""What can go wrong, as exceptions whose text is one line for the person at the terminal.

ImgconvError
├── UsageError       options that contradict each other, or a value out of range
├── KernelError      a kernel that cannot be found, read or used
├── PictureError     a file that cannot be read as a picture, or a picture that cannot be filtered
└── WriteError       a result that could not be written; the target is as it was
"""

from __future__ import annotations

from collections.abc import Iterable


class ImgconvError(Exception):
    """Base of every error that imgconv raises on purpose."""


def unforeseen(problem: Exception) -> str:
    """What is said of an exception that imgconv did not raise on purpose."""
    if isinstance(problem, MemoryError):
        return "there is too little memory on this machine"
    return f"{type(problem).__name__}: {problem}"


class UsageError(ImgconvError):
    """Options that contradict each other, or a value out of its range."""


class KernelError(ImgconvError):
    """A kernel that cannot be found, read or used."""


class PictureError(ImgconvError):
    """A file that cannot be read as a picture, or a picture that cannot be filtered."""


class WriteError(ImgconvError):
    """A result that could not be written. The target is as it was before."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that one was probably meant for; "" where none is near."""
    from difflib import get_close_matches  # here, because few need it

    return next(iter(get_close_matches(word[:40], list(known), 1)), "")


def reason(problem: OSError) -> str:
    """What the operating system says, in lower case and without the path."""
    text = problem.strerror or str(problem) or type(problem).__name__
    return text[0].lower() + text[1:]
