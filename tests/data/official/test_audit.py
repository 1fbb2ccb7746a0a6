import json

import h5py
import numpy as np
import pytest

import released
from avshot.data.official.audit import audit

TEXT = {"UCF": "ucf", "ActivityNet": "activity", "VGGSound": "vggsound"}


@pytest.fixture
def small(tmp_path):
    released.write_lists(tmp_path)
    released.write_vectors(tmp_path / "w2v.npy")
    rows = [[name, "is", "looks", "sounds"] for name in sorted(released.SPELLED.values())]
    released.write_csv(tmp_path / "d.csv", ["name", "description_1", "description_2", "description_3"], rows)
    return tmp_path


def test_known_answers(small):
    found = audit(small, "UCF", small / "w2v.npy", descriptions=small / "d.csv")

    def numbers(section, item):
        finding = found.value(section, item)
        return finding.found, finding.total

    assert numbers("classes", "all") == (7, None)
    assert numbers("classes", "in some fold") == (6, 7)  # Drumming is in none
    assert numbers("classes", "test_unseen (cls)") == (1, None)
    assert numbers("classes", "both seen and unseen (main)") == (0, None)
    assert numbers("clips", "train") == (9, None)
    assert numbers("clips", "stage-2 training") == (15, None)
    assert numbers("clips", "test_unseen (main)") == (4, None)
    assert numbers("clips", "test_unseen (cls)") == (2, None)
    assert numbers("clips", "stage-2 training against stage 1") == (0, 15)
    assert numbers("lists", "only in the table, test_unseen (cls)") == (1, None)
    assert found.value("lists", "only in the table, test_unseen (cls)").note == "Typing"
    assert numbers("lists", "names spelt in two ways") == (1, None)
    # CleanAndJerk is keyed Weight Lifting, so it and the four classes behind it get the next one's vector.
    assert found.misjoined["all"] == (5, 7, 0.0)
    assert found.misjoined["train"] == (2, 3, 0.0)
    assert found.misjoined["val_unseen"] == (0, 1, None)
    assert found.misjoined["test_unseen (main)"] == (2, 2, 0.0)
    assert numbers("descriptions", "misjoined when addressed by class id") == (5, 7)
    # The 6th Archery, 4th Boxing and 4th Handstand share a recording with the clip before; the 5th Clean begins one.
    assert numbers("shared sources", "test_seen") == (3, 4)
    assert numbers("shared sources", "test_unseen") == (0, 4)


def test_what_is_missing_is_unknown_and_said(small):
    for stage in ("stage_1_train", "stage_2_train"):
        for path in (small / "UCF" / "class-split").glob(f"*/{stage}.csv"):
            path.unlink()
    found = audit(small, "UCF")
    assert found.value("clips", "train").found is None
    assert found.value("clips", "stage-2 training").note.endswith("at least 6, from the stage-1 tables that are")
    shared = found.value("shared sources", "test_seen")
    assert shared.found is None
    assert "stage_1_train.csv, stage_2_train.csv not there; at least" in shared.note
    assert found.value("classes", "train").found == 3
    assert found.misjoined == {}


def test_clips_and_classes_in_two_places_are_counted(small):
    base = small / "UCF" / "class-split"
    for split in ("main_split", "cls_split"):
        with open(base / split / "stage_2_test_unseen.txt", "a") as file:
            file.write("Archery\n")
        with open(base / split / "stage_2_test_seen.csv", "a") as file:
            file.write("v_Archery_g00_c01,Archery,0\n")
    found = audit(small, "UCF")
    assert found.value("classes", "both seen and unseen (cls)").found == 1
    assert found.value("classes", "both seen and unseen (cls)").note == "Archery"
    assert found.value("clips", "both in training and in a test fold").found == 1
    assert found.value("lists", "listed without clips, test_unseen (main)").note == "Archery"


def test_forms(small):
    found = audit(small, "UCF", small / "w2v.npy")
    assert json.loads(json.dumps(found.to_dict()))["misjoined"]["all"] == [5, 7, 0.0]
    assert ("class vectors", "misjoined by position, val_unseen", "0 / 1", "") in found.to_rows()
    text = found.render()
    assert text.startswith("UCF-GZSL\n\nclasses\n")
    assert all(len(line) < 200 for line in text.splitlines())
    with pytest.raises(ValueError, match="no clips: elsewhere; it has classes: all"):
        found.value("clips", "elsewhere")


