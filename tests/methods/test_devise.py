"""DeViSE: the hinge against the formula written as loops, and what the score ranks by."""

import pytest
import torch

from avshot.method import Inputs
from avshot.registry import create_method
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=4, visual=3, text={"words": 5})


def make_batch(size=6, count=4):
    generator = torch.Generator().manual_seed(0)
    text = torch.nn.functional.normalize(torch.randn(count, 5, generator=generator), dim=1)
    classes = Classes(tuple(f"c{i}" for i in range(count)), {"words": text}, torch.ones(count, dtype=torch.bool))
    audio, visual = torch.randn(size, 4, generator=generator), torch.randn(size, 3, generator=generator)
    return Batch(Features.averaged(audio, visual), torch.arange(size) % count, classes)


@pytest.mark.parametrize("normalise", [True, False])
def test_hinge_equals_the_loop_over_clips_and_wrong_classes(normalise):
    torch.manual_seed(0)
    model = create_method("devise", INPUTS, margin=0.3, normalise_inputs=normalise).eval()
    batch = make_batch()
    text, weight = batch.classes.text["words"], model.map.weight.detach()
    total = 0.0
    for clip, label in enumerate(batch.labels.tolist()):
        joined = batch.features.visual[clip, 0].tolist() + batch.features.audio[clip, 0].tolist()
        if normalise:
            length = sum(x * x for x in joined) ** 0.5
            joined = [x / length for x in joined]
        embedded = [sum(float(weight[k, i]) * x for i, x in enumerate(joined)) for k in range(5)]
        scores = [sum(float(text[j, k]) * embedded[k] for k in range(5)) for j in range(len(text))]
        total += sum(max(0.0, 0.3 - scores[label] + scores[j]) for j in range(len(text)) if j != label)
    terms = model.loss(batch)
    assert list(terms) == ["hinge"]
    assert terms["hinge"].item() == pytest.approx(total / len(batch), rel=1e-5)


@torch.no_grad()
def test_score_is_the_negative_distance_or_the_dot_product():
    batch = make_batch()
    text = batch.classes.text["words"]
    torch.manual_seed(0)
    near = create_method("devise", INPUTS).eval()
    embedded = near.map(batch.features)
    expected = torch.stack([-(embedded - row).square().sum(dim=1).sqrt() for row in text], dim=1)
    torch.testing.assert_close(near.score(batch.features, batch.classes), expected)
    torch.manual_seed(0)
    dot = create_method("devise", INPUTS, distance="dot").eval()
    torch.testing.assert_close(dot.score(batch.features, batch.classes), embedded @ text.T)


@torch.no_grad()
def test_a_missing_modality_counts_as_zeros():
    model = create_method("devise", INPUTS, normalise_inputs=False).eval()
    batch = make_batch()
    only = model.map(batch.features.only("audio"))
    torch.testing.assert_close(only, batch.features.audio[:, 0] @ model.map.weight[:, 3:].T)
