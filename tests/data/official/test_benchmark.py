import numpy as np
import pytest
import torch

import released
from avshot.data.load import load_dataset
from avshot.data.official.benchmark import load_official_benchmark, released_descriptions
from avshot.data.official.tables import read_tables


def ids_of(dataset, fold):
    return [dataset.clips[i].id for i in dataset.folds[fold]]


def test_lists_define_the_split_and_tables_the_clips(tmp_path):
    released.write_lists(tmp_path)
    main = load_official_benchmark(tmp_path, "UCF", split="main")
    cls = load_official_benchmark(tmp_path, "UCF", split="cls")
    assert {fold: len(rows) for fold, rows in main.folds.items()} == {
        "train": 9,
        "val_seen": 3,
        "val_unseen": 3,
        "test_seen": 4,
        "test_unseen": 4,
    }
    assert main.classes_of("test_unseen") == ("TaiChi", "Typing")
    assert cls.classes_of("test_unseen") == ("TaiChi",)
    assert ids_of(cls, "test_unseen") == ["v_TaiChi_g00_c01", "v_TaiChi_g00_c02"]
    assert main.features is None
    assert main.text == {}
    assert main.phrases["CleanAndJerk"] == "Weight Lifting"


def test_class_names_match_whatever_their_case(tmp_path):
    found = load_official_benchmark(released.write_lists(tmp_path), "UCF")
    assert "HandstandPushups" in found.classes_of("train")
    assert "HandStandPushups" not in found.names
    assert sum(clip.label == "HandstandPushups" for clip in found.clips) == 4


def test_tables_of_either_split_and_either_folder_name_will_do(tmp_path):
    released.write_lists(tmp_path, tables=("main",))
    (tmp_path / "UCF" / "class-split").rename(tmp_path / "UCF" / "class_split")
    assert len(load_official_benchmark(tmp_path / "UCF", "UCF", split="cls").folds["test_unseen"]) == 2


def test_sources_are_the_recordings(tmp_path):
    found = load_official_benchmark(released.write_lists(tmp_path), "UCF")
    assert found.clips[0].group == "v_Archery_g00"
    assert found.straddling() == ("v_Archery_g02", "v_BoxingSpeedBag_g01", "v_HandStandPushups_g01")


def test_without_a_table_and_features_a_fold_is_empty_and_says_so(tmp_path):
    released.write_lists(tmp_path)
    for path in (tmp_path / "UCF" / "class-split").glob("*/stage_1_train.csv"):
        path.unlink()
    found = load_official_benchmark(tmp_path, "UCF")
    assert len(found.folds["train"]) == 0
    assert len(found.classes_of("train")) == 3
    assert any("fold train has no clips" in note for note in found.warnings())


def test_class_vectors_by_name_and_by_position(tmp_path):
    released.write_lists(tmp_path)
    file = released.write_vectors(tmp_path / "w2v.npy")
    right = load_official_benchmark(tmp_path, "UCF", text={"w2v": file})
    for i, name in enumerate(right.names):
        assert right.text["w2v"][i].tolist() == released.vectors()[released.SPELLED[name]].tolist()
    used = load_official_benchmark(tmp_path, "UCF", text={"w2v": file}, legacy=True)
    order = sorted(released.SPELLED.values())  # Weight Lifting moves to the end: the classes behind it move up
    assert order[2:] == ["Drumming", "Handstand Pushups", "Tai Chi", "Typing", "Weight Lifting"]
    for i in range(len(order)):
        assert used.text["w2v"][i].tolist() == released.vectors()[order[i]].tolist()
    assert used.name == "UCF-cls-legacy"
    assert right.fingerprint() != used.fingerprint()


def test_class_vectors_beside_the_features_are_found(tmp_path):
    released.write_h5(released.write_lists(tmp_path))
    folder = tmp_path / "UCF" / "features" / "cls_features" / "text"
    released.write_vectors(folder / "word_embeddings_ucf_normed.npy")
    assert set(load_official_benchmark(tmp_path, "UCF").text) == {"w2v"}
    released.write_vectors(folder / "wavcaps_word_embeddings_ucf_normed.npy")
    assert list(load_official_benchmark(tmp_path, "UCF").text) == ["clip", "clap"]


