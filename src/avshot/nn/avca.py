"""The model of AVCA: cross-attention between one audio and one visual token beside projected class embeddings.

Methods that add something to AVCA's losses hold an `Avca` and share its settings; methods/avca.py says where it comes
from, where paper and code disagree, and what happens to a clip that lacks a modality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn.attention import Attention, FeedForward
from avshot.nn.mlp import EmbNet1, EmbNet2, InputScaling
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class AvcaConfig:
    """Settings of the AVCA model."""

    hidden: int = 512  # hidden width of encoders and projections; paper section 4.2, k_f_hidd
    width: int = 300  # width of a token in the attention block; paper k_f
    embedding: int = 64  # width of the common space; paper k_proj
    depth: int = 1  # attention blocks; the code's default, the paper has one
    heads: int = 3  # paper section 4.2
    head_dim: int = 100  # code: 3 heads of 100
    feedforward: int = 64  # hidden width of the feed-forward; paper k_attn_hidd
    dropout_encoder: float = 0.2  # encoders and attention block; paper r_enc
    dropout_projection: float = 0.3  # paper r_proj
    dropout_decoder: float = 0.5  # word projection, decoder, reconstructions; paper r_dec
    margin: float = 1.0  # triplet margin; paper mu
    scaling: str = "none"  # of the averaged inputs, a kind of `avshot.nn.mlp.InputScaling`; the authors scale nothing
    momentum: float = 0.1  # of the second batch normalisation in encoders and projections; code, 0.99 in most runs
    norm_first: bool = True  # LayerNorm before a sub-layer (code); False: after its residual sum (paper)
    share_feedforward: bool = True  # one feed-forward for both tokens (code); False: one per modality (paper f3, f4)
    train_positions: bool = False  # position vectors: drawn once and kept (code, by oversight); True: trained


def _rates(encoder: float, projection: float, decoder: float, momentum: float) -> dict[str, float]:
    return {
        "dropout_encoder": encoder,
        "dropout_projection": projection,
        "dropout_decoder": decoder,
        "momentum": momentum,
    }


# Fields of the published settings by dataset and features: AVCA-GZSL 2711aeb, run scripts of AVCA; the -main rates also
# in the paper, section 4.2.
PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "ucf-main": _rates(0.2, 0.3, 0.5, momentum=0.1),
    "ucf-cls": _rates(0.2, 0.3, 0.5, momentum=0.99),
    "activitynet-main": _rates(0.2, 0.2, 0.1, momentum=0.99),
    "activitynet-cls": _rates(0.2, 0.2, 0.1, momentum=0.99),
    "vggsound-main": _rates(0.0, 0.0, 0.1, momentum=0.1),
    "vggsound-cls": _rates(0.0, 0.0, 0.0, momentum=0.99),
}


class _Block(nn.Module):
    """Attention between the tokens and a feed-forward, each with a residual; paper section 3.1."""

    def __init__(self, config: AvcaConfig) -> None:
        super().__init__()
        width, rate = config.width, config.dropout_encoder
        self.norm_first = config.norm_first
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, config.heads, config.head_dim, dropout=rate)
        self.feedforward_norm = nn.LayerNorm(width)
        count = 1 if config.share_feedforward else 2
        self.feedforward = nn.ModuleList(FeedForward(width, config.feedforward, dropout=rate) for _ in range(count))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map `tokens [clip, 2, width]`; `mask [clip, 1, 2]` bool, True = the token can be read."""
        if self.norm_first:
            normed = self.attention_norm(tokens)
            tokens = tokens + self.attention(normed, normed, mask)
            return tokens + self._feed(self.feedforward_norm(tokens))
        tokens = self.attention_norm(tokens + self.attention(tokens, tokens, mask))
        return self.feedforward_norm(tokens + self._feed(tokens))

    def _feed(self, tokens: Tensor) -> Tensor:
        if len(self.feedforward) == 1:
            return self.feedforward[0](tokens)
        return torch.stack([net(tokens[:, i]) for i, net in enumerate(self.feedforward)], dim=1)


class Word(NamedTuple):
    """Class embedding of each clip of a batch, its projection theta and what the decoder makes of that."""

    w: Tensor
    theta: Tensor
    rho: Tensor


class Branch(NamedTuple):
    """One modality of a batch: encoder output, projection, its decoding to words and back to phi, and who has it."""

    phi: Tensor
    theta: Tensor
    rho: Tensor
    back: Tensor
    real: Tensor


class Passed(NamedTuple):
    """A batch that went through the model."""

    audio: Branch
    visual: Branch
    word: Word


