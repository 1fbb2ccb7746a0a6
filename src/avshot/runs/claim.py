"""Whose a Run folder is: claimed with a key before anything is trained, and gone on with under the same key alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import yaml

from avshot.errors import WrongRun
from avshot.experiment import Experiment
from avshot.files.atomic import load_sealed, load_tensors, save_sealed, save_tensors, save_text
from avshot.machine.versions import versions
from avshot.run import load_run, read_experiment
from avshot.runs.key import Key, class_changes, data_changes, setting_changes, settings_of, version_changes
from avshot.terminal.callbacks import Say
from avshot.types import Classes

KEY = "key.json"
_VECTORS = "key.safetensors"  # the class embeddings, while the Run is unfinished
CLAIM = (KEY, _VECTORS, "experiment.yaml")
_BEGUN = ("stage*.checkpoint", "stage1.json", "stage1*.safetensors", "*oracle*.safetensors")
_CURE = "choose another --out, or remove that folder to train it again"


def claim(folder: Path, experiment: Experiment, key: Key, raw: Classes, say: Say) -> bool:
    """Take a folder for a training, under its lock.

    Args:
        folder: Exists.
        experiment: What is asked.
        key: What its Run depends on.
        raw: All candidate classes as the text encoders give them today.
        say: Told what a user should know, in a sentence.

    Returns:
        Whether the Run is finished. Otherwise what is left of an unfinished one may be gone on with.

    Raises:
        ValueError: The folder holds a Run, finished or begun, that depends on something else, or a damaged one.
    """
    for partial in folder.glob(".*.partial"):  # of a command that was killed while it wrote
        partial.unlink(missing_ok=True)
    if os.path.lexists(folder / "run.json"):
        _check_finished(folder, key, raw, say)
        finish(folder)  # the command that wrote the Run may have been killed before it did
        return True
    _check_begun(folder, experiment, key, raw, say)
    save_text(folder / "experiment.yaml", yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False))
    save_tensors(folder / _VECTORS, raw.text, about={"names": list(raw.names)})
    save_sealed(folder / KEY, {"key": key.to_dict(), "versions": versions()})
    return False


def begun(folder: Path) -> list[str]:
    """Names of the files of an unfinished training in a folder."""
    return sorted(file.name for pattern in _BEGUN for file in folder.glob(pattern))


def is_free(folder: Path) -> bool:
    """Nobody has claimed the folder, and nothing was trained there."""
    return not begun(folder) and not any(os.path.lexists(folder / name) for name in (*CLAIM, "run.json"))


def release(folder: Path) -> None:
    """Leave no claim in a folder in which nothing was trained: a corrected command would find it taken."""
    if not begun(folder) and not any(os.path.lexists(folder / name) for name in ("run.json", "weights.safetensors")):
        for name in CLAIM:
            (folder / name).unlink(missing_ok=True)


def finish(folder: Path) -> None:
    """Remove what only an unfinished Run needs."""
    for name in (_VECTORS, *begun(folder)):
        if name != "stage1.json":
            (folder / name).unlink(missing_ok=True)


def _check_finished(folder: Path, key: Key, raw: Classes, say: Say) -> None:
    run = load_run(folder)
    run.check()
    asked = settings_of(run.experiment, run.info["sources"])
    _refuse_settings(folder, setting_changes(asked, key.experiment))
    if run.info["taught"]:
        raise WrongRun(f"{folder} holds a Run that was taught further classes after its training; {_CURE}.")
    noted = run.info["key"]
    if noted is not None:
        changed = data_changes(noted["data"], key.data)
    else:
        same = run.info["data"]["fingerprint"] in (key.data["fingerprint"], key.data["without_values"])
        changed = [] if same else ["the dataset (clips, labels, folds, class names or how features were made)"]
    if noted is None or noted["classes"] != key.classes:
        changed += class_changes(run.classes(raw=True), raw)
    _refuse(folder, changed)
    say(f"{folder} was there already.")
    if noted is None:
        say(f"{folder} was made by avshot 0.1, which noted neither digests nor the values of features.")
    other = version_changes(run.info["versions"], versions())
    if other:
        say(f"{folder} was made by {other}; its numbers may differ from those of a new training.")


def _check_begun(folder: Path, experiment: Experiment, key: Key, raw: Classes, say: Say) -> None:
    """An unfinished Run goes on under the same key alone; a claim without anything trained is void."""
    left = begun(folder)
    if not left:
        return
    noted = read_key(folder)
    if noted is None:
        _begin_anew(folder, experiment, left, say)
        return
    before = noted["key"]
    _refuse_settings(folder, setting_changes(before["experiment"], key.experiment))
    changed = data_changes(before["data"], key.data)
    if before["classes"] != key.classes:
        changed += _embedding_changes(folder, raw)
    _refuse(folder, changed)
    other = version_changes(noted["versions"], versions())
    if other:
        say(f"{folder} was begun by {other}; the training goes on where it was.")


def _embedding_changes(folder: Path, raw: Classes) -> list[str]:
    try:
        vectors, about = load_tensors(folder / _VECTORS)
        before = Classes(tuple(about["names"]), vectors, torch.zeros(len(about["names"]), dtype=torch.bool))
    except (ValueError, KeyError):  # damaged: the digests alone say that something differs
        return ["the class embeddings (text encoder, prompts or descriptions)"]
    return class_changes(before, raw)


def _begin_anew(folder: Path, experiment: Experiment, left: list[str], say: Say) -> None:
    """Of what was begun there nobody knows any more what it depends on.

    Only what was begun for the same experiment is thrown away; for another one the folder is taken.
    """
    file = folder / "experiment.yaml"
    if not file.exists():
        raise WrongRun(
            f"{folder} holds an unfinished Run, and both files that say of what are missing; remove that folder."
        )
    _refuse_settings(folder, setting_changes(settings_of(read_experiment(file)), settings_of(experiment)))
    for name in left:
        (folder / name).unlink(missing_ok=True)
    say(f"{folder / KEY} is missing or damaged, so nobody knows on what {folder} was trained so far; it begins anew.")


def read_key(folder: Path) -> dict[str, Any] | None:
    """Content of `key.json`, or None where it is missing or damaged."""
    try:
        found = load_sealed(folder / KEY)
    except ValueError:
        return None
    return found if isinstance(found.get("key"), dict) and isinstance(found.get("versions"), dict) else None


def _refuse_settings(folder: Path, changed: list[str]) -> None:
    if changed:
        raise WrongRun(f"{folder} holds a Run of another experiment ({'; '.join(changed)}); {_CURE}.")


def _refuse(folder: Path, changed: list[str]) -> None:
    if changed:
        raise WrongRun(
            f"{folder} holds a Run of the same experiment on other data, which changed since: {'; '.join(changed)}; "
            f"{_CURE}."
        )
