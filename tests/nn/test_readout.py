"""Classifier readouts: of the baselines that have one only, and of the three methods for which it is a setting."""

import pytest
import torch

from avshot.recipe import base_then_novel
from avshot.registry import get_preset
from avshot.types import Batch, Classes
from few_shot_clips import (
    ENCODERS,
    LABELS,
    NAMES,
    TOKENS,
    cross_entropy,
    naive_head,
    small,
    some_batch,
    some_classes,
    some_features,
)

HEADS = {"dim": 12, "encoder_hidden": 9, "visual_scaling": "none", "dim_out": 8, "decoder_hidden": 8}
SMALL = {
    "hip": TOKENS | {"latents": 8, "cross_head_dim": 4},
    "mbt": TOKENS | {"layers": 2},
    "zorro": TOKENS | {"layers": 2, "fusion_tokens": 3},
    "sldg": ENCODERS | {"normals": 2},
    "attention_fusion": HEADS,
    "perceiver": HEADS | {"position_dim": 8, "latents": 3, "layers": 2, "cross_head_dim": 6, "heads": 2, "head_dim": 4},
    "avca": {"hidden": 9, "width": 12, "embedding": 8, "head_dim": 4, "feedforward": 6},
}
every_readout = pytest.mark.parametrize("name", SMALL)


def batch_of(name):
    """A batch, with negatives for the method that reads them."""
    batch = some_batch()
    if name != "avca":
        return batch
    order = torch.tensor([1, 2, 3, 0, 1])
    return Batch(
        batch.features, batch.labels, batch.classes, Batch(batch.features[order], batch.labels[order], batch.classes)
    )


def embedded(model, features):
    """What the classifier reads."""
    if model.name == "avca":
        return model.embeddings(features, some_classes())[0]
    return model.embed(features)


@every_readout
@torch.no_grad()
def test_scores_and_cross_entropy_against_loops(name):
    model, batch = small(name, **SMALL[name]), batch_of(name)
    scores, value = model.score(batch.features, batch.classes), embedded(model, batch.features)
    total = 0.0
    for i, label in enumerate(LABELS):
        logits = naive_head(model, value[i])
        assert scores[i].tolist() == pytest.approx(logits, rel=1e-4, abs=1e-5)
        total += cross_entropy(logits, label) / len(LABELS)
    assert scores.std(dim=0).min() > 1e-4
    assert model.loss(batch)["cross_entropy"].item() == pytest.approx(total, rel=1e-4)


@every_readout
@torch.no_grad()
def test_labels_and_candidates_go_by_name(name):
    model, batch = small(name, **SMALL[name]), batch_of(name)
    order = torch.tensor([2, 0, 3, 1])
    turned = batch.classes.select([batch.classes.names[i] for i in order.tolist()])
    place = order.argsort()
    negative = batch.negative and Batch(batch.negative.features, place[batch.negative.labels], turned)
    other = Batch(batch.features, place[batch.labels], turned, negative)
    assert torch.equal(model.score(batch.features, turned), model.score(batch.features, batch.classes)[:, order])
    for term, value in model.loss(batch).items():
        torch.testing.assert_close(model.loss(other)[term], value)
    few = batch.classes.select(["drum"])
    assert torch.equal(model.score(batch.features, few)[:, 0], model.score(batch.features, batch.classes)[:, 3])


@every_readout
def test_it_is_closed_and_learns_base_classes_first(name):
    model = small(name, **SMALL[name])
    assert model.closed
    assert model.phases() == base_then_novel()
    known = some_classes()
    with pytest.raises(ValueError, match=r"Class 'owl' has no row in the classifier"):
        model.score(some_features(), Classes(("owl", *NAMES[1:]), known.text, known.seen))


@every_readout
def test_presets_for_few_shots_are_the_training_of_av_diff(name):
    for key, (size, rate, schedule) in {
        "ucf-fsl": (64, 7e-5, "plateau"),
        "activitynet-fsl": (32, 7e-5, "plateau"),
        "vggsound-fsl": (64, 6e-5, "constant"),
    }.items():
        preset = get_preset(name, key)
        recipe = preset.recipe
        assert (recipe.batch_size, recipe.lr, recipe.schedule) == (size, rate, schedule)
        assert (recipe.epochs, recipe.batches_per_epoch, recipe.weight_decay) == (50, 300, 1e-5)
        assert preset.selection.beta_grid == "avdiff"
        assert not preset.published


@pytest.mark.parametrize("name", ["attention_fusion", "perceiver", "avca"])
def test_the_nearest_class_stays_the_default(name):
    for preset in ("default", "ucf-cls"):
        model = small(name, preset, **(SMALL[name] | ({} if name == "avca" else {"decoder_hidden": 8})))
        assert model.config.readout == "nearest"
        assert not model.closed
        assert [phase.name for phase in model.phases()] == ["all"]
        assert not any(key.startswith("head") for key in model.state_dict())
        assert "cross_entropy" not in model.loss(batch_of(name)) or name != "avca"


@pytest.mark.parametrize("name", ["attention_fusion", "perceiver"])
def test_a_classifier_needs_nothing_that_reads_class_embeddings(name):
    model, batch = small(name, **SMALL[name]), batch_of(name)
    assert set(model.loss(batch)) == {"cross_entropy"}
    assert not any(part in key for key in model.state_dict() for part in ("text", "decode"))
    assert model.embeddings(batch.features, batch.classes) is None
    model.train()
    model.loss(batch)["cross_entropy"].backward()
    assert all(p.grad is not None for p in model.parameters())


@torch.no_grad()
def test_the_classifier_of_avca_reads_the_picture_and_the_sound_where_there_is_none():
    model, features = small("avca", **SMALL["avca"]), some_features()
    _, _, theta_a, theta_v = model.net.embed(features)
    scores = model.score(features, some_classes())
    for i, theta in enumerate((theta_v[0], theta_v[1], theta_a[2], theta_v[3], theta_v[4])):
        assert scores[i].tolist() == pytest.approx(naive_head(model, theta), rel=1e-4, abs=1e-5)
    batch = batch_of("avca")
    twice = small("avca", cross_entropy=2.0, **SMALL["avca"]).loss(batch)["cross_entropy"]
    torch.testing.assert_close(twice, 2 * model.loss(batch)["cross_entropy"])
    names = {"triplet", "reconstruction", "decoded_triplet", "word_triplet", "regularisation"}
    assert set(model.loss(batch)) == names | {"cross_entropy"}


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="readout is 'guess'; expected one of nearest, classifier"):
        small("perceiver", **(SMALL["perceiver"] | {"readout": "guess"}))
    with pytest.raises(ValueError, match="evaluate is 'sum'; a classifier reads one output, so pass audio or visual"):
        small("avca", **(SMALL["avca"] | {"evaluate": "sum"}))
