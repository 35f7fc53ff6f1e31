"""Worker processes: forked in a process of their own, for pytest has threads."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from makers import leftovers, noise, saved
from PIL import Image, ImageFilter

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="workers are spawned there")

START = """
import os, signal, sys, threading, time
from imgconv.batch import workers as module

def Workers(work, most, memory, part=None):
    return module.Workers(lambda jobs, *given: [work(job, *given) for job in jobs], most, memory, part)

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


def test_of_small_jobs_that_go_out_together_only_the_one_fails_that_kills_its_process():
    lines = script("""
def work(jobs, threads, ask):
    if 17 in jobs:
        os.kill(os.getpid(), signal.SIGKILL)
    return [(job, len(jobs)) for job in jobs]

with module.Workers(work, 2, 2**30, part=lambda job: 1 if job == 30 else 0.15) as workers:
    told(workers, range(60))
""")
    results = [eval(line) if number != 17 else line for number, line in enumerate(lines)]
    assert results.pop(17) == "its process was killed by SIGKILL, as the system does when memory is short"
    assert [job for job, _ in results] == [number for number in range(60) if number != 17]
    together = dict(results)
    assert together[0] == 6  # with whom it fills what a worker is given
    assert together[30] == together[16] == together[59] == 1  # large; was with 17; the last are shared out


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
    for _, moment, _ in spans:
        together = [size for size, begun, ended in spans if begun <= moment < ended and size > 62]
        assert sum(together) <= 750 or together == [5000]


