"""What a Run depends on, noted in enough detail to say in words what has changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from avshot.data.dataset import Dataset, first_few
from avshot.experiment import Experiment, files_of
from avshot.files.atomic import content_digest, tensors_digest
from avshot.types import Classes

CLOSE = 1e-5  # between numbers of unit vectors: other threads and machines round otherwise, other words move them more


@dataclass(frozen=True)
class Key:
    """What a Run depends on.

    Attributes:
        experiment: All that was asked for, but where the data lie.
        origin: Digest of where the data lie: two datasets of one name in other places are two.
        data: Parts of `Dataset.identity`: what is short as it is, the others as counts and digests; its `fingerprint`.
        classes: Digest of the embeddings of all candidate classes, by text encoder.
    """

    experiment: dict[str, Any]
    origin: str
    data: dict[str, Any]
    classes: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def key_of(experiment: Experiment, dataset: Dataset, raw: Classes) -> Key:
    """The key of a training.

    Args:
        experiment: What is asked.
        dataset: Its data.
        raw: All candidate classes as their text encoders embed them.
    """
    return Key(
        settings_of(experiment),
        origin_of(experiment.dataset),
        _data(dataset),
        {encoder: tensors_digest({encoder: vectors}, "\n".join(raw.names)) for encoder, vectors in raw.text.items()},
    )


def settings_of(experiment: Experiment, files: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What was asked for, but where the data lie.

    Args:
        experiment: What is asked.
        files: Digests of the files that it names as method or task; None = as they are now.
    """
    files = files_of(experiment) if files is None else files
    return experiment.model_dump(mode="json", exclude={"dataset"}) | ({"files": dict(files)} if files else {})


def origin_of(dataset: str) -> str:
    """Digest of where a dataset lies; a declared one is known by its file, however that was written."""
    place = str(Path(dataset).resolve()) if dataset.endswith(".toml") else dataset
    return content_digest(place)


def _data(dataset: Dataset) -> dict[str, Any]:
    parts = dataset.identity
    found = {
        "clips": _counted(parts["clips"]),
        "names": parts["names"],
        "phrases": _digest(parts["phrases"]),
        "folds": {fold: _counted(ids) for fold, ids in parts["folds"].items()},
        "candidates": {fold: _counted(names) for fold, names in parts["candidates"].items()},
        "text": parts["text"],
        "spec": parts["features"],
        "values": parts["values"],
        "fingerprint": dataset.fingerprint(),
        "without_values": dataset.fingerprint(values=False),
    }
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def _counted(items: list[Any]) -> dict[str, Any]:
    return {"count": len(items), "digest": _digest(items)}


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def setting_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Which fields of the experiment differ, each as words: `recipe.epochs is 3, it was 2`."""
    found = []
    for name in dict.fromkeys([*now, *before]):
        old, new = before.get(name, _unset(name)), now.get(name, {})
        if isinstance(old, dict) and isinstance(new, dict):
            fields = dict.fromkeys([*new, *old])
            differ = [k for k in fields if old.get(k) != new.get(k)]
            found += [_changed(f"{name}.{k}", old.get(k), new.get(k), digest=name == "files") for k in differ]
        elif old != new:
            found.append(_changed(name, old, new))
    return found


def _unset(name: str) -> Any:
    """What a field of the experiment is that is younger than the Run, which did not set it."""
    field = Experiment.model_fields.get(name)
    return {} if field is None or field.is_required() else field.get_default(call_default_factory=True)


def _changed(name: str, old: Any, new: Any, *, digest: bool = False) -> str:
    if digest and old and new:
        return f"{name} is {new[:8]}, it was {old[:8]}: the text of that file has changed"
    return f"{name} is {new}, it was {old}"


def data_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the `data` of two keys, each as words; empty where nothing does."""
    return list(_data_changes(before, now))


def _data_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if before.get("clips") != now["clips"]:
        yield f"the clips or their labels ({_counts(before.get('clips'), now['clips'])})"
    if before.get("names") != now["names"]:
        yield f"the class names ({_moved(before.get('names') or [], now['names'])})"
    if before.get("phrases") != now["phrases"]:
        yield "the words that stand for class names"
    for part, what in (("folds", "fold"), ("candidates", "the class list of fold")):
        old = before.get(part) or {}
        for fold in sorted({*old, *now[part]}):
            if old.get(fold) != now[part].get(fold):
                yield f"{what} {fold} ({_counts(old.get(fold), now[part].get(fold))})"
    old = before.get("text") or {}
    for encoder in sorted({*old, *now["text"]}):
        if old.get(encoder) != now["text"].get(encoder):
            yield f"the dataset's class vectors {encoder!r}"
    if before.get("spec") != now["spec"]:
        old, new = before.get("spec") or {}, now["spec"] or {}
        what = ", ".join(sorted(k for k in {*old, *new} if old.get(k) != new.get(k)))
        yield f"how the features were made ({what})"
    elif before.get("values") != now["values"]:
        yield "the features of some clips (made alike, other values)"


def _counts(old: Any, new: Any) -> str:
    before = 0 if old is None else old.get("count", 0)
    after = 0 if new is None else new.get("count", 0)
    return f"{before} before, {after} now" if before != after else f"{after} as before, but others"


def _moved(old: list[str], new: list[str]) -> str:
    came, went = [name for name in new if name not in old], [name for name in old if name not in new]
    parts = [f"new: {first_few(came)}"] * bool(came) + [f"gone: {first_few(went)}"] * bool(went)
    return "; ".join(parts) or "in another order"


def class_changes(before: Classes, now: Classes) -> list[str]:
    """Text encoders whose vectors of the classes that both know are not as `before`, up to rounding, as words."""
    common = [name for name in before.names if name in set(now.names)]
    found = []
    for encoder in dict.fromkeys([*before.text, *now.text]):
        old, new = before.select(common).text.get(encoder), now.select(common).text.get(encoder)
        if old is None or new is None or old.shape != new.shape:
            found.append(f"the class embeddings {encoder!r} (another text encoder)")
            continue
        apart = ~torch.isclose(old, new, rtol=CLOSE, atol=CLOSE).all(dim=1)
        if bool(apart.any()):
            some = first_few([name for name, differs in zip(common, apart.tolist(), strict=True) if differs], 3)
            found.append(f"the class embeddings {encoder!r} of {some} (text encoder, prompts or descriptions)")
    return found


def version_changes(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """`torch 2.4 (2.5 now), ...` of the packages that numbers depend on; empty where they are the same."""
    names = [name for name in ("avshot", "torch", "numpy") if before.get(name) != now.get(name)]
    return ", ".join(f"{name} {before.get(name, 'unknown')} ({now.get(name)} now)" for name in names)
