"""One experiment from first to last: talk and learn, then test, into a folder.

The folder holds `play.json` (what was asked, measured, and with which versions), `episodes.jsonl` (every interaction of
the training), `before.jsonl` and `after.jsonl` (the test episodes with the speaker's messages before and after),
`speaker.safetensors` (the trained parameters). Until the end there is `checkpoint.safetensors`: the same command goes
on from there, and on a CPU arrives at the same parameters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from avshot.errors import BadSetting
from avshot.files.atomic import load_sealed, load_tensors, save_sealed, save_tensors, save_text
from avshot.files.lock import sole_writer
from avshot.games.episode import Episode, Message
from avshot.games.experiment import Parts, Play, from_record, listener_of, resolve
from avshot.games.guard import Guard
from avshot.games.judge import Round, answered, drift, judge
from avshot.games.learners.learner import Learner, Rollouts
from avshot.games.measures import measure
from avshot.games.speakers.speaker import LearningSpeaker
from avshot.machine.versions import versions

TEST_SEED = 0  # of test episodes, for all plays: speakers are compared on the same ones
SAVE_EVERY = 50  # updates between two checkpoints
RECORD, CHECKPOINT, TRAINING = "play.json", "checkpoint.safetensors", "episodes.jsonl"
Progress = Callable[[int, int], None]


def play(asked: Play, folder: Path, progress: Progress = lambda done, total: None) -> dict[str, Any]:
    """Run an experiment, or go on with it, or read it where it is done.

    Args:
        asked: The experiment.
        folder: For its files; is made.
        progress: Is told how many updates are done, of how many.

    Returns:
        The content of `play.json`: `asked`, `before` and `after` (`avshot.games.measures.measure`), `stranger`,
        `curve`, `checks`, `interactions`, `versions`.

    Raises:
        ValueError: Something that is asked for does not exist, or the folder holds another experiment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder):
        if (folder / RECORD).is_file():
            return _finished(asked, folder)
        parts = resolve(asked)
        tests = parts.game.draw(asked.test, TEST_SEED, "test")
        before = judge(parts.game, tests, parts.speaker, parts.listener, parts.weakness)
        save_rounds(folder / "before.jsonl", before)
        record: dict[str, Any] = {"asked": asdict(asked), "before": measure(before), "versions": versions()}
        after = before
        if parts.learner is not None:
            record |= _learn(asked, parts, parts.learner, folder, progress)
            after = judge(parts.game, tests, parts.speaker, parts.listener, parts.weakness)
            record["after"] = measure(after) | {"kl": _kl(parts, parts.learner, tests)}
        save_rounds(folder / "after.jsonl", after)
        record |= _stranger(asked, parts, tests, after)
        save_sealed(folder / RECORD, record)
        (folder / CHECKPOINT).unlink(missing_ok=True)
        return load_sealed(folder / RECORD)


def _finished(asked: Play, folder: Path) -> dict[str, Any]:
    record = load_sealed(folder / RECORD)
    _same(record["asked"], asked, folder)
    return record


def _same(noted: dict[str, Any], asked: Play, folder: Path) -> None:
    apart = [name for name, value in asdict(asked).items() if noted.get(name) != value]
    if apart:
        name = apart[0]
        raise BadSetting(
            f"{folder} holds another experiment: its {name} is {noted.get(name)!r}, asked was "
            f"{getattr(asked, name)!r}; choose another folder."
        )


def _learn(asked: Play, parts: Parts, learner: Learner, folder: Path, progress: Progress) -> dict[str, Any]:
    """The training; returns what the record says of it."""
    curve, guard, rounds = _resumed(asked, parts, learner, folder)
    if asked.check_every and not guard.curve:
        guard.look(asked, parts, learner)
    ended = 0 < asked.patience <= guard.since  # of one that was killed between its last look and the test
    while learner.updates < asked.updates and not ended:
        numbers, new = _update(asked, parts, learner)
        curve.append(numbers)
        rounds += new
        if asked.check_every and learner.updates % asked.check_every == 0:
            ended = guard.look(asked, parts, learner)
        if learner.updates % SAVE_EVERY == 0 or ended or learner.updates == asked.updates:
            _save(asked, learner, guard, curve, rounds, folder)
        progress(learner.updates, asked.updates)
    if asked.check_every:
        learner.speaker.restore(guard.kept)
    save_tensors(folder / "speaker.safetensors", learner.speaker.copied(), about={"speaker": asked.speaker})
    looked = asked.check_episodes * len(guard.curve)
    counts = {"training": len(rounds), "checks": looked, "updates": learner.updates, "setbacks": guard.setbacks}
    return {"curve": curve, "checks": guard.curve, "interactions": counts}


