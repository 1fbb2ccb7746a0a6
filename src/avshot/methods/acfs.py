"""ACFS: generate audio-visual features of unseen classes, and embed them by contrast and by class.

A conditional Wasserstein GAN makes features from class embeddings. Real and made-up features pass an embedding that is
trained contrastively (clips of one class together) and discriminatively (each to its class embedding); the final
classifier works in that embedding.

Paper: Zheng, Hong and Farazi, "A Generative Approach to Audio-Visual Generalized Zero-Shot Learning: Combining
Contrastive and Discriminative Techniques", IJCNN 2023. Results: Tables 1 and 2 of KDA, https://arxiv.org/abs/2311.12268.

How ours differs: that cannot be said, because neither the text of the paper nor code of it was at hand. From its title
and from how KDA lists it we know that it is generative and that it combines contrastive and discriminative training.
All else is assumed, after the nearest method whose text is public (Han et al., "Contrastive Embedding for Generalized
Zero-Shot Learning", CVPR 2021, https://arxiv.org/abs/2103.16173), and may differ from ACFS:
- the generator is a WGAN-GP without VAE; sound and picture are generated together, as one vector;
- contrast: supervised InfoNCE between all real and made-up features of a batch, on a projection of the embedding;
- discriminative: softmax over the training classes of the cosine between embedding and class embedding;
- the final softmax classifier learns from embedded real features of seen and made-up ones of unseen classes;
- every width, weight and temperature, and the training recipe: the benchmarks' presets take that of AVCA.
So the published numbers are not expected of it.

Missing modality (ours): the missing half is zero. In training the made-up vector is blanked where the real one is, so
such a clip teaches the half it has. A modality that training never showed is blank in all that is generated. Clips with
neither are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.method import TUNED, VIEWS, Inputs, Method, Needs, Phase, Preset, Recipe, Selection, Turn, method
from avshot.nn.batch_means import mean_over
from avshot.nn.final_classifier import ClassifierConfig, FinalClassifier
from avshot.nn.generator import Critic, Generator, gradient_penalty, plays
from avshot.nn.joined import Joined
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Settings of `acfs`, none of them known; those of the final classifier are in `ClassifierConfig`."""

    noise: int = 300  # width of the noise; as in f_vaegan_d2
    generator_hidden: int = 512  # as in f_vaegan_d2
    critic_hidden: int = 512  # as in f_vaegan_d2
    embedding: int = 512  # width of the embedding that is classified; ours
    projection: int = 64  # width in which clips are contrasted; AVCA's common space
    scaling: str = "standardise"  # of the joined input, see avshot.nn.joined; ours, features of any sign and size
    output: str = "linear"  # of the generator, see avshot.nn.generator; ours, to suit the scaling
    adversarial: float = 1.0  # weight of the critic's verdict in the generator's loss; ours
    contrastive: float = 1.0  # weight of the contrast; ours
    discriminative: float = 1.0  # weight of the class loss; ours
    temperature: float = 0.1  # of the contrast; command in the README of Han et al. (CUB)
    class_temperature: float = 0.1  # of the class loss; the same command
    penalty: float = 10.0  # of the critic's gradient penalty; lambda of WGAN-GP
    critic_steps: int = 5  # critic steps for each step of the generator; WGAN-GP


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


def _assumed() -> Preset:
    return Preset(
        Config(),
        Recipe(epochs=50, batches_per_epoch=500, batch_size=256, lr=1e-3, betas=(0.5, 0.999)),
        "ours, assumed: no settings of ACFS are public: networks of f_vaegan_d2, batches and epochs of AVCA",
    )


