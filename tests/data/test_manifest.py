import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from avshot.data.listing import Columns
from avshot.data.load import load_dataset
from avshot.data.manifest import declare, features_path, load_manifest
from avshot.data.split import SplitRule


def videos(folder, counts):
    for label, count in counts.items():
        (folder / label).mkdir(parents=True)
        for i in range(count):
            (folder / label / f"{i:02d}.mp4").write_text(label)
    return folder


def table(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    for row in rows:
        (path.parent / row[0]).touch()
    return path


def per_label(dataset):
    return {
        fold: Counter(dataset.clips[i].label for i in rows) for fold, rows in dataset.folds.items() if len(rows) > 0
    }


def test_folder_with_fractions(tmp_path):
    source = videos(tmp_path / "videos", {"ant": 20, "beee": 20, "c": 20, "do": 20, "eeeel": 7})
    rule = SplitRule(unseen_val=("c",), unseen_test=("do",), val=0.15, test=0.25)
    made = declare(source, tmp_path / "zoo.toml", rule=rule)
    assert made.warnings == ()
    found = load_dataset(str(tmp_path / "zoo.toml"))
    assert found.name == "zoo"
    assert found.names == ("ant", "beee", "c", "do", "eeeel")
    assert per_label(found) == {
        "train": {"ant": 12, "beee": 12, "eeeel": 4},
        "val_seen": {"ant": 3, "beee": 3, "eeeel": 1},
        "val_unseen": {"c": 20},
        "test_seen": {"ant": 5, "beee": 5, "eeeel": 2},
        "test_unseen": {"do": 20},
    }
    assert Path(found.clips[0].path).is_file()
    assert found.clips[0].id == "ant/00"
    assert found.fingerprint() == made.dataset.fingerprint()


def test_the_dataset_can_be_moved_with_its_videos(tmp_path):
    videos(tmp_path / "here" / "videos", {"ant": 3, "bee": 3, "cow": 3, "dog": 3})
    rule = SplitRule(unseen_val=1, unseen_test=1)
    made = declare(tmp_path / "here" / "videos", tmp_path / "here" / "sets" / "zoo.toml", rule=rule)
    (tmp_path / "here").rename(tmp_path / "there")
    found = load_manifest(tmp_path / "there" / "sets" / "zoo.toml")
    assert found.fingerprint() == made.dataset.fingerprint()
    assert all(Path(clip.path).is_file() for clip in found.clips)
    assert str(tmp_path) not in (tmp_path / "there" / "sets" / "zoo.folds.csv").read_text()


def test_paths_hold_behind_a_symbolic_link(tmp_path):
    videos(tmp_path / "deep" / "down" / "videos", {"ant": 3, "bee": 3, "cow": 3, "dog": 3})
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "down")
    declare(tmp_path / "link" / "videos", tmp_path / "zoo.toml", rule=SplitRule(unseen_val=1, unseen_test=1))
    assert all(Path(clip.path).is_file() for clip in load_manifest(tmp_path / "zoo.toml").clips)
    declare(tmp_path / "link" / "videos", tmp_path / "link" / "zoo.toml", rule=SplitRule(unseen_val=1, unseen_test=1))
    assert all(Path(clip.path).is_file() for clip in load_manifest(tmp_path / "link" / "zoo.toml").clips)


def test_table_with_combined_label_spans_and_groups(tmp_path):
    rows = [
        [f"{c}{i}.mp4", c, k, i, i + 2.5, f"g{i}"] for c in ("bin", "lay") for k in ("red", "blue") for i in range(3)
    ]
    rows = [[f"{row[1]}-{row[2]}-{i}.mp4", *row[1:]] for i, row in enumerate(rows)]
    source = table(tmp_path / "labels.csv", ["filename", "command", "colour", "start", "end", "group"], rows)
    rule = SplitRule(unseen_val=("bin red",), unseen_test=("lay blue",), train=1, val=1, test=1)
    found = declare(source, tmp_path / "grid.toml", columns=Columns(label="{command} {colour}"), rule=rule).dataset
    assert found.names == ("bin blue", "bin red", "lay blue", "lay red")
    clip = next(clip for clip in found.clips if clip.id == "bin-blue-4@1-3.5")
    assert (clip.label, clip.start, clip.end, clip.group) == ("bin blue", 1.0, 3.5, "g1")
    assert Path(clip.path) == Path(os.path.realpath(tmp_path)) / "bin-blue-4.mp4"


