"""Motions of the rendered world in a manner: what "quickly", "partially" or "upwards" looks like depends on the motion.

A motion shows every side of a `Manner` in its own way:

| | tempo | extent | pause | rise |
|---|---|---|---|---|
| bouncing | bounces a second | how high | it lies on the floor between bounces | floor by floor |
| sliding | widths a second | how much of the frame it crosses | it stops on its way | straight to the edge |
| growing | how soon it starts anew | how large it gets | it grows in steps | from a foot that stays, as a plant does |
| spinning | turns a second | whole turns, or part of one and back | it turns by jerks | it screws itself up |
| shaking | strokes a second | how far, and whether it also turns | in fits | it works its way up |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from avshot.data.rendered.manners import Manner
from avshot.data.rendered.picture import Track

# A motion in a manner gets the seconds since the event began and the part of it that is over (0..1), both `[frame]`.
Acted = Callable[[Manner, np.ndarray, np.ndarray, np.random.Generator], Track]


def bouncing(manner: Manner, t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """Up and down like a ball; upwards and downwards it climbs, with every bounce, to another floor."""
    beats = manner.tempo * rng.uniform(1.15, 1.35) * t + rng.uniform(0, 1)
    beat = np.minimum(beats % 1.0 / (1 - manner.pause), 1.0)  # the rest of a beat it lies on the floor
    height = 1.75 * manner.extent * (0.6 if manner.rise else 1.0)
    floor = 0.9 + _risen(manner, part, rng, low=0.0, high=-0.85)
    return Track(_place(rng) + _sway(t, rng, 0.08), floor - height * 4 * beat * (1 - beat), _sway(t, rng, 0.2))


def sliding(manner: Manner, t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """Across the frame and back; upwards and downwards straight there, where it stays."""
    if manner.rise:
        x, y = _place(rng) + _sway(t, rng, 0.05), _risen(manner, part, rng, low=0.9, high=-0.9)
        return Track(x, y, _sway(t, rng, 0.1))
    reach = 0.95 * manner.extent
    turns = _wave(manner.tempo * rng.uniform(0.9, 1.1) * _clock(manner, t, rng) / (2 * reach) + rng.uniform(0, 1))
    middle = rng.uniform(-1, 1) * (1 - reach) * 0.8
    return Track(middle + reach * turns * rng.choice([-1.0, 1.0]), _place(rng) + _sway(t, rng, 0.05))


def growing(manner: Manner, t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """Small at first, then larger and larger, and anew; upwards and downwards one of its ends stays where it is."""
    age = manner.tempo * rng.uniform(0.75, 0.95) * _clock(manner, t, rng) + rng.uniform(0, 0.25)
    size = 0.35 + 1.05 * manner.extent * (age % 1.0)
    x, y = _place(rng), np.full(len(t), _place(rng))
    if manner.rise:
        half, foot = 0.5 * size, rng.uniform(0.0, 0.4)  # of the frame's half height, below the middle
        y = manner.rise * (foot - half) / (1 - half)  # `Track.y` is a part of the room that the shape leaves
    return Track(x, y, _sway(t, rng, 0.15), size=size)


def spinning(manner: Manner, t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """Turning about a point beside its centre: whole turns, or partially: part of a turn and back."""
    turned = 2 * np.pi * manner.tempo * rng.uniform(0.55, 0.7) * _clock(manner, t, rng)
    if manner.extent < 0.5:
        arc = 2 * np.pi * manner.extent
        turned = arc / 2 * _wave(turned / (2 * arc) + rng.uniform(0, 1))
    turned = rng.choice([-1.0, 1.0]) * turned + rng.uniform(0, 6.3)
    y = _risen(manner, part, rng, low=0.7, high=-0.7) if manner.rise else _place(rng)
    return Track(_place(rng) + 0.15 * np.cos(turned), y + 0.2 * np.sin(turned), turned)


def shaking(manner: Manner, t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """Trembling about one place; upwards and downwards the place itself moves, in strokes that way."""
    stroke = 2 * np.pi * manner.tempo * rng.uniform(1.9, 2.2) * t
    lively = 1.0 if manner.pause == 0 else _awake(manner, t, rng)
    reach = 0.3 * manner.extent * lively
    x = _place(rng) + reach * np.sin(stroke + rng.uniform(0, 6.3)) * (0.3 if manner.rise else 1.0)
    y = _risen(manner, part, rng, low=0.6, high=-0.6) if manner.rise else _place(rng)
    y = y + reach * np.sin(1.1 * stroke + rng.uniform(0, 6.3))
    return Track(x, y, 0.6 * max(manner.extent - 0.45, 0.0) * lively * np.sin(stroke))


ACTED: Mapping[str, Acted] = {motion.__name__: motion for motion in (bouncing, sliding, growing, spinning, shaking)}


def _place(rng: np.random.Generator) -> float:
    return float(rng.uniform(-0.45, 0.45))


def _sway(t: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    return amount * np.sin(rng.uniform(1, 3) * t + rng.uniform(0, 6.3))


def _wave(phase: np.ndarray) -> np.ndarray:
    """There and back between -1 and 1 at even speed, once in a phase of 1."""
    return 4 * np.abs(phase % 1.0 - 0.5) - 1


def _awake(manner: Manner, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """1 while the motion goes on, 0 while it pauses: `[frame]`."""
    return ((manner.pauses * t + rng.uniform(0, 1)) % 1.0 >= manner.pause).astype(float)


def _clock(manner: Manner, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Seconds of motion that are over: time without the pauses, which the motion makes up for by haste."""
    awake = _awake(manner, t, rng)
    step = np.diff(t, prepend=t[0] if len(t) else 0.0)
    return np.cumsum(awake * step) / max(1 - manner.pause, 0.2)


def _risen(manner: Manner, part: np.ndarray, rng: np.random.Generator, *, low: float, high: float) -> np.ndarray:
    """Height `[frame]` of what rises from `low` to `high`, or sinks from `high` to `low`, and then stays there.

    Without a direction it stays at `low`; the same numbers are drawn.
    """
    begin, length, aim = rng.uniform(0.0, 0.15), rng.uniform(0.4, 0.6), rng.uniform(0.75, 1.0)
    if manner.rise == 0:
        return np.full(len(part), low)
    along = np.clip((part - begin) / length, 0, 1)
    along = along * along * (3 - 2 * along)
    start, end = (low, high) if manner.rise > 0 else (high, low)
    middle = (low + high) / 2
    return middle + aim * (start + (end - start) * along - middle)
