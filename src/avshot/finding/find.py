"""Find: recordings and folders of them to events, file by file; a bad one never stops the rest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from avshot.errors import BadSetting, told_as
from avshot.events import Events, Track
from avshot.events.segments import Segmentation, find_events
from avshot.features.steps import StepScorer
from avshot.files.lock import sole_writer
from avshot.finding.follow import request_of, warm_up
from avshot.finding.kept import KeptTracks, check_writable
from avshot.finding.recordings import recordings
from avshot.finding.scoring import scored
from avshot.finding.windows import check_hop, usual_hop
from avshot.finding.workers import in_order
from avshot.terminal.callbacks import Progress, Say, unsaid, unshown
from avshot.types import Clip

__all__ = ["Found", "Looking", "find_each"]


@dataclass(frozen=True)
class Looking:
    """How recordings are gone through; all of it but `segmentation` and `least` decides the scores.

    Attributes:
        hop: Seconds between windows; None: what suits the scorer (`usual_hop`).
        start: Seconds at which to begin in each recording; None: its beginning.
        end: Seconds at which to end; None: its end.
        segmentation: How scores become events.
        least: Events that are less probable are left out.
    """

    hop: float | None = None
    start: float | None = None
    end: float | None = None
    segmentation: Segmentation = Segmentation()  # noqa: RUF009 - it is frozen
    least: float = 0.0

    def __post_init__(self) -> None:
        if self.hop is not None:
            check_hop(self.hop)
        if not 0 <= self.least <= 1:
            raise BadSetting(f"The least probability is {self.least}; expected 0 to 1.")


USUAL = Looking()


@dataclass(frozen=True)
class Found:
    """What was found in one recording.

    Attributes:
        track: Scores in time, with the recording's status and notes.
        events: What happens.
        kept: It was scored by an earlier call, and nothing has changed since.
    """

    track: Track
    events: Events
    kept: bool = False

    @property
    def file(self) -> str:
        """The recording, as it was named."""
        return self.track.file

    @property
    def error(self) -> str:
        """Why it could not be used, as a sentence; "" where it could."""
        return self.track.status.removeprefix("error: ") if self.track.status.startswith("error") else ""


def find_each(
    paths: Iterable[str | os.PathLike[str]],
    scorer: StepScorer,
    looking: Looking = USUAL,
    *,
    out: str | os.PathLike[str] | None = None,
    workers: int = 1,
    progress: Progress = unshown,
    say: Say = unsaid,
) -> Iterator[Found]:
    """Look for events in recordings; gives each as soon as it is done, in order.

    Args:
        paths: Files, and folders of them (`recordings`).
        scorer: Who says what happens.
        looking: How to go through them.
        out: Folder in which scores are kept, so that the same call goes on where it was stopped, and other thresholds
            cost nothing; one call at a time. None keeps nothing.
        workers: Processes; 1 works in this one.
        progress: Is told the recording, seconds done and in all; with several processes the recordings alone, when they
            are done.
        say: Is told what was left out of folders.

    Returns:
        An iterator with one answer for each recording, a bad one among them with its `error`.

    Raises:
        ValueError: At once: nothing to look into, or an extractor of the wrong modality. When the first answer is asked
            for: a bad setting, or another call writes to `out`.
        OSError: `out` cannot be written.
    """
    listed = recordings(paths, without=[] if out is None else [out])
    for note in listed.notes:
        say(note)
    request_of(scorer)
    if out is not None:
        check_writable(out)
    files = [Clip(path, path, start=looking.start, end=looking.end) for path in listed.files]
    return _each(files, scorer, looking, out, workers, progress)


def _each(
    files: Sequence[Clip],
    scorer: StepScorer,
    looking: Looking,
    out: str | os.PathLike[str] | None,
    workers: int,
    progress: Progress,
) -> Iterator[Found]:
    with _held(out):
        kept = None if out is None else KeptTracks(out, _key(scorer, looking))
        before = {clip.path: found for clip in files if kept and (found := kept.get(clip)) is not None}
        todo = [clip for clip in files if clip.path not in before]
        if todo:
            warm_up(scorer)
        done = in_order(partial(scored, scorer, looking.hop, kept), todo, workers=workers, progress=progress)
        for clip in files:
            found = before.get(clip.path)
            yield _found(next(done) if found is None else found, looking, kept=found is not None)


def _found(scores: Track, looking: Looking, *, kept: bool) -> Found:
    events = find_events(scores, looking.segmentation)
    if looking.least:
        events = Events(event for event in events if event.probability >= looking.least)
    return Found(scores, events, kept)


def _key(scorer: StepScorer, looking: Looking) -> dict[str, object]:
    from avshot.machine.versions import __version__

    hop = usual_hop(scorer) if looking.hop is None else looking.hop
    return {"scorer": scorer.key(), "names": list(scorer.names), "hop": hop, "avshot": __version__}


@contextmanager
def _held(out: str | os.PathLike[str] | None) -> Iterator[None]:
    """Hold the folder of results, where there is one."""
    with ExitStack() as held:
        if out is not None:
            with told_as(BadSetting):
                held.enter_context(sole_writer(os.fspath(out), wait=0))
        yield
