"""Arrays in, features out: every form that carries the same numbers is the same dataset, and bad input is said."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avshot.classes.named_vectors import read_named_vectors
from avshot.data.import_arrays import import_arrays
from avshot.data.load import load_dataset, load_described
from avshot.data.split import SplitRule
from avshot.experiment import Experiment
from avshot.features.store.store import FeatureStore
from avshot.protocol import run
from own_arrays import FORMS, NAMES, ragged, save_as, save_h5, small_world, write_table

RULE = SplitRule(unseen_val=0, unseen_test=0)
LABELS = ("ant", "bee")


def table(folder, ids):
    return write_table(folder / "clips.csv", [(id, LABELS[i % 2]) for i, id in enumerate(ids)])


def imported(folder, ids, **arrays):
    return import_arrays(table(folder, ids), folder / "own.toml", arrays, rule=RULE)


def of_clip(features, row):
    """Values and times of one clip's modalities, without padding."""
    return {
        m: (
            getattr(features, m)[row][mask := getattr(features, f"{m}_mask")[row]],
            getattr(features, f"{m}_time")[row][mask],
        )
        for m in ("audio", "visual")
    }


numbers = st.floats(-1e6, 1e6, width=32)


@st.composite
def clips(draw):
    """Ids and sequences of one width, some missing; at least one is there."""
    count, dim = draw(st.integers(4, 8)), draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(0, 4), min_size=count, max_size=count).filter(any))
    ids = draw(st.lists(st.from_regex(r"[a-z0-9]{1,3}(/[A-Z.-]{0,3}[a-z])?", fullmatch=True),
                        min_size=count, max_size=count, unique_by=lambda id: id.partition("/")[0]))  # fmt: skip
    sequences = [
        np.array(draw(st.lists(numbers, min_size=n * dim, max_size=n * dim)), np.float32).reshape(n, dim) if n else None
        for n in lengths
    ]
    return ids, sequences, draw(st.permutations(range(count)))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clips())
def test_arrays_in_are_features_out_whatever_carries_them(tmp_path_factory, drawn):
    ids, sequences, order = drawn
    fingerprints = set()
    for form in FORMS:
        folder = tmp_path_factory.mktemp("form")
        found = imported(folder, ids, visual=save_as(form, folder, ids, sequences, shuffled=order))
        assert found.has == {"visual": frozenset(id for id, s in zip(ids, sequences, strict=True) if s is not None)}
        dataset = found.dataset
        there = [i for i, clip in enumerate(dataset.clips) if clip.id in found.has["visual"]]
        features = dataset.gather(there)
        for row, i in enumerate(there):
            value, time = of_clip(features, row)["visual"]
            wanted = sequences[ids.index(dataset.clips[i].id)]
            np.testing.assert_array_equal(value.numpy(), wanted)
            np.testing.assert_array_equal(time.numpy(), np.arange(len(wanted)))
        assert dataset.features.dims == (0, next(s.shape[1] for s in sequences if s is not None))
        fingerprints.add(dataset.fingerprint())
    assert len(fingerprints) == 1


