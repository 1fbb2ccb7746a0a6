"""Players at work on some episodes, without learning: what was said, understood and won."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from avshot.games.episode import Answer, Episode, Message
from avshot.games.game import Game
from avshot.games.learners.learner import Said, log_ratios
from avshot.games.listeners.listener import Listener
from avshot.games.speakers.speaker import LearningSpeaker, Speaker
from avshot.games.weaknesses.weakness import Weakness

_AT_A_TIME = 50


@dataclass(frozen=True)
class Round:
    """One episode as it went; a line of a transcript.

    Attributes:
        id: Of the episode.
        place: Where the listener saw the target, in `rei`: 0 left, 1 right; 0 in `res`.
        message: What was said.
        tokens: The same for the speaker.
        choice: What the listener chose in `rei`; None where it did not say, and in `res`.
        answer: Its words, if it has some.
        understood: Whether there was an answer at all.
        reward: What it won, as the game gives it.
        score: The same as it is reported, from 0 to 1.
    """

    id: str
    place: int
    message: str
    tokens: tuple[int, ...]
    choice: int | None
    answer: str
    understood: bool
    reward: float
    score: float

    def line(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"tokens": list(self.tokens)}


def as_round(game: Game, episode: Episode, message: Message, answer: Answer) -> Round:
    """One episode as it went."""
    reward = game.reward(episode, answer)
    place = episode.place if len(episode.order) == 2 else 0
    said = (message.text, message.tokens)
    return Round(episode.id, place, *said, answer.choice, answer.text, answer.understood, reward, game.score(reward))


def answered(
    game: Game,
    episodes: Sequence[Episode],
    messages: Sequence[Message],
    listener: Listener,
    weakness: Weakness | None = None,
) -> list[Round]:
    """What a listener makes of given messages."""
    sights = [game.listener_sees(episode, weakness) for episode in episodes]
    answers = listener.answer(sights, messages)
    return [as_round(game, *each) for each in zip(episodes, messages, answers, strict=True)]


def judge(
    game: Game,
    episodes: Sequence[Episode],
    speaker: Speaker,
    listener: Listener,
    weakness: Weakness | None = None,
    generator: torch.Generator | None = None,
) -> list[Round]:
    """Play episodes without learning.

    Args:
        game: The game.
        episodes: Of it.
        speaker: Says what is likeliest, unless there is a generator.
        listener: Answers.
        weakness: What it does not see.
        generator: The speaker draws its words with this.
    """
    rounds: list[Round] = []
    for i in range(0, len(episodes), _AT_A_TIME):
        some = episodes[i : i + _AT_A_TIME]
        messages = speaker.say([game.speaker_sees(episode) for episode in some], generator)
        rounds += answered(game, some, messages, listener, weakness)
    return rounds


def drift(
    game: Game, episodes: Sequence[Episode], speaker: LearningSpeaker, first: dict[str, torch.Tensor], seed: int
) -> float:
    """KL of the speaker to an earlier self, in nats a message: mean log-ratio of messages that it draws."""
    generator, total = torch.Generator().manual_seed(seed), 0.0
    with torch.no_grad():
        for i in range(0, len(episodes), _AT_A_TIME):
            sights = [game.speaker_sees(episode) for episode in episodes[i : i + _AT_A_TIME]]
            said = Said.of(speaker, sights, speaker.say(sights, generator))
            total += float(log_ratios(speaker, said, first).sum())
    return total / len(episodes)
