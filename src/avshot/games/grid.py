"""All experiments of a plan, and their table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from avshot.games.curves import running_mean
from avshot.games.measures import mean_interval, paired_p
from avshot.games.plan import Plan
from avshot.games.play import load_rounds, play

COUNTED = ("score", "words", "colours", "kl", "unparsed", "empty")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Cell:
    """One row and column over all seeds.

    Attributes:
        row: Label.
        column: Label.
        folders: Of its experiments, one for each seed.
        records: What they measured.
        scores: Of all test episodes, seed after seed.
    """

    row: str
    column: str
    folders: Sequence[Path]
    records: Sequence[dict[str, Any]]
    scores: Sequence[float]

    def values(self, name: str) -> list[float]:
        """A measure after learning (or as the speaker is), one for each seed that has it."""
        found = [record.get("after", record["before"]).get(name) for record in self.records]
        return [value for value in found if value is not None]

    def in_words(self, name: str) -> str:
        """Mean ± sample deviation over seeds; "-" where nothing was measured."""
        values = self.values(name)
        if not values:
            return "-"
        spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
        return f"{mean(values):.3f}{spread}"


def run_plan(plan: Plan, out: Path, progress: Progress = lambda what, done, total: None) -> list[Cell]:
    """Run every experiment of a plan that is not done yet; one that was stopped is gone on with.

    Args:
        plan: The plan.
        out: Folder; each experiment has its own in `out/ROW/COLUMN/seed-S`.
        progress: Is told which experiment is at which update.

    Raises:
        ValueError: An experiment asks for what does not exist.
    """
    cells = []
    for (row, column), asked in plan.cells.items():
        seeds = plan.seeds if asked.learner != "none" else plan.seeds[:1]  # nothing else depends on the seed
        folders, records, scores = [], [], []
        for seed in seeds:
            folder = out / slug(row) / slug(column) / f"seed-{seed}"
            what = f"{row} / {column} / seed {seed}"
            records.append(play(replace(asked, seed=seed), folder, partial(progress, what)))
            folders.append(folder)
            scores += [each.score for each in load_rounds(folder / "after.jsonl")]
        cells.append(Cell(row, column, folders, records, scores))
    return cells


def slug(text: str) -> str:
    """A label as the name of a folder."""
    return re.sub(r"[^\w.+=-]+", "-", text).strip("-") or "unnamed"


def p_value(cell: Cell, cells: Sequence[Cell], against: str) -> float | None:
    """Two-sided p of a cell against another row of its column on the same test episodes; None for that row itself.

    The first seed of each is compared: seeds share their test episodes, so that pooled rounds are not independent.
    """
    other = next((each for each in cells if (each.row, each.column) == (against, cell.column)), None)
    if other is None or other.row == cell.row:
        return None
    n = cell.records[0]["before"]["rounds"]
    return paired_p(cell.scores[:n], other.scores[:n])


_TRAINING = ("training_peak", "training_last", "checks_peak")


def _training(record: Mapping[str, Any]) -> list[float | None]:
    """Peak and last of the running mean of scores while learning, and the best look of the guard; None for none."""
    means = running_mean([point["score"] for point in record.get("curve", [])])
    peak = max((score for _, score in record.get("checks", [])), default=None)
    return [max(means), means[-1], peak] if means else [None, None, peak]


HEAD = ("row", "column", "score", "95 %", "p", "words", "colours", "KL", "no answer", "empty", "printed")


def table(plan: Plan, cells: Sequence[Cell]) -> list[list[str]]:
    """Cells of the table, in words, below `HEAD`.

    The interval is that of the first seed's test episodes: of a share it is Wilson's.
    """
    lines = []
    for cell in cells:
        n = cell.records[0]["before"]["rounds"]
        low, high = mean_interval(cell.scores[:n])
        p = p_value(cell, cells, plan.against) if plan.against else None
        printed = [f"{e.value:g}" for e in plan.published if (e.row, e.column) == (cell.row, cell.column)]
        counted = [cell.in_words(name) for name in COUNTED]
        shown = "-" if p is None else "< .001" if p < 0.001 else f"{p:.3f}"
        row = [cell.row, cell.column, counted[0], f"{low:.2f} to {high:.2f}", shown, *counted[1:], ", ".join(printed)]
        lines.append([each or "-" for each in row])
    return lines


def as_csv(plan: Plan, cells: Sequence[Cell]) -> str:
    """One line for each experiment, with all its measures."""
    out = io.StringIO()
    names = [*COUNTED, "low", "high", "left", "score_left", "score_right", "rounds"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row", "column", "seed", "before", *names, *_TRAINING, "stranger", "interactions", "checks"])
    for cell in cells:
        for record in cell.records:
            found, counts = record.get("after", record["before"]), record.get("interactions", {})
            stranger = record.get("stranger", {}).get("score")
            line = [cell.row, cell.column, record["asked"]["seed"], record["before"]["score"]]
            line += [found.get(name) for name in names]
            writer.writerow([*line, *_training(record), stranger, counts.get("training", 0), counts.get("checks", 0)])
    return out.getvalue()
