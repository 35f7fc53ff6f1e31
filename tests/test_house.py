"""How the house is built: who may import what, and that a quick command stays quick."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from textwrap import dedent, indent

import numpy as np
import pytest
from makers import encode_png
from PIL import Image

import imgconv
from imgconv.engine.band import Variant
from imgconv.native import kept, link

HOUSE = Path(imgconv.__file__).parent
MODULES = {
    ".".join(path.relative_to(HOUSE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(HOUSE.rglob("*.py"))
}
# from the ground up: a room may import from the floors below it, and from itself
FLOORS = (
    ("errors",),
    ("conventions", "arrayfile", "notebook", "record", "threads"),
    ("memory",),
    ("native",),
    ("engine",),
    ("kernels", "formats"),
    ("masks", "peers"),
    ("recipe",),
    ("difference",),
    ("page", "plots"),
    ("batch", "compare", "explain", "info", "match", "fit", "sheet"),
    ("pillow",),
    ("api",),
    ("bench", "lazy"),
    ("",),  # imgconv itself, which loads the library on demand
    ("cli",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports(path):
    """(module, whether it is imported when the file is) of every import, type checkers' ones left out."""

    def walk(node, outside):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.Import):
                yield from ((alias.name, outside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                yield child.module, outside
                names = [f"{child.module}.{alias.name}" for alias in child.names]
                yield from ((name, outside) for name in names if name in MODULES)
            yield from walk(child, outside and not inside)

    return list(walk(ast.parse(path.read_text()), True))


def room(module):
    return [*module.split("."), ""][1]


# modules that import LLVM as soon as they are imported
COMPILED = {module for module in MODULES if module.endswith(("_loop", ".emit", "native.value"))}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    here = room(module)
    assert here in FLOOR, f"{module} is in a room that this test does not know"
    for name, _ in imports(MODULES[module]):
        if name == "imgconv" or name.startswith("imgconv."):
            there = room(name)
            assert there == here or FLOOR[there] < FLOOR[here], f"{module} imports {name}"


def test_modules_go_one_way_inside_a_folder_too():
    """Also those that are imported late: the sorter raises CycleError with the modules that go round."""
    graph = {
        module: {name for name, _ in imports(path) if name in MODULES and name not in ("imgconv", module)}
        for module, path in MODULES.items()
    }
    assert set(TopologicalSorter(graph).static_order()) >= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_each_package_is_known_in_one_place_only(module):
    for name, at_once in imports(MODULES[module]):
        package = name.split(".")[0]
        if package == "click":
            assert room(module) == "cli"
        elif package in ("rich", "textual_image"):
            assert room(module) == "cli"
            assert not at_once, f"{module} imports {name} before it is needed"
        elif package in ("numba", "llvmlite"):
            assert room(module) == "native"
            assert not at_once or module in COMPILED
        elif name in COMPILED and module not in COMPILED:
            assert not at_once, f"{module} imports {name}, and so LLVM, before anything is compiled"
        elif package == "PIL":
            late_kernel = room(module) == "kernels" and not at_once  # a kernel that is a grey picture
            assert room(module) in ("formats", "pillow", "peers", "bench") or late_kernel
        elif package in ("dask", "distributed", "xarray"):
            assert module in ("imgconv.lazy", "imgconv.batch.cluster")
            assert not at_once, f"{module} imports {name} before it is needed"
        elif package == "matplotlib":
            assert module == "imgconv.plots"
            assert not at_once
        elif package in ("scipy", "cv2", "skimage", "pyvips", "halide"):
            assert room(module) == "peers"
            assert not at_once


@pytest.mark.parametrize("module", [module for module in MODULES if module.endswith("_loop")])
def test_kept_code_is_keyed_by_all_that_a_loop_is_made_of(module):
    """Sources here and beside it are a part of the key, and the layout of the band by its value."""
    for name, _ in imports(MODULES[module]):
        if name.startswith("imgconv."):
            beside = name.rpartition(".")[0] == module.rpartition(".")[0] and name.endswith("_loop")
            assert beside or room(name) == "native" or name == "imgconv.engine.band", name


def test_nothing_evaluates_text_or_unpickles():
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "__import__"), module
        assert not {"pickle", "marshal", "shelve"} & {name for name, _ in imports(path)}, module


def at_its_end(code, *words, cwd=None):
    """What code prints on standard error, run by a command that has done its work, where its process would end."""
    script = (
        "import os, sys\nsys.argv = ['imgconv', *sys.argv[1:]]\ndef leave(status):\n    assert status == 0\n"
        f"{indent(dedent(code), '    ')}\n    sys.exit(7)\nos._exit = leave\nfrom imgconv.__main__ import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=cwd, check=False, timeout=300
    )
    assert done.returncode == 7, done.stderr
    return done.stderr


def loaded_after(*words):
    """Every module that a command has imported when it ends."""
    code = "print(*(n for n, module in sys.modules.items() if type(module).__name__ != '_StandIn'), file=sys.stderr)"
    loaded = at_its_end(code, *words).split()
    assert "imgconv.cli" in loaded
    return set(loaded)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["apply", "--help"], ["completion", "bash"]])
