"""Where Runs are put: one folder for each experiment and dataset, whoever trains there at the same time.

`avshot train` puts a Run into `out/<label>/seed-<seed>`. Where that holds the Run of another dataset, it goes to
`out/<label>@<dataset>/seed-<seed>`, and where that does, too, a digest of the dataset's place is added. Two datasets
are one where they lie in one place, or have one fingerprint: a dataset that was changed where it lies is not given
another folder, but refused, so that nobody compares numbers of before and after without knowing.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avshot.data.dataset import Dataset
from avshot.errors import BadSetting, WrongRun
from avshot.experiment import Experiment, resolve
from avshot.files.lock import sole_writer
from avshot.files.run_record import read_record
from avshot.machine.device import check_device
from avshot.run import read_experiment
from avshot.runs.claim import claim, is_free, read_key
from avshot.runs.key import Key, key_of, origin_of
from avshot.terminal.callbacks import unsaid
from avshot.training.fitting import embedded, why_not
from avshot.types import Classes

LONGEST_FOLDER = 100  # characters; file systems end at 255 bytes
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')  # on some file system
_PATIENCE = 10.0  # seconds for who holds a folder to write its key


def run_folder(out: Path, experiment: Experiment) -> Path:
    """Where `avshot train` puts a Run when no other dataset's lies there: `out/<label>/seed-<seed>`.

    Two experiments that differ have two folders, on file systems that do not tell capitals apart, too: where the label
    abbreviates, is too long or has capitals, a digest of all of it follows.
    """
    full, label = "\0".join(experiment.in_full()), experiment.label()
    prompted = experiment.prompts if isinstance(experiment.prompts, dict) else ()
    words = (*experiment.text, *prompted, experiment.descriptions or "", *map(str, _texts(experiment)))
    exact = label == "-".join(experiment.in_full()) and not any("-" in word for word in words)
    return out / folder_name(label, full, exact=exact) / f"seed-{experiment.seed}"


def folder_name(text: str, full: str, *, exact: bool) -> str:
    """`text` as the name of a folder; a digest of `full` follows unless it is `exact` and suits every file system."""
    plain = _FORBIDDEN.sub("_", text).strip(". ") or "run"
    small = re.sub(r"\b(True|False|None)\b", "", plain)  # never written otherwise
    if exact and plain == text and small == small.lower() and len(plain.encode()) <= LONGEST_FOLDER:
        return plain
    cut = plain.encode()[:LONGEST_FOLDER].decode(errors="ignore")
    return f"{cut}-{hashlib.sha256(full.encode()).hexdigest()[:8]}"


def _texts(experiment: Experiment) -> list[str]:
    groups = (experiment.config, experiment.recipe, experiment.selection, experiment.optimise)
    return [value for group in groups for value in group.values() if isinstance(value, str)]


def place_runs(out: Path, experiments: Sequence[Experiment], dataset: Dataset) -> dict[Path, Experiment]:
    """Claim a folder for each experiment, `{Run folder: experiment}`, after a look at all that can be known by then.

    Args:
        out: Made where it is not there.
        experiments: All of one dataset.
        dataset: Theirs.

    Raises:
        ValueError: A method that the dataset does not fit; a device, a text encoder, prompts or descriptions that are
            not there.
        OSError: `out` cannot be written to.
    """
    keys = Keys(dataset)
    for device in sorted({experiment.device for experiment in experiments}):
        check_device(device)
    for experiment in experiments:
        reason = why_not(resolve(experiment), dataset, keys.classes(experiment))
        if reason is not None:
            raise BadSetting(reason)
    make_folder(out)
    placed = {}
    for experiment in experiments:
        first = run_folder(out, experiment)
        declared = experiment.dataset.endswith(".toml")
        named = (
            f"{first.parent.name}@{_FORBIDDEN.sub('_', Path(experiment.dataset).stem if declared else dataset.name)}"
        )
        others = (out / name / first.name for name in (named, f"{named}-{origin_of(experiment.dataset)[:8]}"))
        placed[place([first, *others], experiment, keys)] = experiment
    return placed


class Keys:
    """Class embeddings and keys of experiments on one dataset; equal texts are embedded once."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._made: dict[tuple[Any, ...], Classes] = {}

    def classes(self, experiment: Experiment) -> Classes:
        """All candidate classes as the experiment's text encoders embed them."""
        parts = resolve(experiment)
        asked = (parts.wording, experiment.dataset, parts.task.title)
        if asked not in self._made:
            self._made[asked] = embedded(parts, self.dataset)
        return self._made[asked]

    def key(self, experiment: Experiment) -> Key:
        """What its Run depends on."""
        return key_of(experiment, self.dataset, self.classes(experiment))


def make_folder(out: Path) -> None:
    """Make a folder for Runs. Raises ValueError or OSError, before any training, where that cannot be."""
    if out.exists() and not out.is_dir():
        raise WrongRun(f"{out} is a file; pass a folder for the Runs.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise WrongRun(f"{out} cannot be made: something on the way to it is a file; pass another folder.") from None


def place(candidates: Sequence[Path], experiment: Experiment, keys: Keys) -> Path:
    """The first of some folders that is free, which it claims, or that holds the same dataset already.

    The last one is taken in any case: what is in it is looked at again before a training.
    """
    key = keys.key(experiment)
    for folder in candidates[:-1]:
        folder.mkdir(parents=True, exist_ok=True)
        if _ours(folder, experiment, key, keys.classes(experiment)):
            return folder
    return candidates[-1]


def _ours(folder: Path, experiment: Experiment, key: Key, raw: Classes) -> bool:
    """Whether a folder holds this dataset's Run, or was free and is claimed now."""
    patience = 0.0
    try:
        with sole_writer(folder, wait=0):
            if is_free(folder):
                claim(folder, experiment, key, raw, unsaid)
    except ValueError:  # another command trains there, and has written its key or soon will
        patience = _PATIENCE
    end = time.monotonic() + patience
    while (owner := _owner(folder)) is None and time.monotonic() < end:
        time.sleep(0.05)
    same_data = (key.data["fingerprint"], key.data["without_values"])
    return owner is None or owner[0] == key.origin or owner[1] in same_data


def _owner(folder: Path) -> tuple[str, str] | None:
    """Origin and fingerprint of the dataset whose Run a folder holds; None where nothing there tells."""
    noted = read_key(folder)
    if noted is not None:
        return noted["key"]["origin"], noted["key"]["data"]["fingerprint"]
    try:
        info = read_record(folder / "run.json")
        origin = origin_of(read_experiment(folder / "experiment.yaml").dataset)
        return origin, info["data"]["fingerprint"]
    except ValueError:  # none, or a damaged one: whoever trains there says so
        return None
