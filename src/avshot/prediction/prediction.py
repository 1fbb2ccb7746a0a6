"""What a Run says about a video: a ranking with probabilities, and what it rested on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from avshot.prediction.attribution import Moment
from avshot.prediction.manners import Manner
from avshot.runs.knowledge import trained_on


@dataclass(frozen=True)
class Guess:
    """One class of a ranking.

    Attributes:
        name: As it was asked for.
        probability: Among the candidates.
        seen: The model was trained on a full set of clips of it.
        few: On how many clips, where it was trained on a few (0: on a few, the number was not noted); None for others.
        taught: From how many clips it was taught after the training; 0 where it was not.
    """

    name: str
    probability: float
    seen: bool
    few: int | None = None
    taught: int = 0

    @property
    def known(self) -> str:
        """How the Run knows it, in words: "trained", "trained on 5 clips", "taught by 5 clips" or "from words"."""
        if self.taught:
            return f"taught by {self.taught} clip{'s' * (self.taught > 1)}"
        if self.few is not None:
            return trained_on(self.few)
        return "trained" if self.seen else "from words"


@dataclass(frozen=True)
class Prediction:
    """What a Run says about one video.

    Attributes:
        video: The file.
        status: "ok", or what was wrong with the file: "truncated", "no_audio", "no_visual", "silent" (there is a sound
            stream but nothing in it) or "black" (the same of the picture); the first of these that holds.
        duration: Seconds.
        ranking: Classes, most probable first; probabilities add up to 1 over all candidates.
        modality: Share of the decision that rested on "audio" and on "visual" (see `avshot.prediction.attribution`):
            they add up to 1, or are 0 when neither speaks for the first class.
        moments: Windows of the file in seconds with their share of the decision, in time order.
        notes: What a reader should know: why the Run's answers may be guesses, a modality that is missing or holds
            nothing, a truncated file, what of it was dropped, a clip unlike the training clips.
        about: What the Run was trained on, and what it was taught later, in one line.
        action: What is done, where the Run says how (its classes are pairs of an action and an adverb); else empty.
        assumed: How probable that action is, where it was not given; None where it was.
        manners: How it is done, most probable first, as many as in the ranking; each beside its opposite.
    """

    video: str
    status: str
    duration: float
    ranking: tuple[Guess, ...]
    modality: dict[str, float]
    moments: tuple[Moment, ...]
    notes: tuple[str, ...]
    about: str = ""
    action: str = ""
    assumed: float | None = None
    manners: tuple[Manner, ...] = ()

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.ranking[0].name

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`; what is said of manners only where something is."""
        found = asdict(self)
        return found if self.action else {k: v for k, v in found.items() if k not in _OF_MANNERS}


_OF_MANNERS = ("action", "assumed", "manners")
