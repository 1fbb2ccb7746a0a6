"""One pass over a file of any length: scores in time of all names that are looked for."""

from __future__ import annotations

import os

import numpy as np

from avshot.events import Track
from avshot.features.steps import StepScorer
from avshot.finding.follow import Scores, follow, request_of
from avshot.finding.windows import usual_hop
from avshot.media import Stream, stream
from avshot.terminal.callbacks import Progress, unshown

SECONDS = 30.0  # of a stretch that is decoded and described at a time


def track(
    path: str | os.PathLike[str],
    scorer: StepScorer,
    *,
    hop: float | None = None,
    start: float | None = None,
    end: float | None = None,
    seconds: float = SECONDS,
    progress: Progress = unshown,
) -> Track:
    """Score a file in time. It is decoded and described once, and memory does not grow with its length.

    Args:
        path: A video or sound file.
        scorer: What describes and scores it.
        hop: Seconds between windows; None: `usual_hop`.
        start: Seconds at which to begin; times of the track are those of the file nevertheless.
        end: Seconds at which to end.
        seconds: Of the stretches in which it is read.
        progress: Is told the file, seconds done and seconds in all (0 where the file does not state them). What it
            raises ends the work at once, the file closed.

    Returns:
        The track; without windows and with a status "error: ..." for a file that cannot be read. Where nothing is heard
        or seen in it the status is "silent" or "black", and no window is probable.

    Raises:
        ValueError: A bad setting.
    """
    flow = stream(path, seconds=seconds, start=start, end=end, **request_of(scorer))
    interval = usual_hop(scorer) if hop is None else hop
    follower, found = follow(scorer, interval, seconds), list[Scores]()
    for stretch in flow:
        if stretch.number == 0:  # also where the stream begins anew
            follower, found = follow(scorer, interval, seconds), []
        found.append(follower.feed(stretch.media, stretch.own[1]))
        progress(os.fspath(path), round(stretch.own[1]), round(flow.length or 0), {})
    if found:
        found.append(follower.finish(flow.duration))
    return _track(os.fspath(path), scorer, interval, start or 0.0, flow, found)


def _track(path: str, scorer: StepScorer, hop: float, start: float, flow: Stream, found: list[Scores]) -> Track:
    names, status, notes = scorer.names, flow.status, flow.notes
    if found and status.startswith("error"):
        status, notes = ("silent" if scorer.audio is not None else "black"), (_sentence(status), *notes)
    none = np.zeros((0, len(names)), np.float32)
    time = start + np.concatenate([times for times, _, _ in found] or [np.zeros(0)])
    probability = np.concatenate([scores for _, scores, _ in found] or [none])
    sound = np.concatenate([shares for _, _, shares in found] or [none])
    return Track(path, names, time, hop, probability, sound, start + flow.duration, status, notes)


def _sentence(status: str) -> str:
    said = status.removeprefix("error: ")
    return said[:1].upper() + said[1:]


def no_track(path: str, names: tuple[str, ...], why: str) -> Track:
    """The track of a recording that could not be used; `why` is a sentence, with or without its full stop."""
    none = np.zeros((0, len(names)), np.float32)
    return Track(path, names, np.zeros(0), 1.0, none, none, 0.0, f"error: {why.rstrip('.')}.")
