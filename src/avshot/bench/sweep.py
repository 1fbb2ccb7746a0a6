"""Many trainings, one after the other or several at a time."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path

from avshot.data.dataset import Dataset
from avshot.data.load import load_dataset
from avshot.data.mapped import shared_averages
from avshot.experiment import Experiment
from avshot.protocol import follow, reads_averages, run
from avshot.terminal.progress import show_progress
from avshot.training.distributed import accompanied, follows, leave, leave_with_parent


def train_all(
    experiments: dict[Path, Experiment], dataset: Dataset, jobs: int, processes: int = 1
) -> dict[Path, Exception]:
    """Train each experiment into its folder; returns what went wrong, by folder. A failure stops no other training.

    Args:
        experiments: `{Run folder: experiment}`.
        dataset: The dataset of all of them, for the trainings in this process.
        jobs: Trainings at a time, each in a process on one thread; 1 trains in this process, with as many threads as
            torch likes.
        processes: Processes that share each training (`avshot.training.distributed`); under torchrun there are as many as it
            started, and this stays 1. A failure then stops all, because they can only go on together.

    Raises:
        ValueError: Several trainings at a time that share processes, or processes that would share one GPU.
    """
    together = max(processes, int(os.environ.get("WORLD_SIZE", "1")))
    if together > 1 and jobs > 1:
        raise ValueError(f"Got {jobs} jobs of {together} processes each; use several of one of them.")
    if together == 1:
        return _train_apart(experiments, dataset, jobs)
    device = next((experiment.device for experiment in experiments.values()), "cpu")
    if ":" in device:
        raise ValueError(f"Got device {device} for {together} processes; each takes one of its own: drop the number.")
    try:
        with (
            _averages(experiments, dataset, processes) as averaged,
            accompanied(processes, _follow_all, list(experiments.values()), averaged, device=device),
        ):
            _train_together(experiments, dataset, averaged)
    finally:
        leave()
    return {}


def _train_together(experiments: dict[Path, Experiment], dataset: Dataset, averaged: Dataset | None) -> None:
    """One after the other, each shared by all processes."""
    if follows():
        _follow_all(list(experiments.values()))
        return
    for count, (folder, experiment) in enumerate(experiments.items(), 1):
        data = averaged if averaged is not None and reads_averages(experiment) else dataset
        _run_one(experiment, folder, data, f"[{count}/{len(experiments)}] " if len(experiments) > 1 else "")


def _follow_all(experiments: list[Experiment], averaged: Dataset | None = None) -> None:
    """In a process that trains along."""
    for experiment in experiments:
        follow(experiment, dataset=_opened(experiment, averaged))


def _train_apart(experiments: dict[Path, Experiment], dataset: Dataset, jobs: int) -> dict[Path, Exception]:
    """Each training in one process."""
    finished = [folder for folder in experiments if (folder / "run.json").exists()]  # no process is needed for these
    if jobs == 1 or len(experiments) - len(finished) < 2:
        return _train_here(experiments, dataset)
    failed = _train_here({folder: experiments[folder] for folder in finished}, dataset)
    experiments = {folder: experiment for folder, experiment in experiments.items() if folder not in finished}
    context, workers = multiprocessing.get_context("spawn"), min(jobs, len(experiments))
    with (
        show_progress("training") as bar,
        _averages(experiments, dataset, workers) as averaged,
        ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker, initargs=(averaged,)) as pool,
    ):
        waiting = {pool.submit(_run_quietly, e, folder): folder for folder, e in experiments.items()}
        try:
            bar(0, len(experiments))
            for done, future in enumerate(as_completed(waiting), 1):
                problem = future.exception()
                if problem is not None:
                    failed[waiting[future]] = problem if isinstance(problem, Exception) else RuntimeError(repr(problem))
                    print(f"{waiting[future]}: {problem}", file=sys.stderr, flush=True)
                bar(done, len(experiments))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _train_here(experiments: dict[Path, Experiment], dataset: Dataset) -> dict[Path, Exception]:
    """One after the other in this process."""
    failed: dict[Path, Exception] = {}
    for count, (folder, experiment) in enumerate(experiments.items(), 1):
        try:
            _run_one(experiment, folder, dataset, f"[{count}/{len(experiments)}] " if len(experiments) > 1 else "")
        except Exception as error:  # kept and raised at the end
            failed[folder] = error
            if len(experiments) > 1:
                print(f"{folder}: {error}", file=sys.stderr, flush=True)
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
    experiments: dict[Path, Experiment], dataset: Dataset, processes: int
) -> AbstractContextManager[Dataset | None]:
    """One copy of the averaged features for all processes, where several are to read them."""
    waiting = [folder for folder in experiments if not (folder / "run.json").exists()]
    if processes == 1 or not any(reads_averages(experiments[folder]) for folder in waiting):
        return nullcontext()
    return shared_averages(dataset, waiting[0].parent)


_averaged: Dataset | None = None  # in a worker process: what its parent shares


def _prepare_worker(averaged: Dataset | None) -> None:
    """One thread each; and a worker whose parent was killed leaves, or it would train on beside a resumed command."""
    import torch

    global _averaged
    _averaged = averaged
    torch.set_num_threads(1)
    leave_with_parent()


def _opened(experiment: Experiment, averaged: Dataset | None) -> Dataset:
    """The dataset of an experiment in another process than the first: shared averages will do for most methods."""
    return averaged if averaged is not None and reads_averages(experiment) else _load(experiment.dataset)


_load = lru_cache(maxsize=1)(load_dataset)  # a worker trains many methods on one dataset


def _run_quietly(experiment: Experiment, folder: Path) -> None:
    """In a worker process: nothing but an error travels back."""
    run(experiment, folder, dataset=_opened(experiment, _averaged), say=_note)


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)


def _run_one(experiment: Experiment, folder: Path, dataset: Dataset, place: str) -> None:
    with show_progress(f"{place}{experiment.label()} seed {experiment.seed}") as bar:

        def tell(stage: str, done: int, total: int, numbers: dict[str, float]) -> None:
            bar(done, total, f"{stage} " + " ".join(f"{k} {v:.3f}" for k, v in numbers.items()))

        run(experiment, folder, dataset=dataset, progress=tell, say=_note)
