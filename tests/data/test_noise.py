"""Noise on part of the sound: how much, where, and that it is the same every time."""

import pytest
import torch

from avshot.data.noise import NoisyAudio
from avshot.data.sources import MemoryFeatures
from avshot.types import Features


def source(lengths=(10, 4, 0)):
    generator = torch.Generator().manual_seed(0)
    audio = [torch.randn(n, 50, generator=generator) for n in lengths]
    visual = [torch.randn(3, 5, generator=generator) for _ in lengths]
    none = [None] * len(lengths)
    return MemoryFeatures(["a", "b", "c"], Features.from_sequences(audio, visual, none, none, dims=(50, 5)), {"x": 1})


@pytest.mark.parametrize(("share", "counts"), [(0.0, [0, 0, 0]), (0.5, [5, 2, 0]), (1.0, [10, 4, 0])])
def test_a_stretch_of_that_share_is_changed(share, counts):
    before, after = source().gather([0, 1, 2]), NoisyAudio(source(), share).gather([0, 1, 2])
    changed = (before.audio != after.audio).any(dim=2)
    assert changed.sum(dim=1).tolist() == counts
    for row in changed:
        where = row.nonzero().flatten()
        assert len(where) == 0 or where[-1] - where[0] + 1 == len(where)
    assert torch.equal(before.visual, after.visual)
    assert not (changed & ~before.audio_mask).any()


def test_signal_and_noise_are_equally_strong():
    before, after = source().gather([0]), NoisyAudio(source(), 1.0).gather([0])
    assert float((after.audio - before.audio).std()) == pytest.approx(float(before.audio.std()), rel=0.1)


def test_a_clip_is_the_same_alone_and_in_another_order():
    noisy = NoisyAudio(source(), 0.5, seed=3)
    together = noisy.gather([1, 0])
    assert torch.equal(together[1].audio, noisy.gather([0]).audio)
    assert not torch.equal(noisy.gather([0]).audio, NoisyAudio(source(), 0.5, seed=4).gather([0]).audio)
    assert noisy.spec == {"x": 1, "audio_noise": 0.5}
    assert (tuple(noisy.ids), noisy.dims) == (("a", "b", "c"), (50, 5))


def test_a_share_is_a_share():
    with pytest.raises(ValueError, match="expected 0 to 1"):
        NoisyAudio(source(), 1.5)