def test_averages_are_one_step_in_every_form_and_type(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(6, 2) + 1
    ids = list("abcdef")
    (tmp_path / "folder").mkdir()
    for id, value in zip(ids, values, strict=True):
        np.save(tmp_path / "folder" / f"{id}.npy", value)
    np.save(tmp_path / "f4.npy", values)
    np.save(tmp_path / "f8.npy", np.asfortranarray(values.astype(">f8")))
    np.save(tmp_path / "i2.npy", values.astype(np.int16))
    np.save(tmp_path / "steps.npy", values[:, None])
    np.savez(tmp_path / "half.npz", features=values[::-1].astype(np.float16), ids=np.array(ids[::-1]))
    save_h5(tmp_path / "f.h5", dict(zip(ids, values, strict=True)))
    np.savez(tmp_path / "pieces.npz", **ragged([value[None] for value in values]))
    found = {}
    for i, place in enumerate(sorted(tmp_path.iterdir())):
        (tmp_path / f"out{i}").mkdir()
        dataset = imported(tmp_path / f"out{i}", ids, audio=place).dataset
        found[place.name] = dataset.fingerprint()
        np.testing.assert_array_equal(dataset.gather(range(6)).audio[:, 0].numpy(), values)
        assert dataset.gather([0]).audio_time.tolist() == [[0.0]]
    assert len(found) == 8
    assert len(set(found.values())) == 1


def test_times_come_with_the_arrays(tmp_path):
    sequences = [np.ones((n, 2), np.float32) for n in (3, 1, 2, 2)]
    steps = np.array([0.5, 1.5, 2.5, 0.25, 0.1, 0.2, 0.3, 0.4], np.float32)
    np.savez(tmp_path / "ragged.npz", times=steps, **ragged(sequences))
    dense = np.full((4, 3, 2), np.nan, np.float32)
    stamps = np.full((4, 3), np.nan, np.float32)
    for i, at in enumerate((slice(0, 3), slice(3, 4), slice(4, 6), slice(6, 8))):
        dense[i, : len(sequences[i])], stamps[i, : len(sequences[i])] = 1, steps[at]
    save_h5(tmp_path / "dense.h5", {"features": dense, "times": stamps})
    np.savez(tmp_path / "shared.npz", features=dense, times=np.array([0.5, 1.5, 2.5]))
    found = imported(tmp_path, "abcd", audio=tmp_path / "ragged.npz", visual=tmp_path / "dense.h5")
    assert not any("no times" in note for note in found.warnings)
    features = found.dataset.gather([0, 3])
    for modality in ("audio", "visual"):
        np.testing.assert_array_equal(of_clip(features, 0)[modality][1].numpy(), steps[:3])
        np.testing.assert_array_equal(of_clip(features, 1)[modality][1].numpy(), steps[6:])
    (tmp_path / "shared").mkdir()
    shared = imported(tmp_path / "shared", "abcd", audio=tmp_path / "shared.npz").dataset
    np.testing.assert_array_equal(of_clip(shared.gather([3]), 0)["audio"][1].numpy(), [0.5, 1.5])


def test_what_is_missing_and_what_is_odd_is_said(tmp_path):
    audio = np.ones((6, 3, 2), np.float32)
    audio[0], audio[1, 2:], audio[2], audio[3, 1:] = np.nan, np.nan, 0, 0
    visual = np.ones((6, 2), np.float32)
    visual[0] = visual[1] = np.nan
    np.save(tmp_path / "a.npy", audio)
    np.savez(tmp_path / "v.npz", features=visual, fps=np.array([25]))
    found = imported(tmp_path, "abcdef", audio=tmp_path / "a.npy", visual=tmp_path / "v.npz")
    assert found.has == {"audio": frozenset("bcdef"), "visual": frozenset("cdef")}
    store = found.dataset.features
    assert (store.status["a"], store.status["b"], store.status["c"]) == (
        "error: the arrays hold no features of it",
        "no_visual",
        "ok",
    )
    assert [id for id, _ in found.dataset.missing] == ["a"]
    told = " ".join(found.warnings)
    for words in (
        "1 clips have audio features of zeros alone, which count as features; where a clip has none, write NaN: c.",
        "1 clips have audio features that end in steps of zeros, which count as steps; where they are padding, write "
        "NaN or give lengths: d.",
        "audio steps have no times",
        "v.npz: nothing reads fps",
        "2 of 6 clips have no visual features: a, b.",
    ):
        assert words in told
    assert of_clip(found.dataset.gather([1]), 0)["audio"][0].shape == (2, 2)


BAD = {
    "rows": (lambda p: np.save(p / "f.npy", np.ones((5, 2))), "of 5 clips and the table has 4 lines"),
    "one number a clip": (lambda p: np.save(p / "f.npy", np.ones(4)), r"shape \(4,\); expected \[clip, dim\]"),
    "four axes": (lambda p: np.save(p / "f.npy", np.ones((4, 1, 1, 2))), "expected .clip, dim. or .clip, time, dim."),
    "no width": (lambda p: np.save(p / "f.npy", np.ones((4, 0))), r"clip 'a': an array of shape \(0,\)"),
    "text": (lambda p: np.save(p / "f.npy", np.array([["x"]] * 4)), "values of the type <U1; expected numbers"),
    "complex": (lambda p: np.save(p / "f.npy", np.ones((4, 2), complex)), "type complex128; expected numbers"),
    "objects": (
        lambda p: np.save(p / "f.npy", np.array([[1], [1, 2]] * 2, object)),
        "made of Python objects.*not read",
    ),
    "records": (lambda p: np.save(p / "f.npy", np.ones(4, [("x", "f4")])), "which are not read"),
    "infinity": (
        lambda p: np.save(p / "f.npy", [[1, 1], [1, np.inf], [1, 1], [1, 1]]),
        "clip 'b': 1 of 2 numbers are not finite .* the first in step 0",
    ),
    "half nan": (lambda p: np.save(p / "f.npy", [[1, 1], [1, 1], [1, np.nan], [1, 1]]), "clip 'c': 1 of 2 numbers"),
    "too large": (lambda p: np.save(p / "f.npy", np.full((4, 2), 1e300)), "clip 'a': 2 of 2 .*too large for 32 bits"),
    "nan between": (
        lambda p: np.save(p / "f.npy", np.array([[[1], [np.nan], [1]]] * 4)),
        "clip 'a': 1 of 3 numbers .* the first in step 1; .*padding is steps of NaN at the end",
    ),
    "nothing at all": (lambda p: np.save(p / "f.npy", np.full((4, 2), np.nan)), "holds audio features of no clip"),
    "cut off": (lambda p: cut(np.save, p / "f.npy", np.ones((4, 200))), r"f\.npy: damaged"),
    "no npy": (lambda p: (p / "f.npy").write_bytes(b"hello"), r"f\.npy: (damaged|made of)"),
    "empty": (lambda p: (p / "f.npy").touch(), r"f\.npy: damaged \(it ends too early: it is empty\)"),
    "no features": (lambda p: np.savez(p / "f.npz", feats=np.ones((4, 2))), "arrays feats; expected one called feat"),
    "ids as objects": (
        lambda p: np.savez(p / "f.npz", features=np.ones((4, 2)), ids=np.array(list("abcd"), object)),
        "ids is made of Python objects",
    ),
    "too few ids": (lambda p: npz(p, np.ones((4, 2)), ids=list("abc")), "3 ids and features of 4 clips"),
    "strange ids": (lambda p: npz(p, np.ones((2, 2)), ids=list("xy")), "no clip of the table: its ids begin with 'x'"),
    "an unknown id": (lambda p: npz(p, np.ones((2, 2)), ids=list("ax")), "1 clips that are not in the table: x;"),
    "an id twice": (lambda p: npz(p, np.ones((2, 2)), ids=["a", "a.mp4"]), "features of clip 'a' twice"),
    "ids as decimals": (lambda p: npz(p, np.ones((4, 2)), ids=[1.5] * 4), r"save it as text: ids\.astype\(str\)"),
    "offsets that fall": (lambda p: npz(p, np.ones((4, 2)), offsets=[0, 3, 2, 4, 4]), "do not cut the 4 steps"),
    "offsets too short": (lambda p: npz(p, np.ones((9, 2)), offsets=[0, 1, 2, 3, 4]), "end with 9"),
    "offsets of halves": (lambda p: npz(p, np.ones((4, 2)), offsets=[0.0, 4.0]), "offsets has .*expected whole num"),
    "offsets beside sequences": (lambda p: npz(p, np.ones((4, 2, 2)), offsets=[0, 4]), "expected .step, dim. beside"),
    "too many clips": (lambda p: npz(p, np.ones((4, 2)), offsets=[0, 1, 2, 3, 3, 4]), "of 5 clips and the table"),
    "lengths too long": (lambda p: npz(p, np.ones((4, 2, 2)), lengths=[1, 2, 3, 1]), "4 numbers from 0 to 2"),
    "lengths and offsets": (lambda p: npz(p, np.ones((4, 2)), lengths=[1], offsets=[0, 4]), "keep one"),
    "times of averages": (lambda p: npz(p, np.ones((4, 2)), times=[0, 1, 2, 3]), "need no times"),
    "times too few": (lambda p: npz(p, np.ones((4, 3, 2)), times=[0, 1]), r"expected \(4, 3\) or \(3,\) seconds"),
    "times of nothing": (
        lambda p: npz(p, np.ones((4, 3, 2)), times=[0, 1, np.nan]),
        "clip 'a': times that are not fin",
    ),
    "no zip": (lambda p: (p / "f.npz").write_bytes(b"PK not"), r"f\.npz is not an \.npz file"),
    "a broken zip": (lambda p: broken_zip(p / "f.npz"), r"f\.npz: features is damaged"),
    "no hdf5": (lambda p: (p / "f.h5").write_bytes(b"no"), r"f\.h5: no HDF5 file"),
    "an empty hdf5": (lambda p: save_h5(p / "f.h5", {}), "holds no arrays"),
    "widths": (
        lambda p: save_h5(p / "f.h5", {"a": np.ones(2), "b": np.ones(3)}),
        "clip 'b': 3 numbers a step, 2 before; expected one width",
    ),
    "a scalar for a clip": (lambda p: save_h5(p / "f.h5", {"a": 1.0}), r"clip 'a': an array of shape \(\)"),
    "text for a clip": (lambda p: save_h5(p / "f.h5", {"a": "x"}), "clip 'a': .*expected numbers"),
    "a folder of nothing": (lambda p: (p / "f").mkdir(), "holds no .npy files"),
    "a folder with another clip": (lambda p: per_clip(p, "ax"), "1 clips that are not in the table: x"),
    "another file": (lambda p: (p / "f.csv").touch(), "no file of arrays; expected .npy, .npz, .h5, .hdf5"),
    "nothing": (lambda p: None, "is not there; expected a file of arrays"),
}


def npz(path, features, **arrays):
    np.savez(path / "f.npz", features=features, **{name: np.array(array) for name, array in arrays.items()})


def cut(save, path, array):
    save(path, array)
    path.write_bytes(path.read_bytes()[:-7])


def broken_zip(path):
    np.savez(path, features=np.ones((4, 200)))
    content = bytearray(path.read_bytes())
    content[500] ^= 255
    path.write_bytes(content)


def per_clip(path, ids):
    (path / "f").mkdir()
    for id in ids:
        np.save(path / "f" / f"{id}.npy", np.ones(2))


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_one_sentence_and_leave_nothing(tmp_path, case):
    make, said = BAD[case]
    make(tmp_path)
    place = next(tmp_path.glob("f*"), tmp_path / "f.npy")
    with pytest.raises(ValueError, match=said) as error:
        imported(tmp_path, "abcd", audio=place)
    assert str(place) in str(error.value)
    assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"clips.csv", place.name}


