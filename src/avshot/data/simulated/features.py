"""Features that are made when they are asked for, each clip from its own random stream; see `simulate`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from avshot.data.sources import as_indices, digest_of
from avshot.errors import BadDataset
from avshot.types import MODALITIES, Features

VERSION = 1  # counts up when the same settings make other numbers
SCENE_DIM = 16
HOP = {"audio": 0.96, "visual": 0.64}  # seconds per VGGish and per C3D step
_PARTS = ("", "_mask", "_time")  # of a modality, in `Features`
_BETWEEN = {
    "signal": (0.0, math.inf),
    "noise": (0.0, math.inf),
    "scene": (0.0, math.inf),
    "audio_signal": (0.0, 1.0),
    "visual_signal": (0.0, 1.0),
    "overlap": (0.0, 1.0),
    "imbalance": (-1.0, 1.0),
    "gap": (0.0, 1.0),
    "span": (0.0, 1.0),
}


@dataclass(frozen=True)
class Story:
    """What a simulated feature is made of; see `avshot.data.simulated.simulate` for the story.

    Attributes:
        signal: Length of the class part of the latent vector; 0 = features independent of the class.
        noise: Expected length of its random part.
        scene: Standard deviation of a feature caused by the scene.
        audio_signal: Share of the entries of the class vector that the audio carries; the others are 0 in its latent.
        visual_signal: The same for the visual features.
        overlap: How much of their shares the two have in common: 0 = as little as the shares allow (0.5 and 0.5 are
            two halves that complete each other), 1 = as much (0.5 and 0.5 are the same half).
        imbalance: Moves evidence from audio (1 = all of it) to visual, or back (-1), the sum of both staying: class
            parts are scaled by sqrt(1 - imbalance) and sqrt(1 + imbalance).
        gap: Angle, in right angles, between the map of the seen classes and that of the classes of an unseen fold:
            0 = the same map, 1 = an unrelated one.
        temporal: Sequences, instead of one vector per clip.
        span: In sequences, the smallest share of a clip during which its class shows; 1 = throughout.
        seed: Draws the maps and every clip.
    """

    signal: float = 1.0
    noise: float = 4.0
    scene: float = 1.0
    audio_signal: float = 1.0
    visual_signal: float = 1.0
    overlap: float = 0.0
    imbalance: float = 0.0
    gap: float = 0.0
    temporal: bool = False
    span: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in _BETWEEN.items():
            if not low <= getattr(self, name) <= high or getattr(self, name) == math.inf:
                limits = f"{low:g} or more, and finite" if high == math.inf else f"{low:g} to {high:g}"
                raise BadDataset(f"{name} is {getattr(self, name)}; expected {limits}.")
        if self.seed < 0:
            raise BadDataset(f"seed is {self.seed}; expected 0 or more.")


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
        domains: `[class]` which map a class goes through where there is a gap: 0 that of the seen classes, any other
            number one of its own. None = 0 for all.
    """

    ids: tuple[str, ...]
    classes: np.ndarray
    vectors: np.ndarray
    dims: tuple[int, int]
    seconds: np.ndarray
    story: Story = field(default_factory=Story)
    domains: np.ndarray | None = None

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """All that the features depend on: the story, the widths, and a digest of the clips' and classes' tables."""
        tables = [self.classes, self.vectors, self.seconds]
        if self.domains is not None:
            tables.append(self.domains)
        return {
            "simulated": asdict(self.story),
            "dims": list(self.dims),
            "version": VERSION,
            "tables": digest_of(None, tables)[:16],
        }

    def content(self, ids: Iterable[str] | None = None) -> str:
        """Digest of all ids and spec, which determine every number; nothing is drawn for it."""
        return digest_of([list(self.ids), dict(self.spec)], ())

    def gather(self, rows: ArrayLike) -> Features:
        """The features of `rows` (integers `[clip]`), in that order."""
        index = as_indices(rows)
        draws = [_draw(self.story, int(row), self.vectors.shape[1], float(self.seconds[row])) for row in index]
        if not self.story.temporal:
            return self._shown(Features.averaged(*(self._averaged(m, index, draws) for m in range(2))))
        audio, visual = (self._sequences(m, index, draws) for m in range(2))
        times = [[torch.from_numpy(draw.time[m]) for draw in draws] for m in range(2)]
        return self._shown(Features.from_sequences(audio, visual, times[0], times[1], dims=self.dims))

    def _shown(self, features: Features) -> Features:
        """A modality of width 0 does not exist: its mask is False, and one step of it is kept."""
        lacking = [name for name, width in zip(MODALITIES, self.dims, strict=True) if width == 0]
        for name in lacking:
            one = {f"{name}{part}": torch.zeros_like(getattr(features, f"{name}{part}")[:, :1]) for part in _PARTS}
            features = replace(features, **one)
        return features

    def class_part(self, modality: int, vectors: np.ndarray) -> np.ndarray:
        """What modality 0 (audio) or 1 (visual) shows of classes with `vectors [class, 300]`: their mean latents."""
        return vectors * self._carried[modality]

    def domain_of(self, classes: np.ndarray) -> np.ndarray:
        """`[class]` number of the map that each of `classes` goes through; 0 for all where there is no gap."""
        if self.story.gap == 0 or self.domains is None:
            return np.zeros(len(classes), np.int64)
        return self.domains[classes]

    def class_map(self, modality: int, domain: int = 0) -> np.ndarray:
        """`M_m` of the classes of `domain`, transposed: `[300, dim]`."""
        seen = self._maps[modality][0]
        if domain == 0 or self.story.gap == 0:
            return seen
        if domain not in self._elsewhere:
            rng, width = np.random.default_rng([self.story.seed, 5, domain]), self.vectors.shape[1]
            angle = self.story.gap * math.pi / 2
            self._elsewhere[domain] = [
                np.float32(math.cos(angle)) * here
                + np.float32(math.sin(angle)) * rng.standard_normal((width, dim), dtype=np.float32)
                for (here, _), dim in zip(self._maps, self.dims, strict=True)
            ]
        return self._elsewhere[domain][modality]

    def scene_map(self, modality: int) -> np.ndarray:
        """`B_m`, transposed: `[16, dim]`."""
        return self._maps[modality][1]

    def _averaged(self, modality: int, index: np.ndarray, draws: list[_Draw]) -> Tensor:
        classes = self.classes[index]
        latent = self.class_part(modality, self.vectors[classes])
        if draws:
            latent = latent + np.stack([draw.noise[modality][0] for draw in draws])
        scene = np.stack([draw.scene for draw in draws]) if draws else np.zeros((0, SCENE_DIM), np.float32)
        domains, found = self.domain_of(classes), np.zeros((len(index), self.dims[modality]), np.float32)
        for domain in np.unique(domains):
            these = domains == domain
            found[these] = self._mapped(modality, int(domain), latent[these], scene[these])
        return torch.from_numpy(found)

    def _sequences(self, modality: int, index: np.ndarray, draws: list[_Draw]) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        classes = self.classes[index]
        shown = self.class_part(modality, self.vectors[classes])
        for part, domain, draw in zip(shown, self.domain_of(classes), draws, strict=True):
            time = draw.time[modality]
            present = ((time >= draw.span[0]) & (time <= draw.span[1]))[:, None]
            scene = np.broadcast_to(draw.scene, (len(time), SCENE_DIM))
            steps = self._mapped(modality, int(domain), part * present + draw.noise[modality], scene)
            found.append(torch.from_numpy(steps))
        return found

    def _mapped(self, modality: int, domain: int, latent: np.ndarray, scene: np.ndarray) -> np.ndarray:
        return latent.astype(np.float32) @ self.class_map(modality, domain) + scene @ self.scene_map(modality)

    @cached_property
    def _maps(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """`M_m` (of the seen classes) and `B_m` of audio and visual, transposed: `[300, dim]` and `[16, dim]`."""
        rng = np.random.default_rng([self.story.seed, 1])
        maps = []
        for dim in self.dims:
            seen = rng.standard_normal((self.vectors.shape[1], dim), dtype=np.float32)
            shown = rng.standard_normal((SCENE_DIM, dim), dtype=np.float32) * (self.story.scene / SCENE_DIM**0.5)
            maps.append((seen, shown.astype(np.float32)))
        return maps

    @cached_property
    def _elsewhere(self) -> dict[int, list[np.ndarray]]:
        """Maps of other domains `[audio, visual]`, drawn when first asked for."""
        return {}

    @cached_property
    def _carried(self) -> list[np.ndarray]:
        """Per modality `[300]`: the scale of each entry of the class vector, 0 where the modality does not carry it."""
        story, width = self.story, self.vectors.shape[1]
        audio, visual = round(story.audio_signal * width), round(story.visual_signal * width)
        least, most = max(0, audio + visual - width), min(audio, visual)
        first = audio - round(least + story.overlap * (most - least))  # where the visual part begins
        order = np.random.default_rng([story.seed, 3]).permutation(width)
        carried = np.zeros((2, width), np.float32)
        carried[0, order[:audio]] = story.signal * math.sqrt(1 - story.imbalance)
        carried[1, order[first : first + visual]] = story.signal * math.sqrt(1 + story.imbalance)
        return list(carried)


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
    length = seconds * rng.uniform(story.span, 1.0)
    begin = rng.uniform(0, seconds - length)
    noise, time = [], []
    for m, hop in enumerate(HOP.values()):
        steps = max(1, int(seconds / hop))
        fresh = rng.standard_normal((steps, width), dtype=np.float32) * np.float32(story.noise / width**0.5)
        noise.append((steady[m] + fresh) / np.float32(2**0.5))
        time.append(((np.arange(steps) + 0.5) * hop).astype(np.float32))
    return _Draw((noise[0], noise[1]), (time[0], time[1]), scene, (begin, begin + length))
