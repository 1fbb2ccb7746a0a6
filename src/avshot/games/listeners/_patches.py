"""A small network that tells colour, shape, material and size of a thing from the patch of a picture around it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from avshot.games.item import Picture, Pixels
from avshot.games.rendering.camera import Camera
from avshot.games.rendering.place import placed_scene
from avshot.games.rendering.render import render
from avshot.games.scene import KINDS, WORDS, Thing
from avshot.machine.draws import sole_draws

SIDE = 24  # pixels of a patch along each side
_TAUGHT_ON = Camera(160, 120)
_EPOCHS, _BATCH, _RATE = 14, 32, 2e-3  # colour 1.0, material and size .97, shape .9 on clean pictures


class Patches(nn.Module):
    """Two convolutions on the patch, and one layer that also knows how large the box is and where it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(3, 24, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(24, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.decide = nn.Sequential(nn.Linear(32 * 6 * 6 + 3, 96), nn.ReLU(), nn.Linear(96, len(WORDS)))

    def forward(self, patches: Tensor, places: Tensor) -> Tensor:
        """Log-probabilities `[thing, word]`, normalised within each kind, of patches `[thing, 3, SIDE, SIDE]`."""
        scores = self.decide(torch.cat([self.look(patches), places], dim=1))
        parts = scores.split([len(values) for values in KINDS.values()], dim=1)
        return torch.cat([part.log_softmax(dim=1) for part in parts], dim=1)


def cut(pixels: Pixels, boxes: np.ndarray) -> tuple[Tensor, Tensor]:
    """Patches `[thing, 3, SIDE, SIDE]`, and width, height and lower edge of the boxes in pictures."""
    from PIL import Image

    image = Image.fromarray(pixels)
    height, width = pixels.shape[:2]
    scale = min(1.0, _TAUGHT_ON.height / height)  # a patch of a larger picture must not skip pixels
    if scale < 1:
        image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BOX)
    patches = np.zeros((len(boxes), SIDE, SIDE, 3), np.float32)
    for patch, (left, top, right, bottom) in zip(patches, boxes.tolist(), strict=True):
        reach = 0.1 * max(right - left, bottom - top) + 1 / scale
        around = tuple(edge * scale for edge in (left - reach, top - reach, right + reach, bottom + reach))
        patch[:] = np.asarray(image.transform((SIDE, SIDE), Image.Transform.EXTENT, around, Image.Resampling.BILINEAR))
    places = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1], boxes[:, 3]], axis=1)
    places = places / np.array([width, height, height]) * np.array([8.0, 8.0, 4.0])
    return torch.from_numpy(patches).permute(0, 3, 1, 2) / 128 - 1, torch.from_numpy(places).float()


def value_indices(thing: Thing) -> list[int]:
    """Where its four values stand in `WORDS`."""
    return [WORDS.index(value) for value in thing.values]


@lru_cache(maxsize=4)
def taught(scenes: int, seed: int) -> Patches:
    """A network taught on clean rendered scenes; the same in every process on one machine.

    Args:
        scenes: How many it sees.
        seed: Decides scenes and weights. Players of games draw with other seeds: they are never the same scenes.
    """
    drawn = [placed_scene(np.random.default_rng([seed, i, 77])) for i in range(scenes)]
    pictures: list[Picture] = [render(scene, _TAUGHT_ON) for scene in drawn]
    found = [cut(picture.pixels, picture.boxes) for picture in pictures]
    patches, places = (torch.cat([each[k] for each in found]) for k in (0, 1))
    wanted = torch.tensor([value_indices(thing) for scene in drawn for thing in scene])
    with sole_draws(), torch.enable_grad():
        torch.manual_seed(seed)
        network = Patches()
        optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
        for epoch in range(_EPOCHS):
            for group in optimiser.param_groups:
                group["lr"] = _RATE * (1 - epoch / _EPOCHS)
            for rows in torch.randperm(len(patches)).split(_BATCH):
                optimiser.zero_grad()
                shown = patches[rows].flip(3) if torch.rand(()) < 0.5 else patches[rows]
                loss = -network(shown, places[rows]).gather(1, wanted[rows]).sum(1).mean()
                loss.backward()
                optimiser.step()
    return network.eval()
