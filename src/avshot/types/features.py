"""`Features`: clips as padded sequences of audio and visual vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

MODALITIES = ("audio", "visual")


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
