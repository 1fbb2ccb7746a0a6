"""Random changes of `Features` for training, and cutting long clips.

They draw from torch's global generator, as dropout does, so the trainer's seed fixes them too.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avshot.types import Features


def drop_steps(features: Features, share: float) -> Features:
    """Hide each time step with probability `share`; a clip's modality that would lose all its steps keeps them."""
    if share == 0.0:
        return features
    masks = {}
    for name in ("audio_mask", "visual_mask"):
        mask: Tensor = getattr(features, name)
        kept = mask & (torch.rand(mask.shape, device=mask.device) >= share)
        masks[name] = torch.where(kept.any(dim=1, keepdim=True), kept, mask)
    return replace(features, **masks)


def add_noise(features: Features, strength: float) -> Features:
    """Add Gaussian noise whose deviation is `strength` times that of each modality's real values in the batch."""
    if strength == 0.0:
        return features
    changed = {}
    for name, mask in (("audio", features.audio_mask), ("visual", features.visual_mask)):
        value: Tensor = getattr(features, name)
        real = value[mask]
        deviation = real.std() if real.numel() > 1 else value.new_zeros(())
        changed[name] = value + strength * deviation * torch.randn_like(value)
    return replace(features, **changed)


def drop_modality(features: Features, share: float) -> Features:
    """Hide one modality, either with equal chance, of a share of the clips; never the only one a clip has."""
    if share == 0.0:
        return features
    draw = torch.rand(len(features), device=features.audio.device)
    both = features.has_audio & features.has_visual
    no_audio, no_visual = both & (draw < share / 2), both & (draw >= share / 2) & (draw < share)
    return replace(
        features,
        audio_mask=features.audio_mask & ~no_audio[:, None],
        visual_mask=features.visual_mask & ~no_visual[:, None],
    )


def crop_window(features: Features, steps: int, *, random: bool) -> Features:
    """Keep at most `steps` consecutive visual steps of each clip and the sound of the same seconds; time restarts at 0.

    TCaF's code does so on ActivityNet (60 steps at random in training, 300 from the centre in testing), but takes a
    number of audio steps (37, 184) that does not cover the same seconds (40, 200 would): we go by the time stamps. A
    clip that is short enough, or has no visual steps, is returned as it is.

    Args:
        features: Real steps come first in each row (as `Features.from_sequences` pads).
        steps: Longest number of visual steps; 0 = no limit.
        random: Draw the window; otherwise the middle one.
    """
    length = features.visual_mask.sum(dim=1)
    if steps == 0 or features.visual_mask.shape[1] <= steps or not bool((length > steps).any()):
        return features
    slack = (length - steps).clamp(min=0)
    draw = torch.rand(len(features), device=slack.device) if random else torch.full_like(slack, 0.5, dtype=torch.float)
    first = (draw * (slack + (1 if random else 0))).long().clamp(max=slack)
    index = (first[:, None] + torch.arange(steps, device=first.device)).clamp(max=features.visual_mask.shape[1] - 1)
    time = features.visual_time.gather(1, index)
    after = (first + steps)[:, None]
    start = time[:, :1]
    more = after < length[:, None]
    stamps = features.visual_time.gather(1, after.clamp(max=features.visual_time.shape[1] - 1))
    end = torch.where(more, stamps, torch.full_like(start, torch.inf))
    begin = torch.where(first[:, None] > 0, start, torch.full_like(start, -torch.inf))
    cut = (slack > 0)[:, None]
    inside = (features.audio_time >= begin) & (features.audio_time < end)
    offset = torch.where(cut, start, torch.zeros_like(start))
    return Features(
        audio=features.audio,
        visual=features.visual.gather(1, index[..., None].expand(-1, -1, features.visual.shape[2])),
        audio_mask=features.audio_mask & (inside | ~cut),
        visual_mask=features.visual_mask.gather(1, index),
        audio_time=features.audio_time - offset,
        visual_time=time - offset,
    )
