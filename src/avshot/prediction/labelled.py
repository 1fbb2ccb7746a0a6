"""Videos with labels, as somebody passes them to learn from, as clips and as a dataset."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from avshot.classes.names import tidy
from avshot.data.dataset import Dataset, FeatureSource
from avshot.data.split import hold_out
from avshot.errors import BadClassName, BadDataset, BadMedia
from avshot.features.extractor import Extractor
from avshot.prediction.video import one_clip
from avshot.terminal.callbacks import Progress
from avshot.types import Clip

FEW_VIDEOS = 16  # below this, starting worker processes takes longer than describing the videos


def labelled_clips(videos: Iterable[str | Path], labels: Iterable[str]) -> list[Clip]:
    """One clip per video. Its id holds size and time of change, so that a replaced file is described again."""
    for what, given in (("videos", videos), ("labels", labels)):
        if isinstance(given, str | bytes | os.PathLike) or not isinstance(given, Iterable):
            raise BadDataset(f"Got {given!r} as {what}; pass a list with one for each video.")
    paths, names = [_path(video) for video in videos], list(labels)
    if len(paths) != len(names):
        raise BadDataset(f"Got {len(paths)} videos but {len(names)} labels; give one label for each video.")
    twice = [str(path) for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise BadDataset(f"{len(twice)} videos are given more than once, for example {twice[0]}; give each once.")
    clips = []
    for path, label in zip(paths, names, strict=True):
        try:
            name = tidy(label)
        except ValueError:
            raise BadClassName(f"The label of {path} is {label!r}; expected a class name in words.") from None
        about = path.stat() if path.exists() else None
        version = "" if about is None else f" ({about.st_size} bytes, {about.st_mtime_ns})"
        clips.append(Clip(f"{path}{version}", str(path), name))
    return clips


def _path(video: object) -> Path:
    """The real file; one that is not there is left out later, with the others that cannot be read."""
    clip = one_clip(video)
    if clip is video:
        raise BadMedia(f"Got a Clip among the videos ({clip.id}); pass paths of files.")
    return Path(clip.path).resolve()


def described_clips(
    clips: list[Clip],
    store: str,
    audio: str | Extractor | None,
    visual: str | Extractor | None,
    progress: Progress | None = None,
) -> tuple[list[Clip], FeatureSource]:
    """Clips with usable features, and these, kept in the folder `store`; warns of the others, as `usable_clips`."""
    from avshot.features.extract import extract
    from avshot.features.store.store import FeatureStore

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress("extract", done, total, {})

    workers = 1 if len(clips) < FEW_VIDEOS else None
    found = extract(clips, store, retry_failed=True, audio=audio, visual=visual, workers=workers, progress=tell)
    return usable_clips(clips, found.failed), FeatureStore(store)


def usable_clips(clips: list[Clip], failed: Sequence[tuple[str, str, str]]) -> list[Clip]:
    """Clips that have features; warns of the others. Raises ValueError when fewer than two classes are left."""
    reasons = {id: status.removeprefix("error: ") for id, _, status in failed}
    usable = [clip for clip in clips if clip.id not in reasons]
    first = next((f"{clip.path}: {reasons[clip.id]}" for clip in clips if clip.id in reasons), "")
    left_out = f"{len(reasons)} of {len(clips)} videos cannot be used, the first {first}" if reasons else ""
    classes = {clip.label for clip in usable}
    if len(classes) < 2:
        raise BadDataset(
            f"Got usable videos of {len(classes)} class{'es' * (len(classes) != 1)}; a recogniser needs at least two. "
            + left_out
        )
    if left_out:
        lost = sorted({str(clip.label) for clip in clips} - {str(label) for label in classes})
        gone = f" No video is left of: {', '.join(lost)}." if lost else ""
        warnings.warn(f"{left_out}{gone}", stacklevel=4)  # where somebody calls `Recognizer.fit`
    return usable


def own_dataset(clips: list[Clip], extra: tuple[str, ...], features: FeatureSource, seed: int) -> Dataset:
    """All labelled clips as one dataset without test clips, and with further classes that have none."""
    seen = sorted({clip.label for clip in clips if clip.label is not None})
    names = (*seen, *dict.fromkeys(name for name in map(tidy, extra) if name not in seen))
    folds = {fold: np.array(rows, dtype=np.int64) for fold, rows in hold_out(clips, seed).items()}
    folds["test_unseen"] = np.array([], dtype=np.int64)
    candidates = {"test_unseen": names[len(seen) :]}
    return Dataset("own videos", tuple(clips), names, folds, features, candidates=candidates)
