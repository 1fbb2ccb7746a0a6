"""Released weights: from files and dictionaries; what is not such weights is said in a sentence."""

import math

import pytest
import torch
from safetensors.torch import save_file

from avshot.nn.released_weights import all_finite
from avshot.registry import load_official


def state(seed=0):
    """Weights in the layout of AVGZSLNet's authors."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    blocks = [
        (f"triplet_net.embedding_net{i}", *sizes) for i, sizes in ((1, (5, 8, 4)), (2, (7, 8, 4)), (3, (6, 6, 4)))
    ]
    for block, width, hidden, out in [*blocks, ("decoder_net.embedding_net", 4, 4, 6)]:
        for layer, rows, columns in ((0, hidden, width), (4, out, hidden)):
            found[f"{block}.fc.{layer}.weight"] = torch.randn(rows, columns, generator=generator) / math.sqrt(columns)
            found[f"{block}.fc.{layer}.bias"] = torch.randn(rows, generator=generator)
        for name in ("weight", "bias", "running_mean"):
            found[f"{block}.fc.1.{name}"] = torch.randn(hidden, generator=generator)
        found[f"{block}.fc.1.running_var"] = 0.5 + torch.rand(hidden, generator=generator)
    return found


WEIGHT = "triplet_net.embedding_net1.fc.0.weight"
ODD = {
    "nan": (lambda w: w[WEIGHT][0, 0].fill_(math.nan), "holds 1 numbers that are not finite"),
    "inf": (lambda w: w[WEIGHT].fill_(math.inf), "holds 40 numbers that are not finite"),
    "complex": (lambda w: w.update({WEIGHT: w[WEIGHT].cfloat()}), "expected plain real numbers"),
    "sparse": (lambda w: w.update({WEIGHT: w[WEIGHT].to_sparse()}), "expected plain real numbers"),
    "without values": (lambda w: w.update({WEIGHT: w[WEIGHT].to("meta")}), "expected plain real numbers"),
    "flat": (lambda w: w.update({WEIGHT: w[WEIGHT].flatten()}), "a tensor has another shape"),
    "one number": (lambda w: w.update({WEIGHT: torch.tensor(1.0)}), "a tensor has another shape"),
    "flat decoder": (
        lambda w: w.update({"decoder_net.embedding_net.fc.0.weight": torch.zeros(9)}),
        "a tensor has another shape",
    ),
    "other size": (lambda w: w.update({WEIGHT: torch.zeros(8, 9)[:, :5].T}), "expected|another shape"),
    "missing": (lambda w: w.pop(WEIGHT), "is missing"),
    "unexpected": (lambda w: w.update({"more": torch.zeros(1)}), "unexpected 'more'"),
    "a number for a key": (lambda w: w.update({5: torch.zeros(1)}), "no tensors"),
    "a list": (lambda w: w.update({WEIGHT: [1, 2]}), "no tensors"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_state_dicts(case):
    weights = state()
    change, said = ODD[case]
    change(weights)
    with pytest.raises(ValueError, match=said):
        load_official("avgzslnet", weights)


def test_files(tmp_path):
    save_file(state(), tmp_path / "w.safetensors")
    torch.save({"model": state(), "epoch": 3}, tmp_path / "w.pt")
    whole = load_official("avgzslnet", state()).state_dict()
    for name in ("w.safetensors", "w.pt"):
        found = load_official("avgzslnet", tmp_path / name).state_dict()
        assert all(torch.equal(found[key], whole[key]) for key in whole)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize(
    "content", [b"", b"x" * 100, b"\xff" * 8 + b"{}", b"PK\x03\x04", b"\x80\x02.", b"cos\nsystem\n(S'x'\ntR."]
)
def test_files_that_are_no_tensors_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} could not be read as plain tensors"):
        load_official("avgzslnet", tmp_path / name)


def test_what_is_wrong_in_a_file_is_said_with_its_name(tmp_path):
    weights = state()
    weights[WEIGHT][0, 0] = math.nan
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=rf"w\.safetensors: the tensor '{WEIGHT}' holds 1 numbers"):
        load_official("avgzslnet", tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="There is no file"):
        load_official("avgzslnet", tmp_path / "none.pt")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_one_number_that_is_not_finite_is_seen_wherever_it_stands(kind, odd):
    for at in range(70):  # longer than what a processor looks at in one instruction
        tensor = torch.linspace(-3, 3, 70).to(kind)
        assert all_finite(tensor.reshape(7, 10))
        tensor[at] = odd
        assert not all_finite(tensor.reshape(7, 10).T)


def test_whole_numbers_and_nothing_are_finite():
    for tensor in (torch.tensor([2**62, -1]), torch.zeros(0, 3), torch.tensor(1.0)):
        assert all_finite(tensor)
