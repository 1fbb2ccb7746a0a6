"""Nearest text: cosines against loops, which text belongs to which modality, and clips that lack one."""

import math

import pytest
import torch

from avshot.method import Inputs
from avshot.registry import create_method
from avshot.types import Classes, Features

INPUTS = Inputs(audio=4, visual=3, text={"clip": 3, "clap": 4})


def make_clips(size=5, count=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    text = {name: torch.randn(count, width, generator=generator) for name, width in INPUTS.text.items()}
    classes = Classes(tuple(f"c{i}" for i in range(count)), text, torch.ones(count, dtype=torch.bool))
    audio, visual = (torch.randn(size, 2, width, generator=generator) for width in (4, 3))
    mask, time = torch.ones(size, 2, dtype=torch.bool), torch.arange(2.0).expand(size, 2)
    return Features(audio, visual, mask, mask.clone(), time, time.clone()), classes


def cosine(x, y):
    length = math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))
    return sum(a * b for a, b in zip(x, y, strict=True)) / length


def cosines(values, text):
    """Cosine of the mean over time with every class text, number by number."""
    means = [[(a + b) / 2 for a, b in zip(*clip, strict=True)] for clip in values.tolist()]
    return torch.tensor([[cosine(x, row) for row in text.tolist()] for x in means])


@pytest.mark.parametrize("weight", [0.5, 0.2, 1.0, 0.0])
def test_the_score_is_the_weighted_mean_of_cosines(weight):
    features, classes = make_clips()
    model = create_method("nearest_text", INPUTS, visual_weight=weight)
    heard, seen = cosines(features.audio, classes.text["clap"]), cosines(features.visual, classes.text["clip"])
    torch.testing.assert_close(model.score(features, classes), (1 - weight) * heard + weight * seen)


def test_a_clip_that_lacks_a_modality_is_judged_by_the_other():
    features, classes = make_clips()
    heard, seen = cosines(features.audio, classes.text["clap"]), cosines(features.visual, classes.text["clip"])
    model = create_method("nearest_text", INPUTS, visual_weight=0.3)
    torch.testing.assert_close(model.score(features.only("audio"), classes), heard)
    torch.testing.assert_close(model.score(features.only("visual"), classes), seen)
    neither = features.only("audio").only("visual")
    assert torch.equal(model.score(neither, classes), torch.zeros(5, 6))
    picture_alone = create_method("nearest_text", INPUTS, visual_weight=1.0)
    assert torch.equal(picture_alone.score(features.only("audio"), classes), torch.zeros(5, 6))


def test_a_text_in_its_own_place_is_found():
    """Clips made of class texts alone: every one of them is nearest to its own class."""
    _, classes = make_clips(count=20)
    features = Features.averaged(3 * classes.text["clap"], 0.1 * classes.text["clip"])
    model = create_method("nearest_text", INPUTS)
    assert model.score(features, classes).argmax(dim=1).tolist() == list(range(20))
    torch.testing.assert_close(model.score(features, classes).diagonal(), torch.ones(20))


@pytest.mark.parametrize(
    ("text", "audio_text", "visual_text"),
    [
        ({"clip:base": 3, "clap:htsat": 4}, "clap:htsat", "clip:base"),
        ({"wordllama": 3}, None, "wordllama"),  # the only one as wide
        ({"wordllama": 3, "clip": 3}, None, "clip"),  # the name decides
        ({"clip": 4, "clap": 4}, "clap", None),
        ({"clip": 3, "clap": 3}, None, "clip"),  # a CLAP text is none for pictures
    ],
)
def test_which_text_belongs_to_which_modality(text, audio_text, visual_text):
    model = create_method("nearest_text", Inputs(4, 3, text))
    assert (model.audio_text, model.visual_text) == (audio_text, visual_text)


def test_one_space_for_everything():
    model = create_method("nearest_text", Inputs(4, 4, {"imagebind": 4}))
    assert (model.audio_text, model.visual_text) == ("imagebind", "imagebind")
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(3, 4, generator=generator)
    classes = Classes(("a", "b", "c"), {"imagebind": text}, torch.ones(3, dtype=torch.bool))
    scores = model.score(Features.averaged(text, text), classes)
    torch.testing.assert_close(scores.diagonal(), torch.ones(3))


def test_texts_can_be_named():
    inputs = Inputs(4, 3, {"words": 3, "vectors": 3})
    with pytest.raises(ValueError, match="words and vectors are as wide as the visual features; name one as visual_"):
        create_method("nearest_text", inputs)
    assert create_method("nearest_text", inputs, visual_text="vectors").visual_text == "vectors"
    with pytest.raises(ValueError, match="as wide as the audio features, 4; texts: words 3, vectors 3"):
        create_method("nearest_text", inputs, visual_text="words", audio_text="words")
    assert create_method("nearest_text", INPUTS, audio_text="none").audio_text is None


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="none fits: audio is 128 wide, visual 4096, the texts w2v 300"):
        create_method("nearest_text", Inputs(128, 4096, {"w2v": 300}))
    with pytest.raises(ValueError, match=r"visual_weight is 1\.5"):
        create_method("nearest_text", INPUTS, visual_weight=1.5)


def test_it_has_nothing_to_learn():
    model = create_method("nearest_text", INPUTS)
    assert model.phases() == ()
    assert not model.state_dict()
    assert not model.adapts()
