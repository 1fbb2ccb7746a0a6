"""Fill a folder with the clips of a rendered world: resumable, by several processes, never with clips of two looks."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

from avshot.data.rendered.clips import Job, note, whole
from avshot.errors import BadDataset
from avshot.files.atomic import load_json
from avshot.machine.cores import cores

Writer = Callable[..., None]  # (file, class name, number of the clip, look); a function that processes can import
FEWEST = 5  # clips of a class, so that every fold of a seen class has one


def fill(
    root: Path,
    names: Sequence[str],
    look: Any,
    write: Writer,
    *,
    stated: Mapping[str, Any],
    clips_per_class: int,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> list[Job]:
    """Render the clips of the classes `names` that are not in `root` yet, and note them.

    Args:
        root: Made if absent. Receives `clips/*.mp4`, `world.json` and `rendered.jsonl`.
        names: Class names.
        look: Passed to `write`.
        write: Renders one clip into a file that appears under its name only when it is whole.
        stated: What `world.json` holds; a folder that holds another one is refused.
        clips_per_class: Clips of each class, numbered from 0; at least 5.
        workers: Processes; None = one per core.
        progress: Called with clips done, those kept included, and clips in all.

    Returns:
        All clips, class by class.

    Raises:
        ValueError: Settings out of range, names that would share files, or a folder of another world.
    """
    count = _workers(workers)
    if clips_per_class < FEWEST:
        raise BadDataset(f"clips_per_class is {clips_per_class}; expected at least {FEWEST}.")
    if len({_slug(name) for name in names}) != len(names):
        raise BadDataset("Two class names differ only in signs or capitals and would share files; rename one.")
    (root / "clips").mkdir(parents=True, exist_ok=True)
    _claim(root, stated)
    jobs = [(name, number) for name in names for number in range(clips_per_class)]
    kept = whole(root, {job: clip_name(*job) for job in jobs})
    todo = [job for job in jobs if job not in kept]
    report = progress or (lambda done, total: None)
    report(len(kept), len(jobs))
    for done, job in enumerate(_rendered(root, todo, look, write, count), start=len(kept) + 1):
        note(root, job, clip_name(*job))
        report(done, len(jobs))
    return jobs


def clip_name(label: str, number: int) -> str:
    """File name of a clip: `red-star-drumming-003.mp4`."""
    return f"{_slug(label)}-{number:03d}.mp4"


def lone_clip(folder: str | Path, label: str) -> Path:
    """Where a clip of `label` that belongs to no world is put: `folder/red-star-drumming.mp4`; makes the folder."""
    target = Path(folder) / f"{_slug(label)}.mp4"
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def replace_file(target: Path, text: str) -> None:
    """Write `target` whole or not at all, whatever is there."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, target)


def _slug(label: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", label.lower()))


def _claim(root: Path, stated: Mapping[str, Any]) -> None:
    """Write the look into the folder, or check that it is the one there: clips of two looks must not mix."""
    wanted = json.loads(json.dumps(stated))
    file = root / "world.json"
    if file.exists():
        found = load_json(file)
        if not isinstance(found, dict) or {"renderer": 1} | found != wanted:  # the first one did not write its number
            raise BadDataset(f"{root} holds a world of other settings ({found}); choose another folder or delete it.")
        return
    replace_file(file, json.dumps(wanted, indent=2) + "\n")


def _workers(wanted: int | None) -> int:
    if wanted is not None and wanted < 1:
        raise BadDataset(f"workers is {wanted}; expected at least 1, or None for one per core.")
    if wanted is not None:
        return wanted
    return cores()


def _rendered(root: Path, jobs: Sequence[Job], look: Any, write: Writer, workers: int) -> Iterator[Job]:
    """Render the clips `jobs`, yielding each one when its file is complete. A single worker is this process."""
    tasks = {job: (root / "clips" / clip_name(*job), *job, look) for job in jobs}
    if workers == 1 or len(tasks) < 8:  # starting a process takes as long as rendering a few clips
        for job, task in tasks.items():
            write(*task)
            yield job
        return
    with _plain_main(), ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            waiting = {pool.submit(write, *task): job for job, task in tasks.items()}
            for future in as_completed(waiting):
                future.result()
                yield waiting[future]
        except BrokenProcessPool:
            raise BadDataset(
                "A process that renders clips was killed, perhaps for want of memory; run the same command again to go "
                "on, with fewer workers."
            ) from None
        finally:  # an interrupted run must not render the rest first
            pool.shutdown(cancel_futures=True)


@contextmanager
def _plain_main() -> Iterator[None]:
    """Keep a spawned process from importing the user's script again, which would start it anew in each worker."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
