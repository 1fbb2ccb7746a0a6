"""Single files of released features: numbers, or a sentence that names the file and the clip."""

import pickle
import struct

import h5py
import numpy as np
import pytest

from avshot.data.official.files import check_finite, clean_id, count_wrong, read_features, read_names
from avshot.files.pickles.arrays import as_numbers

IDS = [b"v_A_g01_c01", b"v_A_g01_c02", b"v_A_g01_c03"]
DATA = np.arange(6, dtype=np.float32).reshape(3, 2)


def write(path, data=DATA, urls=IDS, **more):
    with h5py.File(path, "w") as file:
        if data is not None:
            file.create_dataset("data", data=data, **more)
        if urls is not None:
            file["video_urls"] = urls
    return path


@pytest.mark.parametrize("kind", ["<f4", ">f4", "f2", "f8", "i4", "u1", "?"])
@pytest.mark.parametrize("more", [{}, {"compression": "gzip"}, {"compression": "lzf", "chunks": (2, 2)}])
def test_numbers_of_every_plain_kind(tmp_path, kind, more):
    names, arrays = read_features(write(tmp_path / "a.h5", DATA.astype(kind), **more))
    assert names == tuple(id.decode() for id in IDS)
    assert np.array_equal(np.concatenate(arrays), DATA.astype(kind).astype(np.float32))
    assert arrays[0].dtype == np.float32
    assert read_names(tmp_path / "a.h5") == (names, 3)


def test_names_of_every_kind(tmp_path):
    for i, kind in enumerate((h5py.string_dtype(), h5py.string_dtype("ascii"), "S20")):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            file["data"] = DATA
            names = [f"b'{id.decode()}.mp4'" for id in IDS]
            data = np.array(names, "S") if kind == "S20" else names
            file.create_dataset("video_urls", data=data, dtype=kind)
        assert read_names(tmp_path / f"{i}.h5")[0] == tuple(id.decode() for id in IDS)


def linked(file, kind):
    del file["data"]
    file["data"] = kind


def virtual(file, other):
    del file["data"]
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource(str(other), "data", (3, 2))
    file.create_virtual_dataset("data", layout)


def replaced(file, key, **more):
    del file[key]
    file.create_dataset(key, **more)


