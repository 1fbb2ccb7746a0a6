"""`avshot encoders`: which pretrained encoders there are; `avshot encoders pull`: fetch the weights of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

encoders = typer.Typer(
    name="encoders",
    help="Pretrained encoders: what there is, what can be used here, and fetching weights.",
    invoke_without_command=True,
    rich_markup_mode="rich",
)


@encoders.callback()
def list_command(
    context: typer.Context,
    measure: Annotated[bool, typer.Option("--measure", help="Run those that are ready, and tell their speed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List all encoders: what they read, size, licence, what they were checked with, whether they can be used here."""
    if context.invoked_subcommand is not None:
        return
    import json
    from dataclasses import asdict

    from avshot.encoders import list_encoders, measured
    from avshot.terminal.tables import print_table

    found = list_encoders()
    if measure:
        found = [measured(encoder) for encoder in found]
    if as_json:
        for encoder in found:
            print(json.dumps(asdict(encoder), allow_nan=False))
        return
    head = ["encoder", "reads", "size", "licence", "checked with", *(["speed"] if measure else []), "here"]
    rows = []
    for e in found:
        unit = "names/s" if e.reads == "text" else "x real time"
        speed = [] if not measure else ["-" if e.speed is None else f"{e.speed:.0f} {unit}"]
        reads = f"{e.reads}, text" if e.joint and e.reads != "text" else e.reads
        rows.append([e.name, reads, e.size or "-", e.licence or "-", e.checked or "-", *speed, e.here])
    print_table("encoders (a speed is for one second of processor)" if measure else "encoders", head, rows)


@encoders.command("pull")
def pull_command(
    name: Annotated[str, typer.Argument(help="mn04_as, mn10_as or yamnet; `avshot encoders` lists them.")],
    from_file: Annotated[
        Path | None, typer.Option("--from", help="Take this file, instead of fetching it; its digest must be right.")
    ] = None,
) -> None:
    """Fetch the weights of an encoder once, from a pinned address, and check their digest; offline afterwards.

    Goes on where it broke off. The folder is AVSHOT_CACHE, or avshot in the user's cache folder.
    """
    from avshot.files.pins import pull
    from avshot.terminal.progress import show_progress

    with show_progress(f"fetching {name}") as bar:
        path = pull(name, from_file=from_file, progress=lambda done, size: bar(done, size, "bytes"))
    print(path)
