"""The tower against a naive one: every place, head and pair of numbers by itself, written from timm's definition."""

import cmath
import math

import numpy as np
import pytest
import torch

from avshot.errors import BadSetting
from avshot.nn.pe_core import SIZES, PeCore, PeCoreSize, rotations, size_of
from joint_models import shaken, timm_names

TINY = PeCoreSize(patch=4, width=16, depth=2, heads=2, image=8, reference=3, outputs=5)


def normalised(x, weights, name):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def perceptron(x, weights, name):
    return linear(gelu(linear(x, weights, f"{name}.fc1")), weights, f"{name}.fc2")


def attention(query, keys, values):
    scores = np.array([query @ key for key in keys]) / math.sqrt(len(query))
    shares = np.exp(scores - scores.max())
    return (shares / shares.sum()) @ values


def turned(vector, place, side, reference):
    """One head of the patch at `place`, by multiplication of complex numbers."""
    row, column = divmod(place, side)
    quarter, out = len(vector) // 4, vector.copy()
    for pair in range(len(vector) // 2):
        at = (column if pair < quarter else row) + 1
        angle = at / side * reference * 10000.0 ** (-(pair % quarter) / quarter)
        number = complex(vector[2 * pair], vector[2 * pair + 1]) * cmath.exp(1j * angle)
        out[2 * pair], out[2 * pair + 1] = number.real, number.imag
    return out


def naive(weights, pixels, size):
    side, head = size.image // size.patch, size.width // size.heads
    patches = [
        pixels[:, r * size.patch : (r + 1) * size.patch, c * size.patch : (c + 1) * size.patch]
        for r in range(side) for c in range(side)
    ]  # fmt: skip
    kernel = weights["patch_embed.proj.weight"].reshape(size.width, -1)
    x = np.stack([weights["cls_token"][0, 0], *(kernel @ patch.reshape(-1) for patch in patches)])
    x = normalised(x + weights["pos_embed"][0], weights, "norm_pre")
    for depth in range(size.depth):
        name = f"blocks.{depth}"
        qkv = linear(normalised(x, weights, f"{name}.norm1"), weights, f"{name}.attn.qkv")
        mixed = np.zeros_like(x)
        for h in range(size.heads):
            at = slice(h * head, (h + 1) * head)
            q, k, v = (part[:, at].copy() for part in np.split(qkv, 3, axis=1))
            for place in range(1, len(x)):
                q[place] = turned(q[place], place - 1, side, size.reference)
                k[place] = turned(k[place], place - 1, side, size.reference)
            mixed[:, at] = [attention(one, k, v) for one in q]
        x = x + linear(mixed, weights, f"{name}.attn.proj")
        x = x + perceptron(normalised(x, weights, f"{name}.norm2"), weights, f"{name}.mlp")
    x = normalised(x, weights, "norm")
    query = linear(weights["attn_pool.latent"][0, 0], weights, "attn_pool.q")
    keys, values = np.split(linear(x, weights, "attn_pool.kv"), 2, axis=1)
    cuts = [slice(h * size.width // 8, (h + 1) * size.width // 8) for h in range(8)]
    found = np.concatenate([attention(query[at], keys[:, at], values[:, at]) for at in cuts])
    found = linear(found, weights, "attn_pool.proj")
    found = found + perceptron(normalised(found, weights, "attn_pool.norm"), weights, "attn_pool.mlp")
    return linear(found, weights, "head")


def test_the_tower_equals_the_naive_one():
    tower = shaken(PeCore(TINY))
    pixels = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    weights = {name: value.double().numpy() for name, value in tower.state_dict().items()}
    expected = np.stack([naive(weights, one.double().numpy(), TINY) for one in pixels])
    with torch.no_grad():
        np.testing.assert_allclose(tower(pixels).numpy(), expected, atol=1e-4)


def test_sizes_of_released_towers():
    assert size_of({"architecture": "vit_pe_core_large_patch14_336", "num_classes": 1024}) == PeCoreSize(
        14, 1024, 24, 16, 336, 24, 1024
    )
    assert all(size.image // size.patch == size.reference for size in SIZES.values())
    assert size_of(timm_names(side=28, outputs=7)) == PeCoreSize(14, 32, 2, 4, 28, 24, 7)
    with torch.device("meta"):
        tower = PeCore(SIZES["vit_pe_core_large_patch14_336"])
    assert sum(parameter.numel() for parameter in tower.parameters()) == pytest.approx(0.32e9, rel=0.02)  # as published


def test_a_row_as_long_as_the_reference_counts_from_one():
    angles = rotations(2, 8, 2)
    np.testing.assert_allclose(angles[:, 0], [1, 2, 1, 2])
    np.testing.assert_allclose(angles[:, 2], [1, 1, 2, 2])


@pytest.mark.parametrize(
    ("vision", "words"),
    [
        ({"architecture": "resnet50"}, "picture tower is 'resnet50'; known: vit_pe_core_tiny"),
        ({"architecture": "vit_pe_core_base_patch16_224", "model_args": {"init_values": 0.1}}, "init_values=0.1"),
        ({"architecture": "vit_pe_core_base_patch16_224", "model_args": {"global_pool": ""}}, "global_pool=''"),
    ],
)
def test_towers_of_another_make_are_refused(vision, words):
    with pytest.raises(BadSetting, match=words):
        size_of(vision)
