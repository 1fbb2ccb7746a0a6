"""One HTML page to look at and listen to what was found, and to mark it right or wrong; it fetches nothing.

The page holds a player, a map of probabilities over time, the events, and a threshold that cuts them anew at once: the
JavaScript in `assets/segments.js` does what `avshot.events.segments` does.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from avshot.errors import BadSetting
from avshot.events.event import Event, Events
from avshot.events.segments import DEFAULT, Segmentation, find_events
from avshot.events.track import Track
from avshot.files.atomic import save_text

LARGEST_EMBEDDED = 64 << 20  # bytes of all recordings; a page is held in memory as a whole
_POLICY = (  # a page from anybody may be opened: nothing in it can reach out
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; media-src 'self' file: data: blob:"
)


def write_review_page(
    path: str | Path,
    events: Sequence[Event] | None = None,
    tracks: Iterable[Track] = (),
    *,
    settings: Segmentation = DEFAULT,
    media: str | Path | None = None,
    embed: bool = False,
    rows: int = 24,
    title: str = "What was found",
) -> Path:
    """Write the page of one or several recordings.

    Args:
        path: The HTML file; an existing one is replaced.
        events: What was found; None cuts the tracks by `settings`. At least this or one track.
        tracks: Scores in time; a recording without has no map, and the threshold leaves out events below it.
        settings: What `events` were cut by; where the threshold of the page begins.
        media: Folder that recordings are named from; None: the current one. They are referred to relative to the page,
            so page and recordings move together.
        embed: Put the recordings into the page, up to 64 MiB in all.
        rows: Names on the map of a recording at most: those with events first, and the most probable of them. Events
            of other names are listed as they were found, and the threshold leaves out those below it.
        title: Of the page.

    Returns:
        `path`.

    Raises:
        ValueError: Neither events nor tracks, or recordings too large to embed.
        OSError: It cannot be written, or a recording to embed cannot be read.
    """
    path, found = Path(path), {track.file: track for track in tracks}
    if events is None and not found:
        raise BadSetting("A review page needs events or scores in time; pass at least one of them.")
    all_events = (
        Events(e for t in found.values() for e in find_events(t, settings)) if events is None else Events(events)
    )
    names = list(dict.fromkeys([*found, *all_events.files]))
    sources = _sources(names, Path(media or "."), path.parent, embed=embed)
    recordings = [
        _recording(name, all_events.of(name), found.get(name), rows) | {"source": sources[name]} for name in names
    ]
    content: dict[str, Any] = {"settings": asdict(settings), "recordings": recordings}
    about = json.dumps(
        [[one["file"], one["events"]] for one in recordings]
    )  # what marks that a browser keeps belong to
    content["key"] = sha256(about.encode()).hexdigest()[:16]
    save_text(path, _page(title, content))
    return path


def _recording(file: str, events: Events, track: Track | None, rows: int) -> dict[str, Any]:
    kept = ("name", "start", "end", "probability", "sound")
    return {
        "file": file,
        "events": [{key: getattr(event, key) for key in kept} for event in events],
        "duration": 0.0 if track is None else track.duration,
        "status": "ok" if track is None else track.status,
        "notes": [] if track is None else track.notes,
        "track": None if track is None else _scores(track, events, rows),
    }


def _scores(track: Track, events: Events, rows: int) -> dict[str, Any]:
    """The scores of the names that are shown, every bit of them."""
    best = np.nan_to_num(track.probability).max(axis=0, initial=0.0)
    found = set(events.names)
    order = sorted(range(len(track.names)), key=lambda j: (track.names[j] not in found, -best[j]))
    chosen = sorted(order[:rows])
    return {
        "names": [track.names[j] for j in chosen],
        "hop": track.hop,
        "duration": track.duration,
        "time": _numbers(track.time, "<f8"),
        "probability": _numbers(track.probability[:, chosen], "<f4"),
        "sound": None if track.sound is None else _numbers(track.sound[:, chosen], "<f4"),
    }


def _numbers(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()


def _sources(names: Sequence[str], media: Path, folder: Path, *, embed: bool) -> dict[str, str | None]:
    """Where the page finds each recording; None where it is not there."""
    paths = {name: media / name for name in names}
    there = {name: path for name, path in paths.items() if path.is_file()}
    size = sum(path.stat().st_size for path in there.values())
    if embed and size > LARGEST_EMBEDDED:
        raise BadSetting(f"The recordings have {size >> 20} MiB, and a page holds 64; leave them beside the page.")
    made = _embedded if embed else lambda path: _reference(path, folder)
    return {name: made(there[name]) if name in there else None for name in names}


def _embedded(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "video/mp4"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _reference(path: Path, folder: Path) -> str:
    try:
        return quote(os.path.relpath(path, folder).replace(os.sep, "/"))
    except ValueError:  # on another drive
        return path.resolve().as_uri()


def _page(title: str, content: Mapping[str, Any]) -> str:
    """All in one file. In JSON `<` is written so that nothing in it can end the script."""
    style, html, segments, script = (_asset(name) for name in ("page.css", "page.html", "segments.js", "page.js"))
    told = json.dumps(content, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{style}</style>"
    )
    body = (
        f"{html.replace('TITLE', escape(title))}"
        f'<script type="application/json" id="data">{told}</script><script>{segments}</script><script>{script}</script>'
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _asset(name: str) -> str:
    return files("avshot.events").joinpath("assets", name).read_text(encoding="utf-8")
