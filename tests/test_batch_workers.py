"""Worker processes: forked in a process of their own, for pytest has threads."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="workers are spawned there")

START = """
import os, signal, sys, threading, time
from imgconv.batch.workers import Workers

def told(workers, jobs):
    for future in [workers.submit(job) for job in jobs]:
        try:
            print(future.result())
        except Exception as problem:
            print(problem)
"""


def script(text: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", START + text], capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr
    return done.stdout.splitlines()


def test_a_worker_that_is_killed_fails_its_job_only():
    lines = script("""
def work(job, threads, ask):
    if job in (0, 7, 39):
        os.kill(os.getpid(), signal.SIGKILL)
    if job == 20:
        os._exit(3)
    return job

with Workers(work, 3, 2**30) as workers:
    told(workers, range(40))
""")
    killed = "its process was killed by SIGKILL, as the system does when memory is short"
    expected = {0: killed, 7: killed, 39: killed, 20: "its process ended with 3"}
    assert lines == [expected.get(number, str(number)) for number in range(40)]


def test_large_jobs_wait_for_memory_and_the_largest_is_alone():
    lines = script("""
def work(job, threads, ask):
    ask(job)
    begun = time.monotonic()
    time.sleep(0.03)
    return job, begun, time.monotonic()

with Workers(work, 4, 1000) as workers:
    for future in [workers.submit(size) for size in (600, 10, 400, 700, 10, 300, 5000, 10, 300)]:
        print(*future.result())
""")
    spans = [tuple(map(float, line.split())) for line in lines]
    for size, begun, ended in spans:
        beside = sum(other for other, start, end in spans if start < ended and end > begun and other > 62)
        assert beside <= 750 or (size == 5000 and beside == 5000) or size == 10, (size, beside)


def test_the_cores_are_shared_by_those_that_have_work():
    lines = script("""
import imgconv.batch.workers as module
module.available_cores = lambda: 8

def work(job, threads, ask):
    return threads

with Workers(work, 4, 2**30) as workers:
    told(workers, range(4))
    told(workers, range(2))
    told(workers, range(1))
""")
    assert lines == ["2", "2", "2", "2", "4", "4", "8"]


def test_jobs_that_were_cancelled_are_not_done():
    assert script("""
def work(job, threads, ask):
    return os.getpid()

with Workers(work, 2, 2**30) as workers:
    futures = [workers.submit(n) for n in range(9)]
    for future in futures[1:]:
        assert future.cancel()
    assert futures[0].result() != os.getpid()
    assert not futures[0].cancel()
    print(sum(future.cancelled() for future in futures))
""") == ["8"]


def test_they_end_with_the_block_even_amid_a_job():
    lines = script("""
def work(job, threads, ask):
    time.sleep(job)
    return os.getpid()

with Workers(work, 2, 2**30) as workers:
    futures = [workers.submit(seconds) for seconds in (0, 60, 60)]
    futures[0].result()
    pids = [worker.process.pid for worker in workers.workers]
for pid in pids:
    try:
        os.kill(pid, 0)
        print("still there")
    except ProcessLookupError:
        print("gone")
""")
    assert lines == ["gone", "gone"]


def test_they_end_with_a_parent_that_is_killed(tmp_path):
    lines = script(f"""
def work(job, threads, ask):
    open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
    time.sleep(60)

if (pid := os.fork()) == 0:
    workers = Workers(work, 1, 2**30)
    workers.submit(0)
    workers.turn(0)
    time.sleep(60)
while not os.path.exists({str(tmp_path / "pid")!r}) or not os.stat({str(tmp_path / "pid")!r}).st_size:
    time.sleep(0.01)
worker = int(open({str(tmp_path / "pid")!r}).read())
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
for _ in range(500):
    try:
        os.kill(worker, 0)
        with open(f"/proc/{{worker}}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] == "Z":  # nobody has asked for its status yet
                break
    except OSError:
        break
    time.sleep(0.01)
else:
    print("still there")
""")
    assert lines == []


def test_where_threads_are_about_they_are_spawned():
    lines = script("""
import operator
if __name__ == "__main__":
    gate = threading.Event()
    threading.Thread(target=gate.wait, daemon=True).start()
    with Workers(max, 1, 2**30) as workers:
        print(type(workers.workers[0].process).__name__)
    gate.set()
""")
    assert lines == ["SpawnProcess"]