def test_the_declared_dataset_states_rule_and_folds(tmp_path):
    source = videos(tmp_path / "v", {"ant": 4, "bee": 4, "cow": 4, 'd"o\\g': 4})
    declare(source, tmp_path / "zoo.toml", rule=SplitRule(unseen_val=1, unseen_test=("cow",), unseen_cap=3, seed=5))
    text = (tmp_path / "zoo.toml").read_text()
    assert "val_drawn = 1" in text
    assert 'test = ["cow"]' in text
    assert "cap = 3" in text
    assert "seed = 5" in text
    rows = list(csv.DictReader((tmp_path / "zoo.folds.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert Counter(row["fold"] for row in rows if row["label"] == "cow") == {"test_unseen": 3, "": 1}


def test_folds_can_be_edited_and_an_edited_rule_is_reported(tmp_path):
    declare(videos(tmp_path / "v", {"ant": 4, "bee": 4, "cow": 4, "dog": 4}), tmp_path / "zoo.toml")
    before = load_manifest(tmp_path / "zoo.toml")
    text = (tmp_path / "zoo.toml").read_text()
    (tmp_path / "zoo.toml").write_text(text.replace("seed = 0", "seed = 1"))
    after = load_manifest(tmp_path / "zoo.toml")
    assert any("rule in zoo.toml was edited" in note for note in after.warnings())
    assert not any("edited" in note for note in before.warnings())
    assert after.fingerprint() == before.fingerprint()


def test_phrases_spell_out_underscores_and_can_be_edited(tmp_path):
    declare(videos(tmp_path / "v", {"dog_bark": 3, "cat_call": 3, "cow": 3, "bee": 3}), tmp_path / "zoo.toml")
    assert load_manifest(tmp_path / "zoo.toml").phrases == {"dog_bark": "dog bark", "cat_call": "cat call"}
    with open(tmp_path / "zoo.toml", "a") as file:
        file.write('"cow" = "a cow mooing"\n')
    assert load_manifest(tmp_path / "zoo.toml").phrases["cow"] == "a cow mooing"
    with open(tmp_path / "zoo.toml", "a") as file:
        file.write('"emu" = "an emu"\n')
    with pytest.raises(ValueError, match="no clip has: emu"):
        load_manifest(tmp_path / "zoo.toml")


def test_another_dataset_is_not_overwritten_unasked(tmp_path):
    source = videos(tmp_path / "v", {"ant": 9, "bee": 9, "cow": 9, "dog": 9})
    declare(source, tmp_path / "zoo.toml")
    declare(source, tmp_path / "zoo.toml")  # the same again is fine
    with pytest.raises(ValueError, match="is there and differs"):
        declare(source, tmp_path / "zoo.toml", rule=SplitRule(seed=1))
    declare(source, tmp_path / "zoo.toml", rule=SplitRule(seed=1), overwrite=True)


def test_features_come_from_the_store_beside_the_file(tmp_path):
    from avshot.features.store.store import StoreWriter

    declare(videos(tmp_path / "v", {"ant": 4, "bee": 4, "cow": 4, "dog": 4}), tmp_path / "zoo.toml")
    assert load_manifest(tmp_path / "zoo.toml").features is None
    ids = [clip.id for clip in load_manifest(tmp_path / "zoo.toml").clips]
    assert features_path(tmp_path / "zoo.toml") == str(tmp_path / "zoo.features")
    with StoreWriter(str(tmp_path / "zoo.features"), spec={"audio": "test"}) as writer:
        for i, id in enumerate(ids[1:], start=1):
            writer.add(id, audio=np.full((2, 3), i, dtype=np.float32), audio_time=np.arange(2.0))
        writer.add(ids[0], status="error: broken")
    found = load_manifest(tmp_path / "zoo.toml")
    assert found.gather([5, 2]).audio[:, 0, 0].tolist() == [5.0, 2.0]
    assert found.missing == ((ids[0], "error: broken"),)
    text = (tmp_path / "zoo.toml").read_text()
    (tmp_path / "zoo.toml").write_text('features = "other.store"\n' + text)
    absent = load_manifest(tmp_path / "zoo.toml")
    assert absent.features is None
    assert any("avshot extract" in note for note in absent.warnings())


def test_features_whose_file_and_span_are_not_known_are_used_with_a_word(tmp_path):
    import json

    from avshot.features.store.store import StoreWriter

    made = declare(videos(tmp_path / "v", {"ant": 4, "bee": 4, "cow": 4, "dog": 4}), tmp_path / "zoo.toml").dataset
    with StoreWriter(str(tmp_path / "zoo.features"), spec={"audio": "test"}) as writer:
        for clip in made.clips:
            writer.add(clip.id, audio=np.ones((2, 3)), audio_time=np.arange(2.0))
    found = load_manifest(tmp_path / "zoo.toml")
    assert (found.missing, found.notes) == ((), ()), "made by another program, which answers for them"
    about = json.loads((tmp_path / "zoo.features" / "store.json").read_text())
    del about["digest"]
    (tmp_path / "zoo.features" / "store.json").write_text(json.dumps({**about, "version": 1}))
    (lines,) = (tmp_path / "zoo.features" / "manifest").iterdir()
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    old = [{key: row[key] for key in row if key not in ("digests", "digest", "span", "file")} for row in rows]
    lines.write_text("".join(json.dumps(row) + "\n" for row in old))
    found = load_manifest(tmp_path / "zoo.toml")
    assert found.missing == ()
    assert "features of 16 clips were stored by avshot 0.1" in found.notes[0]


def test_damaged_manifests_are_explained(tmp_path):
    path = tmp_path / "zoo.toml"
    path.write_text("name = ")
    with pytest.raises(ValueError, match="not valid TOML"):
        load_manifest(path)
    path.write_text('name = "zoo"\n')
    with pytest.raises(ValueError, match=r"zoo\.folds\.csv, which is not there"):
        load_manifest(path)
    (tmp_path / "zoo.folds.csv").write_text("id,path,label\na,a.mp4,x\n")
    with pytest.raises(ValueError, match="no column fold"):
        load_manifest(path)
    (tmp_path / "zoo.folds.csv").write_text("id,path,label,fold\na,a.mp4,x,test\n")
    with pytest.raises(ValueError, match="'a' is in fold 'test'; expected train"):
        load_manifest(path)


def test_the_grid_task(tmp_path, real_data):
    source = real_data / "grid" / "labels.csv"
    rule = SplitRule(
        train=36,
        val=6,
        test=8,
        unseen_val=("bin red", "place green", "set white"),
        unseen_test=("bin green", "lay red", "place white", "set blue"),
    )
    made = declare(source, tmp_path / "grid.toml", rule=rule)
    assert made.warnings == ()
    counts = {fold: len(rows) for fold, rows in made.dataset.folds.items()}
    assert counts == {"train": 324, "val_seen": 54, "val_unseen": 150, "test_seen": 72, "test_unseen": 200}
    columns = Columns(label="{command} {colour}")
    other = declare(source, tmp_path / "other.toml", columns=columns, rule=rule)
    assert other.dataset.fingerprint() == made.dataset.fingerprint()
    assert all(Path(clip.path).is_file() for clip in made.dataset.clips)


HEAD = "id,path,label,start,end,group,fold\n"
ROW = "a,v/ant/00.mp4,ant,,,,train\n"


@pytest.fixture
def zoo(tmp_path):
    """A declared dataset, and a function that replaces its table of folds."""
    declare(videos(tmp_path / "v", {"ant": 4, "bee": 4, "cow": 4, "dog": 4}), tmp_path / "zoo.toml")

    def fill(rows, head=HEAD):
        content = head + rows
        (tmp_path / "zoo.folds.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "zoo.toml"

    return fill


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROW + "clip-x", r"folds.csv line 3 has fewer cells than the header; was it cut off"),
        (ROW + "b,v/ant/01.mp4,an", r"folds.csv line 3 has fewer cells than the header"),
        (ROW + '"unclosed\n', "folds.csv line 3 is no row of a table"),
        ('a,v/ant/00.mp4,ant,"0,5",,,train\n', r"folds.csv line 2: start is '0,5'; .* write 0.5"),
        ("a,v/ant/00.mp4,ant,0.9,0.1,,train\n", r"folds.csv line 2: end is 0.1, not after start \(0.9\)"),
        (ROW + "a,v/ant/01.mp4,ant,,,,train\n", r"line 3 has the id 'a' again \(line 2 has it, too\)"),
        (ROW + "b,v/../v/ant/00.mp4,ant,,,,\n", r"line 3 has the file and span of 'b' again \(line 2"),
        (ROW + "b,v/ant/01.mp4,Ant,,,,train\n", "line 3 has the label 'Ant', line 2 'ant', .*spell each one way"),
        (ROW + "b,v/ant/01.mp4,ant,,,,Train\n", "line 3: clip 'b' is in fold 'Train'; expected train, val_seen"),
        (ROW + "b,v/ant/01.mp4,,,,,train\n", "line 3: clip 'b' is in fold 'train' without a label"),
        (ROW + "b,v/ant/01.mp4,👍,,,,train\n", "line 3: Class name '👍' holds no letter or digit"),
        (ROW + "b,v/ant/01.mp4,ant,,,,test_unseen\n", "line 3 has 'ant' in fold 'test_unseen', line 2 in 'train'"),
        (ROW + "b,,ant,,,,train\n", "line 3 has nothing in column 'path'"),
        (ROW + "b,v/ant/01.mp4,ant,,,,train,more\n", "line 3 has 8 cells, the header 7"),
    ],
)
def test_a_table_of_folds_edited_wrongly(zoo, rows, message):
    with pytest.raises(ValueError, match=message):
        load_manifest(zoo(rows))


def test_a_table_of_folds_saved_by_a_spreadsheet(zoo):
    rows = ROW + "b,v\\bee\\00.mp4,bee,0.5,,,train\n,,,,,,\n"
    for content in (HEAD + rows, (HEAD + rows).replace(",", ";").replace("\n", "\r\n")):
        for encoding in ("utf-8-sig", "utf-16"):
            clips = load_manifest(zoo(content.encode(encoding), b"")).clips
            assert [(c.id, c.label, c.start) for c in clips] == [("a", "ant", None), ("b", "bee", 0.5)]
            assert all(Path(clip.path).is_file() for clip in clips)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (b"name = 'k\xfcche'\n", r"zoo.toml is not UTF-8 text \(line 1\)"),
        (b"name = \n", "zoo.toml is not valid TOML"),
        (b"x = " + b"[" * 5000, "zoo.toml is not valid TOML"),
        (b"shots = '5'\n", r"zoo.toml: shots is '5'; expected how many clips of each novel class train"),
        (b"shots = true\n", "zoo.toml: shots is True"),
        (b"phrases = [1]\n", "phrases of another form"),
        (b"[phrases]\nant = 3\n", "phrases of another form"),
        (b"[phrases]\nant = '!'\n", "no words for 'ant': .*no letter or digit"),
        (b"[phrases]\nant = 'a'\nAnt = 'b'\n", "'ant' / 'Ant'.*spell each one way"),
        (b"[phrases]\nant = 'a Bee'\nbee = 'a bee'\n", "the classes 'ant' and 'bee' the same words"),
        (b"[phrases]\nant = 'Bee'\n", "the classes 'ant' and 'bee' the same words"),
    ],
)
def test_a_toml_edited_wrongly(zoo, toml, message):
    path = zoo(ROW + "b,v/bee/00.mp4,bee,,,,train\n")
    path.write_bytes(toml)
    with pytest.raises(ValueError, match=message):
        load_manifest(path)


