"""What can be reached at best: exact sums against the figures measured before, and against many drawn pairs."""

import math
from itertools import product

import numpy as np
import pytest

from avshot.games.limits import _distinct, perfect_success, share_told_apart
from avshot.games.named import build, build_source
from avshot.games.rei import Rei
from avshot.games.scene import KINDS

ALL = tuple(KINDS)


def without(kind):
    return tuple(each for each in ALL if each != kind)


def test_limits_to_three_digits():
    """Measured over 200,000 pairs before this was written; one unit of the last digit is their noise."""
    shares = {kind: share_told_apart([kind]) for kind in ALL}
    expected = {"color": 0.906, "shape": 0.269, "material": 0.061, "size": 0.060}
    assert shares == pytest.approx(expected, abs=1.1e-3)
    limits = {kind: round(perfect_success(without(kind)), 3) for kind in ALL}
    assert limits == {"color": 0.660, "shape": 0.954, "material": 0.959, "size": 0.959}
    assert round(perfect_success(ALL), 3) == 0.959
    assert perfect_success(()) == 0.5


@pytest.mark.parametrize(("m", "size"), [(1, 2), (3, 3), (4, 8), (5, 2)])
def test_counts_of_different_values_by_listing_all_draws(m, size):
    found = [len(set(draw)) for draw in product(range(size), repeat=m)]
    for d in range(1, size + 1):
        assert _distinct(m, d, size) == pytest.approx(found.count(d) / len(found), abs=1e-12)


@pytest.mark.parametrize(("left_out", "ignored"), [((), ()), (("color",), ()), ((), ("color",)), (("shape",), ())])
def test_players_reach_the_limit(left_out, ignored):
    game, n = Rei(build_source("symbolic")), 8000
    episodes = game.draw(n, seed=0)
    speaker = build("speakers", f"true?without={','.join(left_out)}")
    listener = build("listeners", f"exact?ignores={','.join(ignored)}")
    messages = speaker.say([game.speaker_sees(e) for e in episodes])
    answers = listener.answer([game.listener_sees(e) for e in episodes], messages)
    success = np.mean([game.score(game.reward(e, a)) for e, a in zip(episodes, answers, strict=True)])
    limit = perfect_success([kind for kind in ALL if kind not in left_out + ignored])
    assert success == pytest.approx(limit, abs=4 * math.sqrt(limit * (1 - limit) / n))