def test_an_hdf5_file_is_not_followed_elsewhere(tmp_path):
    import h5py

    save_h5(tmp_path / "secret.h5", {"features": np.ones((4, 2))})
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["features"] = h5py.ExternalLink("secret.h5", "features")
    with pytest.raises(ValueError, match=r"f\.h5: .*features is a link to somewhere else"):
        imported(tmp_path, "abcd", audio=tmp_path / "f.h5")


def test_code_in_a_file_does_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.save(tmp_path / "f.npy", np.array([[Evil()]] * 4, object), allow_pickle=True)
    np.savez(tmp_path / "f.npz", features=np.array([[Evil()]] * 4, object))
    for name in ("f.npy", "f.npz"):
        with pytest.raises(ValueError, match="Python objects"):
            imported(tmp_path, "abcd", audio=tmp_path / name)
    with pytest.raises(ValueError, match="asks for"):
        read_named_vectors(tmp_path / "f.npy")
    assert not (tmp_path / "ran").exists()


def test_unknown_clips_may_be_left_out(tmp_path):
    per_clip(tmp_path, ["a", "b.mp4", "x"])
    found = import_arrays(
        table(tmp_path, "abcd"), tmp_path / "own.toml", {"audio": tmp_path / "f"}, rule=RULE, skip_unknown=True
    )
    assert found.has["audio"] == {"a", "b"}
    assert any("1 clips are left out, not in the table: x." in note for note in found.warnings)


