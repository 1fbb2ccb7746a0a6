"""What a decision rested on: how much each modality and each moment of a clip spoke for the class that won.

Evidence is measured in log odds of the winner against all other candidates, which, unlike its probability, does not
saturate. A part (a modality, a window of time) is blotted out by putting the mean of the training clips in its place:
a model that never saw a modality missing may react to its absence, but not to what is usual. A part is credited with
the mean of two things: how far the log odds fall when it is blotted out, and how far they rise above those of an
altogether blotted-out clip when it alone is kept. The first by itself would give two parts that say the same no credit
at all. For two parts the mean is their Shapley value (Shapley, 1953).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avshot.types import MODALITIES, Features

WINDOWS = 8  # of equal length, that a clip is cut into
STEPS_AT_ONCE = 4096  # time steps of all clips that are scored together; attention needs memory by their square

Evidence = Callable[[Features], Tensor]  # clips to log odds [clip] of the winner
Part = tuple[Tensor, Tensor]  # steps of one clip: audio [1, time_a] and visual [1, time_v] bool


@dataclass(frozen=True)
class Moment:
    """A window in seconds of the file and its share of the decision (shares add up to 1, or are all 0)."""

    start: float
    end: float
    share: float


def log_odds(log_p: Tensor, winner: int) -> Tensor:
    """Log odds `[clip]` of class `winner` against all others; infinite where it is the only one.

    Args:
        log_p: `[clip, class]` log-probabilities.
        winner: Column of the class.
    """
    others = [i for i in range(log_p.shape[1]) if i != winner]
    return log_p[:, winner] - log_p[:, others].logsumexp(dim=1)


def modality_shares(features: Features, evidence: Evidence, usual: Mapping[str, Tensor]) -> dict[str, float]:
    """Share of the decision that rested on "audio" and on "visual".

    A modality that is alone has it all. Both are 0 when neither speaks for the winner.

    Args:
        features: One clip.
        evidence: Log odds of the winner, see `log_odds`.
        usual: `"audio/mean"` and `"visual/mean"` `[dim]`, the mean of the training clips; 0 where it is not known.
    """
    present = {"audio": bool(features.has_audio[0]), "visual": bool(features.has_visual[0])}
    if not all(present.values()):
        return {name: float(there) for name, there in present.items()}
    everything = (features.audio_mask, features.visual_mask)
    parts = [(everything[0], torch.zeros_like(everything[1])), (torch.zeros_like(everything[0]), everything[1])]
    return dict(zip(MODALITIES, _shares(features, parts, evidence, usual), strict=True))


def moments(
    features: Features, evidence: Evidence, usual: Mapping[str, Tensor], *, start: float, duration: float
) -> tuple[Moment, ...]:
    """Windows of a clip with their share of the decision, in time order.

    A window without a step (the clip is silent and black there) has share 0. Steps that stand for the whole clip
    (averaged features, a single picture) make it one moment with share 1.

    Args:
        features: One clip; its times count from the start of the clip.
        evidence: Log odds of the winner, see `log_odds`.
        usual: As for `modality_shares`.
        start: Where the clip starts in its file, in seconds.
        duration: Its length in seconds.
    """
    edges = [duration * i / WINDOWS for i in range(WINDOWS + 1)]
    bounds = itertools.pairwise([-math.inf, *edges[1:-1], math.inf])
    parts = [_within(features, low, high) for low, high in bounds]
    filled = [i for i, part in enumerate(parts) if any(bool(mask.any()) for mask in part)]
    if len(filled) < 2 and max(int(mask.sum()) for mask in (features.audio_mask, features.visual_mask)) < 2:
        return (Moment(start, start + duration, 1.0),)
    whole = len(filled) == 1  # all that there is lies in one window
    shares = [1.0] if whole else _shares(features, [parts[i] for i in filled], evidence, usual)
    found = dict(zip(filled, shares, strict=True))
    return tuple(Moment(start + a, start + b, found.get(i, 0.0)) for i, (a, b) in enumerate(itertools.pairwise(edges)))


def _within(features: Features, low: float, high: float) -> Part:
    audio, visual = features.audio_time, features.visual_time
    return (
        features.audio_mask & (audio >= low) & (audio < high),
        features.visual_mask & (visual >= low) & (visual < high),
    )


def _shares(features: Features, parts: Sequence[Part], evidence: Evidence, usual: Mapping[str, Tensor]) -> list[float]:
    """Credit of each part, negative ones as 0, scaled to add up to 1 (all 0 when no part has any)."""
    nothing = (torch.zeros_like(features.audio_mask), torch.zeros_like(features.visual_mask))
    rests = [(~audio, ~visual) for audio, visual in parts]
    views = [features, *(_kept(features, part, usual) for part in [nothing, *rests, *parts])]
    steps = features.audio_mask.shape[1] + features.visual_mask.shape[1]
    at_once = max(1, STEPS_AT_ONCE // steps)
    odds = torch.cat([evidence(Features.cat(views[i : i + at_once])) for i in range(0, len(views), at_once)])
    whole, none, without, alone = odds.split([1, 1, len(parts), len(parts)])
    credit = ((whole - without + alone - none) / 2).nan_to_num(0.0).clamp(min=0)  # infinite odds: a single class
    total = float(credit.sum())
    return (credit / total).tolist() if total > 0 else [0.0] * len(parts)


def _kept(features: Features, part: Part, usual: Mapping[str, Tensor]) -> Features:
    """The clip with everything outside `part` blotted out."""

    def blot(name: str, value: Tensor, keep: Tensor) -> Tensor:
        mean = usual.get(f"{name}/mean")
        return torch.where(keep[..., None], value, torch.zeros_like(value) if mean is None else mean.to(value))

    return replace(
        features, audio=blot("audio", features.audio, part[0]), visual=blot("visual", features.visual, part[1])
    )
