"""Videos of a second that tests write themselves: what is seen and what is heard is known."""

from pathlib import Path

import numpy as np

from avshot.media import write

RATE, FPS, SECONDS = 16000, 12, 1.2
SOUNDS = {"low humming": 150.0, "high beeping": 2400.0, "loud hissing": None}  # Hz; None is noise
COLOURS = {"red light": (220, 20, 20), "green light": (20, 200, 20), "blue light": (20, 20, 230)}


def sound(name: str | None, rng: np.random.Generator, *, start: float = 0.0, end: float = SECONDS) -> np.ndarray:
    """A named sound between two times, faint noise elsewhere and throughout for None."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    made = 0.003 * rng.normal(size=len(time))
    if name is not None:
        pitch = SOUNDS[name]
        event = rng.normal(size=len(time)) if pitch is None else np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6))
        made = made + 0.4 * event * ((time >= start) & (time < end))
    return made.astype(np.float32).clip(-1, 1)


def picture(name: str | None, rng: np.random.Generator) -> np.ndarray:
    """A square of a named colour (light grey for None) somewhere on grey: `[frame, 48, 64, 3]`."""
    frames = rng.integers(90, 130, size=(round(SECONDS * FPS), 48, 64, 3)).astype(np.uint8)
    colour = COLOURS[name] if name is not None else (180, 180, 180)
    top, left = rng.integers(0, 16), rng.integers(0, 32)
    frames[:, top : top + 30, left : left + 30] = colour
    return frames


def heard_videos(folder: Path, *, per_class: int = 6, seed: int = 0, **when: float) -> tuple[list[Path], list[str]]:
    """Videos whose class is in the sound alone; returns files and labels."""
    rng, files, labels = np.random.default_rng(seed), [], []
    folder.mkdir(parents=True, exist_ok=True)
    for name in SOUNDS:
        for i in range(per_class):
            files.append(folder / f"{name.replace(' ', '-')}-{i}.mp4")
            write(files[-1], picture(None, rng), FPS, sound(name, rng, **when), RATE)
            labels.append(name)
    return files, labels


def seen_videos(folder: Path, *, per_class: int = 6, seed: int = 0) -> tuple[list[Path], list[str]]:
    """Videos whose class is in the picture alone; all sound alike."""
    rng, files, labels = np.random.default_rng(seed), [], []
    folder.mkdir(parents=True, exist_ok=True)
    for name in COLOURS:
        for i in range(per_class):
            files.append(folder / f"{name.replace(' ', '-')}-{i}.mp4")
            write(files[-1], picture(name, rng), FPS, sound(None, rng), RATE)
            labels.append(name)
    return files, labels


LOUDNESS = {"loudly": 1.0, "quietly": 0.03}


def loud_videos(folder: Path, *, per_pair: int = 6, seed: int = 0) -> tuple[list[Path], list[tuple[str, str]]]:
    """Videos of an action, in the pitch, done loudly or quietly; returns files and pairs."""
    rng, files, pairs = np.random.default_rng(seed), [], []
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("low humming", "high beeping"):
        for adverb, gain in LOUDNESS.items():
            for i in range(per_pair):
                files.append(folder / f"{name.replace(' ', '-')}-{adverb}-{i}.mp4")
                write(files[-1], picture(None, rng), FPS, (gain * sound(name, rng)).astype(np.float32), RATE)
                pairs.append((name, adverb))
    return files, pairs
