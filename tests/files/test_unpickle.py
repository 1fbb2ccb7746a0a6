"""The restricted unpickler: reads what programs write as Python does, and refuses everything that is not data."""

import io
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from avshot.files.unpickle import restricted_load

CONTENT = {
    "video": [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((0, 3))],
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "slices": np.arange(24.0).reshape(2, 3, 4)[:, ::2],
    "turned": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "big-endian": np.arange(3, dtype=">f4"),
    "labels": np.array([1, 2], dtype=np.int64),
    "filenames": ["a.mp4", "b.mp4"],
    "names": np.array(["dog", "ox"]),
    "objects": np.array([[b"x", "y"], [None, 3]], dtype=object),
    "fortran objects": np.asfortranarray(np.array([[b"x", "y"], [None, 3]], dtype=object)),
    "scalar": np.float32(1.5),
    "np text": np.str_("é"),
    "empty np text": np.str_(""),
    "dtype": np.dtype(">f4"),
    "bytes": b"\x00\xff",
    "empty": b"",
    "complex": 1 + 2j,
    "set": {1, 2},
    "frozen": frozenset(["a"]),
    "nested": ((1, 2.0, True), {"k": bytearray(b"z"), None: bytearray()}),
    np.str_("numpy key"): {np.int64(3): 2**62},
    "large": 10**20,
}


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        kinds = [array.dtype.newbyteorder("=") for array in (a, b)]  # Python turns big-endian arrays round, at times
        if kinds[0] != kinds[1] or a.shape != b.shape or not b.flags.writeable:
            return False
        return (
            same(a.tolist(), b.tolist())
            if a.dtype == object
            else a.astype(kinds[0]).tobytes() == b.astype(kinds[0]).tobytes()
        )
    if isinstance(a, float | complex | np.inexact):
        return np.array(a).tobytes() == np.array(b).tobytes()  # also where it is not a number
    return a == b


@pytest.mark.parametrize("protocol", range(6))
def test_reads_every_protocol(tmp_path, protocol):
    path = tmp_path / "content.pkl"
    path.write_bytes(pickle.dumps(CONTENT, protocol=protocol))
    assert same(CONTENT, restricted_load(path))
    assert same(CONTENT, restricted_load(io.BytesIO(path.read_bytes())))
    with open(path, "rb", buffering=0) as file:
        assert same(CONTENT, restricted_load(file))


KINDS = st.sampled_from(["f2", "f4", "f8", "c8", "c16", *(f"{k}{n}" for k in "iu" for n in (1, 2, 4, 8)), "b1"])
DTYPES = st.builds(lambda order, kind: np.dtype(order + kind), st.sampled_from("<>"), KINDS) | st.sampled_from(
    [np.dtype(code) for code in ("S1", "S7", "<U1", "<U5", ">U3")]
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=9)
NUMBERS = st.integers(-(2**63), 2**63) | st.floats() | st.booleans() | st.none() | st.complex_numbers()
SCALARS = st.one_of(TEXT, st.binary(max_size=9), NUMBERS, st.binary(max_size=3).map(bytearray))
KEYS = TEXT | st.binary(max_size=5) | st.integers(-(2**62), 2**62) | st.booleans() | st.none()


