import h5py
import numpy as np
import pytest
import torch

import released
from avshot.data.official.benchmark import load_official_benchmark
from avshot.data.official.features import OfficialFeatures, clean_id


def ids_of(dataset, fold):
    return [dataset.clips[i].id for i in dataset.folds[fold]]


def check_values(dataset):
    """Every clip of every fold has its own audio and video features."""
    rows = np.concatenate(list(dataset.folds.values()))
    features = dataset.gather(rows)
    audio, visual = features.pooled()
    ids = [dataset.clips[i].id for i in rows]
    assert audio[:, 0].tolist() == [released.value(id, "audio") for id in ids]
    assert visual[:, 2].tolist() == [released.value(id, "visual") for id in ids]
    assert features.dims == (2, 3)
    return ids, features


def test_averaged_features_are_joined_by_clip_id(tmp_path):
    released.write_h5(released.write_lists(tmp_path))
    found = load_official_benchmark(tmp_path, "UCF")
    _, features = check_values(found)
    assert features.audio.shape[1] == features.visual.shape[1] == 1
    assert float(features.audio_time.abs().max()) == 0.0
    assert found.missing == ()


def test_sequences_keep_their_length_and_the_authors_times(tmp_path):
    released.write_pickles(released.write_lists(tmp_path))
    found = load_official_benchmark(tmp_path, "UCF", split="main", features="cls_features_non_averaged")
    ids, features = check_values(found)
    assert features.audio_mask.sum(dim=1).tolist() == [released.steps(id)[0] for id in ids]
    assert features.visual_mask.sum(dim=1).tolist() == [released.steps(id)[1] for id in ids]
    longest = int(features.visual_mask.sum(dim=1).argmax())
    torch.testing.assert_close(features.visual_time[longest], torch.tensor([0.0, 0.64, 1.28, 1.92]))
    torch.testing.assert_close(features.audio_time.max(), torch.tensor(2 * 0.96))
    assert float(features.audio[~features.audio_mask].abs().max()) == 0.0


def test_main_features_have_a_step_a_second(tmp_path):
    released.write_pickles(released.write_lists(tmp_path), folder="main_features_non_averaged")
    features = check_values(load_official_benchmark(tmp_path, "UCF", split="main"))[1]
    assert float(features.visual_time.max()) == 3.0


def test_flat_vectors_of_clipclap(tmp_path):
    released.write_pickles(released.write_lists(tmp_path), flat=True)
    features = check_values(load_official_benchmark(tmp_path, "UCF"))[1]
    assert features.audio.shape[1] == 1


def test_a_class_file_with_fewer_features_than_names_loses_the_last(tmp_path):
    def drop(content, kind, stage, label):
        if (stage, label) == ("stage_1_train", "Archery"):
            content["features"].pop()

    released.write_pickles(released.write_lists(tmp_path), flat=True, change=drop)
    found = load_official_benchmark(tmp_path, "UCF")
    assert found.missing == (("v_Archery_g01_c02", "error: its class files name it but hold no features for it"),)
    check_values(found)


def test_an_empty_array_is_a_missing_modality(tmp_path):
    def empty(content, kind, stage, label):
        if (kind, stage, label) == ("audio", "stage_1_train", "Archery"):
            content["features"][1] = np.zeros((0, 2), np.float32)

    released.write_pickles(released.write_lists(tmp_path), change=empty)
    found = load_official_benchmark(tmp_path, "UCF")
    row = next(i for i, clip in enumerate(found.clips) if clip.id == "v_Archery_g00_c02")
    assert found.features.status["v_Archery_g00_c02"] == "no_audio"
    features = found.gather([row, row + 1])
    assert features.has_audio.tolist() == [False, True]
    assert features.has_visual.tolist() == [True, True]
    assert found.missing == ()


def test_a_clip_in_one_modality_only(tmp_path):
    skip = [("v_TaiChi_g00_c01", "visual"), ("v_TaiChi_g00_c02", "audio"), ("v_TaiChi_g00_c02", "visual")]
    released.write_h5(released.write_lists(tmp_path), skip=skip)
    found = load_official_benchmark(tmp_path, "UCF")
    assert found.missing == (("v_TaiChi_g00_c02", "not extracted"),)
    features = found.gather(found.folds["test_unseen"])
    assert (features.has_audio.tolist(), features.has_visual.tolist()) == ([True], [False])
    assert float(features.visual.abs().max()) == 0.0


def test_without_a_table_the_clips_are_those_of_the_feature_files(tmp_path):
    released.write_h5(released.write_lists(tmp_path))
    full = load_official_benchmark(tmp_path, "UCF")
    for path in (tmp_path / "UCF" / "class-split").glob("*/stage_1_train.csv"):
        path.unlink()
    found = load_official_benchmark(tmp_path, "UCF")
    assert ids_of(found, "train") == ids_of(full, "train")
    assert found.clips == full.clips
    assert any("stage_1_train is not there; its clips are those of the feature files" in note for note in found.notes)
    check_values(found)


def test_a_feature_store_can_stand_in(tmp_path):
    from avshot.features.store.store import StoreWriter

    released.write_lists(tmp_path)
    with StoreWriter(str(tmp_path / "store"), spec={"made": "here"}) as writer:
        for pairs in released.clip_ids().values():
            for id, _ in pairs:
                one, two = (np.full((2, dim), released.value(id, m)) for m, dim in (("audio", 2), ("visual", 3)))
                writer.add(id, audio=one, audio_time=np.arange(2), visual=two, visual_time=np.arange(2))
    check_values(load_official_benchmark(tmp_path, "UCF", features=tmp_path / "store"))