def test_a_class_without_a_vector(tmp_path):
    released.write_lists(tmp_path)
    content = released.vectors()
    del content["Tai Chi"]
    np.save(tmp_path / "w2v.npy", np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="1 UCF classes have no class vector in .*w2v.npy: 'TaiChi'"):
        load_official_benchmark(tmp_path, "UCF", text={"w2v": tmp_path / "w2v.npy"})
    with pytest.raises(ValueError, match="6 class vectors in .* for 7 classes"):
        load_official_benchmark(tmp_path, "UCF", text={"w2v": tmp_path / "w2v.npy"}, legacy=True)


def test_load_dataset_reads_the_options(tmp_path):
    released.write_lists(tmp_path)
    file = released.write_vectors(tmp_path / "w2v.npy")
    found = load_dataset(f"official:{tmp_path}?name=UCF&split=main&legacy=true&text.w2v={file}")
    assert found.name == "UCF-main-legacy"
    assert list(found.text) == ["w2v"]
    with pytest.raises(ValueError, match="expected name and, where wanted"):
        load_dataset(f"official:{tmp_path}?split=main")
    with pytest.raises(ValueError, match="expected name and, where wanted"):
        released_descriptions(f"official:{tmp_path}?split=main")
    with pytest.raises(ValueError, match="option legacy is 'maybe'; expected true or false"):
        load_dataset(f"official:{tmp_path}?name=UCF&legacy=maybe")


def test_wrong_names_and_folders(tmp_path):
    released.write_lists(tmp_path)
    with pytest.raises(ValueError, match="'Kinetics' is not known; expected one of UCF, ActivityNet, VGGSound"):
        load_official_benchmark(tmp_path, "Kinetics")
    with pytest.raises(ValueError, match="'test' is not known; expected one of main, cls"):
        load_official_benchmark(tmp_path, "UCF", split="test")
    with pytest.raises(ValueError, match="has no folder class-split"):
        load_official_benchmark(tmp_path / "none", "UCF")
    with pytest.raises(ValueError, match="'c3d' are not there; .* has nothing"):
        load_official_benchmark(tmp_path, "UCF", features="c3d")
    released.write_h5(tmp_path)
    released.write_pickles(tmp_path)
    with pytest.raises(ValueError, match="several features for the cls split: cls_features, cls_features_non_averaged"):
        load_official_benchmark(tmp_path, "UCF")


# Clips and classes of each fold, as Table 1 of AVCA has them (main) and as the released text lists have them (cls).
COUNTS = {
    "UCF": ((3174, 30), (353, 30), (1467, 12), (555, 42), (1267, 9), (845, 6)),
    "ActivityNet": ((9204, 99), (1023, 99), (4307, 51), (1615, 150), (4199, 50), (4052, 48)),
    "VGGSound": ((0, 138), (7817, 138), (3102, 69), (9032, 207), (3450, 69), (3200, 64)),  # no training table
}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_published_counts(name, real_data):
    main, cls = (load_dataset(f"official:{real_data}/splits?name={name}&split={split}") for split in ("main", "cls"))
    found = [tuple((len(d.folds[fold]), len(d.classes_of(fold))) for fold in d.folds) for d in (main, cls)]
    assert found[0] == COUNTS[name][:5]
    assert found[1] == (*COUNTS[name][:4], COUNTS[name][5])
    assert len(main.names) == {"UCF": 101, "ActivityNet": 200, "VGGSound": 309}[name]
    training = read_tables(f"{real_data}/splits", name).retrain
    assert (None if training is None else len(training)) == {"UCF": 4994, "ActivityNet": 14534}.get(name)