@method
class ACFS(Method):
    """A feature generator, an embedding trained by contrast and by class, and a final classifier on both."""

    needs = Needs(texts=1, temporal=False, open_vocabulary=False)
    Config = Config
    class_transductive = True  # features of unseen classes are made and learnt from
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(
                synthetic=50,
                classifier_epochs=20,
                classifier_batch=64,
                classifier_lr=3e-3,
                balanced=True,
                noise=32,
                generator_hidden=256,
                critic_hidden=256,
                embedding=256,
                scaling="unit",
                critic_steps=1,
            ),
            Recipe(epochs=12, passes_per_epoch=4, batch_size=64, lr=2e-3, betas=(0.5, 0.999)),
            f"ours, for small own datasets: small networks, few generated features; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **{
            f"{dataset}-{kind}": _assumed()
            for dataset in ("ucf", "activitynet", "vggsound")
            for kind in ("main", "cls")
        },
    }
    paper = (
        "Zheng, Hong and Farazi, A Generative Approach to Audio-Visual Generalized Zero-Shot Learning: Combining "
        "Contrastive and Discriminative Techniques, IJCNN 2023"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.joined = Joined(config.scaling, inputs.audio, inputs.visual)
        dim, text, width = self.joined.dim, inputs.text_dim, config.embedding
        self.generator = Generator(config.noise, text, config.generator_hidden, dim, output=config.output)
        self.critic = Critic(dim, text, config.critic_hidden)
        self.embedding = nn.Sequential(nn.Linear(dim, width), nn.ReLU())
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.projection))
        self.to_text = nn.Linear(width, text)
        self.classifier = FinalClassifier(width, text)

    def phases(self) -> tuple[Phase, ...]:
        """The critic, and all that it does not judge by itself, alternate."""
        critic = Turn(("critic",), ("critic", "gradient_penalty"), self.config.critic_steps)
        maker = Turn(
            ("generator", "embedding", "projection", "to_text"), ("adversarial", "contrastive", "discriminative")
        )
        return (Phase("adversarial", (critic, maker)),)

    @property
    def couples(self) -> str:
        """See `Method.couples`."""
        return "its contrast compares all clips of a batch with one another"

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """WGAN-GP, contrast and class losses, means over the clips that have something (and what was made for them).

        Terms of a player whose parameters are held (`requires_grad` is False) are left out.
        """
        (text,) = batch.classes.text.values()
        told = text[batch.labels]
        real, mask = self.joined(batch.features)
        fake, clips = self.generator.make(told) * mask, mask.any(dim=1)
        terms: dict[str, Tensor] = {}
        if plays(self.critic):
            terms |= self._critic_terms(real, fake.detach(), told, clips)
        if plays(self.generator, self.embedding):
            terms["adversarial"] = -self.config.adversarial * mean_over(self.critic(fake, told), clips)
            terms |= self._embedding_terms(torch.cat([real, fake]), batch.labels.repeat(2), clips.repeat(2), text)
        return terms

    def _critic_terms(self, real: Tensor, fake: Tensor, told: Tensor, clips: Tensor) -> dict[str, Tensor]:
        mix = torch.rand(len(real), 1, device=real.device)
        gap = self.critic(fake, told) - self.critic(real, told)
        penalty = gradient_penalty(lambda value: self.critic(value, told), real, fake, mix)
        return {
            "critic": mean_over(gap, clips),
            "gradient_penalty": self.config.penalty * mean_over(penalty, clips),
        }

    def _embedding_terms(self, value: Tensor, labels: Tensor, real: Tensor, text: Tensor) -> dict[str, Tensor]:
        """Contrast and class loss of features `[row, dim]`, real and made up."""
        config, embedded = self.config, self.embedding(value)
        contrast = supervised_contrast(self.projection(embedded), labels, real, config.temperature)
        logits = self._compatibility(embedded, text) / config.class_temperature
        wrong = F.cross_entropy(logits, labels, reduction="none")
        return {
            "contrastive": config.contrastive * contrast,
            "discriminative": config.discriminative * mean_over(wrong, real),
        }

    def _compatibility(self, embedded: Tensor, text: Tensor) -> Tensor:
        """Cosines `[row, class]`."""
        return F.normalize(self.to_text(embedded), dim=1) @ F.normalize(text, dim=1).T

    def adapt(self, support: Iterable[Batch] | None, classes: Classes) -> None:
        """Train the final classifier: real features of classes with clips, generated ones of the others, embedded."""
        self.classifier.fit(support, classes, self.config, embed=self._embed, generate=self._make)

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Logits of the final classifier: `[clip, class]`.

        Raises:
            ValueError: A class is none of those of the last `adapt`.
        """
        return self.classifier(self._embed(features), classes)

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Embedded clips as the class loss sees them, beside the class embeddings, both of length 1."""
        (text,) = classes.text.values()
        return F.normalize(self.to_text(self._embed(features)), dim=1), F.normalize(text, dim=1)

    def _embed(self, features: Features) -> Tensor:
        return self.embedding(self.joined(features)[0])

    def _make(self, text: Tensor) -> Tensor:
        made = self.generator.make(text) * self.joined.known()
        return self.embedding(F.normalize(made, dim=1) if self.config.scaling == "unit" else made)


def supervised_contrast(value: Tensor, labels: Tensor, real: Tensor, temperature: float) -> Tensor:
    """Supervised InfoNCE: each row against all others, those of its class being the right ones.

    For row i: minus the mean over other rows p of its class of `log(exp(s_ip) / sum over k != i of exp(s_ik))`, with
    cosines over temperature s. Source: Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, eq. 2.

    Args:
        value: `[row, dim]`.
        labels: `[row]` long.
        real: `[row]` bool; the other rows are neither contrasted nor contrasted against.
        temperature: Positive.

    Returns:
        The mean over rows that have another of their class; 0 where none has.
    """
    value, labels = F.normalize(value[real], dim=1), labels[real]
    itself = torch.eye(len(value), dtype=torch.bool, device=value.device)
    same = (labels[:, None] == labels) & ~itself
    similar = (value @ value.T / temperature).masked_fill(itself, -torch.inf)
    if len(value) < 2:
        return value.sum() * 0
    log_share = (similar - similar.logsumexp(dim=1, keepdim=True)).masked_fill(~same, 0.0)
    friends = same.sum(dim=1)
    return mean_over(-log_share.sum(dim=1) / friends.clamp(min=1), friends > 0)
