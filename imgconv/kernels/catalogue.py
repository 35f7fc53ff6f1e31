"""The named kernels: one TOML file each, in the top-level folder kernels/, which a wheel carries as `named`."""

from __future__ import annotations

from pathlib import Path

from imgconv.errors import KernelError
from imgconv.kernels.table import parse_toml
from imgconv.kernels.value import Kernel


def folder() -> Path:
    """Where the catalogue lies: in an installed package beside the code, in a checkout at the top."""
    here = Path(__file__).resolve()
    installed = here.with_name("named")
    return installed if installed.is_dir() else here.parents[2] / "kernels"


def names() -> list[str]:
    """Every name, sorted."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def named(name: str) -> Kernel:
    """The kernel of that name; dashes, blanks and capitals are forgiven.

    Raises
    ------
    KernelError
        When there is none; the text lists near names.
    """
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    path = folder() / f"{wanted}.toml"
    if not wanted.replace("_", "").isalnum() or not wanted.isascii() or not path.is_file():
        from difflib import get_close_matches

        near = get_close_matches(wanted, names(), 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "imgconv kernels lists them"
        raise KernelError(f"no kernel named {name!r}; {hint}")
    return parse_toml(path.read_bytes(), name=wanted)
