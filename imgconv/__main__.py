"""The `imgconv` command, and python -m imgconv."""

from __future__ import annotations

# built in: importing signal takes time, in which a signal would show Python's traceback
import _signal as signal  # type: ignore[import-not-found]
import os
import sys
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def _leave(number: int, frame: object) -> None:
    if number == signal.SIGINT:
        os.write(2, b"imgconv: interrupted\n")
    os._exit(128 + number)


_importing = RLock()
# while the rest is being imported, a signal ends the process without a traceback
for _number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):  # Windows has none
    if signal.getsignal(_number) != signal.SIG_IGN:
        signal.signal(_number, _leave)


class _NumPy(type(sys)):  # type: ignore[misc]
    """Stands for NumPy until something of it is asked for: importing it takes longer than filtering a small picture."""

    def __getattr__(self, name: str) -> object:
        with _importing:
            if sys.modules["numpy"] is self:
                del sys.modules["numpy"]
                self.__dict__.update(_numpy())  # nothing is asked twice
        found: object = getattr(sys.modules["numpy"], name)
        return found


def _numpy() -> dict[str, object]:
    """What NumPy has, when it is imported."""
    from importlib import import_module

    # nobody reads the docstrings of its compiled functions here, which take a tenth of importing it
    for name in ("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars"):
        sys.modules[name] = type(sys)(name)
    # nor its types for annotations, of which it imports one itself, and which take another tenth
    sys.modules["numpy._typing"] = stand_in = type(sys)("numpy._typing")
    vars(stand_in).update(NDArray=list, __getattr__=_real_type)
    return vars(import_module("numpy"))


def _real_type(name: str) -> object:
    """One of NumPy's types for annotations that are asked for after all: all are the real ones then."""
    if name.startswith("__"):  # as the import asks
        raise AttributeError(name)
    from importlib import import_module

    stand_in = sys.modules.pop("numpy._typing")
    del stand_in.__getattr__
    vars(stand_in).update(vars(import_module("numpy._typing")))
    found: object = getattr(stand_in, name)
    return found


def main() -> NoReturn:
    """Runs the command line."""
    import gc

    # what is imported stays: looking through it again and again for garbage takes 5 of 100 ms
    gc.disable()
    # NumPy's BLAS starts threads that spin for 0.1 s of CPU at every start, and filtering has no use for them
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "numpy" not in sys.modules:
        sys.modules["numpy"] = stand_in = _NumPy("numpy")
        stand_in.__spec__ = next(filter(None, (finder.find_spec("numpy", None) for finder in sys.meta_path)), None)
    from imgconv.cli import main as command

    command()


if __name__ == "__main__":
    main()
