"""Extract features of many clips into a store: in parallel, resumable, and never stopped by a bad file."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from avshot.features.describe import ExtractConfig, Job, Recorder
from avshot.features.extractor import Extractor, create_extractor
from avshot.features.pool import Outcome, Pool
from avshot.features.store import FeatureStore
from avshot.types import Clip

__all__ = ["ExtractConfig", "Extraction", "extract"]

RUNNERS = ("local", "ray")
Failure = tuple[str, str, str]


@dataclass(frozen=True)
class Extraction:
    """What became of the clips: `done + kept + len(failed)` is their number.

    Attributes:
        done: Clips whose features this call added to the store.
        kept: Clips whose features were there before.
        failed: Clips without features, `(id, path, status)`, those that failed in an earlier call included.
        partial: Clips with features of which something is missing, `(id, path, status)`: status "no_audio",
            "no_visual", "silent", "black" or "truncated".
    """

    done: int
    kept: int
    failed: tuple[Failure, ...]
    partial: tuple[Failure, ...] = ()


def extract(
    clips: Sequence[Clip],
    store: str,
    *,
    audio: str | Extractor | None = "logmel",
    visual: str | Extractor | None = "pixels",
    workers: int | None = None,
    runner: str = "local",
    progress: Callable[[int, int], None] | None = None,
    retry_failed: bool = False,
    config: ExtractConfig | None = None,
) -> Extraction:
    """Describe clips and put their features into a store.

    Clips that the store already has are skipped, so the same call resumes an interrupted one. After `kill -9` the work
    of the last `config.flush_seconds` of each worker is repeated at most (early in a run: of the last two seconds or
    twentieth of the time spent), and nothing is corrupt. Clips in damaged or missing shards are described again.
    Several machines may fill one store with disjoint parts of the clips.

    Args:
        clips: Clips with unique ids.
        store: Folder or fsspec URL; made when it does not exist.
        audio: Extractor or its spec text, or None to leave sound out.
        visual: Extractor or its spec text, or None to leave pictures out.
        workers: Processes; None = one per core this process may use. 1 works in this process, without protection
            against files that crash or never end.
        runner: "local", or "ray" for the machines of a Ray cluster (`avshot.features.ray_pool`), where `workers` bounds
            the tasks at a time.
        progress: Called as `progress(clips with an outcome, all clips)`, in this process.
        retry_failed: Try clips again that failed in an earlier call.
        config: Settings that do not change the features; None = the defaults.

    Returns:
        Counts and the table of failures; a bad file is in it and stops nothing.

    Raises:
        ValueError: Repeated ids, unknown extractor or runner, Ray is asked for but not installed, or a store made with
            other extractors or settings.
        RuntimeError: An extractor does not work at all (for example weights that cannot be loaded), or the store
            cannot be written.
    """
    twice = sorted(id for id, count in Counter(clip.id for clip in clips).items() if count > 1)
    if twice:
        raise ValueError(f"Clip ids must be unique; {len(twice)} repeat, for example {twice[0]!r}: rename them.")
    if runner not in RUNNERS:
        raise ValueError(f"runner is {runner!r}; expected one of {', '.join(RUNNERS)}.")
    config = ExtractConfig() if config is None else config
    job = Job(_extractor(audio), _extractor(visual), str(store), config)
    job.writer("check")  # refuses a store with other features before any work
    before = _outcomes(job.store)
    known = {clip.id: before[clip.id] for clip in clips if clip.id in before}
    if retry_failed:
        known = {id: outcome for id, outcome in known.items() if outcome[1]}
    todo = [clip for clip in clips if clip.id not in known]

    def settled(count: int) -> None:
        if progress is not None:
            progress(len(known) + count, len(clips))

    settled(0)
    size = _workers(workers, job.store, runner)
    if runner == "ray":
        from avshot.features.ray_pool import RayPool

        outcomes = RayPool(job, todo, workers=size, settled=settled).run()
    elif size is None:
        outcomes = _in_process(job, todo, settled)
    else:
        outcomes = Pool(job, todo, workers=size, settled=settled).run()
    return _table(clips, known, {clip.id: outcome for clip, outcome in zip(todo, outcomes, strict=True)})


def _extractor(choice: str | Extractor | None) -> Extractor | None:
    return create_extractor(choice) if isinstance(choice, str) else choice


def _outcomes(root: str) -> dict[str, Outcome]:
    """Outcome of every clip in the store whose features can be read or that has none."""
    store = FeatureStore(root)
    lost = {id for ids in store.damaged().values() for id in ids}
    featured = set(store.ids)
    return {id: (status, id in featured) for id, status in store.status.items() if id not in lost}


def _workers(workers: int | None, root: str, runner: str) -> int | None:
    """Number of processes, None for this one; of Ray tasks, None for as many as Ray likes."""
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; expected at least 1, or None for one per core.")
    if root.startswith("memory:"):
        if (workers is not None and workers > 1) or runner == "ray":
            raise ValueError(f"{root} lives in this process alone; pass workers=1, or another store.")
        return None
    if runner == "ray":
        return workers
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return None if workers == 1 else workers


def _in_process(job: Job, clips: Sequence[Clip], settled: Callable[[int], None]) -> list[Outcome]:
    if not clips:
        return []
    try:
        job.warm_up()
    except Exception as error:
        raise RuntimeError(f"Extraction stopped: {type(error).__name__}: {error}") from error
    outcomes: list[Outcome] = []
    with Recorder(job, f"{secrets.token_hex(4)}-0") as recorder:
        for clip in clips:
            status, kept, _ = recorder.record(clip)
            outcomes.append((status, kept))
            settled(len(outcomes))
    return outcomes


def _table(clips: Sequence[Clip], known: dict[str, Outcome], new: dict[str, Outcome]) -> Extraction:
    outcomes = {**known, **new}
    rows = [(clip.id, clip.path, *outcomes[clip.id]) for clip in clips]
    return Extraction(
        done=sum(kept for _, kept in new.values()),
        kept=sum(kept for _, kept in known.values()),
        failed=tuple((id, path, status) for id, path, status, kept in rows if not kept),
        partial=tuple((id, path, status) for id, path, status, kept in rows if kept and status != "ok"),
    )
