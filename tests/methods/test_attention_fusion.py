"""Attention fusion against the formulas of the thesis, clip by clip."""

import dataclasses
import itertools
import math

import pytest
import torch

from avshot.method import Inputs
from avshot.registry import create_method, get_preset
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(5, 7, {"w2v": 6})
SMALL = {"dim": 12, "encoder_hidden": 9, "dim_out": 4, "decoder_hidden": 8}


def some_classes(count=4):
    text = torch.randn(count, 6, generator=torch.Generator().manual_seed(2))
    return Classes(tuple(f"c{i}" for i in range(count)), {"w2v": text}, torch.ones(count, dtype=torch.bool))


def some_features(lengths):
    """Clips of `lengths` (audio, visual) steps; 0 = missing."""
    generator = torch.Generator().manual_seed(1)
    audio = [torch.rand(n, 5, generator=generator) for n, _ in lengths]
    visual = [torch.rand(n, 7, generator=generator) for _, n in lengths]
    return Features.from_sequences(audio, visual, [None] * len(lengths), [None] * len(lengths), dims=(5, 7))


def small(**fields):
    """A published model made small, in eval mode, with batch norms that matter."""
    torch.manual_seed(0)
    model = create_method("attention_fusion", INPUTS, preset="ucf-cls", **(SMALL | fields))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, 0.0, 0.5)
    return model.eval()


def naive_fused(model, audio, visual):
    """Thesis B.1.1 for one clip in float64; `audio [time, 5]`, `visual [time, 7]`, perhaps without steps."""
    w = {name: value.double() for name, value in model.fusion.state_dict().items()}

    def encode(name, x):
        for i in (0, 4):
            x = x @ w[f"{name}.fc.{i}.weight"].T + w[f"{name}.fc.{i}.bias"]
            n = f"{name}.fc.{i + 1}"
            x = (x - w[f"{n}.running_mean"]) / (w[f"{n}.running_var"] + 1e-5).sqrt()
            x = (x * w[f"{n}.weight"] + w[f"{n}.bias"]).clamp(min=0)
        return sum(x) / len(x)

    audio, visual = audio.double() / 255, visual.double()
    if len(visual) == 0:
        return encode("audio_encoder", audio)
    phi_v = encode("visual_encoder", visual / visual.square().sum(dim=0).sqrt())  # TCaF's slip: over time
    if len(audio) == 0:
        return phi_v
    phi_a = encode("audio_encoder", audio)
    logits = w["attention.weight"] @ torch.cat([phi_a, phi_v]) + w["attention.bias"]
    alpha = [1 / (1 + math.exp(-float(z))) for z in logits]
    return torch.stack([p * a + (1 - p) * v for p, a, v in zip(alpha, phi_a, phi_v, strict=True)])


LENGTHS = [(3, 4), (1, 1), (4, 0), (0, 2), (2, 5)]


@torch.no_grad()
def test_the_mix_of_the_formula():
    model, features = small(), some_features(LENGTHS)
    fused = model.fused(features)
    for i, (a, v) in enumerate(LENGTHS):
        expected = naive_fused(model, features.audio[i, :a], features.visual[i, :v])
        torch.testing.assert_close(fused[i].double(), expected, atol=1e-5, rtol=1e-5)
    assert fused.std(dim=0).max() > 0.01


@torch.no_grad()
def test_weights_differ_by_channel_and_clip():
    model, features = small(), some_features([(3, 4), (2, 2)])
    torch.nn.init.normal_(model.fusion.attention.weight)
    audio, visual = model.fusion.encode(features)
    a = torch.stack([audio[:3].mean(dim=0), audio[3:].mean(dim=0)])
    v = torch.stack([visual[:4].mean(dim=0), visual[4:].mean(dim=0)])
    alpha = (model.fused(features) - v) / (a - v)
    known = (a - v).abs() > 1e-3
    assert ((alpha[known] > 0) & (alpha[known] < 1)).all()
    assert alpha[0][known[0]].std() > 0.01


@torch.no_grad()
def test_loss_terms_and_scores_against_loops():
    model, features, classes = small(), some_features(LENGTHS), some_classes()
    labels, text = torch.tensor([0, 1, 2, 3, 1]), classes.text["w2v"]
    terms, scores = model.loss(Batch(features, labels, classes)), model.score(features, classes)
    theta_w = [[float(x) for x in row] for row in model.project_text(text)]
    rho_w, n = model.decode_text(model.project_text(text)), len(labels)
    ce = reg = rec = 0.0
    for i, (y, (a, v)) in enumerate(zip(labels.tolist(), LENGTHS, strict=True)):
        fused = naive_fused(model, features.audio[i, :a], features.visual[i, :v]).float()
        theta = [float(x) for x in model.project_output(fused[None])[0]]
        rho = model.decode_output(torch.tensor([theta]))[0]
        logits = [sum(p * q for p, q in zip(theta, row, strict=True)) for row in theta_w]
        ce += (math.log(sum(math.exp(z) for z in logits)) - logits[y]) / n
        reg += sum((p - q) ** 2 for p, q in zip(theta, theta_w[y], strict=True)) / (n * len(theta))
        for d in range(text.shape[1]):
            rec += float((rho[d] - text[y, d]) ** 2 + (rho_w[y, d] - text[y, d]) ** 2) / (n * text.shape[1])
        for j, row in enumerate(theta_w):
            apart = math.sqrt(sum((p - q) ** 2 for p, q in zip(theta, row, strict=True)))
            assert scores[i, j].item() == pytest.approx(-apart, rel=1e-3, abs=1e-5)
    for name, value in (("cross_entropy", ce), ("regression", reg), ("reconstruction", rec)):
        assert terms[name].item() == pytest.approx(value, rel=1e-4), name


def test_size_is_that_of_tcaf_without_its_transformer():
    with torch.device("meta"):
        model = create_method("attention_fusion", Inputs(128, 4096, {"w2v": 300}), preset="ucf-cls")
    blocks = [(128, 512, 300), (4096, 512, 300), (300, 512, 64), (64, 512, 300), (300, 64), (64, 300)]
    dense = sum(i * o + 3 * o for block in blocks for i, o in itertools.pairwise(block))
    assert sum(p.numel() for p in model.parameters()) == dense + 600 * 300 + 300


def test_settings_are_those_of_tcaf():
    for name in ("ucf-cls", "activitynet-cls", "vggsound-cls"):
        ours, theirs = get_preset("attention_fusion", name), get_preset("tcaf", name)
        assert ours.recipe == theirs.recipe
        fields = set(dataclasses.asdict(ours.config)) & {field.name for field in dataclasses.fields(theirs.config)}
        assert {"dim", "dropout_encoder", "dropout_output", "train_visual_steps", "visual_scaling"} <= fields
        assert all(getattr(ours.config, field) == getattr(theirs.config, field) for field in fields)


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="drop_modality is 1"):
        small(drop_modality=1.0)
    with pytest.raises(ValueError, match="no field 'layers'"):
        small(layers=2)
