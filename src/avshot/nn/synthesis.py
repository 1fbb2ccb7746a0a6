"""Made-up feature vectors of classes that have few clips, by diffusion or by a Wasserstein GAN.

Source: AV-Diff (Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, section 4.4.2) and its
comparisons: a GAN in place of diffusion (Table 4.4), other vectors of the class (Table 4.6). How ours differs from the
authors' code is said in `avshot.methods.avdiff`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avshot.nn.class_condition import ClassCondition
from avshot.nn.diffusion import Diffusion, DiffusionConfig
from avshot.nn.wgan import CRITIC_TERMS, Wgan, WganConfig
from avshot.recipe import Turn
from avshot.types import Batch

GENERATORS = ("diffusion", "wgan", "none")


@dataclass(frozen=True)
class SynthesisConfig(WganConfig, DiffusionConfig):
    """Settings of what is made up; methods that use it inherit these fields and those of what makes it."""

    generator: str = "diffusion"  # what makes vectors: "diffusion", "wgan" (Table 4.4), "none" (ours)
    condition: str = "text"  # what it is told of a class, see avshot.nn.class_condition (Table 4.6 and ours)
    diffusion_weight: float = 1.0  # of L_diff; thesis: a plain sum
    detach_features: bool = True  # False: L_diff teaches what it learns from, too (code)
    detach_synthetic: bool = True  # False: gradients flow back through all steps of diffusion (code)
    clip_synthetic: bool = True  # no negative numbers in what is made, as in what is learnt from; False: code


class Synthesis(nn.Module):
    """Learns feature vectors of classes, and makes some.

    Args:
        config: The settings.
        dim: Width of the vectors, none of whose numbers is negative.
        names: The classes that are trained.
        text: Width of class embeddings.
        audio: Width of audio features.
        visual: Width of visual features.

    Raises:
        ValueError: A setting is out of range; the message names it.
    """

    def __init__(
        self, config: SynthesisConfig, dim: int, names: Sequence[str], *, text: int, audio: int, visual: int
    ) -> None:
        super().__init__()
        if config.generator not in GENERATORS:
            raise ValueError(f"generator is {config.generator!r}; expected one of {', '.join(GENERATORS)}.")
        self.config = config
        self.condition = ClassCondition(config.condition, names, text=text, audio=audio, visual=visual)
        told = self.condition.dim
        self.diffusion = Diffusion(dim, told, config) if config.generator == "diffusion" else None
        self.gan = Wgan(config, told, dim) if config.generator == "wgan" else None

    @property
    def makes(self) -> bool:
        """Whether anything is made."""
        return self.config.generator != "none"

    @property
    def plain_terms(self) -> tuple[str, ...]:
        """Names of the terms of `losses` that anybody's turn may minimise along with its own; a game has turns."""
        return () if self.diffusion is None else ("diffusion",)

    def game(self, prefix: str, pool: str) -> tuple[Turn, ...]:
        """Turns of critic and generator, with this module in a method's attribute `prefix`; none without a game."""
        if self.gan is None:
            return ()
        return (
            Turn((f"{prefix}.gan.critic",), CRITIC_TERMS, self.config.critic_steps, pool),
            Turn((f"{prefix}.gan.generator",), ("adversarial", "classified"), pool=pool),
        )

    def told(self, batch: Batch) -> Tensor:
        """What stands for the class of each clip, `[clip, width]`; in training prototypes hear of the clips first."""
        if self.training:
            self.condition.see(batch.features, batch.labels, batch.classes)
        return self.condition(batch.classes)[batch.labels]

    def losses(self, real: Tensor, told: Tensor, classifier: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Terms of what makes vectors, means over clips.

        Args:
            real: `[clip, dim]` vectors to learn from.
            told: `[clip, width]` what stands for the class of each.
            classifier: For a GAN, see `avshot.nn.wgan.Wgan.terms`.

        Returns:
            "diffusion", or the terms of `Wgan.terms`; nothing where nothing is made.
        """
        if self.diffusion is not None:
            learnt = real.detach() if self.config.detach_features else real
            return {"diffusion": self.config.diffusion_weight * self.diffusion.loss(learnt, told).mean()}
        if self.gan is None:
            return {}
        return self.gan.terms(real.detach(), torch.ones_like(real, dtype=torch.bool), told, classifier)

    def make(self, told: Tensor) -> Tensor:
        """One made-up vector `[row, dim]` for each of `told [row, width]`.

        Raises:
            ValueError: There is nothing that makes any (`generator="none"`).
        """
        maker = self.gan if self.diffusion is None else self.diffusion
        if maker is None:
            raise ValueError('generator="none" makes nothing; set it to "diffusion" or "wgan".')
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.detach_synthetic):
            made = maker.make(told)
            return made.clamp(min=0) if self.config.clip_synthetic else made
