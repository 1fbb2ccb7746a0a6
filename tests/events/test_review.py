"""Marks: read, compared, and turned into labels."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.data.label_table import Columns, read_label_table
from avshot.errors import BadDataset
from avshot.events import Event, Events
from avshot.events.review import compare, corrected, read_marks, write_labels


def dog(start, end, name="dog", probability=0.8, file="a.mp4"):
    return Event(file, start, end, name, probability)


def verdicts(marks):
    return [
        (mark.found.name, mark.verdict, mark.event and (mark.event.name, mark.event.start, mark.event.end))
        for mark in marks
    ]


PAGE = """file,start,end,name,probability,sound,picture,mark,renamed
a.mp4,1.000,2.000,dog,0.8000,0.5000,0.5000,right,
a.mp4,3.000,4.000,dog,0.6000,,,wrong,
a.mp4,5.000,6.000,dog,0.7000,,,Renamed,"cat, small"
a.mp4,7.000,8.000,dog,0.7000,,,,
a.mp4,9.000,9.500,rain,1.0000,,,missed,
"""


def test_marks_of_the_page(tmp_path):
    path = tmp_path / "review.csv"
    path.write_text(PAGE)
    marks = read_marks(path)
    assert verdicts(marks) == [
        ("dog", "right", ("dog", 1, 2)),
        ("dog", "wrong", None),
        ("dog", "renamed", ("cat, small", 5, 6)),
        ("rain", "missed", ("rain", 9, 9.5)),
    ]
    assert corrected(marks).names == ("dog", "cat, small", "rain")
    assert {event.probability for event in corrected(marks)} == {1.0}


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        (",right,", ",rihgt,", r"line 2: mark is 'rihgt'; expected .* Did you mean 'right'\?"),
        ('"cat, small"', "", "line 4 is renamed"),
        ("mark", "grade", "holds no marks"),
    ],
)
def test_marks_that_are_none_are_named_by_line(old, new, wrong, tmp_path):
    path = tmp_path / "review.csv"
    path.write_text(PAGE.replace(old, new))
    with pytest.raises(BadDataset, match=wrong):
        read_marks(path)
    path = Events([dog(1, 2)]).write(tmp_path / "labels.txt")
    with pytest.raises(BadDataset, match="before somebody edited"):
        read_marks(path)


def test_what_somebody_edited_is_compared_by_overlap():
    before = [dog(1, 2), dog(3, 4), dog(5, 6), dog(7, 8, "rain"), dog(1, 2, file="b.mp4")]
    after = [dog(1.2, 2.4), dog(5.1, 6, "cat"), dog(7, 20, "rain"), dog(30, 31, "horn"), dog(1, 2, file="b.mp4")]
    assert verdicts(compare(before, after)) == [
        ("dog", "right", ("dog", 1.2, 2.4)),
        ("dog", "wrong", None),
        ("dog", "renamed", ("cat", 5.1, 6)),
        ("rain", "right", ("rain", 7, 20)),
        ("horn", "missed", ("horn", 30, 31)),
        ("dog", "right", ("dog", 1, 2)),
    ]


spans = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5), st.sampled_from("ab")), max_size=6)


@settings(max_examples=60, deadline=None)
@given(spans, spans)
def test_every_event_has_one_verdict(first, second):
    before, after = ([dog(start, start + length, name) for start, length, name in some] for some in (first, second))
    marks = compare(before, after)
    assert sorted(mark.found for mark in marks if mark.verdict != "missed") == sorted(before)
    spans_of = lambda events: sorted((e.start, e.end, e.name) for e in events)  # noqa: E731
    assert spans_of(corrected(marks)) == spans_of(after)
    assert {mark.verdict for mark in compare(before, before)} <= {"right"}


@pytest.mark.parametrize("ending", [".txt", ".jsonl", ".vtt", ".srt"])
def test_labels_edited_elsewhere(ending, tmp_path):
    found = Events([dog(1, 4, file="x/yard.mp4"), dog(10, 13, "Bark, bow-wow", file="x/yard.mp4")])
    original = found.to_csv(tmp_path / "found.csv")
    edited = Events([found[1], dog(20, 23, "horn", file="x/yard.mp4")]).write(tmp_path / f"yard{ending}")
    marks = read_marks(edited, original)
    assert [(mark.found.name, mark.verdict) for mark in marks] == [
        ("dog", "wrong"),
        ("Bark, bow-wow", "right"),
        ("horn", "missed"),
    ]
    assert {mark.found.file for mark in marks} == {"x/yard.mp4"}
    assert marks[1].found.probability == 0.8


def test_labels_of_one_recording_say_nothing_of_others(tmp_path):
    original = Events([dog(1, 4), dog(1, 4, file="b.mp4")]).to_csv(tmp_path / "found.csv")
    marks = read_marks(Events([dog(1, 4)]).write(tmp_path / "b.txt"), original)
    assert [(mark.found.file, mark.verdict) for mark in marks] == [("b.mp4", "right")]


def test_corrected_labels_are_a_table_for_datasets(tmp_path):
    (tmp_path / "a.mp4").touch()
    events = [dog(1, 2.5), dog(1, 2.5, "rain"), dog(4, 4, "click"), dog(5, 6, 'cat, "small"')]
    assert write_labels(tmp_path / "labels.csv", events) == 2
    clips, *_ = read_label_table(tmp_path / "labels.csv", Columns(), None, skip_missing=False)
    assert [(clip.id, clip.label, clip.start, clip.end) for clip in clips] == [
        ("a.mp4@1-2.5", "dog", 1.0, 2.5),
        ("a.mp4@5-6", 'cat, "small"', 5.0, 6.0),
    ]
