"""The restricted unpickler: reads what the released folders hold, runs nothing."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from avshot.data.unpickle import restricted_load

CONTENT = {
    "video": [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((0, 3))],
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "labels": np.array([1, 2], dtype=np.int64),
    "filenames": ["a.mp4", "b.mp4"],
    "names": np.array(["dog", "ox"]),
    "objects": np.array([b"x", "y", None, 3], dtype=object),
    "record": np.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", "<f8")]),
    "scalar": np.float32(1.5),
    "bytes": b"\x00\xff",
    "empty": b"",
    "set": {1, 2},
    "nested": ((1, 2.0, True), {"k": bytearray(b"z")}),
}


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("protocol", range(6))
def test_reads_every_protocol(tmp_path, protocol):
    path = tmp_path / "content.pkl"
    path.write_bytes(pickle.dumps(CONTENT, protocol=protocol))
    assert same(restricted_load(path), CONTENT)
    assert same(restricted_load(io.BytesIO(path.read_bytes())), CONTENT)


def test_reads_npy_of_one_dictionary_of_an_array_and_of_objects(tmp_path):
    vectors = {"dog": np.ones(300, np.float32), "ox": np.zeros(300, np.float32)}
    np.save(tmp_path / "dict.npy", np.array(vectors, dtype=object), allow_pickle=True)
    np.save(tmp_path / "array.npy", np.arange(5))
    np.save(tmp_path / "objects.npy", np.array([[1, 2], None, "x"], dtype=object), allow_pickle=True)
    assert same(restricted_load(str(tmp_path / "dict.npy")), vectors)
    assert np.array_equal(restricted_load(tmp_path / "array.npy"), np.arange(5))
    assert restricted_load(tmp_path / "objects.npy").tolist() == [[1, 2], None, "x"]


class Malicious:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("wrap", ["pickle", "npy"])
def test_refuses_code_names_it_and_does_not_run_it(tmp_path, protocol, wrap):
    trace = tmp_path / "trace"
    bad = {"dog": Malicious(os.mkdir, str(trace))}
    path = tmp_path / "bad"
    if wrap == "npy":
        with open(path, "wb") as file:
            np.lib.format.write_array(file, np.array(bad, dtype=object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(bad, protocol=protocol))
    with pytest.raises(ValueError, match=r"bad asks for (posix|nt)\.mkdir"):
        restricted_load(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "value",
    [
        Malicious(eval, "1"),
        Malicious(getattr, "x", "upper"),
        Malicious(np.load, "x"),
        Malicious(np.fromfile, "x"),
        Path("x"),
        np.ma.masked_array([1]),
        len,
    ],
)
def test_refuses_everything_that_is_not_data(value):
    with pytest.raises(ValueError, match="asks for"):
        restricted_load(io.BytesIO(pickle.dumps(value)))


def test_refuses_other_codecs_and_direct_array_calls():
    encode = b"c_codecs\nencode\n(Vabc\nVrot13\ntR."
    array = b"cnumpy\nndarray\n((I3\ntt R.".replace(b"t R", b"tR")
    amount = b"cbuiltins\nbytes\n(I1000000000\ntR."
    for stream in (encode, array, amount):
        with pytest.raises(ValueError, match="not a readable pickle"):
            restricted_load(io.BytesIO(stream))


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps(CONTENT)[:-9], pickle.dumps(CONTENT)[:200]])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "damaged.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged\.pkl"):
        restricted_load(path)


def test_damaged_npy_is_named(tmp_path):
    np.save(tmp_path / "whole.npy", np.array({"a": np.zeros(3)}, dtype=object), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"cut\.npy"):
        restricted_load(tmp_path / "cut.npy")


@pytest.mark.parametrize(("file", "count"), [("ucf", 101), ("activity", 200), ("vggsound", 309)])
def test_released_class_vectors(real_data, file, count):
    vectors = restricted_load(real_data / "text" / f"word_embeddings_{file}_normed.npy")
    assert len(vectors) == count
    assert all(v.shape == (300,) and v.dtype == np.float32 for v in vectors.values())
    assert np.allclose([np.linalg.norm(v) for v in vectors.values()], 1, atol=1e-5)
