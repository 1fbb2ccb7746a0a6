"""A softmax classifier over the candidate classes, trained on real clips and on generated features of the others.

Its rows belong to candidates and are found by the class embedding, not by position or name: the same classes in another
order, or some of them, score the same. How many rows it has depends on the candidates it was last fitted to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.nn.class_rows import ClassRows, only_text
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class ClassifierConfig:
    """Settings of the final classifier; defaults: f-VAEGAN-D2 in the AVCA repository."""

    synthetic: int = 1000  # generated features per class without clips; run scripts, VGGSound 10000
    classifier_epochs: int = 30  # passes over real and generated features; code
    classifier_batch: int = 1000  # code: as many as `synthetic`
    classifier_lr: float = 1e-3  # Adam's; code
    balanced: bool = False  # True: each class weighs the same in the loss, however many features it has; ours


class FinalClassifier(ClassRows):
    """`score = x W' + b`, one row of W and b per distinct embedding of the candidates.

    Candidates with equal embeddings share a row, so they tie in every score: nothing that the method is told can tell
    them apart. Rows are sorted by embedding; the order of the candidates changes nothing, not even the random draws.

    Args:
        dim: Width of the features that are classified.
        text_dim: Width of class embeddings.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, dim: int, text_dim: int) -> None:
        super().__init__(text_dim, weight=dim, bias=None)

    def forward(self, value: Tensor, classes: Classes) -> Tensor:
        """Logits `[clip, class]` of features `value [clip, dim]`.

        Raises:
            ValueError: A class is none of those that it was last fitted to.
        """
        row, found = self.rows_of(only_text(classes))
        if not bool(found.all()):
            stranger = classes.names[int((~found).nonzero()[0])]
            raise ValueError(
                f"The final classifier has no row for class {stranger!r}: it was fitted to {len(self.embedding)} "
                "class embeddings. Call adapt(support, classes) with all classes that are to be scored first."
            )
        return value @ self.weight[row].T + self.bias[row]

    def fit(
        self,
        support: Iterable[Batch] | None,
        classes: Classes,
        config: ClassifierConfig,
        *,
        embed: Callable[[Features], Tensor],
        generate: Callable[[Tensor], Tensor],
    ) -> None:
        """Train anew for the candidates `classes`; draws come from torch's global generator.

        Classes with clips in `support` learn from these, the others from generated features. Without `support` all
        learn from generated ones. Clips of classes that are no candidates are passed over.

        Args:
            support: Labelled clips, or None.
            classes: The candidates, at least one.
            config: The settings.
            embed: Clips to features `[clip, dim]`.
            generate: Class embeddings `[row, text_dim]` to one made-up feature each, `[row, dim]`.
        """
        self.embedding = torch.unique(only_text(classes), dim=0)
        with torch.no_grad():
            value, label = self._examples(support, config.synthetic, embed, generate)
        with torch.enable_grad():
            self.weight, self.bias = _softmax_regression(value, label, len(self.embedding), config)

    def _examples(
        self,
        support: Iterable[Batch] | None,
        synthetic: int,
        embed: Callable[[Features], Tensor],
        generate: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Features `[example, dim]` and their rows `[example]`: real ones first, then generated ones."""
        values, labels = [], []
        for batch in () if support is None else support:
            row, found = self.rows_of(only_text(batch.classes))
            row, found = row[batch.labels], found[batch.labels]
            values.append(embed(batch.features)[found])
            labels.append(row[found])
        rows = torch.arange(len(self.embedding), device=self.embedding.device)
        bare = rows[~torch.isin(rows, torch.cat(labels))] if labels else rows
        made = bare.repeat_interleave(synthetic)
        return torch.cat([*values, generate(self.embedding[made])]), torch.cat([*labels, made])


def _softmax_regression(value: Tensor, label: Tensor, count: int, config: ClassifierConfig) -> tuple[Tensor, Tensor]:
    """Weights `[row, dim]` and biases `[row]` after `classifier_epochs` of Adam on cross-entropy, from zeros."""
    weight = value.new_zeros(count, value.shape[1]).requires_grad_()
    bias = value.new_zeros(count).requires_grad_()
    clips = torch.bincount(label, minlength=count).clamp(min=1)
    share = len(label) / (count * clips.to(value.dtype)) if config.balanced else None
    optimiser = torch.optim.Adam([weight, bias], lr=config.classifier_lr, betas=(0.5, 0.999))  # code
    for _ in range(config.classifier_epochs):
        for chosen in torch.randperm(len(label), device="cpu").to(label.device).split(config.classifier_batch):
            logits = value[chosen] @ weight.T + bias
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(logits, label[chosen], weight=share).backward()
            optimiser.step()
    return weight.detach(), bias.detach()
