"""The fusion of TCaF in its plain form: every clip padded to the longest, every pair of tokens computed, then masked.

What `avshot.nn.fusion` leaves out (padded steps, empty blocks, unread tokens) is all here. The tests hold both forms
against each other; the benchmark measures what leaving out gains.
"""

from __future__ import annotations

import types

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.method import Method
from avshot.nn.dropout import use_dropout
from avshot.nn.encoders import Encoders
from avshot.nn.fusion import TemporalFusion
from avshot.nn.mlp import InputScaling
from avshot.nn.similarity import CrossAttention
from avshot.types import Features


def pattern_mask(pattern: str, modality: Tensor, valid: Tensor) -> Tensor:
    """Which token may look at which under a pattern of `Attention.over`: `[clip, token, token]`, rows at columns."""
    row, column = modality[:, None], modality[None, :]
    with_class = (row == 0) | (column == 0)
    blocks = {"full": torch.ones_like(with_class), "self": row == column, "cross": row != column}
    return (with_class | blocks[pattern]) & valid[:, None, :]


def _scaled(scaling: InputScaling, value: Tensor, mask: Tensor) -> Tensor:
    value = torch.where(mask[..., None], value, torch.zeros_like(value))
    return F.normalize(value, dim=1) if scaling.kind == "time" else scaling(value, mask)


def plain_tokens(fusion: Encoders, features: Features) -> tuple[Tensor, Tensor, Tensor]:
    """What `TokenEncoders.tokens` gives, every padded step computed; in training they enter the batch statistics."""
    features = fusion.prepare(features)
    sides = []
    for name in ("audio", "visual"):
        value, mask = getattr(features, name), getattr(features, f"{name}_mask")
        value = _scaled(getattr(fusion, f"{name}_scaling"), value, mask)
        with_padding = fusion.training and fusion.config.norm_over_padding
        sides.append(getattr(fusion, f"{name}_encoder")(value, None if with_padding else mask))
    audio, visual = fusion.position(*sides, features.audio_time, features.visual_time)
    mask = torch.cat([features.audio_mask, features.visual_mask], dim=1)
    modality = torch.tensor([1] * audio.shape[1] + [2] * visual.shape[1], device=mask.device)
    return torch.cat([audio, visual], dim=1), mask, modality


class PlainFused:
    """As `avshot.nn.fusion.Fused`, padded."""

    def __init__(self, tokens: Tensor, mask: Tensor, modality: Tensor) -> None:
        self.tokens, self.mask, self.modality, self.clip = tokens, mask, modality, tokens[:, 0]


def plain_fusion(fusion: TemporalFusion, features: Features, *, tokens: bool = True) -> PlainFused:
    """The plain form of `TemporalFusion.forward`, with a class token, without augmentation."""
    values, mask, modality = plain_tokens(fusion, features)
    assert fusion.class_token is not None
    values = torch.cat([fusion.class_token.expand(len(values), -1, -1), values], dim=1)
    mask = torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)
    modality = torch.cat([modality.new_zeros(1), modality])
    for i, layer in enumerate(fusion.layers):
        pattern = "self" if i < fusion.config.self_layers else fusion.config.attention
        values = layer(values, pattern_mask(pattern, modality, mask))
    return PlainFused(values, mask, modality)


def _plain_found(similarity: CrossAttention, fused: PlainFused, text: Tensor) -> Tensor:
    """The plain form of `CrossAttention.found` with `keys="tokens"`."""
    query = similarity.query(text)[None]
    keys = similarity.norm_key(fused.tokens)
    found = similarity.attention(similarity.norm_query(query), keys, fused.mask[:, None]) + query
    return found + similarity.feedforward(similarity.norm_ff(found))


def make_plain(method: Method) -> Method:
    """Turn a `tcaf` or `ez_avgzl` of a published preset into its plain form, with torch's dropout."""
    method.fusion.forward = types.MethodType(plain_fusion, method.fusion)
    if isinstance(getattr(method, "similarity", None), CrossAttention):
        method.similarity.found = types.MethodType(_plain_found, method.similarity)
    use_dropout(method, nn.Dropout)
    return method
