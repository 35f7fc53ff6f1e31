import os
import tempfile
from pathlib import Path

# One place for kept code, shared by the workers and by the processes that tests start; not the user's own.
os.environ.setdefault("IMGCONV_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"imgconv-tests-{os.getuid()}"))
