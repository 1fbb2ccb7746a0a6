"""Which row of somebody's arrays is which clip, and what of it counts: NaN is "not there", other nonsense an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from avshot.data.clip_arrays import ClipArrays
from avshot.data.listing import without_suffix
from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.files.pickles.arrays import as_numbers


def rows_of(
    arrays: ClipArrays, ids: Sequence[str], *, skip_unknown: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The row of each clip `[clip]`, -1 where there is none, and ids of the arrays that are left out.

    Ids are compared as they are, then without the suffix of a video or sound file.

    Args:
        arrays: Features of one modality.
        ids: Clips of the table, in its order.
        skip_unknown: Leave out features of clips that the table does not name, in place of an error.

    Raises:
        ValueError: Without ids: not as many rows as lines. With ids: one that the table lacks, that is there twice, or
            not one that the table has.
    """
    if arrays.ids is None:
        if arrays.count != len(ids):
            raise BadDataset(
                f"{arrays.place} holds features of {arrays.count} clips and the table has {len(ids)} lines; row i "
                "belongs to line i, so expected as many (or save ids beside the features, in an .npz)."
            )
        return np.arange(len(ids)), ()
    count = Counter(map(without_suffix, ids))
    place = {without_suffix(id): i for i, id in enumerate(ids) if count[without_suffix(id)] == 1}
    place |= {id: i for i, id in enumerate(ids)}
    rows = np.full(len(ids), -1, dtype=np.int64)
    unknown = []
    for row, id in enumerate(arrays.ids):
        clip = place.get(id, place.get(without_suffix(id)))
        if clip is None:
            unknown.append(id)
        elif rows[clip] >= 0:
            raise BadDataset(f"{arrays.place} holds features of clip {ids[clip]!r} twice; keep one.")
        else:
            rows[clip] = row
    if len(unknown) == arrays.count:
        raise BadDataset(
            f"{arrays.place} holds no clip of the table: its ids begin with {first_few(map(repr, unknown), 3)}, those "
            f"of the table with {first_few(map(repr, ids), 3)}; write them alike."
        )
    if unknown and not skip_unknown:
        raise BadDataset(
            f"{arrays.place} holds features of {len(unknown)} clips that are not in the table: {first_few(unknown)}; "
            "write the ids alike, or leave these out (--skip-unknown, skip_unknown=True)."
        )
    return rows, tuple(unknown)


@dataclass
class StepReader:
    """Reads clips of one modality, and keeps what a user should hear about them.

    Attributes:
        arrays: Features of the modality.
        modality: "audio" or "visual".
        dim: Width of the features; known after the first clip.
        zeros: Clips of which every number is 0.
        ends: Clips that end in steps of zeros.
        untimed: A clip had several steps, and no times.
    """

    arrays: ClipArrays
    modality: str
    dim: int | None = None
    zeros: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    untimed: bool = False

    def read(self, row: int, id: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Values `[time, dim]` float32 and seconds `[time]` of a clip; None where it lacks the modality.

        Steps of NaN at the end are padding; a clip of nothing else lacks the modality. Steps without times are at
        0, 1, 2, ... seconds, an average is at 0.

        Args:
            row: Number of the clip in the arrays; -1 for none.
            id: Its name, for messages.

        Raises:
            ValueError: Other numbers that are not finite, no numbers, or another shape or width; names file and clip.
        """
        if row < 0:
            return None
        raw, seconds = self.arrays.read(row)
        place = f"{self.arrays.place}, clip {id!r}"
        try:
            value = as_numbers(raw)
        except ValueError as error:
            raise BadDataset(f"{place}: {error}; save them as float32.") from None
        value = value[None] if value.ndim == 1 else value
        if value.ndim != 2 or value.shape[1] == 0:
            raise BadDataset(f"{place}: an array of shape {np.shape(raw)}; expected [dim] or [time, dim].")
        self.dim = value.shape[1] if self.dim is None else self.dim
        if value.shape[1] != self.dim:
            raise BadDataset(f"{place}: {value.shape[1]} numbers a step, {self.dim} before; expected one width.")
        value = value[: _real_steps(value)]
        if len(value) == 0:
            return None
        self._check(place, value)
        self._look(id, value)
        if seconds is None:
            self.untimed = self.untimed or len(value) > 1
            return value, np.arange(len(value), dtype=np.float32)
        seconds = seconds[: len(value)]
        if not np.isfinite(seconds).all():
            raise BadDataset(f"{place}: times that are not finite; expected seconds for each step.")
        return value, seconds

    def notes(self) -> list[str]:
        """What is odd about the clips that were read, as sentences."""
        found = []
        if self.zeros:
            found.append(
                f"{len(self.zeros)} clips have {self.modality} features of zeros alone, which count as features; where "
                f"a clip has none, write NaN: {first_few(self.zeros)}."
            )
        if self.ends:
            found.append(
                f"{len(self.ends)} clips have {self.modality} features that end in steps of zeros, which count as "
                f"steps; where they are padding, write NaN or give lengths: {first_few(self.ends)}."
            )
        if self.untimed:
            found.append(
                f"The {self.modality} steps have no times, so step i is taken to be at i seconds; give times in an "
                ".npz or .h5 for methods that read steps."
            )
        return found

    def _check(self, place: str, value: np.ndarray) -> None:
        finite = np.isfinite(value)
        if not finite.all():
            step = int(np.flatnonzero(~finite.all(axis=1))[0])
            raise BadDataset(
                f"{place}: {int(value.size - finite.sum())} of {value.size} numbers are not finite (nan, inf, or too "
                f"large for 32 bits), the first in step {step}; a clip without {self.modality} is NaN throughout, and "
                "padding is steps of NaN at the end."
            )

    def _look(self, id: str, value: np.ndarray) -> None:
        if value[-1].any():
            return
        (self.ends if value.any() else self.zeros).append(id)


def _real_steps(value: np.ndarray) -> int:
    """How many steps there are before those of NaN alone at the end."""
    if not np.isnan(value[-1:]).all():  # the usual case, without a look at the others
        return len(value)
    real = np.flatnonzero(~np.isnan(value).all(axis=1))
    return int(real[-1]) + 1 if len(real) else 0
