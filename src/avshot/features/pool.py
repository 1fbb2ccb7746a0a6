"""Worker processes that survive what files do to them: crashes, endless decoding, exhausted memory.

The standard pools stop when a worker dies. Here each worker holds one clip at a time and its own store writer, so that
the parent knows which clip a dead worker had in hand and which of its clips were not yet permanent.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection, resource_tracker
from types import ModuleType
from typing import TYPE_CHECKING, Any

from avshot.features.store.standing import ClipStatus
from avshot.features.worker import packed, work

if TYPE_CHECKING:
    from avshot.features.describe import Job
    from avshot.types import Clip

_ATTEMPTS = 2  # a clip whose worker died gets one more: the cause may lie elsewhere (memory taken by a neighbour)
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class _Worker:
    process: Any
    pipe: connection.Connection
    ready: bool = False
    clip: int | None = None  # in hand
    deadline: float = float("inf")
    pending: list[int] = field(default_factory=list)  # described, not yet permanent


class Pool:
    """Describes clips in worker processes.

    Args:
        job: What to extract.
        clips: The clips.
        workers: Number of processes.
        settled: Called with the number of clips that have an outcome, after each.
    """

    def __init__(self, job: Job, clips: Sequence[Clip], *, workers: int, settled: Callable[[int], None]) -> None:
        self._job, self._clips, self._size, self._settled = job, clips, workers, settled
        self._queue = deque(range(len(clips)))
        self._attempts: Counter[int] = Counter()
        self._outcomes: dict[int, ClipStatus] = {}
        self._workers: list[_Worker] = []
        self._run, self._started, self._deaths = secrets.token_hex(4), 0, 0
        self._writer = job.writer(f"{self._run}-parent")
        self._packed = packed(job)

    def run(self) -> list[ClipStatus]:
        """Work until every clip has an outcome and all are permanent.

        Raises:
            RuntimeError: The workers cannot start, cannot load an extractor or cannot write.
            OSError: This process cannot write to the store.
        """
        try:
            while self._queue or self._workers:
                while self._queue and len(self._workers) < min(self._size, len(self._queue) + self._busy()):
                    self._start()
                self._listen()
        finally:
            self._stop()
        return [self._outcomes[i] for i in range(len(self._clips))]

    def _busy(self) -> int:
        return sum(worker.clip is not None for worker in self._workers)

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")  # fork would copy torch's threads in an unusable state
        ours, theirs = spawn.Pipe()
        name = f"{self._run}-{self._started}"
        self._started += 1
        process = spawn.Process(target=work, args=(name, theirs), daemon=True)
        try:
            with _child_environment(self._job), _without_interrupt():
                process.start()
        except OSError as error:
            ours.close()
            raise RuntimeError(
                f"Extraction stopped: a worker process cannot start ({error.strerror or error}); use fewer workers."
            ) from error
        finally:
            theirs.close()  # so that the pipe ends when the child does
        with suppress(BrokenPipeError, ConnectionResetError):  # dead already, which is noticed when it is listened to
            ours.send_bytes(self._packed)
        self._workers.append(_Worker(process, ours))

    def _listen(self) -> None:
        nearest = min(worker.deadline for worker in self._workers)
        timeout = None if nearest == float("inf") else max(nearest - time.monotonic(), 0.0)
        heard = set(connection.wait([worker.pipe for worker in self._workers], timeout))
        for worker in list(self._workers):
            if worker.pipe in heard:
                self._hear(worker)
            elif time.monotonic() > worker.deadline:
                worker.process.kill()
                self._bury(worker, f"error: not described within {self._job.config.time_limit:g} seconds")

    def _hear(self, worker: _Worker) -> None:
        try:
            kind, *content = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker, None)
            return
        if kind == "failed":
            raise RuntimeError(f"Extraction stopped: {content[0]}")
        if kind == "closed":
            worker.process.join()
            worker.pipe.close()
            self._workers.remove(worker)
            return
        if kind == "exhausted":  # it has written what it had, and leaves: what it took for the clip may not come back
            worker.pending, worker.clip, worker.deadline = [], None, float("inf")
            self._fail_or_retry(content[0], self._job.config.out_of_memory)
            return
        if kind == "done":
            index, status, kept, permanent = content
            worker.pending = [] if permanent else [*worker.pending, index]
            self._settle(index, (status, kept))
        worker.ready = True
        self._hand_out(worker)

    def _hand_out(self, worker: _Worker) -> None:
        worker.clip, worker.deadline = None, float("inf")
        if self._queue:
            worker.clip = self._queue.popleft()
            worker.deadline = time.monotonic() + self._job.config.time_limit
        message = None if worker.clip is None else (worker.clip, self._clips[worker.clip])
        try:
            worker.pipe.send(message)
        except OSError:
            self._bury(worker, None)

    def _settle(self, index: int, outcome: ClipStatus) -> None:
        self._outcomes[index] = outcome
        self._deaths = 0
        self._settled(len(self._outcomes))

    def _bury(self, worker: _Worker, status: str | None) -> None:
        """A worker is gone: its unconfirmed clips go back, the clip in hand fails or is tried once more."""
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        self._queue.extendleft(worker.pending)
        code = worker.process.exitcode
        self._deaths += 1
        hopeless = not self._outcomes and not worker.ready  # later, one that dies while starting may only lack memory
        if hopeless or self._deaths > 2 * self._size + 2:
            when = "while loading the extractors" if hopeless else "one after the other"
            raise RuntimeError(
                f"Extraction stopped: worker processes die {when} (exit code {code}); use fewer workers if memory is "
                "short, or workers=1 to see the error."
            )
        if worker.clip is None:
            return
        if status is not None:
            self._attempts[worker.clip] = _ATTEMPTS
        self._fail_or_retry(
            worker.clip, status or f"error: the worker process died {_ATTEMPTS} times on this clip (exit code {code})"
        )

    def _fail_or_retry(self, index: int, status: str) -> None:
        """Put a clip back into the queue, or record that it failed when it had its attempts."""
        from avshot.features.store.origin import origin_of

        self._attempts[index] += 1
        if self._attempts[index] < _ATTEMPTS:
            self._queue.appendleft(index)
            return
        clip = self._clips[index]
        # What the file does when it is read is not known, so its content is not; another time will count as a change.
        self._writer.add(clip.id, status=status, source=clip.path, origin=origin_of(clip, digest=False))
        self._writer.flush()
        self._settle(index, (status, False))

    def _stop(self) -> None:
        """Close the pipes: workers finish the clip in hand, write what they have and leave."""
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(10)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """A process started inside never sees Ctrl-C, from its first moment on; this one sees it when the block ends."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # else it starts inside, and lets the signal through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _child_environment(job: Job) -> Iterator[None]:
    """While a worker starts: one thread per maths library, and no import of the user's main script.

    A spawned process imports the parent's `__main__` again. A three-line script without the `if __name__ == "__main__"`
    guard would then start itself anew in every worker; nothing of it is needed unless it defines an extractor.
    """
    main, saved = sys.modules["__main__"], {key: os.environ.get(key) for key in _THREAD_SETTINGS}
    own = any(type(extractor).__module__ == "__main__" for extractor in (job.audio, job.visual))
    os.environ.update(dict.fromkeys(_THREAD_SETTINGS, "1"))
    if not own:
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for key, value in saved.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
