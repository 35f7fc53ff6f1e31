"""The same jobs on Dask.distributed: workers elsewhere, or processes that are started here. Paths go there, no pixels.

Dask does a job again when the worker that had it is killed, also if the job was done and only its outcome was lost. So
a worker gives no file its name: each result lies complete beside its target under a hidden name, and takes the target's
name here, when its outcome has come. Until then everything is as it was: a file that exists is somebody else's, and an
input that --in-place replaces is still the input. (In an object store, where nothing is half done, a result is written
at once, and once more if need be.)
"""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from imgconv.batch import journal
from imgconv.batch.job import Work
from imgconv.batch.remote import Remote
from imgconv.batch.run import over
from imgconv.batch.targets import Job, content_of, is_skipped
from imgconv.errors import UsageError, WriteError
from imgconv.formats.place import READY, followed, rename, sweep
from imgconv.threads import available_cores

if TYPE_CHECKING:
    from distributed import Future as DaskFuture
    from distributed import LocalCluster, WorkerPlugin

    from imgconv.batch.report import Outcome
    from imgconv.batch.run import Pending

PATIENCE_S = 10  # for a scheduler to answer
RETRIED_S = 0.1  # until a result is asked for again
SETTLED_S = 20  # by which a nanny has seen that its worker is up

_busy = 0  # jobs that this worker has in hand
_counting = threading.Lock()


def run_on(
    address: str,
    jobs: Sequence[Job],
    work: Work,
    *,
    keep_going: bool = True,
    tick: Callable[[Pending], None] = lambda _: None,
) -> Generator[Outcome]:
    """Does the jobs as `run.run` does, on the workers of a cluster; `address` is that of `Cluster`.

    Raises UsageError when a job can be done here only, or as `Cluster` does.
    """
    for job in jobs:
        if not job.problem and job.only_here:
            raise UsageError("--cluster takes files: standard input and output, and memory, are here only")
        if job.each:
            raise UsageError("--cluster makes one result of each input; {frame} in the name makes several")
        if work.targets.in_place and isinstance(job.target, Remote):
            raise UsageError(f"{job.target}: --cluster may do a job twice, which --in-place allows for files only")
    with Cluster(address, work) as workers:
        yield from over(jobs, workers.submit, keep_going, tick)


class _Way(NamedTuple):
    """A job on its way to a worker and back."""

    job: Job
    hidden: Path | None  # where the worker writes, if not to the target
    target: Path | None  # the whole path of a file
    future: Future[Outcome]


