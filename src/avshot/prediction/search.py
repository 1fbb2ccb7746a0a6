"""The other direction: of many videos those that show what somebody names, "cut slowly" (adverb to video).

Videos are ranked by the score that the Run's method gives them for the named class, as clips are in the task's mAP; of
a pair, each is also asked whether it is rather so than the opposite.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from avshot.errors import BadClassName, BadMedia
from avshot.prediction.batch import Failed, answers
from avshot.prediction.manners import PARTS, Pair, parted
from avshot.prediction.predictor import Predictor
from avshot.prediction.upload import LARGEST, Video, on_disk
from avshot.training.finite import checked_scores


@dataclass(frozen=True)
class Match:
    """A video that was searched.

    Attributes:
        video: The file.
        score: What videos are ranked by, higher is better; comparable within one search alone.
        opposite: The opposite of the adverb; None for plain classes, and where no opposite is known.
        against: Probability of the adverb if only the two of them are possible; None without an opposite.
    """

    video: str
    score: float
    opposite: str | None = None
    against: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)


def search(
    predictor: Predictor, what: str, videos: Iterable[Video], *, workers: int | None = None, largest: int = LARGEST
) -> tuple[list[Match], list[Failed]]:
    """Rank videos by how much they are what was named.

    Args:
        predictor: An open Run.
        what: A class in free text; of a Run whose classes are pairs an action and an adverb, "cut slowly".
        videos: Any number, each as for `Predictor.predict`.
        workers: Threads, at least 1; None for one per core.
        largest: As for `Predictor.predict`.

    Returns:
        The videos, best first, and those that cannot be used.

    Raises:
        ValueError: The class cannot be embedded or scored, or `videos` is a single one.
    """
    names, pairs = _asked(predictor, what)
    asked = predictor.candidates(names, pairs)
    classes, model = asked.classes, asked.model

    @torch.inference_mode()
    def one(video: Video) -> Match:
        with on_disk(video, largest=largest) as (clip, name):
            features, _, _ = predictor.features(clip)
        used = features.prefer(predictor.run.view)
        if not bool((used.has_audio | used.has_visual)[0]):
            raise BadMedia(f"{name} has neither sound nor picture that this Run reads.")
        scores = model.score(used.to(predictor.device), classes.to(predictor.device)).cpu().double()
        scores = checked_scores(model.name, scores, used, classes, [name])[0]
        if len(names) == 1:
            return Match(name, float(scores[0]))
        against = (scores / predictor.run.temperature).softmax(dim=0)[0]
        return Match(name, float(scores[0]), pairs[1][1] if pairs else None, float(against))

    found: list[Match] = []
    failed: list[Failed] = []
    for answer in answers(one, videos, workers=workers):
        if isinstance(answer, Failed):
            if isinstance(answer.error, BadClassName):  # no video is to blame, and all would say the same
                raise answer.error
            failed.append(answer)
        else:
            found.append(answer)
    return sorted(found, key=lambda match: -match.score), failed


def _asked(predictor: Predictor, what: str) -> tuple[list[str], tuple[Pair, ...] | None]:
    """The class, with that of the opposite behind it where it is a pair whose adverb has one."""
    factors = predictor.run.classes().factors
    if not set(PARTS) <= set(factors):
        return [what], None
    action, adverb = parted(what, factors)
    known = factors["adverb"]
    place = known.names.index(adverb) if adverb in known.names else -1
    other = -1 if place < 0 or known.opposite is None else int(known.opposite[place])
    pairs = ((action, adverb), *([(action, known.names[other])] if other >= 0 else []))
    return [f"{action} {adverb}" for action, adverb in pairs], pairs
