"""What a worker process of `avshot.features.pool` does. Heavy imports wait until their failure can be told."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avshot.features.describe import Job

_BOUNDLESS = 2.0**60  # bytes


def work(name: str, pipe: connection.Connection) -> None:
    """Body of a worker process. It prints nothing: what goes wrong is told to the parent, or shown by its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which then closes the pipe
    try:
        _serve(name, pipe)
    except MemoryError:
        sys.exit(1)  # while loading; the parent knows what the death of a worker means then
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(1)  # the parent is gone; the recorder has made permanent what it had
    except Exception as error:
        told = str(error) if isinstance(error, OSError) and not error.errno else f"{type(error).__name__}: {error}"
        with suppress(OSError):  # the parent may have left because another worker told it the same
            pipe.send(("failed", told))
        sys.exit(1)


def _serve(name: str, pipe: connection.Connection) -> None:
    job: Job = pickle.loads(pipe.recv_bytes())
    import torch

    from avshot.features.describe import Recorder

    threading.Thread(target=_watch, args=(os.getppid(), job.config.time_limit), daemon=True).start()
    torch.set_num_threads(1)
    job.warm_up()
    _bound_memory(job.config.memory)
    with Recorder(job, name) as recorder:
        pipe.send(("ready",))
        while (item := pipe.recv()) is not None:
            index, clip = item
            outcome = recorder.record(clip)
            if outcome[0] == job.config.out_of_memory:
                recorder.flush()
                pipe.send(("exhausted", index))
                break
            pipe.send(("done", index, *outcome))
    pipe.send(("closed",))


def _bound_memory(limit: float) -> None:
    """Let this process take `limit` bytes more than it has (Linux only); the allocation beyond that fails."""
    try:
        import resource

        stated = Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    except (ImportError, OSError, IndexError):
        return
    if limit < _BOUNDLESS:
        soft = int(stated) * 1024 + int(limit)
        resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def packed(job: Job) -> bytes:
    """A job as it travels to `work`. Raises RuntimeError when an extractor cannot."""
    try:
        return pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise RuntimeError(
            f"Extraction stopped: an extractor cannot travel to worker processes ({error}); define it at the top of a "
            "module, or use workers=1."
        ) from error


def _watch(parent: int, limit: float) -> None:
    """End this process when its parent was killed and the clip in hand, which nobody stops any more, takes too long.

    Otherwise it ends by itself: the next clip that it asks for does not come.
    """
    while os.getppid() == parent:
        time.sleep(1.0)
    time.sleep(limit)
    os._exit(1)
