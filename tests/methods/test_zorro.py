"""Zorro: its mask against a loop, streams that do not know of each other, and the mean of the fusion tokens."""

import pytest
import torch

from avshot.methods.zorro import zorro_mask
from few_shot_clips import LENGTHS, TOKENS, small, some_features, with_other


def made(**fields):
    return small("zorro", **(TOKENS | {"layers": 2, "fusion_tokens": 3} | fields))


def test_the_mask_against_a_loop():
    kind = torch.tensor([0, 0, 1, 1, 1, 2, 2])
    real = torch.tensor([[True] * 7, [True, True, True, False, False, True, False], [True, True] + [False] * 5])
    mask = zorro_mask(real, kind)
    for i in range(3):
        for row in range(7):
            for column in range(7):
                allowed = kind[row] == 0 or kind[row] == kind[column]
                assert mask[i, row, column].item() == (bool(allowed) and bool(real[i, column]))


@torch.no_grad()
@pytest.mark.parametrize(("changed", "kept"), [("visual", slice(3, 9)), ("audio", slice(9, 14))])
def test_a_stream_does_not_know_of_the_other_one(changed, kept):
    model, features = made(), some_features([(6, 5)] * 3)
    before, fusion = model.fusion(features)
    after, _ = model.fusion(with_other(features, changed))
    same = torch.isclose(before, after, atol=1e-7).all(dim=2)
    assert fusion.tolist() == [True] * 3 + [False] * 11
    assert same[:, kept].all()
    assert same.sum() == 3 * (kept.stop - kept.start)


@torch.no_grad()
def test_streams_do_not_see_the_fusion_tokens():
    model, features = made(), some_features([(6, 5)] * 3)
    before, _ = model.fusion(features)
    model.fusion.fusion_tokens.normal_()
    after, _ = model.fusion(features)
    assert torch.isclose(before, after, atol=1e-7).all(dim=2).tolist() == [[False] * 3 + [True] * 11] * 3


@torch.no_grad()
def test_the_clip_is_the_mean_of_the_fusion_tokens_of_a_loop():
    """Token by token: each layer's attention asked for one query and the keys that it may see."""
    model, features = made(), some_features()
    found = model.embed(features)
    for i in range(len(LENGTHS)):
        audio, visual, _ = model.fusion.steps(features[i])
        x = torch.cat([model.fusion.fusion_tokens, audio, visual])
        kinds = [0] * 3 + [1] * len(audio) + [2] * len(visual)
        for layer in model.fusion.layers:
            normed, rows = layer.norm(x), []
            for row, kind in enumerate(kinds):
                keys = [k for k, other in enumerate(kinds) if kind in (0, other)]
                h = x[row] + layer.attn(normed[None, row : row + 1], normed[None, keys])[0, 0]
                rows.append(h + layer.ff(layer.norm_ff(h)))
            x = torch.stack(rows)
        torch.testing.assert_close(found[i], model.project_output(x[:3].mean(dim=0)[None])[0], atol=1e-5, rtol=1e-4)
    assert found.std(dim=0).max() > 1e-3


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="fusion_tokens is 0"):
        made(fusion_tokens=0)
