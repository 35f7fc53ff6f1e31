"""python -m imgconv.bench.inside plain|timed FOLDER FILE...: what a job's CPU time goes to, in one thread.

Prints, as JSON, the CPU seconds of a job, and, if they are `timed`, those that it spends in the codecs (of Pillow,
isa-l, zlib-ng, with their loops), in the loops that filter, and in fsync. Timing itself costs, so what a whole job
takes is measured without.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS = 3


class _Timed:
    """Something whose calls, and whose methods' calls, are timed by the CPU's clock."""

    def __init__(self, thing: Any, add: Callable[[float], None]) -> None:
        self._thing, self._add = thing, add

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        return _Timed(value, self._add) if callable(value) else value

    def __call__(self, *given: Any, **named: Any) -> Any:
        started = time.thread_time()
        result = self._thing(*given, **named)
        self._add(time.thread_time() - started)
        return result


def main() -> None:
    """Does the files in turn, and prints what they took."""
    how, out, *names = sys.argv[1:]
    spent = {"job": 0.0, "codecs": 0.0, "loops": 0.0, "fsync": 0.0}

    def timed(thing: Any, name: str) -> _Timed:
        def add(seconds: float) -> None:
            spent[name] += seconds

        return _Timed(thing, add)

    if how == "timed":
        from isal import isal_zlib
        from PIL import Image
        from zlib_ng import zlib_ng

        from imgconv.native import kept

        for name in ("_getdecoder", "_getencoder"):
            make = getattr(Image, name)
            setattr(Image, name, lambda *given, make=make: timed(make(*given), "codecs"))
        for module, made, plain in ((isal_zlib, "decompressobj", ("crc32", "adler32")), (zlib_ng, "compressobj", ())):
            make = getattr(module, made)
            setattr(module, made, lambda *given, make=make: timed(make(*given), "codecs"))
            for name in plain:
                setattr(module, name, timed(getattr(module, name), "codecs"))
        linked = kept._link
        kept._link = lambda function, *given: timed(
            linked(function, *given), "codecs" if function.module.startswith("imgconv.formats") else "loops"
        )
        os.fsync = timed(os.fsync, "fsync")

    from imgconv.batch.job import Handling, Work
    from imgconv.batch.targets import Job, Targets
    from imgconv.kernels.spec import kernel
    from imgconv.recipe.options import Options
    from imgconv.recipe.recipe import Recipe

    recipe = Recipe((kernel("edge_enhance"),), Options(threads=1))
    targets = Targets(out_dir=Path(out), overwrite=True)
    jobs = [Job(Path(name), Path(out, name), "JPEG" if name.endswith(".jpg") else "PNG") for name in names]

    def done() -> None:
        for job in jobs:
            outcome = Work(recipe, targets, Handling())(job)
            if outcome.error:
                sys.exit(outcome.error)

    done()  # what is imported, loaded and made once
    spent = dict.fromkeys(spent, 0.0)
    started = time.process_time()
    for _ in range(ROUNDS):
        done()
    spent["job"] = time.process_time() - started
    print(json.dumps({name: seconds / (ROUNDS * len(jobs)) for name, seconds in spent.items()}))


if __name__ == "__main__":
    main()