def test_real_class_vectors_are_joined_by_name(real_data):
    file = real_data / "text" / "word_embeddings_ucf_normed.npy"
    right, used = (
        load_official_benchmark(f"{real_data}/splits", "UCF", text={"w2v": file}, legacy=legacy).text["w2v"]
        for legacy in (False, True)
    )
    assert right.shape == used.shape == (101, 300)
    torch.testing.assert_close(right.norm(dim=1), torch.ones(101))
    assert int((right != used).any(dim=1).sum()) == 79


def with_features(root):
    released.write_h5(released.write_lists(root))
    return root / "UCF" / "features" / "cls_features" / "text"


def test_without_released_vectors_a_note_says_so(tmp_path):
    text = with_features(tmp_path)
    found = load_official_benchmark(tmp_path, "UCF")
    assert found.text == {}
    assert any("text holds no class vectors (word_embeddings_ucf_normed.npy), so" in note for note in found.notes)
    released.write_vectors(text / "word_embeddings_vggsound_normed.npy")  # that of another benchmark
    found = load_official_benchmark(tmp_path, "UCF")
    assert any("but word_embeddings_vggsound_normed.npy" in note for note in found.notes)
    released.write_vectors(text / "word_embeddings_ucf_normed.npy")
    found = load_official_benchmark(tmp_path, "UCF")
    assert list(found.text) == ["w2v"]
    assert not any("class vectors" in note for note in found.notes)


@pytest.mark.parametrize("kind", ["folder", "loop", "gone", "broken", "text is a file", "text is gone"])
def test_released_vectors_that_cannot_be_reached_are_an_error(tmp_path, kind):
    text = with_features(tmp_path)
    file = text / "word_embeddings_ucf_normed.npy"
    if kind.startswith("text"):
        text.write_text("x") if kind.endswith("file") else text.symlink_to(tmp_path / "nowhere")
    else:
        text.mkdir()
        {
            "folder": file.mkdir,
            "loop": lambda: file.symlink_to(file.name),
            "gone": lambda: file.symlink_to(tmp_path / "nowhere"),
            "broken": lambda: file.write_bytes(b"not numpy"),
        }[kind]()
    with pytest.raises(ValueError, match=r"text.*(cannot be reached|is no file|is no folder|not a readable)"):
        load_official_benchmark(tmp_path, "UCF")


def test_vectors_that_were_asked_for_and_are_not_there(tmp_path):
    with_features(tmp_path)
    with pytest.raises(ValueError, match="There is no file '.*none.npy' of class vectors"):
        load_dataset(f"official:{tmp_path}?name=UCF&text.w2v={tmp_path / 'none.npy'}")
    with pytest.raises(ValueError, match="names no encoder"):
        load_dataset(f"official:{tmp_path}?name=UCF&text.=x")


BAD_VECTORS = {
    "nan": (lambda v: v * np.nan, "'Drumming': numbers that are not finite"),
    "inf": (lambda v: v + np.inf, "'Drumming': numbers that are not finite"),
    "too large": (lambda v: v.astype(np.float64) * 1e39, "'Drumming': numbers that are not finite"),
    "too long": (lambda v: v + np.float32(3e38), "'Drumming': numbers that are not finite"),
    "zeros": (lambda v: v * 0, "'Drumming': a vector of zeros"),
    "text": (lambda v: "abc", "'Drumming': values of the type <U3"),
    "complex": (lambda v: v.astype(complex), "'Drumming': values of the type complex"),
    "matrix": (lambda v: np.stack([v, v]), "'Drumming': an array of shape"),
    "none": (lambda v: None, "'Drumming': values of the type object"),
    "short": (lambda v: v[:-1], "numbers for 'Drumming'"),
}


@pytest.mark.parametrize("case", BAD_VECTORS)
def test_wrong_class_vectors_are_named(tmp_path, case):
    change, said = BAD_VECTORS[case]
    vectors = released.vectors()
    vectors["Drumming"] = change(vectors["Drumming"])
    np.save(tmp_path / "w2v.npy", np.array(vectors, dtype=object), allow_pickle=True)
    released.write_lists(tmp_path)
    with pytest.raises(ValueError, match=rf"w2v\.npy.*{said}"):
        load_official_benchmark(tmp_path, "UCF", text={"w2v": tmp_path / "w2v.npy"})


