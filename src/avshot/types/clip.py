"""`Clip`: a video, or a span of one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clip:
    """A video, or a span of one: one row of a manifest.

    Attributes:
        id: Unique name of the clip within its dataset.
        path: The video file; empty when only features of the clip exist.
        label: Class name, or None when unknown.
        start: Seconds from the beginning of the file, or None for the beginning.
        end: Seconds from the beginning of the file, or None for the end.
        group: The source the clip was cut from; clips of one group are related and must not straddle folds.
        stored_as: Under which id its features are stored, where that is not its own: rows of a manifest that differ in
            label alone share one description.
    """

    id: str
    path: str = ""
    label: str | None = None
    start: float | None = None
    end: float | None = None
    group: str | None = None
    stored_as: str | None = None

    @property
    def key(self) -> str:
        """The id under which its features are stored."""
        return self.id if self.stored_as is None else self.stored_as