def test_a_toml_with_a_byte_order_mark_and_phrases_in_another_spelling(zoo):
    path = zoo(ROW + "b,v/bee/00.mp4,honey_bee,,,,train\n")
    path.write_bytes(b"\xef\xbb\xbf[phrases]\r\n'Honey bee' = 'a bee'\r\n")
    assert load_manifest(path).phrases == {"honey_bee": "a bee"}
    assert features_path(path) == str(path.with_suffix(".features"))


def test_odd_names_go_through_the_table(tmp_path):
    names = ["-dash.mp4", "a,b.mp4", 'quo"te.mp4', "new\nline.mp4", "x" * 240 + ".mp4", "Ünï 犬.mp4", " space.mp4"]
    for label in ("ant", " bee", "cow, big", '"dog"'):
        (tmp_path / label).mkdir()
        for name in names:
            (tmp_path / label / name).touch()
    found = declare(tmp_path, tmp_path / "zoo.toml", rule=SplitRule(unseen_val=0, unseen_test=0)).dataset
    assert len(found.clips) == 4 * len(names)
    assert found.names == ('"dog"', "ant", "bee", "cow, big")
    assert all(Path(clip.path).is_file() for clip in found.clips)
    (tmp_path / "ant" / "car\riage.mp4").touch()
    with pytest.raises(ValueError, match=r"hold a carriage return: ant/car\\riage.mp4; rename"):
        declare(tmp_path, tmp_path / "zoo2.toml")
