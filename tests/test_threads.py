from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from makers import noise

import imgconv
from imgconv import threads
from imgconv.batch.job import Handling, Work
from imgconv.batch.targets import Job, Targets
from imgconv.formats.picture import Picture
from imgconv.formats.write import encode
from imgconv.kernels.spec import kernel
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe
from imgconv.threads import ahead, in_threads

FORMS = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF", "ppm": "PPM", "npy": "NPY"}


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_is_done_once(workers):
    done = []

    def prepare_worker():
        mine = []

        def work(number):
            mine.append(number)
            done.append(number)
            return len(mine) and number

        return work

    for _ in range(3):  # the threads of the first time are there for the next
        done.clear()
        assert in_threads(prepare_worker, range(1, 101), workers) == 5050
        assert sorted(done) == list(range(1, 101))


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_is_not_lost_and_no_job_begins_after_it(workers):
    begun = []

    def work(number):
        begun.append(number)
        if number == 5:
            raise ValueError("five")
        return 0

    with pytest.raises(ValueError, match="five"):
        in_threads(lambda: work, iter(range(10**9)), workers)
    assert in_threads(lambda: lambda number: number, range(1, 5), workers) == 10


def test_jobs_may_have_threads_of_their_own():
    def work(number):
        return in_threads(lambda: lambda inner: inner, range(1, number + 1), 3)

    assert in_threads(lambda: work, range(1, 20), 4) == sum(n * (n + 1) // 2 for n in range(20))


def test_without_threads_all_is_done_here(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("imgconv.threads._idle", [])
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert in_threads(lambda: lambda number: number, range(5), 4) == 10
    assert list(ahead(iter(range(5)), 2)) == list(range(5))


def test_what_is_made_ahead_comes_in_its_order_and_never_too_much():
    alive, most = set(), 0

    def items():
        nonlocal most
        for number in range(200):
            alive.add(number)
            most = max(most, len(alive))
            yield number

    for expected, number in enumerate(ahead(items(), 3)):
        assert number == expected
        alive.discard(number - 1)
    assert most <= 4  # the one that was let go is taken out of the set too late


def test_an_error_comes_behind_what_was_made_before_it():
    def items():
        yield 1
        raise ValueError("two")

    found = ahead(items(), 2)
    assert next(found) == 1
    with pytest.raises(ValueError, match="two"):
        next(found)


def test_who_wants_no_more_ends_the_making():
    made = []

    def items():
        for number in range(10**9):
            made.append(number)
            yield number

    found = ahead(items(), 2)
    next(found)
    found.close()
    count = len(made)
    assert count <= 3
    assert in_threads(lambda: lambda number: number, range(5), 3) == 10
    assert len(made) == count


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_does_not_wait_for_threads_that_it_does_not_have():
    """Nor does Python 3.12 warn about threads: those that are idle end before it."""
    array = noise(1200, 900, 3)
    expected = imgconv.correlate(array, "blur", threads=3)
    code = (
        "import multiprocessing, numpy, sys, warnings; sys.path.insert(0, sys.argv[1])\n"
        "import imgconv\n"
        "from makers import noise\n"
        "warnings.simplefilter('error')\n"
        "array = noise(1200, 900, 3)\n"
        "want = imgconv.correlate(array, 'blur', threads=3)\n"
        "def work(number): return bool((imgconv.correlate(array, 'blur', threads=3) == want).all())\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(work, range(4)))\n"
        "print((imgconv.correlate(array, 'blur', threads=3) == want).all())\n"
    )
    words = [sys.executable, "-c", code, os.path.dirname(__file__)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert (done.stdout, done.stderr) == ("[True, True, True, True]\nTrue\n", "")
    assert expected.shape == array.shape


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "ppm", "npy"])
@pytest.mark.parametrize("options", [{}, {"after": "abs"}, {"mask": "radial"}])
def test_one_thread_is_one(ending, options, tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "_begin", None)  # what starts a thread, or rings for one that waits
    source, target = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    picture = Picture(noise(1400, 1300, 3), "" if ending == "npy" else "RGB", "")
    source.write_bytes(encode(picture, FORMS[ending], threads=1)[0])
    recipe = Recipe((kernel("edge_enhance"), kernel("blur")), Options(threads=1, **options))
    before = threading.active_count()
    outcome = Work(recipe, Targets(), Handling())(Job(source, target, FORMS[ending]))
    assert outcome.error is None
    assert target.exists()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 64),
        ({"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 64),
        ({"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/cpu.max": "250000 100000"}, 2),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ({"/proc/self/cgroup": "4:cpu,cpuacct:/x\n", "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "300000"}, 3),
        ({"/proc/self/cgroup": "4:cpu,cpuacct:/x\n", "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1"}, 64),
    ],
)
def test_a_container_has_the_cores_that_it_is_given_time_of(files, cores, monkeypatch):
    monkeypatch.setattr(threads, "text_of", lambda path: files.get(str(path), ""))
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda process: range(64), raising=False)
    threads._quota.cache_clear()
    assert threads.available_cores() == cores
    monkeypatch.undo()
    threads._quota.cache_clear()
