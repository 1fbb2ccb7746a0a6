"""Extractors whose vectors lie in one space with those of a text encoder: names are compared with clips untrained."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import Extractor, checkpoint_id, load_checkpoint


class JointExtractor(Extractor):
    """An extractor with a text encoder beside it: unit vectors of both, compared by their cosine.

    Subclasses are frozen dataclasses with the fields `checkpoint`, `device` and, where it can be a hub id, `revision`.

    Attributes:
        text: The text encoder that shares its space.
        checkpoint: Hub id, folder or file of the weights; both sides read it.
        device: Where the model runs; it does not change what is meant.
    """

    joint: ClassVar[bool] = True
    text: ClassVar[str]
    checkpoint: str
    device: str

    def text_spec(self) -> str:
        """Spec of the text encoder with the same weights, for `create_text_encoder`."""
        return f"{self.text}:{self.checkpoint}"

    @abstractmethod
    def scale_and_bias(self) -> tuple[float, float] | None:
        """What the cosine is multiplied by, and what is added, to give the model's own logit.

        Models trained with sigmoids (SigLIP) make a probability of it by a sigmoid, each name for itself; those trained
        with a softmax (CLIP) have no bias (0), and their logits say something only beside each other. None where the
        weights hold no such numbers, or where they belong to vectors that are not of unit length.
        """

    def spec(self) -> dict[str, Any]:
        """Settings and the identity of the weights; the device does not change what is meant, so it is left out."""
        settings = super().spec()
        del settings["device"]
        return {**settings, "weights": self._identity()}

    def _identity(self) -> str:
        return checkpoint_id(self.name, self.checkpoint, self._revision)

    @property
    def _revision(self) -> str:
        return str(getattr(self, "revision", "main"))

    def _load(self, kind: Any) -> Any:
        """A configuration or processor of the checkpoint."""
        return load_checkpoint(kind, self.name, self.checkpoint, self._revision)

    def _load_model(self, kind: Any, unused: tuple[str, ...] = (), **more: Any) -> Any:
        """A model of the checkpoint in eval mode on the device.

        Args:
            kind: A model class of transformers.
            unused: Beginnings of the names of weights that are not used and may lack.
            more: Further arguments of `from_pretrained`.

        Raises:
            ValueError: It cannot be loaded, or lacks weights: transformers would fill them with random numbers.
        """
        # As numbers of 32 bits, whatever the checkpoint holds: those of 16 are slow on a CPU, and some models overflow.
        options = {"output_loading_info": True, "dtype": torch.float32, **more}
        model, info = load_checkpoint(kind, self.name, self.checkpoint, self._revision, **options)
        lacking = [key for key in sorted(info["missing_keys"]) if not key.startswith(unused)]
        if lacking:
            raise BadSetting(
                f"Weights {self.checkpoint!r} of extractor {self.name!r} lack {len(lacking)} tensors "
                f"({', '.join(lacking[:3])}); give the whole checkpoint of such a model."
            )
        return model.eval().to(self.device)


def unit(vectors: Tensor) -> Tensor:
    """Rows `[step, dim]` at unit length, float32, on the CPU and usable outside inference mode."""
    return F.normalize(vectors.float(), dim=1).cpu().clone()


def joined(parts: list[Tensor], dim: int) -> Tensor:
    """Parts `[step, dim]` one after the other; no part gives `[0, dim]`."""
    return torch.cat(parts) if parts else torch.zeros(0, dim)
