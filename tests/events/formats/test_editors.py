"""Files of editors of annotations: read by independent readers, and theirs read here."""

import json
import sys

import pytest

from avshot.errors import BadDataset, BadSetting
from avshot.events import Event, Events

DOG, RAIN = (
    Event("x/yard é.wav", 1.5, 3.25, 'dog & "cat" <i>', 0.875),
    Event("x/yard é.wav", 2.0, 400_000.125, "rain", 0.5),
)
BOTH = Events([DOG, RAIN])


def seen(events):
    return [(event.file, event.start, event.end, event.name, event.probability) for event in events]


def test_raven_as_pandas_reads_it(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = BOTH.write(tmp_path / "a.selections.txt")
    frame = pandas.read_csv(path, sep="\t", quoting=3)
    assert frame["Begin Time (s)"].tolist() == [1.5, 2.0]
    assert frame["End Time (s)"].tolist() == [3.25, 400_000.125]
    assert frame["Annotation"].tolist() == ['dog & "cat" <i>', "rain"]
    assert frame["Selection"].tolist() == [1, 2]
    assert seen(Events.read(path)) == seen(BOTH)


def test_tables_of_raven_with_two_views_and_of_birdnet(tmp_path):
    path = tmp_path / "yard.Table.1.selections.txt"
    rows = ["1\tWaveform 1\t1\t0.5\t1.5\tdog", "1\tSpectrogram 1\t1\t0.5\t1.5\tdog", "2\tSpectrogram 1\t1\t2\t3\train"]
    path.write_text("Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tSpecies\n" + "\n".join(rows) + "\n")
    assert [(e.start, e.end, e.name) for e in Events.read(path)] == [(0.5, 1.5, "dog"), (2.0, 3.0, "rain")]
    head = "Selection\tBegin Time (s)\tEnd Time (s)\tCommon Name\tConfidence\tBegin Path\tFile Offset (s)\n"
    path.write_text(head + "1\t603.0\t606.0\tEurasian Wren\t0.91\tfield/b.wav\t3.0\n")
    assert list(Events.read(path)) == [Event("field/b.wav", 3.0, 6.0, "Eurasian Wren", 0.91)]
    assert list(Events.read(path.rename(tmp_path / "plain.txt"))) == [
        Event("field/b.wav", 3.0, 6.0, "Eurasian Wren", 0.91)
    ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Selection\tBegin Time (s)\tAnnotation\n", r"line 1 has no column end time \(s\)"),
        ("Begin Time (s)\tEnd Time (s)\tView\n", "no column Annotation"),
        ("Begin Time (s)\tEnd Time (s)\tLabel\n1\t2\tdog\n1\tx\tdog\n", "line 3: begin or end"),
        ("Begin Time (s)\tEnd Time (s)\tLabel\tScore\n1\t2\tdog\t7\n", "line 2: .*probability"),
    ],
)
def test_wrong_tables_of_raven_are_named_by_line(text, wrong, tmp_path):
    path = tmp_path / "a.selections.txt"
    path.write_text(text)
    with pytest.raises(BadDataset, match=wrong):
        Events.read(path)


def test_elan_as_pympi_reads_it_and_what_pympi_writes(tmp_path):
    elan = pytest.importorskip("pympi.Elan")
    overlapping = Event("x/yard é.wav", 3.0, 5.0, DOG.name)
    found = elan.Eaf(str(Events([*BOTH, overlapping]).write(tmp_path / "a.eaf")))
    assert sorted(found.get_tier_names()) == [DOG.name, f"{DOG.name} (2)", "rain"]
    assert found.get_annotation_data_for_tier(DOG.name) == [(1500, 3250, DOG.name)]
    assert found.get_annotation_data_for_tier(f"{DOG.name} (2)") == [(3000, 5000, DOG.name)]
    assert found.get_annotation_data_for_tier("rain") == [(2000, 400_000_125, "rain")]
    assert found.media_descriptors[0]["RELATIVE_MEDIA_URL"] == "x/yard%20%C3%A9.wav"
    assert found.media_descriptors[0]["MIME_TYPE"].startswith("audio/")
    theirs = elan.Eaf()
    theirs.add_tier("speech")
    theirs.add_annotation("speech", 100, 2000, "hello")
    theirs.add_annotation("speech", 3000, 3500, "")
    theirs.add_linked_file("file:///home/ann/b c.mp4", relpath="./b c.mp4", mimetype="video/mp4")
    theirs.to_file(str(tmp_path / "b.eaf"))
    assert [(e.file, e.start, e.end, e.name) for e in Events.read(tmp_path / "b.eaf")] == [
        ("b c.mp4", 0.1, 2.0, "hello"),
        ("b c.mp4", 3.0, 3.5, "speech"),
    ]


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_with_entities_is_not_read(declared, encoding, tmp_path):
    path = tmp_path / "a.eaf"
    path.write_bytes(f"{declared}<ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>".encode(encoding))
    with pytest.raises(BadDataset, match="document type or an entity"):
        Events.read(path)


