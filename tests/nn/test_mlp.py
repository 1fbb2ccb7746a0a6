import pytest
import torch
import torch.nn.functional as F

from avshot.nn.mlp import BatchNorm, EmbNet1, EmbNet2, InputScaling


def test_names_are_those_of_released_weights():
    names = {name for name, _ in EmbNet2(4, 5, 3).named_parameters()}
    assert names == {f"fc.{i}.{kind}" for i in (0, 1, 4, 5) for kind in ("weight", "bias")}
    assert {name for name, _ in EmbNet1(4, 3).named_parameters()} == {
        f"fc.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")
    }


def test_only_the_second_norm_takes_the_momentum():
    block = EmbNet2(4, 5, 3, momentum=0.99)
    assert (block.fc[1].momentum, block.fc[5].momentum) == (0.1, 0.99)


def test_masked_rows_neither_count_nor_show():
    torch.manual_seed(0)
    block = EmbNet2(4, 5, 3)
    value = torch.randn(2, 6, 4)
    mask = torch.rand(2, 6) > 0.4
    expected = block(value[mask])
    out = block(torch.where(mask[..., None], value, torch.full_like(value, torch.nan)), mask)
    torch.testing.assert_close(out[mask], expected)
    assert (out[~mask] == 0).all()
    with_all = block(value)
    assert not torch.allclose(with_all[mask], expected)


def test_padding_that_enters_the_statistics_is_rows_of_zeros():
    torch.manual_seed(0)
    plain, ours = EmbNet2(4, 5, 3), EmbNet2(4, 5, 3)
    ours.load_state_dict(plain.state_dict())
    rows = torch.randn(6, 4)
    expected = plain(torch.cat([rows, torch.zeros(9, 4)]))[:6]
    out = ours.with_padding(rows, 9)
    torch.testing.assert_close(out, expected)
    for value in (out, expected):
        (value * torch.arange(18.0).view(6, 3)).sum().backward()
    for (name, a), b in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-5, msg=name)
    for name, a in ours.named_buffers():
        torch.testing.assert_close(a, plain.get_buffer(name))


@pytest.mark.parametrize("rows", [0, 1])
def test_batch_norm_takes_fewer_than_two_rows(rows):
    norm = BatchNorm(3)
    norm.running_mean.fill_(2.0)
    out = norm(torch.full((rows, 3), 5.0))
    assert out.shape == (rows, 3)
    torch.testing.assert_close(out, torch.full((rows, 3), 3.0 / (1 + 1e-5) ** 0.5))
    assert (norm.running_mean == 2).all()


def test_input_scalings():
    torch.manual_seed(0)
    value = torch.randn(2, 4, 3) * 9 + 2
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    hidden = torch.where(mask[..., None], value, torch.full_like(value, torch.nan))
    real = value[0, :3]
    assert torch.equal(InputScaling("none", 3)(hidden, mask)[0, :3], real)
    torch.testing.assert_close(InputScaling("over255", 3)(hidden, mask)[0, :3], real / 255)
    torch.testing.assert_close(InputScaling("time", 3)(hidden, mask)[0, :3], real / real.square().sum(dim=0).sqrt())
    torch.testing.assert_close(InputScaling("features", 3)(hidden, mask)[0, :3], F.normalize(real, dim=1))
    standard = InputScaling("standardise", 3)(hidden, mask)
    torch.testing.assert_close(standard[mask].mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    for kind in InputScaling.kinds:
        assert (InputScaling(kind, 3)(hidden, mask)[~mask] == 0).all()


def test_unknown_input_scaling():
    with pytest.raises(ValueError, match="'half'"):
        InputScaling("half", 3)
