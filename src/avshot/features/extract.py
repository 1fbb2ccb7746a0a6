"""Extract features of many clips into a store: in parallel, resumable, and never stopped by a bad file."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from avshot.errors import BadSetting
from avshot.features.describe import ExtractConfig, Job, Recorder
from avshot.features.extractor import Extractor, create_extractor
from avshot.features.pool import ClipStatus, Pool
from avshot.features.store.manifest import mend, read_about, read_manifest
from avshot.features.store.place import Place
from avshot.features.store.shard import shard_file
from avshot.features.store.standing import Standing, standing
from avshot.files.lock import sole_writer
from avshot.machine.cores import cores
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
            "no_visual", "silent", "black", "truncated" or what else an extractor says of a clip that is not "ok".
        again: Clips that the store had and that were described again, `(id, path, why)`: their file changed, they are
            another span of it, their features were damaged, or (`retry_failed`) they failed before.
        untried: Ids of those of `failed` that failed before, and were not tried again because their file is the same.
        unknown: Ids of clips counted in `kept` though the store cannot tell from which file and span their features
            are: those of avshot 0.1, and those added by other programs.
        notes: What was mended in the store.
    """

    done: int
    kept: int
    failed: tuple[Failure, ...]
    partial: tuple[Failure, ...] = ()
    again: tuple[Failure, ...] = ()
    untried: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


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
    alone: bool = True,
    waiting: Callable[[], None] | None = None,
    config: ExtractConfig | None = None,
) -> Extraction:
    """Describe clips and put their features into a store.

    Clips that the store already has are skipped where their file and their span are those of today, so the same call
    resumes an interrupted one. A file counts as the same when its content is: copied and touched files are, replaced
    and repaired ones are not; what failed is tried again when its file has changed or was not there. After `kill -9`
    the work of the last `config.flush_seconds` of each worker is repeated at most (early in a run: of the last two
    seconds or twentieth of the time spent), and nothing is corrupt. Clips whose stored features are damaged are
    described again.

    Args:
        clips: Clips with unique ids.
        store: Folder or fsspec URL; made when it does not exist.
        audio: Extractor or its spec text, or None to leave sound out.
        visual: Extractor or its spec text, or None to leave pictures out.
        workers: Processes; None = one per core this process may use. 1 works in this process, without protection
            against files that crash, never end or take all memory.
        runner: "local", or "ray" for the machines of a Ray cluster (`avshot.features.ray_pool`), where `workers` bounds
            the tasks at a time.
        progress: Called as `progress(clips with an outcome, all clips)`, in this process.
        retry_failed: Describe again also clips that failed in an earlier call and whose file is the same, and clips of
            which the store does not know the file.
        alone: Nobody else may write to a store on disk meanwhile: a second extraction waits, and then finds the clips
            there. False lets several machines fill one store with disjoint parts of the clips; leftovers of killed
            writers and damaged lines then stay.
        waiting: Called once when another extraction has the store and this one begins to wait for it.
        config: Settings that do not change the features; None = the defaults.

    Returns:
        Counts and the table of failures; a bad file is in it and stops nothing.

    Raises:
        ValueError: Repeated ids, a span that is none, unknown extractor or runner, weights that cannot be had, Ray is
            asked for but not installed, or a store made with other extractors or settings, damaged or in no folder.
        RuntimeError: An extractor does not work at all, or a worker cannot write to the store.
        OSError: The store cannot be written.
    """
    twice = sorted(id for id, count in Counter(clip.id for clip in clips).items() if count > 1)
    if twice:
        raise BadSetting(f"Clip ids must be unique; {len(twice)} repeat, for example {twice[0]!r}: rename them.")
    if runner not in RUNNERS:
        raise BadSetting(f"runner is {runner!r}; expected one of {', '.join(RUNNERS)}.")
    size = _workers(workers, str(store), runner)
    job = Job(_extractor(audio), _extractor(visual), str(store), ExtractConfig() if config is None else config)
    place = Place(job.store)
    place.make()
    with _only_writer(place, alone, waiting):
        writer = job.writer(f"{secrets.token_hex(4)}-kept")  # refuses a store with other features before any work
        notes = _put_in_order(place) if alone else ()
        before = standing(job.store, clips, retry=retry_failed)
        writer.confirm(before.moved)
        outcomes = _describe(replace(job, after=before.latest), clips, before, runner, size, progress)
    return _table(clips, before, outcomes, notes)


