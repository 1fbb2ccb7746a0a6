"""Label Studio's tasks (JSON) with predictions: regions on the sound of a recording, shown there to be corrected.

Source: Label Studio, "Import pre-annotated data" and the template "Video Timeline Segmentation", whose labels stand on
the sound of the video, in seconds. The labelling configuration needs `<Labels name="labels" toName="audio">` and
`<Audio name="audio" value="$audio"/>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

from avshot.errors import BadDataset
from avshot.events.format import Format, beginning, event_at, one_line
from avshot.events.span import Event
from avshot.files.atomic import load_json, save_text

_LOCAL = "/data/local-files/?d="  # how Label Studio names files of its own machine
_FRAME_RATE = 24.0  # of Label Studio's tag Video, unless its configuration says another one


class LabelStudio(Format):
    """A list of tasks, `{"data": {"audio": file}, "predictions": [{"result": [region, ...]}]}`."""

    endings: ClassVar[tuple[str, ...]] = (".json",)
    several: ClassVar[bool] = True

    def write(self, path: Path, events: Sequence[Event], files: Sequence[str]) -> None:
        """Write a task for each recording, also for those without events."""
        tasks = [_task(file, [event for event in events if event.file == file]) for file in files]
        save_text(path, json.dumps(tasks, ensure_ascii=False, indent=1, allow_nan=False) + "\n")

    def read(self, path: Path, file: str, names: Sequence[str]) -> list[Event]:
        """Read what a person annotated, of tasks without annotations the predictions; on sound or on frames of video.

        Frames are those of Label Studio's usual 24 a second, unless the task's data has `fps`.
        """
        tasks = load_json(path)
        tasks = [tasks] if isinstance(tasks, dict) else tasks
        if not (isinstance(tasks, list) and all(isinstance(task, dict) for task in tasks)):
            raise BadDataset(
                f"{path} is no list of tasks, as Label Studio imports and exports; expected [{{...}}, ...]."
            )
        return [event for i, task in enumerate(tasks) for event in _events(task, f"{path}, task {i + 1}", file)]

    def is_like(self, head: bytes) -> bool:
        """A list, as other JSON here is not."""
        return beginning(head).lstrip().startswith("[")


def _task(file: str, events: Sequence[Event]) -> dict[str, Any]:
    result = [
        {
            "id": f"event{i}",
            "from_name": "labels",
            "to_name": "audio",
            "type": "labels",
            "score": event.probability,
            "value": {"start": event.start, "end": event.end, "channel": 0, "labels": [one_line(event.name)]},
        }
        for i, event in enumerate(events, 1)
    ]
    score = max((event.probability for event in events), default=0.0)
    return {"data": {"audio": file}, "predictions": [{"model_version": "avshot", "score": score, "result": result}]}


def _events(task: dict[str, Any], place: str, file: str) -> Iterator[Event]:
    data = _mapping(task.get("data") or {}, place)
    of = next((data[key] for key in ("audio", "video", *data) if isinstance(data.get(key), str)), file)
    of = unquote(of.removeprefix(_LOCAL)) if of.startswith(_LOCAL) else of
    fps = data.get("fps", _FRAME_RATE)
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not fps > 0:
        raise BadDataset(f"{place}: fps is {fps!r}; expected frames a second.")
    for answer in _list(task.get("annotations") or task.get("predictions") or [], place):
        for region in _list(_mapping(answer, place).get("result") or [], place):
            yield from _region(_mapping(region, place), place, of, fps)


def _region(region: dict[str, Any], place: str, file: str, fps: float) -> Iterator[Event]:
    place = f"{place}, region {region.get('id', '?')}"
    value = _mapping(region.get("value") or {}, place)
    names = _list(value.get("labels") or value.get("timelinelabels") or [], place)
    spans = []
    if "start" in value and "end" in value:
        spans.append((_number(value["start"], place), _number(value["end"], place)))
    for part in _list(value.get("ranges") or [], place):  # frames count from 1, and the last one belongs to the span
        ends = _mapping(part, place)
        spans.append(((_number(ends.get("start"), place) - 1) / fps, _number(ends.get("end"), place) / fps))
    score = 1.0 if region.get("score") is None else _number(region["score"], place)
    for name in names:
        if not isinstance(name, str):
            raise BadDataset(f"{place}: its label is {name!r}; expected text.")
        for start, end in spans:
            yield event_at(place, file, start, end, name, score)


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadDataset(f"{place} holds {value!r:.60}, where a number is expected.")
    return float(value)


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadDataset(f"{place} holds {value!r:.60}, where an object is expected.")
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadDataset(f"{place} holds {value!r:.60}, where a list is expected.")
    return value
