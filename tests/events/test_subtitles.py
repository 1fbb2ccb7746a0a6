"""Captions of sounds in files of speech: not a byte of speech changes, and independent readers read the result."""

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_events import events_of

from avshot.errors import BadDataset
from avshot.events import Event, Events
from avshot.events.subtitles import blocks_of, clock, merge_captions

SPEECH = """WEBVTT - a talk
Kind: captions

STYLE
::cue(b) { color: red }

REGION
id:fred

NOTE who speaks
is not said

intro
00:00:01.000 --> 00:00:04.000 align:start position:10% region:fred
<v Ann>Hello, <b>everybody</b> &amp; you.

00:10.000 --> 00:12.000
- What is
- that?

NOTE the end
"""
SOUNDS = Events([Event("a", 2, 4, "dog barking"), Event("a", 6, 8, "rain"), Event("a", 30, 33, "naïve <horn>")])


def merged(content, events, tmp_path, ending=".vtt", **options):
    path = tmp_path / f"speech{ending}"
    path.write_bytes(content)
    return merge_captions(path, events, tmp_path / f"both{ending}", **options).read_bytes()


def without(merged_bytes, original):
    """Whether taking lines out of `merged_bytes` gives `original`."""
    ends = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r|$)")
    left = iter(ends.findall(merged_bytes))
    return all(any(line in (other, other.rstrip(b"\r\n")) for other in left) for line in ends.findall(original))


def test_speech_stays_and_sounds_stand_where_they_are_heard(tmp_path):
    text = merged(SPEECH.encode(), SOUNDS, tmp_path).decode()
    assert (
        text
        == SPEECH.replace(
            "00:10.000 -->",
            "00:00:02.000 --> 00:00:04.000 line:0\n[dog barking]\n\n"
            "00:00:06.000 --> 00:00:08.000\n[rain]\n\n00:10.000 -->",
        )
        + "\n00:00:30.000 --> 00:00:33.000\n[naïve &lt;horn&gt;]\n"
    )


def test_an_independent_reader_of_webvtt_finds_both(tmp_path):
    webvtt = pytest.importorskip("webvtt")
    found = webvtt.from_buffer(io.BytesIO(merged(SPEECH.encode(), SOUNDS, tmp_path)))
    assert [(cue.start, cue.text) for cue in found] == [
        ("00:00:01.000", "Hello, everybody &amp; you."),
        ("00:00:02.000", "[dog barking]"),
        ("00:00:06.000", "[rain]"),
        ("00:00:10.000", "- What is\n- that?"),
        ("00:00:30.000", "[naïve &lt;horn&gt;]"),
    ]
    assert found[0].identifier == "intro"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("tail", ["", "\n", "\n\n\n"])
def test_marks_line_ends_and_an_open_end_stay(newline, mark, tail, tmp_path):
    content = (mark + SPEECH.rstrip() + tail).replace("\n", newline).encode()
    found = merged(content, SOUNDS, tmp_path)
    assert without(found, content)
    assert found.startswith(content[: content.index(b"00:10.000")])
    assert [e.name for e in Events.read(tmp_path / "both.vtt")] == ["dog barking", "rain", "naïve <horn>"]
    if newline != "\r":
        assert not re.search(rb"(?<!\r)\n" if newline == "\r\n" else rb"\r", found)


SUBRIP = "7\n00:00:01,000 --> 00:00:04,000\n<i>Hello.</i>\n\n9\n00:00:10,000 --> 00:00:12,000\n[door] What?\n"