def test_folds_are_as_the_table_states_them(tmp_path):
    folds = ("train", "train", "val_seen", "test_seen", "", "test_unseen")
    labels = ("ant", "bee", "ant", "ant", "ant", "cow")
    rows = [(f"v/{i}.mp4", *pair, "g") for i, pair in enumerate(zip(labels, folds, strict=True))]
    source = write_table(tmp_path / "clips.csv", rows, ("Filename", "Label", "Fold", "group"))
    np.save(tmp_path / "a.npy", np.ones((6, 2), np.float32))
    found = import_arrays(source, tmp_path / "own.toml", {"audio": tmp_path / "a.npy"})
    ids = {fold: [found.dataset.clips[i].id for i in clips] for fold, clips in found.dataset.folds.items()}
    assert ids == {
        "train": ["v/0", "v/1"], "val_seen": ["v/2"], "val_unseen": [], "test_seen": ["v/3"], "test_unseen": ["v/5"],
    }  # fmt: skip
    assert {clip.group for clip in found.dataset.clips} == {"g"}
    assert any("1 clips of" in note and "in no fold" in note for note in found.warnings)
    with pytest.raises(ValueError, match="has a column fold, which states the folds"):
        import_arrays(source, tmp_path / "own.toml", {"audio": tmp_path / "a.npy"}, rule=SplitRule())


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        (("name", "label"), [("a", "x")], "no column id or clip or filename; its columns: name, label"),
        (("id", "class"), [("a", "x")], "no column label"),
        (("id", "label"), [], "no lines"),
        (("id", "label"), [("a", "x"), ("a", "y")], r"line 3 has the id 'a' again \(line 2"),
        (("id", "label"), [("a", "x"), ("", "y")], "line 3 has nothing in column 'id'"),
        (("id", "label"), [("a", "x"), ("b", "")], "line 3 has nothing in column 'label'"),
        (("id", "label"), [("a", "dog"), ("b", "Dog")], "line 3 has the label 'Dog', line 2 'dog'"),
        (("id", "label", "fold"), [("a", "x", "test")], "line 2: clip 'a' is in fold 'test'; expected train"),
        (("id", "label", "fold"), [("a", "x", ""), ("b", "y", "")], "a column fold with nothing in it"),
        (
            ("id", "label", "fold"),
            [("a", "x", "train"), ("b", "x", "test_unseen")],
            "line 3 has 'x' in fold 'test_unseen', line 2 in 'train'",
        ),
    ],
)
def test_bad_tables_are_named_with_their_line(tmp_path, header, rows, said):
    source = write_table(tmp_path / "clips.csv", rows, header)
    np.save(tmp_path / "a.npy", np.ones((2, 2)))
    with pytest.raises(ValueError, match=said):
        import_arrays(source, tmp_path / "own.toml", {"audio": tmp_path / "a.npy"})