@st.composite
def plain_arrays(draw):
    found = draw(arrays.arrays(draw(DTYPES), arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
    if found.ndim and draw(st.booleans()):
        found = found.transpose(draw(st.permutations(range(found.ndim))))
    if found.ndim and draw(st.booleans()):
        found = found[:: draw(st.sampled_from([-1, 2]))]
    return found[()] if found.ndim == 0 and draw(st.booleans()) else found


def object_array(items):
    found = np.empty(len(items), object)
    for i, item in enumerate(items):
        found[i] = item
    return found


DATA = st.recursive(
    SCALARS | plain_arrays(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.lists(inner, max_size=4).map(object_array)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(KEYS, max_size=3)
        | st.frozensets(KEYS, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(DATA, st.integers(0, 5))
def test_reads_data_as_python_does(value, protocol):
    stream = pickle.dumps(value, protocol=protocol)
    assert same(pickle.loads(stream), restricted_load(io.BytesIO(stream)))


@settings(max_examples=100, deadline=None)
@given(plain_arrays())
def test_reads_npy_as_numpy_does(value):
    file = io.BytesIO()
    np.save(file, np.asarray(value))
    file.seek(0)
    assert same(np.load(io.BytesIO(file.getvalue())), restricted_load(file))


def test_python_2_wrote_text_and_bytes_alike():
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    array = start + b"(I1\n(I2\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR"
    state = b"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00@'\ntb"
    assert same(np.array([1, 2], "<f4"), restricted_load(io.BytesIO(array + state + b".")))
    assert restricted_load(io.BytesIO(b"S'it\\'s \\xe9'\n.")) == "it's é"
    assert restricted_load(io.BytesIO(b"U\x02\xe9x.")) == "éx"


def test_reads_npy_of_one_dictionary_of_an_array_and_of_objects(tmp_path):
    vectors = {"dog": np.ones(300, np.float32), "ox": np.zeros(300, np.float32)}
    np.save(tmp_path / "dict.npy", np.array(vectors, dtype=object), allow_pickle=True)
    np.save(tmp_path / "array.npy", np.asfortranarray(np.arange(6).reshape(2, 3)))
    np.save(tmp_path / "objects.npy", np.array([[1, 2], None, "x"], dtype=object), allow_pickle=True)
    assert same(vectors, restricted_load(str(tmp_path / "dict.npy")))
    assert np.array_equal(restricted_load(tmp_path / "array.npy"), np.arange(6).reshape(2, 3))
    assert restricted_load(tmp_path / "objects.npy").tolist() == [[1, 2], None, "x"]


def npy(header, payload=b"", version=b"\x01\x00"):
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<I", len(text)) + text + payload


def test_headers_of_other_programs():
    numbers = np.arange(6, dtype="<f4")
    for header in (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
        '{"shape":(2,3),"fortran_order":False,"descr":"<f4"}',
        "{'descr':'<f4','fortran_order':False,'shape':(2L,3L)}   ",
    ):
        found = restricted_load(io.BytesIO(npy(header, numbers.tobytes())))
        assert same(numbers.reshape(2, 3), found)


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
        Malicious(np.frombuffer, b"x"),
        Malicious(set, range(3)),
        Malicious(bytes, 10**9),
        Malicious(bytearray, 10**9),
        Path("x"),
        np.ma.masked_array([1]),
        np.zeros(1).view(np.recarray),
        np.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", "<f8")]),
        np.array(["2020-01-01"], "M8[D]"),
        np.array([b"ab"], "V2"),
        np.array(["a"], np.dtypes.StringDType()),
        np.longdouble(1),
        np.dtype([("a", "f4")]),
        np.dtype("f4", metadata={"a": 1}),
        range(3),
        slice(3),
        len,
        set,
        np.ndarray,
        {(1, 2): 3},
        {frozenset(): 3},
        {2**80: 1},
        10**5000,
        float,
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_refuses_everything_that_is_not_data(value, protocol):
    with pytest.raises(ValueError, match=r"asks for|not a readable"):
        restricted_load(io.BytesIO(pickle.dumps(value, protocol)))


# Streams that no pickler writes. The shorthands are those of the pickle format.


def text(value):
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def bytes_(value):
    return b"B" + struct.pack("<I", len(value)) + value


def number(value):
    return b"J" + struct.pack("<i", value) if abs(value) < 2**31 else b"L%dL\n" % value


def group(*items):
    return b"(" + b"".join(items) + b"t"


def name(module, name):
    return f"c{module}\n{name}\n".encode()


def call(function, *items):
    return function + group(*items) + b"R"


def dtype(code, order="<", fields=b"NNN", size=-1, version=3, more=b""):
    state = [number(version), text(order), fields, number(size), number(-1), number(0)]
    return call(name("numpy", "dtype"), text(code), b"\x89", b"\x88") + group(*state, more) + b"b"


START = call(name("numpy._core.multiarray", "_reconstruct"), name("numpy", "ndarray"), group(number(0)), bytes_(b"b"))


def array(kind, shape, content, fortran=b"\x89"):
    return START + group(number(1), group(*map(number, shape)), kind, fortran, content) + b"b"


def buffer(kind, shape, content, *order):
    return call(name("numpy._core.numeric", "_frombuffer"), content, kind, group(*map(number, shape)), *order)


def scalar(kind, content):
    return call(name("numpy._core.multiarray", "scalar"), kind, content)


F8, OBJECT, EIGHT = dtype("f8"), dtype("O8", "|"), bytes_(b"12345678")
ENCODE = name("_codecs", "encode")
LAUGHS = b")\x94" + b"".join(b"h%ch%c\x86\x94" % (i, i) for i in range(60))
EVIL = {
    "object pointers": array(OBJECT, (1,), EIGHT),
    "object pointer as a number": scalar(OBJECT, EIGHT),
    "object pointers in a buffer": buffer(OBJECT, (1,), EIGHT, text("C")),
    "objects without flags": call(name("numpy", "dtype"), text("O"), b"\x89", b"\x88"),
    "fields": array(dtype("f8", fields=b"N" + group(text("a")) + b"}"), (1,), EIGHT),
    "subarray": array(dtype("f8", fields=group(F8, group(number(9))) + b"NN"), (1,), EIGHT),
    "size of a dtype": array(dtype("S4", "|", size=1 << 30), (1,), bytes_(b"1234")),
    "metadata": array(dtype("f8", version=4, more=b"}"), (1,), EIGHT),
    "order": array(dtype("f8", order="x"), (1,), EIGHT),
    "dtype twice": F8 + group(number(3), text(">"), b"NNN", *map(number, (-1, -1, 0))) + b"b",
    "unfinished dtype": array(call(name("numpy", "dtype"), text("f8"), b"\x89", b"\x88"), (1,), EIGHT),
    "dates": array(dtype("M8"), (1,), EIGHT),
    "text of no length": array(dtype("U0"), (10**12,), bytes_(b"")),
    "letters that do not exist": array(dtype("U1"), (1,), bytes_(b"\0\0\x11\0")),
    "array twice": array(F8, (1,), EIGHT) + group(number(1), group(number(1)), F8, b"\x89", EIGHT) + b"b",
    "array that holds itself": START + b"\x94" + group(number(1), group(number(1)), OBJECT, b"\x89", b"]h\x00a") + b"b",
    "unfinished array": b"]" + START + b"a",
    "state of another": b"]" + group(number(1)) + b"b",
    "state of a name": name("builtins", "set") + b"}" + text("add") + b"Nsb",
    "a name as a value": b"]" + name("builtins", "set") + b"a",
    "a call of a value": b"]" + b")R",
    "arguments in a list": name("builtins", "set") + b"]R",
    "ndarray called": call(name("numpy", "ndarray"), group(number(10**12))),
    "too few numbers": array(F8, (2,), EIGHT),
    "too many numbers": array(F8, (), bytes_(b"0" * 16)),
    "shape beyond 64 bits": array(F8, (2**40, 2**40), EIGHT),
    "shape below 0": array(F8, (-1, -1), EIGHT),
    "truth in a shape": START + group(number(1), group(b"\x88"), F8, b"\x89", EIGHT) + b"b",
    "empty but wide": array(F8, (0, 2**62), bytes_(b"")),
    "many dimensions": array(F8, (1,) * 33, EIGHT),
    "too few objects": array(OBJECT, (10**10,), b"]"),
    "axes twice": buffer(F8, (1, 1), EIGHT, text("K"), group(number(0), number(0))),
    "axes beyond": buffer(F8, (1,), EIGHT, text("K"), group(number(9))),
    "buffer of text": buffer(F8, (1,), b"]", text("C")),
    "number of other size": scalar(dtype("f4"), EIGHT),
    "key that is a tuple": b"}" + b")Ns",
    "key that is an array": b"}" + array(F8, (1,), EIGHT) + b"Ns",
    "set of lists": b"(]\x91",
    "set of a number": call(name("builtins", "set"), number(10**9)),
    "list that holds itself": b"]\x94h\x00a",
    "dictionary that holds itself": b"}\x94Nh\x00s",
    "laughs": LAUGHS,
    "deep": b"]" * 101 + b"a" * 100,
    "deep from behind": b"]\x94]\x94" + b"".join(b"h%ch%ca" % (i, i + 1) + b"]\x94" for i in range(200)),
    "marks": b"(" * 10**6,
    "memo": b"Nr\xff\xff\xff\x7f",
    "memo below 0": b"Np-1\n",
    "memo of nothing": b"\x94",
    "duplicates": b"N2",
    "popping": b"NN0",
    "many sets": b"\x8f" * 10**6,
    "many letters": b"N" * 10 + b"X\xff\xff\xff\xffabc",
    "frame": b"\x95" + struct.pack("<Q", 2**60) + b"N",
    "a frame inside": b"]\x95\xff\0\0\0\0\0\0\0Na",
    "digits": b"I" + b"9" * 10**6 + b"\n",
    "bytes of digits": b"\x8b" + struct.pack("<i", -1),
    "half a dictionary": b"(Nd",
    "append to a tuple": b")Na",
    "items of a list": b"]NNs",
    "left over": b"NN",
    "open group": b"(N",
    "codec": call(ENCODE, text("x"), text("zlib")),
    "codec of nothing": call(ENCODE),
    "text for bytes": call(ENCODE, text("\u20ac"), text("latin1")),
    "bytes of a list": call(name("builtins", "bytearray"), b"]"),
    "complex text": call(name("builtins", "complex"), text("1")),
    "long name": name("m" * 10**5, "\u202e\x1b[2J"),
    "no line feed": b"cnumpy",
    "npy: fields": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", b"1234"),
    "npy: code": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,).__class__}", b"1234"),
    "npy: brackets": npy("(" * 9000),
    "npy: one key": npy("{'descr': '<f4', 'descr': '<f4', 'descr': '<f4'}"),
    "npy: sizes": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,)}", b"1234"),
    "npy: many digits": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (%s,)}" % ("9" * 999), b"1234"),
    "npy: width": npy("{'descr': '|S999999999', 'fortran_order': False, 'shape': (9,)}", b"1234"),
    "npy: pickled list": npy("{'descr': '|O', 'fortran_order': False, 'shape': ()}", b"]."),
    "npy: pickled nothing": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
    "npy: long header": b"\x93NUMPY\x02\x00\xf0\xff\xff\xff{}",
    "npy: version": b"\x93NUMPY\x09\x09" + bytes(9),
}


