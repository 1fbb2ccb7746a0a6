"""Many trainings, one after the other or several at a time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from avshot.bench.watch import Watch
from avshot.data.dataset import Dataset
from avshot.data.load import load_dataset, load_described
from avshot.data.mapped import shared_averages
from avshot.experiment import Experiment, resolve
from avshot.machine.device import check_device
from avshot.machine.python_file import with_place
from avshot.protocol import follow, run
from avshot.run import Run, load_run
from avshot.runs.placing import place_runs, run_folder
from avshot.terminal.callbacks import Progress, Say, unsaid, unshown
from avshot.training.companions import leave_with_parent, spawn
from avshot.training.distributed import is_worker, leave, warning
from avshot.training.fitting import reads_averages


@dataclass(frozen=True)
class Swept:
    """What came of some trainings.

    Attributes:
        placed: `{Run folder: experiment}`, finished or not.
        failed: What went wrong, by folder.
    """

    placed: dict[Path, Experiment]
    failed: dict[Path, Exception]

    def runs(self) -> list[Run]:
        """The finished Runs, in the order in which they were asked for."""
        return [load_run(folder) for folder in self.placed if folder not in self.failed]


def sweep(
    experiments: Sequence[Experiment],
    out: Path,
    *,
    jobs: int = 1,
    processes: int = 1,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Swept:
    """Train each of some experiments on one dataset into a folder of its own below `out`.

    What can be known beforehand is found out before any training: an unknown field, a device that is not there, a
    method that the data do not fit, a folder that cannot be written to. A training that fails does not stop the others.

    Args:
        experiments: All of one dataset; one that is there twice is trained once.
        out: Folder for the Runs (`avshot.runs.placing`).
        jobs: As in `train_all`.
        processes: As there. Of several processes that share a training the first one alone places Runs and speaks.
        progress: As there.
        say: As there; told the warnings of the dataset, too.

    Raises:
        ValueError: What was asked cannot be trained.
        OSError: `out` cannot be written to.
    """
    tell, device = say or unsaid, experiments[0].device
    check_device(device)
    precisions = {resolve(experiment).recipe.precision for experiment in experiments}  # nothing unknown is asked for
    asked = {run_folder(out, experiment): experiment for experiment in experiments}
    dataset = load_described(experiments[0].dataset)
    slow = [told for precision in sorted(precisions) if (told := warning(precision, device))]
    for told in () if is_worker() else (*dataset.warnings(), *slow):
        tell(told)
    placed = asked if is_worker() else place_runs(out, list(asked.values()), dataset)
    return Swept(placed, train_all(placed, dataset, jobs, processes, progress=progress, say=say))


def train_all(
    experiments: dict[Path, Experiment],
    dataset: Dataset,
    jobs: int,
    processes: int = 1,
    *,
    progress: Progress | None = None,
    say: Say | None = None,
) -> dict[Path, Exception]:
    """Train each experiment into its folder; returns what went wrong, by folder. A failure stops no other training.

    Args:
        experiments: `{Run folder: experiment}`.
        dataset: The dataset of all of them, for the trainings in this process.
        jobs: Trainings at a time, each in a process on one thread; 1 trains in this process, with as many threads as
            torch likes.
        processes: Processes that share each training (`avshot.training.distributed`); under torchrun there are as
            many as it started, and this stays 1. A failure then stops all, because they can only go on together.
        progress: Called with (which training and stage, epochs done, epochs in all, numbers); with several at a time
            with the epochs of all of them.
        say: Told sentences: which training failed and why, what was there already.

    Raises:
        ValueError: Several trainings at a time that share processes, or processes that would share one GPU.
    """
    watch = Watch(progress or unshown, say or unsaid)
    together = max(processes, int(os.environ.get("WORLD_SIZE", "1")))
    if together > 1 and jobs > 1:
        raise ValueError(f"Got {jobs} jobs of {together} processes each; use several of one of them.")
    if together == 1:
        return _train_apart(experiments, dataset, jobs, watch)
    device = next((experiment.device for experiment in experiments.values()), "cpu")
    if ":" in device:
        raise ValueError(f"Got device {device} for {together} processes; each takes one of its own: drop the number.")
    try:
        with (
            _averages(experiments, dataset, processes, watch.say) as averaged,
            spawn(processes, _follow_all, list(experiments.values()), averaged, device=device),
        ):
            _train_together(experiments, dataset, averaged, watch)
    finally:
        leave()
    return {}


def _train_together(
    experiments: dict[Path, Experiment], dataset: Dataset, averaged: Dataset | None, watch: Watch
) -> None:
    """One after the other, each shared by all processes."""
    if is_worker():
        _follow_all(list(experiments.values()))
        return
    for count, (folder, experiment) in enumerate(experiments.items(), 1):
        data = averaged if averaged is not None and reads_averages(resolve(experiment)) else dataset
        run(experiment, folder, dataset=data, progress=watch.one(experiment, count, len(experiments)), say=watch.say)


def _follow_all(experiments: list[Experiment], averaged: Dataset | None = None) -> None:
    """In a process that trains along."""
    for experiment in experiments:
        follow(experiment, dataset=_opened(experiment, averaged))


def _train_apart(
    experiments: dict[Path, Experiment], dataset: Dataset, jobs: int, watch: Watch
) -> dict[Path, Exception]:
    """Each training in one process."""
    finished = [folder for folder in experiments if (folder / "run.json").exists()]  # no process is needed for these
    if jobs == 1 or len(experiments) - len(finished) < 2:
        return _train_here(experiments, dataset, watch)
    failed = _train_here({folder: experiments[folder] for folder in finished}, dataset, watch)
    waiting = {folder: experiment for folder, experiment in experiments.items() if folder not in finished}
    return failed | _train_in_workers(waiting, dataset, min(jobs, len(waiting)), watch)


def _train_in_workers(
    experiments: dict[Path, Experiment], dataset: Dataset, workers: int, watch: Watch
) -> dict[Path, Exception]:
    failed: dict[Path, Exception] = {}
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    with (
        _averages(experiments, dataset, workers, watch.say) as averaged,
        watch.all(told, {folder: resolve(asked).recipe.epochs for folder, asked in experiments.items()}) as done,
        ProcessPoolExecutor(
            workers, mp_context=context, initializer=_prepare_worker, initargs=(averaged, told)
        ) as pool,
    ):
        asked = {pool.submit(_run_in_worker, e, folder): folder for folder, e in experiments.items()}
        try:
            for future in as_completed(asked):
                problem = future.exception()
                if problem is not None:
                    error = problem if isinstance(problem, Exception) else RuntimeError(repr(problem))
                    failed[asked[future]] = error
                    watch.say(f"{asked[future]}: {problem}")
                for text in () if problem is not None else future.result():
                    watch.say(text)
                done(asked[future])
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _train_here(experiments: dict[Path, Experiment], dataset: Dataset, watch: Watch) -> dict[Path, Exception]:
    """One after the other in this process."""
    failed: dict[Path, Exception] = {}
    for count, (folder, experiment) in enumerate(experiments.items(), 1):
        try:
            run(
                experiment,
                folder,
                dataset=dataset,
                progress=watch.one(experiment, count, len(experiments)),
                say=watch.say,
            )
        except Exception as error:  # kept and raised at the end
            failed[folder] = with_place(error)
            if len(experiments) > 1:
                watch.say(f"{folder}: {failed[folder]}")
    return failed


def raise_first(failed: dict[Path, Exception], total: int) -> None:
    """Raise what `train_all` returned: an unexpected error as it is, sentences for the user as one sentence."""
    if not failed:
        return
    unexpected = [error for error in failed.values() if not isinstance(error, ValueError | OSError)]
    first = unexpected[0] if unexpected else next(iter(failed.values()))
    if isinstance(first, BrokenProcessPool):
        raise ValueError(
            f"A training process was killed, perhaps for want of memory; {len(failed)} of {total} trainings are not "
            "finished. Run the same command again with fewer --jobs to go on."
        )
    if unexpected or total == 1:
        raise first
    where = ", ".join(map(str, failed))
    raise ValueError(f"{len(failed)} of {total} trainings failed ({where}); the first: {first}")


def _averages(
    experiments: dict[Path, Experiment], dataset: Dataset, processes: int, say: Say
) -> AbstractContextManager[Dataset | None]:
    """One copy of the averaged features for all processes, where several are to read them."""
    waiting = [folder for folder in experiments if not (folder / "run.json").exists()]
    if processes == 1 or not any(reads_averages(resolve(experiments[folder])) for folder in waiting):
        return nullcontext()
    return shared_averages(dataset, waiting[0].parent, say)


_averaged: Dataset | None = None  # in a worker process: what its parent shares
_told: Any = None  # and the queue of what it tells its parent


def _prepare_worker(averaged: Dataset | None, told: Any) -> None:
    """One thread each; and a worker whose parent was killed leaves, or it would train on beside a resumed command."""
    import torch

    global _averaged, _told
    _averaged, _told = averaged, told
    torch.set_num_threads(1)
    leave_with_parent()


def _opened(experiment: Experiment, averaged: Dataset | None) -> Dataset:
    """The dataset of an experiment in another process than the first: shared averages will do for most methods."""
    shared = averaged is not None and reads_averages(resolve(experiment))
    return averaged if averaged is not None and shared else _load(experiment.dataset)


_load = lru_cache(maxsize=1)(load_dataset)  # a worker trains many methods on one dataset


def _run_in_worker(experiment: Experiment, folder: Path) -> list[str]:
    """In a worker process: epochs travel back while it trains, what is said when it ends."""
    said: list[str] = []

    def tell(stage: str, done: int, total: int, numbers: dict[str, float]) -> None:
        if _told is not None:
            _told.put((folder, stage, done, total))

    try:
        run(experiment, folder, dataset=_opened(experiment, _averaged), progress=tell, say=said.append)
    except Exception as error:
        placed = with_place(error)  # a traceback does not travel
        if placed is error:
            raise
        raise placed from error
    return said
