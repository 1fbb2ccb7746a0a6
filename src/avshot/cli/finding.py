"""The command `find` with its options; imports nothing heavy until it runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from avshot.cli.code import Code, use_named


def find(
    recordings: Annotated[list[str], typer.Argument(help='Video or sound files, folders of them, or "-" for a pipe.')],
    classes: Annotated[
        str | None, typer.Option(help='What to look for, comma-separated: "dog barking, rain"; or a file, one a line.')
    ] = None,
    everything: Annotated[bool, typer.Option("--everything", help="All that the encoder has words for.")] = False,
    run: Annotated[Path | None, typer.Option(help="A Run folder, in place of pretrained encoders.")] = None,
    sound: Annotated[str | None, typer.Option(help='Encoder of the sound; "" for none.')] = None,
    picture: Annotated[str | None, typer.Option(help='Encoder of the picture; "" for none.')] = None,
    min_probability: Annotated[float, typer.Option(min=0, max=1, help="Leave out events less probable.")] = 0.0,
    begin: Annotated[
        str | None, typer.Option(help='Probability at which events begin: "0.6", "rain=0.3".', show_default="0.7")
    ] = None,
    stay: Annotated[
        float | None, typer.Option(help="Share of it down to which they go on.", show_default="0.6")
    ] = None,
    gap: Annotated[float | None, typer.Option(help="Seconds below which two become one.", show_default="2")] = None,
    min_length: Annotated[
        float | None, typer.Option(help="Seconds below which they are left out.", show_default="0.2")
    ] = None,
    hop: Annotated[float | None, typer.Option(help="Seconds between scores.", show_default="by encoder")] = None,
    window: Annotated[float | None, typer.Option(help="Seconds that a Run judges at a time.", show_default="4")] = None,
    start: Annotated[float | None, typer.Option(help="Seconds at which to begin in each file.")] = None,
    end: Annotated[float | None, typer.Option(help="Seconds at which to end in each file.")] = None,
    format: Annotated[
        str | None, typer.Option("--format", "-f", help="Also write files, comma-separated: csv, vtt, srt, ...")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of results; the same command then goes on where it was.")
    ] = None,
    review: Annotated[bool, typer.Option("--review", help="Write an HTML page to look and listen.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    rate: Annotated[int, typer.Option(help="Hz of 16-bit samples that come through a pipe.")] = 16000,
    channels: Annotated[int, typer.Option(help="Channels of such samples.")] = 1,
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    code: Code = None,
) -> None:
    """Find what is heard and seen in recordings, and when: name it in words, without any training.

    Memory does not grow with the length of a file, and a bad file does not stop the others. Exit code 1: some could not
    be used.
    """
    from avshot.cli.find import find_events_in, names_of, thresholds
    from avshot.cli.parsing import parse_some
    from avshot.events.segments import Segmentation
    from avshot.finding.api import make_scorer
    from avshot.finding.find import Looking
    from avshot.machine.device import check_device
    from avshot.prediction.video import check_span

    use_named(code)
    check_device(device)
    check_span(start, end)
    every, single = thresholds(begin)
    how: dict[str, Any] = {"begin": every, "stay": stay, "merge": gap, "shortest": min_length, "begins": single or None}
    segmentation = replace(Segmentation(), **{key: value for key, value in how.items() if value is not None})
    names = names_of(classes, everything, run)
    formats = [] if format is None else parse_some("--format", format)
    scorer = make_scorer(names, run=run, sound=sound, picture=picture, window=window, device=device)
    looking = Looking(hop, start, end, segmentation, min_probability)
    given: dict[str, Any] = {"formats": formats, "out": out, "review": review, "as_json": json, "workers": workers}
    if find_events_in(recordings, scorer, looking, **given, raw=(rate, channels)):
        raise typer.Exit(1)
