"""Archives of torch.save as numpy arrays: what torch reads, and nothing that runs."""

import argparse
import io
import os
import pickle
import random
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.files.torch_archive import restricted_archive
from avshot.files.unpickle import restricted_load


def some_values():
    base = torch.arange(24.0).reshape(4, 6)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    kinds = (torch.float64, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
    views = {"whole": base, "turned": base.T, "part": base[1:, ::2], "row": base[2], "same": base[:1].expand(5, 6)}
    plain = {"epoch": 3, "words": ["a", {"b": (1.5, None)}], "empty": torch.zeros(0, 3), "one": torch.tensor(5.0)}
    named = {"model": model.state_dict(), "parameter": model[0].weight}
    return {**named, **plain, **views, **{str(kind): base.to(kind) for kind in kinds}}


def same(got, expected):
    if isinstance(expected, torch.Tensor):
        assert isinstance(got, np.ndarray)
        wanted = expected.detach().numpy()
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        assert np.array_equal(got, wanted)
        assert got.flags.writeable
    elif isinstance(expected, dict):
        assert list(got) == list(expected)
        for key, value in expected.items():
            same(got[key], value)
    else:
        assert got == expected


@pytest.mark.parametrize("archive", [True, False])
def test_what_torch_saved_comes_back_as_arrays(tmp_path, archive):
    values = some_values()
    torch.save(values, tmp_path / "a.pt", _use_new_zipfile_serialization=archive)
    same(restricted_archive(tmp_path / "a.pt"), values)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    seed=st.integers(0, 99),
    axis=st.integers(0, 2),
    archive=st.booleans(),
)
def test_any_view_comes_back(tmp_path_factory, shape, seed, axis, archive):
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if tensor.ndim > axis:
        tensor = tensor.transpose(0, axis)[1:]
    path = tmp_path_factory.getbasetemp() / "view.pt"
    torch.save(tensor, path, _use_new_zipfile_serialization=archive)
    same(restricted_archive(path), tensor)


class Hook:
    def __reduce__(self):
        return os.system, ("true",)


def written(path, pickled, entries=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, content in dict(entries).items():
            archive.writestr(f"a/{name}", content)
    return path


def tensor_call(*, count=4, first=0, shape=(2, 2), steps=(2, 1), place="0", kind="FloatStorage"):
    """A pickle of one tensor, with whatever numbers a file may state."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return ("storage", getattr(torch, kind), place, "cpu", count) if value == "numbers" else None

    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, ("numbers", first, shape, steps, False, {})

    out = io.BytesIO()
    Pickler(out, protocol=2).dump(Tensor())
    return out.getvalue()


NUMBERS = {"data/0": np.arange(4, dtype="<f4").tobytes()}


def test_a_tensor_written_by_hand_is_read(tmp_path):
    got = restricted_archive(written(tmp_path / "a.pt", tensor_call(), NUMBERS))
    assert got.tolist() == [[0.0, 1.0], [2.0, 3.0]]


REFUSED = {
    "posix.system": (pickle.dumps(Hook(), protocol=2), {}),
    "ends at number 5": (tensor_call(first=2), NUMBERS),
    "an array shape that is none": (tensor_call(shape=(-2, 2)), NUMBERS),
    "a tensor without an order": (tensor_call(steps=(1,)), NUMBERS),
    "are not in it": (tensor_call(place="../../etc/passwd"), NUMBERS),
    "where there should be 400": (tensor_call(count=400), NUMBERS),
    "the same bytes over and over": (tensor_call(shape=(100000, 100000), steps=(0, 0)), NUMBERS),
    "torch.BFloat16Storage": (tensor_call(kind="BFloat16Storage"), NUMBERS),
    "a name or an array without its content": (pickle.dumps(torch.FloatStorage, protocol=2), NUMBERS),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_no_data_is_refused_in_a_sentence(tmp_path, words):
    path = written(tmp_path / "bad.pt", *REFUSED[words])
    with pytest.raises(ValueError, match=r"bad\.pt") as caught:
        restricted_archive(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_settings_of_a_program_beside_tensors_are_left_out(tmp_path):
    settings = argparse.Namespace(lr=0.1, device=None, names=["a"])
    for new in (True, False):
        torch.save({"args": settings, "a": torch.ones(2)}, tmp_path / "a.pt", _use_new_zipfile_serialization=new)
        same(restricted_archive(tmp_path / "a.pt"), {"args": {}, "a": torch.ones(2)})
    (tmp_path / "alone.pkl").write_bytes(pickle.dumps(settings, protocol=2))
    with pytest.raises(ValueError, match=r"argparse\.Namespace"):
        restricted_load(tmp_path / "alone.pkl")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.pt").write_text("no tensors")
    with pytest.raises(ValueError, match=r"text\.pt is not a whole file of torch"):
        restricted_archive(tmp_path / "text.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(ValueError, match=r"torch\.nn\.modules\.linear\.Linear"):
        restricted_archive(tmp_path / "module.pt")
    with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", tensor_call())
    with pytest.raises(ValueError, match="packed"):
        restricted_archive(tmp_path / "packed.pt")
    with pytest.raises(ValueError, match="is a folder"):
        restricted_archive(tmp_path)
    with pytest.raises(FileNotFoundError):
        restricted_archive(tmp_path / "none.pt")


def test_a_pickle_that_stands_alone_still_asks_for_no_tensors(tmp_path):
    (tmp_path / "alone.pkl").write_bytes(tensor_call())
    with pytest.raises(ValueError, match=r"torch\._utils\._rebuild_tensor_v2"):
        restricted_load(tmp_path / "alone.pkl")


@pytest.mark.parametrize("archive", [True, False])
def test_damaged_archives_end_in_a_sentence(tmp_path, archive):
    value = {"model": {"a": torch.arange(6.0), "b": torch.ones(3)}}
    torch.save(value, tmp_path / "whole.pt", _use_new_zipfile_serialization=archive)
    content, draws, told = (tmp_path / "whole.pt").read_bytes(), random.Random(0), []
    for _ in range(400):
        shaken = bytearray(content)
        for _ in range(draws.randint(1, 4)):
            shaken[draws.randrange(len(shaken))] = draws.randrange(256)
        path = tmp_path / "shaken.pt"
        path.write_bytes(shaken[: draws.choice((len(shaken), draws.randrange(len(shaken))))])
        try:
            restricted_archive(path)
        except ValueError as error:
            told.append(str(error))
    assert len(told) > 100
    assert all("shaken.pt" in message and "\n" not in message for message in told)
