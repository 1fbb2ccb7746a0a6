"""How something is done, in the rendered world: ten adverbs in five pairs of opposites.

An adverb fixes one side of a manner and leaves the others in the middle, where they vary from clip to clip. What a
side looks like is for the motion to say (`avshot.data.rendered.acted`): a quick slide crosses the frame quickly, a
quick spin turns quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

OPPOSITES: Mapping[str, str] = {
    word: other
    for pair in (
        ("quickly", "slowly"),
        ("completely", "partially"),
        ("continuously", "periodically"),
        ("upwards", "downwards"),
        ("loudly", "quietly"),
    )
    for word, other in (pair, pair[::-1])
}
ADVERBS = tuple(OPPOSITES)


@dataclass(frozen=True)
class Manner:
    """One way of doing something.

    Attributes:
        tempo: Multiple of the motion's own speed.
        extent: Part of the motion's full way that is made, 0 to 1.
        pause: Part of the time in which the motion stands still, 0 to 1.
        pauses: How often it does so in a second.
        rise: 1 = towards the upper edge, -1 = towards the lower edge, 0 = neither.
        level: Decibels that the sound is louder than usual.
    """

    tempo: float
    extent: float
    pause: float
    pauses: float
    rise: int
    level: float


def draw_manner(adverb: str, rng: np.random.Generator) -> Manner:
    """The manner of one clip. Every adverb draws the same numbers, so that what it does not say depends on none.

    Args:
        adverb: One of `ADVERBS`.
        rng: Draws the manner; a given state gives the same one.

    Raises:
        KeyError: There is no such adverb.
    """

    def side(much: str, little: str, *ranges: tuple[float, float]) -> float:
        """From the first range for `little`, the last for `much`, the middle one for every other adverb."""
        low, high = ranges[{little: 0, much: 2}.get(adverb, 1)]
        return float(rng.uniform(low, high))

    _ = OPPOSITES[adverb]
    return Manner(
        tempo=2 ** side("quickly", "slowly", (-1.5, -0.8), (-0.3, 0.3), (0.8, 1.4)),
        extent=side("completely", "partially", (0.2, 0.35), (0.55, 0.7), (0.85, 1.0)),
        pause=side("periodically", "continuously", (0.0, 0.0), (0.1, 0.2), (0.5, 0.65)),
        pauses=float(rng.uniform(0.8, 1.2)),
        rise={"upwards": 1, "downwards": -1}.get(adverb, 0),
        level=side("loudly", "quietly", (-16.0, -10.0), (-4.0, 0.0), (4.0, 8.0)),
    )
