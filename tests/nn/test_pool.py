"""Pooling against a loop over clips and steps."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.nn.pool import pool


@given(st.integers(0, 1000), st.floats(0.1, 20.0), st.lists(st.integers(0, 5), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_pooling_equals_the_loop_and_ignores_padding(seed, sharpness, lengths):
    values = torch.randn(len(lengths), 5, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    dirty = values.masked_fill(~mask[..., None], torch.nan)
    mean, soft = pool(dirty, mask, "mean"), pool(dirty, mask, "logsumexp", sharpness)
    for i, n in enumerate(lengths):
        for d in range(2):
            steps = values[i, :n, d].tolist()
            assert mean[i, d] == pytest.approx(sum(steps) / n if n else 0.0)
            expected = math.log(sum(math.exp(sharpness * x) for x in steps) / n) / sharpness if n else 0.0
            assert soft[i, d] == pytest.approx(expected, abs=1e-9)
            if n:
                assert min(steps) - 1e-9 <= soft[i, d] <= max(steps) + 1e-9


def test_the_gradient_is_finite_for_a_clip_without_steps():
    values = torch.randn(2, 3, 2, requires_grad=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    pool(values, mask, "logsumexp").sum().backward()
    assert values.grad.isfinite().all()
    assert values.grad[1].abs().max() == 0


def test_an_unknown_pooling_is_named():
    with pytest.raises(ValueError, match="expected one of mean, logsumexp"):
        pool(torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), "max")
