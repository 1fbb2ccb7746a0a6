"""The rendered world: small real videos whose classes are made of words for what is seen and heard.


Colour and shape are only in the picture, the kind of sound only in the waveform, so a class is told apart from all
others by both together. An unseen class is a new combination of words that several seen classes use, so its name says
what it looks and sounds like: the world can be learnt, and its unseen classes truly inferred.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from avshot.data.world_picture import COLOURS, MOTIONS, SHAPES, render_picture
from avshot.data.world_sound import VOICES, render_sound

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
    for word in name.lower().split():
        kinds = [kind for kind, words in VOCABULARY.items() if word in words]
        if not kinds:
            continue
        if kinds[0] in found:
            raise ValueError(f"Class {name!r} names two {kinds[0]}s: {found[kinds[0]]} and {word}; name one.")
        found[kinds[0]] = word
    if not found:
        known = "; ".join(f"{kind}: {', '.join(words)}" for kind, words in VOCABULARY.items())
        raise ValueError(f"Class {name!r} has no word that can be rendered; {known}.")
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
            raise ValueError(f"A class is listed twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}.")
        return names


# Every word of an unseen class is in at least three seen ones; no unseen class is the only unseen one with its colour
# and shape, or with its sound, so that neither picture nor sound decides alone.
DEFAULT = Roster(
    seen=("red star drumming",),
    val_unseen=(),
    test_unseen=(),
)


@dataclass(frozen=True)
class Look:
    """How a world is rendered; equal looks, labels and numbers give equal clips.

    Attributes:
        difficulty: 0..1; see `render_picture` and `render_sound`. It also shortens the event within the clip.
        seed: Draws everything else.
        seconds: Length of a clip.
        fps: Frames per second.
        size: Height and width in pixels; even, at least 32.
        rate: Sound samples per second.
    """

    difficulty: float = 0.3
    seed: int = 0
    seconds: float = 2.0
    fps: int = 12
    size: tuple[int, int] = (120, 160)
    rate: int = 16000

    def __post_init__(self) -> None:
        if not 0 <= self.difficulty <= 1:
            raise ValueError(f"difficulty is {self.difficulty}; expected 0 (clear) to 1 (hard).")
        if self.seconds < 0.5:
            raise ValueError(f"seconds is {self.seconds}; expected at least 0.5.")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; expected 0 or more.")
        if min(self.size) < 32 or any(side % 2 for side in self.size):
            raise ValueError(f"size is {self.size}; expected even height and width of at least 32 pixels.")


def render_clip(label: str, number: int, look: Look = Look()) -> tuple[np.ndarray, np.ndarray]:
    """Clip `number` of class `label`: frames `[frame, height, width, 3]` uint8 and waveform `[sample]` float32.

    Depends on its arguments alone, so clips can be rendered in any order and by any number of workers. When and how
    long the event happens is common to picture and sound; everything else is drawn for each on its own.

    Raises:
        ValueError: A label without known words; see `words_of`.
    """
    words = words_of(label)
    seed = [look.seed, zlib.crc32(label.encode()), number]
    when, draw, play = (np.random.default_rng([*seed, part]) for part in range(3))
    length = look.seconds * when.uniform(0.9 - 0.55 * look.difficulty, 0.9)
    begin = when.uniform(0, look.seconds - length)
    span = (begin, begin + length)
    visible = {kind: word for kind, word in words.items() if kind != "sound"}
    frames = render_picture(
        visible, draw, seconds=look.seconds, fps=look.fps, span=span, difficulty=look.difficulty, size=look.size
    )
    waveform = render_sound(
        words.get("sound"), play, seconds=look.seconds, span=span, difficulty=look.difficulty, rate=look.rate
    )
    return frames, waveform


def render_world(
    folder: str | Path,
    *,
    classes: Roster = DEFAULT,
    clips_per_class: int = 20,
    difficulty: float = 0.3,
    seed: int = 0,
    seconds: float = 2.0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render a world of `.mp4` files into `folder` and declare it as a dataset.

    Files that exist are kept: each is written under another name and renamed when complete, so an interrupted run
    continues where it stopped.

    Args:
        folder: Made if absent. Receives `clips/*.mp4`, `labels.csv`, `world.json` (the look) and `world.toml`.
        classes: Class names and their parts.
        clips_per_class: Clips of each class, numbered from 0; at least 5, so that every fold of a seen class has one.
        difficulty: 0 (clear) to 1 (hard).
        seed: Another seed gives other clips of the same classes.
        seconds: Length of a clip.
        workers: Threads; None = one per core.
        progress: Called with clips done and clips in all.

    Returns:
        Path of `world.toml`, for `avshot.data.dataset.load_dataset`.

    Raises:
        ValueError: Settings out of range, a name without known words, or a folder that holds a world of another look.
    """
    look = Look(difficulty=difficulty, seed=seed, seconds=seconds)
    if clips_per_class < 5:
        raise ValueError(f"clips_per_class is {clips_per_class}; expected at least 5.")
    for name in classes.names:
        words_of(name)
    root = Path(folder)
    (root / "clips").mkdir(parents=True, exist_ok=True)
    _claim(root, look)
    jobs = [(name, number) for name in classes.names for number in range(clips_per_class)]
    done = 0
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for job in as_completed([pool.submit(_render_file, root, *job, look) for job in jobs]):
            job.result()
            done += 1
            if progress is not None:
                progress(done, len(jobs))
    return _declare(root, classes, jobs)


def demo_clip(folder: str | Path, label: str, *, difficulty: float = 0.3, seed: int = 1000) -> Path:
    """Render one clip of `label` that belongs to no fold, `folder/<label>.mp4`, for trying a prediction on it.

    Raises:
        ValueError: A label without known words.
    """
    target = Path(folder) / f"{_slug(label)}.mp4"
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target, label, 0, Look(difficulty=difficulty, seed=seed))
    return target


def clip_name(label: str, number: int) -> str:
    """File name of a clip: `red-star-drumming-003.mp4`."""
    return f"{_slug(label)}-{number:03d}.mp4"


def _slug(label: str) -> str:
    return "-".join(label.lower().split())


def _claim(root: Path, look: Look) -> None:
    """Write the look into the folder, or check that it is the one there: clips of two looks must not mix."""
    wanted = json.loads(json.dumps(asdict(look)))
    note = root / "world.json"
    if note.exists():
        found = json.loads(note.read_text(encoding="utf-8"))
        if found != wanted:
            raise ValueError(f"{root} holds a world of other settings ({found}); choose another folder or delete it.")
        return
    _replace(note, json.dumps(wanted, indent=2) + "\n")


def _render_file(root: Path, label: str, number: int, look: Look) -> None:
    target = root / "clips" / clip_name(label, number)
    if not target.exists():
        _write(target, label, number, look)


def _write(target: Path, label: str, number: int, look: Look) -> None:
    from avshot.media import write

    frames, waveform = render_clip(label, number, look)
    write(target, frames, look.fps, waveform, look.rate)  # appears under its name only when complete


def _replace(target: Path, text: str) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, target)


def _declare(root: Path, classes: Roster, jobs: Sequence[tuple[str, int]]) -> Path:
    """Write `labels.csv` and `world.toml`."""
    rows = [f"clips/{clip_name(name, number)},{name}" for name, number in jobs]
    _replace(root / "labels.csv", "\n".join(["filename,label", *rows]) + "\n")
    return root / "world.toml"