@pytest.mark.parametrize("case", EVIL)
def test_evil_streams_are_refused_without_memory(tmp_path, case):
    path = tmp_path / "evil.pkl"
    path.write_bytes(EVIL[case] + b".")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"evil\.pkl") as refused:
            restricted_load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (40 << 20)
    said = str(refused.value).replace(str(tmp_path), "")
    assert len(said) < 400
    assert said.isprintable()
    assert same(restricted_load(io.BytesIO(pickle.dumps(CONTENT, 2))), CONTENT)  # nothing stays behind


MEGABYTE = b"a" * 2**20
REPEATED = {
    "one text encoded": [text(MEGABYTE.decode()), *[call(ENCODE, b"h\x00", text("latin1"))] * 500],
    "one content in many arrays": [bytes_(MEGABYTE), *[array(dtype("S1", "|"), (2**20,), b"h\x00")] * 500],
    "one array in many places": [array(dtype("S1", "|"), (2**20,), bytes_(MEGABYTE)), *[b"h\x00"] * 500],
    "one list in many sets": [
        b"(" + b"I%d\n" * 10**5 % tuple(range(10**5)) + b"l",
        *[call(name("builtins", "set"), b"h\x00")] * 50,
    ],
    "one list in many lists": [b"(" + b"N" * 10**5 + b"l", *[b"h\x00"] * 5000],
}