class Cluster:
    """Workers on Dask.distributed; a context manager, at whose end those that it has started are gone.

    The address is that of a scheduler, such as tcp://scheduler:8786; or local:N for N processes on this machine.
    Raises UsageError when Dask.distributed is not installed, no scheduler answers, or a worker has another version of
    imgconv.
    """

    def __init__(self, address: str, work: Work) -> None:
        self.address, self.work = address, work
        self.run = os.urandom(8).hex()
        self.sent = 0
        self.folders: set[Path] = set()
        self.suspects: deque[_Way] = deque()
        self.suspected = 0  # of them under way
        with ExitStack() as stack:
            self._start(stack)
            self.stack = stack.pop_all()

    def _start(self, stack: ExitStack) -> None:
        local = re.fullmatch(r"local:0*([1-9]\d{0,3})", self.address, re.ASCII)
        if not local and not re.fullmatch(r"(tcp|tls|wss?)://[^/]+:\d+", self.address, re.ASCII):
            raise UsageError(
                f"--cluster {self.address}: is neither a scheduler, such as tcp://scheduler:8786,"
                " nor local:N for N workers here"
            )
        try:
            from distributed import Client
        except ImportError:
            raise UsageError("--cluster needs Dask.distributed: pip install 'imgconv[cluster]'") from None
        stack.callback(self._clean)
        # what Dask has to say about workers that come and go is not for the terminal
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        where: Any = self.address
        if local:
            where = _started(int(local[1]), stack)
        try:
            self.client = stack.enter_context(Client(where, timeout=PATIENCE_S, set_as_default=False))
        except OSError:
            raise UsageError(f"--cluster {self.address}: no scheduler answers there") from None
        self.version = metadata.version("imgconv")
        for worker, version in self.client.run(metadata.version, "imgconv", on_error="return").items():
            if version != self.version:
                has = f"imgconv {version}" if isinstance(version, str) else "no imgconv"
                raise UsageError(f"--cluster {self.address}: worker {worker} has {has}; here it is {self.version}")
        # whether a job is to be done, and the journal, is for this process
        targets = self.work.targets._replace(overwrite=True, newer=False, skip_existing=False, resume=False, journal="")
        self.client.register_plugin(_carrying(replace(self.work, targets=targets), self.run))
        stack.callback(self._forget)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *problem: Any) -> None:
        self.stack.__exit__(*problem)

    def _clean(self) -> None:
        """Deletes results that have not got their names, and what killed workers were writing."""
        for folder in self.folders:
            sweep(str(folder), self.run)

    def _forget(self) -> None:
        """Takes the work from the workers."""
        if self.client.status == "running":
            with suppress(Exception):
                self.client.unregister_worker_plugin(self.run)

    def submit(self, job: Job) -> Future[Outcome]:
        """A job for any of the workers. Its future raises when it cannot be done by them."""
        future: Future[Outcome] = Future()
        if job.problem or is_skipped(job, self.work.targets):
            future.set_result(self.work(job))
            return future
        target = hidden = None
        if isinstance(job.target, Path):
            target = Path(followed(os.path.join(os.getcwd(), job.target))[0])
            hidden = target.with_name(READY.replace("*", f"{self.run}-{self.sent}"))
            self.folders.add(target.parent)
        self.sent += 1
        self._send(_Way(job, hidden, target, future))
        return future

    def _send(self, way: _Way, *, again: bool = False) -> None:
        job = way.job._replace(source=_absolute(way.job.source), target=way.hidden or way.job.target, begun=None)
        journaled = bool(self.work.targets.journal)
        sent = self.client.submit(filter_file, job, way.target, self.run, self.version, journaled, pure=False)
        sent.add_done_callback(partial(self._take, way, again))
        way.future.add_done_callback(lambda future: sent.cancel() if future.cancelled() else None)

    def _take(self, way: _Way, again: bool, sent: DaskFuture) -> None:
        """Takes in what became of a job, and names its result.

        When workers were killed that had a job, another that they had, too, may have been to blame. So each such job
        gets another turn, in which no other such one is under way.
        """
        from distributed import KilledWorker

        result: tuple[Outcome, str] | Exception
        try:
            result = self._result_of(sent)
        except Exception as problem:
            result = problem
        if isinstance(result, KilledWorker) and not again:
            self.suspects.append(way)
        self.suspected -= again
        if self.suspects and not self.suspected:
            self.suspected += 1
            self._send(self.suspects.popleft(), again=True)
        if (isinstance(result, KilledWorker) and not again) or not way.future.set_running_or_notify_cancel():
            return
        try:
            if isinstance(result, KilledWorker):
                raise RuntimeError("the workers that did it were killed, as the system does when memory is short")
            if isinstance(result, Exception):
                raise result
            way.future.set_result(self._named(way, *result))
        except CancelledError:
            way.future.set_exception(ConnectionError(f"the scheduler at {self.address} has gone"))
        except Exception as problem:
            way.future.set_exception(problem)

    def _result_of(self, sent: DaskFuture) -> tuple[Outcome, str]:
        """What a job came to. A worker that is killed before it has handed that over has it done again by another."""
        while True:
            try:
                return sent.result()  # type: ignore[no-any-return]
            except Exception:
                if sent.status in ("error", "cancelled") or self.client.status != "running":
                    raise
                time.sleep(RETRIED_S)

    def _named(self, way: _Way, outcome: Outcome, content: str) -> Outcome:
        """An outcome as it would be here, with the result under its own name."""
        outcome.job = job = way.job
        if way.hidden is None or not isinstance(job.target, Path):
            return outcome
        if outcome.error is not None:
            folders = way.hidden.parent, job.target.parent
            for theirs, ours in ((way.hidden, job.target), (_absolute(job.source), job.source), folders):
                outcome.error = outcome.error.replace(str(theirs), str(ours))
        if outcome.status == "done":
            targets = self.work.targets
            note = partial(journal.note, source=content, recipe=targets.journal) if content else None
            try:
                rename(way.hidden, job.target, overwrite=targets.replaces_at(job.target), sealed=note)
            except WriteError as problem:
                outcome.status, outcome.error = "failed", str(problem)
        return outcome


