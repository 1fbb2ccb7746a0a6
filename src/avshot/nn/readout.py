"""How the baselines of few-shot learning tell classes apart: a projection of the clip and a linear classifier.

All of them have the readout of AV-Diff (its networks Proj_net and CL_net), so that they differ in how they fuse sound
and picture alone. Source: Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, sections 4.3.3 and
4.4.1; the thesis says "a classifier" of these baselines, and no more. Their published-like settings are here too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn.autocast import exact, widened
from avshot.nn.class_head import ClassHead
from avshot.nn.encoders import LONG_CLIPS
from avshot.nn.mlp import EmbNet2
from avshot.recipe import Phase, Preset, Recipe, Selection, base_then_novel
from avshot.settings import replace_fields
from avshot.types import Batch, Classes, Features

READOUTS = ("nearest", "classifier")  # the class whose text lies nearest, or a linear classifier


@dataclass(frozen=True)
class ReadoutConfig:
    """Settings of the projection under the classifier; methods that use it inherit these fields."""

    dim_out: int = 64  # width of what is classified; thesis d_out of AV-Diff
    project_hidden: int = 512  # hidden width of the projection; AVDIFF-GFSL
    dropout_output: float = 0.1  # in the projection; AVDIFF-GFSL, UCF and ActivityNet with few shots


class ClassifierReadout(nn.Module):
    """What a method does that classifies a projected clip among the trained classes.

    A method inherits it before `avshot.method.Method`, makes its fusion, then calls `add_readout`, and says in `embed`
    what is classified.
    """

    def add_readout(self, config: ReadoutConfig, dim: int, classes: tuple[str, ...]) -> None:
        """Make the projection of clip vectors `dim` wide and the classifier of `classes`."""
        self.project_output = EmbNet2(dim, config.project_hidden, config.dim_out, dropout=config.dropout_output)
        self.head = ClassHead(config.dim_out, classes)

    @abstractmethod
    def embed(self, features: Features) -> Tensor:
        """Projected clips, c_o of the thesis: `[clip, dim_out]`."""

    def project(self, fused: Tensor, there: Tensor | None = None) -> Tensor:
        """Project `[..., dim]` to `[..., dim_out]`, never negative; zeros where `there [...]` is False."""
        fused = widened(fused)
        with exact(fused):
            return self.project_output(fused, there)

    def logits(self, features: Features) -> Tensor:
        """Logits of all trained classes: `[clip, trained class]`."""
        projected = self.embed(features)
        with exact(projected):
            return self.head(projected)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """`cross_entropy` over the classes of the batch."""
        return {"cross_entropy": classify(self.head, self.logits(batch.features), batch)}

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Logits of the candidates: `[clip, class]`.

        Raises:
            ValueError: A candidate is no trained class.
        """
        return self.head.columns(self.logits(features), classes)

    def phases(self) -> tuple[Phase, ...]:
        """Base classes, then base and novel ones; everything trains in both."""
        return base_then_novel()


def classify(head: ClassHead, logits: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of `logits [clip, trained class]` of a batch, a mean over its clips."""
    return F.cross_entropy(head.columns(logits, batch.classes), batch.labels)


def classified(readout: str, classes: tuple[str, ...]) -> tuple[str, ...] | None:
    """The classes of a method's classifier, or None where its `readout` has none.

    Raises:
        ValueError: Such a readout does not exist.
    """
    if readout not in READOUTS:
        raise ValueError(f"readout is {readout!r}; expected one of {', '.join(READOUTS)}.")
    return classes if readout == "classifier" else None


# What methods over TCaF's tokens have on the larger sets; dropout as for zero shots (B.1.2).
ACTIVITYNET_TRANSFORMER: Mapping[str, Any] = {"dropout_transformer": 0.4, **LONG_CLIPS}
VGGSOUND_TRANSFORMER: Mapping[str, Any] = {
    "dropout_encoder": 0.2,
    "dropout_position": 0.1,
    "dropout_transformer": 0.5,
    "dropout_output": 0.2,
}


def few_shot_presets(
    config: Any, source: str, *, ucf: Mapping[str, Any], activitynet: Mapping[str, Any], vggsound: Mapping[str, Any]
) -> dict[str, Preset]:
    """Presets `ucf-fsl`, `activitynet-fsl` and `vggsound-fsl`: AV-Diff's training (thesis section 4.5.1).

    Args:
        config: The `Config` that they change.
        source: Where the settings come from; begins with "ours" where no paper says them of the method.
        ucf: Changes for UCF-FSL.
        activitynet: Changes for ActivityNet-FSL.
        vggsound: Changes for VGGSound-FSL.
    """
    changes = {"ucf-fsl": ucf, "activitynet-fsl": activitynet, "vggsound-fsl": vggsound}
    training = {
        "ucf-fsl": (64, 7e-5, "plateau"),
        "activitynet-fsl": (32, 7e-5, "plateau"),
        "vggsound-fsl": (64, 6e-5, "constant"),
    }
    return {
        name: Preset(replace_fields(config, changes[name]), _recipe(*values), source, Selection(beta_grid="avdiff"))
        for name, values in training.items()
    }


def _recipe(batch_size: int, lr: float, schedule: str) -> Recipe:
    return Recipe(epochs=50, batches_per_epoch=300, batch_size=batch_size, lr=lr, weight_decay=1e-5, schedule=schedule)
