"""Programs and scripts that filter many files on all cores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imgconv.bench.codecs import CODECS, QUALITY
from imgconv.bench.commands import WEIGHTS, Command, command_line, command_lines
from imgconv.bench.works import EDGE_ENHANCE
from imgconv.peers.pillow import with_simd

POOL_SCRIPT = f"""
import multiprocessing, os, sys
from PIL import Image, ImageFilter

cores, out, names = int(sys.argv[1]), sys.argv[2], sys.argv[3:]

def work(name):
    Image.open(name).filter(ImageFilter.EDGE_ENHANCE).save(os.path.join(out, name), quality={QUALITY})

if __name__ == "__main__":
    with multiprocessing.Pool(cores) as pool:
        pool.map(work, names)
"""
THREADS_SCRIPT = f"""
import multiprocessing.pool, os, sys
import cv2, numpy

cores, out, names = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
cv2.setNumThreads(1)
kernel = numpy.array({EDGE_ENHANCE}) / 2

def work(name):
    result = cv2.filter2D(cv2.imread(name, cv2.IMREAD_UNCHANGED), -1, kernel)
    cv2.imwrite(os.path.join(out, name), result, [cv2.IMWRITE_JPEG_QUALITY, {QUALITY}])

with multiprocessing.pool.ThreadPool(cores) as pool:
    pool.map(work, names)
"""
# imgconv, and at its end the CPU seconds of its first process and of those that it started
SPENT_SCRIPT = """
import os, resource, sys
told, own, leave = sys.argv.pop(1), os.getpid(), os._exit

def tell(status):
    if os.getpid() == own:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        with open(told, "w") as file:
            print(*(each.ru_utime + each.ru_stime for each in used), file=file)
    leave(status)

os._exit = tell
from imgconv.__main__ import main
main()
"""
# prints the seconds of a file that the script of threads needs for itself, with Python's lock
LOCK_SCRIPT = f"""
import time
import cv2
cv2.imread = cv2.filter2D = cv2.imwrite = lambda *given: None
{THREADS_SCRIPT}
started = time.process_time()
for name in names * 100:
    work(name)
print((time.process_time() - started) / len(names) / 100)
"""
IMGCONV = "{imgconv} apply -k edge_enhance --out-dir {out}"
THREADS = "OpenCV threads"
INSTALLED = "Pillow Pool, installed()"  # the same script with imgconv.pillow.install()
SCRIPTS = {
    "pool": POOL_SCRIPT, "installed": f"import imgconv\nimgconv.pillow.install()\n{POOL_SCRIPT}",
    "simd": with_simd(POOL_SCRIPT), "threads": THREADS_SCRIPT, "lock": LOCK_SCRIPT,
}  # fmt: skip
# programs that take many files by themselves; {names} stands for all of them
PROGRAMS = {
    "imgconv": Command(f"{IMGCONV} {{names}}"),
    THREADS: Command("{python} {threads} {cores} {out} {names}", peer="opencv"),
    "Pillow Pool": Command("{python} {pool} {cores} {out} {names}"),
    "Pillow Pool, pillow-simd": Command("{python} {simd} {cores} {out} {names}", peer="pillow-simd"),
    INSTALLED: Command("{python} {installed} {cores} {out} {names}"),
    "mogrify": Command(
        "{program} -path {out} -convolve {weights} {ending} {names}", f"-quality {QUALITY}", ("mogrify",), "-version",
        says="Magick",
    ),
    "gm mogrify": Command(
        "{program} mogrify -output-directory {out} -convolve {weights} {ending} {names}", f"-quality {QUALITY}",
        ("gm",), "version",
    ),
}  # fmt: skip
CODECS_ALONE = Command("{python} -m imgconv.bench.codecs {library} {cores} {out} {names}")
XARGS = Command("{program} -a {list} -P {cores}", programs=("xargs",), version="--version")
ONE_CORE = "-j 1 -t 1"


def folder_lines(ending: str, files: int, where: Path, cores: int) -> dict[str, list[str]]:
    """tool -> command, in which {names} stands for the files."""
    values: dict[str, Any] = {
        "out": where / "out", "cores": cores, "weights": WEIGHTS, "list": where / "names", "names": "{names}"
    }  # fmt: skip
    for name, script in SCRIPTS.items():
        values[name] = where / f"{name}.py"
        values[name].write_text(script)

    found = {tool: command_line(command, values, ending) for tool, command in PROGRAMS.items()}
    for library in [*CODECS[ending]][:2]:
        found[library] = command_line(CODECS_ALONE, values | {"library": library}, "")
    if xargs := command_line(XARGS, values, ""):
        ours = command_line(Command(f"{IMGCONV} {ONE_CORE}"), values, "") or []
        several = max(2, files // (4 * cores))
        found["imgconv under xargs -n 1"] = [*xargs, "-n", "1", *ours]
        found[f"imgconv under xargs -n {several}"] = [*xargs, "-n", str(several), *ours]
        name = f"@{ending}"
        single = command_lines(Path(name), where, 3, 1, where / "out" / name)
        for tool in ("vips", "GraphicsMagick"):
            if tool in single:
                found[f"{tool} under xargs"] = [*xargs, "-I", "@", *single[tool][0]]
    return {tool: line for tool, line in found.items() if line}
