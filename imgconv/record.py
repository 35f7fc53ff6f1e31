"""Data classes for what every command makes: having their methods compiled takes 1 to 2 ms for each class."""

from __future__ import annotations

import dataclasses
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
            kind.__init__, kind.__repr__ = _init, _repr
            if frozen:
                kind.__setattr__ = kind.__delattr__ = _refuse
            return kind

        return made


def _init(self: Any, *values: Any, **named: Any) -> None:
    fields = dataclasses.fields(self)
    kind, names = type(self).__name__, [field.name for field in fields]
    twice, unknown = named.keys() & names[: len(values)], named.keys() - names
    if len(values) > len(names) or twice or unknown:
        raise TypeError(f"{kind} takes each of {', '.join(names)} once: {', '.join(twice | unknown) or len(values)}")
    given = dict(zip(names, values, strict=False)) | named
    for field in fields:
        if field.name in given:
            value = given[field.name]
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        else:
            raise TypeError(f"{kind} needs {field.name}")
        self.__dict__[field.name] = value
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _repr(self: Any) -> str:
    values = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self))
    return f"{type(self).__name__}({', '.join(values)})"


def _refuse(self: Any, name: str, value: Any = None) -> None:
    raise dataclasses.FrozenInstanceError(f"{type(self).__name__}.{name} cannot be changed")
