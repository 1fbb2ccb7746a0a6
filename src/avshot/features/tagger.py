"""Extractors that were trained to name what they hear or see: their embedding, or logits of their own vocabulary."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import Extractor
from avshot.files.atomic import file_digest

OUTPUTS = ("embedding", "logits")


class Tagger(Extractor):
    """An extractor with a vocabulary: `out="embedding"` gives vectors, `out="logits"` a column for each label.

    Logits are given, not probabilities, whose last digits are lost near 1. `probabilities` makes them.

    Attributes:
        exclusive: True: labels exclude each other (softmax, as of ImageNet); False: each is a question of its own
            (sigmoid, as of AudioSet).
        vocabulary: Name of the list of labels, `features/labels/<name>.txt`, one label a line.
        out: "embedding" or "logits".
        device: Where the network runs, for example "cpu" or "cuda".
    """

    exclusive: ClassVar[bool] = False
    vocabulary: ClassVar[str] = ""
    out: str
    device: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The vocabulary, in the order of the logits; the same for both kinds of output."""
        return labels(self.vocabulary)

    @property
    @abstractmethod
    def path(self) -> Path:
        """The file of its weights. Raises ValueError, with what to do, where it is not on this machine."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Width of the embedding."""

    @property
    def dim(self) -> int:
        """Width of what is given: of the embedding, or the number of labels."""
        return self.width if self.out == "embedding" else len(self.labels)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of logits `[..., label]`: softmax where labels exclude each other, else a sigmoid of each."""
        return logits.softmax(dim=-1) if self.exclusive else logits.sigmoid()

    def spec(self) -> dict[str, Any]:
        """Settings and the digest of the weights; the device does not change what is meant, so it is left out."""
        settings = super().spec()
        del settings["device"]
        return {**settings, "weights": f"sha256:{file_digest(self.path)}"}

    def check_out(self) -> None:
        """Raises ValueError where `out` is neither kind of output."""
        if self.out not in OUTPUTS:
            raise BadSetting(f"{self.name} option out is {self.out!r}; expected {' or '.join(OUTPUTS)}.")


@cache
def labels(vocabulary: str) -> tuple[str, ...]:
    """A list of labels that comes with avshot: "audioset" (527), "yamnet" (521), "imagenet" (1000)."""
    text = (files("avshot.features") / "labels" / f"{vocabulary}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def window_starts(count: int, window: int, hop: int) -> list[int]:
    """First frames of windows over `count` frames, `hop` apart; the last one ends where the frames end.

    Fewer frames than a window, but not none, give one window, which is then shorter.

    Example:
        >>> window_starts(10, 4, 4)
        [0, 4, 6]
    """
    if count == 0:
        return []
    last = max(count - window, 0)
    starts = list(range(0, last + 1, hop))
    return starts if starts[-1] == last else [*starts, last]


def check_windows(name: str, window: float, hop: float, *, shortest: float, longest: float = 60.0) -> None:
    """Raises ValueError for windows (seconds) that are too short, too long or apart from each other."""
    if not (shortest <= window <= longest and math.isfinite(hop) and 0.01 <= hop <= window):
        raise BadSetting(
            f"{name} has windows of {window} s every {hop} s; expected {shortest:g} to {longest:g} s, every 0.01 s or "
            "more, at most a window apart."
        )
