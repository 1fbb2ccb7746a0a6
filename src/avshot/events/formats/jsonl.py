"""JSON lines: an object for each event, with every digit of its numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from avshot.errors import BadDataset
from avshot.events.format import Format, beginning, one_line
from avshot.events.span import Event
from avshot.files.atomic import save_text
from avshot.files.text import read_lines


class Jsonl(Format):
    """`{"file": ..., "start": ..., "end": ..., "name": ..., "probability": ..., "sound": ..., "picture": ...}`."""

    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")
    several: ClassVar[bool] = True

    def write(self, path: Path, events: Sequence[Event], files: Sequence[str]) -> None:
        """Write a line for each event."""
        save_text(path, "".join(f"{json_line(event)}\n" for event in events))

    def read(self, path: Path, file: str, names: Sequence[str]) -> list[Event]:
        """Read objects that have at least start, end and name; other keys are passed over."""
        return [_event(text, f"{path} line {line}", file) for line, text in read_lines(path)]

    def is_like(self, head: bytes) -> bool:
        """It begins with an object."""
        return beginning(head).lstrip().startswith("{")


def json_line(event: Event) -> str:
    """An event as one line of JSON, without a line end; as `find` prints events while it listens."""
    return json.dumps(asdict(event) | {"name": one_line(event.name)}, ensure_ascii=False, allow_nan=False)


def _event(text: str, place: str, file: str) -> Event:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadDataset(f"{place} is no JSON ({error}); expected an object for each line.") from None
    if not isinstance(found, dict):
        raise BadDataset(f"{place} is {type(found).__name__}; expected an object with start, end and name.")
    lacking = [key for key in ("start", "end", "name") if key not in found]
    if lacking:
        raise BadDataset(f"{place} has no {', '.join(lacking)}; it has: {', '.join(map(str, found)) or 'nothing'}.")
    numbers = {key: _number(found.get(key), key, place) for key in ("start", "end", "probability", "sound", "picture")}
    probability = 1.0 if numbers["probability"] is None else numbers["probability"]
    try:
        named = one_line(_text(found["name"], "name", place))
        of = _text(found.get("file") or file, "file", place)
        return Event(of, numbers["start"], numbers["end"], named, probability, numbers["sound"], numbers["picture"])
    except (BadDataset, TypeError):
        raise BadDataset(f"{place}: start and end must be numbers of seconds, name and file text.") from None
    except ValueError as error:
        raise BadDataset(f"{place}: {error}") from None


def _text(value: Any, key: str, place: str) -> str:
    if not isinstance(value, str):
        raise BadDataset(f"{place}: {key} is {value!r}; expected text.")
    return value


def _number(value: Any, key: str, place: str) -> Any:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise BadDataset(f"{place}: {key} is {value!r}; expected a number.")
