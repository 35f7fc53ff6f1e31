"""The `imgconv` command, and python -m imgconv."""

from __future__ import annotations

# built in: importing signal takes time, in which a signal would show Python's traceback
import _signal as signal  # type: ignore[import-not-found]
import os
import sys
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def _leave(number: int, frame: object) -> None:
    if number == signal.SIGINT:
        os.write(2, b"imgconv: interrupted\n")
    os._exit(128 + number)


_looking = RLock()
# while the rest is being imported, a signal ends the process without a traceback
for _number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):  # Windows has none
    if signal.getsignal(_number) != signal.SIG_IGN:
        signal.signal(_number, _leave)


class _StandIn(type(sys)):  # type: ignore[misc]
    """Stands for a module until something of it is asked for that it does not have: then that module is imported."""

    def __init__(self, name: str, has: dict[str, object]) -> None:
        super().__init__(name)
        if name == "numpy":  # which is looked for, and has modules of its own
            self.__spec__ = next(filter(None, (finder.find_spec(name, None) for finder in sys.meta_path)), None)
        self.__dict__.update(has)

    def __getattr__(self, name: str) -> Any:
        if name == "__path__" and self.__spec__ is None:
            raise AttributeError(name)  # "from … import" asks for it, and has the same answer of the module
        return getattr(_real(self.__name__), name)


def _put_in(name: str, **has: object) -> None:
    if name not in sys.modules:
        sys.modules[name] = _StandIn(name, has)


def _real(name: str) -> Any:
    """The module itself, which takes its stand-in's place, imported if it was not."""
    from importlib import import_module

    with _looking:
        stand_in = sys.modules.get(name)
        if isinstance(stand_in, _StandIn):
            if name == "numpy":
                _spare_numpy()
            del sys.modules[name]
    # outside the lock: another thread may be importing it by now, and want a stand-in's module for that
    real = import_module(name)
    if isinstance(stand_in, _StandIn):
        stand_in.__dict__.update(vars(real))  # nothing is asked twice
    return real


def _spare_numpy() -> None:
    """Takes from the import of NumPy what nobody needs here."""
    # the docstrings of its compiled functions, which take a tenth of it
    for name in ("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars"):
        sys.modules[name] = type(sys)(name)
    # and its types for annotations, of which it imports one itself, and which take another tenth
    sys.modules["numpy._typing"] = stand_in = type(sys)("numpy._typing")
    vars(stand_in).update(NDArray=list, __getattr__=_real_type)


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


def _cleaned(text: str) -> Any:
    """As `inspect.cleandoc`: of a line there is little to clean, as of an option's help."""
    return _real("inspect").cleandoc(text) if "\n" in text else text.expandtabs().lstrip()


def _annotations(of: object, **how: object) -> Any:
    """As `inspect.get_annotations`, of which data classes take the plainest part."""
    if how or not isinstance(of, type) or "__annotations__" not in vars(of):
        return _real("inspect").get_annotations(of, **how)
    return dict(vars(of)["__annotations__"])


def _counted(one: str, more: str, number: int) -> str:
    """As `gettext.ngettext` where nothing is translated."""
    return one if number == 1 else more


def main() -> NoReturn:
    """Runs the command line."""
    import gc

    # what is imported stays: looking through it again and again for garbage takes 5 of 100 ms
    gc.disable()
    # NumPy's BLAS starts threads that spin for 0.1 s of CPU at every start, and filtering has no use for them
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name in ("numpy", "ipaddress", "tempfile"):
        _put_in(name)
    _put_in("inspect", cleandoc=_cleaned, get_annotations=_annotations)
    # of these Click takes no more than is here, and whoever else wants them later has them whole
    _put_in("datetime", datetime=object)
    _put_in("gettext", gettext=str, ngettext=_counted)
    _put_in("uuid", UUID=object)
    from imgconv.cli import main as command

    for name in ("datetime", "gettext", "uuid"):
        if isinstance(sys.modules[name], _StandIn):
            del sys.modules[name]
    command()


if __name__ == "__main__":
    main()
