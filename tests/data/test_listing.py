import csv
import os

import pytest

from avshot.data.listing import Columns, list_clips
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
        (["path", "label"], [["a.mp4", "x"], ["b.mp4", " "]], "t.csv line 3 has nothing in column 'label'"),
        (["path", "label"], [["a.mp4", "x"], ["a.mp4", "y"]], "lists 1 clips twice: a.mp4"),
        (
            ["path", "label"],
            [["a.mp4", "Dog bark"], ["b.mp4", "dog_bark"]],
            "t.csv: .* differ only in case, space or punctuation: 'Dog bark' / 'dog_bark'.* spell each one way",
        ),
        (["path", "label", "start"], [["a.mp4", "x", "soon"]], "line 2: start is 'soon'; expected seconds"),
        (["path", "label", "start"], [["a.mp4", "x", "-1"]], "line 2: start is '-1'; expected seconds"),
        (["path", "label", "start"], [["a.mp4", "x", "nan"]], "line 2: start is 'nan'; expected seconds"),
        (["path", "label", "start"], [["a.mp4", "x", "1e400"]], "line 2: start is '1e400'; expected seconds"),
        (["path", "label", "start"], [["a.mp4", "x", "0,5"]], "line 2: start is '0,5'; .*; write 0.5"),
        (["path", "label", "end"], [["a.mp4", "x", "01:02:03,50"]], "line 2: end is '01:02:03,50'; .*; write 3723.50"),
        (["path", "label", "end"], [["a.mp4", "x", "1:02.5"]], "line 2: end is '1:02.5'; .*; write 62.5"),
        (["path", "label", "start", "end"], [["a.mp4", "x", "0.9", "0.1"]], "line 2: end is 0.1, not after start"),
        (["path", "label", "start", "end"], [["a.mp4", "x", "1", "1"]], "line 2: end is 1, not after start"),
        (["path", "label", "end"], [["a.mp4", "x", "0"]], "line 2: end is 0, not after start"),
        (["path", "label", "path"], [["a.mp4", "x", "b"]], "two columns 'path'"),
        (["path", "label"], [["a.mp4", "x", "y"]], "line 2 has 3 cells, the header 2"),
        (["path", "label"], [["a.mp4", "x"], ["b.mp4", "!"]], "line 3: Class name '!' holds no letter or digit"),
        (["path", "label"], [["a.mp4", "x"], ["./a.mp4", "x"]], "lists 1 clips twice: a.mp4"),
        (["a.mp4", "x"], [["b.mp4", "y"]], r"first line looks like data \(a.mp4, x\); write a header"),
    ],
)
def test_unusable_tables_are_refused(tmp_path, header, rows, message):
    with pytest.raises(ValueError, match=message):
        list_clips(table(tmp_path / "t.csv", header, rows))


