"""Features that are made when they are asked for, each clip from its own random stream; see `avshot.data.simulate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from avshot.data.sources import as_indices
from avshot.types import Features

SCENE_DIM = 16
HOP = {"audio": 0.96, "visual": 0.64}  # seconds per VGGish and per C3D step


@dataclass(frozen=True)
class Story:
    """What a simulated feature is made of; see `avshot.data.simulate` for the story.

    Attributes:
        signal: Length of the class part of the latent vector; 0 = features independent of the class.
        noise: Expected length of its random part.
        scene: Standard deviation of a feature caused by the scene.
        temporal: Sequences, instead of one vector per clip.
        seed: Draws the maps and every clip.
    """

    signal: float = 1.0
    noise: float = 4.0
    scene: float = 1.0
    temporal: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("signal", "noise", "scene"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 or more.")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; expected 0 or more.")


@dataclass(frozen=True, eq=False)
class SimulatedFeatures:
    """Features made on demand, one stream of random numbers per clip (a `FeatureSource`).

    Attributes:
        ids: Clip id of each row.
        classes: `[clip]` class of each row.
        vectors: `[class, 300]` class vectors, any width.
        dims: Width of the audio and of the visual features.
        seconds: `[clip]` length of each clip; used by sequences.
        story: How the features are made.
    """

    ids: tuple[str, ...]
    classes: np.ndarray
    vectors: np.ndarray
    dims: tuple[int, int]
    seconds: np.ndarray
    story: Story = field(default_factory=Story)

    @property
    def spec(self) -> Mapping[str, Any]:
        """What made the features."""
        return {"simulated": asdict(self.story), "dims": list(self.dims)}

    def gather(self, rows: ArrayLike) -> Features:
        """The features of `rows` (integers `[clip]`), in that order."""
        index = as_indices(rows)
        draws = [_draw(self.story, int(row), self.vectors.shape[1], float(self.seconds[row])) for row in index]
        if not self.story.temporal:
            return Features.averaged(*(self._averaged(m, index, draws) for m in range(2)))
        audio, visual = (self._sequences(m, index, draws) for m in range(2))
        times = [[torch.from_numpy(draw.time[m]) for draw in draws] for m in range(2)]
        return Features.from_sequences(audio, visual, times[0], times[1], dims=self.dims)

    def _averaged(self, modality: int, index: np.ndarray, draws: list[_Draw]) -> Tensor:
        latent = self.story.signal * self.vectors[self.classes[index]]
        if draws:
            latent = latent + np.stack([draw.noise[modality][0] for draw in draws])
        scene = np.stack([draw.scene for draw in draws]) if draws else np.zeros((0, SCENE_DIM), np.float32)
        return self._mapped(modality, latent, scene)

    def _sequences(self, modality: int, index: np.ndarray, draws: list[_Draw]) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        for row, draw in zip(index, draws, strict=True):
            time = draw.time[modality]
            present = ((time >= draw.span[0]) & (time <= draw.span[1]))[:, None]
            latent = self.story.signal * self.vectors[self.classes[row]] * present + draw.noise[modality]
            found.append(self._mapped(modality, latent, np.broadcast_to(draw.scene, (len(time), SCENE_DIM))))
        return found

    def _mapped(self, modality: int, latent: np.ndarray, scene: np.ndarray) -> Tensor:
        seen, shown = self._maps[modality]
        return torch.from_numpy(latent.astype(np.float32) @ seen + scene @ shown)

    @cached_property
    def _maps(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """`M_m` and `B_m` of audio and visual, transposed: `[300, dim]` and `[16, dim]`."""
        rng = np.random.default_rng([self.story.seed, 1])
        maps = []
        for dim in self.dims:
            seen = rng.standard_normal((self.vectors.shape[1], dim), dtype=np.float32)
            shown = rng.standard_normal((SCENE_DIM, dim), dtype=np.float32) * (self.story.scene / SCENE_DIM**0.5)
            maps.append((seen, shown.astype(np.float32)))
        return maps


@dataclass(frozen=True)
class _Draw:
    """The random part of one clip: noise `[time, 300]` and times per modality, the scene, and when the class shows."""

    noise: tuple[np.ndarray, np.ndarray]
    time: tuple[np.ndarray, np.ndarray]
    scene: np.ndarray
    span: tuple[float, float]


def _draw(story: Story, row: int, width: int, seconds: float) -> _Draw:
    rng = np.random.default_rng([story.seed, 2, row])
    scene = rng.standard_normal(SCENE_DIM, dtype=np.float32)
    steady = rng.standard_normal((2, width), dtype=np.float32) * np.float32(story.noise / width**0.5)
    if not story.temporal:
        zero = np.zeros(1, np.float32)
        return _Draw((steady[:1], steady[1:]), (zero, zero), scene, (0.0, seconds))
    length = seconds * rng.uniform(0.3, 1.0)
    begin = rng.uniform(0, seconds - length)
    noise, time = [], []
    for m, hop in enumerate(HOP.values()):
        steps = max(1, int(seconds / hop))
        fresh = rng.standard_normal((steps, width), dtype=np.float32) * np.float32(story.noise / width**0.5)
        noise.append((steady[m] + fresh) / np.float32(2**0.5))
        time.append(((np.arange(steps) + 0.5) * hop).astype(np.float32))
    return _Draw((noise[0], noise[1]), (time[0], time[1]), scene, (begin, begin + length))
