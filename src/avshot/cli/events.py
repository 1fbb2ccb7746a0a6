"""`avshot cut` and `avshot review`: files of events to media files, and what a person said of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from avshot.events.review import Marked

Media = Annotated[Path | None, typer.Option(help="Folder that recordings are named from; default: this one.")]


def cut(
    file: Annotated[Path, typer.Argument(help="Events, in any format that `avshot find` writes.")],
    out: Annotated[Path, typer.Option(help="Folder for the media files and cuts.csv.")],
    media: Media = None,
    before: Annotated[float, typer.Option(min=0, help="Seconds before each event that belong to its file.")] = 0.2,
    after: Annotated[float, typer.Option(min=0, help="Seconds after it.")] = 0.2,
    by_name: Annotated[
        bool, typer.Option("--by-name", help="A folder for each name, as avshot teach takes it.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Write the spans of events as media files of their own; sound stays sound.

    Exit code 1: some could not be written; the others were.
    """
    from avshot.events import Events
    from avshot.events.cut import TABLE, cut_events
    from avshot.terminal.progress import say, show_progress

    events = Events.read(file)
    how: dict[str, Any] = {"before": before, "after": after, "by_name": by_name, "overwrite": overwrite}
    failed = 0
    with show_progress("cutting") as bar:
        for done, made in enumerate(cut_events(events, out, media=media, **how), 1):
            failed += made.error is not None
            if made.error is not None:
                say(f"avshot: {made.error}")
            bar(done, len(events))
    print(f"{len(events) - failed} of {len(events)} events -> {out / TABLE}")
    if failed:
        raise typer.Exit(1)


def review(
    file: Annotated[
        Path, typer.Argument(help="Marks that the page saved, or events in any format, as found or edited.")
    ],
    original: Annotated[
        Path | None, typer.Option(help="The events as they were found, where FILE was edited elsewhere.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Write a page to listen to the events of FILE and mark them.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Write what is really there as a table for avshot dataset: file, label, start, end."),
    ] = None,
    precision: Annotated[float, typer.Option(help="Share of events that are to be right, 0 to 1.")] = 0.9,
    media: Media = None,
) -> None:
    """What a person said of events: how many were right, by probability, and from which threshold on enough are.

    With --page: the page to say it on.
    """
    from avshot.events import Events
    from avshot.events.reliability import thresholds
    from avshot.events.review import corrected, read_marks, write_labels
    from avshot.terminal.progress import note

    if page is not None:
        from avshot.events.page import write_review_page

        if original is not None or labels is not None:
            raise ValueError("--page shows what was found; leave --original and --labels for when it is marked.")
        print(f"-> {write_review_page(page, Events.read(file), media=media)}")
        return
    marks = read_marks(file, original)
    thresholds(marks, precision)  # a wrong precision before anything is printed
    _show(marks, precision)
    if labels is not None:
        events = corrected(marks)
        left = write_labels(labels, events)
        print(f"{len(events) - left} labels -> {labels}")
        if left:
            note(f"{left} left out: a point in time, or the same span as another one; a clip has one label.")


def _show(marks: Sequence[Marked], precision: float) -> None:
    from avshot.events.reliability import ENOUGH, reliability, thresholds
    from avshot.terminal.progress import note
    from avshot.terminal.tables import print_table

    counts = {word: sum(mark.verdict == word for mark in marks) for word in ("right", "wrong", "renamed", "missed")}
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    rows = [[one.name, f"{one.probability:.2f}", f"{one.right:.2f}", str(one.marks)] for one in reliability(marks)]
    print_table("how far probabilities can be believed", ["name", "mean probability", "share right", "marks"], rows)
    found = thresholds(marks, precision)
    rows = [
        [
            one.name,
            "-" if one.threshold is None else f"{one.threshold:.3f}",
            f"{one.precision:.2f}",
            f"{one.low:.2f}",
            str(one.marks),
        ]
        for one in found
    ]
    head = ["name", "from", "share right", "at least (95 %)", "marks"]
    print_table(f"lowest probability from which {100 * precision:g} % are right", head, rows)
    few = [one.name for one in found if not one.enough]
    if few:
        note(f"fewer than {ENOUGH} marks, which is too few to rely on: {', '.join(few)}.")
