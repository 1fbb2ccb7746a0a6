"""What is written is read back bit for bit; any byte that changes is noticed."""

import json
import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.files.atomic import (
    content_digest,
    file_digest,
    load_json,
    load_sealed,
    load_tensors,
    save_json,
    save_sealed,
    save_tensors,
)

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "half": torch.ones(2, dtype=torch.bfloat16),
    "flag": torch.tensor([True, False]),
    "one": torch.tensor(0.5, dtype=torch.float64),
    "none": torch.zeros(0, 4),
}


def test_tensors_come_back_with_what_was_said_of_them(tmp_path):
    path = tmp_path / "x.safetensors"
    digest = save_tensors(path, TENSORS, about={"names": ["é", "b"]})
    found, about = load_tensors(path)
    assert about == {"names": ["é", "b"]}
    assert digest == file_digest(path)
    assert {k: v.dtype for k, v in found.items()} == {k: v.dtype for k, v in TENSORS.items()}
    assert all(torch.equal(found[key], value) for key, value in TENSORS.items())
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_any_changed_byte_of_a_tensor_file_is_a_sentence_that_names_it(tmp_path):
    path = tmp_path / "x.safetensors"
    save_tensors(path, TENSORS, about={"epoch": 3})
    whole = path.read_bytes()
    for i in range(len(whole)):
        damaged = bytearray(whole)
        damaged[i] ^= 0x10
        path.write_bytes(bytes(damaged))
        try:
            found, about = load_tensors(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017 (some bytes are white space of the header)
        else:
            assert about == {"epoch": 3}
            assert all(torch.equal(found[key], value) for key, value in TENSORS.items())
    for cut in (0, 3, 8, 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"x\.safetensors"):
            load_tensors(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key != "sha256"), json_values, max_size=4))
def test_sealed_records_come_back(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("r") / "run.json"
    save_sealed(path, content)
    assert load_sealed(path) == content


def test_a_sealed_record_notices_every_change(tmp_path):
    path = tmp_path / "run.json"
    content = {"beta": 0.125, "names": ["dog", "cat"], "none": None}
    save_sealed(path, content)
    whole = path.read_bytes()
    for i in range(len(whole)):
        damaged = bytearray(whole)
        damaged[i] ^= 1
        path.write_bytes(bytes(damaged))
        try:
            assert load_sealed(path) == content
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": NaN}', "[Infinity]", "\xff", "nul"])
def test_what_is_no_json_is_a_sentence(tmp_path, text):
    path = tmp_path / "m.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"m\.json"):
        load_json(path)
    with pytest.raises(ValueError, match="missing"):
        load_json(tmp_path / "absent.json")


def test_json_never_holds_nan(tmp_path):
    save_json(tmp_path / "m.json", {"HM": 0.5})
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"m\.json"):
            save_json(tmp_path / "m.json", {"HM": [value]})
        with pytest.raises(ValueError, match="NaN"):
            content_digest({"HM": value})
    assert json.loads((tmp_path / "m.json").read_text()) == {"HM": 0.5}


def test_equal_tensors_give_equal_files_in_every_process(tmp_path):
    code = (
        "import sys, torch; from avshot.files.atomic import save_tensors; "
        "print(save_tensors(sys.argv[1], {'a': torch.ones(2)}, about={'x': 1, 'y': [2]}))"
    )
    made = [
        subprocess.run([sys.executable, "-c", code, tmp_path / "x"], capture_output=True, text=True, check=True).stdout
        for _ in range(4)
    ]
    assert len(set(made)) == 1
