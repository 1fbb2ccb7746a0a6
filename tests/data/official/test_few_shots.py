"""Users' own copies of the few-shot folders, written here in the layout that the released program reads."""

import pickle
from pathlib import Path

import numpy as np
import pytest

import released
from avshot.data.load import load_dataset
from avshot.data.official.few_shots import load_few_shots
from avshot.files.unpickle import restricted_load

SHOTS = 2
BASE = {"Archery": 6, "CleanAndJerk": 5}
NOVEL = {"val": ("BoxingSpeedBag", "Drumming"), "test": ("TaiChi", "HandstandPushups")}
CLIPS = 7  # of each novel class
DRAWS = ("", "_1", "_2")


def name_of(label, number):
    return f"v_{label}_g{number // 2:02d}_c{number % 2 + 1:02d}"


def content():
    """`{folder: {class: clip numbers}}`: draw d trains on clips d and d + 1 of each novel class of the test."""
    found = {
        "stage_1_train_base": {label: range(n - 3) for label, n in BASE.items()},
        "stage_1_val_seen": {label: range(n - 3, n - 2) for label, n in BASE.items()},
        "stage_2_test_seen": {label: range(n - 2, n) for label, n in BASE.items()},
        "stage_1_train_novel": {label: range(SHOTS) for label in NOVEL["val"]},
        "stage_1_val_novel": {label: range(SHOTS, CLIPS) for label in NOVEL["val"]},
    }
    for draw, ending in enumerate(DRAWS):
        shots = range(draw, draw + SHOTS)
        found[f"stage_2_train_novel{ending}"] = dict.fromkeys(NOVEL["test"], shots)
        left = [i for i in range(CLIPS) if i not in shots]
        found[f"stage_2_test_novel{ending}"] = dict.fromkeys(NOVEL["test"], left)
    return found


def lists():
    base, (n1, n2) = list(BASE), NOVEL.values()
    return {
        "stage_1_base_train": base,
        "stage_1_novel_train": n1,
        "stage_1_val_seen": base,
        "stage_1_val_unseen": n1,
        "stage_2_base_train": [*base, *n1],
        "stage_2_novel_train": n2,
        "stage_2_test_seen": base,
        "stage_2_test_unseen": n2,
    }


def write(root, *, change=None, draws=DRAWS, texts=True):
    """`root/class-split` and `root/features/2-shot`; file stems are spelt as nobody else spells them."""
    folder = root / "class-split" / f"{SHOTS}-shot"
    folder.mkdir(parents=True)
    (root / "class-split" / "all_class.txt").write_text("\n".join(released.SPELLED) + "\n")
    released.write_csv(
        root / "class-split" / "ucf_w2v_class_names.csv", ["original", "manual"], released.SPELLED.items()
    )
    for name, labels in lists().items():
        (folder / f"{name}.txt").write_text("\n".join(labels) + "\n")
    features = root / "features" / f"{SHOTS}-shot"
    for stage, classes in content().items():
        if "stage_2" in stage and "novel" in stage and not any(stage.endswith(f"novel{end}") for end in draws):
            continue
        for modality, kind, dim in (("audio", "audio", 2), ("video", "visual", 3)):
            for label, numbers in classes.items():
                ids = [name_of(label, number) for number in numbers]
                arrays = [
                    np.full((released.steps(id)[kind == "visual"], dim), released.value(id, kind), np.float32)
                    for id in ids
                ]
                stored = {"features": arrays, "fps": [25.0] * len(ids), "video_names": [f"{id}.avi" for id in ids]}
                if change is not None:
                    change(stage, kind, label, stored)
                path = features / modality / stage / f"{label.upper()}.pkl"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(pickle.dumps(stored))
    if texts:
        released.write_vectors(features / "text" / "word_embeddings_ucf_normed.npy")
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "UCF").parent


def clips_of(dataset, fold):
    return sorted(dataset.clips[i].id for i in dataset.folds[fold])


SPEC = f"?name=UCF&shots={SHOTS}"


def ids_in(*stages):
    return sorted(name_of(label, n) for stage in stages for label, all in content()[stage].items() for n in all)


