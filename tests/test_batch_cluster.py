"""Jobs on Dask.distributed: a real scheduler and worker processes on loopback, some of them killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import dask
import distributed
import numpy as np
import psutil
import pytest
from makers import encode_png

import imgconv
from imgconv.batch import cluster, journal
from imgconv.batch.cluster import Cluster
from imgconv.batch.job import Handling, Work
from imgconv.batch.targets import Targets, is_journaled, make_jobs
from imgconv.recipe.recipe import recipe_from
from imgconv.record import dataclass

pytestmark = pytest.mark.filterwarnings("default")  # Dask's own affairs


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A scheduler with two workers, of which two may be killed by the same job."""
    with (
        dask.config.set(
            {
                "distributed.scheduler.allowed-failures": 1,
                "distributed.deploy.lost-worker-timeout": "1 day",
                "temporary-directory": str(tmp_path_factory.mktemp("dask")),
            }
        ),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=None, silence_logs=50, memory_limit=0
        ) as started,
    ):  # fmt: skip
        yield started


@pytest.fixture
def scheduler(started):
    """Its address; workers that an earlier test killed have been started again."""
    started.wait_for_workers(2, timeout=120)
    return started.scheduler_address


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Eight pictures, of which one is broken, in the folder where we are."""
    for n in range(8):
        picture = np.random.default_rng(n).integers(0, 256, (30, 40, 3), np.uint8)
        (tmp_path / f"{n}.png").write_bytes(encode_png(picture))
    (tmp_path / "3.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def work_on(kind=Work, **options):
    targets = Targets(**options)
    recipe = recipe_from("test", "sharpen", {})
    jobs, _ = make_jobs([(f"{n}.png", "") for n in range(8)], recipe.name, targets)
    return jobs, kind(recipe, targets, Handling())


def said(outcomes):
    """What of the outcomes is the same in every run."""
    return [(o.job, o.status, o.error, o.notes, o.shape, o.method, o.clipped) for o in outcomes]


def files(folder):
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != journal.NAME]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def hidden_in(folder):
    return [name for name in os.listdir(folder) if name.startswith(".imgconv-") and name != journal.NAME]


def assert_nothing_hidden(folder):
    """What is under way when it is cancelled, or has been done elsewhere, ends and is deleted."""
    late = time.monotonic() + 20
    while hidden_in(folder) and time.monotonic() < late:
        time.sleep(0.05)
    assert not hidden_in(folder)


def done_by(address, jobs, work):
    with Cluster(address, work) as workers:
        futures = [workers.submit(job) for job in jobs]
        return [future.result(180) for future in futures]


def test_jobs_are_done_as_they_would_be_here(scheduler, folder):
    jobs, work = work_on(out_dir=Path("out/new"), journal="a recipe")
    there = done_by(scheduler, jobs, work)
    assert [is_journaled(job, work.targets) for job in jobs] == [True] * 3 + [False] + [True] * 4
    found = files(folder)
    jobs, work = work_on(out_dir=Path("out/new"), overwrite=True)
    assert said(there) == said(map(work, jobs))
    assert found == files(folder)
    assert {outcome.threads for outcome in there if outcome.status == "done"} <= {1, 2}


@dataclass(frozen=True)
class KilledOnce(Work):
    """The first worker that has done picture 5 is killed before it can tell."""

    def __call__(self, job, *rest, **more):
        outcome = super().__call__(job, *rest, **more)
        if job.source.name == "5.png":
            try:
                job.source.with_name("killed").touch(exist_ok=False)
            except FileExistsError:
                return outcome
            assert job.target.stat().st_size
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome


@pytest.mark.parametrize("where", [{"out_dir": Path("out")}, {"in_place": True}])
def test_what_a_killed_worker_had_is_done_again_and_nothing_twice(scheduler, folder, where):
    jobs, killed = work_on(KilledOnce, **where)
    before = files(folder)
    there = done_by(scheduler, jobs, killed)
    assert (folder / "killed").exists()
    assert [outcome.status for outcome in there] == ["done"] * 3 + ["failed"] + ["done"] * 4
    (folder / "killed").unlink()
    assert_nothing_hidden(folder / where.get("out_dir", "."))
    found = files(folder)
    for name, data in before.items():
        (folder / name).write_bytes(data)
    jobs, again = work_on(**where | ({"overwrite": True} if "out_dir" in where else {}))
    assert said(there) == said(map(again, jobs))
    assert found == files(folder)


@dataclass(frozen=True)
class KilledAlways(Work):
    def __call__(self, job, *rest, **more):
        if job.source.name == "5.png":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(job, *rest, **more)


def test_a_job_that_kills_its_workers_fails_alone(scheduler, folder):
    jobs, work = work_on(KilledAlways, out_dir=Path("out"))
    with Cluster(scheduler, work) as workers:
        futures = [workers.submit(job) for job in jobs]
        with pytest.raises(RuntimeError, match="the workers that did it were killed"):
            futures.pop(5).result(180)
        assert [future.result(180).status for future in futures] == ["done"] * 3 + ["failed"] + ["done"] * 3
    assert_nothing_hidden(folder / "out")
    assert len(os.listdir("out")) == 6


@dataclass(frozen=True)
class WithAStranger(Work):
    """While the job is done, somebody else writes a file of the target's name."""

    def __call__(self, job, *rest, **more):
        (job.target.parent / "2.sharpen.png").write_bytes(b"a stranger's")
        return super().__call__(job, *rest, **more)


