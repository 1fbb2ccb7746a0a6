"""The model card of a Run, in the form the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avshot.experiment import Experiment
from avshot.metrics.generalised import why_absent
from avshot.registry import get_method

_CARD = """---
library_name: avshot
tags: [zero-shot, audio-visual, video-classification]
---
# {title}

{method} trained with avshot {version} on `{data}`: {n_seen} classes with training clips, {n_all} candidate classes.

| | S | U | HM | ZSL | AUSUC |
|---|---|---|---|---|---|
| test, in percent | {S} | {U} | {HM} | {ZSL} | {AUSUC} |
{absent}
- **Method**: {paper}. Preset `{preset}` ({source}), {parameters:,} parameters, seed {seed}, modality: {modality}.
- **Chosen on {by}**: {epochs} epochs, seen classes lowered by beta = {beta:.4g} (grid "{grid}").
- **Features**: {features}.
- **Text**: {text}. Class-embedding optimisation: {optimised}.
- **Data fingerprint**: `{fingerprint}`.

## Intended use

Ranking the classes above, or classes named in free text, for video clips like the training clips. Probabilities are
calibrated on validation clips of this dataset and are not honest elsewhere.

## Out of scope

Decisions about people; clips from other sources without a check on labelled examples; classes whose names do not say
what can be seen or heard. A zero-shot prediction is a guess from words.

## Classes with training clips

{seen}

## Candidate classes without training clips

{unseen}
"""


def model_card(experiment: Experiment, info: dict[str, Any], metrics: dict[str, Any], seen: Sequence[bool]) -> str:
    """Render the card.

    Args:
        experiment: What was asked.
        info: Content of `run.json`.
        metrics: Content of `metrics.json`; empty where nothing was tested.
        seen: Which of `info["classes"]` had training clips.
    """

    def percent(name: str) -> str:
        value = metrics.get(name)
        return "-" if value is None else f"{100 * value:.1f}"

    chosen, resolved, names = info["chosen"], info["resolved"], info["classes"]
    trained = [name for name, flag in zip(names, seen, strict=True) if flag]
    unseen = [name for name, flag in zip(names, seen, strict=True) if not flag]
    describe = info["features"].get("describe") or ", ".join(
        f"{k} {v.get('name', v) if isinstance(v, dict) else v}" for k, v in info["features"].items() if v
    )
    return _CARD.format(
        title=f"{experiment.method} on {info['data']['name']}",
        method=experiment.method,
        version=info["versions"]["avshot"],
        data=info["data"]["name"],
        n_seen=len(trained),
        n_all=len(names),
        **{name: percent(name) for name in ("S", "U", "HM", "ZSL", "AUSUC")},
        absent=_absent(metrics),
        paper=get_method(experiment.method).paper,
        preset=experiment.preset,
        source=resolved["source"],
        parameters=info["parameters"],
        seed=experiment.seed,
        modality=experiment.modality,
        by=" + ".join(chosen["by"]) or "nothing (no validation clips)",
        epochs=chosen["epochs"],
        beta=chosen["beta"],
        grid=chosen["grid"],
        features=describe or "not recorded",
        text=", ".join(info["encoders"]),
        optimised="on" if resolved["optimise"] else "off",
        fingerprint=info["data"]["fingerprint"],
        seen=", ".join(trained) or "none",
        unseen=", ".join(unseen) or "none",
    )


def _absent(metrics: dict[str, Any]) -> str:
    reasons = "; ".join(why_absent(metrics))
    return f"\nNot measured (-): {reasons}.\n" if reasons else ""
