"""Data classes for what every command makes: having their methods compiled takes 1 to 2 ms for each class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen=False, eq=False):
        """As `dataclasses.dataclass`, but without `==`, and with the methods below instead of its own."""
        assert not eq

        def made(kind):
            dataclasses.dataclass(init=False, repr=False, eq=False)(kind)
            kind.__init__, kind.__repr__ = _init_of(kind), _repr
            if frozen:
                kind.__setattr__ = kind.__delattr__ = _refuse
            return kind

        return made


def _init_of(kind: Any) -> Callable[..., None]:
    fields = dataclasses.fields(kind)
    defaults = {field.name: field.default for field in fields}
    factories: dict[str, Any] = {field.name: field.default_factory for field in fields}
    open_names = [name for name, value in defaults.items() if value is dataclasses.MISSING]

    def __init__(self: Any, *values: Any, **named: Any) -> None:
        own = self.__dict__
        own.update(defaults)
        given = dict(zip(defaults, values, strict=False))
        own.update(given)
        own.update(named)
        if len(values) > len(given) or len(own) > len(defaults) or not given.keys().isdisjoint(named):
            raise TypeError(f"{kind.__name__} takes each of {', '.join(defaults)} once")
        for name in open_names:
            if own[name] is dataclasses.MISSING:
                if factories[name] is dataclasses.MISSING:
                    raise TypeError(f"{kind.__name__} needs {name}")
                own[name] = factories[name]()
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    return __init__


def _repr(self: Any) -> str:
    values = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self))
    return f"{type(self).__name__}({', '.join(values)})"


def _refuse(self: Any, name: str, value: Any = None) -> None:
    raise dataclasses.FrozenInstanceError(f"{type(self).__name__}.{name} cannot be changed")
