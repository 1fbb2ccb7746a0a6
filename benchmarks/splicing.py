"""A recording of which every second is known: clips with gaps of silence, noise and still pictures between them."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avshot.events import Event, Events
from avshot.files.atomic import load_json, save_json
from avshot.media import read, write

RATE, FPS, HEIGHT, WIDTH = 32000, 5.0, 256, 456
LEVEL, PEAK = 0.05, 0.95  # root mean square of each clip, unless its peak would be higher than that
AUDIBLE = 1e-3  # a clip begins and ends at a sample above this, at most LONGEST seconds apart
LONGEST = 10.0
GAPS = ("black and silent", "white noise", "pink noise", "still picture", "still picture with pink noise")
GAP_SECONDS = (4.0, 8.0)
GAP_LEVEL = 0.002  # root mean square of the noise in gaps: 28 dB below the clips
SCREEN = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


@dataclass(frozen=True)
class Clip:
    """A file, what happens in it, and whether its picture is shown."""

    path: Path
    name: str
    shown: bool


def event_clips(data: Path) -> list[Clip]:
    """The 27 clips with sound and picture."""
    folder = data / "events" / "clips"
    return [Clip(folder / row["filename"], row["label"], True) for row in _rows(folder)]


def sounds(data: Path, folds: Sequence[str], each: int, seed: int) -> list[Clip]:
    """As many sounds of each of the ten classes of ESC-10, of some folds."""
    folder, random = data / "events" / "esc10", np.random.default_rng(seed)
    rows = [row for row in _rows(folder) if row["fold"] in folds]
    chosen = []
    for label in sorted({row["label"] for row in rows}):
        of_label = [row for row in rows if row["label"] == label]
        chosen += [of_label[i] for i in random.choice(len(of_label), each, replace=False)]
    return [Clip(folder / row["filename"], row["label"], False) for row in chosen]


def _rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def splice(path: Path, clips: Sequence[Clip], seed: int, ratios: Sequence[float | None]) -> None:
    """Write `NAME.mp4` and, for each ratio of clips to noise in dB, `NAME_20dB.mp4`; what happens as `NAME.json`.

    The noise is pink and goes on through the whole recording, gaps included. Nothing is done where `NAME.json` is
    there, which is written last.
    """
    if path.with_suffix(".json").exists():
        return
    random = np.random.default_rng(seed)
    parts, gaps, events, now = [], [], [], 0.0
    for i, clip in enumerate([clips[j] for j in random.permutation(len(clips))]):
        gap = _gap(GAPS[i % len(GAPS)], random)
        gaps.append([now, now + _length(gap), GAPS[i % len(GAPS)]])
        part = _clip(clip)
        events.append([gaps[-1][1], gaps[-1][1] + _length(part), clip.name])
        parts, now = [*parts, gap, part], events[-1][1]
    frames, sound = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    for ratio in ratios:
        noise = 0.0 if ratio is None else LEVEL * 10 ** (-ratio / 20) * pink(len(sound), random)
        write(variant(path, ratio), frames, FPS, np.clip(sound + noise, -1, 1).astype(np.float32), RATE)
    save_json(path.with_suffix(".json"), {"events": events, "gaps": gaps})


def variant(path: Path, ratio: float | None) -> Path:
    """The file with noise at this ratio."""
    return path if ratio is None else path.with_name(f"{path.stem}_{ratio:.0f}dB{path.suffix}")


def truth(path: Path) -> tuple[Events, list[tuple[float, float]], list[str]]:
    """What happens in a spliced recording; from when to when nothing does, and what is there instead."""
    told = load_json(path.with_suffix(".json"))
    events = Events(Event(os.fspath(path), start, end, name) for start, end, name in told["events"])
    return events, [(start, end) for start, end, _ in told["gaps"]], [kind for _, _, kind in told["gaps"]]


def pink(count: int, random: np.random.Generator) -> np.ndarray:
    """Noise whose power falls as 1 / frequency, of mean square 1."""
    spectrum = np.fft.rfft(random.standard_normal(count))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), count)
    return noise / np.sqrt((noise**2).mean())


Part = tuple[np.ndarray, np.ndarray]  # frames and samples of equal length


def _length(part: Part) -> float:
    return len(part[0]) / FPS


def _gap(kind: str, random: np.random.Generator) -> Part:
    count = round(random.uniform(*GAP_SECONDS) * FPS)
    samples = round(count / FPS * RATE)
    frame = _photograph(random) if "still" in kind else SCREEN
    sound = np.zeros(samples)
    if "pink" in kind:
        sound = GAP_LEVEL * pink(samples, random)
    elif "white" in kind:
        sound = GAP_LEVEL * random.standard_normal(samples)
    return np.repeat(frame[None], count, axis=0), sound


def _photograph(random: np.random.Generator) -> np.ndarray:
    """One of the two photographs of scikit-learn, a temple and a flower."""
    from sklearn.datasets import load_sample_images

    images = load_sample_images().images
    return _fitted(images[random.integers(len(images))][None])[0]


def _clip(clip: Clip) -> Part:
    media = read(clip.path, fps=FPS, short_side=HEIGHT if clip.shown else 16, rate=RATE, want_frames=clip.shown)
    if media.status.startswith("error"):
        raise ValueError(f"{clip.path}: {media.status}")
    loud = np.flatnonzero(np.abs(media.waveform) > AUDIBLE)
    first = int(loud[0] / RATE * FPS)
    count = min(-int(-(loud[-1] + 1) / RATE * FPS // 1), first + round(LONGEST * FPS)) - first
    sound = np.zeros(round(count / FPS * RATE))
    own = media.waveform[round(first / FPS * RATE) :][: len(sound)].astype(np.float64)
    sound[: len(own)] = own * min(LEVEL / np.sqrt((own**2).mean()), PEAK / np.abs(own).max())
    if not clip.shown:
        return np.repeat(SCREEN[None], count, axis=0), sound
    shown = np.minimum(np.arange(first, first + count), len(media.frames) - 1)
    return _fitted(media.frames[shown]), sound


def _fitted(frames: np.ndarray) -> np.ndarray:
    """Scaled to the height of the screen, in its middle; what is too wide is cut."""
    _, height, width, _ = frames.shape
    scaled = max(1, round(width * HEIGHT / height))
    rows, columns = np.arange(HEIGHT) * height // HEIGHT, np.arange(scaled) * width // scaled
    frames = frames[:, rows][:, :, columns[max(0, (scaled - WIDTH) // 2) :][:WIDTH]]
    left = (WIDTH - frames.shape[2]) // 2
    return np.pad(frames, ((0, 0), (0, 0), (left, WIDTH - frames.shape[2] - left), (0, 0)))
