import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# a script's background ignores Ctrl-C, and what it starts would, too; tests send it
signal.signal(signal.SIGINT, signal.default_int_handler)

# nor are the user's own defaults the tests'
for name in [name for name in os.environ if name.startswith("IMGCONV_") and name != "IMGCONV_CACHE_DIR"]:
    del os.environ[name]
os.environ["XDG_CONFIG_HOME"] = os.devnull

# how long an example takes is the machine's affair
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config):
    # one place for kept code, shared by the workers and by the processes that tests start; not the user's own
    if "IMGCONV_CACHE_DIR" not in os.environ:
        os.environ["IMGCONV_CACHE_DIR"] = str(Path(config.cache.mkdir("code")) / "imgconv")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def quick_disk(monkeypatch):
    """Nothing is synced, which takes the time of thousands of small files."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