def test_descriptions_of_another_form(small):
    released.write_csv(small / "e.csv", ["class"], [["x"]])
    with pytest.raises(ValueError, match="no column name"):
        audit(small, "UCF", descriptions=small / "e.csv")
    with pytest.raises(ValueError, match="not there"):
        audit(small, "UCF", descriptions=small / "f.csv")


# Classes that get another's vector: all, train, val_unseen, stage-2 training, test_unseen main and cls; mean cosine.
MISJOINED = {
    "VGGSound": ((205, 309), (84, 138), (51, 69), (135, 207), (42, 69), (38, 64), 0.56),
    "UCF": ((79, 101), (23, 30), (8, 12), (31, 42), (5, 9), (4, 6), 0.41),
    "ActivityNet": ((8, 200), (5, 99), (2, 51), (7, 150), (1, 50), (1, 48), 0.66),
}
ITEMS = ("all", "train", "val_unseen", "stage-2 training", "test_unseen (main)", "test_unseen (cls)")
DROPPED = {
    "UCF": "BandMarching, BrushingTeeth, Typing",
    "VGGSound": "airplane, helicopter, sharpen knife, thunder, wind chime",
    "ActivityNet": "Brushingteeth, Knitting",
}
SHARED = {
    "UCF": ((555, 555), (0, 1267)),
    "ActivityNet": ((784, 1615), (1, 4199)),
    "VGGSound": ((None, 9032), (None, 3450)),
}


@pytest.mark.parametrize("name", sorted(TEXT))
def test_the_released_benchmarks(name, real_data):
    text = real_data / "text"
    descriptions = text / "descriptions" / f"{name}.csv"
    found = audit(
        f"{real_data}/splits", name, text / f"word_embeddings_{TEXT[name]}_normed.npy", descriptions=descriptions
    )
    assert tuple(found.misjoined[item][:2] for item in ITEMS) == MISJOINED[name][:6]
    assert found.misjoined["test_unseen (main)"][2] == pytest.approx(MISJOINED[name][6], abs=0.005)
    dropped = found.value("lists", "only in the table, test_unseen (cls)")
    assert (dropped.found, dropped.note) == (len(DROPPED[name].split(", ")), DROPPED[name])
    wrong = found.value("descriptions", "misjoined when addressed by class id").found
    assert wrong == {"VGGSound": 205, "ActivityNet": 8, "UCF": 0}[name]
    shared = [found.value("shared sources", fold) for fold in ("test_seen", "test_unseen")]
    assert tuple((finding.found, finding.total) for finding in shared) == SHARED[name]
    assert ("cannot be computed" in shared[0].note) == (name == "VGGSound")
    assert found.value("clips", "both in training and in a test fold").found == 0
    used = found.value("classes", "in some fold")
    assert used.found == {"VGGSound": 276, "ActivityNet": 200, "UCF": 51}[name]
    assert found.value("lists", "names spelt in two ways").found == (1 if name == "UCF" else 0)


def test_numbers_that_are_not_finite_and_broken_files_are_counted(small):
    released.write_h5(small)
    released.write_pickles(small)
    folder = small / "UCF" / "features"
    with h5py.File(folder / "cls_features" / "audio" / "stage_1_train" / "Archery.h5", "a") as file:
        numbers = file["data"].size
        file["data"][1] = np.nan
        file["data"][2, 0] = np.inf
    (folder / "cls_features_non_averaged" / "video" / "stage_1_train" / "Archery.pkl").write_bytes(b"x")
    (folder / "other").mkdir()
    found = audit(small, "UCF")
    wrong = found.value("features", "not finite, cls_features")
    assert (wrong.found, wrong.note) == (3, "audio/stage_1_train/Archery.h5: 3 nan or inf, first in v_Archery_g00_c02")
    assert wrong.total > numbers
    assert found.value("features", "cannot be read, cls_features").found == 0
    broken = found.value("features", "cannot be read, cls_features_non_averaged")
    assert broken.found == 1
    assert "Archery.pkl is not a readable pickle" in broken.note
    assert {finding.item for finding in found.findings if finding.section == "features"} == {
        f"{what}, {name}"
        for what in ("not finite", "cannot be read")
        for name in ("cls_features", "cls_features_non_averaged")
    }


def test_odd_tables_of_descriptions_are_named(small):
    (small / "d.csv").write_bytes("name,description_1\nCaf\u00e9,x\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"d\.csv is not UTF-8 text \(line 2\)"):
        audit(small, "UCF", descriptions=small / "d.csv")
