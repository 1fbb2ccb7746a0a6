"""WebVTT and SubRip as independent readers read them."""

import pytest

from avshot.events import Event, Events

SOUNDS = Events([Event("a.mp4", 1.5, 4, "dog & <cat>"), Event("a.mp4", 400_000.25, 400_003, "rain")])


def test_webvtt(tmp_path):
    webvtt = pytest.importorskip("webvtt")
    found = webvtt.read(SOUNDS[:1].to_vtt(tmp_path / "a.vtt"))
    assert [(cue.start, cue.end, cue.text) for cue in found] == [
        ("00:00:01.500", "00:00:04.000", "[dog &amp; &lt;cat&gt;]")
    ]


def test_subrip(tmp_path):
    srt = pytest.importorskip("srt")
    found = list(srt.parse(SOUNDS.write(tmp_path / "a.srt").read_text()))
    assert [(cue.start.total_seconds(), cue.end.total_seconds(), cue.content) for cue in found] == [
        (1.5, 4.0, "[dog & <cat>]"),
        (400_000.25, 400_003.0, "[rain]"),
    ]
