"""ProtoGAN: a GAN that is told the mean of a class makes more features of the classes that have few clips.

Averaged sound and picture are joined into one vector. A linear classifier learns from the clips and, where a class is
novel, from as many made-up vectors.

Paper: Dwivedi et al., "ProtoGAN: Towards Few Shot Learning for Action Recognition", ICCV workshops 2019,
https://arxiv.org/abs/1909.07945, as a baseline of AV-Diff: Mercea, "Multimodal Data Efficient Learning", thesis,
Tübingen 2024, section 4.3.3. Neither has released code.

What the thesis says: GANs conditioned on class prototypes, the mean features of all videos of a class; audio and visual
features are joined before they enter. How ours differs, or what we assumed:

- *Prototypes* are those means, as the thesis has it. The paper learns them with a network from examples of seen classes
  (its Class Prototype Transfer Network). They are running means over the clips that training draws, since a batch does
  not hold all clips of a class; both stages of few-shot learning start them anew.
- *GAN*: the Wasserstein GAN with gradient penalty that our tsl has, too (`avshot.nn.wgan`).
- *Classifier*: linear on the joined vector, trained along with the GAN: base classes first, then both. A batch of novel
  clips brings one made-up vector for each of its clips, as in AV-Diff; the authors train a classifier afterwards.
- *Scaling*: each channel by its mean and deviation over training; the papers say nothing of it.

Missing modality (ours): its half is zero in real and made-up vectors, so the classifier goes by the other one. Clips
with neither teach nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from avshot.method import VIEWS, Inputs, Method, Needs, Phase, Preset, Recipe, Selection, method
from avshot.nn.class_head import ClassHead
from avshot.nn.class_means import ClassMeans
from avshot.nn.joined import Joined
from avshot.nn.readout import few_shot_presets
from avshot.nn.wgan import Wgan, WganConfig, adversarial_curriculum, augmented_terms
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class Config(WganConfig):
    """Settings of `protogan`: those of the GAN, and how the input is scaled."""

    scaling: str = "standardise"  # of the joined input, see avshot.nn.joined; ours


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name
_SOURCE = (
    "ours: the thesis states no setting of protogan; rates and epochs as it trains all methods (section 4.5.1), GAN as "
    "f-CLSWGAN's with fewer hidden units"
)


@method
class ProtoGAN(Method):
    """A GAN on class means, and a linear classifier that also learns from what it makes."""

    needs = Needs(texts=1, temporal=False, open_vocabulary=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(noise=32, generator_hidden=128, critic_hidden=128, critic_steps=1),
            Recipe(epochs=10, passes_per_epoch=8, batch_size=32, lr=1e-3, weight_decay=1e-3, betas=(0.5, 0.999)),
            "ours, for small own datasets: small networks, one critic step for each of the others; not tuned",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **few_shot_presets(Config(), _SOURCE, ucf={}, activitynet={}, vggsound={}),
    }
    paper = (
        "Dwivedi et al., ProtoGAN: Towards Few Shot Learning for Action Recognition, ICCV workshops 2019, "
        "https://arxiv.org/abs/1909.07945; as adapted by Mercea et al., DAGM GCPR 2023, https://arxiv.org/abs/2309.03869"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.joined = Joined(config.scaling, inputs.audio, inputs.visual)
        self.means = ClassMeans(inputs.classes, self.joined.dim)
        self.gan = Wgan(config, self.joined.dim, self.joined.dim)
        self.head = ClassHead(self.joined.dim, inputs.classes)

    def phases(self) -> tuple[Phase, ...]:
        """Base classes, then base and novel ones; in both the critic and the others take turns."""
        return adversarial_curriculum(self.config.critic_steps, makers=("gan.generator", "head"))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Terms of the GAN (`avshot.nn.wgan`), `cross_entropy` of the clips and `synthetic`, that of made-up vectors.

        In training the means of the batch's classes take in its clips first. Terms of a player whose parameters are
        held (`requires_grad` is False) are left out.
        """
        real, mask = self.joined(batch.features)
        if self.training:
            self.means.add(real, mask, batch.labels, batch.classes)
        told = self.means(batch.classes)[batch.labels]
        return augmented_terms(self.gan, self.head, real, mask, told, batch.labels, batch.classes)

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Logits of the candidates: `[clip, class]`.

        Raises:
            ValueError: A candidate is no trained class.
        """
        return self.head.columns(self.head(self.joined(features)[0]), classes)