@contextmanager
def _only_writer(place: Place, alone: bool, waiting: Callable[[], None] | None) -> Iterator[None]:
    """Hold a store on disk; elsewhere there are no locks."""
    with ExitStack() as held:
        try:
            if alone and place.local:
                held.enter_context(sole_writer(place.path(""), waiting=waiting))
        except NotImplementedError:
            raise BadSetting(
                f"Store {place.root} is on a file system without locks; write to it with alone=False (--shared), when "
                "nobody else adds the same clips."
            ) from None
        except OSError as error:
            reason = error.strerror or error
            raise BadSetting(f"Store {place.root} cannot be written ({reason}); choose another folder.") from None
        yield


def _put_in_order(place: Place) -> tuple[str, ...]:
    """Remove leftovers of killed writers, and damaged lines of the manifest, which it tells, from a store on disk."""
    if not place.local:
        return ()
    version = (read_about(place) or {"version": 1})["version"]
    manifest = read_manifest(place, version)
    notes = mend(place, manifest)
    place.tidy({shard_file(name) for name in manifest.shards}, lambda: _mentioned(place, version))
    return notes


def _mentioned(place: Place, version: int) -> set[str]:
    return {shard_file(name) for name in read_manifest(place, version).shards}


def _extractor(choice: str | Extractor | None) -> Extractor | None:
    """An extractor whose weights, where it has any, were found."""
    extractor = create_extractor(choice) if isinstance(choice, str) else choice
    checkpoint = getattr(extractor, "checkpoint", None)
    if extractor is None or checkpoint is None:
        return extractor
    try:
        _ = extractor.spec(), extractor.dim, extractor.request()
    except (OSError, KeyError, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise BadSetting(
            f"Weights {checkpoint!r} of extractor {extractor.name!r} cannot be loaded ({reason}); give a Hugging Face "
            "id that can be reached, or a folder with config, weights and processor."
        ) from error
    return extractor


def _workers(workers: int | None, root: str, runner: str) -> int | None:
    """Number of processes, None for this one; of Ray tasks, None for as many as Ray likes."""
    if workers is not None and workers < 1:
        raise BadSetting(f"workers is {workers}; expected at least 1, or None for one per core.")
    if root.startswith("memory:"):
        if (workers is not None and workers > 1) or runner == "ray":
            raise BadSetting(f"{root} lives in this process alone; pass workers=1, or another store.")
        return None
    if runner == "ray":
        return workers
    if workers is None:
        return cores()
    return None if workers == 1 else workers


def _describe(
    job: Job,
    clips: Sequence[Clip],
    before: Standing,
    runner: str,
    size: int | None,
    progress: Callable[[int, int], None] | None,
) -> dict[str, ClipStatus]:
    """ClipStatus of each clip that is described now, by id."""
    todo = [clip for clip in clips if clip.id not in before.kept]

    def settled(count: int) -> None:
        if progress is not None:
            progress(len(before.kept) + count, len(clips))

    settled(0)
    if runner == "ray":
        from avshot.features.ray_pool import RayPool

        outcomes = RayPool(job, todo, workers=size, settled=settled).run()
    elif size is None:
        outcomes = _in_process(job, todo, settled)
    else:
        outcomes = Pool(job, todo, workers=size, settled=settled).run()
    return {clip.id: outcome for clip, outcome in zip(todo, outcomes, strict=True)}


def _in_process(job: Job, clips: Sequence[Clip], settled: Callable[[int], None]) -> list[ClipStatus]:
    if not clips:
        return []
    try:
        job.warm_up()
    except Exception as error:
        raise RuntimeError(f"Extraction stopped: {type(error).__name__}: {error}") from error
    outcomes: list[ClipStatus] = []
    with Recorder(job, f"{secrets.token_hex(4)}-0") as recorder:
        for clip in clips:
            status, kept, _ = recorder.record(clip)
            outcomes.append((status, kept))
            settled(len(outcomes))
    return outcomes


def _table(clips: Sequence[Clip], before: Standing, new: dict[str, ClipStatus], notes: tuple[str, ...]) -> Extraction:
    outcomes = {**before.kept, **new}
    rows = [(clip.id, clip.path, *outcomes[clip.id]) for clip in clips]
    return Extraction(
        done=sum(kept for _, kept in new.values()),
        kept=sum(kept for _, kept in before.kept.values()),
        failed=tuple((id, path, status) for id, path, status, kept in rows if not kept),
        partial=tuple((id, path, status) for id, path, status, kept in rows if kept and status != "ok"),
        again=tuple((clip.id, clip.path, before.again[clip.id]) for clip in clips if clip.id in before.again),
        untried=tuple(id for id, (_, has) in before.kept.items() if not has),
        unknown=tuple(before.unknown),
        notes=notes,
    )