def test_a_column_that_looks_like_folds_is_not_passed_over(tmp_path):
    rows = [(f"{i}", LABELS[i % 2], "train") for i in range(8)]
    source = write_table(tmp_path / "clips.csv", rows, ("id", "label", "split"))
    np.save(tmp_path / "a.npy", np.ones((8, 2)))
    found = import_arrays(source, tmp_path / "own.toml", {"audio": tmp_path / "a.npy"}, rule=RULE)
    assert "Nothing reads the column split, and the folds are drawn" in found.warnings[0]


def test_the_same_again_changes_nothing_and_another_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((8, 2), np.float32))
    first = imported(tmp_path, "abcdefgh", audio=tmp_path / "a.npy")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "own.features").rglob("*.safetensors")}
    again = imported(tmp_path, "abcdefgh", audio=tmp_path / "a.npy")
    assert again.dataset.fingerprint() == first.dataset.fingerprint()
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "own.features").rglob("*.safetensors")} == before
    np.save(tmp_path / "a.npy", np.full((8, 2), 2, np.float32))
    with pytest.raises(ValueError, match=r"own\.features is there and holds other features.*--overwrite"):
        imported(tmp_path, "abcdefgh", audio=tmp_path / "a.npy")
    assert load_dataset(str(tmp_path / "own.toml")).fingerprint() == first.dataset.fingerprint()
    options = {"rule": RULE, "overwrite": True}
    other = import_arrays(tmp_path / "clips.csv", tmp_path / "own.toml", {"audio": tmp_path / "a.npy"}, **options)
    assert other.dataset.fingerprint() != first.dataset.fingerprint()
    assert other.dataset.gather([0]).audio.tolist() == [[[2.0, 2.0]]]
    assert not list(tmp_path.glob(".*")), "nothing half made is left"


def test_features_of_videos_are_never_replaced(tmp_path):
    from avshot.features.store.store import StoreWriter

    with StoreWriter(str(tmp_path / "own.features"), spec={"audio": {"name": "logmel"}}) as writer:
        writer.add("a", audio=np.ones((1, 2)), audio_time=[0.0])
    np.save(tmp_path / "a.npy", np.ones((4, 2)))
    options = {"rule": RULE, "overwrite": True}
    with pytest.raises(ValueError, match="was not made by an import of arrays"):
        import_arrays(table(tmp_path, "abcd"), tmp_path / "own.toml", {"audio": tmp_path / "a.npy"}, **options)
    assert FeatureStore(str(tmp_path / "own.features")).ids == ["a"]


def test_a_dataset_whose_store_is_gone_says_what_makes_it(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 2)))
    imported(tmp_path, "abcd", audio=tmp_path / "a.npy")
    (tmp_path / "own.features").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="has no features; import the arrays again with `avshot import`"):
        load_described(str(tmp_path / "own.toml"))


def vectors(seed=0, names=NAMES):
    return dict(zip(names, np.random.default_rng(seed).normal(size=(len(names), 4)).astype(np.float32), strict=True))