def test_help_loads_nothing_heavy(words):
    assert not loaded_after(*words) & {"numpy._core", "PIL", "rich", "numba", "llvmlite"}


def test_kernels_load_no_pictures_and_no_compiler():
    assert not loaded_after("kernels") & {"PIL", "numba", "llvmlite", "rich"}


@pytest.mark.parametrize("ending", [".txt", ".png", ".jpg", ".bmp", ".webp", ".raw"])
def test_a_warm_run_loads_only_what_it_needs(tmp_path, ending):
    source = tmp_path / f"a{ending}"
    if ending == ".txt":
        source.write_text("1 2\n3 4\n")
    elif ending == ".raw":
        source.write_bytes(bytes(3 * 5 * 4 * 3))
    elif ending == ".png":
        source.write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    else:
        Image.new("RGB", (300, 300)).save(source)
    words = ["apply", str(source), "-k", "edge_enhance", "--overwrite"]
    words += ["--raw", "5x4:rgb24"] if ending == ".raw" else []
    loaded_after(*words)  # compiles, if that is to do
    loaded = loaded_after(*words)
    unwanted = {"numba", "rich", "PIL", "concurrent.futures", "json", "numpy.typing", "queue", "tempfile", "hashlib"}
    unwanted |= {"click.shell_completion", "numpy._typing._array_like"}
    by_pillow = ending in (".jpg", ".bmp", ".webp")
    assert not loaded & (unwanted - ({"PIL"} if by_pillow else set()))
    assert not link.possible() or "llvmlite" not in loaded
    unused = {"masks", "recipe.masked", "kernels.formulas", "kernels.foreign"}
    unused |= {f"formats.{name}" for name in (("png.codec",) if by_pillow else ("pillow", "image", "blocks", "jpeg"))}
    unused |= {"formats.ppm", "formats.tiff"}
    assert not loaded & {f"imgconv.{module}" for module in unused}
    if ending != ".txt":  # of a kind that was filtered before
        unused = {"engine.plan", "engine.methods", "kernels.spec", "recipe.recipe", "recipe.steps", "formats.convert"}
        unwanted = {"numpy._core", "inspect", "ipaddress", "uuid", "gettext"}
        assert not loaded & ({f"imgconv.{module}" for module in unused} | unwanted)