def test_the_cores_are_shared_by_those_that_have_work():
    lines = script("""
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do as they like")
def test_memory_that_a_job_has_freed_is_the_next_ones():
    (faults,) = script("""
import resource

def work(job, threads, ask):
    for _ in range(20):
        bytearray(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

with Workers(work, 1, 2**30) as workers:
    first, second = [workers.submit(n) for n in range(2)]
    print(second.result() - first.result())
""")
    assert int(faults) < 20 * 2**23 / 4096 / 4


def test_where_threads_are_about_they_are_spawned():
    lines = script("""
import operator
if __name__ == "__main__":
    gate = threading.Event()
    threading.Thread(target=gate.wait, daemon=True).start()
    with module.Workers(max, 1, 2**30) as workers:
        print(type(workers.workers[0].process).__name__)
    gate.set()
""")
    assert lines == ["SpawnProcess"]


# the whole command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with pictures in `in`, to be worked in."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("in")
    for number in range(24):
        Path(f"in/{number:02}.png").write_bytes(saved(Image.fromarray(noise(300, 300, 3)), "PNG", compress_level=0))
    return tmp_path


SLOW = """
import os, sys, time
from imgconv.formats import place
real = place.os.fsync
place.os.fsync = lambda descriptor: time.sleep({seconds}) or real(descriptor)
place._library = lambda: None  # each is waited for
sys.argv[0] = "imgconv"
from imgconv.__main__ import main
main()
"""


def command(*words: str, slow: float | None = None) -> list[str]:
    start = ["-m", "imgconv"] if slow is None else ["-c", SLOW.format(seconds=slow)]
    return [sys.executable, *start, "apply", "-r", "in", "-k", "blur", "--out-dir", "out", "-j", "3", *words]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def are_gone(pids: list[int]) -> bool:
    for _ in range(500):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc")
def test_a_file_fails_whose_process_is_killed_and_the_rest_goes_on(folder):
    with subprocess.Popen(
        command("--json", slow=0.1), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        first = run.stdout.readline()
        os.kill(children(run.pid)[0], signal.SIGKILL)
        out, err = run.stdout.read(), run.stderr.read()
    assert run.returncode == 1
    lines = (first + out).splitlines()
    assert len(lines) == 24
    assert sum('"status": "done"' in line for line in lines) == 23
    (line,) = err.splitlines()
    assert line.startswith("imgconv: in/")
    assert line.endswith(": its process was killed by SIGKILL, as the system does when memory is short")
    assert len(leftovers(Path("out"))) == 0
    assert len(list(Path("out").glob("*.png"))) == 23


@pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc")
def test_small_files_whose_process_is_killed_are_done_again(folder):
    shutil.rmtree("in")
    os.mkdir("in")
    for number in range(60):
        Path(f"in/{number:02}.png").write_bytes(saved(Image.fromarray(noise(8, 8, 3, seed=number)), "PNG"))
    with subprocess.Popen(command(slow=0.02), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        lines = [run.stdout.readline()]
        os.kill(children(run.pid)[0], signal.SIGKILL)
        lines += run.stdout.readlines()
        assert run.stderr.read() == ""
    assert run.returncode == 0
    assert [line.split()[0].rstrip(":") for line in lines] == [f"in/{number:02}.png" for number in range(60)]
    assert leftovers(Path("out")) == []
    for number in range(60):
        with Image.open(f"in/{number:02}.png") as source, Image.open(f"out/{number:02}.blur.png") as result:
            assert result.tobytes() == source.filter(ImageFilter.BLUR).tobytes()


def test_results_of_small_files_wait_for_the_disk_together(folder):
    counted = START.replace("told", "_") + (
        "from imgconv.batch import job\n"
        "real = job.sync\n"
        "def sync(files):\n"
        "    files = list(files)\n"
        "    open('waiting', 'a').write(f'{len(files)}\\n')\n"
        "    real(files)\n"
        "job.sync = sync\n"
        "sys.argv[0] = 'imgconv'\n"
        "from imgconv.__main__ import main\n"
        "main()"
    )
    small = noise(8, 8, 3)
    for number in range(60):
        Path(f"in/s{number:02}.png").write_bytes(saved(Image.fromarray(small), "PNG"))
    subprocess.run([sys.executable, "-c", counted, *command("--include", "s*")[3:]], check=True, capture_output=True)
    assert max(map(int, Path("waiting").read_text().split())) > 3


@pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("send", [os.kill, os.killpg])  # as a terminal does, to all of them
def test_a_signal_ends_all_processes_and_leaves_nothing(folder, number, status, send):
    started = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen(command(slow=0.1), **started) as run:
        run.stdout.readline()
        pids = children(run.pid)
        assert len(pids) == 3
        send(run.pid, number)
        run.communicate(timeout=60)
    assert run.returncode == status
    assert are_gone(pids)
    assert leftovers(Path("out")) == []


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGTERM, signal.SIGINT]])
def test_what_waits_for_the_disk_too_long_is_killed_and_leaves_nothing(folder, signals):
    """The disk lets nobody go: then neither do Python's handlers run, which would delete what was begun."""
    stuck = (
        "import os, signal, sys, time\n"
        "from imgconv.batch import workers\n"
        "from imgconv.formats import place\n"
        "workers.PATIENCE_S = 0.3\n"
        "place.NAMELESS = 0\n"  # where files have names from the start
        "place.os.fsync = lambda descriptor: signal.pthread_sigmask(0, {15}) and None or time.sleep(60)\n"
        "sys.argv[0] = 'imgconv'\n"
        "from imgconv.__main__ import main\n"
        "main()"
    )
    with subprocess.Popen([sys.executable, "-c", stuck, *command("--co", "compress_level=0")[3:]]) as run:
        while not Path("out").exists() or len(leftovers(Path("out"))) < 3:
            assert run.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        pids = children(run.pid)
        for number in signals:
            run.send_signal(number)
            time.sleep(0.05)
        run.wait(60)
    assert run.returncode in (130, 143)
    assert are_gone(pids)
    assert leftovers(Path("out")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc")
def test_no_process_outlives_a_command_that_is_killed(folder):
    with subprocess.Popen(command(slow=0.1), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.readline()
        pids = children(run.pid)
        run.kill()
        run.communicate(timeout=60)
    assert are_gone(pids)
    assert leftovers(Path("out")) == []


def test_a_reader_who_leaves_ends_it(folder):
    with subprocess.Popen(command(slow=0.1), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == b""
        assert run.wait(60) == 1
    assert leftovers(Path("out")) == []
    assert len(list(Path("out").glob("*.png"))) < 24


def test_an_input_that_vanishes_fails_alone(folder):
    with subprocess.Popen(command(slow=0.05), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.readline()
        os.unlink("in/23.png")
        out, err = run.stdout.read(), run.stderr.read()
    assert run.returncode == 1
    assert err.splitlines()[0] == "imgconv: in/23.png: no such file or directory"
    assert len(out.splitlines()) == 22


def test_after_a_failure_with_fail_fast_no_file_is_begun(folder):
    Path("in/02.png").write_bytes(b"\x89PNG broken")
    done = subprocess.run(command("--fail-fast", slow=0.05), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    written = len(list(Path("out").glob("*.png")))
    assert len(done.stdout.splitlines()) == written < 20  # what had begun is finished, and told


def test_without_processes_to_be_had_this_one_does_the_work(folder):
    none = (
        "import os, sys\n"
        "def fork():\n"
        "    raise BlockingIOError(11, 'Resource temporarily unavailable')\n"
        "os.fork = fork\n"
        "sys.argv[0] = 'imgconv'\n"
        "from imgconv.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", none, *command()[3:]], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 24)
