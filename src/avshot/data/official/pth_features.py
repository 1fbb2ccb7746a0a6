"""Released features of videos in dictionaries that `torch.save` wrote: Adverbs in Recipes, and files like its.

`{"features": {clip id: {"s3d_features": [time, 1024], "video_embedding_joint_space": [time, 512]}}, "metadata": ...}`,
one step a second (air-cvpr23, release feat_stack=16_stride=1; ReGaDa d9d0bfb reads the same). The files are read by the
restricted unpickler (`avshot.files.torch_archive`), so no code of theirs runs; metadata is not used. Ids that are
numbers (HowTo100M) count as text. There is no sound: its width is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avshot.data.official.files import check_finite
from avshot.data.sources import as_indices, digest_of, first_few
from avshot.errors import BadDataset, MissingFile
from avshot.files.torch_archive import restricted_archive
from avshot.types import Features

LAYERS = ("s3d_features", "video_embedding_joint_space")
_SECONDS = 1.0  # of a step


def pth_files(place: str | Path) -> list[Path]:
    """The `.pth` files that a path means: itself, or all directly in a folder, by name.

    Raises:
        ValueError: There are none.
    """
    place = Path(place)
    files = [place] if place.is_file() else sorted(place.glob("*.pth"))
    if not files:
        raise MissingFile(f"{place} holds no .pth files; expected train.pth and test.pth, or one such file.")
    return files


class PthFeatures:
    """Visual features of clips from `.pth` files, held in memory (a `FeatureSource`).

    Args:
        files: All of them are read; a clip that is in several must be the same in each.
        layer: Which features of a clip.
        wanted: Ids of clips to keep; None = all.

    Raises:
        ValueError: A file of another form, features that are no sequences of one width or not finite, or a clip with
            other features in another file; the message names file and clip.
    """

    def __init__(
        self, files: Iterable[str | Path], layer: str = LAYERS[0], wanted: Iterable[str] | None = None
    ) -> None:
        self.layer, keep = layer, None if wanted is None else set(wanted)
        found: dict[str, np.ndarray] = {}
        for file in map(Path, files):
            for id, steps in _read(file, layer):
                if keep is not None and id not in keep:
                    continue
                before = found.setdefault(id, steps)
                if before is not steps and not np.array_equal(before, steps):
                    raise BadDataset(f"{file} holds other features of clip {id!r} than a file before it; keep one.")
        if not found:
            raise BadDataset(
                "The files of features hold none of the clips that are wanted; are they of this benchmark?"
            )
        widths = {steps.shape[1] for steps in found.values()}
        if len(widths) > 1:
            raise BadDataset(f"The features have widths {', '.join(map(str, sorted(widths)))}; expected one.")
        self.ids: Sequence[str] = sorted(found)
        lengths = [len(found[id]) for id in self.ids]
        self._offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self._flat = np.concatenate([found[id] for id in self.ids]).astype(np.float32, copy=False)

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """Which layer, and the digest of the numbers."""
        return {"source": "released .pth", "visual": {"name": self.layer}, "content": self.content()[:16]}

    @property
    def dims(self) -> tuple[int, int]:
        """No sound, and the width of the layer."""
        return 0, self._flat.shape[1]

    def content(self, ids: Iterable[str] | None = None) -> str:
        """Digest of ids and numbers of all clips, whatever `ids`."""
        return digest_of([list(self.ids), _SECONDS], [self._flat, self._offsets])

    def gather(self, rows: Sequence[int] | np.ndarray) -> Features:
        """The features of `rows` (index into `ids`), padded with zeros to the longest; step i is at i + 1/2 seconds."""
        rows = as_indices(rows)
        start, length = self._offsets[rows], self._offsets[rows + 1] - self._offsets[rows]
        steps = np.arange(max(int(length.max(initial=0)), 1))
        mask = steps < length[:, None]
        value = self._flat[np.where(mask, start[:, None] + steps, 0)]
        value[~mask] = 0
        time = np.where(mask, (steps + 0.5) * _SECONDS, 0.0).astype(np.float32)
        count = len(rows)
        silent = torch.zeros(count, 1, dtype=torch.bool)
        audio = (torch.zeros(count, 1, 0), silent, torch.zeros(count, 1))
        visual = tuple(torch.from_numpy(part) for part in (value, mask, time))
        return Features(audio[0], visual[0], audio[1], visual[1], audio[2], visual[2])


def _read(file: Path, layer: str) -> Iterator[tuple[str, np.ndarray]]:
    """`(clip id, [time, dim])` of a file."""
    content = restricted_archive(file)
    clips = content.get("features") if isinstance(content, dict) else None
    if not isinstance(clips, dict):
        raise BadDataset(f"{file} holds no features of clips; expected a dictionary with 'features' and 'metadata'.")
    for key, parts in clips.items():
        id = str(key)
        steps = parts.get(layer) if isinstance(parts, dict) else None
        if steps is None:
            there = ", ".join(map(str, parts)) if isinstance(parts, dict) else type(parts).__name__
            raise BadDataset(f"{file} has no {layer!r} of clip {id!r}; it has {first_few([there])}.")
        if not isinstance(steps, np.ndarray) or steps.ndim != 2 or not len(steps) or steps.dtype.kind != "f":
            raise BadDataset(f"{file} has features of clip {id!r} that are no [time, dim] of numbers.")
        check_finite(file, [id], [steps])
        yield id, steps
