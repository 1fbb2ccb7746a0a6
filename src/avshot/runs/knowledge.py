"""What a Run knows, measured when it is trained, and what somebody who reads its answers has to be told of it.

`measured` gives the facts that `run.json` keeps under `knows`; `about` and `doubts` say them in sentences: in notes of
`avshot train`, in the report, in the model card and with every prediction.

Whether a Run beats guessing is asked of the task's own metric, on the clips that were held out: their labels are
shuffled, and the Run has to do better than with every one of `SHUFFLES` shufflings, so that one useless Run in a
hundred passes. (One that was chosen as the best of many epochs on these very clips passes somewhat more often.)
Shuffling keeps how often each class occurs, so always naming the commonest class is guessing, too. A handful of clips
cannot pass: four clips of four classes, all right, fall to one shuffling in 24.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.task import Scored, Stage, Task
from avshot.types import MODALITIES

SHUFFLES = 99
MOST_JUDGED = 2000  # clips that the labels are shuffled of; more tell nothing new
FEW_JUDGED = 20  # held-out clips below which a Run that does not beat guessing may just not have had the occasion
FEW_CLIPS = 5  # of a class in the median: below it none can be spared to see how well the class is recognised
KNOW_NOTHING = ("logmel", "pixels")  # descriptors without weights: what they mean is learnt from the training clips
EXAMPLES = 2  # class names that are shown
SHOWN = 4  # taught classes that are named


def measured(
    task: Task,
    dataset: Dataset,
    stage: Stage,
    *,
    scored: Scored | None,
    settings: Mapping[str, Any],
    on: Sequence[str],
    learns: bool,
) -> dict[str, Any]:
    """The facts, as plain values for JSON.

    Args:
        task: What was trained for.
        dataset: Its data.
        stage: The stage whose training made the Run's weights.
        scored: Clips that were held out; None where there were none.
        settings: What validation chose.
        on: Names of the folds of the held-out clips.
        learns: The method learns from the training clips.

    Returns:
        `clips` and `classes` trained on; clips of a class: `fewest`, `median`, `most`; `examples` of class names;
        `described`, the names of the extractors; `learns`; `judged`, see `_judged`, or None.
    """
    counts = Counter(label for i in stage.train if (label := dataset.clips[int(i)].label) is not None)
    sizes, names = sorted(counts.values()) or [0], sorted(counts)
    spec = {} if dataset.features is None else dataset.features.spec
    makers = [spec.get(modality) for modality in MODALITIES]
    return {
        "clips": len(stage.train),
        "classes": len(counts),
        "fewest": sizes[0],
        "median": float(median(sizes)),
        "most": sizes[-1],
        "examples": names[:: max(1, len(names) // EXAMPLES)][:EXAMPLES],
        "described": [str(maker["name"]) for maker in makers if isinstance(maker, Mapping) and "name" in maker],
        "learns": learns,
        "judged": None if scored is None else _judged(task, scored, settings, on),
    }


def few_clips(info: Mapping[str, Any]) -> dict[str, int]:
    """`{class: clips}` of the classes that a Run was trained on a few clips of, each with how many; 0 where not noted.

    Args:
        info: Content of `run.json`.
    """
    drawn = info.get("task", {}).get("drawn", {}).get("stage2", {})  # the weights are those of the first tested stage
    return {name: len(drawn.get(name, ())) for name in info.get("few", ())}


def trained_on(clips: int) -> str:
    """How a class is known that was trained on a few clips; 0 stands for a number that nobody noted."""
    return f"trained on {_count(clips, 'clip') if clips else 'a few clips'}"


def about(knows: Mapping[str, Any] | None) -> str:
    """What a Run was trained on, in one line.

    Args:
        knows: `run.json`'s entry of that name; None in Runs that are older than it.

    Example:
        >>> about(None)
        'Made by an older avshot, which did not note what it was trained on.'
    """
    if knows is None:
        return "Made by an older avshot, which did not note what it was trained on."
    like = ", ".join(f'"{name}"' for name in knows["examples"])
    text = f"Trained on {_count(knows['clips'], 'clip')} of {_count(knows['classes'], 'class')}"
    text += f" like {like}" if like else ""
    by = " and ".join(knows["described"])
    if by and set(knows["described"]) <= set(KNOW_NOTHING):
        return f"{text}; {by} know{'s' * (len(knows['described']) == 1)} nothing else."
    return f"{text}, described by {by}." if by else f"{text}."


def learnt_later(taught: Sequence[Mapping[str, Any]]) -> str:
    """Which classes a Run was taught after its training, and from how many clips, in one line; empty for none.

    Args:
        taught: `run.json`'s entry of that name.

    Example:
        >>> learnt_later([{"name": "fire alarm", "clips": 5}, {"name": "horn", "clips": 1}])
        'Taught 2 classes later: "fire alarm" from 5 clips, "horn" from 1 clip.'
    """
    shown = [f'"{one["name"]}" from {_count(one["clips"], "clip")}' for one in taught[:SHOWN]]
    shown += [f"{len(taught) - SHOWN} more"] if len(taught) > SHOWN else []
    return f"Taught {_count(len(taught), 'class')} later: {', '.join(shown)}." if taught else ""


def doubts(knows: Mapping[str, Any] | None) -> list[str]:
    """Why the answers of a Run may be worth nothing, a sentence for each reason; empty where nothing speaks against it.

    Args:
        knows: As for `about`; of a Run that is older than the entry nothing can be said.
    """
    if knows is None:
        return []
    found, judged = [], knows["judged"]
    if judged is None:
        found.append("No clip was held out, so nobody knows how good it is.")
    elif judged["as_good"]:
        where = "validation" if all(fold.startswith("val") for fold in judged["on"]) else "held-out"
        numbers = f"{judged['metric']} {_percent(judged['value'])}, {judged['guesser']} {_percent(judged['guess'])}"
        if judged["clips"] < FEW_JUDGED:
            few = _count(judged["clips"], f"{where} clip")
            found.append(f"Judged on {few}, too few to tell its answers from guesses ({numbers}).")
        else:
            found.append(
                f"No better than guessing on the {judged['clips']} {where} clips ({numbers}): its answers are guesses."
            )
    if knows["learns"] and knows["median"] < FEW_CLIPS:
        clips = f"Trained on {_count(knows['clips'], 'clip')}, {_of_each(knows)} of each class"
        found.append(f"{clips}: too few to tell what the clips of a class share from what they happen to share.")
    return found


def _judged(task: Task, scored: Scored, settings: Mapping[str, Any], on: Sequence[str]) -> dict[str, Any] | None:
    """How a Run did on held-out clips, and how guessing does.

    Returns:
        `clips`, `on` which folds; `metric`, the task's main one or the first that can be measured; its `value`;
        `guess`, that of the best of the task's guessers, or where it has none the mean over shuffled labels, and which
        (`guesser`); `as_good`, how many of the `shuffles` shufflings gave as good a value. None where no metric can be
        measured.
    """
    found = task.measure(scored, settings)
    metric = next((name for name in (task.main, *task.metrics) if found.get(name) is not None), None)
    if metric is None or not len(scored.labels):
        return None
    few = _some(scored)
    value = float(task.measure(few, settings)[metric] or 0.0)
    shuffled = [float(task.measure(one, settings)[metric] or 0.0) for one in _shufflings(few)]
    guesses = {name: values[metric] for name, values in task.guessers(scored).items() if metric in values}
    guesser = max(guesses, key=lambda name: guesses[name], default="shuffled labels")
    return {
        "clips": len(scored.labels),
        "on": list(on),
        "metric": metric,
        "value": float(found[metric]),
        "guess": float(guesses.get(guesser, np.mean(shuffled))),
        "guesser": guesser,
        "as_good": sum(one >= value for one in shuffled),
        "shuffles": SHUFFLES,
    }


def _some(scored: Scored) -> Scored:
    """At most `MOST_JUDGED` of the clips, drawn evenly."""
    n = len(scored.labels)
    if n <= MOST_JUDGED:
        return scored
    rows = torch.linspace(0, n - 1, MOST_JUDGED).long()
    ids = tuple(scored.ids[i] for i in rows.tolist())
    return replace(scored, scores=scored.scores[rows], labels=scored.labels[rows], ids=ids)


def _shufflings(scored: Scored) -> list[Scored]:
    """The clips with labels shuffled among those that have the same candidates, `SHUFFLES` times, each time alike."""
    rng = np.random.default_rng(0)
    groups = _alike(scored.scores.isfinite())
    made = []
    for _ in range(SHUFFLES):
        labels = scored.labels.clone()
        for rows in groups:
            labels[rows] = scored.labels[rows[torch.from_numpy(rng.permutation(len(rows)))]]
        made.append(replace(scored, labels=labels))
    return made


def _alike(candidates: Tensor) -> list[Tensor]:
    """Rows `[clip]` of equal rows of `candidates` `[clip, class]`."""
    if bool(candidates.all()):
        return [torch.arange(len(candidates))]
    _, group = torch.unique(candidates, dim=0, return_inverse=True)
    return [(group == i).nonzero().flatten() for i in range(int(group.max()) + 1)]


def _of_each(knows: Mapping[str, Any]) -> str:
    low, high = knows["fewest"], knows["most"]
    if high - low < 2:
        return f"{low}" if low == high else f"{low} or {high}"
    return f"{low} to {high}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{('es' if what.endswith('s') else 's') * (number != 1)}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
