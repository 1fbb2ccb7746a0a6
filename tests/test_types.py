"""The four nouns: shapes, masks, joining and selecting."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.types import Batch, Classes, Factor, Features

lengths = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=5)


def sequences(shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    audio = [torch.randn(a, 3, generator=rng) if a else None for a, _ in shape]
    visual = [torch.randn(v, 2, generator=rng) if v else None for _, v in shape]
    times = [None] * len(shape)
    return audio, visual, Features.from_sequences(audio, visual, times, times, dims=(3, 2))


@given(lengths)
@settings(max_examples=40, deadline=None)
def test_pooled_is_the_mean_of_the_real_steps(shape):
    audio, visual, features = sequences(shape)
    pooled = features.pooled()
    for given_rows, rows in ((audio, pooled[0]), (visual, pooled[1])):
        for one, row in zip(given_rows, rows, strict=True):
            expected = np.zeros(len(row)) if one is None else one.numpy().mean(axis=0)
            np.testing.assert_allclose(row.numpy(), expected, atol=1e-6)
    assert features.has_audio.tolist() == [a > 0 for a, _ in shape]
    assert features.has_visual.tolist() == [v > 0 for _, v in shape]


@given(lengths, lengths)
@settings(max_examples=30, deadline=None)
def test_joining_keeps_every_clip(first, second):
    a, b = sequences(first, 1)[2], sequences(second, 2)[2]
    joined = Features.cat([a, b])
    assert len(joined) == len(first) + len(second)
    for part, rows in ((a, slice(0, len(first))), (b, slice(len(first), None))):
        for mine, theirs in zip(part.pooled(), joined[rows].pooled(), strict=True):
            torch.testing.assert_close(mine, theirs)
        assert torch.equal(part.audio_mask.sum(1), joined[rows].audio_mask.sum(1))


def test_values_under_a_false_mask_do_not_count_even_when_they_are_nan():
    _, _, features = sequences([(2, 1), (4, 3)])
    features.audio[~features.audio_mask] = torch.nan
    assert not features.pooled()[0].isnan().any()


def test_averaged_features_have_one_real_step():
    features = Features.averaged(torch.ones(5, 3), torch.zeros(5, 2))
    assert features.dims == (3, 2)
    assert features.audio.shape == (5, 1, 3)
    assert features.has_audio.all()


def test_hiding_a_modality():
    _, _, features = sequences([(2, 1), (4, 3)])
    audio = features.only("audio")
    assert audio.has_audio.all()
    assert not audio.has_visual.any()
    assert audio.dims == features.dims
    assert torch.equal(audio.audio, features.audio)
    assert not features.only("visual").has_audio.any()
    assert features.only("both") is features
    with pytest.raises(ValueError, match='expected "audio", "visual" or "both"'):
        features.only("smell")


@pytest.mark.parametrize("index", [1, slice(0, 2), torch.tensor([2, 0]), [True, False, True]])
def test_selecting_keeps_the_clip_axis(index):
    _, _, features = sequences([(2, 1), (4, 3), (1, 0)])
    picked = features[index]
    rows = torch.arange(3)[[index] if isinstance(index, int) else index]
    assert torch.equal(picked.audio, features.audio[rows])


def test_wrong_shapes_say_what_was_expected():
    with pytest.raises(ValueError, match=r"expected \[clip, time, dim\]"):
        Features.averaged(torch.ones(5), torch.ones(5, 2))
    mask = torch.ones(2, 1)
    with pytest.raises(ValueError, match="True = real"):
        Features(torch.ones(2, 1, 3), torch.ones(2, 1, 3), mask, mask, mask, mask)
    with pytest.raises(ValueError, match="Nothing to join"):
        Features.cat([])
    with pytest.raises(ValueError, match=r"expected \[time, 4\]"):
        Features.from_sequences([torch.ones(2, 3)], [None], [None], [None], dims=(4, 2))


def classes(*names, seen=None):
    text = {"w": torch.arange(len(names) * 2.0).reshape(-1, 2)}
    return Classes(names, text, torch.tensor(seen or [True] * len(names)))


def test_classes_are_joined_by_name():
    three = classes("dog", "cat", "bell", seen=[True, False, True])
    picked = three.select(["bell", "dog"])
    assert picked.names == ("bell", "dog")
    assert picked.text["w"].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert picked.seen.tolist() == [True, True]
    assert three.index("cat") == 1
    with pytest.raises(ValueError, match="'dogs' is not among .* mean 'dog'"):
        three.select(["dogs"])


def test_classes_refuse_repeats_and_misfits():
    with pytest.raises(ValueError, match="repeated: dog"):
        classes("dog", "cat", "dog")
    with pytest.raises(ValueError, match=r"expected \[2, dim\]"):
        Classes(("a", "b"), {"w": torch.ones(3, 2)}, torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"expected \[class\] bool"):
        Classes(("a", "b"), {}, torch.ones(2))


def test_a_batch_moves_with_its_negatives():
    _, _, features = sequences([(2, 1), (4, 3)])
    two = classes("a", "b")
    batch = Batch(features, torch.tensor([0, 1]), two, Batch(features, torch.tensor([1, 0]), two)).to("meta")
    assert (
        batch.features.audio.device.type
        == batch.negative.labels.device.type
        == batch.classes.seen.device.type
        == "meta"
    )


def test_preferring_a_modality_leaves_clips_without_it_alone():
    _, _, features = sequences([(2, 1), (0, 3), (4, 0)])
    audio = features.prefer("audio")
    assert audio.has_audio.tolist() == [True, False, True]
    assert audio.has_visual.tolist() == [False, True, False]
    visual = features.prefer("visual")
    assert visual.has_visual.tolist() == [True, True, False]
    assert visual.has_audio.tolist() == [False, False, True]
    assert features.prefer("both") is features
    _, _, whole = sequences([(2, 1), (4, 3)])
    assert whole.prefer("audio").visual.shape[1] == 1


def test_take_is_indexing_by_clip():
    audio, visual = [torch.randn(3, 2), None, torch.randn(1, 2)], [torch.randn(1, 4), torch.randn(2, 4), None]
    features = Features.from_sequences(audio, visual, [None] * 3, [None] * 3, dims=(2, 4))
    rows = torch.tensor([2, 0, 0, 1])
    for name in ("audio", "visual", "audio_mask", "visual_mask", "audio_time", "visual_time"):
        assert torch.equal(getattr(features.take(rows), name), getattr(features, name)[rows])
    assert len(features.take(rows[:0])) == 0


def pairs():
    """Cut and stir, slowly and quickly, in an order that is no product; "loudly" occurs in no class."""
    action = Factor(torch.tensor([0, 1, 1]), ("cut", "stir"), {"w": torch.tensor([[1.0], [2.0]])})
    manner = Factor(
        torch.tensor([0, 1, 0]),
        ("slowly", "quickly", "loudly"),
        {"w": torch.tensor([[3.0], [4.0], [5.0]])},
        torch.tensor([1, 0, -1]),
    )
    names = ("cut slowly", "stir quickly", "stir slowly")
    text = {"w": torch.arange(3.0)[:, None]}
    return Classes(names, text, torch.ones(3, dtype=torch.bool), {"action": action, "adverb": manner})


def test_factors_follow_their_classes_and_keep_all_values():
    two = pairs().select(["stir slowly", "cut slowly"])
    action, manner = two.factors["action"], two.factors["adverb"]
    assert [f"{action.names[a]} {manner.names[v]}" for a, v in zip(action.index, manner.index, strict=True)] == [
        "stir slowly",
        "cut slowly",
    ]
    assert len(manner) == 3
    assert manner.text["w"].tolist() == [[3.0], [4.0], [5.0]]
    assert manner.opposite.tolist() == [1, 0, -1]
    other = two.with_text({"w": torch.zeros(2, 1)})
    assert other.factors is two.factors
    there = two.to("meta").factors["adverb"]
    assert there.index.device.type == there.text["w"].device.type == there.opposite.device.type == "meta"


def test_factors_refuse_what_does_not_fit():
    one = torch.tensor([0])
    with pytest.raises(ValueError, match="must be unique"):
        Factor(one, ("a", "a"))
    with pytest.raises(ValueError, match=r"\[class\] long, each from 0 to 1"):
        Factor(torch.tensor([2]), ("a", "b"))
    with pytest.raises(ValueError, match=r"\[class\] long"):
        Factor(torch.tensor([0.0]), ("a", "b"))
    with pytest.raises(ValueError, match=r"expected \[2, dim\]"):
        Factor(one, ("a", "b"), {"w": torch.ones(3, 4)})
    with pytest.raises(ValueError, match="from -1"):
        Factor(one, ("a", "b"), opposite=torch.tensor([-2, 0]))
    with pytest.raises(ValueError, match="for 1 classes; expected 2"):
        Classes(("a", "b"), {}, torch.ones(2, dtype=torch.bool), {"action": Factor(one, ("a", "b"))})