def _absolute(source: Path | Remote | None) -> Path | Remote | None:
    return source.absolute() if isinstance(source, Path) else source


def _started(number: int, stack: ExitStack) -> LocalCluster:
    """A scheduler here, and so many worker processes."""
    from dask import config
    from distributed import LocalCluster

    folder = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
    # Dask gives up a worker that happens to be away so long after one of its name was killed, instead of starting it
    patience = {"distributed.deploy.lost-worker-timeout": "1 day"}
    stack.enter_context(config.set({"temporary-directory": folder} | patience))
    with _uninterrupted():
        return stack.enter_context(
            LocalCluster(
                n_workers=number, threads_per_worker=max(1, available_cores() // number), memory_limit=0,
                dashboard_address=None, silence_logs=logging.CRITICAL,
            )
        )  # fmt: skip


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C is for this process alone: those that are started meanwhile, and by threads that are, do not get it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # starting it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _carrying(work: Work, run: str) -> WorkerPlugin:
    """What brings the work to each worker once, also to those that come later."""
    from distributed import WorkerPlugin

    class Carrying(WorkerPlugin):  # type: ignore[misc]
        name = run

        def __init__(self) -> None:
            self.work = work

    return Carrying()


def filter_file(job: Job, replaced: Path | None, run: str, version: str, journaled: bool) -> tuple[Outcome, str]:
    """Does a job on a worker; the jobs that it has in hand share its threads.

    `replaced` is the file that the job's target will be, where it has a name of its own until then. What the journal
    says of the input comes, too.
    """
    from distributed import get_worker

    worker = get_worker()
    if (mine := metadata.version("imgconv")) != version:
        raise RuntimeError(f"worker {worker.address} has imgconv {mine}, not {version}")
    _settle()
    if replaced is not None and job.target is not None and replaced.exists():
        with suppress(OSError):  # what is not for everybody is not before it is complete, either
            os.close(os.open(str(job.target), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    content = content_of(job.source) if journaled and job.source is not None else ""
    with _in_hand() as number:
        outcome: Outcome = worker.plugins[run].work(job, max(1, worker.state.nthreads // number))
    task = worker.state.tasks.get(worker.get_current_task())
    # whoever asked for it has gone when the work has been taken away, and has cleaned up after that
    unwanted = task is None or task.state == "cancelled" or run not in worker.plugins
    if replaced is not None and (outcome.status != "done" or unwanted):
        with suppress(OSError):
            os.unlink(str(job.target))
    return outcome, content


@cache
def _settle() -> None:
    """Waits, once in a process, until its nanny knows that it is up: it starts none again that is killed before."""
    from distributed import get_worker
    from distributed.protocol.pickle import dumps
    from distributed.utils import sync

    worker = get_worker()

    async def known() -> Any:
        return await worker.rpc(worker.nanny).run(function=dumps(_is_up))

    with suppress(Exception):  # a nanny of some other kind
        ends = time.monotonic() + SETTLED_S
        while worker.nanny and time.monotonic() < ends:
            with suppress(OSError):  # a machine under load answers late
                if sync(worker.loop, known)["result"]:
                    return
            time.sleep(0.05)


def _is_up(dask_worker: Any) -> bool:
    """Whether a nanny, given as Dask calls it, has started, and knows that its worker has."""
    process = dask_worker.process
    return process is not None and dask_worker.status.name == process.status.name == "running"


@contextmanager
def _in_hand() -> Iterator[int]:
    """How many jobs this worker has, with the one that is done meanwhile."""
    global _busy
    with _counting:
        _busy += 1
    try:
        yield _busy
    finally:
        with _counting:
            _busy -= 1
