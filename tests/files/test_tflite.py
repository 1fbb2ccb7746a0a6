"""Constants of `.tflite` models: files put together by hand, Google's own against another reader, and damaged ones."""

import random
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.files.tflite import read_tflite
from made_tflite import tflite


def constants():
    rng = np.random.default_rng(0)
    return {
        "plain": rng.standard_normal((2, 3)).astype("<f4"),
        "half": rng.standard_normal(5).astype("<f2"),
        "whole": np.arange(6, dtype="<i8"),
        "alone": np.asarray(7, "<i4"),
        "bytes": (np.array([[1, 2], [3, 250]], "u1"), [0.5], [128], 0),
        "rows": (np.array([[1, -2], [3, 4]], "i1"), [0.5, 2.0], [0, 1], 0),
        "columns": (np.array([[1, -2], [3, 4]], "i1"), [0.5, 2.0], (), 1),
    }


def test_numbers_and_what_they_mean(tmp_path):
    (tmp_path / "a.tflite").write_bytes(tflite(constants()))
    got = read_tflite(tmp_path / "a.tflite")
    assert list(got) == list(constants())  # and not the input, which has no content
    for name in ("plain", "half", "whole", "alone"):
        assert np.array_equal(got[name].stored, constants()[name])
        assert np.array_equal(got[name].numbers(), constants()[name].astype(np.float32))
    assert got["bytes"].numbers().tolist() == [[-63.5, -63.0], [-62.5, 61.0]]
    assert got["rows"].numbers().tolist() == [[0.5, -1.0], [4.0, 6.0]]
    assert got["columns"].numbers().tolist() == [[0.5, -4.0], [1.5, 8.0]]


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), max_size=4),
    kind=st.sampled_from(["<f4", "<f2", "<i4", "u1", "<i8", "<i2", "i1"]),
    seed=st.integers(0, 99),
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
def test_any_constant_comes_back(tmp_path_factory, shape, kind, seed, name):
    array = np.frombuffer(np.random.default_rng(seed).bytes(8 * 256), kind)[: int(np.prod(shape))].reshape(shape)
    path = tmp_path_factory.getbasetemp() / "any.tflite"
    path.write_bytes(tflite({name: array}))
    (got,) = read_tflite(path).values()
    assert got.name == name
    assert (got.stored.dtype, got.stored.shape, got.stored.tobytes()) == (array.dtype, array.shape, array.tobytes())


WRONG = {
    "does not begin": b"",
    "begin as one": tflite({"a": np.zeros(2, "<f4")}).replace(b"TFL3", b"TFL9"),
    "no graph": tflite({}, graphs=0),
    "fit no axis": tflite({"a": (np.zeros((2, 2), "i1"), [1.0, 2.0, 3.0], (), 0)}),
    "scales that": tflite({"a": (np.zeros((2, 2), "i1"), [1.0, 2.0], (), 5)}),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_no_model_is_refused_in_a_sentence(tmp_path, words):
    (tmp_path / "bad.tflite").write_bytes(WRONG[words])
    with pytest.raises(ValueError, match=r"bad\.tflite is not a readable \.tflite model") as caught:
        read_tflite(tmp_path / "bad.tflite")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_and_missing_files(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        read_tflite(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_tflite(tmp_path / "none.tflite")


def test_damaged_files_end_in_a_sentence(tmp_path):
    content, draws, told = tflite(constants()), random.Random(0), []
    for _ in range(600):
        shaken = bytearray(content)
        for _ in range(draws.randint(1, 4)):
            shaken[draws.randrange(len(shaken))] = draws.randrange(256)
        path = tmp_path / "shaken.tflite"
        path.write_bytes(shaken[: draws.choice((len(shaken), draws.randrange(len(shaken))))])
        try:
            for constant in read_tflite(path).values():
                assert constant.stored.size <= len(content)
        except ValueError as error:
            told.append(str(error))
    assert len(told) > 100
    assert all("shaken.tflite" in message and "\n" not in message for message in told)


def test_googles_file_as_its_own_runtime_reads_it(real_data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")
        path = real_data / "encoders" / "yamnet.tflite"
        runtime = litert.Interpreter(str(path), experimental_preserve_all_tensors=True)
        runtime.allocate_tensors()
        details = {detail["name"]: detail for detail in runtime.get_tensor_details()}
        got = read_tflite(path)
        assert len(got) > 70
        for name, constant in got.items():
            theirs = details[name]["quantization_parameters"]
            assert np.array_equal(runtime.get_tensor(details[name]["index"]), constant.stored)
            assert np.array_equal(np.unique(theirs["scales"]), np.unique(constant.scale))
            assert np.array_equal(np.unique(theirs["zero_points"]), np.unique(constant.zero))
