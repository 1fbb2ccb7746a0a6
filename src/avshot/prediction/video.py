"""What somebody passes as a video: one file, or a span of it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import replace

from avshot.errors import BadMedia, BadSetting, told_as
from avshot.files.url import local_path
from avshot.types import Clip

_NUMBERS = "biufc"  # kinds of numpy types


@told_as(BadMedia)
def one_clip(video: object) -> Clip:
    """The clip that somebody means.

    Raises:
        ValueError: Anything but a `Clip`, the path of one file, or its `file://` URL.
    """
    if isinstance(video, Clip):
        return _checked(video)
    path = os.fspath(video) if isinstance(video, str | os.PathLike) else None
    if isinstance(path, str) and path:
        path = local_path(path)
        if os.path.isdir(path):
            raise BadMedia(f"{path} is a folder; pass the path of one video, and call predict for each.")
        return Clip(id=path, path=path)
    kind = type(video).__name__
    if isinstance(video, bytes | bytearray | memoryview) or hasattr(video, "read"):
        raise BadMedia(f"Got the content of a file ({kind}) as the video; pass the path of the file.")
    if hasattr(video, "dtype") and getattr(video.dtype, "kind", "f") in _NUMBERS:
        raise BadMedia(f"Got numbers ({kind}) as the video; pass the path of a video file, not its frames or sound.")
    if isinstance(video, Iterable) and not isinstance(video, str):
        raise BadMedia(f"Got several videos ({kind}); pass the path of one, and call predict for each.")
    raise BadMedia(f"Got {video!r} as the video; pass the path of a video file.")


def _checked(clip: Clip) -> Clip:
    if not clip.path:
        raise BadMedia(f"Clip {clip.id!r} names no file; pass one with a path.")
    path = local_path(clip.path)
    return clip if path == clip.path else replace(clip, path=path)


def check_span(start: float | None, end: float | None) -> None:
    """Check a span in seconds; None is the beginning or the end of the file. Raises ValueError for what is none."""
    first, last = 0.0 if start is None else start, math.inf if end is None else end
    if not 0 <= first < math.inf or math.isnan(last) or last <= first:
        raise BadSetting(f"Got the span from {start} to {end}; expected seconds from 0, the end after the start.")
