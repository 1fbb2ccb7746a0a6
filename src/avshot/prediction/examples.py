"""Clips to teach by: described with the Run's extractors, class by class."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from avshot.errors import BadDataset, BadMedia
from avshot.prediction.batch import Failed, answers
from avshot.prediction.predictor import Predictor
from avshot.prediction.upload import Video
from avshot.types import Features


@dataclass(frozen=True)
class Examples:
    """Clips to teach by.

    Attributes:
        features: `{class: features of its usable clips}`, at least one clip each.
        failed: The clips that could not be used, with the reason.
    """

    features: dict[str, Features]
    failed: tuple[Failed, ...] = ()


def read_examples(
    predictor: Predictor,
    videos: Mapping[str, Iterable[Video]],
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Examples:
    """Describe clips with a Run's extractors; bad ones are named and left out.

    Args:
        predictor: The opened Run.
        videos: Class names, and of each some videos as for `Predictor.predict`.
        workers: Threads; None takes one for each core.
        progress: Called with (videos read, videos in all).

    Raises:
        ValueError: No class; a class without a usable clip, or one that is no list of videos.
    """
    if not isinstance(videos, Mapping) or not videos:
        raise BadDataset('Got no classes to teach; pass {"fire alarm": ["a.mp4", "b.mp4"]}.')
    listed = {name: _listed(name, found) for name, found in videos.items()}
    every = [(name, video) for name, found in listed.items() for video in found]
    read = answers(predictor.read, [video for _, video in every], workers=workers)
    parts: dict[str, list[Features]] = {name: [] for name in listed}
    failed: dict[str, list[Failed]] = {name: [] for name in listed}
    for done, ((name, _), answer) in enumerate(zip(every, read, strict=True), start=1):
        if isinstance(answer, Failed):
            failed[name].append(answer)
        else:
            parts[name].append(answer)
        if progress is not None:
            progress(done, len(every))
    for name, found in parts.items():
        if not found:
            count, first = len(failed[name]), failed[name][0].error
            raise BadMedia(f"None of the {count} clips of {name!r} can be used; the first: {first}")
    usable = {name: Features.cat(found) for name, found in parts.items()}
    return Examples(usable, tuple(one for found in failed.values() for one in found))


def _listed(name: str, videos: Any) -> list[Video]:
    if isinstance(videos, str | bytes | os.PathLike) or not isinstance(videos, Iterable):
        raise BadDataset(f"Got {videos!r} as the clips of {name!r}; pass a list of videos.")
    found = list(videos)
    if not found:
        raise BadDataset(f"Got no clip of {name!r}; teaching needs at least one of each class.")
    return found