def test_a_folder_of_plain_pictures_needs_no_numpy(tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(encode_png(np.full((64, 64, 3), number, np.uint8)))
    words = ["apply", *map(str, sorted(tmp_path.glob("*.png"))), "-k", "edge_enhance", "-j", "2", "--out-dir"]
    loaded_after(*words, str(tmp_path / "first"))
    loaded = loaded_after(*words, str(tmp_path / "second"))
    assert "imgconv.batch.workers" in loaded
    assert not loaded & {"numpy._core", "PIL", "tempfile", "imgconv.kernels.spec"}


def test_numpy_is_there_for_who_asks():
    code = """
        import threading
        from importlib.util import find_spec
        assert "numpy._core" not in sys.modules and find_spec("numpy").origin
        import numpy as np
        assert np.__version__ and np.__file__
        sums = []
        many = [threading.Thread(target=lambda: sums.append(np.ones(3).sum())) for _ in range(16)]
        [thread.start() for thread in many]
        [thread.join() for thread in many]
        from numpy.lib.format import magic
        import numpy.linalg
        import numpy
        assert not hasattr(np, "nothing") and np.ones is numpy.ones is sys.modules["numpy"].ones
        assert sums == [3] * 16
    """
    assert at_its_end(code, "--version") == ""


def test_modules_that_click_hardly_uses_are_there_for_who_asks():
    code = r"""
        import imgconv.engine.band
        from click.core import inspect as clicks
        from inspect import cleandoc, get_annotations
        annotated = [clicks.get_annotations(of) for of in (str, imgconv.engine.band.Variant, main)]
        texts = ["", " a ", "\ta\tb", " a\n  b\n    c\n", "\n\n a\n b\n"]
        cleaned = [clicks.cleandoc(text) for text in texts]
        import datetime, gettext, inspect, ipaddress, tempfile, uuid
        assert inspect.signature(main) and tempfile.gettempdir() and gettext.NullTranslations()
        assert cleaned == [inspect.cleandoc(text) for text in texts], cleaned
        assert annotated == [inspect.get_annotations(of) for of in (str, imgconv.engine.band.Variant, main)]
        assert [cleandoc(text) for text in texts] == cleaned
        assert [get_annotations(of) for of in (str, imgconv.engine.band.Variant, main)] == annotated
        assert uuid.UUID(int=0).int == 0 and datetime.datetime(2000, 1, 1).year == 2000
        assert ipaddress.ip_address("::1").version == 6
        left = [name for name, module in sys.modules.items() if type(module).__name__ == "_StandIn"]
        assert left == ["numpy"]
    """
    assert at_its_end(code, "--version") == ""


def test_threads_that_import_the_same_module_do_not_wait_for_each_other():
    code = """
        import importlib, threading
        def later(name):
            thread = threading.Thread(target=exec, args=("import numpy; numpy.zeros(1)",), daemon=True)
            thread.start()
            thread.join(5)  # by then it has begun to import it
            return import_module(name)
        import_module, importlib.import_module = importlib.import_module, later
        import numpy
        assert numpy.ones(1)[0] == 1
    """
    assert at_its_end(code, "--version") == ""


def test_numpys_types_are_there_for_who_asks():
    code = """
        from numpy.typing import ArrayLike, NDArray
        import numpy._typing as real
        assert (ArrayLike, NDArray) == (real.ArrayLike, real.NDArray) and NDArray is not list
        assert not hasattr(real, "nothing")
        assert "numpy.linalg" in sys.modules
    """
    assert at_its_end(code, "kernels") == ""


@pytest.mark.parametrize("words", [["apply", "a.png", "-k", "blur", "--overwrite"], ["kernels", "show", "blur"]])
def test_garbage_is_collected_once_all_is_imported(tmp_path, words):
    (tmp_path / "a.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    code = "import gc\nprint(gc.isenabled(), gc.get_freeze_count() > 1000, file=sys.stderr)"
    assert at_its_end(code, *words, cwd=tmp_path) == "True True\n"


def test_every_module_is_there_without_what_only_unix_has():
    modules = [module for module in MODULES if not module.endswith("__main__")]
    code = (
        "import sys\nfrom importlib import import_module\n"
        "for name in ('resource', 'fcntl', 'termios', 'pwd', 'grp', 'tty', 'pty', 'syslog'):\n"
        "    sys.modules[name] = None\n"
        "for name in sys.argv[1:]:\n    import_module(name)"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_library_loads_nothing_heavy_until_it_is_used():
    code = "import sys, imgconv; imgconv.KernelError; sys.exit(bool({'numpy', 'PIL', 'click'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_way_of_a_picture_is_the_one_in_contributing(tmp_path):
    """Each function that is named there is entered, in that order, but for what is met on the way back up."""
    text = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
    walk = text.partition("## The way of a picture")[2].partition("8. Back")[0]
    named = [name for name in re.findall(r"`((?:[a-z_]+\.)+[A-Za-z_.]+)`", walk) if name.split(".")[0] in FLOOR]
    (tmp_path / "photo.png").write_bytes(encode_png(np.zeros((20, 30, 3), np.uint8)))
    kept.loop(Variant("integer", "alike", "uint8", (3, 3)).function)
    shutil.copytree(kept.directory(), tmp_path / "code", ignore=shutil.ignore_patterns("*.plan", "*.lock", "*.part"))
    code = """if True:
        import os, sys, threading
        met = {}
        def entered(frame, event, arg):
            name = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"
            if event == "call" and frame.f_code.co_flags & 1:  # not the body of a class
                met.setdefault(name.removesuffix(".__init__"))
        sys.argv[0], os._exit = "imgconv", sys.exit
        from imgconv.__main__ import main
        threading.setprofile(entered)
        sys.setprofile(entered)
        try:
            main()
        finally:
            sys.setprofile(None)
            print("\\n", *(name.removeprefix("imgconv.") for name in met), file=sys.stderr)
    """
    words = ["apply", "photo.png", "-k", "edge_enhance"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path, check=True,
        env=os.environ | {"IMGCONV_CACHE_DIR": str(tmp_path / "code")},
    )  # fmt: skip
    met = done.stderr.split()
    assert len(named) > 12
    assert set(named) <= set(met)
    assert sorted(named, key=met.index) == named
