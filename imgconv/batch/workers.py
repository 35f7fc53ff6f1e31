"""Processes that do one job at a time each. When one is killed, the job that it had in hand fails, and no other.

Small jobs go out several at a time. When a process is killed that had such, each of them is done again, by itself.

The thread that waits for a result looks after all of them, so that the parent stays a process of one thread, which may
be forked: a worker costs milliseconds then. (ProcessPoolExecutor has threads of its own, and declares every pending job
broken.) Each worker has what is next at hand while it does something, so that it waits for nobody.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from typing import Any

from imgconv.formats.place import abandon
from imgconv.threads import available_cores

AT_HAND = 2  # messages with jobs that a worker has: one it works on, one that waits
FREE = 4  # a share of the memory that every worker may take without asking, all of them together
MALLOC = {-3: 2**25, -1: 2**27}  # M_MMAP_THRESHOLD, which can be no larger, and M_TRIM_THRESHOLD
PATIENCE_S = 5.0  # for a worker that is to end
HELD = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}  # while they end

# of a list of jobs, threads, and what it calls with the bytes of memory that it is about to take, which waits until
# they are free; gives a list of results
Work = Callable[..., Any]


class Promise:
    """What will become of a job: what `run.over` needs of a `concurrent.futures.Future`.

    Without its locks, which took 20 µs of each job: it belongs to the thread that looks after the workers.
    """

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.state = "waiting"  # then running, done; or cancelled
        self.value: Any = None
        self.problem: Exception | None = None
        self.callbacks: list[Callable[[Promise], None]] = []

    def running(self) -> bool:
        return self.state == "running"

    def done(self) -> bool:
        return self.state in ("done", "cancelled")

    def cancelled(self) -> bool:
        return self.state == "cancelled"

    def cancel(self) -> bool:
        if self.state == "waiting":
            self.state = "cancelled"
        return self.cancelled()

    def exception(self) -> Exception | None:
        return self.problem

    def add_done_callback(self, callback: Callable[[Promise], None]) -> None:
        self.callbacks.append(callback)

    def end(self, value: Any = None, problem: Exception | None = None) -> None:
        """Says what has become of it."""
        self.state, self.value, self.problem = "done", value, problem
        for callback in self.callbacks:
            callback(self)

    def result(self, timeout: float | None = None) -> Any:
        end = None if timeout is None else time.monotonic() + timeout
        while not self.done():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self.workers.turn(left)
        if self.problem is not None:
            raise self.problem
        return self.value


class _Worker:
    """A process, the parent's end of the pipe to it, the jobs it has by message, and the memory it has claimed."""

    def __init__(self, process: Any, connection: Any) -> None:
        self.process, self.connection = process, connection
        self.jobs: deque[list[tuple[Promise, Any]]] = deque()
        self.claim = 0


