"""What the benchmark suite keeps of what it printed: results/tables.json, tables.md, and the tables in README.md."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import Target, machine

from avshot.terminal.tables import markdown, print_table

BEGIN = "<!-- tables: made by `python benchmarks/run.py --write-readme` -->"
END = "<!-- end of tables -->"
HEAD = ["section", "what", "got", "target", "verdict"]


def summary(done: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """One row for each figure that has a target, and one for each section that failed."""
    rows = []
    for section, found in done.items():
        rows += [[section, *Target(**target).cells] for target in found["targets"]]
        if found["error"]:
            rows.append([section, "failed, see above", "-", "-", "not reached"])
    return rows


def print_summary(done: Mapping[str, Mapping[str, Any]], quick: bool) -> None:
    """Print the summary; nothing when no section has a target."""
    rows = summary(done)
    if rows:
        print_table("Targets" + (" (quick sizes: the verdicts mean nothing)" if quick else ""), HEAD, rows)


def add(results: Path, section: str, found: Mapping[str, Any], order: Sequence[str]) -> None:
    """Keep what a section printed beside what others printed before, and write all of it as Markdown."""
    results.mkdir(parents=True, exist_ok=True)
    kept = _kept(results, order) | {section: {"machine": machine(), "date": time.strftime("%Y-%m-%d"), **found}}
    kept = {name: kept[name] for name in order if name in kept}
    (results / "tables.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    (results / "tables.md").write_text("# Benchmarks\n\n" + render(kept), encoding="utf-8")


def _kept(results: Path, order: Sequence[str]) -> dict[str, Any]:
    file = results / "tables.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {name: kept[name] for name in order if name in kept}


def render(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """The summary, then what each section printed, with machine, date and seconds."""
    parts = [f"Targets:\n\n{markdown(HEAD, rows)}" for rows in [summary(kept)] if rows]
    machines = list(dict.fromkeys(found["machine"] for found in kept.values()))
    parts += [f"Measured on {where}.\n" for where in machines if len(machines) == 1]
    for section, found in kept.items():
        where = "" if len(machines) == 1 else f", {found['machine']}"
        lines = [line.rstrip() for line in found["text"].strip("\n").splitlines()]
        text = "\n".join(["```text", *lines, "```"])
        parts.append(f"### {section}\n\n{found['date']}, {found['seconds']} s{where}\n\n{text}\n")
    return "\n".join(parts)


def replace_block(text: str, block: str) -> str:
    """`text` with `block` between the two markers. Raises ValueError where it has not exactly one pair of them."""
    before, *rest = text.split(BEGIN)
    inside, *after = rest[0].split(END) if len(rest) == 1 else ("",)
    if len(after) != 1:
        raise ValueError(f"Expected one {BEGIN!r} and, behind it, one {END!r}.")
    del inside
    return f"{before}{BEGIN}\n\n{block.strip()}\n\n{END}{after[0]}"


def write_readme(readme: Path, results: Path, order: Sequence[str]) -> None:
    """Put the kept tables between the markers of README.md. Raises ValueError when nothing was kept."""
    kept = _kept(results, order)
    if not kept:
        raise ValueError(f"{results} holds no tables; run the benchmarks first.")
    readme.write_text(replace_block(readme.read_text(encoding="utf-8"), render(kept)), encoding="utf-8")
