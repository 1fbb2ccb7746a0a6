"""`avshot search`: of videos and folders of them those that show what is named, best first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from avshot.terminal.progress import say
from avshot.terminal.tables import print_table


def search_videos(run: Path, what: str, videos: Sequence[str | Path], *, top: int, as_json: bool, device: str) -> int:
    """`avshot search`: returns how many videos could not be used; they do not stop the others."""
    from avshot.cli.predict import open_run, videos_of
    from avshot.machine.device import check_device
    from avshot.prediction.batch import Failed
    from avshot.prediction.predictor import Predictor
    from avshot.prediction.search import search

    check_device(device)
    predictor = Predictor(open_run(run), device)
    listed = list(videos_of(videos))
    paths = [path for path in listed if isinstance(path, str)]
    found, failed = search(predictor, what, paths)
    failed += [path for path in listed if isinstance(path, Failed)]
    for failure in failed:
        say(f"avshot: {failure.error}")
    if as_json:
        for match in found[:top]:
            print(json.dumps(match.to_dict(), allow_nan=False))
        return len(failed)
    opposite = found[0].opposite if found else None
    head = ["video", "score", *([] if opposite is None else [f"rather than {opposite}"])]
    rows = [
        [match.video, f"{match.score:.3f}", *([] if match.against is None else [f"{100 * match.against:.0f} %"])]
        for match in found[:top]
    ]
    print_table(f"{what}: the first {len(rows)} of {len(found)} videos", head, rows)
    return len(failed)
