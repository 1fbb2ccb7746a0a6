"""What `avshot bench` does: a bench file in, Runs and one table (Markdown, CSV, LaTeX) out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from avshot.bench.latex import as_latex
from avshot.bench.plan import Plan, load_plan
from avshot.bench.sweep import raise_first
from avshot.bench.table import absences, as_csv, as_markdown, remarks, results, table
from avshot.bench.trainings import train_plan
from avshot.files.atomic import save_text
from avshot.machine.device import check_device
from avshot.machine.versions import versions
from avshot.terminal.progress import note, show_trainings
from avshot.terminal.tables import print_table

WORLD = "world"  # the rendered world, made where it is not there yet


def run_bench(
    file: Path,
    out: Path,
    *,
    datasets: Sequence[str] = (),
    root: Path | None = None,
    task: str = "",
    seeds: Sequence[int] = (),
    methods: Sequence[str] = (),
    legacy: bool = False,
    jobs: int = 1,
    device: str = "cpu",
) -> None:
    """Run a bench file and write `bench.md`, `bench.csv` and `bench.tex` into `out`. Stopped work is taken up again.

    Args:
        file: The bench file (`avshot.bench.plan`).
        out: Folder for Runs and tables.
        datasets: In place of the file's; "world" renders and extracts the built-in videos.
        root: Folder of the released benchmarks that the file names.
        task: In place of the file's, with settings or without; the metrics are then that task's.
        seeds: In place of the file's.
        methods: Only these of the file's methods; all when empty.
        legacy: Add every row as the authors' program does it.
        jobs: Trainings at a time.
        device: torch device.

    Raises:
        ValueError: Something asked for does not exist, or a training failed; the tables are written before that.
    """
    check_device(device)
    plan = load_plan(file)
    plan = replace(plan, seeds=tuple(seeds) or plan.seeds, datasets=tuple(datasets) or plan.datasets)
    plan = _asked(plan, task, methods, legacy)
    if not plan.datasets:
        raise ValueError(f"{file} names no datasets; pass --dataset SPEC, for example --dataset world.")
    specs = [_world(out) if name == WORLD else name for name in plan.datasets]
    with show_trainings() as progress:
        outcome = train_plan(plan, out, specs, root=root, jobs=jobs, device=device, progress=progress, say=note)
    if not outcome.blocks:  # no dataset could be loaded
        raise next(iter(outcome.failed.values()))
    found = [(block, results(plan, block)) for block in outcome.blocks]
    for block, lines in found:
        head, cells = table(plan, lines)
        print_table(f"{plan.title}: {block.name}, per cent, mean ± deviation over seeds", head, cells)
        print(*remarks(lines), *absences(plan, block), sep="\n")
    caption = _caption(plan)
    save_text(out / "bench.md", "\n".join(as_markdown(plan, b, lines, caption=caption) for b, lines in found))
    save_text(out / "bench.csv", as_csv(plan, found))
    save_text(out / "bench.tex", as_latex(plan, found, date.today()))
    print(f"tables: {out / 'bench.md'}, .csv, .tex; figures: avshot report {out}", file=sys.stderr)
    raise_first(outcome.failed, outcome.trainings)


def _asked(plan: Plan, task: str, methods: Sequence[str], legacy: bool) -> Plan:
    plan = plan.with_task(task) if task else plan
    plan = plan.only(list(methods)) if methods else plan
    return plan.with_legacy() if legacy else plan


def _world(out: Path) -> str:
    """The rendered world with its features, in `out/rendered`."""
    from avshot.cli.demo import prepare_world

    return str(prepare_world(out / "rendered"))


def _caption(plan: Plan) -> str:
    """What whoever reads the table elsewhere must know: how it was made."""
    made = versions()
    about = ", ".join(f"{name} {made[name]}" for name in ("avshot", "torch", "python"))
    text = f"Per cent, mean ± sample deviation over {len(plan.seeds)} seed(s); {date.today().isoformat()}; {about}."
    if plan.against:
        text += f" p: paired permutation test of HM over test clips against {plan.against}, Holm-corrected."
    if plan.source:
        text += f" Source: {plan.source}."
    return f"{text}\n\n```sh\n{_command()}\n```"


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
