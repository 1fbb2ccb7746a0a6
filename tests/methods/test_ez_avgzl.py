"""EZ-AVGZL: eq. 5 against loops, the similarities against their definitions, what the printed forms cannot do."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from avshot.method import Inputs
from avshot.methods.ez_avgzl import NEGATIVES, SIMILARITIES, EzAvgzl
from avshot.registry import create_method, get_method
from avshot.types import Batch, Classes, Features

SMALL = {
    "dim": 12,
    "encoder_hidden": 9,
    "layers": 1,
    "heads": 2,
    "head_dim": 4,
    "feedforward": 6,
    "position_dim": 8,
    "similarity_hidden": 10,
    "query_feedforward": 7,
    # What the default preset changes for small data, back to the paper's form:
    "class_token": True,
    "pooling": "mean",
    "feature_noise": 0.0,
    "drop_modality": 0.0,
    "readout": "linear",
    "similarity_dropout": 0.1,
    "centre_text": False,
    "smoothing": 0.0,
}
LEARNT = [s for s in SIMILARITIES if s != "linear_printed"]


def small(**fields) -> EzAvgzl:
    torch.manual_seed(0)
    return create_method("ez_avgzl", Inputs(5, 7, {"w2v": 6}), **{**SMALL, **fields})  # type: ignore[return-value]


def some_batch(labels=(0, 1, 0, 2, 0, 1, 3, 3), n_classes: int = 5) -> Batch:
    g = torch.Generator().manual_seed(3)
    audio = [torch.randn(1 + i % 4, 5, generator=g) for i in range(len(labels))]
    visual = [torch.randn(1 + (2 * i) % 5, 7, generator=g) for i in range(len(labels))]
    none = [None] * len(labels)
    features = Features.from_sequences(audio, visual, none, none, dims=(5, 7))
    text = F.normalize(torch.randn(n_classes, 6, generator=g), dim=1)
    names = tuple(f"class {i}" for i in range(n_classes))
    return Batch(features, torch.tensor(labels), Classes(names, {"w2v": text}, torch.ones(n_classes, dtype=torch.bool)))


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_loss_against_loops(negatives, similarity):
    model = small(negatives=negatives, similarity=similarity).eval()
    batch = some_batch()
    labels = batch.labels.tolist()
    with torch.no_grad():
        sim = model.score(batch.features, batch.classes).tolist()
        (loss,) = model.loss(batch).values()
    denominators = {"batch": labels, "batch_unique": sorted(set(labels)), "all": range(5)}[negatives]
    expected = 0.0
    for i, y in enumerate(labels):
        total = sum(math.exp(sim[i][k]) for k in denominators)
        expected -= math.log(math.exp(sim[i][y]) / total) / len(labels)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_spreads_a_tenth_over_all_classes():
    batch = some_batch()
    model = small(negatives="all", smoothing=0.1).eval()
    with torch.no_grad():
        sim = model.score(batch.features, batch.classes).tolist()
        (loss,) = model.loss(batch).values()
    expected = 0.0
    for i, y in enumerate(batch.labels.tolist()):
        total = sum(math.exp(s) for s in sim[i])
        for k, s in enumerate(sim[i]):
            expected -= (0.9 * (k == y) + 0.1 / 5) * math.log(math.exp(s) / total) / len(batch)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="it needs .all."):
        small(negatives="batch", smoothing=0.1)


def test_soft_pooling_is_the_mean_over_the_modalities_that_are_there():
    model = small(class_token=False, pooling="logsumexp", pooling_sharpness=2.0).eval()
    features = some_batch().features
    with torch.no_grad():
        fused = model.fusion(features)
    for i in range(len(features)):
        parts = []
        for kind in (1, 2):
            steps = fused.tokens[i][(fused.modality == kind) & fused.mask[i]]
            if len(steps):
                parts.append((2.0 * steps).exp().mean(dim=0).log() / 2.0)
        torch.testing.assert_close(fused.clip[i], torch.stack(parts).mean(dim=0), atol=1e-5, rtol=1e-5)


def test_repeats_in_the_printed_loss_are_a_logit_adjustment():
    batch = some_batch()
    model = small(negatives="batch").eval()
    count = torch.bincount(batch.labels, minlength=5).float()
    logits = model.score(batch.features, batch.classes) + count.log()  # class 4 is absent: -inf, outside the sum
    adjusted = F.cross_entropy(logits, batch.labels) + count.log()[batch.labels].mean()
    (printed,) = model.loss(batch).values()
    torch.testing.assert_close(printed, adjusted)


def test_cosine_is_a_scaled_cosine_of_the_projected_clip():
    model = small(similarity="cosine", temperature=0.5).eval()
    batch = some_batch()
    with torch.no_grad():
        sim = model.score(batch.features, batch.classes)
        clip = model.fusion(batch.features).clip
        for i, row in enumerate(clip):
            x = model.similarity.project.weight @ row + model.similarity.project.bias
            for j, w in enumerate(batch.classes.text["w2v"]):
                cosine = float(x @ w) / (float(x.norm()) * float(w.norm()))
                assert float(sim[i, j]) == pytest.approx(2 * cosine, abs=1e-5)


def test_mlp_is_a_perceptron_on_the_concatenation():
    model = small(similarity="mlp").eval()
    batch = some_batch()
    part = model.similarity
    with torch.no_grad():
        sim = model.score(batch.features, batch.classes)
        first = torch.cat([part.clip.weight, part.text.weight], dim=1)
        for i, x in enumerate(model.fusion(batch.features).clip):
            for j, w in enumerate(batch.classes.text["w2v"]):
                hidden = (first @ torch.cat([x, w]) + part.clip.bias).clamp(min=0)
                assert float(sim[i, j]) == pytest.approx(float(part.out.weight @ hidden), abs=1e-5)


def test_cross_attention_pair_by_pair():
    model = small().eval()
    batch = some_batch()
    part, att = model.similarity, model.similarity.attention
    with torch.no_grad():
        sim = model.score(batch.features, batch.classes)
        fused = model.fusion(batch.features)
        for i in range(len(batch)):
            keys = part.norm_key(fused.tokens[i][fused.mask[i]])
            for j, w in enumerate(batch.classes.text["w2v"]):
                query = part.query.weight @ w + part.query.bias
                q = att.to_q.weight @ part.norm_query(query)
                k, v = keys @ att.to_k.weight.T, keys @ att.to_v.weight.T
                heads = []
                for h in (slice(0, 4), slice(4, 8)):
                    weight = ((k[:, h] @ q[h]) / 2).exp()
                    heads.append((weight / weight.sum()) @ v[:, h])
                found = query + att.to_out[0].weight @ torch.cat(heads) + att.to_out[0].bias
                found = found + part.feedforward.net(part.norm_ff(found))
                assert float(sim[i, j]) == pytest.approx(float(part.readout.weight @ found), abs=1e-5)


def test_centred_text_remembers_the_training_classes():
    model = small(centre_text=True)
    batch = some_batch()
    text = batch.classes.text["w2v"] + 3.0
    shifted = dataclasses.replace(batch, classes=batch.classes.with_text({"w2v": text}))
    model.loss(shifted)
    torch.testing.assert_close(model.centre.mean, text.mean(dim=0))
    model.eval()
    few = shifted.classes.select(["class 3", "class 1"])
    with torch.no_grad():
        every = model.score(batch.features, shifted.classes)
        torch.testing.assert_close(model.score(batch.features, few), every[:, [3, 1]])
        by_hand = F.normalize(text - text.mean(dim=0), dim=1)
        torch.testing.assert_close(every, model.similarity(model.fusion(batch.features), by_hand))


def spread_over_classes(model: EzAvgzl) -> torch.Tensor:
    batch = some_batch()
    with torch.no_grad():
        return model.eval().score(batch.features, batch.classes)


def test_attention_over_a_single_key_is_constant_in_the_class():
    sim = spread_over_classes(small(keys="clip", query_residual=False))
    torch.testing.assert_close(sim, sim[:, :1].expand_as(sim), atol=1e-6, rtol=0)
    assert sim[:, 0].std() > 1e-3  # it does depend on the clip


def same_order_for_all_clips(sim: torch.Tensor) -> bool:
    """Differences between classes are the same for every clip."""
    return torch.allclose(sim - sim[:, :1], (sim - sim[:, :1])[:1].expand_as(sim), atol=1e-5)


def test_a_residual_alone_gives_every_clip_the_same_ranking():
    assert same_order_for_all_clips(spread_over_classes(small(keys="clip", query_feedforward=0)))


def test_linear_similarity_as_printed_gives_every_clip_the_same_ranking():
    assert same_order_for_all_clips(spread_over_classes(small(similarity="linear_printed")))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"query_feedforward": 0},
        {"query_feedforward": 0, "query_residual": False},
        {"keys": "clip"},
        {"readout": "cosine"},
        {"readout": "cosine", "query_residual": False},
        {"similarity": "linear"},
        {"similarity": "mlp"},
        {"similarity": "cosine"},
    ],
)
def test_the_other_forms_rank_by_clip(fields):
    assert not same_order_for_all_clips(spread_over_classes(small(**fields)))


@pytest.mark.parametrize("similarity", LEARNT)
@pytest.mark.parametrize("readout", ["linear", "cosine"])
def test_gradient_reaches_every_parameter(similarity, readout):
    model = small(similarity=similarity, readout=readout)
    sum(model.loss(some_batch()).values()).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("class_token", [True, False])
def test_a_clip_scores_by_itself(similarity, class_token):
    model = small(similarity=similarity, class_token=class_token).eval()
    batch = some_batch()
    features = Features.cat([batch.features, batch.features.only("audio"), batch.features.only("visual")])
    padded = features._padded_to(9, 12)
    noisy = dataclasses.replace(
        padded, visual=torch.where(padded.visual_mask[..., None], padded.visual, torch.full_like(padded.visual, 1e4))
    )
    with torch.no_grad():
        together = model.score(features, batch.classes)
        alone = torch.cat([model.score(features[i], batch.classes) for i in range(len(features))])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.score(noisy, batch.classes), together, atol=1e-5, rtol=1e-5)
        order = [3, 0, 4, 1, 2]
        swapped = batch.classes.select([batch.classes.names[i] for i in order])
        torch.testing.assert_close(model.score(features, swapped), together[:, order], atol=1e-6, rtol=1e-5)
    assert torch.isfinite(together).all()


def test_learns_unseen_combinations():
    """Three sounds times three pictures; one of the nine combinations is never trained on."""
    g = torch.Generator().manual_seed(0)
    words, sounds, pictures = (torch.randn(n, d, generator=g) for n, d in ((6, 6), (3, 5), (3, 7)))
    pairs = [(a, v) for a in range(3) for v in range(3)]
    text = F.normalize(torch.stack([words[a] + words[3 + v] for a, v in pairs]), dim=1)
    every = Classes(tuple(map(str, pairs)), {"w2v": text}, torch.arange(9) < 8)
    seen = every.select(every.names[:8])

    def clips(labels: torch.Tensor) -> Features:
        a, v = torch.tensor(pairs)[labels].T
        audio = sounds[a][:, None] + 0.3 * torch.randn(len(a), 3, 5, generator=g)
        visual = pictures[v][:, None] + 0.3 * torch.randn(len(a), 4, 7, generator=g)
        return Features.from_sequences(list(audio), list(visual), [None] * len(a), [None] * len(a), dims=(5, 7))

    model = small(
        similarity="cosine", dim=32, use_time=False, audio_scaling="none", visual_scaling="none", dropout_encoder=0.1
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(100):
        labels = torch.randint(0, 8, (32,), generator=g)
        loss = sum(model.loss(Batch(clips(labels), labels, seen)).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        known = model.score(clips(torch.arange(8).repeat(10)), every)
        unknown = model.score(clips(torch.full((40,), 8)), every)
    assert (known[:, :8].argmax(dim=1) == torch.arange(8).repeat(10)).float().mean() > 0.9
    rank = (unknown > unknown[:, 8:]).sum(dim=1).float().mean()
    assert rank < 2  # by chance 4 of the 8 other classes would come before


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"similarity": "dot"}, "similarity is 'dot'"),
        ({"negatives": "none"}, "negatives is 'none'"),
        ({"keys": "all"}, "keys is 'all'"),
        ({"readout": "dot"}, "readout is 'dot'"),
        ({"similarity": "cosine", "temperature": 0.0}, "temperature"),
        ({"attention": "both"}, "attention is 'both'"),
    ],
)
def test_wrong_settings_are_named(fields, words):
    with pytest.raises(ValueError, match=words):
        small(**fields)


def test_the_preset_paper_has_the_form_of_the_paper():
    config = get_method("ez_avgzl").presets["paper"].config
    printed = get_method("ez_avgzl").presets["ucf-cls"].config
    sizes = {"dim", "encoder_hidden", "layers", "heads", "head_dim", "fourier_scale", "audio_scaling", "visual_scaling"}
    differ = {f.name for f in dataclasses.fields(config) if getattr(config, f.name) != getattr(printed, f.name)}
    assert differ <= sizes
    assert config.layers > 0
    assert (config.similarity, config.readout, config.class_token) == ("cross_attention", "linear", True)
    assert (config.centre_text, config.smoothing, config.negatives) == (False, 0.0, "batch")


def test_published_presets():
    for name, preset in get_method("ez_avgzl").presets.items():
        assert preset.selection.optimise_classes
        assert preset.selection.beta_grid == "exact"
        if name in ("default", "paper"):
            continue
        recipe, config = preset.recipe, preset.config
        assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay) == (50, 64, 1e-4, 1e-5)
        assert recipe.betas == (0.9, 0.999)
        assert (config.heads, config.head_dim, config.negatives) == (8, 64, "batch")
        assert (config.similarity, config.drop_steps, config.feature_noise, config.drop_modality) == (
            "cross_attention",
            0.0,
            0.0,
            0.0,
        )
