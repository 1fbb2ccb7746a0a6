"""Reference game with one picture: which object did the speaker describe? Source: thesis, section 7.3.2."""

from __future__ import annotations

import numpy as np

from avshot.games.episode import Answer, Episode
from avshot.games.game import Game
from avshot.games.item import Mask


class Res(Game):
    """Referring expression segmentation. The reward is the intersection over union of the listener's mask.

    The speaker sees a red circle as large as the object's box; the listener sees the picture without it. For learners
    that know only good and bad a reward is good from 0.5 on.
    """

    name = "res"
    metric = "IoU"
    threshold = 0.5

    def _episode(self, name: str, split: str, rng: np.random.Generator, side: int, place: int) -> Episode:
        item, region = self.source.single(rng, split)
        return Episode(name, (item,), region, (0,), int(rng.integers(2**31)))

    def reward(self, episode: Episode, answer: Answer) -> float:
        """Intersection over union of the answered mask with the object's; 0 for no answer."""
        if answer.mask is None:
            return 0.0
        return iou(answer.mask, episode.items[0].picture.masks[episode.target])

    def good(self, reward: float) -> bool:
        """From the threshold on."""
        return reward >= self.threshold


def iou(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks `[height, width]`; 0 where both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 0.0
