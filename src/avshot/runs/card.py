"""The model card of a Run, in the form the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from avshot.experiment import Experiment, Parts
from avshot.runs.knowledge import about, doubts, few_clips, trained_on
from avshot.task import Task

_CARD = """---
library_name: avshot
tags: [{shots}, audio-visual, video-classification]
---
# {title}

{method} trained with avshot {version} on `{data}`: {n_seen} classes with training clips, {n_all} candidate classes.

{table}
{absent}
- **Method**: {paper}{files}. Preset `{preset}` ({source}), {parameters:,} parameters, seed {seed},
  modality: {modality}.
- **Chosen on {by}**: {epochs} epochs{settings}.
- **Features**: {features}.
- **Text**: {text}. Class-embedding optimisation: {optimised}.
- **Data fingerprint**: `{fingerprint}`.

## Intended use

Ranking the classes above, or classes named in free text, for video clips like the training clips. Probabilities are
calibrated on validation clips of this dataset and are not honest elsewhere.

## Out of scope

Decisions about people; clips from other sources without a check on labelled examples; classes whose names do not say
what can be seen or heard. A zero-shot prediction is a guess from words.

## How far to trust it

{about}

{doubts}

## Classes with training clips

{seen}

## Candidate classes without training clips

{unseen}
{taught}"""

_TAUGHT = """
## Classes taught after the training

The number of clips of each; no weight moved, and the numbers above were measured before: {}
"""


def model_card(
    experiment: Experiment, parts: Parts, info: dict[str, Any], metrics: dict[str, Any], seen: Sequence[bool]
) -> str:
    """Render the card.

    Args:
        experiment: What was asked.
        parts: The same, resolved.
        info: Content of `run.json`.
        metrics: Content of `metrics.json`; empty where nothing was tested.
        seen: Which of `info["classes"]` had a full set of training clips.
    """
    chosen, resolved, names = info["chosen"], info["resolved"], info["classes"]
    method = PurePath(experiment.method).stem  # as it was asked for: a variant by its own name
    few = few_clips(info)
    seen = [flag or name in few for name, flag in zip(names, seen, strict=True)]
    trained = [name for name, flag in zip(names, seen, strict=True) if flag]
    taught = {one["name"]: one["clips"] for one in info.get("taught", ())}
    unseen = [name for name, flag in zip(names, seen, strict=True) if not flag and name not in taught]
    describe = info["features"].get("describe") or ", ".join(
        f"{k} {v.get('name', v) if isinstance(v, dict) else v}" for k, v in info["features"].items() if v
    )
    return _CARD.format(
        shots="few-shot" if few else "zero-shot",
        title=f"{method} on {info['data']['name']}",
        method=method,
        version=info["versions"]["avshot"],
        data=info["data"]["name"],
        n_seen=len(trained),
        n_all=len(names),
        table=_table(parts.task.metrics, metrics),
        absent=_absent(parts.task.absent(metrics)) + _draws(parts.task, info.get("task", {}), metrics),
        paper=parts.method.paper,
        files=_files(experiment, info.get("sources", {})),
        preset=experiment.preset,
        source=resolved["source"],
        parameters=info["parameters"],
        seed=experiment.seed,
        modality=experiment.modality,
        by=" + ".join(chosen["by"]) or "nothing (no validation clips)",
        epochs=chosen["epochs"],
        settings=_settings(parts.task, chosen),
        features=describe or "not recorded",
        text=", ".join(info["encoders"]),
        optimised="on" if resolved["optimise"] else "off",
        about=about(info.get("knows")),
        doubts="\n".join(f"- {text}" for text in doubts(info.get("knows")))
        or "On clips that it was not trained on it did better than guessing; what clips of another kind do to it "
        "nobody has measured.",
        fingerprint=info["data"]["fingerprint"],
        seen=", ".join(f"{name} ({trained_on(few[name])})" if name in few else name for name in trained) or "none",
        unseen=", ".join(unseen) or "none",
        taught=_TAUGHT.format(", ".join(f"{name} ({clips})" for name, clips in taught.items())) if taught else "",
    )


def _table(names: Sequence[str], metrics: Mapping[str, Any]) -> str:
    values = ["-" if metrics.get(name) is None else f"{100 * metrics[name]:.1f}" for name in names]
    rule = "|---" * (len(names) + 1)
    return f"| | {' | '.join(names)} |\n{rule}|\n| test, in percent | {' | '.join(values)} |"


def _files(experiment: Experiment, sources: Mapping[str, str]) -> str:
    """Which files of somebody's own were used; where they lie on that machine is nobody's business."""
    return "".join(
        f"; the {kind} is the file `{PurePath(getattr(experiment, kind)).name}` (sha256 `{digest[:16]}`), of which "
        f"`{kind}.py` beside this card is a copy"
        for kind, digest in sources.items()
    )


def _settings(task: Task, chosen: Mapping[str, Any]) -> str:
    """What else was chosen, as the end of a sentence."""
    words = task.in_words(chosen["settings"])
    return f', {words} (grid "{chosen["grid"]}")' if words else ""


def _absent(reasons: Sequence[str]) -> str:
    return f"\nNot measured (-): {'; '.join(reasons)}.\n" if reasons else ""


def _draws(task: Task, noted: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """How far several draws lie apart, and what the task noted of them."""
    apart = task.of_draws([metrics])
    told = [f"Mean over draws; single ones, in per cent: {apart}."] if apart else []
    return "".join(f"\n{text}\n" for text in (*told, *noted.get("notes", ())))
