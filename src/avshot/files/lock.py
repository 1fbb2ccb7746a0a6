"""One writer at a time in a folder: a second command waits, or is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = ".lock"  # stays in the folder: removing it would let two commands hold two locks
_CONTENT = "This file keeps two avshot commands from writing here at the same time. Let it lie.\n"


@contextmanager
def sole_writer(folder: str | Path, *, wait: float = -1.0, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `folder` for this process while the block runs; the system lets go of it when the process dies, however.

    Threads and forked processes that ask again wait like strangers. On file systems shared by machines it is as good as
    their `flock` (NFS 4, Lustre and GPFS have one).

    Args:
        folder: An existing local folder.
        wait: Seconds to wait for another holder; negative waits for ever, 0 not at all.
        waiting: Called once when another process holds the folder and this one starts to wait.

    Raises:
        ValueError: Another process still holds the folder after `wait` seconds.
        OSError: The folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(Path(folder) / _NAME, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if wait and waiting is not None:
            waiting()
        try:
            lock.acquire(timeout=wait, poll_interval=0.1)
        except Timeout:
            raise ValueError(
                f"Another avshot command is writing to {folder}; wait until it has finished, or choose another folder."
            ) from None
    try:
        (Path(folder) / _NAME).write_text(_CONTENT, encoding="utf-8")  # for who wonders what it is
        yield
    finally:
        lock.release()
