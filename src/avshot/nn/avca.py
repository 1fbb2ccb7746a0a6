"""The model of AVCA: cross-attention between one audio and one visual token beside projected class embeddings.

Methods that add something to AVCA's losses hold an `Avca` and share its settings; methods/avca.py says where it comes
from, where paper and code disagree, and what happens to a clip that lacks a modality.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn.avca_block import AvcaBlock
from avshot.nn.avca_config import BRANCHES, AvcaConfig, check
from avshot.nn.batch_means import mean_over, squared_error
from avshot.nn.mlp import EmbNet1, EmbNet2, InputScaling
from avshot.nn.text import TextLayer
from avshot.types import Batch, Classes, Features


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

    Raises:
        ValueError: `branches` or `evaluate` does not exist, or a branch is to be evaluated that the model lacks.
    """

    def __init__(self, config: AvcaConfig, audio: int, visual: int, text: int) -> None:
        super().__init__()
        check(config)
        self.config = config
        self.branches = BRANCHES if config.branches == "both" else (config.branches,)
        hidden, width, out, momentum = config.hidden, config.width, config.embedding, config.momentum
        encoder, projection, decoder = config.dropout_encoder, config.dropout_projection, config.dropout_decoder
        self.audio_scaling, self.visual_scaling = (InputScaling(config.scaling, n) for n in (audio, visual))
        self.audio_encoder = EmbNet2(audio, hidden, width, dropout=encoder, momentum=momentum)
        self.visual_encoder = EmbNet2(visual, hidden, width, dropout=encoder, momentum=momentum)
        if config.cross_attention:
            if config.positions:
                position = torch.randn(2, width)
                if config.train_positions:
                    self.position = nn.Parameter(position)
                else:
                    self.register_buffer("position", position)
            self.blocks = nn.ModuleList(_block(config) for _ in range(config.depth))
        for name in self.branches:
            projected = EmbNet2(width, hidden, out, dropout=projection, momentum=momentum)
            self.add_module(f"{name}_projection", projected)
        self.text_layer = TextLayer(text, config.text_layer)
        self.word_projection = EmbNet1(self.text_layer.dim, out, dropout=decoder)
        self.decoder = EmbNet1(out, self.text_layer.dim, dropout=decoder)
        for name in self.branches:
            self.add_module(f"{name}_reconstruction", EmbNet1(out, width, dropout=decoder))

    def embed(self, features: Features) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode and project: `phi_a, phi_v [clip, width]` and `theta_a, theta_v [clip, embedding]` (eq. 1 and 2).

        The theta of a branch that the model lacks (`branches`) is zero.
        """
        (audio, visual), has_a, has_v = features.pooled(), features.has_audio, features.has_visual
        audio = self.audio_scaling(audio[:, None], has_a[:, None])[:, 0]
        visual = self.visual_scaling(visual[:, None], has_v[:, None])[:, 0]
        phi_a, phi_v = self.audio_encoder(audio, has_a), self.visual_encoder(visual, has_v)
        mixed_a, mixed_v = self._attend(phi_a, phi_v, has_a, has_v)
        theta_a, theta_v = self._project("audio", mixed_a, has_a), self._project("visual", mixed_v, has_v)
        return phi_a, phi_v, theta_a, theta_v

    def _attend(self, phi_a: Tensor, phi_v: Tensor, has_a: Tensor, has_v: Tensor) -> tuple[Tensor, Tensor]:
        """What the projections get: phi, and on top of it what the attention makes of both."""
        if not self.config.cross_attention:
            return phi_a, phi_v
        tokens = torch.stack([phi_a, phi_v], dim=1)
        if self.config.positions:
            tokens = tokens + self.position
        mask = torch.stack([has_a, has_v], dim=1)[:, None]
        for block in self.blocks:
            tokens = block(tokens, mask)
        # The outer residual starts from phi, without the position vector.
        return phi_a + tokens[:, 0], phi_v + tokens[:, 1]

    def _project(self, branch: str, mixed: Tensor, real: Tensor) -> Tensor:
        if branch not in self.branches:
            return mixed.new_zeros(len(mixed), self.config.embedding)
        return self.get_submodule(f"{branch}_projection")(mixed, real)

    def passed(self, batch: Batch) -> tuple[Passed, Passed]:
        """The clips of `batch` and, row by row, its negatives. Raises ValueError when it has no negatives."""
        if batch.negative is None:
            raise ValueError("Got a batch without negatives; pass Batch(..., negative=clips of other classes).")
        own, other = self._pass(batch), self._pass(batch.negative)
        if self.training and self.config.unread_passes:
            self._pass_unread(own, batch)
        return own, other

    @torch.no_grad()
    def _pass_unread(self, own: Passed, batch: Batch) -> None:
        """What the code computes beside its losses: projections of reconstructions, then the clips once more.

        It passes the clips after the optimiser's step; here it is just before it.
        """
        for name in self.branches:
            branch = getattr(own, name)
            self._project(name, branch.back, branch.real)
        self.embed(batch.features)
        self.word_projection(own.word.w)

    def _pass(self, batch: Batch) -> Passed:
        w = self.text_layer(batch.classes)[batch.labels]
        theta_w = self.word_projection(w)
        word = Word(w, theta_w, self.decoder(theta_w))
        phi_a, phi_v, theta_a, theta_v = self.embed(batch.features)
        has_a, has_v = batch.features.has_audio, batch.features.has_visual
        audio = self._branch("audio", phi_a, theta_a, has_a)
        return Passed(audio, self._branch("visual", phi_v, theta_v, has_v), word)

    def _branch(self, name: str, phi: Tensor, theta: Tensor, real: Tensor) -> Branch:
        if name not in self.branches:  # only phi means something
            return Branch(phi, theta, theta, theta, real)
        back = self.get_submodule(f"{name}_reconstruction")(theta, real)
        return Branch(phi, theta, self.decoder(theta, real), back, real)

    def terms(self, own: Passed, other: Passed) -> dict[str, Tensor]:
        """The five loss terms of eq. 4 to 10, times their weights; a term with weight 0 is left out.

        Args:
            own: The clips.
            other: Clips of other classes, row by row.
        """
        pairs = [(getattr(own, name), getattr(other, name)) for name in self.branches]
        parts = [self._branch_terms(mine, theirs, own.word, other.word) for mine, theirs in pairs]
        terms = {name: torch.stack([part[name] for part in parts]).sum() for name in parts[0]}
        real = torch.ones_like(own.audio.real)
        terms["reconstruction"] = terms["reconstruction"] + squared_error(own.word.rho, own.word.w, real)
        weights = {name: float(getattr(self.config, name)) for name in terms}
        return {name: weights[name] * term for name, term in terms.items() if weights[name] != 0}

    def _branch_terms(self, own: Branch, other: Branch, word: Word, other_word: Word) -> dict[str, Tensor]:
        """The share of one modality in the loss terms; `other` are the clips of other classes, row by row."""
        both = own.real & other.real

        def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, real: Tensor) -> Tensor:
            rows = F.triplet_margin_loss(anchor, positive, negative, margin=self.config.margin, reduction="none")
            return mean_over(rows, real)

        return {
            "triplet": triplet(own.theta, word.theta, other.theta, both)
            + triplet(word.theta, own.theta, other_word.theta, own.real),  # l_t, eq. 5
            "reconstruction": squared_error(own.rho, word.w, own.real),  # l_rec, eq. 7
            "decoded_triplet": triplet(word.rho, own.rho, other.rho, both),  # l_ct, eq. 8
            "word_triplet": triplet(word.theta, own.theta, other.theta, both)
            + triplet(own.theta, word.theta, other_word.theta, own.real),  # l_w, eq. 9
            "regularisation": squared_error(own.back, own.phi, own.real)
            + squared_error(own.theta, word.theta, own.real),  # l_r, eq. 10; as in the code, nothing is detached
        }

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative Euclidean distance of clips to every `theta_w`: of `theta_v` (eq. 3), or what `evaluate` asks for.

        A clip that has one modality goes by that one's distance ("sum": twice that, to be of one size with the
        others'). A model with one branch puts a clip that lacks its modality at the origin.
        """
        how = self.config.evaluate
        if how in BRANCHES:
            return -_distances(*self.embeddings(features, classes))
        _, _, theta_a, theta_v = self.embed(features)
        theta_w = self._project_words(classes)
        heard, seen = (torch.where(x[:, None], 1.0, 0.0) for x in (features.has_audio, features.has_visual))
        distances = torch.stack([_distances(theta_a, theta_w), _distances(theta_v, theta_w)])
        if how == "min":
            least = torch.where(torch.stack([heard, seen]) > 0, distances, torch.inf).amin(dim=0)
            return -torch.where(heard + seen > 0, least, 0.0)
        mean = (heard * distances[0] + seen * distances[1]) / (heard + seen).clamp(min=1)
        return -(2 * mean if how == "sum" else mean)

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Clips as `theta_v` (`theta_a` without picture) and classes as `theta_w`.

        With `evaluate="audio"` the other way round. "sum", "mean" and "min" compare two points per clip; here stands
        the first.
        """
        _, _, theta_a, theta_v = self.embed(features)
        return self.decisive(theta_a, theta_v, features), self._project_words(classes)

    def decisive(self, theta_a: Tensor, theta_v: Tensor, features: Features) -> Tensor:
        """`theta_v` of each clip, `theta_a` of one without picture; with `evaluate="audio"` the other way round."""
        if self.config.evaluate == "audio":
            first, second, real = theta_a, theta_v, features.has_audio
        else:
            first, second, real = theta_v, theta_a, features.has_visual
        return torch.where(real[:, None], first, second)

    def _project_words(self, classes: Classes) -> Tensor:
        return self.word_projection(self.text_layer(classes))


def _block(config: AvcaConfig) -> AvcaBlock:
    return AvcaBlock(
        config.width,
        heads=config.heads,
        head_dim=config.head_dim,
        feedforward=config.feedforward,
        dropout=config.dropout_encoder,
        norm_first=config.norm_first,
        share_feedforward=config.share_feedforward,
    )


def _distances(clips: Tensor, words: Tensor) -> Tensor:
    """Euclidean distances `[clip, class]`."""
    # Exact differences: the matrix-product shortcut of cdist loses digits where distances are small.
    return torch.cdist(clips, words, compute_mode="donot_use_mm_for_euclid_dist")
