"""The rendered world of manners: small real videos whose classes say what is done and how, "sliding upwards".

Five motions in ten manners. Manners of tempo, extent, pauses and direction are in the picture alone, that of loudness
in the sound alone; colour, shape, place, phase and voice are drawn for each clip whatever the class. A manner looks
another way in each motion (`avshot.data.rendered.acted`): a quick slide and a quick spin share little but the word, and
a loud slide is no louder than a usual bounce.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from avshot.data.label_table import PAIRS, Columns
from avshot.data.pair_split import PairRule, split_pairs
from avshot.data.rendered.acted import ACTED
from avshot.data.rendered.filling import clip_name, fill, lone_clip, replace_file
from avshot.data.rendered.manners import ADVERBS, OPPOSITES, Manner, draw_manner
from avshot.data.rendered.picture import render_picture
from avshot.data.rendered.sound import render_sound
from avshot.data.rendered.world import Look
from avshot.errors import BadDataset
from avshot.types import Clip

RENDERER = 1  # to be counted up when equal settings give other clips
SECONDS, SIZE = 2.4, (96, 128)  # a slow bounce takes two seconds; no feature of avshot's own looks at more pixels
TESTED = 0.25  # of the clips of each pair that trains
_DEMO_SEED = 1000  # far from the seeds of worlds, so that a clip of `demo_manner` is none of theirs
_SHAPES = ("heart", "moon", "triangle")  # those whose turn is seen at any speed of the world
_COLOURS = ("yellow", "white", "pink", "orange")  # bright before a dark background: what moves can be told from what
_GROUND = (0.12, 0.35)  # does not by features that know brightness alone

# Voices and decibels of each motion. A loud slide is no louder than a usual bounce: how loud is loud depends on what is
# done. Two voices each, so that the word alone does not say what is heard.
_VOICES: Mapping[str, tuple[tuple[str, str], float]] = {
    "bouncing": (("drumming", "knocking"), 3.0),
    "sliding": (("hissing", "whistling"), -4.0),
    "growing": (("humming", "wailing"), -1.0),
    "spinning": (("buzzing", "beeping"), 1.0),
    "shaking": (("ringing", "chirping"), -2.0),
}


def pair_names() -> tuple[str, ...]:
    """All classes: every motion with every adverb, "bouncing quickly" first."""
    return tuple(f"{action} {adverb}" for action in ACTED for adverb in ADVERBS)


def pair_of(label: str) -> tuple[str, str]:
    """Action and adverb of a class of this world. Raises ValueError for another name."""
    action, _, adverb = label.partition(" ")
    if action not in ACTED or adverb not in ADVERBS:
        raise BadDataset(
            f"Class {label!r} cannot be rendered; expected a motion ({', '.join(ACTED)}) and an adverb "
            f"({', '.join(ADVERBS)})."
        )
    return action, adverb


def render_manner(label: str, number: int, look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Clip `number` of class `label`: frames `[frame, height, width, 3]` uint8 and waveform `[sample]` float32.

    Depends on its arguments alone. When the event happens is common to picture and sound, everything else is drawn for
    each on its own: the sound tells nothing of tempo, extent, pauses and direction, the picture nothing of loudness.

    Raises:
        ValueError: A label that is no motion with an adverb.
    """
    action, adverb = pair_of(label)
    seed = [look.seed, zlib.crc32(label.encode()), number]
    when, how, draw, play = (np.random.default_rng([*seed, part]) for part in range(4))
    length = look.seconds * when.uniform(0.95 - 0.4 * look.difficulty, 0.95)
    begin = when.uniform(0, look.seconds - length)
    manner = draw_manner(adverb, how)
    frames = render_picture(
        {"shape": str(draw.choice(_SHAPES)), "colour": str(draw.choice(_COLOURS))},
        draw,
        seconds=look.seconds,
        fps=look.fps,
        span=(begin, begin + length),
        difficulty=look.difficulty,
        size=look.size,
        motion=partial(ACTED[action], manner),
        ground=_GROUND,
    )
    return frames, _heard(action, manner, play, look, (begin, begin + length))


def _heard(action: str, manner: Manner, rng: np.random.Generator, look: Look, span: tuple[float, float]) -> np.ndarray:
    voices, usual = _VOICES[action]
    return render_sound(
        str(rng.choice(voices)),
        rng,
        seconds=look.seconds,
        span=span,
        difficulty=look.difficulty,
        rate=look.rate,
        gain=usual + manner.level,
    )