def test_features_of_another_dataset_are_refused(tmp_path):
    def rename(content, kind, stage, label):
        content["video_names"] = [f"{stage}{label}{i}".encode() for i in range(len(content["video_names"]))]

    released.write_pickles(released.write_lists(tmp_path), change=rename)
    with pytest.raises(ValueError, match="None of the features belongs to a clip of UCF"):
        load_official_benchmark(tmp_path, "UCF")


def test_files_that_are_not_features(tmp_path):
    released.write_h5(released.write_lists(tmp_path))
    path = tmp_path / "UCF" / "features" / "cls_features" / "audio" / "stage_1_train" / "Archery.h5"
    path.write_bytes(b"not hdf5")
    with pytest.raises(ValueError, match=r"Archery\.h5 is not a released feature file"):
        load_official_benchmark(tmp_path, "UCF")
    with pytest.raises(ValueError, match="holds no .h5 or .pkl files"):
        OfficialFeatures(tmp_path, "cls")


def test_the_spec_tells_files_apart(tmp_path):
    released.write_h5(released.write_lists(tmp_path))
    before = load_official_benchmark(tmp_path, "UCF").fingerprint()
    assert load_official_benchmark(tmp_path, "UCF").fingerprint() == before
    (tmp_path / "UCF" / "features" / "cls_features" / "audio" / "stage_1_train" / "Archery.h5").unlink()
    assert load_official_benchmark(tmp_path, "UCF").fingerprint() != before


@pytest.mark.parametrize(
    ("stored", "id"),
    [
        (b"v_A_g01_c01", "v_A_g01_c01"),
        ("b'v_A_g01_c01'", "v_A_g01_c01"),
        ("UCF/v_A_g01_c01.avi", "v_A_g01_c01"),
        ("-0iEMffOYwo_000005", "-0iEMffOYwo_000005"),
        ("b", "b"),
    ],
)
def test_ids_are_cleaned(stored, id):
    assert clean_id(stored) == id


def test_numbers_that_are_not_finite_are_found_before_any_training(tmp_path):
    def wrong(content, kind, stage, label):
        if (kind, stage, label) == ("visual", "stage_2_test_seen", "Archery"):
            content["features"][0][0, 1] = np.nan

    released.write_pickles(released.write_lists(tmp_path), change=wrong)
    with pytest.raises(ValueError, match=r"Archery\.pkl holds 1 of \d+ numbers for clip 'v_Archery_g02_c02'"):
        load_official_benchmark(tmp_path, "UCF")
    released.write_h5(tmp_path, folder="main_features")
    path = tmp_path / "UCF" / "features" / "main_features" / "audio" / "stage_1_train" / "Archery.h5"
    with h5py.File(path, "a") as content:
        content["data"][1] = np.inf
    found = load_official_benchmark(tmp_path, "UCF", split="main")
    for use in (found.fingerprint, lambda: found.features.dims, lambda: found.averaged, lambda: found.gather([0])):
        with pytest.raises(ValueError, match=r"Archery\.h5 holds 2 of 2 numbers for clip 'v_Archery_g00_c02'"):
            use()


def test_what_files_and_tables_disagree_on_is_noted(tmp_path):
    def change(content, kind, stage, label):
        if (stage, label) == ("stage_2_test_unseen", "TaiChi"):
            content["video_names"][0] = b"v_Nobody_g00_c01"
        if (kind, stage, label) == ("audio", "stage_1_train", "Archery"):
            content["features"][1] = np.zeros((0, 2), np.float32)

    released.write_pickles(released.write_lists(tmp_path), change=change)
    notes = " ".join(load_official_benchmark(tmp_path, "UCF").warnings())
    assert "1 clips of the feature files are in no table: v_Nobody_g00_c01." in notes
    assert "1 clips have no audio features in" in notes
    assert "1 clips are left out because they have no features: v_TaiChi_g00_c01 (not extracted)." in notes


def test_clips_in_the_file_of_another_class_are_noted(tmp_path):
    released.write_h5(released.write_lists(tmp_path))
    for modality in ("audio", "video"):
        folder = tmp_path / "UCF" / "features" / "cls_features" / modality / "stage_1_train"
        (folder / "Archery.h5").rename(folder / "Drumming.h5")
    notes = load_official_benchmark(tmp_path, "UCF").notes
    assert any("4 clips lie in the feature file of another class" in note for note in notes)
    assert any("v_Archery_g00_c01 (Archery, in the file of Drumming)" in note for note in notes)


def test_other_widths_in_one_file_are_named(tmp_path):
    def narrow(content, kind, stage, label):
        if (kind, stage, label) == ("visual", "stage_1_val_seen", "Archery"):
            content["features"] = [array[:, :1] for array in content["features"]]

    released.write_pickles(released.write_lists(tmp_path), change=narrow)
    with pytest.raises(ValueError, match=r"stage_1_val_seen/Archery\.pkl holds visual features of 1 numbers"):
        _ = load_official_benchmark(tmp_path, "UCF").features.dims