ODD = {
    "no data": (lambda file: file.__delitem__("data"), "it has no data"),
    "no names": (lambda file: file.__delitem__("video_urls"), "it has no video_urls"),
    "three axes": (lambda file: replaced(file, "data", data=DATA[None]), "shape"),
    "one axis": (lambda file: replaced(file, "data", data=DATA.ravel()), "shape"),
    "text": (lambda file: replaced(file, "data", data=np.array([[b"abc"] * 2] * 3)), "type"),
    "complex": (lambda file: replaced(file, "data", data=DATA.astype(complex)), "type"),
    "records": (lambda file: replaced(file, "data", data=np.zeros((3, 2), [("a", "f4")])), "type"),
    "nothing": (lambda file: replaced(file, "data", data=h5py.Empty("f4")), "no table"),
    "group": (lambda file: (file.__delitem__("data"), file.create_group("data")), "no table"),
    "fewer names": (lambda file: replaced(file, "video_urls", data=IDS[:2]), "expected one id each"),
    "more names": (lambda file: replaced(file, "video_urls", data=[*IDS, b"x"]), "expected one id each"),
    "numbers for names": (lambda file: replaced(file, "video_urls", data=[1, 2, 3]), "expected text"),
    "names in Latin-1": (lambda file: replaced(file, "video_urls", data=[b"\xe9", b"a", b"b"]), "not UTF-8"),
    "empty name": (lambda file: replaced(file, "video_urls", data=[b"", b"a", b"b"]), "without a letter"),
    "external link": (lambda file: linked(file, h5py.ExternalLink("/etc/passwd", "x")), "a link"),
    "soft link": (lambda file: linked(file, h5py.SoftLink("/video_urls")), "a link"),
    "broken link": (lambda file: linked(file, h5py.SoftLink("/nowhere")), "a link"),
    "never written": (
        lambda file: replaced(file, "data", shape=(3, 1000), dtype="f4", chunks=(1, 1000)),
        "never written",
    ),
    "huge": (lambda file: replaced(file, "data", shape=(10**9, 1000), dtype="f4", chunks=(1000, 1000)), "cannot hold"),
    "huge and packed": (
        lambda file: replaced(file, "data", shape=(3, 10**8), dtype="f4", chunks=(1, 10**6), compression="gzip"),
        "cannot hold",
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_h5_files_are_named(tmp_path, case):
    change, said = ODD[case]
    path = write(tmp_path / "Archery.h5")
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(ValueError, match=rf"Archery\.h5 is not a released feature file.*{said}"):
        read_features(path)
    with pytest.raises(ValueError, match=r"Archery\.h5 is not a released feature file"):
        read_names(path)


def test_values_from_other_files_are_refused(tmp_path):
    other = write(tmp_path / "other.h5")
    path = write(tmp_path / "virtual.h5")
    with h5py.File(path, "a") as file:
        virtual(file, other)
    with pytest.raises(ValueError, match=r"virtual\.h5.*data lies in other files"):
        read_features(path)
    (tmp_path / "raw").write_bytes(DATA.tobytes())
    with h5py.File(path, "a") as file:
        replaced(file, "data", shape=(3, 2), dtype="f4", external=[(str(tmp_path / "raw"), 0, 24)])
    with pytest.raises(ValueError, match=r"virtual\.h5.*data lies in other files"):
        read_features(path)


@pytest.mark.parametrize("cut", [0, 7, 100, 900, -100])
def test_cut_h5_files_are_named(tmp_path, cut):
    path = write(tmp_path / "whole.h5")
    (tmp_path / "cut.h5").write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"cut\.h5 is not a released feature file"):
        read_features(tmp_path / "cut.h5")


def pickled(path, features, names=IDS):
    path.write_bytes(pickle.dumps({"features": features, "video_names": names, "fps": [25]}))
    return path


ROWS = [DATA[:2], DATA[:1], DATA]
ODD_PICKLES = {
    "list": ([1, 2], "expected a dictionary"),
    "no names": ({"features": ROWS}, "expected a dictionary"),
    "features in a text": ({"features": "abc", "video_names": IDS}, "to be lists"),
    "too many": ({"features": [*ROWS, DATA], "video_names": IDS}, "4 features for 3 clips"),
    "none": ({"features": [None, *ROWS[1:]], "video_names": IDS}, "'v_A_g01_c01'"),
    "text": ({"features": ["abc", *ROWS[1:]], "video_names": IDS}, "'v_A_g01_c01'"),
    "object": ({"features": [np.array([{}], object), *ROWS[1:]], "video_names": IDS}, "'v_A_g01_c01'"),
    "ragged": (
        {"features": [[[1, 2], [3]], *ROWS[1:]], "video_names": IDS},
        "unequal lengths, expected numbers for clip 'v_A_g01_c01'",
    ),
    "complex": ({"features": [DATA + 0j, *ROWS[1:]], "video_names": IDS}, "complex64.*'v_A_g01_c01'"),
    "three axes": ({"features": [DATA[None], *ROWS[1:]], "video_names": IDS}, "'v_A_g01_c01'"),
    "width": ({"features": [DATA, DATA[:, :1], DATA], "video_names": IDS}, "2 numbers a step.*and 1 for 'v_A_g01_c02'"),
    "a number for a name": ({"features": ROWS, "video_names": [5, *IDS[1:]]}, "type int"),
    "Latin-1": ({"features": ROWS, "video_names": [b"\xe9", *IDS[1:]]}, "not UTF-8"),
}


@pytest.mark.parametrize("case", ODD_PICKLES)
def test_odd_pickles_are_named(tmp_path, case):
    content, said = ODD_PICKLES[case]
    (tmp_path / "Archery.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=rf"Archery\.pkl.*{said}"):
        read_features(tmp_path / "Archery.pkl")


def test_flat_and_empty_features_of_clipclap(tmp_path):
    names, arrays = read_features(pickled(tmp_path / "a.pkl", [np.zeros(0, np.float32), [1.0, 2.0]]))
    assert names == tuple(id.decode() for id in IDS)
    assert [array.tolist() for array in arrays] == [[], [[1.0, 2.0]]]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e39, -1e300])
@pytest.mark.parametrize("suffix", ["h5", "pkl"])
def test_numbers_that_are_not_finite_are_named(tmp_path, wrong, suffix):
    data = DATA.astype(np.float64)
    data[1, 0] = wrong
    path = tmp_path / f"Archery.{suffix}"
    if suffix == "h5":
        write(path, data)
    else:
        pickled(path, list(data[:, None]))
    names, arrays = read_features(path)
    assert [count_wrong(array) for array in arrays] == [0, 1, 0]
    with pytest.raises(
        ValueError, match=rf"Archery\.{suffix} holds 1 of 2 numbers for clip 'v_A_g01_c02' that are not"
    ):
        check_finite(path, names, arrays)


def test_the_largest_float_is_a_number():
    largest = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
    assert count_wrong(as_numbers([largest, -largest, 1e-45])) == 0


@pytest.mark.parametrize("name", [5, None, b"\xff", "", b""])
def test_what_is_no_id(name):
    with pytest.raises(ValueError, match="an id"):
        clean_id(name)
