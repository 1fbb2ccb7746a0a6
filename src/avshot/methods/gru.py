"""GRU: read each modality step by step with a small recurrent network, and map the clip into the class-embedding space.

Not a published method but a reference: a bidirectional GRU per modality, pooled over time, with a linear text head and
cross-entropy over the training classes. It stands in every table because a plain sequence model shows how much of a
published architecture's score is owed to the architecture: on short clips whose classes differ in the order of events,
the published transformers need far more data to reach it.

Paper: none. The cell is that of Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP
2014, https://arxiv.org/abs/1406.1078; scoring a linear map of the clip against class embeddings is DeViSE's idea.

How ours differs: from the published methods here, in having no common space beside that of the class embeddings, no
reconstruction and no triplet; classes compete in a softmax over dot products with a learnt scale. Scaled inputs, noise
and hidden time spans keep it from learning clips by heart; modality dropout trains each modality to decide alone.

Missing modality: each modality gives its own embedding and the clip's is the mean of those that are there (weighted by
a learnt confidence with `fusion="gate"`). A clip with neither has a zero embedding, hence equal scores for all classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.method import SMALL_SEQUENCES, TUNED, VIEWS, Inputs, Method, Needs, Preset, Selection, method
from avshot.nn.augment import drop_modality
from avshot.nn.autocast import exact, widened
from avshot.nn.mlp import InputScaling
from avshot.nn.pool import pool
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class Config:
    """Settings of `gru`."""

    hidden: int = 96  # units per direction; enough for a few dozen classes, trains in minutes on a processor
    layers: int = 1  # stacked recurrent layers
    scaling: str = "standardise"  # of the inputs, see `avshot.nn.mlp.InputScaling`
    pooling: str = "mean"  # over time: "mean", "logsumexp", "max", or "last" (final state of both directions)
    pooling_sharpness: float = 5.0  # of "logsumexp", see avshot.nn.pool
    fusion: str = "mean"  # of the modalities' embeddings: "mean", or "gate" (learnt confidence of each)
    dropout: float = 0.3  # on the pooled states
    noise: float = 0.1  # standard deviation of Gaussian noise on normalised inputs, training only
    time_mask: float = 0.2  # longest hidden time span as a fraction of the clip, training only
    modality_dropout: float = 0.4  # chance that a training clip loses one of its two modalities
    unit_length: bool = True  # clip and class embeddings to unit length before the dot product
    scale: float = 10.0  # start of the learnt factor on the dot product (inverse temperature)
    smoothing: float = 0.1  # label smoothing: without it seen classes grow so sure that unseen ones need a huge beta


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name
_CHOICES = {"pooling": ("mean", "logsumexp", "max", "last"), "fusion": ("mean", "gate")}


class _Layer(nn.Module):
    """A GRU forwards and one backwards in time.

    Two plain GRUs, the second on the reversed real steps, give what a packed bidirectional one gives at half the cost
    on a processor, and without copying lengths from a graphics card.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.ahead = nn.GRU(dim, hidden, batch_first=True)
        self.behind = nn.GRU(dim, hidden, batch_first=True)

    def forward(self, value: Tensor, length: Tensor) -> Tensor:
        """States `[clip, time, 2 * hidden]` of `value [clip, time, dim]`; those beyond `length [clip]` mean nothing."""
        behind = _reversed(self.behind(_reversed(value, length))[0], length)
        return torch.cat([self.ahead(value)[0], behind], dim=2)


