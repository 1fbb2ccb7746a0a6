"""The commands of reference games; imports nothing heavy until one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

games = typer.Typer(
    name="games",
    help="Reference games: a speaker learns, while talking, what its listener can see.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@games.command("render")
def render_command(
    out: Annotated[Path, typer.Argument(help="Folder for images/, masks/ and scenes/, as CLEVR has them.")],
    scenes: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    split: Annotated[str, typer.Option(help="train, val or test: part of all names.")] = "train",
    seed: Annotated[int, typer.Option(min=0, help="Decides the scenes.")] = 0,
    width: Annotated[int, typer.Option(min=16, help="Pixels.")] = 320,
    height: Annotated[int, typer.Option(min=16, help="Pixels.")] = 240,
) -> None:
    """Render CLEVR-like scenes: pictures, exact boxes and masks, and a scene file in CLEVR's own format."""
    from avshot.errors import BadSetting
    from avshot.games.rendering.camera import Camera
    from avshot.games.rendering.write import write_scenes
    from avshot.games.sources.source import SPLITS
    from avshot.terminal.progress import show_progress

    if split not in SPLITS:
        raise BadSetting(f"There is no split {split!r}; splits: {', '.join(SPLITS)}.")
    with show_progress("rendering") as bar:
        path = write_scenes(out, scenes, split=split, seed=seed, camera=Camera(width, height), progress=bar)
    print(path)


@games.command("play")
def play_command(
    file: Annotated[Path, typer.Argument(help="File of experiments; experiments/games-*.toml are figures.")],
    out: Annotated[Path, typer.Option(help="Folder for experiments, tables and the page.")] = Path("games"),
    rows: Annotated[str, typer.Option(help="Only these rows of the file, comma-separated.")] = "",
    seeds: Annotated[str, typer.Option(help="In place of the seeds of the file, for example 0,1,2.")] = "",
    updates: Annotated[int | None, typer.Option(min=0, help="In place of those of the file.")] = None,
    test: Annotated[int | None, typer.Option(min=1, help="Test episodes, in place of those of the file.")] = None,
) -> None:
    """Speakers and learners x listeners x seeds from one file, as a table and a page; goes on where it was stopped."""
    from dataclasses import replace

    import torch

    from avshot.cli.parsing import parse_seeds, parse_some
    from avshot.games.grid import HEAD, run_plan, table
    from avshot.games.outcome import EXPLAIN, write_outcome
    from avshot.games.plan import load_plan, only
    from avshot.terminal.progress import say, show_trainings
    from avshot.terminal.tables import print_table

    torch.set_num_threads(1)  # such small networks are many times slower with two threads on a busy machine
    plan = load_plan(file)
    plan = only(plan, parse_some("--rows", rows)) if rows else plan
    changes: dict[str, Any] = {
        name: value for name, value in (("updates", updates), ("test", test)) if value is not None
    }
    cells = {key: replace(asked, **changes) for key, asked in plan.cells.items()}
    plan = replace(plan, cells=cells, seeds=tuple(parse_seeds(seeds)) if seeds else plan.seeds)
    with show_trainings() as progress:
        found = run_plan(plan, out, lambda what, done, total: progress(what, done, total, {}))
    print_table(plan.title, HEAD, table(plan, found))
    print(EXPLAIN)
    say(f"page: {write_outcome(plan, found, out)}; tables: {out / 'games.md'}, .csv")


@games.command("report")
def report_command(
    folders: Annotated[list[Path], typer.Argument(help="Folders with finished games in or below them.")],
    out: Annotated[Path | None, typer.Option(help="HTML file; default: report.html in the first folder.")] = None,
    episodes: Annotated[int, typer.Option(min=1, help="How many of each experiment are shown.")] = 8,
    code: Annotated[list[str] | None, typer.Option(help="A .py file that a game may use as a player.")] = None,
) -> None:
    """Pictures as both players saw them, messages before and after, answers and curves, as one page."""
    from avshot.files.output import output_file
    from avshot.games.outcome import report_folders
    from avshot.machine.python_file import full_path, load_python_file
    from avshot.terminal.progress import say

    for path in code or ():
        load_python_file(full_path(path), "player")
    page = output_file(out or folders[0] / "report.html", (".html", ".htm"), "report")
    say(f"{report_folders(folders, page, episodes)} games: {page}")
