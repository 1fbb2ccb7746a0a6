"""What a method asks of its input, and the sizes it is built for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from avshot.types import MODALITIES, Classes, Features


@dataclass(frozen=True)
class Needs:
    """What a method asks of its input, in place of flags in shared code.

    Attributes:
        texts: How many text encoders it joins (ClipClap: 2). `Classes.text` must hold exactly that many.
        fewer_texts: It also works with fewer of them, at least one.
        temporal: It uses the order of time steps; False means it reads `Features.pooled()`.
        negatives: `Batch.negative` must be there.
        open_vocabulary: It can score classes that neither training nor `Method.adapt` has shown it.
        missing_modality: It can learn from and score clips that have only one modality, also where the other does not
            exist at all (an `Inputs` width of 0); its docstring says how.
    """

    texts: int = 1
    fewer_texts: bool = False
    temporal: bool = False
    negatives: bool = False
    open_vocabulary: bool = True
    missing_modality: bool = True

    def accepts(self, texts: int) -> bool:
        """Whether so many text encoders suit it."""
        return texts == self.texts or (self.fewer_texts and 1 <= texts < self.texts)


@dataclass(frozen=True)
class Inputs:
    """The sizes a method is built for: widths of the audio and visual features and of each class embedding.

    A width of 0 says that the modality does not exist: features were made of the other one alone, every mask is False.
    """

    audio: int
    visual: int
    text: Mapping[str, int]

    @classmethod
    def of(cls, features: Features, classes: Classes) -> Inputs:
        """Read the sizes from data."""
        return cls(*features.dims, dict(classes.dims))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of "audio" and "visual" that exist."""
        return tuple(name for name in MODALITIES if getattr(self, name) > 0)

    @property
    def text_dim(self) -> int:
        """Width of the only class embedding. Raises ValueError when there are several."""
        if len(self.text) != 1:
            raise ValueError(f"This method uses one text encoder; got {len(self.text)}: {', '.join(self.text)}.")
        return next(iter(self.text.values()))
