"""What one experiment is asked, in words, and what the words stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avshot.errors import BadSetting, WrongRun
from avshot.games.game import Game
from avshot.games.learners.learner import Learner
from avshot.games.listeners.listener import Listener
from avshot.games.named import build, build_source, config_of, split_name
from avshot.games.rei import Rei
from avshot.games.res import Res
from avshot.games.speakers.speaker import LearningSpeaker, Speaker
from avshot.games.weaknesses.weakness import Weakness
from avshot.machine.python_file import full_path, is_python_file, was_named
from avshot.settings import did_you_mean

GAMES: dict[str, type[Game]] = {"rei": Rei, "res": Res}


@dataclass(frozen=True)
class Play:
    """One speaker, one listener, one learner, one seed. Budgets are those of the thesis (section 7.4.1).

    Attributes:
        game: `rei` or `res`, with settings: `rei?differ=shape,size`.
        source: Where pictures come from: `rendered`, `symbolic`, `clevr:FOLDER`, `folder:FOLDER`, `refcoco:FOLDER`.
        speaker: Who describes.
        listener: Who answers.
        weakness: What the listener does not see; empty: it sees well.
        learner: How the speaker learns; `none` for a speaker as it is.
        seed: Decides the episodes that are learnt from, and what is said there. Test episodes are the same for all.
        updates: How often it learns.
        episodes: For each update.
        test: Held-out episodes of the figures.
        word_cost: Taken from the reward for every word, while learning.
        check_every: Updates after which the drift guard looks at validation episodes; 0: there is no guard, as printed.
        check_episodes: How many it looks at.
        tolerance: By how much their score may lie below the best before the speaker is set back to it.
        patience: Looks without a new best after which learning ends; 0: it goes on.
        stranger: Another listener, to whom the messages of the end are given, too; empty: nobody.
        stranger_weakness: What that one does not see.
    """

    game: str = "rei"
    source: str = "rendered"
    speaker: str = "words"
    listener: str = "exact"
    weakness: str = ""
    learner: str = "none"
    seed: int = 0
    updates: int = 600
    episodes: int = 3
    test: int = 300
    word_cost: float = 0.0
    check_every: int = 0
    check_episodes: int = 100
    tolerance: float = 0.05
    patience: int = 0
    stranger: str = ""
    stranger_weakness: str = ""

    def __post_init__(self) -> None:
        for name in ("episodes", "test", "check_episodes"):
            if getattr(self, name) < 1:
                raise BadSetting(f"{name} is {getattr(self, name)}; expected 1 or more.")
        for name in ("seed", "updates", "check_every", "patience"):
            if getattr(self, name) < 0:
                raise BadSetting(f"{name} is {getattr(self, name)}; expected 0 or more.")


@dataclass(frozen=True, eq=False)
class Parts:
    """What a `Play` stands for; `learner` is None where nothing is learnt."""

    game: Game
    speaker: Speaker
    listener: Listener
    weakness: Weakness | None
    learner: Learner | None


def resolve(play: Play) -> Parts:
    """Build everything that a `Play` names. Raises ValueError for what does not exist or does not go together."""
    listener, weakness = listener_of(play.listener, play.weakness)
    speaker = build("speakers", play.speaker)
    learner = None
    if play.learner != "none":
        if not isinstance(speaker, LearningSpeaker):
            raise BadSetting(f"The speaker {play.speaker!r} cannot learn; take learner none, or the speaker words.")
        learner = build("learners", play.learner, speaker)
    return Parts(game_of(play), speaker, listener, weakness, learner)


def from_record(record: Mapping[str, Any], folder: Path) -> Play:
    """What a finished experiment was asked.

    A folder may come from anybody, and a file of players that it names is code: such a file is used only where somebody
    named it in this process, in a file of experiments or as `--code`.

    Raises:
        ValueError: It names a file that nobody named.
    """
    play = Play(**record["asked"])
    for field in ("source", "speaker", "listener", "weakness", "learner", "stranger", "stranger_weakness"):
        name, _, _ = split_name(getattr(play, field))
        if is_python_file(name) and not was_named(full_path(name)):
            raise WrongRun(
                f"The game in {folder} names code, {name} as its {field}; look at that file, and pass --code {name}."
            )
    return play


def game_of(play: Play) -> Game:
    """The game over its source."""
    name, _, query = split_name(play.game)
    if name not in GAMES:
        raise BadSetting(f"There is no game {name!r}; games: {', '.join(GAMES)}.{did_you_mean(name, GAMES)}")
    cls = GAMES[name]
    return cls(build_source(play.source), config_of(cls, query, name))


def listener_of(listener: str, weakness: str) -> tuple[Listener, Weakness | None]:
    """A listener and what it does not see."""
    found: tuple[Any, Any] = (build("listeners", listener), build("weaknesses", weakness) if weakness else None)
    return found
