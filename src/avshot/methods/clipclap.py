"""ClipClap: feed-forward networks over joined CLIP and CLAP features, matched to joined CLIP and CLAP class embeddings.

Pre-trained image-text and audio-text models already place clips and class names in common spaces, so no attention is
needed: `[picture | sound]` of a clip and `[text | text]` of a class each pass an encoder and a projection. A clip
belongs to the class whose projection lies nearest.

Paper: Kurzendörfer, Mercea, Koepke, Akata, "Audio-Visual Generalized Zero-Shot Learning using Pre-Trained Large
Multi-Modal Models", CVPR workshops 2024, https://arxiv.org/abs/2404.06309; thesis of O.-B. Mercea, chapter 5. Code
read: ClipClap-GZSL, 56b8e1b.

The first entry of `classes.text` belongs to the picture (CLIP), the second to the sound (CLAP). A trained method finds
them by name, whatever their order. With one entry it matches to that alone, as in thesis Table 5.2.

How ours differs: layers and losses are those of the code. The squared errors are means over elements, as there; the
thesis prints sums over dimensions. The target of the reconstruction is the *encoded* class embedding and not detached,
so encoder and decoder could shrink together; this is what the code trains, and `detach_target=True` stops it. The code
takes 512 and 1024 as widths of CLIP and CLAP, ours reads them from the data. After each step it passes the batch once
more for a log, in training mode, which moves the running statistics of batch normalisation; `unread_passes=True`
(`released`) restores that, with the weights before the step.

Missing modality (ours, the authors have none): the modality that a clip lacks enters as zeros (with
`scaling="standardise"`, the mean), so the other one decides alone. A clip that has nothing the method looks at is left
out of batch statistics and of the means of the losses; it lies at the origin, so its scores say nothing about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.method import (
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
from avshot.nn.batch_means import mean_over, squared_error
from avshot.nn.fusion_weights import shape_of
from avshot.nn.mlp import EmbNet1, EmbNet2, InputScaling
from avshot.nn.released_weights import fill
from avshot.nn.text import text_entries
from avshot.types import MODALITIES, Batch, Classes, Features

_SIDES = ("both", "audio", "visual")


@dataclass(frozen=True)
class Config:
    """Settings of `clipclap`."""

    width: int = 512  # of the encoded clip and class; thesis d_model
    hidden: int = 512  # hidden width of O_proj and D_o; thesis d_hidden
    dim_out: int = 64  # width of the common space; thesis d_out
    dropout: float = 0.1  # in all layers; thesis section 5.4.1
    scaling: str = "none"  # of the averaged inputs, a kind of `avshot.nn.mlp.InputScaling`; the authors scale nothing
    modality: str = "both"  # "audio" or "visual": that modality and its text entry alone (thesis Table 5.3)
    text: str = "both"  # "visual" (CLIP) or "audio" (CLAP): that text entry alone, for both modalities (Table 5.2)
    project_per_clip: bool = True  # encode the clips' words apart from the class list (code); False: once, over classes
    unread_passes: bool = False  # True: pass each batch once more, which only moves batch statistics (code)
    detach_target: bool = False  # reconstruct a target without gradient; False: as the code trains it
    regression: float = 1.0  # weight of l_reg; 0 removes it
    cross_entropy: float = 1.0  # weight of l_ce; 0 removes it (thesis Table 5.4)
    reconstruction: float = 1.0  # weight of l_rec; 0 removes it (thesis Table 5.4)


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


def _published(epochs: int, lr: float) -> Preset:
    return Preset(
        Config(),
        Recipe(epochs=epochs, batches_per_epoch=300, batch_size=64, lr=lr, weight_decay=1e-5, schedule="plateau"),
        "ClipClap-GZSL, run scripts (which overrule the YAML files); thesis section 5.4.1",
        Selection(beta_grid="clipclap"),
    )


@method
class ClipClap(Method):
    """Feed-forward networks over `[CLIP | CLAP]`, for clips and for classes."""

    needs = Needs(texts=2, fewer_texts=True)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(scaling="standardise", dropout=0.2),
            Recipe(epochs=12, passes_per_epoch=5, batch_size=64, lr=1e-3, weight_decay=1e-5),
            f"ours, for small own datasets: layers and losses as published, scaled inputs; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        "ucf-cls": _published(20, 7e-5),
        "activitynet-cls": _published(15, 1e-4),
        "vggsound-cls": _published(15, 1e-4),
    }
    released: ClassVar[Mapping[str, Any]] = {
        "scaling": "none",
        "unread_passes": True,
        "project_per_clip": True,
        "detach_target": False,
    }
    released_selection: ClassVar[Mapping[str, Any]] = {"beta_grid": "clipclap", "views": ("both",)}
    paper = (
        "Kurzendörfer et al., Audio-Visual Generalized Zero-Shot Learning using Pre-Trained Large Multi-Modal Models, "
        "CVPR workshops 2024, https://arxiv.org/abs/2404.06309"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.entries = _entries(config, len(inputs.text))
        text = sum(list(inputs.text.values())[i] for i in self.entries)
        clip = sum(getattr(inputs, side) for side in ("visual", "audio") if config.modality in ("both", side))
        width, hidden, out, rate = config.width, config.hidden, config.dim_out, config.dropout
        self.visual_scaling = InputScaling(config.scaling, inputs.visual)
        self.audio_scaling = InputScaling(config.scaling, inputs.audio)
        self.clip_encoder = EmbNet1(clip, width, dropout=rate)
        self.clip_projection = EmbNet2(width, hidden, out, dropout=rate)
        self.clip_decoder = EmbNet2(out, hidden, width, dropout=rate)
        self.text_encoder = EmbNet1(text, width, dropout=rate)
        self.text_projection = EmbNet1(width, out, dropout=rate)
        self.text_decoder = EmbNet1(out, width, dropout=rate)

    @property
    def decided_by(self) -> tuple[str, ...]:
        """See `Method.decided_by`."""
        return MODALITIES if self.config.modality == "both" else (self.config.modality,)

    def embed(self, features: Features) -> tuple[Tensor, Tensor]:
        """Clips in the common space, theta_o `[clip, dim_out]` (eq. 5.1), and which had anything to look at `[clip]`.

        theta_o is never negative.
        """
        (audio, visual), has_a, has_v = features.pooled(), features.has_audio, features.has_visual
        parts, real = [], torch.zeros_like(has_a)
        if self.config.modality != "audio":
            parts.append(self.visual_scaling(visual[:, None], has_v[:, None])[:, 0])
            real = real | has_v
        if self.config.modality != "visual":
            parts.append(self.audio_scaling(audio[:, None], has_a[:, None])[:, 0])
            real = real | has_a
        return self.clip_projection(self.clip_encoder(torch.cat(parts, dim=1), real), real), real

    def join_text(self, classes: Classes) -> Tensor:
        """Class embeddings side by side, [CLIP | CLAP]: `[class, dim]`."""
        entries = text_entries(classes, self.inputs.text)
        return torch.cat([entries[i] for i in self.entries], dim=1)

    def embed_classes(self, classes: Classes) -> Tensor:
        """Classes in the common space, theta_w `[class, dim_out]` (eq. 5.2), never negative."""
        return self.text_projection(self.text_encoder(self.join_text(classes)))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Thesis eq. 5.4: `cross_entropy` (5.5), `reconstruction` (5.6), `regression` (5.7), times their weights."""
        config, labels = self.config, batch.labels
        theta_o, real = self.embed(batch.features)
        text = self.join_text(batch.classes)
        w_all = self.text_encoder(text)
        theta_all = self.text_projection(w_all)
        # Both passes, and each with its own batch statistics, as in the code.
        w = self.text_encoder(text[labels]) if config.project_per_clip else w_all[labels]
        theta_w = self.text_projection(w) if config.project_per_clip else theta_all[labels]
        target = w.detach() if config.detach_target else w
        rho_o, rho_w = self.clip_decoder(theta_o, real), self.text_decoder(theta_w)
        right = F.cross_entropy(theta_o @ theta_all.T, labels, reduction="none")
        terms = {
            "cross_entropy": (config.cross_entropy, mean_over(right, real)),
            "regression": (config.regression, squared_error(theta_o, theta_w, real)),
            "reconstruction": (
                config.reconstruction,
                squared_error(rho_o, target, real) + F.mse_loss(rho_w, target),
            ),
        }
        if self.training and config.unread_passes:
            with torch.no_grad():
                self.embed(batch.features)
                self.text_projection(self.text_encoder(text[labels]))
        return {name: weight * term for name, (weight, term) in terms.items()}

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """theta_o of the clips and theta_w of the classes."""
        return self.embed(features)[0], self.embed_classes(classes)

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative Euclidean distance of theta_o to theta_w of every class (eq. 5.3): `[clip, class]`."""
        # Exact differences: the matrix-product shortcut of cdist loses digits where distances are small.
        return -torch.cdist(*self.embeddings(features, classes), compute_mode="donot_use_mm_for_euclid_dist")


def _entries(config: Config, count: int) -> tuple[int, ...]:
    """Which of `count` text entries are joined. Raises ValueError for settings that contradict each other."""
    for field, value in (("modality", config.modality), ("text", config.text)):
        if value not in _SIDES:
            raise ValueError(f"{field} is {value!r}; expected one of {', '.join(_SIDES)}.")
    if "both" not in (config.modality, config.text) and config.modality != config.text:
        raise ValueError(
            f"modality {config.modality!r} is matched to its own text; text is {config.text!r}. Leave one at 'both'."
        )
    side = config.text if config.modality == "both" else config.modality
    if count == 1 or side == "both":
        return tuple(range(count))
    return (0,) if side == "visual" else (1,)


_OFFICIAL = {
    "clip_encoder": "O_enc",
    "clip_projection": "O_proj",
    "clip_decoder": "D_o",
    "text_encoder": "W_enc",
    "text_projection": "W_proj",
    "text_decoder": "D_w",
}
_CLIP, _CLAP = 512, 1024  # the widths that the code takes for granted
_TAKES = {_CLIP + _CLAP: "both", _CLIP: "visual", _CLAP: "audio"}


def from_official(state_dict: Mapping[str, Tensor], **overrides: Any) -> ClipClap:
    """Build the method from the `model` entry of a checkpoint of ClipClap-GZSL, in eval mode.

    Inputs are always CLIP features of width 512, CLAP features of width 1024 and class embeddings `"clip"` and `"clap"`
    of the same widths; the width of the first layers tells which of them a checkpoint reads.

    Args:
        state_dict: Tensors by the authors' names (`O_enc.fc.0.weight`, ...).
        overrides: Fields of `Config` to change.

    Raises:
        ValueError: A tensor is missing, has no place or another shape; the message names it.
    """
    width, clip = _matrix(state_dict, "O_enc.fc.0.weight")
    text = _matrix(state_dict, "W_enc.fc.0.weight")[1]
    for name, size in (("O_enc.fc.0.weight", clip), ("W_enc.fc.0.weight", text)):
        if size not in _TAKES:
            raise ValueError(
                f"Released tensor {name!r} takes {size} numbers; expected {_CLIP + _CLAP} (CLIP and CLAP), "
                f"{_CLIP} (CLIP) or {_CLAP} (CLAP)."
            )
    found = Config(
        width=width,
        hidden=_matrix(state_dict, "O_proj.fc.0.weight")[0],
        dim_out=_matrix(state_dict, "O_proj.fc.4.weight")[0],
        modality=_TAKES[clip],
        text=_TAKES[text],
    )
    inputs = Inputs(audio=_CLAP, visual=_CLIP, text={"clip": _CLIP, "clap": _CLAP})
    built = ClipClap(replace_fields(found, overrides), inputs)
    # The scalers of inputs and their statistics are ours; without scaling, as here, they hold no tensors.
    fill(built, state_dict, _OFFICIAL)
    return built.eval()


def _matrix(state_dict: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    """Shape of the weight of a linear layer. Raises ValueError when it is missing or no matrix."""
    shape = shape_of(state_dict, name)
    if len(shape) != 2:
        raise ValueError(f"Released tensor {name!r} has shape {shape}; expected [out, in].")
    return shape[0], shape[1]
