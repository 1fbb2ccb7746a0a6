"""A Run finds events: each window is what the Run says of that span as a clip."""

import numpy as np
import pytest
import torch

from avshot import Recognizer
from avshot.events.segments import Segmentation, find_events
from avshot.features.steps import Steps
from avshot.finding.api import make_scorer
from avshot.finding.clips import ClipScorer
from avshot.finding.follow import Follower
from avshot.finding.run_scorer import RunScorer
from avshot.finding.track import track
from avshot.media import write
from avshot.prediction.predictor import Predictor
from avshot.types import Clip
from small_videos import FPS, RATE, SECONDS, SOUNDS, heard_videos, picture, sound

RECIPE = {"epochs": 2, "batches_per_epoch": 40, "batch_size": 18, "lr": 3e-3}
NAMES = tuple(SOUNDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def run(folder):
    videos, labels = heard_videos(folder / "heard")
    return Recognizer("devise", folder=folder, recipe=RECIPE, config={"dropout": 0.2}).fit(videos, labels).run


@pytest.fixture(scope="module")
def long_clip(folder, run):
    """Nine seconds: two clips of each class behind each other, then something that no training clip was like."""
    rng = np.random.default_rng(5)
    sounds = [sound(name, rng) for name in NAMES for _ in range(2)]
    sounds.append(np.sign(np.sin(np.arange(round(1.8 * RATE)) / 3)).astype(np.float32))
    waveform = np.concatenate(sounds)
    one = picture(None, rng)
    count = round(len(waveform) / RATE * FPS)
    write(folder / "long.mp4", np.concatenate([one] * 8)[:count], FPS, waveform, RATE)
    return folder / "long.mp4"


def test_a_window_is_what_the_run_says_of_that_span(run, long_clip):
    scorer = RunScorer(run, window=1.6)
    found, predictor = track(long_clip, scorer, hop=0.8, seconds=2.0), Predictor(run)
    assert found.names == run.classes().names
    assert len(found.time) == 11
    for time, row in list(zip(found.time, found.probability, strict=True))[1:-2]:
        said = predictor.predict(Clip("x", str(long_clip), start=time - 0.8, end=time + 0.8))
        expected = np.array([{g.name: g.probability for g in said.ranking}[name] for name in found.names])
        np.testing.assert_allclose(row / row.sum(), expected, atol=0.02)
        strange = any("unlike anything" in note for note in said.notes)
        assert row.sum() == pytest.approx(1.0, abs=1e-3) or strange


def test_events_of_known_classes_are_found_where_they_are(run, long_clip):
    found = track(long_clip, RunScorer(run, window=SECONDS), hop=0.3)
    events = find_events(found, Segmentation(begin=0.6))
    for i, name in enumerate(NAMES):
        longest = max((event for event in events if event.name == name), key=lambda event: event.length)
        assert abs(longest.start - 2.4 * i) < 1.2
        assert abs(longest.end - 2.4 * (i + 1)) < 1.2
    unlike = found.probability[found.time > 7.9]
    assert unlike.max() < 0.6


def test_names_may_be_new_and_the_share_of_the_sound_is_between_0_and_1(run, long_clip):
    scorer = RunScorer(run, ["high beeping", "dog barking"], window=1.2)
    found = track(long_clip, scorer, hop=1.2)
    assert found.names == ("high beeping", "dog barking")
    assert ((found.sound >= 0) & (found.sound <= 1)).all()


def test_it_is_a_scorer_of_steps_too(run):
    scorer = RunScorer(run, window=1.0)
    assert isinstance(scorer, ClipScorer)
    random = torch.Generator().manual_seed(0)
    audio = Steps(torch.randn(50, scorer.audio.dim, generator=random), np.arange(50) * 0.04)
    nothing = Steps(torch.zeros(0, scorer.visual.dim), np.zeros(0))
    time = np.array([0.5, 1.0, 9.0])
    probability, sound_share = scorer(audio, nothing, time)
    assert probability.shape == (3, 3)
    assert probability[:2].any()
    assert not probability[2].any()
    assert (sound_share[:2] == 1).all()
    single, _ = scorer(audio, nothing, time[1:2])
    np.testing.assert_allclose(single, probability[1:2], atol=1e-5)


def test_the_key_tells_what_scores_depend_on(run, folder):
    keys = [RunScorer(run).key(), RunScorer(run, window=2.0).key(), RunScorer(run, ["dog barking"]).key()]
    assert keys[0] == RunScorer(run.path).key()
    assert len({str(key) for key in keys}) == 3


@pytest.mark.parametrize("window", [0, -1.0, float("inf"), float("nan")])
def test_impossible_windows(run, window):
    with pytest.raises(ValueError, match="window"):
        RunScorer(run, window=window)


def test_make_scorer_takes_a_run(run):
    assert make_scorer(["dog barking"], run=run.path).names == ("dog barking",)
    with pytest.raises(ValueError, match="own encoders"):
        make_scorer(None, run=run.path, sound="logmel")


def test_windows_of_extractors_that_normalise_over_the_clip_are_not_followed_by_stretches(run):
    assert RunScorer(run).audio.reach == np.inf
    from avshot.finding.follow import follow

    assert not isinstance(follow(RunScorer(run), 1.0, 30.0), Follower)
