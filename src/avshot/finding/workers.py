"""Workers: recordings scored in several processes, given in order; one that dies takes its own recording with it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from avshot.errors import BadSetting
from avshot.events import Track
from avshot.terminal.callbacks import Progress, unshown
from avshot.types import Clip

Work = Callable[[Clip, Progress], Track]
_AHEAD = 2  # recordings that each process may be ahead of the one that is given


def in_order(work: Work, clips: Sequence[Clip], *, workers: int, progress: Progress) -> Iterator[Track]:
    """What `work` makes of each recording, in order.

    Args:
        work: Makes the track of a recording; raises nothing that a recording is to blame for. It travels to the
            processes, where there are several.
        clips: The recordings.
        workers: Processes, at least 1; 1 works in this one.
        progress: Given to `work` in this process; from others it is told the recordings that are done.

    Raises:
        ValueError: Fewer than one process, or `work` cannot travel.
    """
    if workers < 1:
        raise BadSetting(f"workers is {workers}; expected at least 1.")
    if workers == 1 or len(clips) < 2:
        return (work(clip, progress) for clip in clips)
    try:
        packed = pickle.dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BadSetting(f"The scorer cannot travel to other processes ({error}); use one worker.") from None
    return _in_processes(packed, clips, min(workers, len(clips)), progress)


def _in_processes(packed: bytes, clips: Sequence[Clip], workers: int, progress: Progress) -> Iterator[Track]:
    left, done = deque(clips), 0
    while left:
        with _pool(packed, workers) as pool:
            waiting: deque[Future[Track]] = deque()
            coming = iter(list(left))
            try:
                while left:
                    while len(waiting) < _AHEAD * workers and (clip := next(coming, None)) is not None:
                        waiting.append(pool.submit(_work, clip))
                    track = waiting[0].result()
                    waiting.popleft()
                    done += 1
                    progress(left.popleft().path, done, len(clips), {})
                    yield track
            except BrokenProcessPool:  # any of those that were in hand may be to blame
                waiting.clear()
            finally:
                pool.shutdown(cancel_futures=True)
        if left:
            yield _alone(packed, left.popleft())
            done += 1


def _alone(packed: bytes, clip: Clip) -> Track:
    """The recording that was in hand when a process died, in one of its own."""
    with _pool(packed, 1) as pool:
        try:
            return pool.submit(_work, clip).result()
        except BrokenProcessPool:
            from avshot.finding.track import no_track

            names = pickle.loads(packed).args[0].names
            return no_track(clip.path, names, "the process that read it was killed, or crashed")


def _pool(packed: bytes, workers: int) -> ProcessPoolExecutor:
    spawned = multiprocessing.get_context("spawn")  # torch and FFmpeg do not survive a fork
    return ProcessPoolExecutor(workers, mp_context=spawned, initializer=_begin, initargs=(packed,))


_mine: dict[str, Any] = {}


def _begin(packed: bytes) -> None:
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the pool
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _mine["work"] = pickle.loads(packed)


def _work(clip: Clip) -> Track:
    track: Track = _mine["work"](clip, unshown)
    return track
