"""What to apply: the Kernel value, the catalogue, the files, and the grammar of `-k`."""

from __future__ import annotations

from pathlib import Path


def folder() -> Path:
    """Where the catalogue lies: in an installed package beside the code, in a checkout at the top."""
    here = Path(__file__).resolve()
    installed = here.with_name("named")
    return installed if installed.is_dir() else here.parents[2] / "kernels"