def test_the_folders_are_folds(root):
    found = load_dataset(f"official:{root}{SPEC}")
    assert (found.name, found.shots) == (f"UCF-fsl-{SHOTS}", SHOTS)
    assert {fold: clips_of(found, fold) for fold in found.folds} == {
        "train": ids_in("stage_1_train_base"),
        "val_seen": ids_in("stage_1_val_seen"),
        "val_unseen": ids_in("stage_1_val_novel", "stage_1_train_novel"),
        "test_seen": ids_in("stage_2_test_seen"),
        "test_unseen": ids_in("stage_2_test_novel", "stage_2_train_novel"),
        "val_shots": ids_in("stage_1_train_novel"),
        "test_shots": ids_in("stage_2_train_novel"),
        "test_shots_2": ids_in("stage_2_train_novel_1"),
        "test_shots_3": ids_in("stage_2_train_novel_2"),
    }
    for ending in DRAWS:  # so what a draw tests needs no fold of its own
        tested = set(clips_of(found, "test_unseen")) - set(ids_in(f"stage_2_train_novel{ending}"))
        assert sorted(tested) == ids_in(f"stage_2_test_novel{ending}")
    for fold in found.folds:
        kinds = {"train": BASE, "seen": BASE}.get(
            fold.rpartition("_")[2], NOVEL[fold.partition("_")[0]] if "_" in fold else ()
        )
        assert set(found.classes_of(fold)) == set(kinds), fold
    assert len(found.clips) == sum(BASE.values()) + 4 * CLIPS  # a clip of three draws is one clip
    assert found.missing == ()
    assert found.notes == ()
    assert load_dataset(f"official:{root / 'UCF'}{SPEC}").fingerprint() == found.fingerprint()


def test_a_draw_that_tests_other_clips_has_a_fold_of_them(tmp_path):
    def change(stage, kind, label, stored):
        if stage == "stage_2_test_novel_2":
            for values in stored.values():
                del values[1:]

    write(tmp_path / "UCF", change=change)
    found = load_dataset(f"official:{tmp_path}{SPEC}")
    assert "test_unseen_2" not in found.folds
    left = [next(iter(numbers)) for numbers in content()["stage_2_test_novel_2"].values()]
    assert clips_of(found, "test_unseen_3") == sorted(map(name_of, NOVEL["test"], left))


def test_features_times_and_vectors_are_those_of_each_clip(root):
    found = load_dataset(f"official:{root}{SPEC}")
    for i, clip in enumerate(found.clips):
        features = found.gather([i])
        audio, visual = released.steps(clip.id)
        assert features.audio.shape == (1, audio, 2)
        assert features.visual.shape == (1, visual, 3)
        assert set(features.audio.flatten().tolist()) == {released.value(clip.id, "audio")}
        assert set(features.visual.flatten().tolist()) == {released.value(clip.id, "visual")}
        assert features.audio_time[0, -1] == pytest.approx(0.96 * (audio - 1))
        assert features.visual_time[0, -1] == pytest.approx(0.64 * (visual - 1))
    for row, name in zip(found.text["w2v"], found.names, strict=True):
        assert row.tolist() == released.vectors()[released.SPELLED[name]].tolist()
    used = load_dataset(f"official:{root}{SPEC}&legacy=true")
    assert used.name == f"UCF-fsl-{SHOTS}-legacy"
    assert used.text["w2v"].tolist() != found.text["w2v"].tolist()


@pytest.mark.parametrize(("draws", "folds"), [(("",), ["test_shots"]), (("", "_2"), ["test_shots", "test_shots_2"])])
def test_fewer_draws_and_no_vectors_are_told(tmp_path, draws, folds):
    write(tmp_path / "UCF", draws=draws, texts=False)
    found = load_dataset(f"official:{tmp_path}{SPEC}")
    assert [fold for fold in found.folds if fold.startswith("test_shots")] == folds
    assert clips_of(found, folds[-1]) == ids_in(f"stage_2_train_novel{draws[-1]}")
    told = " ".join(found.notes)
    assert f"folders for {len(draws)} of 3 draws" in told
    assert "holds no class vectors" in told
    assert found.text == {}


