"""TSL: how clips are cut into segments, and the mean of the segments' scores, against loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avshot.methods.tsl import cut_segments
from few_shot_clips import LABELS, LENGTHS, cross_entropy, naive_head, small, some_batch, some_classes, some_features

FIELDS = {"noise": 3, "generator_hidden": 6, "critic_hidden": 6, "scaling": "none", "segments": 3}


def made(**fields):
    return small("tsl", **(FIELDS | fields))


def naive_segments(features, i, most):
    """Joined averages of each segment of one clip."""
    sides = [
        [value[i, t] for t in range(value.shape[1]) if mask[i, t]]
        for value, mask in ((features.audio, features.audio_mask), (features.visual, features.visual_mask))
    ]
    count = max(1, min([most, *(len(rows) for rows in sides if rows)])) if any(sides) else 1
    found = []
    for part in range(count):
        halves = []
        for rows, width in zip(sides, features.dims, strict=True):
            own = [row for k, row in enumerate(rows) if int(k * count / len(rows)) == part]
            halves.append(sum(own) / len(own) if own else torch.zeros(width))
        found.append(torch.cat(halves))
    return found


@pytest.mark.parametrize("most", [1, 2, 3, 10])
def test_segments_against_a_loop(most):
    features = some_features([*LENGTHS, (0, 0), (9, 2), (10, 30)])
    features.audio_mask[4, 2] = False  # a step hidden in training
    segments, there = cut_segments(features, most)
    row = 0
    for i in range(len(features)):
        expected = naive_segments(features, i, most)
        assert there[i].sum() == len(expected)
        for vector in expected:
            torch.testing.assert_close(torch.cat([segments.audio[row, 0], segments.visual[row, 0]]), vector)
            assert segments.audio_mask[row].item() == features.has_audio[i].item()
            assert segments.visual_mask[row].item() == features.has_visual[i].item()
            row += 1
    assert row == len(segments)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=5), st.integers(1, 6))
def test_no_segment_lacks_a_modality_of_its_clip(lengths, most):
    features = some_features(lengths)
    features.audio.fill_(1.0)
    features.visual.fill_(1.0)
    segments, there = cut_segments(features, most)
    owner = there.nonzero()[:, 0]
    for side in ("audio", "visual"):
        has = getattr(features, f"has_{side}")[owner]
        assert torch.isclose(getattr(segments, side)[:, 0].mean(dim=1), has.float()).all()
    assert there.any(dim=1).all()


@torch.no_grad()
def test_the_score_is_the_mean_probability_of_the_segments():
    model, features, classes = made(), some_features(), some_classes()
    scores = model.score(features, classes)
    for i in range(len(LENGTHS)):
        mean = [0.0] * 4
        parts = naive_segments(features, i, 3)
        for part in parts:
            logits = naive_head(model, part)
            total = sum(math.exp(z) for z in logits)
            mean = [m + math.exp(z) / total / len(parts) for m, z in zip(mean, logits, strict=True)]
        assert scores[i].tolist() == pytest.approx([math.log(m) for m in mean], rel=1e-4, abs=1e-5)
    assert torch.allclose(scores.softmax(dim=1), scores.exp(), atol=1e-6)


@torch.no_grad()
def test_the_score_of_certain_segments_is_finite():
    model, features = made(), some_features()
    model.head.weight.mul_(1e4)
    assert model.score(features, some_classes()).isfinite().all()


def test_losses_go_over_segments_and_the_gan_hears_the_text(monkeypatch):
    model, batch, told = made().train(), some_batch(), []
    make = model.gan.generator.make
    monkeypatch.setattr(model.gan.generator, "make", lambda value: told.append(value) or make(value))
    terms = model.loss(batch)
    parts = [(part, label) for i, label in enumerate(LABELS) for part in naive_segments(batch.features, i, 3)]
    with torch.no_grad():
        expected = sum(cross_entropy(naive_head(model, part), label) for part, label in parts) / len(parts)
    assert terms["cross_entropy"].item() == pytest.approx(expected, rel=1e-4)
    assert torch.equal(told[0], batch.classes.text["w2v"][[label for _, label in parts]])
    assert terms["synthetic"].item() > 0


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="segments is 0"):
        made(segments=0)
