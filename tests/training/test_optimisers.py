"""Phases with a rate of their own."""

import pytest
import torch
from test_loop import prepared, weights

from avshot.method import Phase, Recipe, Turn
from avshot.training.optimisers import Players


def test_a_phase_has_a_rate_of_its_own():
    """Adam's first step moves every weight by the learning rate, whatever the gradient."""
    moved = {}
    for rate in (1.0, 0.1):
        source, model = prepared(normalise_inputs=False, dropout=0.0)
        before = weights(model)
        players = Players(model, Phase("one", (Turn(),), rate=rate), Recipe(lr=1e-2))
        players.set_rate(0.5, ())
        players.step(source.batch(torch.arange(8)), 0)
        moved[rate] = max(float((value - before[key]).abs().max()) for key, value in weights(model).items())
    assert moved[1.0] == pytest.approx(1e-2, rel=1e-3)
    assert moved[0.1] == pytest.approx(1e-3, rel=1e-3)
