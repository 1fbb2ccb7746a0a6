"""CJME: sound, picture and class embeddings meet in one space, and a gate says which modality to trust for a clip.

Each modality and the words have a network of their own into the common space, trained by triplets anchored at the
class. A gate on the raw features learns which modality is surer of its class; it weighs the triplets, and in testing
the modality that it prefers decides alone.

Paper: Parida, Matiyali, Guha, Sharma, "Coordinated Joint Multimodal Embeddings for Generalized Audio-Visual Zero-shot
Classification and Retrieval of Videos", WACV 2020, https://arxiv.org/abs/1910.08732. The authors released no model;
code read: the version in AVCA-GZSL, 2711aeb, which the published numbers on UCF-, ActivityNet- and VGGSound-GZSL come
from.

How ours differs: that code multiplies gates of shape (clip, 1) with losses of shape (clip,), so every gate meets every
loss and only the mean gate of the batch counts; ours weighs each clip's losses with its own gate. There the calibration
is the mean of three (sound alone, picture alone, gated); ours is chosen on the scores that are used. A pass of the
negatives' words that no loss reads is left out; it moves statistics of batch normalisation. `released` restores all
three (`weight_per_clip`, `Selection.mean_beta`, `unread_passes`). As there, the words of all training classes make one
more pass without gradient, from which the gate's target is computed.

Why it does badly where sound and picture know different things was tried on the rendered world (`docs/findings.md`):
no single part of it is the reason. `agreement`, `equal` and `clip_triplet` are there to repeat that.

Missing modality (ours): the other one decides. Such a clip leaves the gate, its target and the agreement term alone and
takes part in the triplets of the modality it has. A clip with neither lies at the origin, so its scores say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from avshot.method import (
    AVCA_SELECTION,
    TUNED,
    VIEWS,
    Inputs,
    Method,
    Needs,
    Preset,
    Recipe,
    Selection,
    method,
    replace_fields,
)
from avshot.nn.batch_means import mean_over
from avshot.nn.mlp import InputScaling
from avshot.nn.released_weights import fill
from avshot.nn.text import TextLayer
from avshot.nn.triplet import Gate, Projection, triplets
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class Config:
    """Settings of `cjme`."""

    hidden: int = 1024  # hidden width of the audio and the visual network; AVCA-GZSL code
    text_hidden: int = 300  # hidden width of the word network; AVCA-GZSL code
    embedding: int = 64  # width of the common space; AVCA-GZSL code
    dropout: float = 0.2  # in all three networks; run scripts: 0 on VGGSound
    margin: float = 1.0  # of the triplets; AVCA-GZSL code
    certainty: float = 0.1  # nats of entropy by which a modality must be surer to be the gate's target; AVCA-GZSL code
    agreement: float = 1.0  # weight of the term that draws sound and picture of a clip together; AVCA-GZSL code
    unread_passes: bool = False  # True: pass the negatives' words too, which only moves batch statistics (AVCA-GZSL)
    weight_per_clip: bool = True  # each clip's gate weighs its own losses; False: the mean gate does (AVCA-GZSL code)
    clip_triplet: float = 0.0  # weight of triplets anchored at the clip, as AVGZSLNet has them; ours, to compare
    equal: bool = False  # in testing both modalities of a clip count alike, whatever the gate says; ours, to compare
    hard_gate: bool = True  # in testing the preferred modality alone decides (AVCA-GZSL); False: weighted distances
    scaling: str = "none"  # of the averaged inputs, a kind of `avshot.nn.mlp.InputScaling`; the authors scale nothing
    text_layer: int = 0  # width of a learnt layer on the class embedding, W_enc of thesis eq. 5.9 (300); 0: none


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


def _published(dropout: float) -> Preset:
    return Preset(
        Config(dropout=dropout),
        Recipe(epochs=50, batches_per_epoch=500, batch_size=256, lr=1e-3, schedule="plateau"),
        "AVCA-GZSL 2711aeb, run scripts of the CJME baseline",
        Selection(beta_grid="avca"),
    )


class _Clips(NamedTuple):
    """Clips in the common space, who has which modality, and the joined inputs `[audio, visual]`."""

    audio: Tensor
    visual: Tensor
    has_audio: Tensor
    has_visual: Tensor
    joined: Tensor


@method
class CJME(Method):
    """Three networks into a common space and a gate between the modalities."""

    needs = Needs(texts=1, temporal=False, negatives=True)
    Config = Config
    released: ClassVar[Mapping[str, Any]] = {"weight_per_clip": False, "unread_passes": True, "scaling": "none"}
    released_selection: ClassVar[Mapping[str, Any]] = {**AVCA_SELECTION, "mean_beta": True}
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(scaling="standardise"),
            Recipe(epochs=12, passes_per_epoch=5, batch_size=64, lr=1e-3),
            f"ours, for small own datasets: scaled inputs; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        "ucf-cls": _published(0.2),
        "activitynet-cls": _published(0.2),
        "vggsound-cls": _published(0.0),
        "ucf-main": _published(0.2),
        "activitynet-main": _published(0.2),
        "vggsound-main": _published(0.0),
    }
    paper = (
        "Parida et al., Coordinated Joint Multimodal Embeddings for Generalized Audio-Visual Zero-shot Classification "
        "and Retrieval of Videos, WACV 2020, https://arxiv.org/abs/1910.08732"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        out, dropout = config.embedding, config.dropout
        self.audio_scaling = InputScaling(config.scaling, inputs.audio)
        self.visual_scaling = InputScaling(config.scaling, inputs.visual)
        self.audio_net = Projection(inputs.audio, config.hidden, out, dropout=dropout, positive=True)
        self.visual_net = Projection(inputs.visual, config.hidden, out, dropout=dropout, positive=True)
        self.text_layer = TextLayer(inputs.text_dim, config.text_layer)
        self.text_net = Projection(self.text_layer.dim, config.text_hidden, out, dropout=dropout, positive=True)
        self.gate = Gate(inputs.audio + inputs.visual)

    def _embed(self, features: Features) -> _Clips:
        (audio, visual), has_a, has_v = features.pooled(), features.has_audio, features.has_visual
        audio = self.audio_scaling(audio[:, None], has_a[:, None])[:, 0]
        visual = self.visual_scaling(visual[:, None], has_v[:, None])[:, 0]
        joined = torch.cat([audio, visual], dim=1)
        return _Clips(self.audio_net(audio, has_a), self.visual_net(visual, has_v), has_a, has_v, joined)

    def _weight(self, clips: _Clips) -> Tensor:
        """Weight of the picture, `[clip]` in 0 to 1: the gate's; 1 without sound, 0 without picture."""
        both = clips.has_audio & clips.has_visual
        learnt = self.gate(clips.joined, both)[:, 0]
        return torch.where(both, learnt, clips.has_visual.to(learnt.dtype))

    @property
    def couples(self) -> str:
        """See `Method.couples`."""
        return "" if self.config.weight_per_clip else "its triplets are weighted by the mean of the gate over the batch"

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Gated triplets; weighted mean squared difference of the modalities; mean squared error of the gate.

        With `clip_triplet`, also T(clip, its word, the other's word) of both modalities.

        Raises:
            ValueError: The batch has no negatives.
        """
        if batch.negative is None:
            raise ValueError("cjme got a batch without negatives; pass Batch(..., negative=clips of other classes).")
        text, other_text = self.text_layer(batch.classes), self.text_layer(batch.negative.classes)
        own, other = self._embed(batch.features), self._embed(batch.negative.features)
        weight, both = self._weight(own), own.has_audio & own.has_visual
        word, other_word = self.text_net(text[batch.labels]), other_text[batch.negative.labels]
        with torch.no_grad():
            if self.training and self.config.unread_passes:
                self.text_net(other_word)
            target = dominant(own.audio, own.visual, self.text_net(text), self.config.certainty)
        terms = {
            "triplet": self._triplet(own, other, word, weight),
            "agreement": self.config.agreement * mean_over((own.audio - own.visual).square().mean(dim=1), both),
            "gate": mean_over((weight - target).square(), both),
        }
        if self.config.clip_triplet != 0:
            terms["clip_triplet"] = self.config.clip_triplet * self._clip_triplet(own, word, self.text_net(other_word))
        return terms

    def _clip_triplet(self, own: _Clips, word: Tensor, other_word: Tensor) -> Tensor:
        """T(audio, word, other word) + T(visual, word, other word), each the mean over the clips that have it."""
        sides = ((own.audio, own.has_audio), (own.visual, own.has_visual))
        parts = [mean_over(triplets(clip, word, other_word, self.config.margin), real) for clip, real in sides]
        return torch.stack(parts).sum()

    def _triplet(self, own: _Clips, other: _Clips, word: Tensor, weight: Tensor) -> Tensor:
        """(1 - weight) T(word, audio, other audio) + weight T(word, visual, other visual), mean over clips."""
        margin = self.config.margin
        of_audio, real_a = triplets(word, own.audio, other.audio, margin), own.has_audio & other.has_audio
        of_visual, real_v = triplets(word, own.visual, other.visual, margin), own.has_visual & other.has_visual
        if self.config.weight_per_clip:
            nothing = torch.zeros_like(weight)
            rows = (1 - weight) * torch.where(real_a, of_audio, nothing)
            return mean_over(rows + weight * torch.where(real_v, of_visual, nothing), real_a | real_v)
        # The mean of the (clip, clip) products of the released code factors into means.
        mean_weight = mean_over(weight, own.has_audio | own.has_visual)
        return (1 - mean_weight) * mean_over(of_audio, real_a) + mean_weight * mean_over(of_visual, real_v)

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative Euclidean distance to every class of the preferred modality's embedding: `[clip, class]`.

        Without `hard_gate` the mean of both distances that the gate weighs, with `equal` their plain mean.
        """
        clips, words = self._embed(features), self.text_net(self.text_layer(classes))
        weight = self._weight(clips)[:, None]
        if self.config.equal:
            both = (clips.has_audio & clips.has_visual)[:, None]
            weight = torch.where(both, torch.full_like(weight, 0.5), weight)
        elif self.config.hard_gate:
            weight = (weight >= 0.5).to(weight.dtype)
        # Not by matrix products, whose rounding depends on how many rows there are.
        exact = "donot_use_mm_for_euclid_dist"
        to_audio = torch.cdist(clips.audio, words, compute_mode=exact)
        to_visual = torch.cdist(clips.visual, words, compute_mode=exact)
        return -((1 - weight) * to_audio + weight * to_visual)

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Clips by the modality that the gate prefers, and classes."""
        clips = self._embed(features)
        visual = self._weight(clips)[:, None] >= 0.5
        return torch.where(visual, clips.visual, clips.audio), self.text_net(self.text_layer(classes))


def dominant(audio: Tensor, visual: Tensor, words: Tensor, certainty: float) -> Tensor:
    """What the gate should say of each clip: 0 where sound is surer of its class, 1 where picture is, 0.5 otherwise.

    How sure a modality is, is the entropy of the softmax over its dot products with the classes.

    Args:
        audio: `[clip, dim]` in the common space.
        visual: `[clip, dim]`.
        words: `[class, dim]`, all training classes.
        certainty: Difference of entropies, in nats, up to which neither is surer.

    Returns:
        `[clip]`.
    """
    gap = _entropy(audio @ words.T) - _entropy(visual @ words.T)
    return 0.5 + 0.5 * (gap > certainty).to(gap.dtype) - 0.5 * (gap < -certainty).to(gap.dtype)


def _entropy(logits: Tensor) -> Tensor:
    logs = logits.log_softmax(dim=1)
    return -(logs.exp() * logs).sum(dim=1)


_OFFICIAL = {
    "audio_net": "triplet_net.embedding_net1",
    "visual_net": "triplet_net.embedding_net2",
    "text_net": "triplet_net.embedding_net3",
    "gate.fc": "attention_model",
}


def from_official(state_dict: Mapping[str, Tensor], **overrides: Any) -> CJME:
    """Build the method from the `model` entry of a CJME checkpoint of AVCA-GZSL, in eval mode.

    Args:
        state_dict: Tensors by the authors' names (`triplet_net.embedding_net1.fc.0.weight`, ...).
        overrides: Fields of `Config` to change. To train on, pass the dropout rate.

    Raises:
        ValueError: A tensor is missing or has no place; the message names it.
    """
    audio, visual, text = (state_dict[f"triplet_net.embedding_net{i}.fc.0.weight"] for i in (1, 2, 3))
    embedding = state_dict["triplet_net.embedding_net1.fc.4.weight"].shape[0]
    config = Config(hidden=audio.shape[0], text_hidden=text.shape[0], embedding=embedding)
    inputs = Inputs(audio.shape[1], visual.shape[1], {"w2v": text.shape[1]})
    built = CJME(replace_fields(config, overrides), inputs)
    fill(built, state_dict, _OFFICIAL)
    return built.eval()
