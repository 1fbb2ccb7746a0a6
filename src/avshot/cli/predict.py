"""`avshot predict`: a Run, videos and folders of them, and what it says about each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from avshot.terminal.progress import say
from avshot.terminal.tables import print_table


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
) -> int:
    """`avshot predict`: returns how many videos could not be used; they do not stop the others."""
    from avshot.machine.device import check_device
    from avshot.prediction.predictor import Predictor
    from avshot.prediction.video import check_span
    from avshot.types import Clip

    check_device(device)
    check_span(start, end)
    predictor = Predictor(_open_run(run), device)
    predictor.classes(names)  # a wrong class name is reported before any video is decoded
    failed = 0
    for video in _videos(videos):
        try:
            if isinstance(video, _NoVideos):
                raise video
            path = str(video)
            asked = path if start is None and end is None else Clip(id=path, path=path, start=start, end=end)
            found = predictor.predict(asked, names, top=top)
            shown = json.dumps(found.to_dict(), allow_nan=False) if as_json else ""
        except (ValueError, OSError) as error:
            failed += 1
            if as_json:
                path = str(video.path if isinstance(video, _NoVideos) else video)
                print(json.dumps({"video": path, "error": str(error)}))
            else:
                say(f"avshot: {error}")
            continue
        if as_json:
            print(shown)
        else:
            _show(found)
    return failed


def _open_run(path: Path) -> Any:
    """The Run in a folder; says which Runs there are where it holds several."""
    from avshot.data.sources import first_few
    from avshot.run import load_run

    if not path.exists():
        raise ValueError(f"The Run folder {path} is not there; pass one made by `avshot train`.")
    if path.is_dir() and not (path / "experiment.yaml").exists():
        inside = sorted(str(file.parent) for file in path.glob("*/*/run.json"))
        inside += sorted(str(file.parent) for file in path.glob("*/run.json"))
        if inside:
            raise ValueError(f"{path} is not a Run folder; choose one of those in it: {first_few(inside)}.")
    return load_run(path)


def _videos(asked: Sequence[str | Path]) -> Iterator[str | Path | _NoVideos]:
    """The files that were named, and the media files below folders that were; an error for a folder without any."""
    from avshot.data.folders import media_files

    for path in asked:
        if not Path(path).is_dir():
            yield path
            continue
        found = media_files(path)
        for note in found.notes():
            say(f"note: {path}: {note}")
        if not found.files:
            yield _NoVideos(path)
        yield from found.files


class _NoVideos(ValueError):
    def __init__(self, path: str | Path) -> None:
        super().__init__(f"{path} holds no videos; pass another folder.")
        self.path = path


def _show(found: Any) -> None:
    rows = [
        [guess.name, f"{100 * guess.probability:.1f} %", "trained" if guess.seen else "from words"]
        for guess in found.ranking
    ]
    print_table(f"{found.video} ({found.duration:.1f} s, {found.status})", ["class", "probability", "known"], rows)
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
