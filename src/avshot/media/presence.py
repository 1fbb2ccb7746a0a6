"""Where a stream holds anything: sound between its digital silences, frames between its black ones.

A muted track, padding, or a black picture is not a fact about the event. It must not be evidence, nor move the
statistics of what is. Only the ends of a stream are searched: a pause between two sounds, and a cut through black, are
facts about the event and stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

# Samples that stay this close together hold no sound: twenty steps of 16-bit sound. Dither moves by two to four of
# them, noise-shaped dither by up to eight on either side, AAC, MP3, Opus and AC-3 at rest by four, mu-law by sixteen; a
# constant offset does not move at all. Room noise does: at -70 dB it spans sixty steps.
SILENCE = 6e-4
# Seconds over which samples are compared. Noise that is silent for less than that at an end is left where it is: a
# spectrum of 25 ms that is centred on the first sample sees as much of nothing in any clip.
BLOCK = 0.0125
PADDING = 16  # zeros in a row that no sound begins with
LEAP = 8  # blocks in which a codec or resampler arrives at a constant offset, and over which that must then stay
_BLOCKS = 4096  # compared at once: most sounds are met at once, and then the rest need not be looked at

# A frame is black when no value is above BRIGHT and, averaged to about ROWS rows, none is above BLACK and no two differ
# by more than BLACK_NOISE. Video black is 0, or 16 where the limited range was taken for the full one, give or take
# what a codec makes of it, which averages out. A night scene goes beyond the first with any lamp in it, and beyond the
# last with anything that can be made out.
BRIGHT, BLACK, BLACK_NOISE = 96, 32, 20
ROWS = 48
_FRAMES = 8  # compared at once


def sounding(waveform: np.ndarray, rate: int, gaps: Sequence[tuple[float, float]] = ()) -> np.ndarray:
    """Spans of a waveform that are evidence, in seconds: `[span, 2]` float64, in time order, apart from each other.

    They reach from the first to the last sound without `gaps`, and to the very sample where zeros end: with padding a
    sound is cut where it is without. Silence between two sounds is a pause and stays.

    Args:
        waveform: float `[sample]` in [-1, 1]. A NaN is taken for sound, so that whoever checks for it gets to see it.
        rate: Hz of `waveform`.
        gaps: Spans in seconds where nothing was decoded, in any order; they may overlap or reach beyond the waveform.

    Returns:
        No span when nothing sounds.

    Example:
        >>> sounding(np.array([0.0] * 500 + [0.5, -0.5] * 500 + [0.0] * 500), rate=1000)
        array([[0.5, 1.5]])
    """
    block = max(1, round(BLOCK * rate))
    pieces = np.array(list(_outside(gaps, len(waveform), rate)), dtype=np.int64).reshape(-1, 2)
    ends = []
    for order in (range(len(pieces)), reversed(range(len(pieces)))):
        quiet = ((i, _silent_before(waveform[slice(*pieces[i])], block)) for i in order)
        ends.append(next((i for i, count in quiet if count < pieces[i, 1] - pieces[i, 0]), None))
    first, last = ends
    if first is None or last is None:
        return np.zeros((0, 2))
    # Both ends are counted before either is cut off: a click is a sound by what surrounds it.
    before = _silent_before(waveform[slice(*pieces[first])], block)
    after = _silent_before(waveform[slice(*pieces[last])][::-1], block)
    pieces[first, 0] += before
    pieces[last, 1] -= after
    spans = pieces[first : last + 1]
    return spans[spans[:, 0] < spans[:, 1]] / rate


def lit(frames: np.ndarray) -> np.ndarray:
    """Frames that are evidence, `[frame]` bool: False for black ones at both ends, all False when none is lit.

    Args:
        frames: uint8 RGB `[frame, height, width, 3]`.
    """
    kept = np.zeros(len(frames), dtype=bool)
    first = _black_before(frames)
    if first < len(frames):
        kept[first : len(frames) - _black_before(frames[::-1])] = True
    return kept


def _outside(gaps: Sequence[tuple[float, float]], count: int, rate: int) -> Iterator[tuple[int, int]]:
    """What the gaps leave of `count` samples, as (first, one behind the last)."""
    at = 0
    for start, end in sorted(gaps):
        first, last = (round(min(max(edge * rate, 0), count)) for edge in (start, end))
        if at < first < last:
            yield at, first
        if first < last:
            at = max(at, last)
    if at < count:
        yield at, count


def _silent_before(samples: np.ndarray, block: int) -> int:
    """How many samples there are before the first sound; all of them when there is none.

    A leap from nothing to a constant offset, or from one offset to another, is no sound.
    """
    at, level = _zeros_before(samples, block), 0.0
    beside = samples[at : at + block] if at else samples[:0]  # all that sounds may be a single step away from the zeros
    stepped = bool(_moves(beside.max(initial=0.0), beside.min(initial=0.0)))
    while at < len(samples):
        onset = at if stepped else at + _still_before(samples[at:], block)
        stepped = False
        if onset > at:
            level = float(samples[onset - 1])
        plateau = _leap(samples[onset:], level, block)
        if plateau is None:
            return onset
        at = onset + plateau
        level = float(samples[at])
    return len(samples)


def _zeros_before(samples: np.ndarray, block: int) -> int:
    """How many zeros there are at the start; 0 when they are too few to be padding."""
    for near in (samples[:block], samples):
        if near.any():
            count = int((near != 0).argmax())
            return count if count >= PADDING else 0
    return len(samples)


def _still_before(samples: np.ndarray, block: int) -> int:
    """How many samples there are before the first that moves.

    Each block is compared together with the one before it, so that a sound cannot hide at their border. A slow drift
    over many blocks does not count.
    """
    whole = len(samples) // block
    for first in range(0, whole, _BLOCKS):
        part = samples[max(first - 1, 0) * block : min(first + _BLOCKS, whole) * block].reshape(-1, block)
        loud = np.flatnonzero(_moves(_paired(part.max(axis=1), np.maximum), _paired(part.min(axis=1), np.minimum)))
        if len(loud):
            return _onset(samples, int(loud[0]) + max(first - 1, 0), block)
    rest = samples[max(whole - 1, 0) * block :]
    if len(rest) and _moves(rest.max(), rest.min()):
        return _onset(samples, whole, block)
    return len(samples)


def _leap(samples: np.ndarray, level: float, block: int) -> int | None:
    """Where the constant starts to which samples leap from `level`, ringing somewhat; None when they do not."""
    for at in range(0, LEAP * block, block):
        plateau = samples[at : at + LEAP * block]
        if len(plateau) < LEAP * block:
            return None
        if not _moves(plateau.max(), plateau.min()):
            height = abs(float(plateau[0]) - level)
            between = np.abs(samples[:at] - plateau[0]) <= 1.5 * height
            return at if height > SILENCE and between.all() else None
    return None


def _onset(samples: np.ndarray, loud: int, block: int) -> int:
    """The sample that ends the silence, given that block number `loud` moves, alone or against the one before."""
    if loud == 0:
        return 0
    first = (loud - 1) * block
    near = samples[first : first + 2 * block]
    return first + int(np.argmax(_moves(np.maximum.accumulate(near), np.minimum.accumulate(near))))


def _paired(values: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """The extreme of each value and the one before it; the first has none."""
    paired = values.copy()
    extreme(values[1:], values[:-1], out=paired[1:])
    return paired


def _moves(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # infinity less infinity
        return np.asarray(~(high - low <= SILENCE))


def _black_before(frames: np.ndarray) -> int:
    """How many frames there are before the first that is lit; all of them when none is."""
    for first in range(0, len(frames), _FRAMES):
        some = frames[first : first + _FRAMES]
        bright = np.flatnonzero(some.max(axis=(1, 2, 3), initial=0) > BRIGHT)
        dark = some[: bright[0]] if len(bright) else some
        coarse = _averaged(dark)
        high, low = coarse.max(axis=(1, 2, 3), initial=0), coarse.min(axis=(1, 2, 3), initial=BLACK)
        seen = np.flatnonzero((high > BLACK) | (high - low > BLACK_NOISE))
        if len(seen) or len(bright):
            return first + int(seen[0] if len(seen) else bright[0])
    return len(frames)


def _averaged(frames: np.ndarray) -> np.ndarray:
    """Frames made coarser by a whole number, to `ROWS` rows or somewhat more: float `[frame, row, column, 3]`."""
    by = max(1, min(frames.shape[1:3]) // ROWS)
    rows, columns = (size // by for size in frames.shape[1:3])
    cells = frames[:, : rows * by, : columns * by].reshape(len(frames), rows, by, columns, by, 3)
    return np.asarray(cells.mean(axis=(2, 4), dtype=np.float32))
