"""VIB-GZSL: loss terms against torch.distributions and loops, the product of experts, clips that lack a modality."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from avshot.method import Inputs
from avshot.nn.gaussian import draw
from avshot.registry import create_method, get_preset
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=4, visual=3, text={"words": 5})


def make_batch(size=6, count=4):
    generator = torch.Generator().manual_seed(0)
    text = torch.nn.functional.normalize(torch.randn(count, 5, generator=generator), dim=1)
    classes = Classes(tuple(f"c{i}" for i in range(count)), {"words": text}, torch.ones(count, dtype=torch.bool))
    audio, visual = torch.randn(size, 4, generator=generator), torch.randn(size, 3, generator=generator)
    return Batch(Features.averaged(audio, visual), torch.arange(size) % count, classes)


def mixed(batch):
    """The last clip lacks picture, the one before it sound."""
    features = batch.features
    features = Features.cat([features[:4], features[4].only("visual"), features[5].only("audio")])
    return Batch(features, batch.labels, batch.classes)


def build(**overrides):
    torch.manual_seed(0)
    return create_method("vib_gzsl", INPUTS, **{"hidden": 16, "width": 3, **overrides}).eval()


def standard_kl(mean, log_variance):
    own = Normal(mean, (log_variance / 2).exp())
    return kl_divergence(own, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum(dim=1)


def test_loss_terms_equal_the_loop_over_clips():
    model, batch = build(beta=0.25), mixed(make_batch())
    torch.manual_seed(7)
    terms = model.loss(batch)
    assert set(terms) == {"kl_words", "joint", "kl_joint", "audio", "kl_audio", "visual", "kl_visual"}
    torch.manual_seed(7)
    with torch.no_grad():
        heard, looked, joint = model.encode(batch.features)
        mean, log_variance = model.words(batch.classes.text["words"])
        names = draw(mean, log_variance).tolist()
        torch.testing.assert_close(terms["kl_words"], 0.25 * standard_kl(mean, log_variance).mean())
        parts = {"joint": (joint, range(6)), "audio": (heard, (0, 1, 2, 3, 5)), "visual": (looked, range(5))}
        for key, (found, clips) in parts.items():
            sample, total = draw(found.mean, found.log_variance).tolist(), 0.0
            for i in clips:
                likes = [math.exp(sum(x * y for x, y in zip(sample[i], name, strict=True))) for name in names]
                total -= math.log(likes[int(batch.labels[i])] / sum(likes))
            assert terms[key].item() == pytest.approx(total / len(clips), rel=1e-4), key
            kl = standard_kl(found.mean, found.log_variance)[list(clips)].mean()
            torch.testing.assert_close(terms[f"kl_{key}"], 0.25 * kl)


def test_without_marginals_only_the_joint_names_the_class():
    assert set(build(marginals=False).loss(make_batch())) == {"kl_words", "joint", "kl_joint"}


@torch.no_grad()
def test_the_joint_is_the_product_of_what_is_there():
    model, batch = build(), mixed(make_batch())
    heard, looked, joint = model.encode(batch.features)
    for i in range(6):
        experts = [e for e, lacks in ((heard, i == 4), (looked, i == 5)) if not lacks]
        for k in range(3):
            precision, weighted = 1.0, 0.0  # the prior
            for expert in experts:
                own = math.exp(-float(expert.log_variance[i, k]))
                precision, weighted = precision + own, weighted + own * float(expert.mean[i, k])
            assert joint.mean[i, k].item() == pytest.approx(weighted / precision, abs=1e-5)
            assert joint.log_variance[i, k].exp().item() == pytest.approx(1 / precision, rel=1e-5)


@torch.no_grad()
def test_score_is_the_dot_product_of_means():
    model, batch = build(), make_batch()
    clips, words = model.encode(batch.features)[2].mean, model.words(batch.classes.text["words"])[0]
    scores = model.score(batch.features, batch.classes)
    for i in range(6):
        for j in range(4):
            dot = sum(x * y for x, y in zip(clips[i].tolist(), words[j].tolist(), strict=True))
            assert scores[i, j].item() == pytest.approx(dot, abs=1e-5)
    assert torch.equal(scores, model.score(batch.features, batch.classes))  # no draws


@torch.no_grad()
def test_a_clip_with_nothing_is_the_prior():
    model, batch = build(), make_batch()
    nothing = batch.features.only("audio").only("visual")
    joint = model.encode(nothing)[2]
    assert joint.mean.abs().sum() == 0
    assert joint.log_variance.abs().sum() == 0
    assert model.score(nothing, batch.classes).abs().sum() == 0


def test_clips_without_a_modality_do_not_enter_its_batch_statistics():
    full, some, batch = build().train(), build().train(), make_batch()
    for model, features in ((full, batch.features[:4]), (some, mixed(batch).features)):
        model.encode(features)
    first = full.audio_encoder.layer.fc[1].running_mean
    assert not torch.equal(first, some.audio_encoder.layer.fc[1].running_mean)  # the sixth clip has sound
    silent = Features.cat([batch.features[:4], batch.features[4:].only("visual")])
    other = build().train()
    other.encode(silent)
    torch.testing.assert_close(other.audio_encoder.layer.fc[1].running_mean, first)


def test_presets_say_that_they_are_assumed():
    for name in ("ucf-main", "activitynet-main", "vggsound-main"):
        assert "assumed" in get_preset("vib_gzsl", name).source
