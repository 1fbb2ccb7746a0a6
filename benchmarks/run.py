"""The benchmark suite: tables of speed and memory, each figure that has a target beside its target.

    python benchmarks/run.py                       # every section
    python benchmarks/run.py store evaluation      # only these
    python benchmarks/run.py --list                # what there is
    python benchmarks/run.py --quick               # small sizes, to see that everything runs; nothing is kept
    python benchmarks/run.py --write-readme        # runs nothing (but sections named): kept tables into README.md

A section is a file beside this one whose `run()` prints tables and returns its targets (`measure.Target`). Figures go
to `benchmarks/results/`: JSON for each section, and what was printed as `tables.md`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import io
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import measure

import report

HERE = Path(__file__).parent
README = HERE / "README.md"
SECTIONS = (
    "ranking",
    "curve",
    "training",
    "temporal",
    "compile",
    "evaluation",
    "store",
    "extraction",
    "finding",
    "growth",
    "serving",
    "startup",
)


class _Both(io.TextIOBase):
    """Writes to the terminal and remembers what it wrote."""

    def __init__(self) -> None:
        self.terminal, self.kept = sys.stdout, io.StringIO()

    def write(self, text: str) -> int:
        self.terminal.write(text)
        self.terminal.flush()
        return self.kept.write(text)


def about(section: str) -> str:
    """First line of a section's docstring, read without importing it."""
    file = HERE / f"{section}.py"
    if not file.exists():
        return "(not there)"
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def run_section(section: str) -> dict[str, Any]:
    """Run one section; what it printed, its targets, its seconds, and the sentence of its failure or None."""
    started, both, targets, error = time.perf_counter(), _Both(), [], None
    with contextlib.redirect_stdout(both):
        try:
            targets = importlib.import_module(section).run() or []
        except Exception as failure:  # a section must not take the others down, whatever goes wrong in it
            error = _sentence(section, failure)
            print(error)
    return {
        "seconds": round(time.perf_counter() - started),
        "text": both.kept.getvalue(),
        "targets": [asdict(target) for target in targets],
        "error": error,
    }


def _sentence(section: str, failure: Exception) -> str:
    """What went wrong and where, in one line."""
    frames = traceback.extract_tb(failure.__traceback__)
    own = next((frame for frame in reversed(frames) if Path(frame.filename).parent == HERE), frames[-1])
    said = " ".join(str(failure).split())
    return f"{section} failed at {Path(own.filename).name}:{own.lineno}: {type(failure).__name__}: {said}"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="section", help="what to run; default: all")
    parser.add_argument("--list", action="store_true", help="name the sections and run nothing")
    parser.add_argument("--quick", action="store_true", help="small sizes; figures are kept only where --keep says so")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for the figures; default: benchmarks/results")
    parser.add_argument("--device", default="cpu", help="where sections that can use a GPU run, such as cuda")
    parser.add_argument("--write-readme", action="store_true", help="put the kept tables into README.md")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.sections if name not in SECTIONS]
    if unknown:
        parser.exit(2, f"No section {unknown[0]!r}; sections: {', '.join(SECTIONS)}.\n")
    if chosen.quick and chosen.write_readme:
        parser.exit(2, "Quick figures are not for the README: drop --quick or --write-readme.\n")
    if chosen.device != "cpu":
        import torch

        if not torch.cuda.is_available():
            parser.exit(2, f"--device is {chosen.device!r}, but torch finds no GPU here; leave it out.\n")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0, or 1 when a section failed."""
    chosen = _options(arguments)
    if chosen.list:
        for name in SECTIONS:
            print(f"{name:12}{about(name)}")
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))  # before torch is loaded
    nowhere = tempfile.TemporaryDirectory() if chosen.quick and chosen.keep is None else None
    usual = HERE / "results" if chosen.device == "cpu" else HERE / "results" / "gpu"
    results = Path(nowhere.name) if nowhere else chosen.keep or usual
    measure.options.quick, measure.options.device, measure.options.results = chosen.quick, chosen.device, results
    failed = False
    if chosen.sections or not chosen.write_readme:
        failed = _run(chosen.sections or SECTIONS, results)
    if nowhere:
        nowhere.cleanup()
    if chosen.write_readme:
        try:
            report.write_readme(README, results, SECTIONS)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
    return int(failed)


def _run(sections: Sequence[str], results: Path) -> bool:
    """Run the sections, keep what each printed as soon as it is done, print the summary; whether one failed."""
    print(measure.machine(), flush=True)
    done = {}
    for name in sections:
        done[name] = run_section(name)
        report.add(results, name, done[name], SECTIONS)
    report.print_summary(done, measure.options.quick)
    return any(found["error"] for found in done.values())


if __name__ == "__main__":
    sys.exit(main())