def test_wrong_elan_files_are_refused(tmp_path):
    path = tmp_path / "a.eaf"
    for content, wrong in [
        ("<a>\n<b></a>", "line 2 is no XML"),
        ("<TextGrid/>", "another kind"),
        (BOTH.write(path).read_text().replace('"1500"', '"1.5"'), "annotation a1: its times are '1.5'"),
        (BOTH.write(path).read_text().replace('"1500"', '"9000"'), "annotation a1: Event"),
    ]:
        path.write_text(content)
        with pytest.raises(BadDataset, match=wrong):
            Events.read(path)
    path.write_text(BOTH.write(path).read_text().replace(' TIME_VALUE="1500"', ""))  # nobody said when
    assert Events.read(path).names == ("rain",)


def test_label_studio_tasks(tmp_path):
    path = BOTH.write(tmp_path / "tasks.json")
    (task,) = json.loads(path.read_text(encoding="utf-8"))
    region = task["predictions"][0]["result"][0]
    assert task["data"] == {"audio": "x/yard é.wav"}
    assert {key: region[key] for key in ("from_name", "to_name", "type", "score")} == {
        "from_name": "labels",
        "to_name": "audio",
        "type": "labels",
        "score": 0.875,
    }
    assert region["value"] == {"start": 1.5, "end": 3.25, "channel": 0, "labels": ['dog & "cat" <i>']}
    assert seen(Events.read(path)) == seen(BOTH)


def test_what_people_annotated_counts_more_than_predictions(tmp_path):
    region = {"id": "r", "value": {"start": 1, "end": 2, "labels": ["dog", "loud"]}}
    frames = {
        "id": "f",
        "value": {"ranges": [{"start": 1, "end": 24}, {"start": 49, "end": 72}], "timelinelabels": ["cat"]},
    }
    task = {
        "data": {"video": "/data/local-files/?d=my%20folder/b.mp4"},
        "annotations": [{"result": [region, frames, {"type": "choices", "value": {"choices": ["x"]}}]}],
        "predictions": [{"result": [{"value": {"start": 7, "end": 8, "labels": ["no"]}}]}],
    }
    path = tmp_path / "export.json"
    path.write_text(json.dumps(task))
    assert [(e.file, e.start, e.end, e.name) for e in Events.read(path)] == [
        ("my folder/b.mp4", 0.0, 1.0, "cat"),
        ("my folder/b.mp4", 1.0, 2.0, "dog"),
        ("my folder/b.mp4", 1.0, 2.0, "loud"),
        ("my folder/b.mp4", 2.0, 3.0, "cat"),
    ]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("[1]", "no list of tasks"),
        ('[{"predictions": {"result": 1}}]', "task 1 holds"),
        (
            '[{"predictions": [{"result": [{"id": "r", "value": {"start": "1", "end": 2, "labels": ["x"]}}]}]}]',
            "region r",
        ),
        ('[{"predictions": [{"result": [{"value": {"start": 3, "end": 2, "labels": ["x"]}}]}]}]', "region .*Event 'x'"),
        ('[{"predictions": [{"result": [{"value": {"ranges": [7], "labels": ["x"]}}]}]}]', "expected"),
        ('[{"data": {"fps": 0}}]', "fps is 0"),
    ],
)
def test_wrong_tasks_are_named(content, wrong, tmp_path):
    path = tmp_path / "tasks.json"
    path.write_text(content)
    with pytest.raises(BadDataset, match=wrong):
        Events.read(path)


def test_parquet_as_pandas_reads_it(tmp_path):
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    path = BOTH.write(tmp_path / "e.parquet")
    frame = pandas.read_parquet(path)
    assert frame["end"].tolist() == [3.25, 400_000.125]
    assert frame["name"].tolist() == ['dog & "cat" <i>', "rain"]
    assert Events.read(path) == BOTH
    frame.drop(columns="start").to_parquet(path)
    with pytest.raises(BadDataset, match="row 1"):
        Events.read(path)


def test_without_pyarrow_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BadSetting, match="pip install pyarrow"):
        BOTH.write(tmp_path / "e.parquet")
    assert list(tmp_path.iterdir()) == []