def test_class_vectors_are_joined_by_name_whatever_their_order(tmp_path):
    _, made = small_world(tmp_path)
    np.save(tmp_path / "a.npy", made["audio"])
    given = vectors()
    spelt = {name.upper().replace(" ", "_"): vector for name, vector in reversed(given.items())} | {"none": np.ones(4)}
    text = {"own": spelt, "other": vectors(1)}
    found = import_arrays(tmp_path / "clips.csv", tmp_path / "own.toml", {"audio": tmp_path / "a.npy"}, text=text)
    assert any("'own' has 1 vectors more than the table has classes" in note for note in found.warnings)
    dataset = load_dataset(str(tmp_path / "own.toml"))
    assert sorted(dataset.text) == ["other", "own"]
    for name, row in zip(dataset.names, dataset.text["own"], strict=True):
        torch.testing.assert_close(row, torch.from_numpy(given[name] / np.linalg.norm(given[name])))
    text = {"own": vectors(2)}
    sources = (tmp_path / "clips.csv", tmp_path / "own.toml", {"audio": tmp_path / "a.npy"})
    changed = import_arrays(*sources, text=text, overwrite=True)
    assert changed.dataset.fingerprint() != dataset.fingerprint()


def test_a_declared_dataset_may_name_any_file_of_vectors(tmp_path):
    _, made = small_world(tmp_path)
    np.save(tmp_path / "a.npy", made["audio"])
    import_arrays(tmp_path / "clips.csv", tmp_path / "own.toml", {"audio": tmp_path / "a.npy"})
    plain = (tmp_path / "own.toml").read_text()
    given = vectors()
    np.savez(tmp_path / "w.npz", names=np.array(list(given)), vectors=np.stack(list(given.values())))
    (tmp_path / "own.toml").write_text(f'{plain}\n[text]\nmine = "w.npz"\n')
    found = load_dataset(str(tmp_path / "own.toml")).text["mine"]
    wanted = np.stack([given[name] for name in sorted(given)])
    np.testing.assert_allclose(found.numpy(), wanted / np.linalg.norm(wanted, axis=1, keepdims=True), rtol=1e-5)
    for section, said in (
        ('mine = "gone.npz"', "keeps the class vectors 'mine' in .*gone.npz, which is not there"),
        ("mine = 3", "has \\[text\\] of another form"),
        ('mine = "names.txt"', "no file of class vectors"),
    ):
        (tmp_path / "own.toml").write_text(f"{plain}\n[text]\n{section}\n")
        with pytest.raises(ValueError, match=said):
            load_dataset(str(tmp_path / "own.toml"))


def test_a_class_without_a_vector_is_named_before_anything_is_written(tmp_path):
    _, made = small_world(tmp_path)
    np.save(tmp_path / "a.npy", made["audio"])
    few = {name: vector for name, vector in vectors().items() if name != "red dog"} | {"red dogs": np.ones(4)}
    with pytest.raises(ValueError, match=r"no vector for 1 of 9 classes: 'red dog' \(nearest: 'red dogs'\)"):
        import_arrays(tmp_path / "clips.csv", tmp_path / "own.toml", {"audio": tmp_path / "a.npy"}, text={"own": few})
    with pytest.raises(ValueError, match="Got the text encoder 'a b'"):
        import_arrays(tmp_path / "clips.csv", tmp_path / "own.toml", {"audio": tmp_path / "a.npy"}, text={"a b": few})
    assert not list(tmp_path.glob("own*"))


def test_runs_are_equal_whichever_form_carried_the_numbers(tmp_path):
    ids, made = small_world(tmp_path, time=2)
    text = read_named_vectors(tmp_path / "t.npy", tmp_path / "names.txt")
    runs = {}
    for form in (".npy", ".h5 ragged", "folder"):
        places = {}
        for modality, features in made.items():
            folder = tmp_path / form.strip(".").replace(" ", "-") / modality
            folder.mkdir(parents=True)
            places[modality] = save_as(form, folder, ids, list(features), shuffled=range(len(ids))[::-1])
        toml = folder.parent / "own.toml"
        import_arrays(tmp_path / "clips.csv", toml, places, text={"own": text})
        recipe = {"epochs": 2, "batches_per_epoch": 4, "batch_size": 16}
        runs[form] = run(Experiment(dataset=str(toml), method="devise", recipe=recipe), folder.parent / "run")
    first, *others = runs.values()
    assert first.info["encoders"] == ["own"]
    for other in others:
        assert other.metrics == first.metrics
        assert torch.equal(other.scored("test").scores, first.scored("test").scores)
        assert other.info["data"]["fingerprint"] == first.info["data"]["fingerprint"]