def _update(asked: Play, parts: Parts, learner: Learner) -> tuple[dict[str, float], list[Round]]:
    """Talk about the next episodes, and learn from them."""
    start = learner.updates * asked.episodes
    drawn = parts.game.draw(asked.episodes, asked.seed, "train", start)
    episodes = [episode for episode in drawn for _ in range(learner.messages)]
    sights = [parts.game.speaker_sees(episode) for episode in episodes]
    generator = torch.Generator().manual_seed(asked.seed * 1_000_003 + learner.updates)
    messages = learner.speaker.say(sights, generator, learner.allowed())
    rounds = answered(parts.game, episodes, messages, parts.listener, parts.weakness)
    rollouts = _rollouts(asked, parts, learner, episodes, rounds)
    numbers = learner.update(rollouts)
    learner.remember(rollouts)
    score = sum(each.score for each in rounds) / len(rounds)
    words = sum(len(message.words) for message in messages) / len(messages)
    return numbers | {"update": learner.updates, "score": score, "words": words}, rounds


def _rollouts(
    asked: Play, parts: Parts, learner: Learner, episodes: Sequence[Episode], rounds: Sequence[Round]
) -> Rollouts:
    sights = [parts.game.speaker_sees(episode) for episode in episodes]
    messages = [Message(each.message, each.tokens) for each in rounds]
    won = [each.reward - asked.word_cost * len(m.words) for each, m in zip(rounds, messages, strict=True)]
    good = torch.tensor([parts.game.good(reward) for reward in won])
    groups = torch.arange(len(rounds)) // learner.messages
    return Rollouts(sights, messages, torch.tensor(won), good, groups)


def _save(asked: Play, learner: Learner, guard: Guard, curve: list[Any], rounds: Sequence[Round], folder: Path) -> None:
    about = {"asked": asdict(asked), "curve": curve, "checks": guard.curve}
    save_rounds(folder / TRAINING, rounds)
    save_tensors(folder / CHECKPOINT, learner.state() | guard.tensors(), about=about)


def _resumed(asked: Play, parts: Parts, learner: Learner, folder: Path) -> tuple[list[Any], Guard, list[Round]]:
    """Curve, guard and rounds of a training that was stopped; empty ones where there was none."""
    if not (folder / CHECKPOINT).is_file():
        return [], Guard(), []
    state, about = load_tensors(folder / CHECKPOINT)
    _same(about["asked"], asked, folder)
    own = {key: value for key, value in state.items() if not key.startswith("guard")}
    learner.load(own)
    each = asked.episodes * learner.messages
    rounds = load_rounds(folder / TRAINING)[: learner.updates * each]
    if learner.remembers:
        for i in range(learner.updates):
            drawn = parts.game.draw(asked.episodes, asked.seed, "train", i * asked.episodes)
            episodes = [episode for episode in drawn for _ in range(learner.messages)]
            learner.remember(_rollouts(asked, parts, learner, episodes, rounds[i * each : (i + 1) * each]))
    return about["curve"], Guard.of(state, about["checks"]), rounds


def _kl(parts: Parts, learner: Learner, tests: Sequence[Episode]) -> float:
    return drift(parts.game, tests, learner.speaker, learner.first, TEST_SEED)


def _stranger(asked: Play, parts: Parts, tests: Sequence[Episode], after: Sequence[Round]) -> dict[str, Any]:
    """The messages of the end, given to another listener: was something learnt about this partner alone?"""
    if not asked.stranger:
        return {}
    messages = [Message(each.message, each.tokens) for each in after]
    other, weakness = listener_of(asked.stranger, asked.stranger_weakness)
    return {"stranger": measure(answered(parts.game, tests, messages, other, weakness))}


def load_speaker(folder: Path) -> LearningSpeaker:
    """The speaker that a finished experiment trained. Raises ValueError where it trained none, or a file is damaged."""
    record = load_sealed(folder / RECORD)
    tensors, _ = load_tensors(folder / "speaker.safetensors")
    speaker = resolve(from_record(record, folder)).speaker
    assert isinstance(speaker, LearningSpeaker)
    speaker.restore(tensors)
    return speaker


def save_rounds(path: Path, rounds: Sequence[Round]) -> None:
    """A transcript: one JSON object for each line."""
    save_text(path, "".join(json.dumps(each.line()) + "\n" for each in rounds))


def load_rounds(path: Path) -> list[Round]:
    """A transcript as it was written. Raises ValueError for another file."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [Round(**line | {"tokens": tuple(line["tokens"])}) for line in lines]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadSetting(f"{path} is no transcript of a game ({error}); play again into an empty folder.") from None
