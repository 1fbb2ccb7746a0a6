"""ProtoGAN: what its GAN is told, and its classifier, against loops."""

import pytest
import torch

from avshot.types import Classes
from few_shot_clips import LABELS, NAMES, cross_entropy, naive_head, small, some_batch, some_classes, some_features

FIELDS = {"noise": 3, "generator_hidden": 6, "critic_hidden": 6, "scaling": "none"}


def made(**fields):
    return small("protogan", **(FIELDS | fields))


def naive_joined(features, i):
    """Averages of sound and picture of one clip, side by side; zeros for a missing one."""
    halves = []
    for value, mask in ((features.audio, features.audio_mask), (features.visual, features.visual_mask)):
        rows = [value[i, t] for t in range(value.shape[1]) if mask[i, t]]
        halves.append(sum(rows) / len(rows) if rows else torch.zeros(value.shape[2]))
    return torch.cat(halves)


def test_the_gan_is_told_the_mean_of_each_class(monkeypatch):
    model, batch, told = made().train(), some_batch(), []
    make = model.gan.generator.make
    monkeypatch.setattr(model.gan.generator, "make", lambda value: told.append(value) or make(value))
    model.loss(batch)
    vectors = [naive_joined(batch.features, i) for i in range(5)]
    # Class 2 has two clips, the first without a picture: the mean of its picture is that of the second.
    both = torch.cat([(vectors[2][:5] + vectors[4][:5]) / 2, vectors[4][5:]])
    for i, expected in enumerate((vectors[0], vectors[1], both, vectors[3], both)):
        torch.testing.assert_close(told[0][i], expected)
    model.eval()
    model.loss(batch)
    torch.testing.assert_close(told[-1], told[0])  # outside training nothing is taken in


def test_scores_and_cross_entropy_against_loops():
    model, batch = made(), some_batch()
    scores = model.score(batch.features, batch.classes)
    total = 0.0
    for i, label in enumerate(LABELS):
        logits = naive_head(model, naive_joined(batch.features, i))
        assert scores[i].tolist() == pytest.approx(logits, rel=1e-4, abs=1e-5)
        total += cross_entropy(logits, label) / len(LABELS)
    assert model.loss(batch)["cross_entropy"].item() == pytest.approx(total, rel=1e-4)


def test_novel_classes_learn_from_what_is_made():
    model, batch = made().train(), some_batch()
    model.loss(batch)["synthetic"].backward()
    assert model.head.weight.grad.any()
    assert all(p.grad is None for p in model.gan.parameters())
    assert made(synthetic=0.0).train().loss(batch)["synthetic"].item() == 0


def test_candidates_must_be_trained():
    known, model = some_classes(), made()
    with pytest.raises(ValueError, match="Class 'owl' has no row"):
        model.score(some_features(), Classes(("owl", *NAMES[1:]), known.text, known.seen))