@pytest.mark.parametrize("pattern", ["{label", "}{label}", "{}", "{label:d}", "{label!r}", "{0}"])
def test_a_label_pattern_that_is_none(tmp_path, pattern):
    source = table(tmp_path / "t.csv", ["path", "label"], [["a.mp4", "x"], ["b.mp4", "y"]])
    with pytest.raises(ValueError, match=r"label pattern|no column 0"):
        list_clips(source, Columns(label=pattern))


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbffilename,label,start\na.mp4,dog,0.5\nb.mp4,cat,\n",
        b"filename;label;start\r\na.mp4;dog;0.5\r\nb.mp4;cat;\r\n;;\r\n",
        b"filename\tlabel\tstart\ra.mp4\tdog\t0.5\rb.mp4\tcat\t\r",
        b"sep=;\nfilename;label;start\na.mp4;dog;0.5\nb.mp4;cat\n",
        b"\n\nFilename,Label,START,,\na.mp4,dog,0.5,,\n,,,,\nb.mp4,cat,,,\n",
        "filename,label,start\na.mp4,dog,0.5\nb.mp4,cat,\n".encode("utf-16"),
        b'"filename","label","start"\n"a.mp4"," dog\xc2\xa0","0.5"\n"b.mp4","cat",""\n',
    ],
)
def test_a_table_as_programs_save_it(tmp_path, content):
    videos(tmp_path, {"clips": 1})
    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.mp4").touch()
    (tmp_path / "t.csv").write_bytes(content)
    found = list_clips(tmp_path / "t.csv")
    assert [(clip.id, clip.label, clip.start) for clip in found.clips] == [("a@0.5-", "dog", 0.5), ("b", "cat", None)]
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"filename,label\na.mp4,k\xfcche\n", r"t.csv is not UTF-8 text \(line 2\); save it again as UTF-8"),
        ("filename,label\na.mp4,x\n".encode("utf-16-le"), r"t.csv is not text \(line 1 holds a zero byte\)"),
        (b'filename,label\na.mp4,"x\nb.mp4,y\n', "t.csv line 2 is no row of a table"),
        (b'filename,label\na.mp4,"' + b"x" * 200_000 + b'"\n', "t.csv line 2 is no row of a table .*field larger"),
        (b"", "t.csv is empty"),
        (b"\n,,\n", "t.csv is empty"),
        (b"filename,label\n", "lists no videos"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list_clips(tmp_path / "t.csv")


def test_ids_keep_every_digit_of_a_span(tmp_path):
    spans = [(10000.11, 10001.11), (10000.12, 10001.12), (1.0, 2.5), (0.0, 1e-7)]
    source = table(tmp_path / "t.csv", ["path", "label", "start", "end"], [["a.mp4", "x", *span] for span in spans])
    clips = list_clips(source).clips
    assert [clip.id for clip in clips] == ["a@10000.11-10001.11", "a@10000.12-10001.12", "a@1-2.5", "a@0-1e-07"]
    assert [(clip.start, clip.end) for clip in clips] == spans


def test_back_slashes_part_folders_where_the_file_is_there(tmp_path):
    videos(tmp_path, {"clips": 2})
    (tmp_path / "t.csv").write_text("path,label\nclips\\00.mp4,dog\nclips\\01,cat\n")
    assert [(clip.id, clip.path) for clip in list_clips(tmp_path / "t.csv").clips] == [
        ("clips/00", str(tmp_path / "clips" / "00.mp4")),
        ("clips/01", str(tmp_path / "clips" / "01.mp4")),
    ]


def test_urls_of_this_machine_are_paths_and_others_are_not_fetched(tmp_path):
    videos(tmp_path, {"clips": 2})
    (tmp_path / "t.csv").write_text(f"path,label\nfile://{tmp_path}/clips/00.mp4,dog\nclips/01.mp4,cat\n")
    assert [clip.path for clip in list_clips(tmp_path / "t.csv").clips] == [
        str(tmp_path / "clips" / "00.mp4"),
        str(tmp_path / "clips" / "01.mp4"),
    ]
    (tmp_path / "t.csv").write_text("path,label\nhttps://example.org/a.mp4,dog\nclips/01.mp4,cat\n")
    with pytest.raises(ValueError, match=r"https://example.org/a.mp4 \(a URL is not fetched.* the first on line 2"):
        list_clips(tmp_path / "t.csv")


def test_a_name_that_may_be_two_files(tmp_path):
    for name in ("a.mp4", "a.wav", "b.MOV"):
        (tmp_path / name).touch()
    (tmp_path / "t.csv").write_text("path,label\nb,dog\na,cat\n")
    with pytest.raises(ValueError, match=r"t.csv line 3: 'a' may be a.mp4 or a.wav; write the suffix"):
        list_clips(tmp_path / "t.csv")


def test_one_file_under_two_names(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.mp4").symlink_to(tmp_path / "a.mp4")
    (tmp_path / "t.csv").write_text("path,label\na.mp4,dog\nb.mp4,cat\n")
    with pytest.raises(ValueError, match="lists 1 clips twice: a.mp4 = b.mp4"):
        list_clips(tmp_path / "t.csv")


def test_columns_that_nothing_reads_are_told_where_they_look_important(tmp_path):
    rows = [["a.mp4", "x", "1", "2", "train", "n"]]
    source = table(tmp_path / "t.csv", ["path", "label", "start_time", "end_time", "split", "note"], rows)
    told = list_clips(source).warnings
    assert told[0].startswith("Nothing reads the columns start_time, end_time; a span stands in the columns start and")
    assert told[1].startswith("Nothing reads the column split; the rule draws the folds")


def test_split_folders_are_no_labels(tmp_path):
    videos(tmp_path / "Train", {"dog": 2, "cat": 2})
    videos(tmp_path / "val", {"dog": 1})
    with pytest.raises(ValueError, match=r"folds by their name, not labels: Train, val. Pass one of them"):
        list_clips(tmp_path)
    assert len(list_clips(tmp_path / "Train").clips) == 4
    flat = videos(tmp_path / "flat", {"train": 2, "test": 2})
    with pytest.raises(ValueError, match="folds by their name, not labels: test, train"):
        list_clips(flat)
    vehicles = videos(tmp_path / "vehicles", {"train": 2, "bus": 2})
    assert {clip.label for clip in list_clips(vehicles).clips} == {"train", "bus"}


def test_folders_inside_labels_and_empty_ones_are_told(tmp_path):
    videos(tmp_path, {"dog": 1, "cat": 1})
    videos(tmp_path / "dog", {"loud": 1})
    (tmp_path / "rain").mkdir()
    (tmp_path / "zoo.features").mkdir()
    (tmp_path / "zoo.features" / "store.json").touch()
    told = list_clips(tmp_path).warnings
    assert told[0] == "1 label folders hold no video and are left out: rain."
    assert told[1] == "1 folders lie inside label folders, and their files count to those: dog/loud."


def test_one_file_linked_into_its_label_again_is_one_clip(tmp_path):
    videos(tmp_path, {"dog": 2, "cat": 1})
    (tmp_path / "dog" / "copy.mp4").symlink_to(tmp_path / "dog" / "00.mp4")
    found = list_clips(tmp_path)
    assert [clip.id for clip in found.clips] == ["cat/00", "dog/00", "dog/01"]
    assert "1 files are left out, the same file as another of their label (links): dog/copy.mp4 = dog/00.mp4." in (
        found.warnings
    )


def test_labels_of_folders_follow_the_rule_for_names(tmp_path):
    videos(tmp_path / "a", {"C": 1, "C#": 1, "D": 1, "D#": 1})
    assert {clip.label for clip in list_clips(tmp_path / "a").clips} == {"C", "C#", "D", "D#"}
    videos(tmp_path / "b", {"Dog": 1, "dog": 1})
    with pytest.raises(ValueError, match="'Dog' / 'dog'; name each class once and spell each one way"):
        list_clips(tmp_path / "b")
    videos(tmp_path / "c", {"👍": 1, "cat": 1})
    with pytest.raises(ValueError, match=r"Class name '👍' holds no letter or digit"):
        list_clips(tmp_path / "c")


def test_a_file_whose_name_is_not_utf8_is_named(tmp_path):
    videos(tmp_path, {"dog": 1, "cat": 1})
    try:
        open(os.fsencode(tmp_path) + b"/dog/lat\xe9n.mp4", "w").close()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(ValueError, match=r"1 files whose names are not UTF-8: dog/lat\\xe9n.mp4; rename them"):
        list_clips(tmp_path)


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
    assert "1 file left out, no video or sound by their suffix: .txt 1." in told
    assert "hidden or inside a feature store or Run: ant/.hidden.mp4" in told
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
