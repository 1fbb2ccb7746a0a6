"""AVGZSLNet: sound, picture and class embeddings meet in one space from which the class embedding can be decoded.

Each modality and the words have a network of their own into the common space, trained by triplets between clips and
classes; one decoder must find the class embedding again in all three. A clip belongs to the class with the smallest sum
of the distances of its sound and its picture.

Paper: Mazumder, Singh, Parida, Namboodiri, "AVGZSLNet: Audio-Visual Generalized Zero-Shot Learning by Reconstructing
Label Features from Multi-Modal Embeddings", WACV 2021, https://arxiv.org/abs/2005.13402. Code read: the version in
AVCA-GZSL, 2711aeb, which the published numbers on UCF-, ActivityNet- and VGGSound-GZSL come from, and the authors' own,
pratikm141/AVGZSLNet, made for AudioSetZSL.

How ours differs: in nothing from either model; they differ from one another, and the fields of `Config` say how. The
preset "original" is the authors' own, trained by Adam: the trainer has neither their stochastic gradient descent (rate
0.3, momentum 0.9, a tenth of it from epochs 75, 125 and 175) nor their fixed list of class pairs. They drop out before
the ReLU, which is the same as after it. In AVCA-GZSL the calibration is the mean of three (sound alone, picture
alone, sum), though the sum has another scale; ours is chosen on the sum. `released` restores that of AVCA-GZSL
(`Selection.mean_beta`, `double_single`).

Missing modality: the distance of the other one counts twice, so that scores keep their scale; the loss terms of the
absent modality and its batch statistics leave the clip out. A clip with neither gets equal scores for all classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
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
from avshot.nn.triplet import Projection, triplets
from avshot.types import Batch, Classes, Features

RECONSTRUCTIONS = ("distance", "squares")


@dataclass(frozen=True)
class Config:
    """Settings of `avgzslnet`. Defaults: the version in AVCA-GZSL; "authors" are those of the paper."""

    hidden: int = 1024  # hidden width of the audio and the visual network; AVCA-GZSL code, authors 256
    text_hidden: int = 300  # hidden width of the word network; AVCA-GZSL code, authors 0: a linear map
    embedding: int = 64  # width of the common space; both codes
    decoder_hidden: int = 64  # hidden width of the decoder; AVCA-GZSL code, authors 128
    dropout: float = 0.8  # in the three networks; AVCA-GZSL's default, which its run scripts keep; authors 0.5
    dropout_decoder: float = 0.5  # AVCA-GZSL's default, which its run scripts keep; authors 0
    batch_norm: bool = True  # in all hidden layers; AVCA-GZSL run scripts, authors have none
    margin: float = 1.0  # of the triplets; both codes
    negative_anchors: bool = False  # triplets anchored at the other class and its clip too; AVCA-GZSL no, authors yes
    reconstruction: str = "distance"  # mean L2 "distance" (AVCA-GZSL) or mean of "squares" over elements (authors)
    normalise_decoded: bool = True  # decoder output to unit length; AVCA-GZSL run scripts, authors do not
    double_single: bool = True  # the only distance of a clip with one modality counts twice (ours); False: AVCA-GZSL
    scaling: str = "none"  # of the averaged inputs, a kind of `avshot.nn.mlp.InputScaling`; neither code scales
    text_layer: int = 0  # width of a learnt layer on the class embedding, W_enc of thesis eq. 5.9 (300); 0: none


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name
_PUBLISHED = Preset(
    Config(),
    Recipe(epochs=50, batches_per_epoch=500, batch_size=256, lr=1e-3, schedule="plateau"),
    "AVCA-GZSL 2711aeb, run scripts of the AVGZSLNet baseline: one setting for all datasets",
    Selection(beta_grid="avca"),
)


class _Branch(NamedTuple):
    """One modality of a batch: in the common space, decoded, and who has it."""

    embedded: Tensor
    decoded: Tensor
    real: Tensor


@method
class AVGZSLNet(Method):
    """Three networks into a common space and a decoder back to class embeddings."""

    needs = Needs(texts=1, temporal=False, negatives=True)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(dropout=0.2, dropout_decoder=0.1, scaling="standardise"),
            Recipe(epochs=12, passes_per_epoch=5, batch_size=64, lr=1e-3),
            f"ours, for small own datasets: less dropout, scaled inputs; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        "ucf-cls": _PUBLISHED,
        "activitynet-cls": _PUBLISHED,
        "vggsound-cls": _PUBLISHED,
        "ucf-main": _PUBLISHED,
        "activitynet-main": _PUBLISHED,
        "vggsound-main": _PUBLISHED,
        "original": Preset(
            Config(
                hidden=256,
                text_hidden=0,
                decoder_hidden=128,
                dropout=0.5,
                dropout_decoder=0.0,
                batch_norm=False,
                negative_anchors=True,
                reconstruction="squares",
                normalise_decoded=False,
            ),
            Recipe(epochs=200, passes_per_epoch=1, batch_size=4096, lr=1e-3),
            "pratikm141/AVGZSLNet 02f1556, for AudioSetZSL; but theirs is SGD, and the rate of Adam is ours",
            Selection(beta_grid="exact"),
        ),
    }
    released: ClassVar[Mapping[str, Any]] = {"scaling": "none", "double_single": False}
    released_selection: ClassVar[Mapping[str, Any]] = {**AVCA_SELECTION, "mean_beta": True}
    paper = (
        "Mazumder et al., AVGZSLNet: Audio-Visual Generalized Zero-Shot Learning by Reconstructing Label Features from "
        "Multi-Modal Embeddings, WACV 2021, https://arxiv.org/abs/2005.13402"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        if config.reconstruction not in RECONSTRUCTIONS:
            known = ", ".join(RECONSTRUCTIONS)
            raise ValueError(f"reconstruction is {config.reconstruction!r}; expected one of {known}.")
        self.text_layer = TextLayer(inputs.text_dim, config.text_layer)
        text, out, norm, dropout = self.text_layer.dim, config.embedding, config.batch_norm, config.dropout
        self.audio_scaling = InputScaling(config.scaling, inputs.audio)
        self.visual_scaling = InputScaling(config.scaling, inputs.visual)
        self.audio_net = Projection(inputs.audio, config.hidden, out, dropout=dropout, batch_norm=norm)
        self.visual_net = Projection(inputs.visual, config.hidden, out, dropout=dropout, batch_norm=norm)
        self.text_net = Projection(text, config.text_hidden, out, dropout=dropout, batch_norm=norm)
        self.decoder = Projection(out, config.decoder_hidden, text, dropout=config.dropout_decoder, batch_norm=norm)

    def embed(self, features: Features) -> tuple[Tensor, Tensor]:
        """Sound and picture in the common space: two `[clip, embedding]`, zeros where a clip lacks the modality."""
        (audio, visual), has_a, has_v = features.pooled(), features.has_audio, features.has_visual
        audio = self.audio_scaling(audio[:, None], has_a[:, None])[:, 0]
        visual = self.visual_scaling(visual[:, None], has_v[:, None])[:, 0]
        return self.audio_net(audio, has_a), self.visual_net(visual, has_v)

    def _decode(self, embedded: Tensor, real: Tensor | None = None) -> Tensor:
        decoded = self.decoder(embedded, real)
        return F.normalize(decoded, dim=1) if self.config.normalise_decoded else decoded

    def _branches(self, features: Features) -> tuple[_Branch, _Branch]:
        (audio, visual), has_a, has_v = self.embed(features), features.has_audio, features.has_visual
        return (
            _Branch(audio, self._decode(audio, has_a), has_a),
            _Branch(visual, self._decode(visual, has_v), has_v),
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Composite triplets, reconstruction of class embeddings, triplets between what was decoded; unweighted.

        Raises:
            ValueError: The batch has no negatives.
        """
        if batch.negative is None:
            raise ValueError(
                "avgzslnet got a batch without negatives; pass Batch(..., negative=clips of other classes)."
            )
        text, other_text = self.text_layer(batch.classes), self.text_layer(batch.negative.classes)
        word = text[batch.labels]
        embedded, other_embedded = self.text_net(word), self.text_net(other_text[batch.negative.labels])
        decoded = self._decode(embedded)
        pairs = tuple(zip(self._branches(batch.features), self._branches(batch.negative.features), strict=True))
        every = torch.ones(len(batch), dtype=torch.bool, device=word.device)
        terms = {
            "triplet": [self._composite(own, other, embedded, other_embedded) for own, other in pairs],
            "reconstruction": [self._distance(decoded, word, every)]
            + [self._distance(own.decoded, word, own.real) for own, _ in pairs],
            "decoded_triplet": [
                mean_over(triplets(decoded, own.decoded, other.decoded, self.config.margin), own.real & other.real)
                for own, other in pairs
            ],
        }
        return {name: torch.stack(parts).sum() for name, parts in terms.items()}

    def _composite(self, own: _Branch, other: _Branch, word: Tensor, other_word: Tensor) -> Tensor:
        """T(w, x, x-) + T(x, w, w-) of one modality, and the same from the other class with `negative_anchors`."""
        margin, both = self.config.margin, own.real & other.real
        total = mean_over(triplets(word, own.embedded, other.embedded, margin), both)
        total = total + mean_over(triplets(own.embedded, word, other_word, margin), own.real)
        if not self.config.negative_anchors:
            return total
        total = total + mean_over(triplets(other_word, other.embedded, own.embedded, margin), both)
        return total + mean_over(triplets(other.embedded, other_word, word, margin), other.real)

    def _distance(self, decoded: Tensor, word: Tensor, real: Tensor) -> Tensor:
        apart = decoded - word
        squares = self.config.reconstruction == "squares"
        return mean_over(apart.square().mean(dim=1) if squares else torch.linalg.vector_norm(apart, dim=1), real)

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative sum of the Euclidean distances of sound and picture to every class: `[clip, class]`."""
        words, (audio, visual) = self.text_net(self.text_layer(classes)), self.embed(features)
        has_a, has_v = features.has_audio[:, None].to(words.dtype), features.has_visual[:, None].to(words.dtype)
        # Not by matrix products, whose rounding depends on how many rows there are.
        exact = "donot_use_mm_for_euclid_dist"
        to_audio = torch.cdist(audio, words, compute_mode=exact)
        to_visual = torch.cdist(visual, words, compute_mode=exact)
        scale = 2 / (has_a + has_v).clamp(min=1) if self.config.double_single else 1.0
        return -(has_a * to_audio + has_v * to_visual) * scale

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Clips as the mean of the modalities that they have, and classes."""
        audio, visual = self.embed(features)  # absent ones are zeros
        count = features.has_audio.to(audio.dtype) + features.has_visual.to(audio.dtype)
        return (audio + visual) / count.clamp(min=1)[:, None], self.text_net(self.text_layer(classes))


