"""The contract of formats: what is written is read back, by name and content; several at once; nothing else is."""

import pytest
from hypothesis import HealthCheck, given, settings
from made_events import events_of, rounded

from avshot.errors import AvshotError, BadDataset, BadSetting, MissingFile
from avshot.events import Event, Events
from avshot.events.captions import EXACT
from avshot.events.files import format_for, format_names, get_format, guess_format, write_all, write_events

KEEPS_PROBABILITY = {"csv", "jsonl", "parquet", "raven", "labelstudio"}
KEEPS_SHARES = {"csv", "jsonl", "parquet"}
here = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def made(name):
    if name == "parquet":
        pytest.importorskip("pyarrow")
    found = get_format(name)
    if hasattr(found, "captions"):
        found.captions = EXACT
    return found


@pytest.mark.parametrize("name", format_names())
@here
@given(events=events_of())
def test_what_is_written_is_read_back(name, events, tmp_path):
    found = made(name)
    if not found.several:
        events = Events(event for event in events if event.file == "a.mp4")
    path = tmp_path / f"a{found.endings[0]}"
    (tmp_path / "a.mp4").touch()
    found.write(path, events, events.files or ["a.mp4"])
    vocabulary = [name for *_, name, _, _ in rounded(events)]
    back = Events(found.read(path, "a.mp4", vocabulary))
    kept = {"probability": name in KEEPS_PROBABILITY, "shares": name in KEEPS_SHARES}
    assert rounded(back, **kept) == rounded(events, **kept)
    if len(events):
        assert guess_format(path) == name
        assert guess_format(path.rename(tmp_path / "without ending")) == name


@pytest.mark.parametrize("name", format_names())
def test_no_events_are_a_file_that_is_read_back(name, tmp_path):
    found = made(name)
    for ending in found.endings:
        path = write_events(tmp_path / f"a{ending}", [], ["a.mp4"], format=name)
        assert path.is_file()
        assert list(Events.read(path, format=name)) == []
        assert format_for(path) == name


@pytest.mark.parametrize("name", format_names())
@pytest.mark.parametrize(
    "content", [b"\x00\x01\x02", b"\xff\xfe\xfa", b"start\nno table\n", b"{]", b"1\tx\tdog\n", b"<a><b></a>"]
)
def test_other_files_are_refused_in_one_sentence(name, content, tmp_path):
    made(name)
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(AvshotError) as error:
        Events.read(path, format=name)
    assert "other" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_there_is_is_found_by_name():
    assert {"csv", "jsonl", "vtt", "srt", "audacity"} <= set(format_names())
    with pytest.raises(BadSetting, match=r"no format 'cvs'; formats: .*\. Did you mean 'csv'\?"):
        get_format("cvs")
    with pytest.raises(BadSetting, match=r"by its ending; endings: .*\.csv"):
        Events().write("events.xyz")
    with pytest.raises(MissingFile, match="not there"):
        Events.read("absent.csv")


def test_a_file_that_is_like_nothing_is_refused(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text("roses are red\n")
    with pytest.raises(BadDataset, match="no file of events"):
        Events.read(path)


def test_several_formats_at_once(tmp_path):
    events = Events([Event("x/a.mp4", 1, 2, "dog"), Event("y/a.mp4", 3, 4, "rain")])
    made = write_all(tmp_path / "out", events, ["x/a.mp4", "y/a.mp4", "z/quiet.wav"], ["csv", "vtt", "csv"])
    assert [path.name for path in made] == ["events.csv", "a.vtt", "a-2.vtt", "quiet.vtt"]
    assert Events.read(made[0]) == events
    assert [event.name for event in Events.read(made[2])] == ["rain"]
    assert made[3].read_text() == "WEBVTT\n"
    with pytest.raises(BadSetting, match="vvt"):
        write_all(tmp_path / "other", events, [], ["csv", "vvt"])
    assert not (tmp_path / "other").exists()


def test_several_recordings_in_a_format_of_one_are_refused(tmp_path):
    events = Events([Event("a.mp4", 1, 2, "dog"), Event("b.mp4", 3, 4, "rain")])
    with pytest.raises(BadSetting, match="one recording"):
        events.to_vtt(tmp_path / "both.vtt")
    assert list(tmp_path.iterdir()) == []


def test_the_recording_is_the_media_file_beside_the_labels(tmp_path):
    Events([Event("yard.mp4", 1, 2, "dog")]).write(tmp_path / "yard.txt")
    (event,) = Events.read(tmp_path / "yard.txt")
    assert event.file == "yard"
    (tmp_path / "yard.mp4").touch()
    assert Events.read(tmp_path / "yard.txt").files == ("yard.mp4",)
    assert Events.read(tmp_path / "yard.txt", file="other.wav").files == ("other.wav",)


def test_a_recording_whose_name_is_no_text_is_named(tmp_path):
    with pytest.raises(BadSetting, match="rename"):
        Events([Event("a\udcff.mp4", 1, 2, "dog")]).to_csv(tmp_path / "a.csv")
