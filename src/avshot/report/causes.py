"""What may have moved a published number: what is known of the program behind it. Data: published_causes.csv.

`avshot audit` prints it below its findings. A cause is a fact about a program, its features or the released files; by
how much it moved a number is not known and not said.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

from avshot.data.findings import Finding
from avshot.data.official.audit import Audit
from avshot.report.published import published
from avshot.terminal.tables import markdown

KINDS = ("class vectors", "selection", "calibration", "program", "features", "clips", "runs", "numbers")
_NUMBERS = ("S", "U", "HM", "ZSL")


@dataclass(frozen=True)
class Cause:
    """One thing that may have moved numbers.

    Attributes:
        name: Two or three words.
        kind: One of `KINDS`.
        text: Sentences.
        known_from: Program, paper or count that says so.
    """

    name: str
    kind: str
    text: str
    known_from: str


@dataclass(frozen=True)
class Explained:
    """A published result with all that is known to bear on it.

    Attributes:
        dataset: `ucf-cls`, ...
        method: As in published.csv.
        numbers: S, U, HM, ZSL in per cent, as printed.
        sources: Where it is printed; later papers quote the numbers of earlier ones.
        notes: What is odd in the numbers themselves: misprints.
        causes: In the order of `KINDS`.
    """

    dataset: str
    method: str
    numbers: tuple[str, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...]
    causes: tuple[Cause, ...]


def causes_of(dataset: str, method: str, source: str) -> tuple[Cause, ...]:
    """What is known of the program behind the number that `source` prints for `method` on `dataset`."""
    asked = {"datasets": dataset.lower().removesuffix("-legacy"), "methods": method, "sources": source.lower()}
    found = [row for row in _table() if all(_fits(value, row[key]) for key, value in asked.items())]
    return tuple(Cause(row["cause"], row["kind"], row["text"], row["known_from"]) for row in found)


def explained(dataset: str) -> tuple[Explained, ...]:
    """Every published result on `dataset` with its causes; equal numbers of a method, from several papers, are one."""
    rows: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in published(dataset):
        rows.setdefault((row["method"], *(row[key] for key in _NUMBERS)), []).append(row)
    return tuple(
        Explained(
            group[0]["dataset"],
            method,
            tuple(numbers),
            tuple(row["source"] for row in group),
            tuple(dict.fromkeys(row["note"] for row in group if row["note"])),
            _in_order(cause for row in group for cause in causes_of(row["dataset"], method, row["source"])),
        )
        for (method, *numbers), group in rows.items()
    )


def explain(found: Audit) -> str:
    """The published results on an audited benchmark, each with the numbers of its causes, and these below.

    Where the audit counted the same thing in the user's files, the count is added to the cause.
    """
    places: dict[Cause, int] = {}
    lines = []
    for split in ("main", "cls", "clipclap"):
        dataset = f"{found.benchmark.lower()}-{split}"
        rows = []
        for one in explained(dataset):
            refers = ",".join(str(places.setdefault(cause, len(places) + 1)) for cause in one.causes)
            rows.append([one.method, *one.numbers, f"[{refers}]", "; ".join([*one.sources, *one.notes])])
        lines += [f"published on {dataset}", markdown(["method", *_NUMBERS, "see", "printed in"], rows)]
    lines.append("what may have moved them")
    for cause, place in places.items():
        here = _counted(cause, found)
        lines.append(f"  [{place}] {cause.kind}: {cause.text} ({cause.known_from}{'; ' + here if here else ''})")
    return "\n".join(lines) + "\n"


def _counted(cause: Cause, found: Audit) -> str:
    """What the audit counted of a cause in the files at hand; empty where it did not."""
    if cause.name == "shifted vectors" and "all" in found.misjoined:
        wrong, total, _ = found.misjoined["all"]
        return f"with the file given here {wrong} of {total}"
    wanted = {"shifted descriptions": "descriptions", "shared recordings": "shared sources"}.get(cause.name)
    counts = [_count(finding) for finding in found.findings if finding.section == wanted and finding.found is not None]
    return f"in the files given here {', '.join(counts)}" if counts else ""


def _count(finding: Finding) -> str:
    where = f" ({finding.item})" if finding.section == "shared sources" else ""
    return f"{finding.found} of {finding.total}{where}"


def _in_order(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    return tuple(sorted(dict.fromkeys(causes), key=lambda cause: KINDS.index(cause.kind)))


def _fits(value: str, patterns: str) -> bool:
    """Whether a value fits one of the patterns `a|b*` and none that begins with a minus sign."""
    given = patterns.split("|")
    barred = [pattern[1:] for pattern in given if pattern.startswith("-")]
    wanted = [pattern for pattern in given if not pattern.startswith("-")]
    return any(fnmatchcase(value, p) for p in wanted) and not any(fnmatchcase(value, p) for p in barred)


@cache
def _table() -> tuple[dict[str, str], ...]:
    text = files("avshot.report").joinpath("published_causes.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
