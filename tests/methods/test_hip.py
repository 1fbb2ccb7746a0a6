"""HiP: groups against a loop, levels against their formulas clip by clip, and what may mix with what."""

import pytest
import torch

from avshot.methods.hip import parts
from few_shot_clips import LENGTHS, TOKENS, small, some_features, with_other

FIELDS = TOKENS | {"latents": 8, "cross_head_dim": 4}


def made(**fields):
    return small("hip", **(FIELDS | fields))


def test_parts_against_a_loop():
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(20, 17, generator=generator) < 0.6
    mask[0], mask[1, :9] = False, False
    modality = torch.tensor([1] * 9 + [2] * 8)
    for count in (1, 2, 3, 20):
        found = parts(mask, modality, count)
        for i in range(20):
            for side in (1, 2):
                places = [t for t in range(17) if mask[i, t] and modality[t] == side]
                for k, t in enumerate(places):
                    assert found[i, t] == (side - 1) * count + int(k * count / len(places))
        assert (found[~mask] == -1).all()


def naive_fused(model, features):
    """The first latent of one clip: groups as lists of tokens, one after the other; attentions are the model's own."""
    tokens, mask, modality = model.fusion.tokens(features)
    lists = []
    for side in (1, 2):
        rows = tokens[0][mask[0] & (modality == side)]
        lists += [rows[[k for k in range(len(rows)) if int(k * 2 / len(rows)) == part]] for part in (0, 1)]
    for level, groups in zip(model.fusion.levels, (4, 2, 1), strict=True):
        merged = len(lists) // groups
        lists = [torch.cat(lists[g * merged : (g + 1) * merged]) for g in range(groups)]
        above = []
        for latents, read in zip(level.latents, lists, strict=True):
            x = latents[None]
            # A level whose group is empty says nothing to the next one.
            if len(read) == 0:
                above.append(read)
                continue
            x = x + level.look(level.norm_latents(x), level.norm_read(read[None]))
            x = x + level.ff(level.norm_ff(x))
            for layer in level.among:
                x = layer(x)
            above.append(x[0])
        lists = above
    return lists[0][0]


@torch.no_grad()
def test_the_clip_is_the_first_latent_of_the_last_level():
    model, features = made(), some_features()
    fused = model.fusion(features)
    for i in range(len(LENGTHS)):
        torch.testing.assert_close(fused[i], naive_fused(model, features[i]), atol=1e-5, rtol=1e-4)
    assert fused.std(dim=0).min() > 1e-3


@torch.no_grad()
def test_sound_and_picture_meet_in_the_last_level_only():
    model, features = made(), some_features([(6, 5)] * 3)
    seen = []
    hooks = [level.register_forward_hook(lambda m, args, out: seen.append(out[0])) for level in model.fusion.levels]
    for clips in (features, with_other(features, "visual")):
        model.fusion(clips)
    for hook in hooks:
        hook.remove()
    for level in (0, 1):
        same = (seen[level] == seen[3 + level]).all(dim=2)
        assert same[:, :4].all()  # the first half of the latents are those of sound
        assert not same[:, 4:].any()
    assert not (seen[2] == seen[5]).all(dim=2).any()


@torch.no_grad()
def test_a_clip_with_nothing_still_has_a_score():
    model = made()
    nothing = some_features([(0, 0), (2, 2)])
    fused = model.fusion(nothing)
    assert fused.isfinite().all()
    assert torch.equal(fused[0], model.fusion(nothing[0])[0])


def test_sizes_and_errors():
    model = made(groups=(8, 4, 1), latents=16)
    assert [tuple(level.latents.shape) for level in model.fusion.levels] == [(8, 2, 12), (4, 4, 12), (1, 16, 12)]
    for groups in ((3, 1), (4, 3, 1), (4, 2), (1,), (), (4, 0, 1)):
        with pytest.raises(ValueError, match="expected an even number first"):
            made(groups=groups)
    with pytest.raises(ValueError, match="latents is 6; expected a multiple of the 4 groups"):
        made(latents=6)
