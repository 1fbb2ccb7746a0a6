"""What two Runs are called, and in one sentence what their experiments differ in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from avshot.run import Run
from avshot.runs.naming import read_name

_PLACES = ("dataset", "device")  # fields that move no number by themselves
_GROUPS = ("config", "recipe", "selection", "optimise")  # of which what they resolve to is compared


def names_of(first: Run, second: Run) -> tuple[str, str]:
    """Label and seed of each as the report calls it; where both are the same, with the folder."""
    labels = (read_name(run.path).label or run.experiment.label() for run in (first, second))
    names = [f"{label}, seed {run.experiment.seed}" for label, run in zip(labels, (first, second), strict=True)]
    if names[0] == names[1]:
        names = [f"{name} ({run.path})" for name, run in zip(names, (first, second), strict=True)]
    return names[0], names[1]


def difference(first: Run, second: Run) -> str:
    """A sentence: what was asked otherwise, each with the value of the first and of the second Run."""
    one, other = names_of(first, second)
    found = [f"{what} ({old} / {new})" for what, old, new in _differences(first, second)]
    if not found:
        return f"{one} and {other} were asked the same."
    return f"{one} and {other} differ in {'; '.join(found)}."


def _differences(first: Run, second: Run) -> Iterator[tuple[str, Any, Any]]:
    """What, the value in the first, the value in the second."""
    data = [run.info["data"] for run in (first, second)]
    if data[0]["fingerprint"] != data[1]["fingerprint"]:
        left, right = (f"{one['name']} {one['fingerprint'][:8]}" for one in data)
        yield "data", left, right
    left_out = {*_PLACES, *_GROUPS, "optimise_classes"}
    yield from _unlike("", *(run.experiment.model_dump(mode="json", exclude=left_out) for run in (first, second)))
    resolved = [run.info["resolved"] for run in (first, second)]
    optimise = [found.get("optimise") for found in resolved]
    on = [found is not None for found in optimise]
    if on[0] != on[1]:
        yield "class-embedding optimisation", "on" if on[0] else "off", "on" if on[1] else "off"
    if first.experiment.method != second.experiment.method:
        return  # their settings have nothing to do with each other
    for group in _GROUPS:
        settings = [found.get(group) for found in resolved]
        if None not in settings:
            both = ({key: value for key, value in one.items() if key != "optimise_classes"} for one in settings)
            yield from _unlike(f"{group}.", *both)


def _unlike(group: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in dict.fromkeys([*one, *other]):
        if one.get(key) != other.get(key):
            yield f"{group}{key}", one.get(key), other.get(key)
