"""Simulated clips of pairs: sizes of the released splits, the story, and how far an adverb depends on the action."""

import numpy as np
import pytest
import torch

from avshot.data.load import load_dataset
from avshot.data.pair_audit import broken, split_of
from avshot.data.simulated.pairs import SIZES, simulate_pairs
from avshot.task import get_task


def test_vatex_has_its_full_size():
    found = load_dataset("simulated:vatex-adverbs")
    assert found.name == "simulated-vatex-adverbs"
    assert len(found.names) == 34 * 135 == 4590
    assert {fold: len(rows) for fold, rows in found.folds.items()} == {"train": 11157, "test_seen": 2790}
    assert found.features.dims == (0, 1024)
    assert len(set(found.labels(np.arange(len(found))).tolist())) == SIZES["vatex-adverbs"].pairs
    trials = get_task("adverb").stages(found)[1].trials
    assert {len(trial.classes) for trial in trials} == {34}


@pytest.mark.parametrize("name", SIZES)
def test_every_size_is_as_counted_and_unseen_ones_keep_the_rule(name):
    size, found = SIZES[name], simulate_pairs(name, dims=(0, 4))
    assert {factor: len(words) for factor, words in found.pairs.words.items()} == {
        "action": size.actions,
        "adverb": size.adverbs,
    }
    assert len(found) == size.rows
    assert broken(split_of(found)) == []
    assert ("test_unseen" in found.folds) == name.endswith("-unseen")
    get_task("adverb").stages(found)


@pytest.mark.parametrize("temporal", [False, True])
def test_there_is_no_sound_and_words_are_told(temporal):
    found = simulate_pairs("air", scale=0.1, dims=(0, 8), temporal=temporal)
    part = found.gather([0, 5])
    assert part.audio.shape == (2, 1, 0)
    assert not part.has_audio.any()
    assert part.has_visual.all()
    assert (part.visual.shape[1] > 1) == temporal
    words, place = found.pairs.text["simulated"], {n: i for i, n in enumerate(found.names)}
    action, adverb = found.pairs.words["action"][3], found.pairs.words["adverb"][1]
    mean = torch.nn.functional.normalize(words["action"][3] + words["adverb"][1], dim=0)
    assert torch.allclose(found.text["simulated"][place[f"{action} {adverb}"]], mean)
    assert found.fingerprint() == simulate_pairs("air", scale=0.1, dims=(0, 8), temporal=temporal).fingerprint()
    assert found.fingerprint() != simulate_pairs("air", scale=0.1, dims=(0, 8), temporal=temporal, seed=1).fingerprint()


@pytest.mark.parametrize(("depends", "alike"), [(0.0, True), (1.0, False)])
def test_the_look_of_an_adverb_depends_on_the_action(depends, alike):
    """What two adverbs differ in, with one action and with another: the same direction, or not."""
    found = simulate_pairs("air", scale=0.1, dims=(0, 8), depends=depends)
    looks, names = found.features.vectors, list(found.names)
    one, two = found.pairs.words["adverb"][:2]

    def difference(action):
        return looks[names.index(f"{action} {one}")] - looks[names.index(f"{action} {two}")]

    first, *others = (difference(action) for action in found.pairs.words["action"][:6])
    cosines = [first @ other / np.linalg.norm(first) / np.linalg.norm(other) for other in others]
    assert (min(cosines) > 0.95) == alike
    assert (max(cosines) < 0.9) == (not alike)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="Did you mean 'vatex-adverbs'"):
        simulate_pairs("vatex-adverb")
    with pytest.raises(ValueError, match="depends 2"):
        simulate_pairs("air", depends=2.0)
    with pytest.raises(ValueError, match="no knob 'loud'"):
        simulate_pairs("air", loud=1.0)
    with pytest.raises(ValueError, match="no option 'loud'"):
        load_dataset("simulated:air?loud=1")
