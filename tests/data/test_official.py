import numpy as np
import pytest
import released
import torch

from avshot.data.dataset import load_dataset
from avshot.data.official import load_official_benchmark
from avshot.data.official_tables import read_tables


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
    with pytest.raises(ValueError, match="1 UCF classes have no class vector: 'TaiChi'"):
        load_official_benchmark(tmp_path, "UCF", text={"w2v": tmp_path / "w2v.npy"})
    with pytest.raises(ValueError, match="6 class vectors for 7 classes"):
        load_official_benchmark(tmp_path, "UCF", text={"w2v": tmp_path / "w2v.npy"}, legacy=True)


def test_load_dataset_reads_the_options(tmp_path):
    released.write_lists(tmp_path)
    file = released.write_vectors(tmp_path / "w2v.npy")
    found = load_dataset(f"official:{tmp_path}?name=UCF&split=main&legacy=true&text.w2v={file}")
    assert found.name == "UCF-main-legacy"
    assert list(found.text) == ["w2v"]
    with pytest.raises(ValueError, match="expected name and, where wanted"):
        load_dataset(f"official:{tmp_path}?split=main")
    with pytest.raises(ValueError, match="legacy is 'maybe'"):
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
