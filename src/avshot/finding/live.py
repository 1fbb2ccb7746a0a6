"""Live: events of sound that comes through a pipe, each told once it is over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from avshot.errors import BadSetting
from avshot.events import Event
from avshot.events.segments import EventStream
from avshot.features.steps import StepScorer
from avshot.finding.find import Looking
from avshot.finding.follow import Scores, follow
from avshot.finding.windows import usual_hop
from avshot.media import Media

_SECONDS = 2.0  # of sound that are described at a time: less would be told earlier and take more work


def listen(sound: Iterable[np.ndarray], scorer: StepScorer, looking: Looking, *, name: str = "-") -> Iterator[Event]:
    """Events of a sound that comes piece by piece; those that go on at its end are told then.

    An event is told as soon as it is known to be over: after a window, what the encoder looks ahead, and the pause
    within which it could go on.

    Args:
        sound: Pieces `[sample]` float32 at the rate that the scorer's extractor asks for (`rate_of`).
        scorer: Who says what happens; it hears only.
        looking: How to go through it; `start` and `end` do not count.
        name: What the recording is called in the events.

    Raises:
        ValueError: The scorer does not listen, or a bad setting.
    """
    rate, hop = rate_of(scorer), usual_hop(scorer) if looking.hop is None else looking.hop
    follower = follow(scorer, hop, max(_SECONDS, hop), look=False)
    stream = EventStream(name, scorer.names, hop, looking.segmentation)
    count = 0
    for piece in sound:
        media = Media(np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0), piece, rate, "ok", len(piece) / rate)
        count += len(piece)
        yield from _least(_pushed(stream, follower.feed(media, count / rate)), looking)
    yield from _least(_pushed(stream, follower.finish(count / rate)), looking)
    yield from _least(stream.finish(), looking)


def rate_of(scorer: StepScorer) -> int:
    """Hz of the sound that a scorer listens to. Raises ValueError where it listens to none."""
    if scorer.audio is None:
        raise BadSetting("Nobody listens: name an encoder of the sound to look into a pipe.")
    return int(scorer.audio.request().get("rate", 16000))


def _pushed(stream: EventStream, scores: Scores) -> list[Event]:
    return [event for window in zip(*scores, strict=True) for event in stream.push(float(window[0]), *window[1:])]


def _least(events: Iterable[Event], looking: Looking) -> Iterator[Event]:
    return (event for event in events if event.probability >= looking.least)
