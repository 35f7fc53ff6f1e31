import os
import signal
from pathlib import Path

# a script's background ignores Ctrl-C, and what it starts would, too; tests send it
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    # one place for kept code, shared by the workers and by the processes that tests start; not the user's own
    if "IMGCONV_CACHE_DIR" not in os.environ:
        os.environ["IMGCONV_CACHE_DIR"] = str(Path(config.cache.mkdir("code")) / "imgconv")
