"""The `imgconv` command, and python -m imgconv."""

from __future__ import annotations

import gc
import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Runs the command line. While that is being imported, Ctrl-C ends the process without a traceback."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    # what is imported stays: looking through it again and again for garbage takes 5 of 100 ms
    gc.disable()
    # NumPy's BLAS starts threads that spin for 0.1 s of CPU at every start, and filtering has no use for them
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from imgconv.cli import main as command

    command()


if __name__ == "__main__":
    main()
