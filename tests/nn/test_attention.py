import pytest
import torch

from avshot.nn.attention import Attention, TransformerLayer, pattern_mask

KINDS = torch.tensor([0, 1, 1, 2])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("cross", ["1111", "1001", "1001", "1110"]),
        ("self", ["1111", "1110", "1110", "1001"]),
        ("full", ["1111", "1111", "1111", "1111"]),
    ],
)
def test_patterns_are_the_blocks_of_the_thesis(pattern, expected):
    real = torch.ones(1, 4, dtype=torch.bool)
    rows = ["".join(str(int(v)) for v in row) for row in pattern_mask(pattern, KINDS, real)[0]]
    assert rows == expected
    hidden = torch.tensor([[True, True, False, True]])
    assert not pattern_mask(pattern, KINDS, hidden)[0][:, 2].any()


def test_unknown_pattern():
    with pytest.raises(ValueError, match="'both'"):
        pattern_mask("both", KINDS, torch.ones(1, 4, dtype=torch.bool))


@torch.no_grad()
def test_attention_against_loops():
    torch.manual_seed(0)
    layer = Attention(6, 2, 5, dim_key=4).eval()
    query, key = torch.randn(1, 3, 6), torch.randn(2, 7, 4)
    mask = torch.rand(2, 3, 7) > 0.5
    mask[1, 2] = False  # may look at nothing
    out = layer(query, key, mask)
    for c in range(2):
        q, k, v = layer.to_q(query[0]), layer.to_k(key[c]), layer.to_v(key[c])
        for i in range(3):
            heads = []
            for h in (slice(0, 5), slice(5, 10)):
                weight = torch.tensor([float(q[i, h] @ k[j, h]) / 5**0.5 for j in range(7)]).exp() * mask[c, i]
                total = weight.sum()
                heads.append((weight / total if total > 0 else weight) @ v[:, h])
            torch.testing.assert_close(out[c, i], layer.to_out(torch.cat(heads)), atol=1e-5, rtol=1e-5)


def test_nothing_to_look_at_gives_a_finite_gradient():
    layer = Attention(6, 2, 5)
    value = torch.randn(1, 3, 6, requires_grad=True)
    layer(value, value, torch.zeros(1, 3, 3, dtype=torch.bool)).sum().backward()
    assert torch.isfinite(value.grad).all()


def test_weights_agree_with_the_output():
    torch.manual_seed(0)
    layer = Attention(6, 1, 5).eval()
    value = torch.randn(2, 4, 6)
    mask = torch.ones(2, 1, 4, dtype=torch.bool)
    mask[0, 0, 3] = False
    weights = layer.weights(value, value, mask)
    torch.testing.assert_close(layer.to_out(weights @ layer.to_v(value)), layer(value, value, mask))


def test_one_norm_or_two():
    shared = TransformerLayer(6, heads=2, head_dim=3, feedforward=4)
    own = TransformerLayer(6, heads=2, head_dim=3, feedforward=4, shared_norm=False)
    assert sum("norm" in name for name, _ in shared.named_parameters()) == 2
    assert sum("norm" in name for name, _ in own.named_parameters()) == 4
    own.load_state_dict(shared.state_dict(), strict=False)
    own.norm_ff.load_state_dict(shared.norm.state_dict())
    tokens, mask = torch.randn(2, 5, 6), torch.ones(2, 5, 5, dtype=torch.bool)
    torch.testing.assert_close(own(tokens, mask), shared(tokens, mask))
