"""A conditional Wasserstein GAN of feature vectors, and the curriculum of methods that classify with its help.

`protogan` and `tsl` share it; they differ in what a vector describes and in what the generator is told of a class.
Loss: Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, https://arxiv.org/abs/1704.00028,
conditioned on the class as in Xian et al., "Feature Generating Networks for Zero-Shot Learning" (f-CLSWGAN), CVPR 2018,
https://arxiv.org/abs/1712.00981, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn.batch_means import mean_over
from avshot.nn.class_head import ClassHead
from avshot.nn.generator import Critic, Generator, gradient_penalty, plays
from avshot.recipe import Phase, Turn, base_then_novel
from avshot.types import Classes

CRITIC_TERMS = ("critic", "gradient_penalty")
MAKER_TERMS = ("adversarial", "classified", "cross_entropy", "synthetic")


@dataclass(frozen=True)
class WganConfig:
    """Settings of the GAN; methods that use it inherit these fields. Defaults: f-CLSWGAN, with fewer hidden units."""

    noise: int = 300  # width of the noise; f-CLSWGAN: as wide as the class embedding, word2vec has 300
    generator_hidden: int = 512  # ours, as f_vaegan_d2; f-CLSWGAN 4096
    critic_hidden: int = 512  # ours, as f_vaegan_d2; f-CLSWGAN 4096
    penalty: float = 10.0  # of the critic's gradient; lambda of f-CLSWGAN and of Gulrajani et al.
    classified: float = 0.01  # weight of "the classifier knows what was made" for the generator; beta of f-CLSWGAN
    critic_steps: int = 5  # critic steps for each step of the generator; Gulrajani et al.
    synthetic: float = 1.0  # weight of what is made in the classifier's loss, 0 = none; ours: as the real vectors


class Wgan(nn.Module):
    """A generator and a critic, both told something of the class.

    Args:
        config: The settings.
        told: Width of what they are told of a class.
        dim: Width of the vectors.
    """

    def __init__(self, config: WganConfig, told: int, dim: int) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config.noise, told, config.generator_hidden, dim, output="linear")
        self.critic = Critic(dim, told, config.critic_hidden)

    def terms(
        self, real: Tensor, mask: Tensor, told: Tensor, classifier: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """Loss terms of the players that train at the moment, means over the rows that have something.

        `critic` is `D(made) - D(real)`, `gradient_penalty` what keeps D near a slope of 1, both for the critic;
        `adversarial` is `-D(made)` and `classified` how badly the classifier tells what was made, for the generator.

        Args:
            real: `[row, dim]`, zeros where `mask` is False.
            mask: `[row, dim]` bool, True = real; what is made is blanked likewise.
            told: `[row, told]` of each row's class.
            classifier: Maps vectors `[row, dim]` to the cross-entropy of each with its row's class; no gradient may
                flow to the classifier.
        """
        made, rows = self.generator.make(told) * mask, mask.any(dim=1)
        terms: dict[str, Tensor] = {}
        if plays(self.critic):
            gap = self.critic(made.detach(), told) - self.critic(real, told)
            mix = torch.rand(len(real), 1, device=real.device)
            steep = gradient_penalty(lambda value: self.critic(value, told), real, made, mix)
            terms["critic"] = mean_over(gap, rows)
            terms["gradient_penalty"] = self.config.penalty * mean_over(steep, rows)
        if plays(self.generator):
            terms["adversarial"] = -mean_over(self.critic(made, told), rows)
            terms["classified"] = self.config.classified * mean_over(classifier(made), rows)
        return terms

    def make(self, told: Tensor) -> Tensor:
        """One vector for each row of `told`, `[row, dim]`, from fresh noise; no gradient flows to the generator."""
        with torch.no_grad():
            return self.generator.make(told)


def augmented_terms(
    gan: Wgan, head: ClassHead, real: Tensor, mask: Tensor, told: Tensor, labels: Tensor, classes: Classes
) -> dict[str, Tensor]:
    """Loss terms of a GAN and of a classifier that also learns from one made-up vector for each row of a novel class.

    Beside `Wgan.terms` these are `cross_entropy` of the rows that have something, and `synthetic`, that of the made-up
    ones; 0 without novel classes. Terms of a player whose parameters are held are left out.

    Args:
        gan: Makes vectors.
        head: The classifier.
        real: `[row, dim]`, zeros where `mask` is False.
        mask: `[row, dim]` bool, True = real; what is made is blanked likewise.
        told: `[row, told]`, what the GAN is told of each row's class.
        labels: `[row]` long, index into `classes`.
        classes: The trained classes; those that are not `seen` are novel.
    """
    terms = gan.terms(real, mask, told, lambda made: misjudged(head, made, labels, classes, learning=False))
    if plays(head):
        rows, novel = mask.any(dim=1), ~classes.seen[labels]
        made = gan.make(told) * mask
        terms["cross_entropy"] = mean_over(misjudged(head, real, labels, classes), rows)
        synthetic = mean_over(misjudged(head, made, labels, classes), rows & novel)
        terms["synthetic"] = gan.config.synthetic * synthetic
    return terms


def misjudged(head: ClassHead, value: Tensor, labels: Tensor, classes: Classes, *, learning: bool = True) -> Tensor:
    """Cross-entropy `[row]` of a classifier on `value [row, dim]`, labelled `[row]` among `classes`.

    With `learning=False` no gradient flows to the classifier, only to `value`.
    """
    weight, bias = (part if learning else part.detach() for part in (head.weight, head.bias))
    return F.cross_entropy(head.columns(F.linear(value, weight, bias), classes), labels, reduction="none")


def adversarial_curriculum(critic_steps: int, *, makers: tuple[str, ...]) -> tuple[Phase, ...]:
    """`base_then_novel`, where the critic and all others take turns on every pool.

    Args:
        critic_steps: Batches of the critic for each batch of the others.
        makers: Prefixes of the names of the others' parameters: those of the generator and of the classifier, whose
            terms are `cross_entropy` and `synthetic`. The critic's is "gan.critic".
    """

    def taking_turns(pools: tuple[str, ...]) -> tuple[Turn, ...]:
        critic = (Turn(("gan.critic",), CRITIC_TERMS, critic_steps, pool, optimiser="critic") for pool in pools)
        others = (Turn(makers, MAKER_TERMS, 1, pool, optimiser="makers") for pool in pools)
        return (*critic, *others)

    return tuple(
        replace(phase, turns=taking_turns(tuple(turn.pool for turn in phase.turns))) for phase in base_then_novel()
    )