@pytest.mark.parametrize("case", REPEATED)
def test_repetition_is_bounded(case):
    first, *rest = REPEATED[case]
    stream = b"(" + first + b"\x94" + b"".join(rest) + b"l."
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"over and over|repeated until"):
            restricted_load(io.BytesIO(stream))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (150 << 20) + 20 * len(stream)


def test_what_is_repeated_in_real_files_is_read():
    zero = np.zeros(4096, np.float32)  # what programs put for clips that failed
    stream = pickle.dumps({"features": [zero] * 2000, "names": ["same"] * 2000, "pairs": [(0, 1)] * 10**5})
    assert same(pickle.loads(stream), restricted_load(io.BytesIO(stream)))


def test_ninety_levels_are_read_and_a_hundred_and_one_are_not():
    value = 1
    for level in range(101):
        if level == 90:
            assert restricted_load(io.BytesIO(pickle.dumps(value))) == value
        value = [value, {"a": 1}]
    with pytest.raises(ValueError, match="more than 100 deep"):
        restricted_load(io.BytesIO(pickle.dumps(value)))


def test_truth_values_are_made_0_or_1():
    found = restricted_load(io.BytesIO(array(dtype("b1", "|"), (3,), bytes_(b"\x00\x02\xff")) + b"."))
    assert found.view(np.uint8).tolist() == [0, 1, 1]


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps(CONTENT)[:-9], pickle.dumps(CONTENT)[:200]])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "damaged.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged\.pkl"):
        restricted_load(path)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(0, 5))
def test_any_change_of_bytes_gives_data_or_a_sentence(data, protocol):
    stream = bytearray(pickle.dumps(CONTENT, protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    try:
        restricted_load(io.BytesIO(bytes(stream)))
    except ValueError as error:
        assert "the given file" in str(error)  # noqa: PT017 (what is read may also be legal)


def test_damaged_npy_is_named(tmp_path):
    np.save(tmp_path / "whole.npy", np.array({"a": np.zeros(3)}, dtype=object), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"cut\.npy"):
        restricted_load(tmp_path / "cut.npy")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path(os.devnull)):
        with pytest.raises(ValueError, match="expected a file"):
            restricted_load(path)


@pytest.mark.parametrize(("file", "count"), [("ucf", 101), ("activity", 200), ("vggsound", 309)])
def test_released_class_vectors(real_data, file, count):
    path = real_data / "text" / f"word_embeddings_{file}_normed.npy"
    vectors = restricted_load(path)
    assert len(vectors) == count
    assert all(v.shape == (300,) and v.dtype == np.float32 for v in vectors.values())
    assert np.allclose([np.linalg.norm(v) for v in vectors.values()], 1, atol=1e-5)
    assert same(np.load(path, allow_pickle=True).item(), vectors)
