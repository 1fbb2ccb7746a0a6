"""The joined vector: order, scaling, what is blank, and what training has shown."""

import pytest
import torch

from avshot.nn.joined import Joined
from avshot.types import Features


def clips(count=6):
    generator = torch.Generator().manual_seed(0)
    return Features.averaged(torch.randn(count, 3, generator=generator), torch.randn(count, 2, generator=generator))


def test_audio_comes_first_and_unit_length_is_that_of_both_together():
    features = clips()
    value, real = Joined("none", 3, 2)(features)
    torch.testing.assert_close(value, torch.cat([features.audio[:, 0], features.visual[:, 0]], dim=1))
    assert real.shape == (6, 5)
    assert bool(real.all())
    unit, _ = Joined("unit", 3, 2)(features)
    for row, long in zip(unit.tolist(), value.tolist(), strict=True):
        length = sum(x * x for x in long) ** 0.5
        assert row == pytest.approx([x / length for x in long], abs=1e-6)


def test_standardised_channels_ignore_clips_without_the_modality():
    features = Features.cat([clips(), clips(2).only("audio")])
    joined = Joined("standardise", 3, 2).train()
    value, real = joined(features)
    torch.testing.assert_close(value[:6, 3:].mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(value[:6, 3:].var(dim=0, correction=0), torch.ones(2), atol=1e-3, rtol=0)
    assert value[6:, 3:].abs().sum() == 0
    assert real[6:].tolist() == [[True] * 3 + [False] * 2] * 2


def test_it_knows_which_modalities_training_showed():
    joined = Joined("none", 3, 2)
    assert bool(joined.known().all())  # untrained: nothing speaks against any
    joined.eval()(clips().only("visual"))
    assert bool(joined.known().all())
    joined.train()(clips().only("audio"))
    assert joined.known().tolist() == [True] * 3 + [False] * 2
    joined(clips())
    assert bool(joined.known().all())


def test_an_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match="expected one of unit, standardise, none"):
        Joined("nonsense", 3, 2)