def test_numbers_of_subrip_stay_and_new_ones_count_on(tmp_path):
    srt = pytest.importorskip("srt")
    found = merged(SUBRIP.encode(), SOUNDS, tmp_path, ".srt").decode()
    assert [(cue.index, cue.content) for cue in srt.parse(found)] == [
        (7, "<i>Hello.</i>"),
        (10, "[dog barking]"),
        (11, "[rain]"),
        (9, "[door] What?"),
        (12, "[naïve <horn>]"),
    ]
    assert [e.name for e in Events.read(tmp_path / "both.srt")] == ["dog barking", "rain", "naïve <horn>"]
    top = merged(SUBRIP.encode(), SOUNDS, tmp_path, ".srt", top=True).decode()
    assert re.findall(r"^.*\[.*$", top, re.MULTILINE)[:2] == [r"{\an8}[dog barking]", "[rain]"]
    assert [e.name for e in Events.read(tmp_path / "both.srt")][:2] == ["dog barking", "rain"]
    assert "line:0" not in merged(SPEECH.encode(), SOUNDS, tmp_path, top=False).decode()


def test_files_in_another_encoding_take_captions_of_plain_letters(tmp_path):
    speech = SUBRIP.replace("Hello", "Grüße").encode("latin-1")
    found = merged(speech, SOUNDS[:2], tmp_path, ".srt")
    assert "Grüße".encode("latin-1") in found
    assert without(found, speech)
    with pytest.raises(BadDataset, match="not UTF-8"):
        merged(speech, SOUNDS, tmp_path, ".srt")
    with pytest.raises(BadDataset, match="UTF-16"):
        merged(SUBRIP.encode("utf-16"), SOUNDS, tmp_path, ".srt")


def test_what_is_no_subtitle_file_is_refused(tmp_path):
    with pytest.raises(BadDataset, match="no subtitle file"):
        merged(b"A poem.\n", SOUNDS, tmp_path)
    assert merged(b"", SOUNDS[:1], tmp_path, ".srt") == b"1\n00:00:02,000 --> 00:00:04,000\n[dog barking]\n"
    header = merged(b"WEBVTT", SOUNDS[:1], tmp_path)
    assert header == b"WEBVTT\n\n00:00:02.000 --> 00:00:04.000\n[dog barking]\n"


def test_a_file_may_be_added_to_in_place(tmp_path):
    path = tmp_path / "speech.vtt"
    path.write_text(SPEECH)
    merge_captions(path, [], path)
    assert path.read_text() == SPEECH


lines = st.one_of(
    st.sampled_from(
        ["", " ", "1", "text", "NOTE x", "STYLE", "00:00:01.000 --> 00:00:02.000", "9:99 --> x", "\ufeff", "é"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(lines, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]), events_of(files=("a",), longest=10))
def test_whatever_the_file_taking_the_new_captions_out_gives_it_back(tmp_path_factory, content, newline, events):
    original = ("WEBVTT\n\n" + "\n".join(content)).replace("\n", newline).encode()
    found = merged(original, events, tmp_path_factory.mktemp("any"))
    assert without(found, original)
    assert original.startswith(b"WEBVTT")


@pytest.mark.parametrize("ending", [".vtt", ".srt"])
def test_wrong_times_are_named_by_line(ending, tmp_path):
    path = tmp_path / f"a{ending}"
    path.write_text(
        f"{'WEBVTT' if ending == '.vtt' else ''}\n\n1\n00:00:01.000 --> soon\n[dog]\n\n2\n00:01.0 --> 00:02.0\nx\n"
    )
    with pytest.raises(BadDataset, match="line 4 is '00:00:01.000 --> soon'"):
        Events.read(path)
    path.write_text("WEBVTT\n\n00:00:03.000 --> 00:00:01.000\n[dog]\n")
    with pytest.raises(BadDataset, match="line 3 ends before it starts"):
        Events.read(path, format="vtt")


@given(st.integers(0, 2_000_000_000))
@settings(max_examples=50)
def test_clocks_are_read_as_they_were_written(thousandths):
    text = clock(thousandths / 1000, ".")
    (block,) = blocks_of(f"{text} --> {text}\nx\n", "")
    assert round(block.start * 1000) == thousandths


def test_clocks_round_to_the_millisecond_and_go_on_beyond_99_hours():
    assert clock(59.9996, ",") == "00:01:00,000"
    assert clock(360_000 + 3599.9995, ".") == "101:00:00.000"
    assert clock(0.0004, ".") == "00:00:00.000"