class _Reader(nn.Module):
    """One modality: scale, disturb (training only), read with GRUs, pool, map to the class-embedding space."""

    def __init__(self, dim: int, text_dim: int, config: Config) -> None:
        super().__init__()
        self.config = config
        self.scaling = InputScaling(config.scaling, dim)
        # A modality that does not exist (width 0) is never read, and torch has no such GRU.
        sizes = [dim] + [2 * config.hidden] * (config.layers - 1) if dim > 0 else []
        self.layers = nn.ModuleList(_Layer(size, config.hidden) for size in sizes)
        self.dropout = nn.Dropout(config.dropout)
        self.map = nn.Linear(2 * config.hidden, text_dim)
        self.gate = nn.Linear(2 * config.hidden, 1) if config.fusion == "gate" else None

    def forward(self, value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding `[clip, text_dim]` and log-confidence `[clip]`; both 0 for a clip without any step."""
        real, value = mask.any(dim=1), self.scaling(value, mask)  # in any case: its norm may ask other processes
        embedded, confidence = value.new_zeros(len(value), self.map.out_features), value.new_zeros(len(value))
        if not bool(real.any()):
            return embedded, confidence
        value, mask = _to_front(value[real], mask[real])
        length = mask.sum(dim=1)
        value = value[:, : int(length.max())]
        if self.training:
            value = self._disturb(value, length)
        for layer in self.layers:
            value = layer(value, length)
        pooled = self.dropout(self._pool(widened(value), length))
        with exact(pooled):
            embedded[real] = self.map(pooled)
            if self.gate is not None:
                confidence[real] = self.gate(pooled)[:, 0]
        return embedded, confidence

    def _disturb(self, value: Tensor, length: Tensor) -> Tensor:
        """Add noise and hide one time span per clip, at most `time_mask` of its length."""
        value = value + self.config.noise * torch.randn_like(value)
        length = length[:, None]
        span = torch.rand(len(value), 1, device=value.device) * self.config.time_mask * length
        start = torch.rand(len(value), 1, device=value.device) * (length - span)
        step = torch.arange(value.shape[1], device=value.device)
        hidden = (step >= start) & (step < start + span)
        return value.masked_fill(hidden[..., None], 0.0)

    def _pool(self, states: Tensor, length: Tensor) -> Tensor:
        """One vector `[clip, 2 * hidden]` of the states `[clip, time, 2 * hidden]`."""
        if self.config.pooling == "last":
            ahead, behind = states.chunk(2, dim=2)
            final = (length - 1)[:, None, None].expand(-1, 1, ahead.shape[2])
            return torch.cat([ahead.gather(1, final)[:, 0], behind[:, 0]], dim=1)
        real = torch.arange(states.shape[1], device=states.device) < length[:, None]
        if self.config.pooling == "max":
            return states.masked_fill(~real[..., None], float("-inf")).amax(dim=1)
        return pool(states, real, self.config.pooling, self.config.pooling_sharpness)


def _to_front(value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Move real steps before padding, keeping their order."""
    order = torch.argsort(mask.to(torch.int8), dim=1, descending=True, stable=True)
    return value.gather(1, order[..., None].expand_as(value)), mask.gather(1, order)


def _reversed(value: Tensor, length: Tensor) -> Tensor:
    """Reverse the first `length [clip]` steps of `value [clip, time, dim]`; the others stay where they are."""
    step = torch.arange(value.shape[1], device=value.device)
    index = torch.where(step < length[:, None], length[:, None] - 1 - step, step)
    return value.gather(1, index[..., None].expand_as(value))


@method
class GRU(Method):
    """A bidirectional GRU per modality with a linear text head."""

    needs = Needs(texts=1, temporal=True)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(),
            replace(SMALL_SEQUENCES, epochs=12, batch_size=64, lr=6e-3),
            f"ours, for small own datasets; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
    }
    paper = "none: a reference model of this project, see the file's first lines"

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        for field, known in _CHOICES.items():
            if getattr(config, field) not in known:
                raise ValueError(
                    f"gru got {field}={getattr(config, field)!r}; expected {' or '.join(map(repr, known))}."
                )
        self.audio = _Reader(inputs.audio, inputs.text_dim, config)
        self.visual = _Reader(inputs.visual, inputs.text_dim, config)
        self.log_scale = nn.Parameter(torch.tensor(config.scale).log())

    def embed(self, features: Features) -> Tensor:
        """Clips in the class-embedding space: `[clip, text_dim]`."""
        audio, audio_confidence = self.audio(features.audio, features.audio_mask)
        visual, visual_confidence = self.visual(features.visual, features.visual_mask)
        real = torch.stack([features.has_audio, features.has_visual], dim=1)
        confidence = torch.stack([audio_confidence, visual_confidence], dim=1)
        weight = torch.where(real, confidence.softmax(dim=1), torch.zeros_like(confidence))
        weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-6)
        return weight[:, :1] * audio + weight[:, 1:] * visual

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Scaled cosine (or dot product) of clip and class embedding: `[clip, class]`."""
        embedded, text = self.embeddings(features, classes)
        with exact(embedded):
            return self.log_scale.exp() * embedded @ text.T

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy over the training classes."""
        logits = self.score(drop_modality(batch.features, self.config.modality_dropout), batch.classes)
        return {"cross_entropy": F.cross_entropy(logits, batch.labels, label_smoothing=self.config.smoothing)}

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Embedded clips beside the class embeddings, of unit length where the score compares them so."""
        embedded, text = self.embed(features), next(iter(classes.text.values()))
        return (F.normalize(embedded, dim=1), F.normalize(text, dim=1)) if self.config.unit_length else (embedded, text)
