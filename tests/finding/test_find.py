"""Files and folders to events: bad files, resuming, what makes scores void, two calls at once, processes."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

import avshot
from avshot.errors import BadMedia
from avshot.events.segments import Segmentation
from avshot.files.lock import sole_writer
from avshot.finding.find import Looking, find_each
from loud_and_bright import Dies, LoudAndBright, recording


class Counted(LoudAndBright):
    """Counts how many windows were scored."""

    scored = 0

    def __call__(self, audio, visual, time):
        Counted.scored += len(time)
        return super().__call__(audio, visual, time)


@pytest.fixture
def folder(tmp_path):
    """Three recordings of four seconds, loud at 1 to 2, 2 to 3 and never, and a bad file between them."""
    (tmp_path / "in").mkdir()
    recording(tmp_path / "in" / "2.mp4", 4.0, loud=[(1, 2)])
    recording(tmp_path / "in" / "10.mp4", 4.0, loud=[(2, 3)], bright=[(0, 2)])
    recording(tmp_path / "in" / "30.mp4", 4.0)
    (tmp_path / "in" / "20.mp4").write_bytes(b"no film")
    return tmp_path / "in"


def spans(found):
    return [(round(event.start, 1), round(event.end, 1), event.name) for event in found.events]


HALVES = Looking(hop=0.5)


def test_each_recording_in_natural_order_and_a_bad_one_stops_nothing(folder):
    found = list(find_each([folder], LoudAndBright(), HALVES))
    assert [os.path.basename(one.file) for one in found] == ["2.mp4", "10.mp4", "20.mp4", "30.mp4"]
    assert [bool(one.error) for one in found] == [False, False, True, False]
    assert "not a readable" in found[2].error
    (only,) = found[0].events
    assert (only.name, round(only.probability)) == ("loud noise", 1)
    assert abs(only.start - 1) < 0.5
    assert abs(only.end - 2) < 0.5
    assert {event.name for event in found[1].events} == {"loud noise", "bright light"}
    assert spans(found[3]) == []


def test_a_scorer_that_fails_on_one_recording_does_not_stop_the_others(folder):
    class Fails(LoudAndBright):
        def __call__(self, audio, visual, time):
            if (visual.vectors[:, -1] > 2.5).any():
                raise ValueError("too bright for me")
            return super().__call__(audio, visual, time)

    found = list(find_each([folder], Fails(), HALVES))
    assert [one.error for one in found if "bright" in one.error] == ["ValueError: too bright for me."]
    assert len(found[0].events) == 1


def test_a_second_call_scores_nothing_again_whatever_the_thresholds(folder, tmp_path):
    Counted.scored = 0
    first = list(find_each([folder], Counted(), HALVES, out=tmp_path / "out"))
    assert Counted.scored == 24
    other = replace(HALVES, segmentation=Segmentation(begin=0.99))
    second = list(find_each([folder], Counted(), HALVES, out=tmp_path / "out"))
    third = list(find_each([folder], Counted(), other, out=tmp_path / "out"))
    assert Counted.scored == 24
    assert [one.kept for one in second] == [True, True, False, True]  # the bad one is tried again
    for a, b in zip(first, second, strict=True):
        assert a.events == b.events
        np.testing.assert_array_equal(a.track.probability, b.track.probability)
        assert (a.track.status, a.track.notes, a.track.duration) == (b.track.status, b.track.notes, b.track.duration)
    assert sum(len(one.events) for one in third) <= sum(len(one.events) for one in first)


CHANGES = {
    "names": lambda f: (Counted(names=("loud noise", "bright light", "rain")), HALVES),
    "weights": lambda f: (Counted(made="otherwise"), HALVES),
    "hop": lambda f: (Counted(), Looking(hop=1.0)),
    "span": lambda f: (Counted(), Looking(hop=0.5, start=1.0)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_scores_are_made_anew_where_something_they_depend_on_has_changed(folder, tmp_path, change):
    list(find_each([folder / "2.mp4"], Counted(), HALVES, out=tmp_path / "out"))
    scorer, looking = CHANGES[change](folder)
    (found,) = find_each([folder / "2.mp4"], scorer, looking, out=tmp_path / "out")
    assert not found.kept
    (again,) = find_each([folder / "2.mp4"], Counted(), HALVES, out=tmp_path / "out")
    assert again.kept  # both lie there


def test_another_content_under_the_same_name_is_scored_anew_and_a_touched_one_is_not(folder, tmp_path):
    path = folder / "2.mp4"
    list(find_each([path], LoudAndBright(), HALVES, out=tmp_path / "out"))
    os.utime(path, (1, 1))
    (touched,) = find_each([path], LoudAndBright(), HALVES, out=tmp_path / "out")
    assert touched.kept
    shutil.copy(folder / "10.mp4", path)
    (other,) = find_each([path], LoudAndBright(), HALVES, out=tmp_path / "out")
    assert not other.kept
    assert {event.name for event in other.events} == {"loud noise", "bright light"}


def test_what_was_done_before_an_interruption_is_kept(folder, tmp_path):
    each = find_each([folder], LoudAndBright(), HALVES, out=tmp_path / "out")
    next(each)
    each.close()
    kept = [one.kept for one in find_each([folder], LoudAndBright(), HALVES, out=tmp_path / "out")]
    assert kept == [True, False, False, False]


def test_a_damaged_result_is_made_again(folder, tmp_path):
    list(find_each([folder / "2.mp4"], LoudAndBright(), HALVES, out=tmp_path / "out"))
    (file,) = (tmp_path / "out" / "tracks").iterdir()
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    (found,) = find_each([folder / "2.mp4"], LoudAndBright(), HALVES, out=tmp_path / "out")
    assert not found.kept
    (found,) = find_each([folder / "2.mp4"], LoudAndBright(), HALVES, out=tmp_path / "out")
    assert found.kept


def test_a_file_that_changes_while_it_is_read_is_told(folder, tmp_path):
    class Replaces(LoudAndBright):
        def __call__(self, audio, visual, time):
            os.utime(folder / "2.mp4", (5, 5))
            return super().__call__(audio, visual, time)

    (found,) = find_each([folder / "2.mp4"], Replaces(), HALVES, out=tmp_path / "out")
    assert "changed while it was read" in found.error
    assert not list((tmp_path / "out" / "tracks").iterdir())


def test_a_second_call_on_the_same_folder_is_told(folder, tmp_path):
    (tmp_path / "out").mkdir()
    with sole_writer(tmp_path / "out"), pytest.raises(ValueError, match="Another avshot command"):
        list(find_each([folder], LoudAndBright(), HALVES, out=tmp_path / "out"))
    assert len(list(find_each([folder], LoudAndBright(), HALVES, out=tmp_path / "out"))) == 4


def test_results_inside_the_folder_are_not_looked_into(folder):
    list(find_each([folder], LoudAndBright(), HALVES, out=folder / "out"))
    shutil.copy(folder / "2.mp4", folder / "out" / "cut.mp4")
    assert len(list(find_each([folder], LoudAndBright(), HALVES, out=folder / "out"))) == 4


def test_several_processes_find_the_same(folder, tmp_path):
    one = list(find_each([folder], LoudAndBright(), HALVES))
    two = list(find_each([folder], LoudAndBright(), HALVES, workers=2, out=tmp_path / "out"))
    assert [found.file for found in two] == [found.file for found in one]
    assert [found.events for found in two] == [found.events for found in one]
    assert [found.error for found in two] == [found.error for found in one]
    assert sum(found.kept for found in find_each([folder], LoudAndBright(), HALVES, out=tmp_path / "out")) == 3


def test_a_process_that_dies_takes_its_own_recording_with_it(folder):
    found = list(find_each([folder], Dies(), HALVES, workers=2))
    assert ["killed" in one.error for one in found] == [False, True, False, False]
    assert len(found[0].events) == 1


def test_the_least_probability_leaves_events_out(folder):
    all_of_them = [event for one in find_each([folder], LoudAndBright(), HALVES) for event in one.events]
    least = sorted(event.probability for event in all_of_them)[1]
    few = [event for one in find_each([folder], LoudAndBright(), replace(HALVES, least=least)) for event in one.events]
    assert few == [event for event in all_of_them if event.probability >= least]


@pytest.mark.parametrize("paths", [[], ["not there.mp4"]])
def test_nothing_to_look_into_is_told_at_once(paths):
    with pytest.raises(ValueError, match="name"):
        find_each(paths, LoudAndBright())


def test_find_in_python(folder):
    events = avshot.find(folder / "2.mp4", scorer=LoudAndBright(), hop=0.5)
    assert [event.name for event in events] == ["loud noise"]
    assert len(avshot.find(folder, scorer=LoudAndBright(), hop=0.5)) >= 3
    assert len(avshot.find([folder / "2.mp4", folder / "20.mp4"], scorer=LoudAndBright(), hop=0.5)) == 1
    assert len(avshot.find(folder / "2.mp4", scorer=LoudAndBright(), hop=0.5, begin=1.0)) == 0
    with pytest.raises(BadMedia, match="cannot be used"):
        avshot.find(folder / "20.mp4", scorer=LoudAndBright())


def test_recognise_ranks_the_names(folder):
    first, second = avshot.recognise(folder / "2.mp4", scorer=LoudAndBright(), hop=0.5)
    assert (first.name, second.name) == ("loud noise", "bright light")
    assert first.probability > 0.9 > 0.1 > second.probability
    assert 1 < first.at < 2
    assert first.sound == 1.0
    with pytest.raises(BadMedia, match="cannot be used"):
        avshot.recognise(folder / "20.mp4", scorer=LoudAndBright())