def test_a_row_and_names_in_bytes_are_class_vectors_too(tmp_path):
    vectors = {name.encode(): vector[None] for name, vector in released.vectors().items()}
    np.save(tmp_path / "w2v.npy", np.array(vectors, dtype=object), allow_pickle=True)
    found = load_official_benchmark(released.write_lists(tmp_path), "UCF", text={"w2v": tmp_path / "w2v.npy"})
    assert found.text["w2v"].shape == (len(released.SPELLED), len(released.SPELLED))


def edit(path, change):
    path.write_bytes(change(path.read_bytes()))


def test_marks_and_line_ends_of_lists_and_tables(tmp_path):
    plain = load_official_benchmark(released.write_lists(tmp_path), "UCF")
    for path in (tmp_path / "UCF" / "class-split").rglob("*.*"):
        edit(path, lambda data: b"\xef\xbb\xbf" + data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    marked = load_official_benchmark(tmp_path, "UCF")
    assert (marked.names, marked.clips, dict(marked.phrases)) == (plain.names, plain.clips, dict(plain.phrases))


TABLE, LIST, ALL = "main_split/stage_1_train.csv", "cls_split/stage_1_train.txt", "all_class.txt"
ODD_LISTS = {
    "Latin-1 list": (LIST, lambda d: d + b"caf\xe9\n", r"stage_1_train\.txt is not UTF-8 text \(line 4\)"),
    "two bytes a letter": (LIST, lambda d: d.decode().encode("utf-16"), r"stage_1_train\.txt is not"),
    "zeros": (LIST, lambda d: d + b"\0", r"stage_1_train\.txt is not text"),
    "no header": (TABLE, lambda d: d.split(b"\n", 1)[1], r"stage_1_train\.csv has no column filename, label"),
    "semicolons": (TABLE, lambda d: d.replace(b",", b";"), r"stage_1_train\.csv has no column .*separated by commas"),
    "empty": (TABLE, lambda d: b"", r"stage_1_train\.csv has no column"),
    "short row": (TABLE, lambda d: d + b"v_x\n", r"stage_1_train\.csv line 11 has nothing in column label"),
    "long row": (TABLE, lambda d: d + b"v_x,Archery,0,1\n", r"stage_1_train\.csv line 11 has 4 cells"),
    "twice": (
        TABLE,
        lambda d: d + d.split(b"\n")[1] + b"\n",
        r"stage_1_train\.csv line 11 names clip .* a second time",
    ),
    "open quote": (TABLE, lambda d: d + b'"v_x,Archery,0\n', r"stage_1_train\.csv line \d+ is no row"),
    "huge cell": (TABLE, lambda d: d + b"x" * 200_000 + b",Archery,0\n", r"stage_1_train\.csv line 11 is no row"),
    "class twice": (ALL, lambda d: d + b"Archery\n", r"all_class\.txt names class 'Archery' twice"),
}


@pytest.mark.parametrize("case", ODD_LISTS)
def test_odd_lists_are_named_with_the_line(tmp_path, case):
    file, change, said = ODD_LISTS[case]
    edit(released.write_lists(tmp_path) / "UCF" / "class-split" / file, change)
    with pytest.raises(ValueError, match=said):
        load_official_benchmark(tmp_path, "UCF")


@pytest.mark.parametrize("start", ["-1", "nan", "1e400", "1,5", "x"])
def test_starts_that_are_no_seconds(tmp_path, start):
    path = released.write_lists(tmp_path) / "UCF" / "class-split" / TABLE
    released.write_csv(path, ["filename", "label", "start_seconds"], [["v_x", "Archery", start]])
    with pytest.raises(ValueError, match=r"stage_1_train\.csv line 2 has start_seconds"):
        read_tables(tmp_path, "UCF")
