"""Nearest text: the class whose text lies nearest in a space that text and features share; nothing is learnt.

CLIP embeds pictures and texts in one space, CLAP sounds and texts in another. Where the features of a modality come
from such an encoder, the cosine with the class text from the same encoder says how well a clip fits a class; the scores
of sound and picture are averaged.

Paper: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (CLIP), ICML 2021,
https://arxiv.org/abs/2103.00020, and Wu et al., "Large-scale Contrastive Language-Audio Pretraining with Feature Fusion
and Keyword-to-Caption Augmentation" (CLAP), ICASSP 2023, https://arxiv.org/abs/2211.06687. No code was read.

How ours differs: CLIP and CLAP classify by one modality; the weighted mean of their cosines is ours. Prompts and their
averages belong to the class texts, not to the method. No class is seen in training, so calibration has nothing to
correct, and a class that the encoders met while they were trained is not unseen in any strict sense.

Missing modality: the other one decides alone. A clip whose only modality has no text in its space scores 0 throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.method import VIEWS, Inputs, Method, Needs, Phase, Preset, Recipe, Selection, method
from avshot.nn.text import text_entries
from avshot.types import Classes, Features

_NAMED = {"audio": "clap", "visual": "clip"}  # how the text encoders of either modality begin


@dataclass(frozen=True)
class Config:
    """Settings of `nearest_text`."""

    audio_text: str = "auto"  # text entry that sound is compared with; "auto": clap*, else the only one as wide; "none"
    visual_text: str = "auto"  # the same for the picture, where "auto" looks for clip*
    visual_weight: float = 0.5  # share of the picture in the mean of a clip that has both; ours, not tuned


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


@method
class NearestText(Method):
    """Mean cosine of the averaged features of a clip with the class texts of the same space."""

    needs = Needs(texts=2, fewer_texts=True, temporal=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(),
            Recipe(epochs=1, batches_per_epoch=1),
            "ours: sound and picture count alike",
            Selection(beta_grid="exact", views=VIEWS),
        ),
    }
    paper = (
        "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021, "
        "https://arxiv.org/abs/2103.00020"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        if not 0 <= config.visual_weight <= 1:
            raise ValueError(f"visual_weight is {config.visual_weight}; expected 0 (sound alone) to 1 (picture alone).")
        self.audio_text = _entry("audio", config.audio_text, inputs.audio, inputs.text)
        self.visual_text = _entry("visual", config.visual_text, inputs.visual, inputs.text)
        if self.audio_text is None and self.visual_text is None:
            raise ValueError(
                f"nearest_text compares features with class texts of the same space, and none fits: audio is "
                f"{inputs.audio} wide, visual {inputs.visual}, the texts {_listed(inputs.text)}. Use features of CLAP "
                "or CLIP together with the text encoder of the same model."
            )

    @property
    def decided_by(self) -> tuple[str, ...]:
        """Modalities with a class text in their space and a share of the mean."""
        share = self.config.visual_weight
        sides = (("audio", self.audio_text, 1 - share), ("visual", self.visual_text, share))
        return tuple(name for name, text, part in sides if text is not None and part > 0)

    def phases(self) -> tuple[Phase, ...]:
        """None: nothing is learnt."""
        return ()

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Weighted mean over the modalities a clip has of the cosine with every class text: `[clip, class]`."""
        clips, text = self.embeddings(features, classes)
        return clips @ text.T

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Unit vectors of sound and picture side by side, those of clips times the share of their modality."""
        audio, visual = features.pooled()
        weight = self.config.visual_weight
        pairs = (
            (self.audio_text, audio, (1 - weight) * features.has_audio.to(audio.dtype)),
            (self.visual_text, visual, weight * features.has_visual.to(visual.dtype)),
        )
        text = dict(zip(self.inputs.text, text_entries(classes, self.inputs.text), strict=True))
        used = [(text[entry], value, share) for entry, value, share in pairs if entry is not None]
        whole = torch.stack([share for _, _, share in used]).sum(dim=0)
        # A clip that has nothing with a weight keeps shares of 0.
        whole = torch.where(whole > 0, whole, torch.ones_like(whole))
        clips = [F.normalize(value, dim=1) * (share / whole)[:, None] for _, value, share in used]
        return torch.cat(clips, dim=1), torch.cat([F.normalize(rows, dim=1) for rows, _, _ in used], dim=1)


def _entry(modality: str, wanted: str, width: int, text: Mapping[str, int]) -> str | None:
    """Name of the text entry that shares a space with `modality`, or None.

    Raises:
        ValueError: The wanted entry does not exist or has another width, or several would do.
    """
    if wanted == "none":
        return None
    if wanted != "auto":
        if text.get(wanted) != width:
            raise ValueError(
                f"{modality}_text is {wanted!r}; expected auto, none or a text as wide as the {modality} features, "
                f"{width}; texts: {_listed(text)}."
            )
        return wanted
    other = _NAMED["visual" if modality == "audio" else "audio"]
    fits = [name for name, dim in text.items() if dim == width and not name.startswith(other)]
    fits = [name for name in fits if name.startswith(_NAMED[modality])] or fits
    if len(fits) > 1:
        raise ValueError(f"{' and '.join(fits)} are as wide as the {modality} features; name one as {modality}_text.")
    return fits[0] if fits else None


def _listed(text: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {dim}" for name, dim in text.items())
