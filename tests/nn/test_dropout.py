import pytest
import torch
from torch import nn

from avshot.nn.dropout import Dropout, use_dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_share_is_dropped_and_the_rest_makes_up_for_it(p, dtype):
    torch.manual_seed(0)
    value = torch.full((501, 401), 2.0, dtype=dtype)
    out = Dropout(p).train()(value)
    dropped = (out == 0).double()
    deviation = (p * (1 - p) / value.numel()) ** 0.5
    assert abs(dropped.mean().item() - p) < 5 * deviation
    kept = round(p * 2**16) / 2**16
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 2 / (1 - kept)))
    # Neighbours in a row or a column, which share random words, know nothing of each other.
    for axis in (0, 1):
        near = torch.corrcoef(torch.stack([dropped.flatten(), dropped.roll(1, axis).flatten()]))[0, 1]
        assert abs(near.item()) < 5 / value.numel() ** 0.5


def test_the_gradient_goes_where_the_value_went():
    torch.manual_seed(0)
    value = torch.randn(7, 5, requires_grad=True)
    out = Dropout(0.4).train()(value)
    (gradient,) = torch.autograd.grad(out.sum(), value)
    torch.testing.assert_close(gradient * value, out)
    assert (gradient == 0).any()


def test_the_seed_decides():
    layer, value = Dropout(0.4).train(), torch.ones(50)
    torch.manual_seed(3)
    first, second = layer(value), layer(value)
    torch.manual_seed(3)
    assert torch.equal(layer(value), first)
    assert not torch.equal(first, second)


def test_nothing_to_drop_and_everything():
    value = torch.randn(4, 3)
    assert torch.equal(Dropout(0.0).train()(value), value)
    assert torch.equal(Dropout(0.7).eval()(value), value)
    assert (Dropout(1.0).train()(value) == 0).all()
    assert Dropout(0.3).train()(value[:0]).shape == (0, 3)


def test_every_dropout_inside_is_replaced():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3), nn.ModuleList([nn.Sequential(nn.Dropout(0.1))]))
    names = list(net.state_dict())
    use_dropout(net)
    assert [(type(m), m.p) for m in net.modules() if isinstance(m, nn.Dropout)] == [(Dropout, 0.3), (Dropout, 0.1)]
    assert list(net.state_dict()) == names
    use_dropout(net, nn.Dropout)
    assert not [m for m in net.modules() if isinstance(m, Dropout)]
