"""The commands of reference games; imports nothing heavy until one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
