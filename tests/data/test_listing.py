import csv

import pytest

from avshot.data.listing import list_clips
from avshot.data.manifest import declare
from avshot.types import Clip


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


def test_table_whose_files_lie_in_a_sub_folder_and_lack_their_suffix(tmp_path):
    videos(tmp_path, {"clips": 8})
    rows = [[f"{i:02d}", "abcd"[i // 2]] for i in range(8)]
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([["video", "label"], *rows])
    found = list_clips(tmp_path / "labels.csv")
    assert found.media == tmp_path / "clips"
    assert found.clips[3] == Clip("03", str(tmp_path / "clips" / "03.mp4"), "b")


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (["name", "label"], [["a.mp4", "x"]], "no column path or filename or file or video; its columns: name, label"),
        (["path", "class"], [["a.mp4", "x"]], "no column label; its columns: path, class"),
        (["path", "label"], [["a.mp4", "x"], ["b.mp4", " "]], "nothing in column 'label' on line 3"),
        (["path", "label"], [["a.mp4", "x"], ["a.mp4", "y"]], "lists 1 clips twice: a.mp4"),
        (
            ["path", "label"],
            [["a.mp4", "Dog bark"], ["b.mp4", "dog  bark"]],
            "differ only in case or spaces: 'Dog bark'",
        ),
        (["path", "label", "start"], [["a.mp4", "x", "soon"]], "line 2: start is 'soon'; expected seconds"),
        (["path", "label", "start"], [["a.mp4", "x", "-1"]], "line 2: start is '-1'; expected seconds"),
    ],
)
def test_unusable_tables_are_refused(tmp_path, header, rows, message):
    with pytest.raises(ValueError, match=message):
        list_clips(table(tmp_path / "t.csv", header, rows))


def test_missing_files_are_an_error_or_left_out_with_a_warning(tmp_path):
    source = table(tmp_path / "t.csv", ["path", "label"], [["a.mp4", "x"], ["b.mp4", "y"], ["c.mp4", "y"]])
    (tmp_path / "b.mp4").unlink()
    with pytest.raises(ValueError, match=r"1 files named in .* are not in .*: b.mp4"):
        list_clips(source)
    found = list_clips(source, skip_missing=True)
    assert [clip.id for clip in found.clips] == ["a", "c"]
    assert "left out" in found.warnings[0]


def test_folder_oddities_are_warnings(tmp_path):
    videos(tmp_path, {"ant": 1, "bee": 1})  # both hold a three-letter file 00.mp4
    (tmp_path / "loose.mp4").touch()
    (tmp_path / "ant" / "notes.txt").touch()
    (tmp_path / "ant" / ".hidden.mp4").touch()
    found = list_clips(tmp_path)
    assert [clip.id for clip in found.clips] == ["ant/00", "bee/00"]
    told = " ".join(found.warnings)
    assert "outside any label folder and are left out: loose.mp4" in told
    assert "not videos by their suffix and are left out: ant/notes.txt" in told
    assert "same name and size are under several labels: 00.mp4" in told


def test_two_files_of_one_stem_keep_their_suffix(tmp_path):
    videos(tmp_path, {"ant": 2})
    (tmp_path / "ant" / "00.avi").touch()
    assert [clip.id for clip in list_clips(tmp_path).clips] == ["ant/00.avi", "ant/00.mp4", "ant/01"]


def test_nothing_there(tmp_path):
    with pytest.raises(ValueError, match="lists no videos"):
        list_clips(tmp_path)
    with pytest.raises(ValueError, match="is not there"):
        list_clips(tmp_path / "no")
    with pytest.raises(ValueError, match=r"ends in \.toml"):
        declare(tmp_path, tmp_path / "x.json")
