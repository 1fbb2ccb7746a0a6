"""Extraction on the machines of a Ray cluster, through Ray Data: the local pool, once for each part of the clips.

Ray only says which machine describes which part. A part goes through `avshot.features.pool.Pool` with one worker, so
everything that makes a local extraction safe holds there too: a file that crashes or never ends is recorded and stops
nothing, and what a killed task had made permanent is kept. All machines must see the files and the store under the same
path or URL.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from avshot.features.describe import Job
from avshot.features.pool import ClipStatus, Pool
from avshot.types import Clip

if TYPE_CHECKING:
    import numpy as np

SMALLEST_PART, LARGEST_PART = 32, 256  # clips: starting a worker takes seconds, and a lost part is described again
_PARTS = 8  # for each worker where there are enough clips, so that none waits long for the slowest
_OBJECT_STORE = 80 << 20  # bytes: features go to the feature store, Ray carries names and outcomes alone


class RayPool:
    """Describes clips in Ray tasks of one core each; see `Pool` for the arguments and `run`.

    Where `RAY_ADDRESS` names a cluster ("auto" finds one on this machine), it is used; else one is started on this
    machine and stopped at the end. `workers` bounds the tasks at a time; None leaves that to Ray.

    Raises:
        ValueError: Ray is not installed.
    """

    def __init__(self, job: Job, clips: Sequence[Clip], *, workers: int | None, settled: Callable[[int], None]) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray.data
        except ImportError:
            raise ValueError('Extraction through Ray needs Ray Data: pip install "avshot[ray]".') from None
        self._ray, self._job, self._clips, self._size, self._settled = ray, job, clips, workers, settled

    def run(self) -> list[ClipStatus]:
        """Work until every clip has an outcome and all are permanent. Raises RuntimeError as `Pool.run` does."""
        if not self._clips:
            return []
        ours = not self._ray.is_initialized()
        if ours:
            self._connect()
        try:
            return self._outcomes()
        finally:
            if ours:
                self._ray.shutdown()

    def _connect(self) -> None:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        if "RAY_ADDRESS" in os.environ:
            self._ray.init(log_to_driver=False, logging_level=logging.ERROR)
            return
        self._ray.init(
            address="local",
            num_cpus=self._size,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )

    def _outcomes(self) -> list[ClipStatus]:
        context = self._ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # there is one of ours
        workers = self._size or int(self._ray.cluster_resources().get("CPU", 1))
        size = max(SMALLEST_PART, min(LARGEST_PART, len(self._clips) // (_PARTS * workers)))
        starts = range(0, len(self._clips), size)
        task = _Task(self._job, self._ray.put(list(self._clips)), size, os.getcwd())
        parts = self._ray.data.from_items([{"start": start} for start in starts], override_num_blocks=len(starts))
        tasks = None if self._size is None else min(self._size, len(starts))
        found = parts.map_batches(task, batch_size=1, num_cpus=1, concurrency=tasks)
        outcomes: dict[int, ClipStatus] = {}
        for row in found.iter_rows():
            if row["index"] < 0:
                raise RuntimeError(row["status"])
            outcomes[int(row["index"])] = (str(row["status"]), bool(row["kept"]))
            self._settled(len(outcomes))
        return [outcomes[i] for i in range(len(self._clips))]


class _Task:
    """What Ray runs on some machine: describe the clips of one part."""

    def __init__(self, job: Job, clips: Any, size: int, folder: str) -> None:
        self._job, self._clips, self._size, self._folder = job, clips, size, folder
        self.__name__ = "describe"  # Ray Data names the step after it

    def __call__(self, part: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        """`{"start": [first clip]}` to the outcomes of its clips; index -1 and why where there can be none."""
        import ray

        os.chdir(self._folder)  # relative paths of clips and store mean what they mean where the extraction was asked
        start = int(part["start"][0])
        clips = ray.get(self._clips)[start : start + self._size]
        try:
            outcomes = Pool(self._job, clips, workers=1, settled=lambda _: None).run()
        except (RuntimeError, OSError, ValueError) as error:  # as data: Ray would bury it in its own
            return {"index": [-1], "status": [str(error)], "kept": [False]}
        return {
            "index": list(range(start, start + len(clips))),
            "status": [status for status, _ in outcomes],
            "kept": [kept for _, kept in outcomes],
        }
