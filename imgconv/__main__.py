"""The `imgconv` command, and python -m imgconv."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Runs the command line. Until that is imported, Ctrl-C ends the process without a traceback."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    from imgconv.cli import main as command

    command()


if __name__ == "__main__":
    main()
