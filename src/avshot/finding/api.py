"""What programs call: `avshot.find` and `avshot.recognise`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from avshot.errors import BadMedia, BadSetting
from avshot.events import Events
from avshot.events.segments import Segmentation
from avshot.features.steps import StepScorer
from avshot.finding.find import Looking, find_each
from avshot.finding.recognise import Recognised, ranked
from avshot.finding.track import track
from avshot.terminal.callbacks import Progress, unshown


def make_scorer(
    classes: Sequence[str] | None,
    *,
    run: str | os.PathLike[str] | None = None,
    sound: str | None = None,
    picture: str | None = None,
    window: float | None = None,
    device: str = "cpu",
) -> StepScorer:
    """Who says what happens: a Run, or pretrained encoders that need no training.

    Args:
        classes: What is looked for, in free text; None takes what the Run or the encoder knows by itself.
        run: A Run folder.
        sound: Encoder of the sound, without a Run; None: the usual one, "": nobody listens.
        picture: Encoder of the picture, likewise.
        window: Seconds of a window of a Run; None: the usual ones.
        device: torch device.

    Raises:
        ValueError: Names or encoders that cannot be used, or encoders named beside a Run.
    """
    names = None if classes is None else [classes] if isinstance(classes, str) else list(classes)
    if run is not None:
        if sound is not None or picture is not None:
            raise BadSetting("A Run brings its own encoders; leave out sound and picture, or the Run.")
        from avshot.finding.run_scorer import RunScorer

        return RunScorer(run, names, device=device, **({} if window is None else {"window": window}))
    from avshot.untrained import scorer

    return scorer(names, sound=sound, picture=picture, window=window, device=device)


def find(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    classes: Sequence[str] | None = None,
    *,
    scorer: StepScorer | None = None,
    begin: float | None = None,
    hop: float | None = None,
    start: float | None = None,
    end: float | None = None,
    segmentation: Segmentation | None = None,
    out: str | os.PathLike[str] | None = None,
    workers: int = 1,
    progress: Progress = unshown,
    **encoders: Any,
) -> Events:
    """Find what is heard and seen in recordings, and when.

    Args:
        path: A video or sound file of any length, a folder of them, or several.
        classes: What is looked for, in free text; None takes what the Run or the encoder knows by itself.
        scorer: Who says what happens; None: `make_scorer` with the `encoders`.
        begin: Probability at which an event begins, in place of that of `segmentation`.
        hop: Seconds between windows; None: what suits the encoders.
        start: Seconds at which to begin.
        end: Seconds at which to end.
        segmentation: How scores in time become events; None: the usual way.
        out: Folder in which scores are kept; the same call then goes on where it was stopped.
        workers: Processes.
        progress: Is told how far the work is.
        encoders: `run`, `sound`, `picture`, `window`, `device`: as for `make_scorer`.

    Returns:
        The events, by recording and start. Of several recordings, one that cannot be read has none.

    Raises:
        BadMedia: A single recording that cannot be read.
        ValueError: Names, encoders or settings that cannot be used.
    """
    made = scorer or make_scorer(classes, **encoders)
    how = Segmentation() if segmentation is None else segmentation
    looking = Looking(hop, start, end, how if begin is None else replace(how, begin=begin))
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    found = list(find_each(paths, made, looking, out=out, workers=workers, progress=progress))
    if len(found) == 1 and found[0].error:
        raise BadMedia(f"{found[0].file} cannot be used: {found[0].error}")
    return Events(event for each in found for event in each.events)


def recognise(
    path: str | os.PathLike[str],
    classes: Sequence[str] | None = None,
    *,
    scorer: StepScorer | None = None,
    hop: float | None = None,
    start: float | None = None,
    end: float | None = None,
    **encoders: Any,
) -> tuple[Recognised, ...]:
    """Rank names for one recording: what most probably happens in it, most probable first.

    Arguments as for `find`.

    Raises:
        BadMedia: A recording that cannot be read.
        ValueError: Names, encoders or settings that cannot be used.
    """
    found = track(path, scorer or make_scorer(classes, **encoders), hop=hop, start=start, end=end)
    if found.status.startswith("error"):
        raise BadMedia(f"{found.file} cannot be used: {found.status.removeprefix('error: ')}")
    return ranked(found)
