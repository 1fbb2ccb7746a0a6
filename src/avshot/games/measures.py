"""Numbers of many rounds: how well, how surely, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt
from typing import Any

import numpy as np

from avshot.games.episode import Message
from avshot.games.judge import Round
from avshot.games.scene import KINDS

# Words counted as colours; black, white and grey among them, which a colour-blind listener sees all the same.
COLOURS = {
    *KINDS["color"], "grey", "black", "white", "orange", "pink", "violet", "turquoise", "beige", "gold", "golden",
    "silver", "tan", "magenta", "teal", "maroon", "navy", "colored", "coloured", "colorful", "colourful",
}  # fmt: skip
_Z = 1.959963984540054  # of 95 %
_SHUFFLES = 20_000


def wilson(successes: float, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): never outside [0, 1], and of some width where all or none succeed.

    Args:
        successes: How many of `n`.
        n: At least 1.
    """
    share, z2 = successes / n, _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = _Z * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def mean_interval(scores: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean of scores from 0 to 1: Wilson's where all are 0 or 1, else the normal one."""
    n, mean = len(scores), float(np.mean(scores))
    if set(scores) <= {0.0, 1.0}:
        return wilson(sum(scores), n)
    reach = _Z * float(np.std(scores, ddof=1)) / sqrt(n) if n > 1 else 1.0
    return max(0.0, mean - reach), min(1.0, mean + reach)


def paired_p(first: Sequence[float], second: Sequence[float], seed: int = 0) -> float:
    """Two-sided p of equal means over the same episodes.

    Exact for scores of 0 and 1 (McNemar: the sign test over episodes where they differ), else by 20,000 random signs.

    Args:
        first: Scores, one for each episode.
        second: Of another speaker or listener on the same episodes, in the same order.
        seed: Of the random signs.
    """
    apart = np.asarray(first) - np.asarray(second)
    apart = apart[apart != 0]
    if not len(apart):
        return 1.0
    if set(np.abs(apart)) == {1.0}:
        n, fewer = len(apart), int(min((apart > 0).sum(), (apart < 0).sum()))
        return min(1.0, 2 * sum(comb(n, k) for k in range(fewer + 1)) / 2**n)
    signs = np.random.default_rng(seed).integers(0, 2, (_SHUFFLES, len(apart))) * 2 - 1
    beyond = np.abs(signs @ apart) >= abs(apart.sum()) - 1e-9
    return float((beyond.sum() + 1) / (_SHUFFLES + 1))


def measure(rounds: Sequence[Round]) -> dict[str, Any]:
    """All numbers of some rounds; shares and scores from 0 to 1.

    Returns:
        `score` with `low` and `high` (95 %), `rounds`, `unparsed` (no answer), `left` (share of answers "left"),
        `score_left` and `score_right` (of episodes whose target the listener saw there; None where there are none),
        `words` a message, `colours` (share of words; None where no word was said), `empty` (messages without a word).
    """
    scores = [each.score for each in rounds]
    low, high = mean_interval(scores)
    words = [Message(each.message).words for each in rounds]
    said = [word for each in words for word in each]
    chosen = [each.choice for each in rounds if each.choice is not None]
    return {
        "score": float(np.mean(scores)),
        "low": low,
        "high": high,
        "rounds": len(rounds),
        "unparsed": float(np.mean([not each.understood for each in rounds])),
        "left": chosen.count(0) / len(chosen) if chosen else None,
        "score_left": _mean([each.score for each in rounds if each.place == 0]),
        "score_right": _mean([each.score for each in rounds if each.place == 1]),
        "words": len(said) / len(rounds),
        "colours": sum(word in COLOURS for word in said) / len(said) if said else None,
        "empty": sum(not each for each in words) / len(rounds),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