def render_manners(
    folder: str | Path,
    *,
    clips_per_class: int = 20,
    difficulty: float = 0.2,
    seed: int = 0,
    seconds: float = SECONDS,
    names: Sequence[str] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render the world of manners as `.mp4` files into `folder` and declare it as a dataset of pairs.

    Half of the pairs have no training clip, by the rule of the benchmark (`avshot.data.pair_split`): of these, half of
    the clips are tested and half unlabelled. Of the other pairs a quarter of the clips is tested. Of the halves that
    the rule may draw, the first is taken in which every motion and every adverb trains in two pairs of opposites: an
    adverb that is known from one motion alone says little about another one. Clips that an earlier call rendered are
    kept when they still are what it wrote.

    Args:
        folder: Made if absent. Receives `clips/*.mp4`, `labels.csv` (columns filename, label, action, adverb),
            `antonyms.csv`, `world.json` (the look), `rendered.jsonl` (digests of the clips) and `world.toml`.
        clips_per_class: Clips of each of the 50 pairs, numbered from 0; at least 5.
        difficulty: 0 (clear) to 1 (hard).
        seed: Another seed gives other clips, and other unseen pairs.
        seconds: Length of a clip.
        names: Only these pairs; None = all.
        workers: Processes; None = one per core.
        progress: Called with clips done, those kept included, and clips in all.

    Returns:
        Path of `world.toml`, for `avshot.data.load.load_dataset`.

    Raises:
        ValueError: Settings out of range, a name that is no pair, or a folder that holds a world of another look.
    """
    look = Look(difficulty=difficulty, seed=seed, seconds=seconds, size=SIZE)
    classes = pair_names() if names is None else tuple(names)
    pairs = {name: pair_of(name) for name in classes}
    root, stated = Path(folder), asdict(look) | {"renderer": RENDERER, "world": "manners"}
    jobs = fill(
        root,
        classes,
        look,
        _write,
        stated=stated,
        clips_per_class=clips_per_class,
        workers=workers,
        progress=progress,
    )
    rows = [(f"clips/{clip_name(name, number)}", name, *pairs[name]) for name, number in jobs]
    _replace_table(root / "labels.csv", [("filename", "label", "action", "adverb"), *rows])
    _replace_table(root / "antonyms.csv", [("adverb", "antonym"), *OPPOSITES.items()])
    return _declare(root, pairs, seed)


def demo_manner(folder: str | Path, label: str, *, difficulty: float = 0.2, seed: int = _DEMO_SEED) -> Path:
    """Render one clip of `label` that belongs to no fold, `folder/<label>.mp4`, for trying a prediction on it.

    Raises:
        ValueError: A label that is no motion with an adverb.
    """
    target = lone_clip(folder, label)
    _write(target, label, 0, Look(difficulty=difficulty, seed=seed, seconds=SECONDS, size=SIZE))
    return target


def _write(target: Path, label: str, number: int, look: Look) -> None:
    from avshot.media import write

    frames, waveform = render_manner(label, number, look)
    write(target, frames, look.fps, waveform, look.rate)  # appears under its name only when complete


def _replace_table(target: Path, rows: Sequence[Sequence[str]]) -> None:
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    replace_file(target, table.getvalue())


def unseen_rule(pairs: Mapping[str, tuple[str, str]], seed: int) -> PairRule:
    """The rule whose draw leaves every motion and adverb two pairs of opposites to train in, where one of 100 does.

    Args:
        pairs: `{class: (motion, adverb)}`.
        seed: Another one, other draws.
    """
    rows = [Clip(name, label=name) for name in pairs]
    rules = [PairRule(test=TESTED, seed=100 * seed + draw) for draw in range(100)]
    for rule in rules:
        unseen = set(split_pairs(rows, pairs, OPPOSITES, rule).unseen_test)
        trained = Counter(word for name, words in pairs.items() if name not in unseen for word in words)
        if all(trained[action] >= 4 and trained[adverb] >= 2 for action, adverb in pairs.values()):
            return rule
    return rules[0]


def _declare(root: Path, pairs: Mapping[str, tuple[str, str]], seed: int) -> Path:
    """Write `world.toml` with the folds that the rule of pairs gives."""
    from avshot.data.manifest import declare

    rule, columns = unseen_rule(pairs, seed), Columns(pairs=PAIRS)
    table, antonyms = root / "labels.csv", root / "antonyms.csv"
    return declare(table, root / "world.toml", columns=columns, rule=rule, antonyms=antonyms, overwrite=True).path