_OFFICIAL = {
    "audio_net": "triplet_net.embedding_net1",
    "visual_net": "triplet_net.embedding_net2",
    "text_net": "triplet_net.embedding_net3",
    "decoder": "decoder_net.embedding_net",
}


def from_official(state_dict: Mapping[str, Tensor], **overrides: Any) -> AVGZSLNet:
    """Build the method from the `model` entry of an AVGZSLNet checkpoint of AVCA-GZSL, in eval mode.

    Args:
        state_dict: Tensors by the authors' names (`triplet_net.embedding_net1.fc.0.weight`, ...).
        overrides: Fields of `Config` to change.

    Raises:
        ValueError: A tensor is missing or has no place; the message names it.
    """
    audio, visual, text = (state_dict[f"triplet_net.embedding_net{i}.fc.0.weight"] for i in (1, 2, 3))
    decoder = state_dict["decoder_net.embedding_net.fc.0.weight"]
    decoder_hidden, embedding = decoder.shape[0], decoder.shape[1]
    config = Config(
        hidden=audio.shape[0], text_hidden=text.shape[0], embedding=embedding, decoder_hidden=decoder_hidden
    )
    inputs = Inputs(audio.shape[1], visual.shape[1], {"w2v": text.shape[1]})
    built = AVGZSLNet(replace_fields(config, overrides), inputs)
    fill(built, state_dict, _OFFICIAL)
    return built.eval()
