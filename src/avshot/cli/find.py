"""`avshot find`: recordings, folders of them or a pipe, and what is heard and seen in each, and when."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avshot.errors import BadSetting
from avshot.terminal.progress import Bar, note, say, show_progress
from avshot.terminal.tables import print_table

if TYPE_CHECKING:
    from avshot.events import Event
    from avshot.features.steps import StepScorer
    from avshot.finding.find import Found, Looking

PIPE = "-"
_PATIENCE = 3.0  # seconds that a recording takes before its progress is shown
_HEAD = ["start", "end", "event", "probability", "by"]


def find_events_in(
    paths: Sequence[str],
    scorer: StepScorer,
    looking: Looking,
    *,
    formats: Sequence[str] = (),
    out: Path | None = None,
    review: bool = False,
    as_json: bool = False,
    workers: int = 1,
    raw: tuple[int, int] = (16000, 1),
) -> int:
    """`avshot find`: returns how many recordings could not be used; they do not stop the others.

    Args:
        paths: Files and folders, or "-" alone for standard input.
        scorer: Who says what happens.
        looking: How to go through them.
        formats: In which files of events are written: into `out`, or beside each recording.
        out: Folder of results, in which scores are kept, too.
        review: Write an HTML page to look at what was found.
        as_json: Print one JSON object per line, not tables.
        workers: Processes.
        raw: Hz and channels of standard input, where it is no wav file.
    """
    from avshot.finding.find import find_each

    _check_formats(formats)
    for sentence in getattr(scorer, "notes", ()):
        note(sentence)
    if PIPE in paths:
        if len(paths) > 1 or formats or out is not None or review:
            raise BadSetting("Standard input is looked into alone, and printed; leave out other files and --out, -f.")
        return _listen(scorer, looking, as_json, raw)
    failed, meter = 0, _Meter()
    found: list[Found] = []
    with _written(found, looking, formats, out, review):
        for one in find_each(paths, scorer, looking, out=out, workers=workers, progress=meter, say=note):
            meter.close()
            failed += bool(one.error)
            _show(one, as_json)
            if not one.error:
                found.append(one if review else replace(one, track=_without_scores(one.track)))
    return failed


def names_of(classes: str | None, everything: bool, run: Path | None) -> list[str] | None:
    """Names as `--classes` gives them: a list, or a file with one per line; None for all that the scorer knows.

    Raises:
        ValueError: Neither names nor `--everything` nor a Run, both, or names that are none.
    """
    from avshot.classes.name_list import read_name_list
    from avshot.cli.parsing import parse_some

    if everything:
        if classes is not None:
            raise BadSetting("Got --classes and --everything; give one of them.")
        return None
    if classes is None:
        if run is not None:
            return None
        raise BadSetting('Say what to look for: --classes "dog barking, rain", a file of names, or --everything.')
    if len(classes) < 4096 and Path(classes).is_file():
        return read_name_list(classes)
    return parse_some("--classes", classes)


def thresholds(text: str | None) -> tuple[float | None, dict[str, float]]:
    """`--begin`: a probability, and those of single names: `"0.6"`, `"dog barking=0.8, rain=0.3"` or both in one list.

    Raises:
        ValueError: A part that is neither.
    """
    from avshot.cli.parsing import parse_list

    every, single = None, {}
    for part in parse_list(text or ""):
        name, equals, value = part.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            raise BadSetting(f"Got --begin {part!r}; expected a probability such as 0.6, or NAME=0.6.") from None
        if equals:
            single[name.strip()] = number
        else:
            every = number
    return every, single


def _check_formats(formats: Sequence[str]) -> None:
    """Raise ValueError for a format that there is not, before any work is done."""
    if formats:
        from avshot.events.files import get_format

        for name in formats:
            get_format(name)


@contextmanager
def _written(
    found: list[Found], looking: Looking, formats: Sequence[str], out: Path | None, review: bool
) -> Iterator[None]:
    """Write what was found when the block ends, also where it was stopped."""
    try:
        yield
    finally:
        if formats and found:
            for path in _write(found, formats, out):
                say(f"wrote {path}")
        if review and found:
            for path in _write_pages(found, looking, out):
                say(f"wrote {path}")


def _write(found: Sequence[Found], formats: Sequence[str], out: Path | None) -> list[Path]:
    from avshot.events import Events
    from avshot.events.files import get_format, write_all, write_events

    if out is not None:
        events = Events(event for one in found for event in one.events)
        return list(write_all(out, events, [one.file for one in found], list(formats)))
    made = []
    for one in found:
        for name in dict.fromkeys(formats):  # "yard.events.srt": "yard.srt" may hold what is spoken
            path = Path(one.file).with_suffix(f".events{get_format(name).endings[0]}")
            made.append(write_events(path, one.events, [one.file], format=name))
    return made


def _write_pages(found: Sequence[Found], looking: Looking, out: Path | None) -> list[Path]:
    from avshot.events import Events
    from avshot.events.page import write_review_page

    groups = [(Path(one.file).with_suffix(".events.html"), [one]) for one in found]
    if out is not None:
        groups = [(out / "review.html", list(found))]
    made = []
    for path, some in groups:
        events = Events(event for one in some for event in one.events)
        made.append(write_review_page(path, events, [one.track for one in some], settings=looking.segmentation))
    return made


def _listen(scorer: StepScorer, looking: Looking, as_json: bool, raw: tuple[int, int]) -> int:
    from avshot.finding.live import listen, rate_of
    from avshot.finding.pcm import sound_of

    pipe = getattr(sys.stdin, "buffer", None)
    if pipe is None or sys.stdin.isatty():
        raise BadSetting("Nothing comes through standard input; write SOURCE | avshot find - and so on.")
    sound = sound_of(pipe, rate_of(scorer), raw_rate=raw[0], raw_channels=raw[1])
    for event in listen(_until_interrupted(sound), scorer, looking):
        if as_json:
            print(json.dumps(asdict(event)), flush=True)
        else:
            print(
                f"{clock(event.start)} --> {clock(event.end)}  {event.name} ({_percent(event.probability)})", flush=True
            )
    return 0


def _until_interrupted(sound: Iterable[Any]) -> Iterator[Any]:
    """What comes until Ctrl-C, after which the events that go on are told."""
    try:
        yield from sound
    except KeyboardInterrupt:
        say("stopped")


def _show(found: Found, as_json: bool) -> None:
    track = found.track
    if as_json:
        told: dict[str, Any] = {"file": found.file, "status": track.status, "duration": track.duration}
        if found.error:
            told = {"file": found.file, "error": found.error}
        else:
            told |= {"events": [_plain(event) for event in found.events], "notes": list(track.notes)}
        print(json.dumps(told, allow_nan=False), flush=True)
        return
    if found.error:
        say(f"avshot: {found.file} cannot be used: {found.error}")
        return
    title = f"{found.file} ({clock(track.duration)}, {track.status}{', kept' if found.kept else ''})"
    if len(found.events):
        print_table(title, _HEAD, [_row(event) for event in found.events])
    else:
        print(f"{title}: nothing found")
    for sentence in track.notes:
        print(f"note: {sentence}")


def _row(event: Event) -> list[str]:
    return [clock(event.start), clock(event.end), event.name, _percent(event.probability), _by(event.sound)]


def _by(sound: float | None) -> str:
    if sound is None:
        return "-"
    return "heard" if sound > 0.75 else "seen" if sound < 0.25 else "heard and seen"


def _plain(event: Event) -> dict[str, Any]:
    return {key: value for key, value in asdict(event).items() if key != "file"}


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def clock(seconds: float) -> str:
    """Seconds as a player shows them, to the tenth: `1:02:03.4`, `2:03.4`."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    shown = f"{minutes:02d}:{rest // 10:02d}.{rest % 10}" if hours else f"{minutes}:{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{shown}" if hours else shown


def _without_scores(track: Any) -> Any:
    """A track without its windows, which take memory where there are very many recordings."""
    return replace(track, time=track.time[:0], probability=track.probability[:0], sound=None)


class _Meter:
    """Shows how far a recording is, where it takes longer than a moment."""

    def __init__(self) -> None:
        self._held, self._what, self._begun = ExitStack(), "", 0.0
        self._bar: Bar | None = None

    def __call__(self, what: str, done: int, total: int, numbers: dict[str, float]) -> None:
        if what != self._what:
            self.close()
            self._what, self._begun = what, time.monotonic()
        if self._bar is None and time.monotonic() - self._begun > _PATIENCE:
            self._bar = self._held.enter_context(show_progress(Path(what).name))
        if self._bar is not None:
            self._bar(done, max(total, done), "s")

    def close(self) -> None:
        """End the bar, so that something can be printed."""
        self._held.close()
        self._bar, self._what = None, ""