class Avca(nn.Module):
    """Encoders, cross-attention, projections and decoders of AVCA, its loss terms and its distance.

    Args:
        config: Its settings.
        audio: Width of the audio features.
        visual: Width of the visual features.
        text: Width of the class embeddings.
    """

    def __init__(self, config: AvcaConfig, audio: int, visual: int, text: int) -> None:
        super().__init__()
        self.config = config
        hidden, width, out, momentum = config.hidden, config.width, config.embedding, config.momentum
        encoder, projection, decoder = config.dropout_encoder, config.dropout_projection, config.dropout_decoder
        self.audio_scaling, self.visual_scaling = (InputScaling(config.scaling, n) for n in (audio, visual))
        self.audio_encoder = EmbNet2(audio, hidden, width, dropout=encoder, momentum=momentum)
        self.visual_encoder = EmbNet2(visual, hidden, width, dropout=encoder, momentum=momentum)
        position = torch.randn(2, width)
        if config.train_positions:
            self.position = nn.Parameter(position)
        else:
            self.register_buffer("position", position)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.audio_projection = EmbNet2(width, hidden, out, dropout=projection, momentum=momentum)
        self.visual_projection = EmbNet2(width, hidden, out, dropout=projection, momentum=momentum)
        self.word_projection = EmbNet1(text, out, dropout=decoder)
        self.decoder = EmbNet1(out, text, dropout=decoder)
        self.audio_reconstruction = EmbNet1(out, width, dropout=decoder)
        self.visual_reconstruction = EmbNet1(out, width, dropout=decoder)

    def embed(self, features: Features) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode and project: `phi_a, phi_v [clip, width]` and `theta_a, theta_v [clip, embedding]` (eq. 1 and 2)."""
        (audio, visual), has_a, has_v = features.pooled(), features.has_audio, features.has_visual
        audio = self.audio_scaling(audio[:, None], has_a[:, None])[:, 0]
        visual = self.visual_scaling(visual[:, None], has_v[:, None])[:, 0]
        phi_a, phi_v = self.audio_encoder(audio, has_a), self.visual_encoder(visual, has_v)
        tokens = torch.stack([phi_a, phi_v], dim=1) + self.position
        mask = torch.stack([has_a, has_v], dim=1)[:, None]
        for block in self.blocks:
            tokens = block(tokens, mask)
        # The outer residual starts from phi, without the position vector.
        theta_a = self.audio_projection(phi_a + tokens[:, 0], has_a)
        theta_v = self.visual_projection(phi_v + tokens[:, 1], has_v)
        return phi_a, phi_v, theta_a, theta_v

    def passed(self, batch: Batch) -> tuple[Passed, Passed]:
        """The clips of `batch` and, row by row, its negatives. Raises ValueError when it has no negatives."""
        if batch.negative is None:
            raise ValueError("Got a batch without negatives; pass Batch(..., negative=clips of other classes).")
        return self._pass(batch), self._pass(batch.negative)

    def _pass(self, batch: Batch) -> Passed:
        (text,) = batch.classes.text.values()
        w = text[batch.labels]
        theta_w = self.word_projection(w)
        word = Word(w, theta_w, self.decoder(theta_w))
        phi_a, phi_v, theta_a, theta_v = self.embed(batch.features)
        has_a, has_v = batch.features.has_audio, batch.features.has_visual
        rho_a, rho_v = self.decoder(theta_a, has_a), self.decoder(theta_v, has_v)
        back_a, back_v = self.audio_reconstruction(theta_a, has_a), self.visual_reconstruction(theta_v, has_v)
        return Passed(Branch(phi_a, theta_a, rho_a, back_a, has_a), Branch(phi_v, theta_v, rho_v, back_v, has_v), word)

    def terms(self, own: Passed, other: Passed) -> dict[str, Tensor]:
        """The five loss terms of eq. 4 to 10, unweighted; `other` are clips of other classes, row by row."""
        pairs = ((own.audio, other.audio), (own.visual, other.visual))
        parts = [self._branch_terms(mine, theirs, own.word, other.word) for mine, theirs in pairs]
        terms = {name: parts[0][name] + parts[1][name] for name in parts[0]}
        real = torch.ones_like(own.audio.real)
        terms["reconstruction"] = terms["reconstruction"] + _squared(own.word.rho, own.word.w, real)
        return terms

    def _branch_terms(self, own: Branch, other: Branch, word: Word, other_word: Word) -> dict[str, Tensor]:
        """The share of one modality in the loss terms; `other` are the clips of other classes, row by row."""
        both = own.real & other.real

        def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, real: Tensor) -> Tensor:
            rows = F.triplet_margin_loss(anchor, positive, negative, margin=self.config.margin, reduction="none")
            return _mean(rows, real)

        return {
            "triplet": triplet(own.theta, word.theta, other.theta, both)
            + triplet(word.theta, own.theta, other_word.theta, own.real),  # l_t, eq. 5
            "reconstruction": _squared(own.rho, word.w, own.real),  # l_rec, eq. 7
            "decoded_triplet": triplet(word.rho, own.rho, other.rho, both),  # l_ct, eq. 8
            "word_triplet": triplet(word.theta, own.theta, other.theta, both)
            + triplet(own.theta, word.theta, other_word.theta, own.real),  # l_w, eq. 9
            "regularisation": _squared(own.back, own.phi, own.real)
            + _squared(own.theta, word.theta, own.real),  # l_r, eq. 10; as in the code, nothing is detached
        }

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative Euclidean distance of `theta_v` (`theta_a` without picture) to every `theta_w`; eq. 3."""
        # Exact differences: the matrix-product shortcut of cdist loses digits where distances are small.
        return -torch.cdist(*self.embeddings(features, classes), compute_mode="donot_use_mm_for_euclid_dist")

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Clips as `theta_v` (`theta_a` without picture) and classes as `theta_w`."""
        (text,) = classes.text.values()
        _, _, theta_a, theta_v = self.embed(features)
        return torch.where(features.has_visual[:, None], theta_v, theta_a), self.word_projection(text)


def _mean(rows: Tensor, real: Tensor) -> Tensor:
    """Mean of `rows [clip]` over the clips where `real` is True; 0 when there is none."""
    return torch.where(real, rows, torch.zeros_like(rows)).sum() / real.sum().clamp(min=1)


def _squared(left: Tensor, right: Tensor, real: Tensor) -> Tensor:
    """Mean squared difference over all elements of the clips where `real` is True."""
    return _mean((left - right).square().mean(dim=1), real)
