"""`avshot predict`: a Run, videos and folders of them, and what it says about each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avshot.errors import BadDataset, WrongRun
from avshot.terminal.progress import say
from avshot.terminal.tables import print_table

if TYPE_CHECKING:
    from avshot.prediction.batch import Failed
USUAL = ("runs", "demo/runs", "results")  # where commands put Runs unless told otherwise


def predict_videos(
    run: Path,
    videos: Sequence[str | Path],
    names: Sequence[str] | None,
    *,
    top: int,
    as_json: bool,
    device: str,
    start: float | None = None,
    end: float | None = None,
    action: str | None = None,
    adverbs: Sequence[str] | None = None,
) -> int:
    """`avshot predict`: returns how many videos could not be used; they do not stop the others."""
    from avshot.machine.device import check_device
    from avshot.prediction.predictor import Failed, Predictor
    from avshot.prediction.video import check_span
    from avshot.types import Clip

    if not videos:
        wrong = _no_run(run)
        told = f"{wrong or f'No video is given to the Run {run}'}; write avshot predict RUN VIDEO."
        raise WrongRun(told + _runs() if wrong else told)
    check_device(device)
    check_span(start, end)
    predictor = Predictor(open_run(run), device)
    found = list(videos_of(videos))
    asked = (
        path if start is None and end is None else Clip(id=path, path=path, start=start, end=end)
        for path in found
        if isinstance(path, str)
    )
    answers = predictor.predict_many(
        asked, names, action=action, adverbs=adverbs, top=top
    )  # reports a wrong class name before any video is decoded
    failed = 0
    for video in found:
        answer = video if isinstance(video, Failed) else next(answers)
        if isinstance(answer, Failed):
            failed += 1
            if as_json:
                print(json.dumps({"video": answer.video, "error": str(answer.error)}))
            else:
                say(f"avshot: {answer.error}")
        elif as_json:
            print(json.dumps(answer.to_dict(), allow_nan=False))
        else:
            _show(answer)
    return failed


def open_run(path: Path) -> Any:
    """The Run in a folder; says which Runs there are where it holds several."""
    from avshot.data.sources import first_few
    from avshot.run import load_run

    if not path.exists():
        raise WrongRun(f"The Run folder {path} is not there; pass one made by `avshot train`.{_runs()}")
    if path.is_file():
        raise WrongRun(f"{_no_run(path)}; write avshot predict RUN VIDEO.{_runs()}")
    if path.is_dir() and not (path / "experiment.yaml").exists():
        inside = sorted(str(file.parent) for file in path.glob("*/*/run.json"))
        inside += sorted(str(file.parent) for file in path.glob("*/run.json"))
        if inside:
            raise WrongRun(f"{path} is not a Run folder; choose one of those in it: {first_few(inside)}.")
    return load_run(path)


def _no_run(path: Path) -> str:
    """Why the first argument is no Run folder, as the beginning of a sentence; empty where it may be one."""
    if path.is_dir():
        return "" if (path / "experiment.yaml").exists() else f"{path} is not a Run folder, which comes first"
    return f"{path} is no Run folder, which is the first argument, before the videos"


def _runs() -> str:
    """The Runs in the usual places, as a sentence; empty where there are none."""
    from avshot.data.sources import first_few

    found = sorted(str(file.parent) for place in USUAL for file in Path(place).glob("*/*/run.json"))
    return f" Runs here: {first_few(found)}." if found else ""


def videos_of(asked: Sequence[str | Path]) -> Iterator[str | Failed]:
    """The files that were named, and the media files below folders that were; an error for a folder without any."""
    from avshot.data.folders import media_files
    from avshot.prediction.batch import Failed

    for path in asked:
        if not Path(path).is_dir():
            yield str(path)
            continue
        found = media_files(path)
        for note in found.notes():
            say(f"note: {path}: {note}")
        if not found.files:
            yield Failed(str(path), BadDataset(f"{path} holds no videos; pass another folder."))
        yield from map(str, found.files)


def _show(found: Any) -> None:
    title = f"{found.video} ({found.duration:.1f} s, {found.status})"
    if found.action:
        known = [guess.known for guess in found.ranking]
        assumed = "" if found.assumed is None else f", assumed ({100 * found.assumed:.0f} %; --action says another)"
        print_table(f"{title}: {found.action}{assumed}", _MANNER, list(map(_manner, found.manners, known)))
    else:
        rows = [[guess.name, f"{100 * guess.probability:.1f} %", guess.known] for guess in found.ranking]
        print_table(title, ["class", "probability", "known"], rows)
    if any(found.modality.values()):
        print("rested on: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.modality.items()))
    else:
        print("rested on: nothing in this clip; a clip like the average of the training clips gets the same answer")
    moments = sorted((m for m in found.moments if m.share > 0), key=lambda m: -m.share)[:3]
    if moments:
        print("moments: " + ", ".join(f"{m.start:.2f}-{m.end:.2f} s ({100 * m.share:.0f} %)" for m in moments))
    for note in found.notes:
        print(f"note: {note}")
    print(found.about)


_MANNER = ["how", "probability", "and not", "rather so", "pair"]


def _manner(manner: Any, known: str) -> list[str]:
    against = "-" if manner.against is None else f"{100 * manner.against:.0f} %"
    return [manner.adverb, f"{100 * manner.probability:.1f} %", manner.opposite or "-", against, known]
