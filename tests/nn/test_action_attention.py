"""Attention over time with a word as the query, against loops over heads and steps."""

import pytest
import torch

from avshot.nn.action_attention import ActionAttention, ActionVideo, VideoConfig
from avshot.types import Features
from naive_pairs import naive_attention
from pair_classes import AUDIO, LENGTHS, TEXT, VISUAL, padded, some_features

FORMS = [{}, {"bias": True}, {"shared": True, "bias": True}, {"shared": True}]


def made(query=TEXT, key=VISUAL, heads=2, dropout=0.0, **form):
    torch.manual_seed(0)
    return ActionAttention(query, key, 7, heads=heads, head_dim=4, dropout=dropout, **form)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_attention_against_a_loop(form, alike, count):
    """One query takes another way than several; both give what the formula says."""
    model, features = made(**form), some_features()
    words = torch.randn(1 if alike else len(features), count, TEXT, generator=torch.Generator().manual_seed(1))
    found = model(words, features.visual, features.visual_mask)
    assert found.shape == (len(features), count, 7)
    for i, (_, length) in enumerate(LENGTHS):
        for a in range(count):
            expected = naive_attention(model, words[0 if alike else i, a], features.visual[i, :length])
            torch.testing.assert_close(found[i, a], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_both_ways_have_the_same_gradients(form):
    model, features = made(**form).double(), some_features()
    words = torch.randn(len(features), 1, TEXT, generator=torch.Generator().manual_seed(1)).double()
    visual = features.visual.double().requires_grad_()
    wanted = [visual, *model.parameters()]
    found = []
    for copies in (1, 2):  # the second word twice: the way of several queries
        out = model(words.expand(-1, copies, -1), visual, features.visual_mask)[:, 0]
        found.append(torch.autograd.grad(out.square().sum(), wanted))
    for one, many in zip(*found, strict=True):
        torch.testing.assert_close(one, many)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 3])
def test_a_clip_without_steps_gives_the_last_bias(count):
    model, features = made(), some_features([(1, 0), (1, 2)])
    found = model(torch.randn(1, count, TEXT), features.visual, features.visual_mask)
    torch.testing.assert_close(found[0], model.out.bias.expand(count, -1))
    assert not torch.allclose(found[1], model.out.bias.expand(count, -1))


def test_dropout_hides_steps_in_training_alone():
    model, features = made(dropout=0.5), some_features()
    words = torch.randn(1, 1, TEXT)
    first, second = (model(words, features.visual, features.visual_mask) for _ in range(2))
    assert not torch.allclose(first, second)
    model.eval()
    first, second = (model(words, features.visual, features.visual_mask) for _ in range(2))
    assert torch.equal(first, second)


def test_shared_heads_cut_evenly_or_say_so():
    with pytest.raises(ValueError, match=r"\(width 6\) and steps \(width 9\) into 2 pieces, which does not come out"):
        made(key=9, shared=True)


# --- clips ------------------------------------------------------------------------------------------------------------


def video(**fields):
    torch.manual_seed(0)
    config = VideoConfig(**{"heads": 2, "head_dim": 4, "audio": True, "dropout_video": 0.0, **fields})
    return ActionVideo(config, {"audio": AUDIO, "visual": VISUAL}, TEXT, 7)


@torch.no_grad()
def test_sound_and_picture_are_averaged_where_both_are_there():
    model, features = video().eval(), some_features([(3, 2), (0, 4), (2, 0), (0, 0)])
    words = torch.randn(1, 2, TEXT, generator=torch.Generator().manual_seed(1))
    found = model(features, words)
    for i, lengths in enumerate([(3, 2), (0, 4), (2, 0)]):
        parts = []
        for name, length in zip(("audio", "visual"), lengths, strict=True):
            steps = getattr(features, name)[i, :length]
            parts += (
                [torch.stack([naive_attention(model.attention[name], word, steps) for word in words[0]])]
                if length
                else []
            )
        torch.testing.assert_close(found[i], torch.stack(parts).mean(dim=0), atol=1e-5, rtol=1e-4)
    assert not found[3].any()


@torch.no_grad()
def test_without_audio_the_sound_changes_nothing():
    model, features = video(audio=False).eval(), some_features()
    assert "audio" not in model.attention
    other = some_features(seed=3)
    mixed = Features(**{**features.__dict__, "audio": other.audio})
    words = torch.randn(1, 2, TEXT)
    assert torch.equal(model(features, words), model(mixed, words))


@torch.no_grad()
@pytest.mark.parametrize("scaling", ["none", "standardise", "features"])
def test_neither_batch_nor_order_nor_padding_matters(scaling):
    model, features = video(scaling=scaling), some_features()
    model.train()(features, torch.randn(1, 1, TEXT))  # batch statistics
    model.eval()
    words = torch.randn(1, 3, TEXT)
    found = model(features, words)
    torch.testing.assert_close(model(padded(features), words), found, atol=1e-6, rtol=1e-5)
    order = torch.tensor([5, 0, 2, 4, 1, 3])
    torch.testing.assert_close(model(features.take(order), words), found[order], atol=1e-6, rtol=1e-5)
    for i in range(len(features)):
        torch.testing.assert_close(model(features[i], words)[0], found[i], atol=1e-6, rtol=1e-5)
