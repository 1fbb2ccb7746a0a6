"""Drawn pictures of the rendered world: a coloured shape that moves over a textured background.

Every clip moves, turns and lights its shape differently; only the words of the class are kept. Nothing in the picture
depends on the sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from avshot.data.rendered.shapes import SHAPES, Distance

COLOURS: Mapping[str, tuple[float, float, float]] = {
    "red": (0.88, 0.12, 0.14),
    "green": (0.16, 0.68, 0.24),
    "blue": (0.15, 0.33, 0.90),
    "yellow": (0.97, 0.82, 0.12),
    "purple": (0.55, 0.20, 0.70),
    "orange": (0.96, 0.50, 0.10),
    "pink": (0.96, 0.50, 0.70),
    "white": (0.96, 0.96, 0.94),
}


@dataclass(frozen=True)
class Track:
    """Where a shape is in every frame; numbers hold for all frames, arrays `[frame]` for each.

    Attributes:
        x: Centre, -1 = left edge, 1 = right edge.
        y: Centre, -1 = upper edge, 1 = lower edge.
        turn: Radians, clockwise.
        size: Radius as a multiple of the shape's own.
        show: 0 = absent, 1 = fully there.
    """

    x: np.ndarray | float
    y: np.ndarray | float
    turn: np.ndarray | float = 0.0
    size: np.ndarray | float = 1.0
    show: np.ndarray | float = 1.0


# A motion gets the seconds since the event began and the part of the event that is over (0..1), both `[frame]`.
Motion = Callable[[np.ndarray, np.ndarray, np.random.Generator], Track]


def _place(rng: np.random.Generator) -> float:
    return rng.uniform(-0.6, 0.6)


def _sway(t: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    return amount * np.sin(rng.uniform(1, 3) * t + rng.uniform(0, 6.3))


def drifting(t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """A slow wander: what a shape does when its class names no motion."""
    return Track(_place(rng) + _sway(t, rng, 0.25), _place(rng) + _sway(t, rng, 0.25), _sway(t, rng, 0.3))


def bouncing(t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """Up and down like a ball, once or twice a second."""
    beat = (t * rng.uniform(1.1, 1.8) + rng.uniform(0, 1)) % 1.0
    height = rng.uniform(1.4, 1.8)
    return Track(_place(rng) + _sway(t, rng, 0.1), 0.9 - height * 4 * beat * (1 - beat), _sway(t, rng, 0.2))


def sliding(t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """Straight across the frame, to the left or to the right."""
    way = rng.choice([-1.0, 1.0])
    return Track(way * (2 * part - 1) * rng.uniform(0.85, 1.0), _place(rng) + _sway(t, rng, 0.05))


def flashing(t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """In one place, on and off two to four times a second."""
    lit = (t * rng.uniform(2.0, 3.5)) % 1.0 < 0.55
    return Track(_place(rng) + _sway(t, rng, 0.05), _place(rng) + _sway(t, rng, 0.05), show=0.1 + 0.9 * lit)


def growing(t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """Small at first, then larger and larger."""
    return Track(_place(rng), _place(rng), _sway(t, rng, 0.2), size=0.35 + rng.uniform(0.9, 1.1) * part)


def shrinking(t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """Large at first, then smaller and smaller."""
    return growing(t, 1 - part, rng)


def spinning(t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """Turning about its centre, about once a second."""
    return Track(_place(rng), _place(rng), rng.choice([-1.0, 1.0]) * rng.uniform(5, 8) * t)


def shaking(t: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Track:
    """Trembling about one place."""
    shift = (0.12 * np.sin(rng.uniform(18, 30) * t + rng.uniform(0, 6.3)) for _ in range(2))
    return Track(_place(rng) + next(shift), _place(rng) + next(shift), 0.3 * np.sin(rng.uniform(18, 30) * t))


MOTIONS: Mapping[str, Motion] = {
    motion.__name__: motion for motion in (bouncing, sliding, flashing, growing, shrinking, spinning, shaking)
}


def render_picture(
    words: Mapping[str, str],
    rng: np.random.Generator,
    *,
    seconds: float,
    fps: float,
    span: tuple[float, float],
    difficulty: float,
    size: tuple[int, int],
    motion: Motion | None = None,
    ground: tuple[float, float] = (0.2, 0.7),
) -> np.ndarray:
    """Frames `[frame, height, width, 3]` uint8 RGB with the shape visible during `span`.

    Args:
        words: Any of "colour", "shape", "motion"; what is not named is drawn at random. Empty = background alone.
        rng: Draws everything that the words leave open; a given state gives the same pixels.
        seconds: Length of the clip.
        fps: Frames per second.
        span: Begin and end of the event in seconds.
        difficulty: 0 = one clear shape; 1 = small shape, strong light changes, noise, several grey shapes about.
        size: Height and width in pixels, at least 32.
        motion: In place of the one that `words` name.
        ground: Least and greatest brightness of the background, 0 to 1.
    """
    time = np.arange(round(seconds * fps)) / fps
    frames = _background(rng, len(time), size, difficulty, ground)
    for _ in range(rng.binomial(4, difficulty)):
        grey = rng.uniform(0.25, 0.8) + rng.uniform(-0.12, 0.12, size=3) * difficulty
        track = drifting(time, time / seconds, rng)
        _draw(frames, track, SHAPES[rng.choice(sorted(SHAPES))], radius=rng.uniform(0.07, 0.12), colour=grey)
    if words:
        radius = rng.uniform(0.24 - 0.08 * difficulty, 0.28)
        motion = motion or (MOTIONS[words["motion"]] if "motion" in words else drifting)
        colour = COLOURS[words.get("colour") or rng.choice(sorted(COLOURS))]
        shape = SHAPES[words.get("shape") or rng.choice(sorted(SHAPES))]
        track = _during(span, time, motion, rng)
        tint = np.array(colour) + rng.uniform(-0.1, 0.1, size=3) * difficulty
        _draw(frames, track, shape, radius=radius, colour=tint)
    light = 1 + difficulty * rng.uniform(-0.35, 0.25)
    frames *= np.float32(255 * light)
    frames += _grain(rng, len(time), size) * np.float32(255 * (0.005 + 0.04 * difficulty))
    return np.clip(frames, 0, 255, out=frames).astype(np.uint8)


def _grain(rng: np.random.Generator, count: int, size: tuple[int, int]) -> np.ndarray:
    """Unit noise `[frame, height, width, 1]`: one larger field, cut out at another place for every frame (fast)."""
    height, width = size
    field = rng.standard_normal((2 * height, 2 * width, 1), dtype=np.float32)
    corners = zip(rng.integers(0, height, size=count), rng.integers(0, width, size=count), strict=True)
    return np.stack([field[r : r + height, c : c + width] for r, c in corners])


def _during(span: tuple[float, float], time: np.ndarray, motion: Motion, rng: np.random.Generator) -> Track:
    """`motion` during `span`, absent before and after, tilted a little."""
    since, until = time - span[0], span[1] - time
    track = motion(since, np.clip(since / (span[1] - span[0]), 0, 1), rng)
    here = np.clip(np.minimum(since, until) / 0.12 + 0.3, 0, 1)
    return replace(track, turn=track.turn + rng.uniform(-0.3, 0.3), show=track.show * here)


def _background(
    rng: np.random.Generator, count: int, size: tuple[int, int], difficulty: float, ground: tuple[float, float]
) -> np.ndarray:
    """Two muted colours blended by smooth noise, slowly panned: `[frame, height, width, 3]` float32."""
    height, width = size
    margin = height // 8
    scales = [_smooth_noise(rng, (height + margin, width + margin), cells) / cells**0.5 for cells in (3, 6, 24)]
    field = np.sum(scales, axis=0)
    field = (field - field.min()) / max(float(np.ptp(field)), 1e-9)
    base = rng.uniform(*ground)
    ends = base + rng.uniform(-0.12, 0.12, size=(2, 1)) + rng.uniform(-0.10, 0.10, size=(2, 3))
    contrast = 0.25 + 0.75 * difficulty
    mid = ends.mean(axis=0)
    dark, bright = mid + contrast * (ends[0] - mid) - 0.06, mid + contrast * (ends[1] - mid) + 0.06
    texture = (dark + field[..., None] * (bright - dark)).astype(np.float32)
    steps = np.linspace(0, 1, count)
    along = rng.uniform(0, 1, size=(2, 2))
    rows, columns = (np.round((a + (b - a) * steps) * margin).astype(int) for a, b in along)
    return np.stack([texture[r : r + height, c : c + width] for r, c in zip(rows, columns, strict=True)])


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """Random values on a grid `cells` high, joined smoothly: `[height, width]`."""
    height, width = shape
    columns = round(cells * width / height)
    grid = rng.uniform(-1, 1, size=(cells + 2, columns + 2))
    for axis, (length, knots) in enumerate(((height, cells), (width, columns))):
        at = np.linspace(0, knots, length)
        low = at.astype(int)
        part = at - low
        part = part * part * (3 - 2 * part)
        part = part[:, None] if axis == 0 else part[None]
        grid = grid.take(low, axis) * (1 - part) + grid.take(low + 1, axis) * part
    return grid


def _draw(frames: np.ndarray, track: Track, shape: Distance, *, radius: float, colour: np.ndarray) -> None:
    """Paint the shape with shadow, outline and soft light into `frames`, in place.

    `radius` is a part of the frame's height. The centre is kept so far inside that the shape is in full view.
    """
    count, height, width = frames.shape[:3]
    x, y, turn, size, show = (
        np.broadcast_to(np.asarray(value, dtype=np.float32), count)
        for value in (track.x, track.y, track.turn, track.size, track.show)
    )
    pixels = size * np.float32(radius * height)
    x = width / 2 + np.clip(x, -1, 1) * (width / 2 - pixels)
    y = height / 2 + np.clip(y, -1, 1) * (height / 2 - pixels)
    reach = int(np.ceil(pixels.max() * 1.12)) + 5
    grid = np.arange(-reach, reach + 1, dtype=np.float32)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    pixels, show = pixels[:, None, None], show[:, None, None]
    dx = (grid[None, None] - (x - left)[:, None, None].astype(np.float32)) / pixels
    dy = (grid[None, :, None] - (y - top)[:, None, None].astype(np.float32)) / pixels
    edge = _turned(shape, dx, dy, turn) * pixels
    shade = _turned(shape, dx - 3 / pixels, dy - 3 / pixels, turn) * pixels
    cover = np.clip(0.5 - edge, 0, 1) * show
    shadow = 0.4 * np.clip(0.5 - shade / 6, 0, 1) * show
    light = (1.08 - 0.14 * (dx + dy)) * (1 - 0.45 * np.clip(edge + 2.5, 0, 1))
    paint = light[..., None] * np.clip(colour, 0, 1).astype(np.float32)
    for i in np.flatnonzero(show[:, 0, 0] > 0):
        _blend(frames[i], paint[i], cover[i], shadow[i], (int(top[i]) - reach, int(left[i]) - reach))


def _turned(shape: Distance, x: np.ndarray, y: np.ndarray, turn: np.ndarray) -> np.ndarray:
    cos, sin = (f(turn)[:, None, None].astype(np.float32) for f in (np.cos, np.sin))
    return shape(cos * x + sin * y, cos * y - sin * x)


def _blend(
    frame: np.ndarray, paint: np.ndarray, cover: np.ndarray, shadow: np.ndarray, corner: tuple[int, int]
) -> None:
    """Lay a patch over `frame` with its upper left pixel at `corner`; what hangs over the edge is cut."""
    height, width = frame.shape[:2]
    r0, c0 = max(corner[0], 0), max(corner[1], 0)
    r1, c1 = min(corner[0] + len(cover), height), min(corner[1] + cover.shape[1], width)
    inside = (slice(r0 - corner[0], r1 - corner[0]), slice(c0 - corner[1], c1 - corner[1]))
    alpha = cover[inside][..., None]
    under = frame[r0:r1, c0:c1] * (1 - shadow[inside][..., None])
    frame[r0:r1, c0:c1] = under * (1 - alpha) + np.clip(paint[inside], 0, 1) * alpha
