"""The separability-semantics curve of class-embedding optimisation: distance of classes against order kept.

    AVSHOT_DATA=<folder with splits/ and text/> python benchmarks/curve.py     # all vocabularies; half an hour
    python benchmarks/curve.py --vocabulary words-1000 --steps 60              # one; the others stay as they are
    python benchmarks/curve.py --draw                                          # only the table and the picture

Every setting of class-embedding optimisation descends from the text embeddings and is watched at every step: mean
cosine distance of a class to its nearest neighbour (separability) against the mean rank correlation of a class's
distances with the original ones (semantics). Nothing stops it but the number of steps and convergence.

Vocabularies: the classes that stage 2 chooses from in the three benchmarks, with the released vectors (UCF 51,
ActivityNet 200, VGGSound 276), and `words-N`, 10,000 at most, from the built-in text encoder: the first N distinct ones
among the tokens of its own vocabulary that are whole words of three Latin letters or more, in lower case. Numbers go to
`results/curve.json`, the picture to `docs/separability-semantics.svg`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measure import keep, options

from avshot.terminal.tables import print_table

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "separability-semantics.svg"
REAL = {"ucf": "UCF", "activitynet": "ActivityNet", "vggsound": "VGGSound"}
# At most so many steps, and how many degrees a vector turns in the first of them: where steps are dear they are long.
STEPS, OTHER_STEPS = {"ucf": 600, "activitynet": 150, "vggsound": 300}, 40
TURN, OTHER_TURN = {"ucf": 0.5, "activitynet": 2.0, "vggsound": 1.0}, 4.0
GROWTHS = (1.35, 2.0)  # where the table reads the curve


@dataclass(frozen=True)
class Setting:
    """One way down.

    Attributes:
        alpha: Weight of the separation; 1 is separation alone.
        margin: Of the rank term.
        weight: Factor of the rank term, 1 or "classes".
    """

    alpha: float
    margin: float = 1.0
    weight: float | str = 1.0

    @property
    def label(self) -> str:
        """Name in tables."""
        if self.alpha == 1:
            return "separation alone"
        return f"alpha {self.alpha:g}, margin {self.margin:g}, weight {'C' if self.weight == 'classes' else '1'}"

    def ratio(self, count: int) -> float:
        """Rank term per unit of separation. Adam knows no scale, so alpha and weight act through this alone."""
        return (1 - self.alpha) * (count if self.weight == "classes" else float(self.weight)) / self.alpha


PAPER, STIFF, ALONE = Setting(0.5), Setting(0.5, 0.0, "classes"), Setting(1.0)
ALL = (
    ALONE,
    *(Setting(a, m, w) for w in (1.0, "classes") for m in (0.0, 0.5, 1.0) for a in (0.1, 0.5, 0.9)),
)
FEW = (PAPER, STIFF, ALONE)  # for words


def vocabulary(name: str) -> Any:
    """Class vectors `[class, dim]` of `ucf`, `activitynet`, `vggsound` or `words-N`."""
    if name in REAL:
        return _real(REAL[name])
    return words(int(name.removeprefix("words-")))


def _real(benchmark: str) -> Any:
    from avshot.classes.encoders.vectors import load_vectors
    from avshot.data.official.class_vectors import find_class_vectors
    from avshot.data.official.tables import read_tables

    root = Path(os.environ["AVSHOT_DATA"])
    tables = read_tables(root / "splits", benchmark)
    lists = tables.lists["main"]
    names = [*lists["stage_2_train"], *lists["stage_2_test_unseen"]]
    vectors = load_vectors(str(find_class_vectors(root / "text", benchmark)["w2v"]))
    return vectors.encode([tables.phrases[name] for name in names])


def words(count: int) -> Any:
    """Vectors of the first `count` words in the vocabulary of the built-in text encoder (about 10,400 are there)."""
    import wordllama

    from avshot.classes.embed import create_text_encoder

    file = next((Path(wordllama.__file__).parent / "tokenizers").glob("l2_supercat*.json"))
    tokens = json.loads(file.read_text(encoding="utf-8"))["model"]["vocab"]
    whole = [t[1:].lower() for t in sorted(tokens, key=tokens.__getitem__) if re.fullmatch("\u2581[A-Za-z]{3,}", t)]
    found = list(dict.fromkeys(whole))[:count]
    if len(found) < count:
        raise ValueError(f"The text encoder's vocabulary has {len(found)} words; asked for {count}.")
    return create_text_encoder("wordllama").encode(found)


def trace(vectors: Any, setting: Setting, *, steps: int, turn: float) -> dict[str, Any]:
    """The way of one setting: lists `nearest` and `correlation`, the start first; seconds of CPU per step."""
    from avshot.classes.optimise.config import OptimiseConfig
    from avshot.classes.optimise.optimise import optimise

    alone = setting.alpha == 1
    config = OptimiseConfig(
        semantic="none" if alone else "ranking",
        alpha=setting.alpha,
        margin=setting.margin,
        semantic_weight=setting.weight,  # type: ignore[arg-type]
        growth=None,
        correlation=None,
        turn=turn,
        max_steps=steps,
    )
    started = time.process_time()
    _, outcome = optimise(vectors, config)
    seconds = (time.process_time() - started) / max(outcome.steps, 1)
    found = {
        "nearest": [outcome.mean_before, *(entry["nearest"] for entry in outcome.history)],
        "correlation": [1.0, *(entry["correlation"] for entry in outcome.history)],
    }
    shown = _thinned(outcome.steps)
    return asdict(setting) | {
        "label": setting.label,
        "ratio": setting.ratio(len(vectors)),
        "stopped": outcome.stopped,
        "steps": outcome.steps,
        "kept_near": round(outcome.kept_near, 4),
        "seconds": round(seconds, 4),
        "at": {f"{growth:g}": _reading(found, growth) for growth in GROWTHS},
        "step": shown,
        **{key: [round(values[i], 5) for i in shown] for key, values in found.items()},
    }


def _thinned(steps: int, most: int = 48) -> list[int]:
    """Steps to keep: all where they are few, else dense at the start, where the curve bends."""
    if steps < most:
        return list(range(steps + 1))
    return sorted({round(steps * (i / most) ** 2) for i in range(most + 1)})


def _reading(found: dict[str, list[float]], growth: float) -> dict[str, float] | None:
    """Step and correlation where the distance has first grown by `growth`, between two steps on a line; None: never."""
    nearest, correlation = found["nearest"], found["correlation"]
    goal = growth * nearest[0]
    for i in range(1, len(nearest)):
        if nearest[i] >= goal:
            part = (goal - nearest[i - 1]) / (nearest[i] - nearest[i - 1])
            value = correlation[i - 1] + part * (correlation[i] - correlation[i - 1])
            return {"step": round(i - 1 + part, 2), "nearest": round(goal, 5), "correlation": round(value, 5)}
    return None


def traced(
    name: str,
    settings: Sequence[Setting],
    *,
    steps: int,
    turn: float,
    done: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """All settings on one vocabulary; `done` is shown what there is after each."""
    vectors = vocabulary(name)
    found: dict[str, Any] = {"classes": len(vectors), "steps": steps, "turn": turn, "traces": []}
    for setting in settings:
        found["traces"].append(trace(vectors, setting, steps=steps, turn=turn))
        if done is not None:
            done(found)
    return found


def show(name: str, found: dict[str, Any]) -> None:
    """Table of one vocabulary."""
    rows = []
    for line in found["traces"]:
        at = [line["at"][f"{growth:g}"] for growth in GROWTHS]
        end = [f"{line['nearest'][-1]:.3f}", f"{line['correlation'][-1]:.3f}", f"{line['steps']}", line["stopped"]]
        rows.append([line["label"], *("-" if a is None else f"{a['correlation']:.3f}" for a in at), *end])
    start = found["traces"][0]["nearest"][0]
    head = ["setting", *(f"correlation at x{growth:g}" for growth in GROWTHS)]
    head += ["distance at the end", "correlation there", "steps", "stopped by"]
    title = f"{name}: {found['classes']} classes, nearest neighbour {start:.3f}, {found['turn']:g} degrees a step"
    print_table(title, head, rows)


def run() -> None:
    """A short form for the suite: a few settings on a small vocabulary; the whole is `python benchmarks/curve.py`."""
    name = "ucf" if os.environ.get("AVSHOT_DATA") else "words-50"
    found = traced(name, FEW, steps=20 if options.quick else 200, turn=1.0)
    show(name, found)
    keep("curve_short", {"vocabularies": {name: found}})


def main() -> None:
    """Trace what was asked for, keep it beside what is there, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", default="ucf,activitynet,vggsound,words-1000", help="comma-separated")
    parser.add_argument("--steps", type=int, help="at most; default: as in STEPS, 40 for words")
    parser.add_argument("--turn", type=float, help="degrees; default: as in TURN, 4 for words")
    parser.add_argument("--draw", action="store_true", help="trace nothing")
    chosen = parser.parse_args()
    file = options.results / "curve.json"
    for name in [] if chosen.draw else chosen.vocabulary.split(","):
        steps, turn = chosen.steps or STEPS.get(name, OTHER_STEPS), chosen.turn or TURN.get(name, OTHER_TURN)
        others = json.loads(file.read_text())["vocabularies"] if file.exists() else {}

        def done(found: dict[str, Any], name: str = name, others: dict[str, Any] = others) -> None:
            last = found["traces"][-1]
            print(f"{name}: {last['label']}: {last['steps']} steps of {last['seconds']} CPU s", flush=True)
            keep("curve", {"vocabularies": others | {name: found}})

        traced(name, ALL if name in REAL else FEW, steps=steps, turn=turn, done=done)
    kept = dict(sorted(json.loads(file.read_text())["vocabularies"].items(), key=lambda item: item[1]["classes"]))
    for name, found in kept.items():
        show(name, found)
    from curve_picture import draw

    draw(kept, PICTURE)
    print(f"picture: {PICTURE}")


if __name__ == "__main__":
    main()
