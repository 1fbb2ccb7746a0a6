"""Clips, classes and small models for tests of methods that classify among base and novel classes."""

import math

import torch

from avshot.method import Inputs
from avshot.registry import create_method
from avshot.types import Batch, Classes, Features
from shaken import shaken

AUDIO, VISUAL, TEXT = 5, 7, 6
NAMES = ("dog", "cat", "bell", "drum")  # the last two are novel
LENGTHS = [(3, 4), (1, 1), (4, 0), (0, 2), (6, 5)]  # audio and visual steps of five clips; 0 = missing
LABELS = (0, 1, 2, 3, 2)
ENCODERS = {"dim": 12, "encoder_hidden": 9, "visual_scaling": "none", "dim_out": 8, "project_hidden": 8}
TOKENS = ENCODERS | {"position_dim": 8, "heads": 2, "head_dim": 4, "feedforward": 6}


def some_classes():
    text = torch.randn(len(NAMES), TEXT, generator=torch.Generator().manual_seed(2))
    return Classes(NAMES, {"w2v": text}, torch.tensor([True, True, False, False]))


def some_features(lengths=LENGTHS, seed=1):
    """Clips of `lengths` (audio, visual) steps."""
    generator = torch.Generator().manual_seed(seed)
    audio, visual = (
        [torch.randn(n, dim, generator=generator) for n in part]
        for part, dim in zip(zip(*lengths, strict=True), (AUDIO, VISUAL), strict=True)
    )
    times = [[torch.arange(len(clip)) * step for clip in part] for part, step in ((audio, 0.96), (visual, 0.64))]
    return Features.from_sequences(audio, visual, *times, dims=(AUDIO, VISUAL))


def some_batch():
    return Batch(some_features(), torch.tensor(LABELS), some_classes())


def with_other(features, side, seed=9):
    """The same clips with other values in the modality `side`."""
    value = torch.randn(getattr(features, side).shape, generator=torch.Generator().manual_seed(seed))
    parts = {key: getattr(features, key) for key in ("audio", "visual", "audio_mask", "visual_mask")}
    return Features(**(parts | {side: value}), audio_time=features.audio_time, visual_time=features.visual_time)


def small(name, preset="ucf-fsl", **fields):
    """A method built small, in eval mode, with batch norms that matter."""
    torch.manual_seed(0)
    return shaken(create_method(name, Inputs(AUDIO, VISUAL, {"w2v": TEXT}, NAMES), preset=preset, **fields))


def cross_entropy(logits, label):
    """Of one row, by hand."""
    return math.log(sum(math.exp(float(z)) for z in logits)) - float(logits[label])


def naive_head(model, value):
    """Logits of one vector by the classifier's weights."""
    weight, bias = model.head.weight.tolist(), model.head.bias.tolist()
    return [
        sum(w * x for w, x in zip(row, value.tolist(), strict=True)) + b for row, b in zip(weight, bias, strict=True)
    ]
