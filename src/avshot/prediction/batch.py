"""Many videos one after the other: described in several threads, answered in the order in which they were given."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from avshot.errors import BadMedia, BadSetting
from avshot.machine.cores import cores
from avshot.prediction.upload import Video, name_of

AHEAD = 2  # videos that each thread may be ahead of the one that is answered

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Failed:
    """A video that could not be answered.

    Attributes:
        video: What `Prediction.video` would say.
        error: Why; an `AvshotError` for a bad file, an OSError or MemoryError of this machine.
    """

    video: str
    error: ValueError | OSError | MemoryError


def answers(
    predict: Callable[[Video], Answer], videos: Iterable[Video], *, workers: int | None = None
) -> Iterator[Answer | Failed]:
    """Answer each video, in order; a bad one is a `Failed` in its place and does not stop the others.

    Threads, not processes: decoding and arithmetic let go of the interpreter's lock, and weights are there once. Videos
    are taken from `videos` as they are needed, so that it may be a generator without end.

    Args:
        predict: Answers one video; raises ValueError or OSError for a bad one. Anything else that it raises is a bug
            and ends the iteration.
        videos: The videos; none give no answers.
        workers: Threads, at least 1; None for one per core.

    Raises:
        ValueError: At once, for a single video in place of several, or a number of workers below 1.
    """
    if workers is not None and workers < 1:
        raise BadSetting(f"workers is {workers}; expected at least 1, or None for one per core.")
    if isinstance(videos, str | bytes | bytearray | memoryview) or hasattr(videos, "read"):
        raise BadMedia(f"Got one video ({type(videos).__name__}) in place of several; pass a list, or call predict.")
    if not isinstance(videos, Iterable):
        raise BadMedia(f"Got {videos!r} as the videos; pass a list of paths.")
    return _in_order(predict, iter(videos), cores() if workers is None else workers)


def _in_order(predict: Callable[[Video], Answer], videos: Iterator[Video], workers: int) -> Iterator[Answer | Failed]:
    waiting: deque[Future[Answer | Failed]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="avshot")
    try:
        for video in videos:
            waiting.append(pool.submit(_answer, predict, video))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also where the caller stops early, or is interrupted
        pool.shutdown(cancel_futures=True)


def _answer(predict: Callable[[Any], Answer], video: Any) -> Answer | Failed:
    try:
        return predict(video)
    except (ValueError, OSError, MemoryError) as error:
        _log.info("a video cannot be answered: %s", error)
        return Failed(name_of(video), error)
