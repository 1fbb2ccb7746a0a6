"""Success over training as a small drawing (SVG), as in the thesis's figure 7.10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 220, 46, 30
_WINDOW = 30  # updates in a running mean: single batches of three are noise


def running_mean(values: Sequence[float], window: int = _WINDOW) -> list[float]:
    """Mean of each value and of up to `window - 1` before it."""
    if not len(values):
        return []
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    found: list[float] = ((sums[ends] - sums[starts]) / (ends - starts)).tolist()
    return found


def curve_svg(curve: Sequence[Mapping[str, float]], checks: Sequence[Sequence[float]]) -> str:
    """A running mean of the score over updates; looks of the drift guard as dots. Says peak and last.

    Args:
        curve: Points with `update` and `score`; at least one.
        checks: `(update, score)` on validation episodes; may be empty.
    """
    scores = running_mean([point["score"] for point in curve])
    last = max(curve[-1]["update"], 1)

    def place(update: float, score: float) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - 10) * update / last
        return x, 10 + (_HEIGHT - 10 - _BOTTOM) * (1 - score)

    points = " ".join(
        "{:.1f},{:.1f}".format(*place(point["update"], score)) for point, score in zip(curve, scores, strict=True)
    )
    grid = "".join(
        f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{level:.2f}</text>'
        for level in (0.0, 0.25, 0.5, 0.75, 1.0)
        for y in (place(0, level)[1],)
    )
    dots = "".join(
        '<circle cx="{:.1f}" cy="{:.1f}" r="3.5" fill="#D55E00"/>'.format(*place(update, score))
        for update, score in checks
    )
    best = int(np.argmax(scores))
    told = f"mean of {_WINDOW} updates: peak {scores[best]:.2f} at {curve[best]['update']:.0f}, last {scores[-1]:.2f}"
    told += "; dots: validation episodes" if checks else ""
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" font-size="12" role="img" '
        f'aria-label="{told}">{grid}<polyline points="{points}" fill="none" stroke="#0072B2" stroke-width="1.8"/>{dots}'
        f'<text x="{_WIDTH - 10}" y="{_HEIGHT - 10}" text-anchor="end">updates: {last:.0f}</text></svg>'
        f"<figcaption>Score while learning, {told}.</figcaption></figure>"
    )
