"""What extractors have in common whose weights are a file of the authors: how it is found, read and told apart."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import Extractor
from avshot.files.atomic import file_digest
from avshot.files.released import filled, released_tensors


@dataclass(frozen=True)
class ReleasedExtractor(Extractor):
    """An extractor whose network is filled from one file.

    Attributes:
        checkpoint: The released file, unchanged: `.pth`, `.pt` or whatever `torch.save` wrote, or `.safetensors`.
        device: Where the network runs, for example "cpu" or "cuda".
        what: The network in words, for messages.
        unused: Pattern of names in the file that are not needed.
        renamed: Patterns of names and what each is replaced by.
    """

    what: ClassVar[str]
    unused: ClassVar[str] = ""
    renamed: ClassVar[Sequence[tuple[str, str]]] = ()
    checked: ClassVar[str] = "random weights"

    checkpoint: str
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not Path(self.checkpoint).is_file():
            raise BadSetting(
                f"Extractor {self.name}: there is no file {self.checkpoint}; give the released weights of {self.what}."
            )

    def spec(self) -> dict[str, Any]:
        """Settings and the digest of the file; the device does not change what is meant, so it is left out."""
        settings = super().spec()
        del settings["device"]
        return {**settings, "weights": f"sha256:{file_digest(self.checkpoint)}"}

    @abstractmethod
    def _like(self, tensors: Mapping[str, Tensor]) -> Any:
        """A network of the sizes of `tensors`; KeyError, ValueError or ZeroDivisionError where they tell none."""

    @cached_property
    def _network(self) -> Any:
        tensors = released_tensors(self.checkpoint, unused=self.unused, renamed=self.renamed)
        try:
            with torch.device("meta"):
                network = self._like(tensors)
        except (IndexError, KeyError, RuntimeError, ValueError, ZeroDivisionError) as error:
            raise BadSetting(
                f"{self.checkpoint} has no {self.what} whose sizes can be told ({error}); give the released file "
                "unchanged."
            ) from None
        return filled(network, tensors, self.checkpoint, self.what).to(self.device)

    def _through(self, batches: Iterator[Tensor]) -> Tensor:
        """What the network makes of batches, one below the other."""
        with torch.inference_mode():
            parts = [self._of_network(batch.to(self.device)).cpu() for batch in batches]
        return torch.cat(parts).clone()

    def _of_network(self, batch: Tensor) -> Tensor:
        """What is kept of the network's answer, `[item, dim]`."""
        return self._network(batch)
