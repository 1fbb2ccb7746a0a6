"""How TCaF matches a fused clip to class embeddings: projections, decoders, losses, distance.

`tcaf`, `perceiver` and `attention_fusion` share it; they differ in what fuses sound and picture. Source: Mercea et al.,
"Temporal and cross-modal attention for audio-visual zero-shot learning", ECCV 2022, https://arxiv.org/abs/2207.09966
(thesis sections 3.3.3 and 3.3.4, appendix B.1), and the authors' code (TCAF-GZSL).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn.autocast import exact, widened
from avshot.nn.class_head import ClassHead
from avshot.nn.mlp import EmbNet1, EmbNet2
from avshot.nn.readout import classify
from avshot.recipe import Phase, base_then_novel
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class HeadsConfig:
    """Settings of the matching to class embeddings; methods that use it inherit these fields."""

    dim_out: int = 64  # width of the common space; thesis d_out
    decoder_hidden: int = 512  # hidden width of O_proj and D_o; thesis d_fhidd
    dropout_output: float = 0.1  # in O_proj and D_o; thesis drop_proj_o
    dropout_text: float = 0.1  # in W_proj and D_w; thesis drop_proj_w
    project_per_clip: bool = True  # run W_proj a second time over the clips' words (authors); False: only over classes
    cross_entropy: float = 1.0  # weight of l_ce; 0 removes it (thesis Table 3.2)
    regression: float = 1.0  # weight of l_reg
    reconstruction: float = 1.0  # weight of l_rec; 0 removes it (thesis Table 3.2)
    triplet: float = 0.0  # weight of a triplet loss like AVCA's l_t, which TCaF does without (thesis Table B.3)
    margin: float = 1.0  # of that triplet loss; AVCA's mu


class TcafHeads(nn.Module):
    """What a method does that projects a fused clip beside the projected class embeddings, as TCaF does.

    A method inherits it before `avshot.method.Method`, makes its fusion, then calls `add_heads`, and says in `fused`
    what represents a clip. In place of the nearest class it can have a linear classifier, as baselines of few-shot
    learning do; O_proj is what remains then.
    """

    config: HeadsConfig
    head: ClassHead | None

    def add_heads(
        self, config: HeadsConfig, dim: int, text_dim: int, *, classes: tuple[str, ...] | None = None
    ) -> None:
        """Make what follows the fusion.

        Args:
            config: The settings.
            dim: Width of clip vectors.
            text_dim: Width of class embeddings.
            classes: None: O_proj, W_proj, D_o and D_w. Names: O_proj and a classifier of these classes.
        """
        text, out, hidden = text_dim, config.dim_out, config.decoder_hidden
        self.project_output = EmbNet2(dim, hidden, out, dropout=config.dropout_output)
        self.head = None if classes is None else ClassHead(out, classes)
        if classes is None:
            self.project_text = EmbNet1(text, out, dropout=config.dropout_text)
            self.decode_output = EmbNet2(out, hidden, text, dropout=config.dropout_output)
            self.decode_text = EmbNet1(out, text, dropout=config.dropout_text)

    @property
    def closed(self) -> bool:
        """See `avshot.method.Method.closed`: with a classifier."""
        return self.head is not None

    @abstractmethod
    def fused(self, features: Features) -> Tensor:
        """One vector per clip, c_o of the thesis: `[clip, dim]`."""

    def embed(self, features: Features) -> Tensor:
        """Clips in the common space, theta_o: `[clip, dim_out]`, never negative."""
        fused = widened(self.fused(features))
        with exact(fused):
            return self.project_output(fused)

    def embed_classes(self, classes: Classes) -> Tensor:
        """Classes in the common space, theta_w: `[class, dim_out]`, never negative."""
        (text,) = classes.text.values()
        return self.project_text(text)

    @property
    def couples(self) -> str:
        """See `avshot.method.Method.couples`."""
        return "its triplets take other clips of the batch" if self.config.triplet != 0 and self.head is None else ""

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Thesis eq. 3.15: `cross_entropy` (3.16), `regression` (3.17), `reconstruction` (3.18).

        The squared errors are means over elements, as in the authors' code; the thesis prints sums over dimensions.
        `triplet` is there on request: theta_o in the place of AVCA's theta_a and theta_v (eq. 2.5), with the next clip
        of the batch that is of another class as the negative. A term with weight 0 is left out. With a classifier its
        `cross_entropy` is the only term.
        """
        if self.head is not None:
            return {"cross_entropy": classify(self.head, self._logits(self.head, batch.features), batch)}
        config = self.config
        (text,) = batch.classes.text.values()
        word = text[batch.labels]
        theta_o = self.embed(batch.features)
        with exact(theta_o):
            terms = self._terms(theta_o, text, word, batch.labels)
        weights = {name: float(getattr(config, name)) for name in terms}
        return {name: weights[name] * term for name, term in terms.items() if weights[name] != 0}

    def _terms(self, theta_o: Tensor, text: Tensor, word: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms of the loss without their weights, given clips in the common space."""
        config = self.config
        theta_all = self.project_text(text)
        theta_w = self.project_text(word) if config.project_per_clip else theta_all[labels]
        return {
            "cross_entropy": F.cross_entropy(theta_o @ theta_all.T, labels),
            "regression": F.mse_loss(theta_o, theta_w),
            "reconstruction": F.mse_loss(self.decode_output(theta_o), word)
            + F.mse_loss(self.decode_text(theta_w), word),
            "triplet": _triplets(theta_o, theta_w, labels, config.margin),
        }

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor] | None:
        """theta_o of the clips and theta_w of the classes; None with a classifier."""
        if self.head is not None:
            return None
        return self.embed(features), self.embed_classes(classes)

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative Euclidean distance of theta_o to theta_w of every class (eq. 3.14), or logits: `[clip, class]`.

        Raises:
            ValueError: A candidate is none of the classes of the classifier.
        """
        if self.head is not None:
            return self.head.columns(self._logits(self.head, features), classes)
        # Not by matrix products, whose rounding depends on how many rows there are.
        return -torch.cdist(
            self.embed(features), self.embed_classes(classes), compute_mode="donot_use_mm_for_euclid_dist"
        )

    def phases(self) -> tuple[Phase, ...]:
        """One; with a classifier base classes, then base and novel ones."""
        return (Phase(),) if self.head is None else base_then_novel()

    def _logits(self, head: ClassHead, features: Features) -> Tensor:
        theta_o = self.embed(features)
        with exact(theta_o):
            return head(theta_o)


def _triplets(clips: Tensor, words: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Mean of `t(clip, word, other clip) + t(word, clip, other word)` over the clips that have such an other clip.

    The other one is the next in the batch that is of another class. 0 when all clips are of one class.
    """
    place = torch.arange(len(labels), device=labels.device)
    steps = (place - place[:, None]) % len(labels)  # from a row to a column, going round
    differs = labels[:, None] != labels
    other = torch.where(differs, steps, len(labels)).argmin(dim=1)
    some = differs.any(dim=1)
    rows = F.triplet_margin_loss(clips, words, clips[other], margin=margin, reduction="none")
    rows = rows + F.triplet_margin_loss(words, clips, words[other], margin=margin, reduction="none")
    return torch.where(some, rows, torch.zeros_like(rows)).sum() / some.sum().clamp(min=1)
