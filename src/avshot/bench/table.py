"""The table of a bench: Markdown for people, CSV for programs (LaTeX for papers: `avshot.bench.latex`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avshot.bench.data_in_words import about_data, first_run
from avshot.bench.paired import p_of_pairs
from avshot.bench.plan import Plan
from avshot.bench.significance import holm
from avshot.bench.trainings import Block, Line
from avshot.report.published import published
from avshot.report.rows import Row, detailed, explained, guessers, notes_of, percent, row_of
from avshot.run import Run
from avshot.terminal.tables import markdown

_FROM_PAPER = "{} printed"


@dataclass(frozen=True)
class Result:
    """One line of the finished table.

    Attributes:
        label: Of the row.
        row: Its Runs as one row; None where there are none.
        printed: `{metric: per cent}` as published.
        source: Where the published numbers stand.
        note: What a reader must know about the published numbers or the row.
        p: Corrected p value of the difference in HM to the row that the plan compares with, or None.
        reason: Why there are no values.
        reference: What every method must beat: a row that the plan added, or a guesser.
    """

    label: str
    row: Row | None
    printed: dict[str, float]
    source: str = ""
    note: str = ""
    p: float | None = None
    reason: str = ""
    reference: bool = False

    @property
    def title(self) -> str:
        """The label, with the dagger of `report.rows.Row.title`."""
        return self.label if self.row is None else self.row.title

    @property
    def runs(self) -> tuple[Run, ...]:
        """Its Runs, by seed; none for guessers and for rows that were left out."""
        return () if self.row is None else self.row.runs

    @property
    def values(self) -> dict[str, list[float]]:
        """`{metric: one value per seed}`, fractions."""
        return {} if self.row is None else self.row.values

    @property
    def seconds(self) -> float | None:
        """Mean time of a Run."""
        return float(np.mean([run.info["seconds"] for run in self.runs])) if self.runs else None

    @property
    def parameters(self) -> int | None:
        """Number of parameters."""
        return int(self.runs[0].info["parameters"]) if self.runs else None

    @property
    def selected_on(self) -> str:
        """What chose epoch and settings."""
        return "-" if self.row is None else self.row.selected_on

    def cell(self, metric: str) -> str:
        """Mean and sample deviation in per cent."""
        return percent(self.values.get(metric, []))


def results(plan: Plan, block: Block) -> list[Result]:
    """The lines of a block in the plan's order, then chance and majority."""
    lines = [_result(line, plan, block) for line in block.lines]
    tested, reasons = _p_values(plan, block)
    lines = [
        replace(line, p=tested.get(line.label), note=" ".join(filter(None, (line.note, reasons.get(line.label, "")))))
        for line in lines
    ]
    first = first_run(block)
    rows = guessers(block.name, first) if first is not None else ()
    return lines + [Result(row.label, row, {}, reference=True) for row in rows]


def _result(line: Line, plan: Plan, block: Block) -> Result:
    entry, runs = line.entry, line.runs
    printed, source, note = _printed(line, plan, block)
    row = row_of(block.name, entry.label, runs) if runs else None
    notes = [text for text in (entry.note, entry.misprint, note) if text]
    return Result(entry.label, row, printed, source, " ".join(notes), None, line.reason, entry.reference)


def _printed(line: Line, plan: Plan, block: Block) -> tuple[dict[str, float], str, str]:
    """Published numbers of a row: its own, or for a method as published those of the papers; with source and note."""
    entry = line.entry
    own = entry.published.get(block.dataset) or entry.published.get(block.benchmark)
    if own is not None:
        return dict(own), plan.source, ""
    if any(row.published for row in plan.rows) or entry.settings.get("config"):
        return {}, "", ""
    for row in published(block.benchmark):
        if row["method"] == entry.settings["method"] and entry.settings.get("modality", "both") == "both":
            numbers = {m: float(row[m]) for m in plan.metrics if row.get(m)}
            chosen = "unstated" if row["selected_on"] == "unstated" else f"on {row['selected_on']}"
            return numbers, f"{row['source']} (selection {chosen})", row.get("note") or ""
    return {}, "", ""


def _p_values(plan: Plan, block: Block) -> tuple[dict[str, float], dict[str, str]]:
    """Holm-corrected p value of each row against the plan's row over the seeds that both have; why others have none."""
    against = next((line for line in block.lines if line.entry.label == plan.against), None)
    if against is None or not against.runs:
        return {}, {}
    if not against.runs[0].task.harmonic:
        return {}, {}  # `absences` says so
    base = {run.experiment.seed: run for run in against.runs}
    found: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for line in block.lines:
        pairs = [(run, base[run.experiment.seed]) for run in line.runs if run.experiment.seed in base]
        if line is against or not pairs:
            continue
        try:
            found[line.entry.label] = p_of_pairs(pairs)
        except ValueError as error:
            reasons[line.entry.label] = f"No p: {error}"
    return dict(zip(found, holm(list(found.values())), strict=True)), reasons