def test_a_strangers_file_is_left_alone_and_private_ones_stay_private(scheduler, folder):
    jobs, work = work_on(WithAStranger, output="{stem}.{kernel}{ext}")
    outcome = done_by(scheduler, jobs[2:3], work)[0]
    assert (outcome.status, outcome.error) == ("failed", "2.sharpen.png: exists; --overwrite replaces it")
    assert (folder / "2.sharpen.png").read_bytes() == b"a stranger's"
    (folder / "1.png").chmod(0o600)
    (folder / "link.png").symlink_to("1.png")
    work = work_on(in_place=True)[1]
    outcome = done_by(scheduler, [jobs[1]._replace(source=Path("link.png"), target=Path("link.png"))], work)[0]
    assert outcome.status == "done"
    assert (folder / "link.png").is_symlink()
    assert (folder / "1.png").stat().st_mode & 0o777 == 0o600
    assert_nothing_hidden(folder)


def test_what_exists_is_skipped_and_what_is_cancelled_is_not_written(scheduler, folder):
    jobs, work = work_on(out_dir=Path("out"), skip_existing=True)
    (folder / "out").mkdir()
    (folder / "out" / "0.sharpen.png").write_bytes(b"there")
    with Cluster(scheduler, work) as workers:
        first, *others = [workers.submit(job) for job in jobs]
        assert first.result(180).status == "skipped"
        cancelled = [future for future in others if future.cancel()]
        done = [future for future in others if future not in cancelled]
        assert all(future.result(180).status in ("done", "failed") for future in done)
    assert_nothing_hidden(folder / "out")
    assert len(os.listdir("out")) <= 1 + len(done)
    assert (folder / "out" / "0.sharpen.png").read_bytes() == b"there"


class Version:
    """As metadata.version, but that this process has a version of its own."""

    def __call__(self, name):
        return "99.0"

    def __reduce__(self):
        return getattr, (metadata, "version")


def test_a_worker_of_another_version_is_named(scheduler, monkeypatch):
    monkeypatch.setattr(cluster.metadata, "version", Version())
    words = rf"--cluster {scheduler}: worker tcp://\S+ has imgconv {re.escape(imgconv.__version__)}; here it is 99.0"
    with pytest.raises(imgconv.UsageError, match=words):
        Cluster(scheduler, work_on()[1])


