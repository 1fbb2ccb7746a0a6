"""The residual gate over the table of pairs, against torch's layers on the whole table and against eq. 6.1 by loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from avshot.nn.pair_table import Form, PairNetwork, Table, TableNorm
from avshot.nn.pair_text import PairText, TextConfig
from naive_pairs import naive_text
from pair_classes import ACTIONS, ADVERBS, TEXT, pairs

TIRG = Form(slope=0.0, relu_first=True, weights=(1.0, 10.0))


def whole_table(main, aux):
    """All rows `[main value * aux value, 2 dim]`."""
    return torch.cat([main[:, None].expand(-1, len(aux), -1), aux[None].expand(len(main), -1, -1)], dim=2).flatten(0, 1)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 100))
def test_the_norm_is_torchs_over_the_whole_table(mains, auxs, seed):
    torch.manual_seed(seed)
    own, theirs = TableNorm(3).double(), nn.BatchNorm1d(6).double()  # a constant column magnifies rounding
    own.load_state_dict(theirs.state_dict())
    for module in (own, theirs):
        with torch.no_grad():
            module.weight.copy_(torch.linspace(0.5, 2, 6))
            module.bias.copy_(torch.linspace(-1, 1, 6))
    main, aux = (3 + torch.randn(n, 3, dtype=torch.float64) for n in (mains, auxs))
    counts = Table(torch.zeros(0), torch.zeros(0), torch.full((mains,), auxs), torch.full((auxs,), mains))
    for training in (True, True, False):
        own.train(training)
        theirs.train(training and mains * auxs > 1)  # torch refuses one row
        found = whole_table(*own(main, aux, counts))
        torch.testing.assert_close(found, theirs(whole_table(main, aux)), atol=1e-8, rtol=1e-8)
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(own.state_dict()[key], value)


def naive_network(network, rows):
    """Torch's own layers on rows `[row, 2 dim]` of a whole table."""
    norm = nn.BatchNorm1d(rows.shape[1]).to(rows.dtype).train(network.training)
    norm.load_state_dict(network.norm.state_dict())
    value = norm(rows)
    value = value.relu() if network.form.relu_first else value
    for i, layer in enumerate(network.layers):
        value = layer(value if i == 0 else F.leaky_relu(value, network.form.slope))
    return value


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("form", [Form(), TIRG])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_network_on_rows_is_one_on_the_whole_table(count, form, training):
    torch.manual_seed(0)
    network = PairNetwork(5, count, dropout=0.0, form=form).train(training)
    main, aux = torch.randn(4, 5), torch.randn(3, 5)
    picked = torch.tensor([0, 7, 11, 7])
    table = Table(picked // 3, picked % 3, torch.full((4,), 3), torch.full((3,), 4))
    expected = naive_network(network, whole_table(main, aux))[picked]
    torch.testing.assert_close(network(main, aux, table), expected, atol=1e-5, rtol=1e-4)


def test_gradients_are_those_of_the_whole_table():
    """Also through the means and variances of rows that nobody asks for."""
    torch.manual_seed(0)
    network = PairNetwork(5, 2, dropout=0.0, form=Form()).double().train()
    main, aux = (torch.randn(n, 5, dtype=torch.float64, requires_grad=True) for n in (4, 3))
    picked = torch.tensor([1, 5, 10])
    table = Table(picked // 3, picked % 3, torch.full((4,), 3), torch.full((3,), 4))
    wanted = [main, aux, network.layers[0].weight]
    found = torch.autograd.grad(network(main, aux, table).square().sum(), wanted)
    expected = torch.autograd.grad(naive_network(network, whole_table(main, aux))[picked].square().sum(), wanted)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


SETTINGS = [
    {},
    {"main": "action", "aux": "adverb"},
    {"main": "pair", "aux": "adverb"},
    {"main": "pair", "aux": "action"},
    {"share_weights": True},
    {"sigmoid": False},
    {"residual": False},
    {"gate_layers": 3, "residual_layers": 1},
]


def made(seed=0, **fields):
    torch.manual_seed(seed)
    text = PairText(TextConfig(**{"dim": 5, "dropout_gate": 0.0, **fields}), TEXT)
    with torch.no_grad():
        text.weights.copy_(torch.tensor([0.7, 1.3]))
    return text


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("over", ["all", "seen"])
@pytest.mark.parametrize("fields", SETTINGS)
def test_every_form_against_a_loop(fields, over, training):
    model = made(norm_over=over, **fields).train(training)
    classes = pairs(seen={0, 1, 4, 6, 10})
    places = [(a, v) for v in range(len(ADVERBS)) for a in range(len(ACTIONS))]
    counted = places if over == "all" else [places[i] for i in (0, 1, 4, 6, 10)]
    action, adverb = torch.tensor([0, 2, 1, 0]), torch.tensor([3, 3, 0, 3])
    expected = naive_text(model, classes, action, adverb, counted)
    torch.testing.assert_close(model(classes, action, adverb), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_pair_that_is_asked_for_twice_has_one_dropout():
    model = made(dropout_gate=0.5, gate_layers=3).train()
    rows = model(pairs(), torch.tensor([1, 0, 1]), torch.tensor([2, 2, 2]))
    assert torch.equal(rows[0], rows[2])
    again = model(pairs(), torch.tensor([1]), torch.tensor([2]))
    assert not torch.allclose(rows[0], again[0])


def test_what_can_be_embedded():
    few = pairs([(0, 1), (2, 3)])
    assert made().known(few).all()
    assert made(main="pair").known(few).sum() == 2


@torch.no_grad()
def test_of_classes_is_in_their_order():
    model, classes = made().eval(), pairs([(2, 1), (0, 0), (2, 3)])
    expected = model(classes, torch.tensor([2, 0, 2]), torch.tensor([1, 0, 3]))
    torch.testing.assert_close(model.of_classes(classes), expected)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"main": "word"}, "main is 'word' and aux 'action'"),
        ({"main": "action"}, "main is 'action' and aux 'action'"),
        ({"aux": "pair"}, "aux 'pair'"),
        ({"norm_over": "batch"}, "norm_over is 'batch'; expected one of all, seen"),
        ({"gate_layers": 0}, "gate_layers or residual_layers is 0"),
    ],
)
def test_errors_say_what_is_wrong(fields, words):
    with pytest.raises(ValueError, match=words):
        made(**fields)


def test_the_sizes_of_the_thesis():
    """Trainable numbers of the text part: words 2 x (512 x 400 + 400), batch norms, layers, two scalars."""
    count = sum(p.numel() for p in PairText(TextConfig(gate_layers=4, residual_layers=3), 512).parameters())
    assert count == 2 * (512 * 400 + 400) + 2 * 2 * 800 + 5 * (800 * 800 + 800) + 2 * (800 * 400 + 400) + 2
    assert math.isclose(count, 4258402)