def table(plan: Plan, lines: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Head and cells in per cent. Published numbers stand beside ours where some row has them."""
    printed = [m for m in plan.metrics if any(m in line.printed for line in lines)]
    head = ["method", *plan.metrics, *(_FROM_PAPER.format(m) for m in printed)]
    head += [f"p against {plan.against}"] if plan.against else []
    head += ["seeds", "seconds", "parameters", "selected on"]
    marks = numbered(lines)
    cells = []
    for line in lines:
        mark = f" [{marks[line.label][0]}]" if line.label in marks else ""
        row = [line.title + mark, *(line.cell(m) for m in plan.metrics)]
        row += [f"{line.printed[m]:.2f}" if m in line.printed else "-" for m in printed]
        row += [_p_text(line.p)] if plan.against else []
        row += [
            str(len(line.runs) or "-"),
            "-" if line.seconds is None else f"{line.seconds:.0f}",
            amount(line.parameters),
            line.selected_on,
        ]
        cells.append(row)
    return head, cells


def _p_text(p: float | None) -> str:
    return "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def amount(count: int | None) -> str:
    """A number of parameters for people: `0.37 M`, `0.3 k`, `64`, and "-" where there are none."""
    if not count:
        return "-"
    if count < 100:
        return str(count)
    return f"{count / 1e3:.1f} k" if count < 10_000 else f"{count / 1e6:.2f} M"


def numbered(lines: Sequence[Result]) -> dict[str, tuple[int, str]]:
    """What is said below the table of some rows, by label: its number there, from 1, and the sentences."""
    about = [line for line in lines if line.note or line.reason]
    return {line.label: (i, " ".join(filter(None, (_left_out(line), line.note)))) for i, line in enumerate(about, 1)}


def remarks(lines: Sequence[Result]) -> list[str]:
    """What is said below the table, in the order of the marks."""
    rows = [line.row for line in lines if line.row is not None]
    return [*explained(rows), *detailed(rows), *(f"[{number}] {text}" for number, text in numbered(lines).values())]


def sources(block: Block, lines: Sequence[Result]) -> list[str]:
    """Where the printed numbers stand, and whether they are of the same data."""
    found = sorted({line.source for line in lines if line.source and line.printed})
    told = [f"Printed: {'; '.join(found)}."] if found else []
    if block.simulated and any(line.printed for line in lines):
        told.append(f"{block.name} is simulated: its numbers and the printed ones are of different data.")
    return told


def absences(plan: Plan, block: Block) -> list[str]:
    """Why there is a "-" where a number is expected, and what is odd in how the clips were cut."""
    first = first_run(block)
    if first is None:
        return []
    lacking = list(first.task.absent(first.metrics))
    if plan.against and not first.task.harmonic:
        lacking.append(f"{first.task.main} is no harmonic mean of class accuracies, of which alone p is known")
    return [*(f"Where there is a -, {reason}." for reason in lacking), *notes_of([first])]


def _left_out(line: Result) -> str:
    if not line.reason:
        return ""
    return f"Not run: {line.reason}" if not line.runs else f"A training failed: {line.reason}"


def as_markdown(plan: Plan, block: Block, lines: Sequence[Result], *, caption: str) -> str:
    """Title, table, remarks and sources of one dataset."""
    head, cells = table(plan, lines)
    about = f"{caption}\n\n{about_data(block)}\n"
    text = [f"## {plan.title}: {block.name}\n", about, markdown(head, cells)]
    text += [f"- {remark}" for remark in (*remarks(lines), *absences(plan, block), *sources(block, lines))]
    return "\n".join(text) + "\n"


def as_csv(plan: Plan, blocks: Sequence[tuple[Block, Sequence[Result]]]) -> str:
    """One line per row, dataset and metric: mean and deviation as fractions of 1, published numbers likewise."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["dataset", "row", "metric", "mean", "deviation", "seeds", "printed", "source", "p_HM", "selected_on"]
    writer.writerow([*head, "seconds", "parameters", "note"])
    for block, lines in blocks:
        for line in lines:
            for metric in plan.metrics:
                found = np.array(line.values.get(metric, []))
                mean = f"{found.mean():.6f}" if len(found) else ""
                spread = f"{found.std(ddof=1):.6f}" if len(found) > 1 else ""
                paper = f"{line.printed[metric] / 100:.4f}" if metric in line.printed else ""
                p = "" if line.p is None else f"{line.p:.6f}"
                about = [line.selected_on, f"{line.seconds or 0:.1f}", line.parameters or 0]
                about += [" ".join(filter(None, (_left_out(line), line.note)))]
                row = [block.name, line.label, metric, mean, spread, len(found), paper, line.source, p, *about]
                writer.writerow(row)
    return out.getvalue()
