"""What can be reached at best on independent scenes (`symbolic`): exact sums, no simulation.

Two scenes have n and m things, each uniform on 3 to 10; values are uniform and independent. A kind with K values tells
nothing apart when every one of the target's n values occurs among the other scene's m:

    P(nothing | n, m) = sum over d of P(d different values among m) (d / K)^n

Kinds are independent given n and m, so the chance that no kind of a set tells anything is the mean over n and m of the
product. Who cannot tell is right in half of such pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import comb, prod

from avshot.games.scene import FEWEST, KINDS, MOST


def share_told_apart(kinds: Iterable[str]) -> float:
    """Share of pairs whose target has a value of one of these kinds that the other scene lacks; 0 for no kinds.

    Example:
        >>> from avshot.games.limits import share_told_apart
        >>> [round(share_told_apart([kind]), 3) for kind in ("color", "shape", "material", "size")]
        [0.906, 0.27, 0.06, 0.06]
    """
    counts = range(FEWEST, MOST + 1)
    sizes = [len(KINDS[kind]) for kind in kinds]
    nothing = [prod(_nothing(n, m, size) for size in sizes) for n, m in product(counts, counts)]
    return 1 - sum(nothing) / len(nothing)


def perfect_success(kinds: Iterable[str]) -> float:
    """Success of a perfect listener when all that tells, of these kinds, is said; `rei` over independent pairs.

    Example:
        >>> from avshot.games.limits import perfect_success
        >>> round(perfect_success(["shape", "material", "size"]), 3)
        0.66
    """
    return 0.5 + share_told_apart(kinds) / 2


def _nothing(n: int, m: int, size: int) -> float:
    """Chance that all of n uniform values of `size` occur among m others."""
    return sum(_distinct(m, d, size) * (d / size) ** n for d in range(1, min(m, size) + 1))


def _distinct(m: int, d: int, size: int) -> float:
    """Chance of exactly d different values among m uniform ones of `size`: inclusion and exclusion over the d."""
    onto = sum((-1) ** (d - j) * comb(d, j) * (j / size) ** m for j in range(d + 1))
    return comb(size, d) * onto
