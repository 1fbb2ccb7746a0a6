"""One recording scored, whatever is wrong with it, and kept: what a process of `workers` does."""

from __future__ import annotations

import logging

from avshot.events import Track
from avshot.features.steps import StepScorer
from avshot.features.store.origin import changed_meanwhile, origin_of
from avshot.finding.kept import KeptTracks
from avshot.finding.track import no_track, track
from avshot.terminal.callbacks import Progress
from avshot.types import Clip

_log = logging.getLogger(__name__)
_CHANGED = "the file changed while it was read; look again when it is complete"


def scored(scorer: StepScorer, hop: float | None, kept: KeptTracks | None, clip: Clip, progress: Progress) -> Track:
    """The track of one recording; whatever goes wrong with it is a status.

    Args:
        scorer: Scores it.
        hop: Seconds between windows, as for `track`.
        kept: Where the track is kept, unless it is an error; None: nowhere.
        clip: The recording, or a span of it.
        progress: As for `track`.

    Raises:
        OSError: The track cannot be written.
    """
    origin = origin_of(clip) if kept else None
    try:
        found = track(clip.path, scorer, hop=hop, start=clip.start, end=clip.end, progress=progress)
    except MemoryError:
        return no_track(clip.path, scorer.names, "it takes more memory than there is")
    except Exception as error:  # one bad file must not stop the rest, whatever it does to a decoder or a model
        _log.info("%s cannot be used", clip.path, exc_info=True)
        return no_track(clip.path, scorer.names, f"{type(error).__name__}: {error}")
    if kept is None or origin is None or found.status.startswith("error"):
        return found
    if changed_meanwhile(origin, clip):
        return no_track(clip.path, scorer.names, _CHANGED)
    kept.put(clip, origin, found)
    return found
