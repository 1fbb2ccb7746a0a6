"""The rendered world: small real videos whose classes are made of words for what is seen and heard.

A clip of "red sliding whistling" shows a red shape that slides across the frame, and whistles. Colour and motion are
only in the picture, the kind of sound only in the waveform, so it takes both to tell the classes apart. An unseen class
is a new combination of words that several seen classes use: its name says what it looks and sounds like.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from avshot.data.rendered.classes import DEFAULT, Roster, words_of
from avshot.data.rendered.filling import clip_name, fill, lone_clip, replace_file
from avshot.data.rendered.picture import render_picture
from avshot.data.rendered.sound import render_sound
from avshot.errors import BadDataset

__all__ = ["DEFAULT", "Look", "Roster", "clip_name", "demo_clip", "render_clip", "render_world", "words_of"]

RENDERER = 1  # to be counted up when equal settings give other clips
_DEMO_SEED = 1000  # far from the seeds of worlds, so that a clip of `demo_clip` is none of theirs


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
            raise BadDataset(f"difficulty is {self.difficulty}; expected 0 (clear) to 1 (hard).")
        if self.seconds < 0.5:
            raise BadDataset(f"seconds is {self.seconds}; expected at least 0.5.")
        if self.seed < 0:
            raise BadDataset(f"seed is {self.seed}; expected 0 or more.")
        if min(self.size) < 32 or any(side % 2 for side in self.size):
            raise BadDataset(f"size is {self.size}; expected even height and width of at least 32 pixels.")


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

    Clips that an earlier call rendered are kept when they still are what it wrote, so an interrupted run continues
    where it stopped; a clip that was cut off, changed or put there by somebody else is rendered again.

    Args:
        folder: Made if absent. Receives `clips/*.mp4`, `labels.csv`, `world.json` (the look), `rendered.jsonl` (digests
            of the clips) and `world.toml`.
        classes: Class names and their parts.
        clips_per_class: Clips of each class, numbered from 0; at least 5, so that every fold of a seen class has one.
        difficulty: 0 (clear) to 1 (hard).
        seed: Another seed gives other clips of the same classes.
        seconds: Length of a clip.
        workers: Processes; None = one per core.
        progress: Called with clips done, those kept included, and clips in all.

    Returns:
        Path of `world.toml`, for `avshot.data.load.load_dataset`.

    Raises:
        ValueError: Settings out of range, a name without known words, or a folder that holds a world of another look.
    """
    look = Look(difficulty=difficulty, seed=seed, seconds=seconds)
    for name in classes.names:
        words_of(name)
    root, stated = Path(folder), asdict(look) | {"renderer": RENDERER}
    jobs = fill(
        root,
        classes.names,
        look,
        _write,
        stated=stated,
        clips_per_class=clips_per_class,
        workers=workers,
        progress=progress,
    )
    return _declare(root, classes, jobs, seed)


def demo_clip(folder: str | Path, label: str, *, difficulty: float = 0.3, seed: int = _DEMO_SEED) -> Path:
    """Render one clip of `label` that belongs to no fold, `folder/<label>.mp4`, for trying a prediction on it.

    Raises:
        ValueError: A label without known words.
    """
    target = lone_clip(folder, label)
    _write(target, label, 0, Look(difficulty=difficulty, seed=seed))
    return target


def _write(target: Path, label: str, number: int, look: Look) -> None:
    from avshot.media import write

    frames, waveform = render_clip(label, number, look)
    write(target, frames, look.fps, waveform, look.rate)  # appears under its name only when complete


def _declare(root: Path, classes: Roster, jobs: Sequence[tuple[str, int]], seed: int) -> Path:
    """Write `labels.csv` and `world.toml` with the folds that the roster asks for."""
    from avshot.data.manifest import declare
    from avshot.data.split import SplitRule

    table = io.StringIO()
    rows = [(f"clips/{clip_name(name, number)}", name) for name, number in jobs]
    csv.writer(table, lineterminator="\n").writerows([("filename", "label"), *rows])
    replace_file(root / "labels.csv", table.getvalue())
    rule = SplitRule(unseen_val=classes.val_unseen, unseen_test=classes.test_unseen, seed=seed)
    return declare(root / "labels.csv", root / "world.toml", rule=rule, overwrite=True).path