class Workers:
    """Up to `most` processes that do `work`; a context manager, at whose end they are gone.

    They are forked where that is safe: by a process of one thread, and not on macOS. Jobs and results must be
    picklable; under spawn `work`, too. Raises OSError when the system gives no process.
    """

    def __init__(
        self,
        work: Work,
        most: int,
        memory: int,  # bytes that all jobs may take together; one that needs more is done alone
        # says what part a job is of what a worker is given at once: half, a tenth; each is all of it when not given
        part: Callable[[Any], float] | None = None,
        # is given each job amid which a process had to be killed at the end, for it did not end by itself
        cut: Callable[[Any], None] = lambda job: None,
    ) -> None:
        self.work, self.most, self.cut = work, most, cut
        self.part = part or (lambda job: 1.0)
        self.alone: set[Promise] = set()  # those that were at a worker when it died
        self.free = memory // FREE // most
        self.room = memory - self.free * most
        self.waiting: deque[tuple[Promise, Any]] = deque()
        self.workers: list[_Worker] = []
        self.asking: deque[tuple[_Worker, int]] = deque()
        self.selector = selectors.DefaultSelector()
        self._start()

    def submit(self, job: Any) -> Promise:
        """A job to be done; nothing happens before somebody waits for a result."""
        future = Promise(self)
        self.waiting.append((future, job))
        return future

    def turn(self, timeout: float | None) -> None:
        """Hands out jobs, waits until some worker says something, and takes in what it said."""
        self._hand_out()
        for key, _ in self.selector.select(timeout):
            worker: _Worker = key.data
            try:
                asked, results = worker.connection.recv()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            worker.claim = 0
            if asked:
                self.asking.append((worker, asked))
            else:
                for (future, _), result in zip(worker.jobs.popleft(), results, strict=True):
                    future.end(result)
        self._grant()

    def _hand_out(self) -> None:
        self._give(0)
        while self.waiting and len(self.workers) < self.most:
            try:
                self._start()
            except OSError:
                if not self.workers:
                    raise
                break
            self._give(0)  # it works while the next one is started
        for have in range(1, AT_HAND):
            self._give(have)

    def _give(self, have: int) -> None:
        """Jobs for the workers that have so many messages."""
        for worker in self.workers if have == 0 or len(self.waiting) > len(self.workers) else ():
            if len(worker.jobs) == have and (pairs := self._next()):
                worker.jobs.append(pairs)
                busy = sum(bool(worker.jobs) for worker in self.workers)
                threads = max(1, available_cores() // min(self.most, busy + len(self.waiting)))
                with suppress(OSError):  # it has died, which shows when it is listened to
                    worker.connection.send(([job for _, job in pairs], threads))

    def _next(self) -> list[tuple[Promise, Any]]:
        """What a worker is given next: no more than leaves something for all the others."""
        pairs: list[tuple[Promise, Any]] = []
        most, room = len(self.waiting) // (AT_HAND * self.most) + 1, 1.0
        while self.waiting and len(pairs) < most and room > 0:
            future, job = self.waiting[0]
            room -= 1.0 if future in self.alone else self.part(job)
            if pairs and room < 0:
                break
            self.waiting.popleft()
            if not future.cancelled():
                future.state = "running"
                pairs.append((future, job))
        return pairs

    def _grant(self) -> None:
        """Memory for those that ask, in turn: whoever is alone gets what he wants."""
        while self.asking:
            worker, size = self.asking[0]
            claimed = sum(worker.claim for worker in self.workers)
            if claimed and claimed + size > self.room:
                return
            self.asking.popleft()
            worker.claim = size
            with suppress(OSError):
                worker.connection.send(None)

    def _start(self) -> None:
        forked = sys.platform not in ("win32", "darwin") and threading.active_count() == 1
        context: Any = get_context("fork" if forked else "spawn")
        ours, theirs = context.Pipe()
        # of those that a fork would inherit, which would keep the others from seeing that the parent has gone
        others = [ours, *(worker.connection for worker in self.workers)] if forked else []
        arguments = (theirs, others, self.work, self.free, os.getpid())
        process = context.Process(target=_serve, args=arguments, daemon=True)
        try:
            process.start()
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        worker = _Worker(process, ours)
        self.workers.append(worker)
        self.selector.register(ours, selectors.EVENT_READ, worker)

    def _bury(self, worker: _Worker) -> None:
        """A worker that has died: its job fails, or is tried alone if it had several; the rest is for the others."""
        self.workers.remove(worker)
        self.asking = deque((asking, size) for asking, size in self.asking if asking is not worker)
        self.selector.unregister(worker.connection)
        worker.connection.close()
        worker.process.join()
        if worker.jobs and len(worker.jobs[0]) == 1:
            worker.jobs.popleft()[0][0].end(problem=Died(worker.process.exitcode))
        elif worker.jobs:
            self.alone.update(future for future, _ in worker.jobs[0])
        self.waiting.extendleft(pair for pairs in reversed(worker.jobs) for pair in reversed(pairs))

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *problem: object) -> None:
        """Ends all of them: idle ones see that nobody talks to them any more, the others are told.

        Signals wait meanwhile, or a second Ctrl-C would leave some of them behind.
        """
        held = signal.pthread_sigmask(signal.SIG_BLOCK, HELD) if hasattr(signal, "pthread_sigmask") else None
        try:
            self._end()
        finally:
            if held is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def _end(self) -> None:
        for worker in self.workers:
            if worker.jobs:
                worker.process.terminate()
            worker.connection.close()
        for worker in self.workers:
            worker.process.join(PATIENCE_S)
            if worker.process.exitcode is None:  # it waits for the disk, or is amid a long sum
                worker.process.kill()
                worker.process.join()
                for _, job in worker.jobs[0] if worker.jobs else ():
                    self.cut(job)
        self.selector.close()


class Died(Exception):
    """A worker ended amid its job: killed by a signal, or by itself."""

    def __init__(self, status: int) -> None:
        killed = "" if status >= 0 else signal.Signals(-status).name
        why = ", as the system does when memory is short" if killed == "SIGKILL" else ""
        super().__init__(f"its process was killed by {killed}{why}" if killed else f"its process ended with {status}")


def _serve(connection: Any, others: list[Any], work: Work, free: int, parent: int) -> None:
    """What a worker does until the parent closes the pipe, or ends."""
    for other in others:
        other.close()
    for number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):  # which a terminal sends to all
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, _leave)
    _end_with(parent)
    _keep_freed_memory()
    queued: deque[tuple[list[Any], int]] = deque()

    def ask(size: int) -> None:
        if size > free:
            connection.send((size, None))
            while (message := connection.recv()) is not None:
                queued.append(message)

    with suppress(EOFError, OSError):
        while True:
            jobs, threads = queued.popleft() if queued else connection.recv()
            connection.send((0, work(jobs, threads, ask)))
    os._exit(0)


def _keep_freed_memory() -> None:
    """Has the C library keep blocks that are freed, for the next picture.

    The system clears each page that it gives: for pictures of 2 megapixels that takes a sixth of a job's CPU time.
    """
    import ctypes

    with suppress(AttributeError, OSError):  # only glibc has it
        library = ctypes.CDLL(None)
        for parameter, size in MALLOC.items():
            library.mallopt(parameter, size)


def _leave(number: int, frame: object) -> None:
    abandon()
    os._exit(128 + number)


def _end_with(parent: int) -> None:
    """On Linux: a SIGTERM when the parent ends, even if that was killed."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(0)
