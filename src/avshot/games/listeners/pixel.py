"""A listener that looks: a small network reads the patch of every thing, in the picture as this listener sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avshot.games.episode import Answer, Message, Sight
from avshot.games.item import Pixels
from avshot.games.listeners._patches import cut, taught
from avshot.games.listeners.listener import Listener
from avshot.games.scene import WORDS


class Pixel(Listener):
    """Was taught what the words look like on clean pictures, and meets weakened ones.

    It is told where things are (their boxes), not what they are. In `rei` it chooses the picture in which the named
    values are likelier to occur, log P summed over words, where P(a value occurs) = 1 - product over things of
    1 - P(the thing has it). In `res` it chooses the likeliest thing and answers with that thing's mask. Without a word
    that it knows it tosses the episode's coin.
    """

    @dataclass(frozen=True)
    class Config:
        """How it was taught."""

        scenes: int = 300  # rendered ones; about half a minute on one core, once in a process
        seed: int = 0

    def answer(self, sights: Sequence[Sight], messages: Sequence[Message]) -> list[Answer]:
        """One answer each. Raises ValueError where a source has no pictures or knows of no boxes."""
        return [self._answer(sight, message) for sight, message in zip(sights, messages, strict=True)]

    def _answer(self, sight: Sight, message: Message) -> Answer:
        words = sorted({WORDS.index(word) for word in message.words if word in WORDS})
        things = [len(item.picture.boxes) for item in sight.items]
        if not words:
            guess = sight.coin % (things[0] if sight.game == "res" else 2)
        else:
            beliefs = [
                self.beliefs(pixels, item.picture.boxes)
                for pixels, item in zip(sight.pixels(), sight.items, strict=True)
            ]
            if sight.game == "res":
                guess = int(beliefs[0][:, words].sum(1).argmax())
            else:
                guess = int(torch.stack([_occurs(each)[words].sum() for each in beliefs]).argmax())
        return Answer(mask=sight.items[0].picture.masks[guess]) if sight.game == "res" else Answer(choice=guess)

    @torch.no_grad()
    def beliefs(self, pixels: Pixels, boxes: NDArray[np.float64]) -> Tensor:
        """Log-probability `[thing, word]` that the thing in each box has each value of `WORDS`."""
        network = taught(self.config.scenes, self.config.seed)
        found: Tensor = network(*cut(pixels, boxes))
        return found


def _occurs(beliefs: Tensor) -> Tensor:
    """Log-probability `[word]` that some thing of a picture has each value."""
    nowhere = torch.log1p(-beliefs.exp().clamp(max=1 - 1e-6)).sum(0)
    return torch.log1p(-nowhere.exp().clamp(max=1 - 1e-6))
