"""Runs that differ only in their seed, summarised as one row of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avshot.metrics.generalised import why_absent
from avshot.run import Run
from avshot.runs.key import class_changes

METRICS = ("S", "U", "HM", "ZSL", "AUSUC")


@dataclass(frozen=True)
class Row:
    """One row of a results table.

    Attributes:
        dataset: Name of the dataset; where several datasets share a name, with the start of the fingerprint.
        label: What was run, or "chance" or "majority".
        values: `{metric: one value per seed}` as fractions; a metric that was not measured is absent.
        beta: Calibration of each seed.
        epochs: Epochs of each seed.
        selected_on: Folds that chose epoch and calibration.
        runs: The Runs; empty for reference rows.
    """

    dataset: str
    label: str
    values: dict[str, list[float]]
    beta: list[float]
    epochs: list[int]
    selected_on: str
    runs: tuple[Run, ...] = ()

    def cell(self, metric: str) -> str:
        """Mean and sample standard deviation over seeds in percent, for example `81.2 ± 0.9`."""
        values = 100 * np.array(self.values.get(metric, []))
        if len(values) == 0:
            return "-"
        return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


def summarise(runs: Sequence[Run]) -> list[Row]:
    """Group Runs that differ only in their seed; best mean HM first, the trivial guessers last within each dataset.

    Runs on different data (other fingerprint, which covers the features) are never averaged, even under one name, nor
    are Runs with other settings or other class embeddings, even under one label. Of copies of one Run the first counts.
    """
    groups: dict[tuple[str, str], list[list[Run]]] = {}
    for run in runs:
        data = run.info["data"]
        of_data = groups.setdefault((data["name"], data["fingerprint"]), [])
        of_row = next((found for found in of_data if _alike(found[0], run)), None)
        if of_row is None:
            of_data.append([run])
        elif run.experiment.seed not in {other.experiment.seed for other in of_row}:
            of_row.append(run)
    named = Counter(name for name, _ in groups)
    rows = []
    for (name, fingerprint), members in sorted(groups.items()):
        title = name if named[name] == 1 else f"{name} (data {fingerprint[:8]})"
        found_rows = [row_of(title, label, found) for label, found in zip(_labels(members), members, strict=True)]
        rows += sorted(found_rows, key=_merit)
        rows += trivial(title, found_rows[0].runs[0])
    return rows


def _merit(row: Row) -> float:
    """To sort by: the best row first, by HM, or by what there is in its place."""
    return next((-float(np.mean(row.values[m])) for m in ("HM", "ZSL", "S") if m in row.values), 1.0)


def _alike(one: Run, other: Run) -> bool:
    """Everything that was asked for is the same but the seed and where things are, and so are the class embeddings."""
    left, right = (
        run.experiment.model_dump(mode="json", exclude={"seed", "dataset", "device"}) for run in (one, other)
    )
    return left == right and not _class_changes(one, other)


def _class_changes(one: Run, other: Run) -> list[str]:
    """What differs between their class embeddings as the text encoders gave them; the digests mostly answer."""
    left, right = ((run.info["key"] or {}).get("classes") for run in (one, other))
    if left is not None and left == right:
        return []
    return class_changes(one.classes(raw=True), other.classes(raw=True))


def _labels(groups: Sequence[Sequence[Run]]) -> list[str]:
    """A label for each group of Runs: the experiment's, with what tells it from others of that label."""
    short = [found[0].experiment.label() for found in groups]
    count = Counter(short)
    longer = [
        label if count[label] == 1 else f"{label} ({_in_full(found[0])})"
        for label, found in zip(short, groups, strict=True)
    ]
    count, place = Counter(longer), Counter[str]()
    for i, label in enumerate(longer):
        place[label] += 1
        if count[label] > 1:  # the same words, embedded otherwise
            longer[i] = f"{label} [{place[label]}: other class embeddings]"
    return longer


def _in_full(run: Run) -> str:
    experiment = run.experiment
    about = [f"text={'+'.join(experiment.text)}", f"prompts={experiment.prompts}"]
    about += [] if experiment.descriptions is None else [f"descriptions={experiment.descriptions}"]
    return ", ".join(about)


def row_of(name: str, label: str, runs: Sequence[Run]) -> Row:
    """One row of Runs that differ only in their seed."""
    runs = sorted(runs, key=lambda r: r.experiment.seed)
    values = {m: [r.metrics[m] for r in runs if r.metrics.get(m) is not None] for m in METRICS}
    chosen = [r.info["chosen"] for r in runs]
    return Row(
        name,
        label,
        {metric: found for metric, found in values.items() if found},
        [c["beta"] for c in chosen],
        [c["epochs"] for c in chosen],
        " + ".join(chosen[0]["by"]) or "nothing",
        tuple(runs),
    )


def chance(name: str, run: Run) -> Row:
    """Uniform guessing among the candidates of `run`: 1/C for S and U, 1/(unseen) for ZSL, and AUSUC of all mixtures.

    A guesser that says "seen" with probability p has S = p / seen, U = (1 - p) / unseen: a straight line, under which
    lies 1 / (2 * seen * unseen). What the Run itself could not measure for want of clips is absent here, too.
    """
    test = run.scored("test")
    if test is None:
        return Row(name, "chance", {}, [], [], "-")
    n, seen = len(test.seen), int(test.seen.sum())
    found = {
        "S": 1 / n,
        "U": 1 / n,
        "HM": 1 / n,
        "ZSL": 1 / max(n - seen, 1),
        "AUSUC": 1 / max(2 * seen * (n - seen), 1),
    }
    return Row(name, "chance", _measured(found, run), [], [], "-")


def trivial(name: str, run: Run) -> list[Row]:
    """Rows of the two guessers that look at nothing: chance, and always the same class.

    The second says the commonest training class, or where only unseen ones are candidates, always the same of them. S
    is 1/seen, U and HM are 0, ZSL is 1/unseen, however uneven the classes are.
    """
    guesser, test = chance(name, run), run.scored("test")
    values: dict[str, list[float]] = {}
    if test is not None:
        seen, unseen = int(test.seen.sum()), int((~test.seen).sum())
        values = _measured({"S": 1 / max(seen, 1), "U": 0.0, "HM": 0.0, "ZSL": 1 / max(unseen, 1)}, run)
    return [guesser, Row(name, "majority", values, [], [], "-")]


def _measured(values: dict[str, float], run: Run) -> dict[str, list[float]]:
    return {metric: [value] for metric, value in values.items() if run.metrics.get(metric) is not None}


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the results table, in percent."""
    head = ["method", *METRICS, "seeds", "beta", "epochs", "selected on"]

    def spread(values: Sequence[float], form: str) -> str:
        return "-" if not values else "/".join(form.format(v) for v in values)

    cells = [
        [
            row.label,
            *(row.cell(m) for m in METRICS),
            str(len(row.runs)) if row.runs else "-",
            spread(row.beta, "{:.3g}"),
            spread(row.epochs, "{}"),
            row.selected_on,
        ]
        for row in rows
    ]
    return head, cells


def remarks(rows: Sequence[Row]) -> list[str]:
    """What a reader of the rows of one dataset must know: why there is a "-" where a number is expected."""
    first = next((row.runs[0] for row in rows if row.runs), None)
    return [] if first is None else [f"Where there is a -, {reason}." for reason in why_absent(first.metrics)]
