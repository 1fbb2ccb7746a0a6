"""The review page: JavaScript cuts as Python does, nothing in it is code or reaches out, recordings are found."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import avshot.events
from avshot.errors import BadSetting
from avshot.events import Event, Events, Track
from avshot.events.page import write_review_page
from avshot.events.segments import Segmentation, find_events

ASSETS = Path(avshot.events.__file__).parent / "assets"
ODD = '</script><script>alert("x")</script>&<!--'


def random_track(rng, file="a.wav"):
    """Smooth scores with gaps in time and values that are no numbers."""
    windows, classes = int(rng.integers(0, 40)), int(rng.integers(1, 4))
    steps = np.where(rng.random(windows) < 0.1, 3.0, 1.0) * 0.25
    values = rng.random((windows, classes)).astype(np.float32)
    values = np.where(rng.random(values.shape) < 0.05, np.nan, values).astype(np.float32)
    sound = rng.random(values.shape).astype(np.float32) if rng.random() < 0.5 else None
    names = tuple(f"{ODD if j == 0 else 'sound'} {j}" for j in range(classes))
    time = np.cumsum(steps) - 0.125
    return Track(file, names, time, 0.25, values, sound, float(rng.choice([0.0, 2.0, 20.0])))


def columns(values):
    return None if values is None else [[None if np.isnan(v) else float(v) for v in column] for column in values.T]


def as_javascript_has_it(track):
    return {
        "names": track.names,
        "time": track.time.tolist(),
        "hop": track.hop,
        "duration": track.duration,
        "probability": columns(track.probability),
        "sound": columns(track.sound),
    }


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_cuts_as_python_does(tmp_path):
    rng = np.random.default_rng(3)
    cases = []
    for _ in range(200):
        track = random_track(rng)
        begins = {track.names[0]: 0.8} if rng.random() < 0.3 else {}
        choice = [float(rng.choice(some)) for some in ([0.3, 0.5, 0.9], [0.5, 0.8, 1.0], [0, 0.3, 1.0], [0, 0.3, 1.0])]
        how = Segmentation(*choice, bool(rng.random() < 0.5), begins)
        cases.append((track, how))
    told = [[as_javascript_has_it(track), vars(how)] for track, how in cases]
    (tmp_path / "cases.json").write_text(json.dumps(told))
    program = (
        f"const {{findEvents}} = require({json.dumps(str(ASSETS / 'segments.js'))});"
        f"const cases = JSON.parse(require('fs').readFileSync({json.dumps(str(tmp_path / 'cases.json'))}));"
        "const nan = (rows) => rows && rows.map((row) => row.map((v) => v === null ? NaN : v));"
        "console.log(JSON.stringify(cases.map(([t, s]) => findEvents({...t, probability: nan(t.probability)}, s))));"
    )
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert sum(map(len, found)) > 300
    for (track, how), events in zip(cases, found, strict=True):
        expected = find_events(track, how)
        assert [(e["name"], e["start"], e["end"], e["probability"], e["sound"]) for e in events] == [
            (e.name, e.start, e.end, e.probability, e.sound) for e in expected
        ]


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def content_of(page):
    tags = Tags()
    tags.feed(page)
    return tags, json.loads(re.search(r'id="data">(.*?)</script>', page)[1])


def test_nothing_in_the_page_is_code_or_reaches_out(tmp_path):
    events = [Event(f"{ODD}.mp4", 1, 2, ODD)]
    page = write_review_page(tmp_path / "p.html", events, title=ODD).read_text(encoding="utf-8")
    tags, content = content_of(page)
    assert [tag for tag, _ in tags.found if tag == "script"] == ["script"] * 3
    assert not [attrs for _, attrs in tags.found if "src" in attrs or "href" in attrs]
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp|innerHTML|eval\(|document\.write", page)
    assert "default-src 'none'" in page
    assert content["recordings"][0]["events"][0]["name"] == ODD
    assert any(ODD in text for text in tags.texts)  # the title, as text


def test_scores_are_in_the_page_bit_by_bit(tmp_path):
    track = random_track(np.random.default_rng(5))
    _, content = content_of(write_review_page(tmp_path / "p.html", tracks=[track]).read_text())
    held = content["recordings"][0]["track"]
    found = np.frombuffer(base64.b64decode(held["probability"]), "<f4").reshape(len(track.time), -1)
    np.testing.assert_array_equal(found, track.probability)
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(held["time"]), "<f8"), track.time)


def test_of_many_names_those_with_events_and_the_likeliest_are_shown(tmp_path):
    probability = np.linspace(0, 0.9, 50, dtype=np.float32)[None, :].repeat(4, 0)
    names = tuple(f"n{j}" for j in range(50))
    track = Track("a", names, np.arange(4.0) + 0.5, 1.0, probability, None, 4.0)
    page = write_review_page(tmp_path / "p.html", [Event("a", 0, 1, "n3")], [track], rows=5).read_text()
    assert content_of(page)[1]["recordings"][0]["track"]["names"] == ["n3", "n46", "n47", "n48", "n49"]


def test_recordings_are_found_beside_the_page_or_put_into_it(tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a b#.wav").write_bytes(b"RIFF")
    events = Events([Event("a b#.wav", 0, 1, "dog"), Event("gone.wav", 0, 1, "dog")])
    (tmp_path / "pages").mkdir()
    page = write_review_page(tmp_path / "pages" / "p.html", events, media=tmp_path / "media")
    sources = [one["source"] for one in content_of(page.read_text())[1]["recordings"]]
    assert sources == ["../media/a%20b%23.wav", None]
    page = write_review_page(page, events, media=tmp_path / "media", embed=True)
    source = content_of(page.read_text())[1]["recordings"][0]["source"]
    assert base64.b64decode(source.partition(",")[2]) == b"RIFF"
    assert source.startswith("data:audio/")


def test_what_cannot_be_shown_is_refused(tmp_path, monkeypatch):
    with pytest.raises(BadSetting, match="events or scores"):
        write_review_page(tmp_path / "p.html")
    monkeypatch.setattr("avshot.events.page.LARGEST_EMBEDDED", 3)
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(BadSetting, match="beside the page"):
        write_review_page(tmp_path / "p.html", [Event("a.wav", 0, 1, "dog")], media=tmp_path, embed=True)