def test_oddities_are_told(tmp_path):
    def change(stage, kind, label, stored):
        if (stage, label) == ("stage_1_train_novel", "Drumming"):
            for values in stored.values():
                del values[1:]

    root = write(tmp_path / "UCF", change=change)
    folder = root / "class-split" / f"{SHOTS}-shot"
    (folder / "stage_2_base_train.txt").write_text("Archery\nCleanAndJerk\nDrumming\n")
    (folder / "stage_2_test_seen.txt").write_text("Archery\n")
    told = load_few_shots(tmp_path, "UCF", SHOTS).notes
    assert "1 classes in stage_1_train_novel have not 2 clips: Drumming (1)." in told
    assert any("not the union of the two training lists of stage 1: BoxingSpeedBag" in note for note in told)
    assert any("2 clips lie in files of classes that are not listed: v_CleanAndJerk" in note for note in told)


def test_another_number_of_shots_is_drawn_from_the_zero_shot_folder(tmp_path):
    released.write_h5(released.write_lists(tmp_path))
    found = load_dataset(f"official:{tmp_path}?name=UCF&shots=1")
    plain = load_dataset(f"official:{tmp_path}?name=UCF")
    assert (found.name, found.shots, plain.shots) == ("UCF-fsl-1", 1, None)
    assert {fold: rows.tolist() for fold, rows in found.folds.items()} == {
        fold: rows.tolist() for fold, rows in plain.folds.items()
    }
    assert any("no lists of 1 shots, so the shots are drawn" in note for note in found.notes)
    assert load_dataset(f"official:{tmp_path}?name=UCF&split=main&shots=1").name == "UCF-main"


def other_numbers(stage, kind, label, stored):
    if stage == "stage_2_train_novel_2" and kind == "visual":
        stored["features"][0] = stored["features"][0] + 1


def two_classes(stage, kind, label, stored):
    if (stage, label) == ("stage_1_val_novel", "Drumming"):
        stored["video_names"][0] = "v_Archery_g00_c01.avi"


def twice(stage, kind, label, stored):
    if stage == "stage_1_val_novel":
        stored["video_names"][1] = stored["video_names"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_numbers, "holds other features of clip 'v_.*' than a folder before it"),
        (twice, "is in .* and in another audio file; expected one"),
        (two_classes, "two classes, 'Archery' and 'Drumming'"),
        (lambda *given: given[-1]["features"].append(np.zeros((1, 2))), r"has \d features for \d clips"),
        (lambda *given: given[-1].pop("video_names"), "not a released feature file; expected a dictionary"),
    ],
)
def test_damaged_folders_are_refused_in_a_sentence(tmp_path, change, message):
    write(tmp_path / "UCF", change=change)
    with pytest.raises(ValueError, match=message):
        load_dataset(f"official:{tmp_path}{SPEC}").gather([0])


def test_missing_parts_are_named(root):
    features, lists = root / "UCF" / "features" / f"{SHOTS}-shot", root / "UCF" / "class-split" / f"{SHOTS}-shot"
    (lists / "stage_2_novel_train.txt").rename(lists / "gone")
    with pytest.raises(ValueError, match=r"stage_2_novel_train.txt is not there"):
        load_dataset(f"official:{root}{SPEC}")
    (lists / "gone").rename(lists / "stage_2_novel_train.txt")
    (features / "audio" / "stage_1_val_novel").rename(features / "audio" / "gone")
    with pytest.raises(ValueError, match="no folder stage_1_val_novel; expected those of the released program"):
        load_dataset(f"official:{root}{SPEC}")
    with pytest.raises(ValueError, match="shots is 0; expected how many"):
        load_dataset(f"official:{root}?name=UCF&shots=0")
    with pytest.raises(ValueError, match="option shots is 'five'"):
        load_dataset(f"official:{root}?name=UCF&shots=five")
    with pytest.raises(ValueError, match="neither main_split nor cls_split"):
        load_dataset(f"official:{root}?name=UCF&shots=20")


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path("trapped"),))


def test_nothing_in_a_pickle_is_run(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = root / "UCF" / "features" / f"{SHOTS}-shot" / "audio" / "stage_1_train_base" / "ARCHERY.pkl"
    path.write_bytes(pickle.dumps({"features": [], "video_names": [], "fps": Trap()}))
    with pytest.raises(ValueError, match=r"ARCHERY.pkl"):
        load_dataset(f"official:{root}{SPEC}")
    with pytest.raises(ValueError, match=r"ARCHERY.pkl"):
        restricted_load(path)
    assert not (tmp_path / "trapped").exists()
