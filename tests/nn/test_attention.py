import pytest
import torch

from avshot.nn.attention import Attention, TransformerLayer
from avshot.nn.packing import lay_out


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("cross", ["0011", "0011", "1111", "1110"]),
        ("self", ["1110", "1110", "1111", "0011"]),
        ("full", ["1111", "1111", "1111", "1111"]),
    ],
)
def test_patterns_are_the_blocks_of_the_thesis(pattern, expected):
    """What a token looks at is what its output has a gradient to; two audio tokens, class token, one visual token."""
    torch.manual_seed(0)
    layer, rows = Attention(6, 2, 5), torch.randn(4, 6, requires_grad=True)
    real = torch.ones(1, 2, dtype=torch.bool)
    layout = lay_out(real, real[:, :1], class_token=True)
    found = []
    for i in range(4):
        (gradient,) = torch.autograd.grad(layer.over(rows, layout, pattern)[i].sum(), rows)
        looked = gradient.abs().sum(dim=1) > 0
        looked[i] = expected[i][i] == "1"  # its own query always has an influence
        found.append("".join(str(int(v)) for v in looked))
    assert found == expected


@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("pattern", ["cross", "self", "full"])
def test_rows_of_a_layout_against_a_mask(pattern, class_token):
    torch.manual_seed(0)
    layer = Attention(6, 2, 5).double()
    lengths = [(3, 2), (0, 4), (5, 0), (1, 1), (3, 2), (4, 6), (0, 0)]
    masks = [torch.arange(7) < torch.tensor(side)[:, None] for side in zip(*lengths, strict=True)]
    layout = lay_out(*masks, class_token=class_token)
    rows = torch.randn(layout.rows, 6, dtype=torch.float64, requires_grad=True)
    out = layer.over(rows, layout, pattern)
    weight = torch.randn_like(out)
    real = [layout.audio_at, layout.visual_at, layout.class_at]
    kept = torch.cat(real)
    gradient = torch.autograd.grad((out * weight)[kept].sum(), [rows, *layer.parameters()])
    # The same, clip by clip and pair by pair.
    clip_of = torch.cat([mask.nonzero()[:, 0] for mask in masks] + [torch.arange(len(layout.class_at))])
    kind = torch.repeat_interleave(torch.tensor([1, 2, 0]), torch.tensor([len(part) for part in real]))
    with_class = (kind[:, None] == 0) | (kind == 0)
    blocks = {"full": torch.ones_like(with_class), "self": kind[:, None] == kind, "cross": kind[:, None] != kind}
    mask = (with_class | blocks[pattern]) & (clip_of[:, None] == clip_of)
    plain = layer(rows[kept][None], rows[kept][None], mask[None])[0]
    torch.testing.assert_close(out[kept], plain)
    expected = torch.autograd.grad((plain * weight[kept]).sum(), [rows, *layer.parameters()])
    for ours, theirs in zip(gradient, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_queries_look_at_all_rows_of_their_clip():
    torch.manual_seed(0)
    layer = Attention(6, 2, 5).double()
    lengths = [(3, 2), (0, 4), (5, 0), (4, 1)]
    masks = [torch.arange(5) < torch.tensor(side)[:, None] for side in zip(*lengths, strict=True)]
    layout = lay_out(*masks, class_token=False)
    rows = torch.randn(layout.rows, 6, dtype=torch.float64)
    for query in (torch.randn(1, 3, 6).double(), torch.randn(4, 3, 6).double()):
        found = layer.look(query, rows, layout)
        for i in range(4):
            places = zip((layout.audio_at, layout.visual_at), masks, strict=True)
            mine = [at[mask.nonzero()[:, 0] == i] for at, mask in places]
            alone = layer(query[i % len(query)][None], rows[torch.cat(mine)][None])
            torch.testing.assert_close(found[i], alone[0])


@torch.no_grad()
def test_attention_against_loops():
    torch.manual_seed(0)
    layer = Attention(6, 2, 5).eval()
    query, key = torch.randn(1, 3, 6), torch.randn(2, 7, 6)
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


def test_one_norm_or_two():
    shared = TransformerLayer(6, heads=2, head_dim=3, feedforward=4)
    own = TransformerLayer(6, heads=2, head_dim=3, feedforward=4, shared_norm=False)
    assert sum("norm" in name for name, _ in shared.named_parameters()) == 2
    assert sum("norm" in name for name, _ in own.named_parameters()) == 4
    own.load_state_dict(shared.state_dict(), strict=False)
    own.norm_ff.load_state_dict(shared.norm.state_dict())
    tokens, mask = torch.randn(2, 5, 6), torch.ones(2, 5, 5, dtype=torch.bool)
    torch.testing.assert_close(own(tokens, mask), shared(tokens, mask))