@pytest.mark.parametrize(("address", "words"), [
    ("tcp://127.0.0.1:9", "no scheduler answers there"),
    ("local:0", "is neither a scheduler, such as tcp"),
    ("local:two", "is neither a scheduler, such as tcp"),
    ("127.0.0.1", "is neither a scheduler, such as tcp"),
    ("http://127.0.0.1:80", "is neither a scheduler, such as tcp"),
])  # fmt: skip
def test_an_address_that_is_none_is_said(address, words, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE_S", 0.3)
    with pytest.raises(imgconv.UsageError, match=rf"^--cluster {re.escape(address)}: {words}"):
        Cluster(address, work_on()[1])


def test_without_dask_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(imgconv.UsageError, match=re.escape("pip install 'imgconv[cluster]'")):
        Cluster("local:1", work_on()[1])


def command(*words, **more):
    words = [sys.executable, "-m", "imgconv", "apply", *words]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def test_the_command_prints_the_same_with_workers_of_its_own(folder):
    """Times and threads left aside; and nothing of Dask's."""
    (folder / "tmp").mkdir()
    words = ["-k", "sharpen", "--out-dir", "out", "--overwrite", *(f"{n}.png" for n in range(8))]
    here = command(*words)
    said_here, written = [*here.communicate(timeout=60), here.returncode], files(folder / "out")
    there = command(*words, "--cluster", "local:2", env=os.environ | {"TMPDIR": str(folder / "tmp")})
    said_there = [*there.communicate(timeout=60), there.returncode]
    cut = [[re.sub(r"   read .*", "", str(part)) for part in said] for said in (said_here, said_there)]
    assert cut[0] == cut[1]
    assert said_there[2] == 1
    assert files(folder / "out") == written
    assert not os.listdir(folder / "tmp")


def others(group):
    """The processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.cmdline())
    return found


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_workers_and_leaves_nothing(folder, number, status):
    for n in range(400):
        (folder / f"many{n}.png").write_bytes((folder / "1.png").read_bytes())
    (folder / "tmp").mkdir()
    env = os.environ | {"TMPDIR": str(folder / "tmp")}
    words = ["-k", "gaussian:sigma=20", "--out-dir", "out", *(f"many{n}.png" for n in range(400))]
    run = command(*words, "--cluster", "local:1", env=env, start_new_session=True)
    with run:
        assert "many0.png" in run.stdout.readline()
        os.killpg(run.pid, number)  # as a terminal does
        assert run.stderr.read() in ("imgconv: interrupted\n", "")
    assert run.returncode == status
    assert not hidden_in("out")
    late = time.monotonic() + 20
    while (left := others(run.pid)) and time.monotonic() < late:
        time.sleep(0.05)
    assert not left


@pytest.mark.parametrize(("words", "said"), [
    (["-", "-o", "-", "--format", "png", "--cluster", "local:1"], "standard input and output, and memory, are here"),
    (["1.png", "-j", "2", "--cluster", "local:1"], "--cluster has workers of its own"),
    (["1.png", "--cluster", "elsewhere"], "is neither a scheduler"),
])  # fmt: skip
def test_what_a_cluster_cannot_do_is_said(folder, words, said):
    run = command("-k", "sharpen", *words, stdin=subprocess.DEVNULL)
    assert said in run.communicate(timeout=60)[1]
    assert run.returncode == 2


def test_a_result_that_went_with_its_worker_is_asked_for_again():
    """Dask's own executor forgets a future whose worker dies between the job's end and the result's way back."""

    class Lost:
        status, asked = "finished", 0

        def result(self):
            self.asked += 1
            if self.asked < 3:
                raise OSError("the worker is gone")
            return "outcome", ""

    class Failed(Lost):
        status = "error"

    workers = Cluster.__new__(Cluster)
    workers.client = type("Client", (), {"status": "running"})()
    assert workers._result_of(Lost()) == ("outcome", "")
    with pytest.raises(OSError, match="gone"):
        workers._result_of(Failed())


@pytest.mark.parametrize("taken_away", [False, True])
def test_a_result_for_nobody_is_deleted(folder, monkeypatch, taken_away):
    """Whoever wanted it takes the work away first, and cleans up then: what is complete later the worker deletes."""
    jobs, work = work_on(output="{stem}.hidden.png")
    states = SimpleNamespace(nthreads=1, tasks={"a": SimpleNamespace(state="executing")})
    worker = SimpleNamespace(address="here", nanny=None, state=states, get_current_task=lambda: "a", plugins={})

    class Plugin:
        def work(self, job, threads):
            outcome = work(job, threads)
            if taken_away:
                worker.plugins.clear()
            return outcome

    worker.plugins["run"] = Plugin()
    monkeypatch.setattr("distributed.get_worker", lambda: worker)
    outcome, _ = cluster.filter_file(jobs[0], folder / "named.png", "run", metadata.version("imgconv"), False)
    assert outcome.status == "done"
    assert (folder / "0.hidden.png").exists() != taken_away
