"""TSL: classify short segments of a clip by a linear classifier, which a GAN feeds with segments of novel classes.

A clip is cut into segments; averaged sound and picture of a segment are joined into one vector. The classifier learns
base classes first, then base and novel ones together, the latter also from vectors that a Wasserstein GAN makes of
class embeddings. A clip's score is the mean of its segments' probabilities.

Paper: Xian et al., "Generalized Few-Shot Video Classification with Video Retrieval and Feature Generation", TPAMI 2021,
https://arxiv.org/abs/2007.04755, as a baseline of AV-Diff: Mercea, "Multimodal Data Efficient Learning", thesis,
Tübingen 2024, section 4.3.3. Code read: xianyongqin/few-shot-video-classification, which has the two-stage learning of
the paper's title but no GAN and no audio.

What the thesis says: a GAN makes samples of novel classes, audio and visual features are joined, the score is the mean
of the scores of short segments. How ours differs, or what we assumed:

- *Features* are given. In the paper the first stage trains a 3D network on the base classes and the second a linear
  classifier of novel ones upon it; here both stages train the classifier alone.
- *Segments*: up to 10 (as the code tests 10 of a video), never more than a clip has steps of either modality, so each
  has both. They are cut by the count of steps, lie side by side and cover the clip; the code draws them at random.
- *Mean of probabilities*, as the code does; given out as a logarithm, whose softmax they are.
- *GAN*: the paper's makes features from class embeddings; its losses are f-CLSWGAN's here (`avshot.nn.wgan`), and it
  trains along with the classifier. A batch of novel clips brings a made-up vector for each of its segments.
- *Retrieval* of videos with fitting tags, the paper's other half, is not here: the thesis has no such videos.
- *Scaling*: each channel by its mean and deviation over training; the papers say nothing of it.

Missing modality (ours): its half is zero in real and made-up vectors, so the classifier goes by the other one. Clips
with neither teach nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from avshot.method import VIEWS, Inputs, Method, Needs, Phase, Preset, Recipe, Selection, method
from avshot.nn.class_head import ClassHead
from avshot.nn.encoders import padded
from avshot.nn.joined import Joined
from avshot.nn.readout import few_shot_presets
from avshot.nn.wgan import Wgan, WganConfig, adversarial_curriculum, augmented_terms
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class Config(WganConfig):
    """Settings of `tsl`: those of the GAN, of the segments, and how the input is scaled."""

    segments: int = 10  # most segments of a clip; the code's number of test clips of a video
    scaling: str = "standardise"  # of the joined input, see avshot.nn.joined; ours


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name
_SOURCE = (
    "ours: the thesis states no setting of tsl; rates and epochs as it trains all methods (section 4.5.1), GAN as "
    "f-CLSWGAN's with fewer hidden units"
)


def cut_segments(features: Features, most: int) -> tuple[Features, Tensor]:
    """Cut clips into segments of like length that lie side by side and cover the clip, and average each.

    A clip has as many segments as it has steps of the modality with fewer of them (of those that it has), at most
    `most`; one, empty, if it has neither. So no segment lacks a modality of its clip.

    Args:
        features: The clips.
        most: Most segments of a clip, at least 1.

    Returns:
        The segments as clips of one step, segments of a clip in a row; and `[clip, segment]` bool, True = there.
    """
    lengths = torch.stack([features.audio_mask.sum(dim=1), features.visual_mask.sum(dim=1)])
    fewest = torch.where(lengths > 0, lengths, most).amin(dim=0).clamp(max=most)
    fewest = torch.where(lengths.amax(dim=0) > 0, fewest, 1)
    number = torch.arange(int(fewest.max()) if len(features) else 0, device=fewest.device)
    there = number < fewest[:, None]
    sides = (features.audio, features.audio_mask), (features.visual, features.visual_mask)
    means = [_segment_means(value, mask, fewest, number)[there] for value, mask in sides]
    owner = there.nonzero()[:, 0]
    time = torch.zeros(len(owner), 1, device=owner.device)
    real = features.has_audio[owner, None], features.has_visual[owner, None]
    return Features(means[0][:, None], means[1][:, None], *real, time, time.clone()), there


def _segment_means(value: Tensor, mask: Tensor, count: Tensor, number: Tensor) -> Tensor:
    """Means `[clip, segment, dim]` of the real steps of each segment; zeros where there are none."""
    place = mask.cumsum(dim=1) - 1
    own = place * count[:, None] // mask.sum(dim=1, keepdim=True).clamp(min=1)
    inside = ((own[:, None] == number[:, None]) & mask[:, None]).to(value.dtype)
    clean = torch.where(mask[..., None], value, torch.zeros_like(value))
    return inside @ clean / inside.sum(dim=2, keepdim=True).clamp(min=1)


@method
class TSL(Method):
    """A linear classifier of segments that also learns from what a GAN makes of class embeddings."""

    needs = Needs(texts=1, temporal=True, open_vocabulary=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(noise=32, generator_hidden=128, critic_hidden=128, critic_steps=1, segments=4),
            Recipe(epochs=10, passes_per_epoch=8, batch_size=32, lr=1e-3, weight_decay=1e-3, betas=(0.5, 0.999)),
            "ours, for small own datasets: small networks, few segments, one critic step for each of the others; not "
            "tuned",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **few_shot_presets(Config(), _SOURCE, ucf={}, activitynet={}, vggsound={}),
    }
    paper = (
        "Xian et al., Generalized Few-Shot Video Classification with Video Retrieval and Feature Generation, TPAMI "
        "2021, https://arxiv.org/abs/2007.04755; as adapted by Mercea et al., DAGM GCPR 2023, https://arxiv.org/abs/2309.03869"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        if config.segments < 1:
            raise ValueError(f"segments is {config.segments}; expected at least 1.")
        self.joined = Joined(config.scaling, inputs.audio, inputs.visual)
        self.gan = Wgan(config, inputs.text_dim, self.joined.dim)
        self.head = ClassHead(self.joined.dim, inputs.classes)

    def phases(self) -> tuple[Phase, ...]:
        """Base classes, then base and novel ones; in both the critic and the others take turns."""
        return adversarial_curriculum(self.config.critic_steps, makers=("gan.generator", "head"))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Terms of the GAN (`avshot.nn.wgan`), `cross_entropy` of segments and `synthetic`, that of made-up ones.

        All are means over segments. Terms of a player whose parameters are held (`requires_grad` is False) are left
        out.
        """
        parts, there = cut_segments(batch.features, self.config.segments)
        real, mask = self.joined(parts)
        (text,), labels = batch.classes.text.values(), batch.labels[there.nonzero()[:, 0]]
        return augmented_terms(self.gan, self.head, real, mask, text[labels], labels, batch.classes)

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Logarithm of the mean over segments of the candidates' probabilities among the trained classes.

        Raises:
            ValueError: A candidate is no trained class.
        """
        parts, there = cut_segments(features, self.config.segments)
        logarithms = padded(self.head(self.joined(parts)[0]).log_softmax(dim=1), there)
        hidden = torch.where(there[..., None], logarithms, -torch.inf)
        mean = hidden.logsumexp(dim=1) - there.sum(dim=1, keepdim=True).log()
        return self.head.columns(mean, classes)
