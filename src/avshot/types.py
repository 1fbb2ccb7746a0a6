"""The four nouns that travel through avshot: `Clip`, `Features`, `Classes` (with `Factor`), `Batch`.

All are frozen. Shapes are written `[clip, time, dim]`; times are seconds; masks are True where the data is real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from avshot.errors import BadClassName

MODALITIES = ("audio", "visual")


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


@dataclass(frozen=True)
class Features:
    """A batch of clips as sequences of audio and visual feature vectors.

    A missing modality is a row whose mask is all False. Time-averaged features are the same type with one time step.
    Values under a False mask are ignored by everything downstream (and are zero when avshot made them).

    Attributes:
        audio: `[clip, time_a, dim_a]`.
        visual: `[clip, time_v, dim_v]`.
        audio_mask: `[clip, time_a]` bool, True = real.
        visual_mask: `[clip, time_v]` bool, True = real.
        audio_time: `[clip, time_a]` centre of each step in seconds.
        visual_time: `[clip, time_v]` centre of each step in seconds.
    """

    audio: Tensor
    visual: Tensor
    audio_mask: Tensor
    visual_mask: Tensor
    audio_time: Tensor
    visual_time: Tensor

    def __post_init__(self) -> None:
        for name in MODALITIES:
            value, mask, time = getattr(self, name), getattr(self, f"{name}_mask"), getattr(self, f"{name}_time")
            if value.ndim != 3:
                raise ValueError(f"{name} has shape {tuple(value.shape)}; expected [clip, time, dim].")
            if mask.shape != value.shape[:2] or time.shape != value.shape[:2]:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}, its mask {tuple(mask.shape)} and its times "
                    f"{tuple(time.shape)}; expected [clip, time] for both."
                )
            if mask.dtype != torch.bool:
                raise ValueError(f"{name}_mask has type {mask.dtype}; expected torch.bool (True = real).")
        if len(self.audio) != len(self.visual):
            raise ValueError(f"{len(self.audio)} clips of audio but {len(self.visual)} of visual features.")

    @classmethod
    def averaged(cls, audio: Tensor, visual: Tensor) -> Features:
        """Wrap time-averaged vectors `audio [clip, dim_a]` and `visual [clip, dim_v]`; all are taken as real."""
        real = torch.ones(len(audio), 1, dtype=torch.bool, device=audio.device)
        zero = torch.zeros(len(audio), 1, device=audio.device)
        return cls(audio[:, None], visual[:, None], real, real.clone(), zero, zero.clone())

    @classmethod
    def from_sequences(
        cls,
        audio: Sequence[Tensor | None],
        visual: Sequence[Tensor | None],
        audio_time: Sequence[Tensor | None],
        visual_time: Sequence[Tensor | None],
        *,
        dims: tuple[int, int],
    ) -> Features:
        """Pad sequences `[time, dim]` of different lengths into one batch; None or length 0 = modality missing.

        Args:
            audio: One `[time, dims[0]]` tensor or None per clip.
            visual: One `[time, dims[1]]` tensor or None per clip.
            audio_time: Seconds `[time]` for each audio sequence; None counts steps 0, 1, 2, ...
            visual_time: Seconds `[time]` for each visual sequence; None counts steps 0, 1, 2, ...
            dims: Audio and visual feature width, needed when a modality is missing everywhere.
        """
        a, v = _pad(audio, audio_time, dims[0]), _pad(visual, visual_time, dims[1])
        return cls(a[0], v[0], a[1], v[1], a[2], v[2])

    @classmethod
    def cat(cls, parts: Sequence[Features]) -> Features:
        """Join batches along the clip axis, padding them to the longest. Raises ValueError for an empty list."""
        if not parts:
            raise ValueError("Nothing to join: got an empty list of Features.")
        time_a = max(part.audio.shape[1] for part in parts)
        time_v = max(part.visual.shape[1] for part in parts)
        padded = [part._padded_to(time_a, time_v) for part in parts]
        return cls(*(torch.cat([getattr(part, name) for part in padded]) for name in _FIELDS))

    def __len__(self) -> int:
        return len(self.audio)

    def __getitem__(self, index: Any) -> Features:
        """Select clips by slice, index tensor or bool mask; an integer keeps the clip axis (length 1)."""
        if isinstance(index, int):
            index = [index]
        return Features(*(getattr(self, name)[index] for name in _FIELDS))

    def take(self, rows: Tensor) -> Features:
        """The clips `rows` (`[row]` long, 0 or more), in that order: copies whole rows, much faster than indexing."""
        return Features(*(getattr(self, name).index_select(0, rows) for name in _FIELDS))

    @property
    def dims(self) -> tuple[int, int]:
        """Width of the audio and of the visual features."""
        return self.audio.shape[2], self.visual.shape[2]

    @property
    def has_audio(self) -> Tensor:
        """`[clip]` bool: the clip has at least one real audio step."""
        return self.audio_mask.any(dim=1)

    @property
    def has_visual(self) -> Tensor:
        """`[clip]` bool: the clip has at least one real visual step."""
        return self.visual_mask.any(dim=1)

    def pooled(self) -> tuple[Tensor, Tensor]:
        """Masked means over time: `(audio [clip, dim_a], visual [clip, dim_v])`; a missing modality gives zeros."""
        return _masked_mean(self.audio, self.audio_mask), _masked_mean(self.visual, self.visual_mask)

    def only(self, modality: str) -> Features:
        """Hide the other modality: one step of zeros under a False mask. `modality`: "audio", "visual" or "both"."""
        if modality == "both":
            return self
        if modality not in MODALITIES:
            raise ValueError(f'modality is {modality!r}; expected "audio", "visual" or "both".')
        hidden = "visual" if modality == "audio" else "audio"
        names = (hidden, f"{hidden}_mask", f"{hidden}_time")
        return replace(self, **{name: torch.zeros_like(getattr(self, name)[:, :1]) for name in names})

    def prefer(self, view: str) -> Features:
        """Like `only`, but a clip that lacks the modality `view` keeps the other one. "both" changes nothing."""
        if view == "both":
            return self
        alone = self.only(view)
        has = getattr(self, f"has_{view}")
        if bool(has.all()):
            return alone
        hidden = "visual" if view == "audio" else "audio"
        return replace(self, **{f"{hidden}_mask": getattr(self, f"{hidden}_mask") & ~has[:, None]})

    def to(self, device: torch.device | str) -> Features:
        """Move every tensor to `device`."""
        return Features(*(getattr(self, name).to(device) for name in _FIELDS))

    def _padded_to(self, time_a: int, time_v: int) -> Features:
        def grow(value: Tensor, time: int) -> Tensor:
            missing = time - value.shape[1]
            if missing == 0:
                return value
            shape = (value.shape[0], missing, *value.shape[2:])
            return torch.cat([value, value.new_zeros(shape)], dim=1)

        lengths = {"audio": time_a, "visual": time_v}
        return Features(*(grow(getattr(self, name), lengths[name.split("_")[0]]) for name in _FIELDS))


_FIELDS = ("audio", "visual", "audio_mask", "visual_mask", "audio_time", "visual_time")


def _pad(rows: Sequence[Tensor | None], times: Sequence[Tensor | None], dim: int) -> tuple[Tensor, Tensor, Tensor]:
    longest = max((len(row) for row in rows if row is not None), default=0)
    value = torch.zeros(len(rows), max(longest, 1), dim)
    mask = torch.zeros(len(rows), max(longest, 1), dtype=torch.bool)
    time = torch.zeros(len(rows), max(longest, 1))
    for i, (row, stamp) in enumerate(zip(rows, times, strict=True)):
        if row is None or len(row) == 0:
            continue
        if row.ndim != 2 or row.shape[1] != dim:
            raise ValueError(f"Sequence {i} has shape {tuple(row.shape)}; expected [time, {dim}].")
        value[i, : len(row)] = row
        mask[i, : len(row)] = True
        time[i, : len(row)] = torch.arange(len(row)) if stamp is None else stamp
    return value, mask, time


def _masked_mean(value: Tensor, mask: Tensor) -> Tensor:
    weight = mask.to(value.dtype)
    total = torch.where(mask[..., None], value, torch.zeros_like(value)).sum(dim=1)
    return total / weight.sum(dim=1, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class Factor:
    """One part of classes that are combinations: the action, or the adverb, of pairs such as "cut slowly".

    Attributes:
        index: `[class]` long: which value each class has.
        names: `[value]` the words of the values, unique; values that no class has may be among them.
        text: `{encoder: [value, dim]}` embeddings of the values, by the encoders of `Classes.text`.
        opposite: `[value]` long, the antonym of each value, -1 where none is known; None where the factor has none.
    """

    index: Tensor
    names: tuple[str, ...]
    text: Mapping[str, Tensor] = field(default_factory=dict)
    opposite: Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.names)
        if len(set(self.names)) != count:
            raise BadClassName(f"The values of a factor must be unique; got {', '.join(self.names)}.")
        if self.index.ndim != 1 or self.index.dtype != torch.long or not _within(self.index, 0, count):
            raise ValueError(
                f"The index of a factor has shape {tuple(self.index.shape)} and type {self.index.dtype}; expected "
                f"[class] long, each from 0 to {count - 1}."
            )
        for encoder, vectors in self.text.items():
            if vectors.ndim != 2 or len(vectors) != count:
                raise ValueError(
                    f"Embeddings {encoder!r} of a factor have shape {tuple(vectors.shape)}; expected [{count}, dim]."
                )
        if self.opposite is not None and (
            self.opposite.shape != (count,)
            or self.opposite.dtype != torch.long
            or not _within(self.opposite, -1, count)
        ):
            raise ValueError(
                f"The opposites of a factor have shape {tuple(self.opposite.shape)} and type {self.opposite.dtype}; "
                f"expected [{count}] long, each from -1 (none) to {count - 1}."
            )

    def __len__(self) -> int:
        return len(self.names)

    def select(self, rows: Tensor) -> Factor:
        """The factor of the classes `rows` (`[row]` long), in that order; the values stay."""
        return replace(self, index=self.index[rows.to(self.index.device)])

    def to(self, device: torch.device | str) -> Factor:
        """Move every tensor to `device`."""
        opposite = None if self.opposite is None else self.opposite.to(device)
        return Factor(self.index.to(device), self.names, {k: v.to(device) for k, v in self.text.items()}, opposite)


def _within(values: Tensor, low: int, end: int) -> bool:
    if values.is_meta or not values.numel():
        return True
    return low <= int(values.min()) and int(values.max()) < end


@dataclass(frozen=True)
class Classes:
    """Candidate classes. Column j of every score is `names[j]`; text is joined to classes by name, never by position.

    Attributes:
        names: Class names, unique.
        text: `{encoder: [class, dim]}` class embeddings; row j belongs to `names[j]`.
        seen: `[class]` bool, True where the class has a full set of training clips (seen, base).
        factors: The parts of classes that are combinations: "action" and "adverb" of pairs. Empty where classes are
            plain.
    """

    names: tuple[str, ...]
    text: Mapping[str, Tensor]
    seen: Tensor
    factors: Mapping[str, Factor] = field(default_factory=dict)
    _index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {name: i for i, name in enumerate(self.names)}
        if len(index) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise BadClassName(f"Class names must be unique; repeated: {', '.join(twice)}.")
        for encoder, vectors in self.text.items():
            if vectors.ndim != 2 or len(vectors) != len(self.names):
                raise ValueError(
                    f"Class embeddings {encoder!r} have shape {tuple(vectors.shape)}; "
                    f"expected [{len(self.names)}, dim], one row per class name."
                )
        if self.seen.shape != (len(self.names),) or self.seen.dtype != torch.bool:
            raise ValueError(
                f"seen has shape {tuple(self.seen.shape)} and type {self.seen.dtype}; expected [class] bool."
            )
        for name, factor in self.factors.items():
            if len(factor.index) != len(self.names):
                raise ValueError(
                    f"Factor {name!r} has values for {len(factor.index)} classes; expected {len(self.names)}."
                )
        object.__setattr__(self, "_index", index)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dims(self) -> dict[str, int]:
        """Width of each class embedding: `{encoder: dim}`."""
        return {encoder: vectors.shape[1] for encoder, vectors in self.text.items()}

    def index(self, name: str) -> int:
        """Column of class `name`. Raises ValueError naming the nearest known classes."""
        if name not in self._index:
            from difflib import get_close_matches

            near = get_close_matches(name, self.names, n=3)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise BadClassName(f"Class {name!r} is not among the {len(self)} candidate classes.{hint}")
        return self._index[name]

    def select(self, names: Sequence[str]) -> Classes:
        """The classes `names`, in that order. Raises ValueError for an unknown name."""
        rows = torch.tensor([self.index(name) for name in names], dtype=torch.long, device=self.seen.device)
        text = {encoder: vectors[rows.to(vectors.device)] for encoder, vectors in self.text.items()}
        factors = {name: factor.select(rows) for name, factor in self.factors.items()}
        return Classes(tuple(names), text, self.seen[rows], factors)

    def with_text(self, text: Mapping[str, Tensor]) -> Classes:
        """The same classes with other embeddings (what class-embedding optimisation returns)."""
        return Classes(self.names, text, self.seen, self.factors)

    def to(self, device: torch.device | str) -> Classes:
        """Move every tensor to `device`."""
        text = {encoder: vectors.to(device) for encoder, vectors in self.text.items()}
        factors = {name: factor.to(device) for name, factor in self.factors.items()}
        return Classes(self.names, text, self.seen.to(device), factors)


@dataclass(frozen=True)
class Batch:
    """What a method learns from.

    Attributes:
        features: The clips.
        labels: `[clip]` long, index into `classes`.
        classes: The training classes of this stage (all of them, not only those in the batch).
        negative: For methods that ask for it (`Needs.negatives`): as many clips of other classes, row by row.
        pool: The named set of training clips that it was drawn from; empty where the turn of the training names none.
    """

    features: Features
    labels: Tensor
    classes: Classes
    negative: Batch | None = None
    pool: str = ""

    def __len__(self) -> int:
        return len(self.features)

    def to(self, device: torch.device | str) -> Batch:
        """Move every tensor to `device`."""
        negative = None if self.negative is None else self.negative.to(device)
        return Batch(self.features.to(device), self.labels.to(device), self.classes.to(device), negative, self.pool)
