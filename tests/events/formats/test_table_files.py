"""Tables and lines: what spreadsheets and editors make of them, and what is wrong, by line."""

import csv
import json
import sys

import pytest

from avshot.errors import BadDataset, BadSetting
from avshot.events import Event, Events

DOG = Event("a.mp4", 1.5, 3.25, 'dog, "loud"', 0.87654, 0.25, 0.75)


def test_csv_is_what_pythons_own_reader_reads(tmp_path):
    with open(Events([DOG]).to_csv(tmp_path / "e.csv"), newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "file": "a.mp4",
        "start": "1.500",
        "end": "3.250",
        "name": 'dog, "loud"',
        "probability": "0.8765",
        "sound": "0.2500",
        "picture": "0.7500",
    }


def test_csv_and_pandas_agree(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(Events([DOG]).to_csv(tmp_path / "e.csv"))
    pandas.testing.assert_frame_equal(frame, Events([DOG]).to_pandas(), atol=1e-4)


def test_without_pandas_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BadSetting, match="pip install pandas"):
        Events().to_pandas()


@pytest.mark.parametrize(
    "text",
    [
        "\ufefffile;start;end;name\r\na.mp4;1.5;3.25;dog\r\n;;;\r\n",
        "Filename\tStart\tEnd\tLabel\na.mp4\t1.5\t3.25\tdog\n",
        "sep=,\nend,start,class,path\n3.25,1.5,dog,a.mp4\n",
    ],
)
def test_tables_as_spreadsheets_save_them(text, tmp_path):
    path = tmp_path / "e.csv"
    path.write_bytes(text.encode())
    assert list(Events.read(path)) == [Event("a.mp4", 1.5, 3.25, "dog")]


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("a.mp4,1,x,dog,1", "line 3: end is 'x'"),
        ("a.mp4,2,1,dog,1", "line 3: Event 'dog' is from 2.0 to 1.0"),
        ("a.mp4,1,2,,1", "line 3: .* no name"),
        ("a.mp4,,2,dog,1", "line 3 has no start"),
        ("a.mp4,1,2,dog,1.5", "line 3: probability is 1.5"),
        ('a.mp4,1,2,"dog,1', "line 3"),
    ],
)
def test_what_is_wrong_is_named_by_line(row, wrong, tmp_path):
    path = tmp_path / "e.csv"
    path.write_text(f"file,start,end,name,probability\na.mp4,0,1,dog,1\n{row}\n")
    with pytest.raises(BadDataset, match=wrong):
        Events.read(path)


def test_json_lines_keep_every_digit(tmp_path):
    event = Event("a.mp4", 0.1 + 0.2, 1 / 3 + 1, "dog", 0.1234567890123, 1 / 3, 1 - 1 / 3)
    path = Events([event]).write(tmp_path / "e.jsonl")
    assert list(Events.read(path)) == [event]
    assert json.loads(path.read_text())["start"] == event.start


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "line 2 is no JSON"),
        ("[1]", "line 2 is list"),
        ('{"start": 1, "name": "dog"}', "line 2 has no end"),
        ('{"start": "1", "end": 2, "name": "dog"}', "line 2: start is '1'"),
        ('{"start": null, "end": 2, "name": "dog"}', "line 2: start and end must be numbers"),
        ('{"start": 1, "end": 2, "name": 5}', "line 2: .*text"),
        ('{"start": NaN, "end": 2, "name": "dog"}', "line 2: Event"),
        ('{"start": 1, "end": 1e999, "name": "dog"}', "line 2: Event"),
    ],
)
def test_json_that_is_no_event_is_named_by_line(line, wrong, tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text(f'{{"start": 0, "end": 1, "name": "dog"}}\n{line}\n')
    with pytest.raises(BadDataset, match=wrong):
        Events.read(path)


def test_labels_of_audacity_may_have_frequencies_and_be_points(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0.5\t1.25\tdog\n\\\t100.0\t2000.0\n3\t3\tclick, clack\n")
    assert [(e.start, e.end, e.name) for e in Events.read(path)] == [(0.5, 1.25, "dog"), (3.0, 3.0, "click, clack")]
    path.write_text("0.5\t1.25\tdog\n0,5\t1,25\tcat\n")
    with pytest.raises(BadDataset, match="line 2 is '0,5"):
        Events.read(path)
    path.write_text("0.5\t1.25\tdog\n2\t1\tcat\n")
    with pytest.raises(BadDataset, match="line 2: Event 'cat'"):
        Events.read(path)
