"""`avshot teach`: a Run, a folder with one sub-folder of clips for each new class, and the Run that knows them, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avshot.errors import BadDataset
from avshot.terminal.progress import note, say, show_progress
from avshot.terminal.tables import print_table


def teach_classes(run: Path, clips: Path, out: Path, *, replace: bool, lose: float, device: str) -> int:
    """`avshot teach`: returns how many clips could not be used, after a table of what was taught and what was not."""
    from avshot.cli.predict import open_run
    from avshot.machine.device import check_device
    from avshot.prediction.examples import read_examples
    from avshot.prediction.predictor import Predictor
    from avshot.prediction.teach import check_new, check_place, check_share, teach

    check_device(device)
    check_share(lose)
    opened, videos = open_run(run), _videos(clips)
    check_place(out)  # all that can be known before any clip is read
    check_new(opened, list(videos), replace=replace)
    with show_progress("reading") as bar:
        found = read_examples(Predictor(opened, device), videos, progress=bar)
    made = teach(opened, found.features, out, replace=replace, lose=lose, device=device)
    for failed in found.failed:
        say(f"avshot: {failed.error}")
    _show(made, found.features, videos)
    return len(found.failed)


def _videos(folder: Path) -> dict[str, list[str]]:
    """The media files of each sub-folder; says what it leaves out."""
    from avshot.data.folders import media_files

    if not folder.is_dir():
        raise BadDataset(f"{folder} is not a folder; pass one that holds a folder of clips for each class.")
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    loose = [path.name for path in inside if not path.is_dir()]
    if loose:
        note(f"{folder}: {len(loose)} files beside the folders of classes left out, the first {loose[0]}.")
    found = {}
    for path in (path for path in inside if path.is_dir()):
        media = media_files(path)
        for text in media.notes():
            note(f"{path}: {text}")
        if not media.files:
            raise BadDataset(f"{path} holds no videos; put clips of {path.name!r} there, or remove the folder.")
        found[path.name] = [str(file) for file in media.files]
    if not found:
        raise BadDataset(f"{folder} holds no folders; make one for each class, named like it, with its clips.")
    return found


def _show(made: Any, features: Mapping[str, Any], videos: Mapping[str, list[str]]) -> None:
    rows = [[name, str(len(found)), str(len(videos[name]) - len(found))] for name, found in features.items()]
    print_table(f"taught -> {made.path}", ["class", "clips", "not usable"], rows)
    print(f"{len(made.classes())} classes; no weight moved. Try it: avshot predict {made.path} VIDEO")
