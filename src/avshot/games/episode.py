"""One round of a game, and what passes between the players."""

from __future__ import annotations

from dataclasses import dataclass, field

from avshot.games.item import Item, Mask, Pixels
from avshot.games.pictures import circled
from avshot.games.weaknesses.weakness import Weakness


@dataclass(frozen=True, eq=False)
class Episode:
    """What one round is about; equal for every speaker, listener and learner that is given the same seed.

    Attributes:
        id: `split/seed/number`.
        items: As the speaker sees them, left to right: two in `rei`, one in `res`.
        target: Which is meant: an index of `items` in `rei`, of the objects of the one item in `res`.
        order: The listener sees `items[order[0]]` first.
        coin: Decides what a listener answers who cannot tell.
    """

    id: str
    items: tuple[Item, ...]
    target: int
    order: tuple[int, ...]
    coin: int

    @property
    def place(self) -> int:
        """Where the listener sees the target, in `rei`: 0 is left."""
        return self.order.index(self.target)


@dataclass(frozen=True, eq=False)
class Sight:
    """What one player is shown.

    Attributes:
        items: From left to right.
        game: Name of the game.
        target: Which is meant; None for the listener.
        weakness: What the player does not see; None for one with good eyes.
        coin: Decides what a player does who cannot tell.
    """

    items: tuple[Item, ...]
    game: str
    target: int | None = None
    weakness: Weakness | None = None
    coin: int = 0

    def pixels(self) -> list[Pixels]:
        """The pictures as this player sees them; in `res` the speaker's with a red circle around what is meant."""
        found = [item.picture for item in self.items]
        pixels = [picture.pixels for picture in found]
        if self.game == "res" and self.target is not None:
            pixels = [circled(pixels[0], found[0].boxes[self.target])]
        return pixels if self.weakness is None else [self.weakness.apply(each) for each in pixels]


@dataclass(frozen=True)
class Message:
    """What a speaker said.

    Attributes:
        text: In words.
        tokens: The same for the speaker that said it, with the token that ends it unless it was cut off; empty for
            speakers that do not learn.
    """

    text: str
    tokens: tuple[int, ...] = ()

    @property
    def words(self) -> list[str]:
        """Its words in small letters, without punctuation around them."""
        return [word for part in self.text.lower().split() if (word := part.strip(".,;:!?\"'()"))]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a listener understood.

    Attributes:
        choice: In `rei`: 0 for the left, 1 for the right picture as the listener saw them; None if it did not say.
        mask: In `res`: the pixels it means, `[height, width]`; None if it did not say.
        text: Its words, where it has some.
    """

    choice: int | None = None
    mask: Mask | None = field(default=None, repr=False)
    text: str = ""

    @property
    def understood(self) -> bool:
        """Whether there is an answer at all."""
        return self.choice is not None or self.mask is not None
