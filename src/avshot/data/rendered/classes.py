"""Words that the rendered world can show and play, and the classes it is made of by default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from avshot.data.rendered.picture import COLOURS, MOTIONS
from avshot.data.rendered.shapes import SHAPES
from avshot.data.rendered.sound import VOICES
from avshot.errors import BadDataset

VOCABULARY: Mapping[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": tuple(SHAPES),
    "motion": tuple(MOTIONS),
    "sound": tuple(VOICES),
}


def words_of(name: str) -> dict[str, str]:
    """The words of a class name that the world can render: `{"colour": "red", "shape": "star", "sound": "drumming"}`.

    Other words are ignored; what is not named is drawn at random in every clip (no sound word = silence).

    Raises:
        ValueError: Two words of one kind, or no word of the vocabulary at all.
    """
    found: dict[str, str] = {}
    for word in re.findall(r"[a-z]+", name.lower()):
        kinds = [kind for kind, words in VOCABULARY.items() if word in words]
        if not kinds:
            continue
        if kinds[0] in found:
            raise BadDataset(f"Class {name!r} names two {kinds[0]}s: {found[kinds[0]]} and {word}; name one.")
        found[kinds[0]] = word
    if not found:
        known = "; ".join(f"{kind}: {', '.join(words)}" for kind, words in VOCABULARY.items())
        raise BadDataset(f"Class {name!r} has no word that can be rendered; {known}.")
    return found


@dataclass(frozen=True)
class Roster:
    """Class names of a world by the part they play.

    Attributes:
        seen: Classes with training clips.
        val_unseen: Classes that stage 1 has never seen; stage 2 trains on them.
        test_unseen: Classes that no stage trains on.
    """

    seen: tuple[str, ...]
    val_unseen: tuple[str, ...]
    test_unseen: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All class names. Raises ValueError when one has two parts."""
        names = (*self.seen, *self.val_unseen, *self.test_unseen)
        if len(set(names)) != len(names):
            raise BadDataset(f"A class is listed twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}.")
        return names


# Every word of an unseen class is in at least three seen ones. The unseen test classes are all eight combinations of
# two colours, two motions and two sounds: who misses one of the three words of a class is right half the time at best.
DEFAULT = Roster(
    seen=(
        "blue bouncing beeping",
        "blue bouncing chirping",
        "blue flashing drumming",
        "blue growing beeping",
        "green bouncing whistling",
        "green flashing beeping",
        "green flashing whistling",
        "green growing buzzing",
        "red bouncing drumming",
        "red growing buzzing",
        "red growing ringing",
        "red sliding chirping",
        "red sliding ringing",
        "yellow flashing buzzing",
        "yellow growing drumming",
        "yellow sliding chirping",
        "yellow sliding ringing",
        "yellow sliding whistling",
    ),
    val_unseen=(
        "green bouncing beeping",
        "green bouncing chirping",
        "green growing beeping",
        "green growing chirping",
        "yellow growing beeping",
        "yellow growing chirping",
    ),
    test_unseen=(
        "blue growing drumming",
        "blue growing whistling",
        "blue sliding drumming",
        "blue sliding whistling",
        "red growing drumming",
        "red growing whistling",
        "red sliding drumming",
        "red sliding whistling",
    ),
)
