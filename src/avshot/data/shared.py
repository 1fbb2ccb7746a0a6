"""Averaged features of a dataset in one file that any number of processes map: in memory once, whoever reads them.

The file lies beside the Runs, which can be written to where the data may not be, for as long as the trainings last. Its
pages are the system's cache, shared by all who map them; a machine short of memory drops them and reads them again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.data.sources import AveragedFeatures, FeatureSource, averages_of
from avshot.types import MODALITIES, Features


@dataclass(frozen=True)
class SharedAverages:
    """Where the averages are; small, so that it travels to other processes.

    Attributes:
        folder: Holds one flat float32 file of `[clip, dim]` and one bool file of `[clip]` per modality.
        clips: Number of clips.
        dims: Width of the audio and of the visual features.
        made_of: Digest of the ids and the spec of the source that was averaged.
    """

    folder: Path
    clips: int
    dims: tuple[int, int]
    made_of: str

    def lend(self, dataset: Dataset) -> Dataset:
        """Let `dataset.averaged` map the file, unless its features are others than those in it; the dataset itself."""
        source = dataset.features
        if source is not None and _digest(source) == self.made_of:
            dataset.average_with(AveragedFeatures(source, self._mapped()))
        return dataset

    def _mapped(self) -> Features:
        values = [
            self._array(name, (self.clips, dim), np.float32) for name, dim in zip(MODALITIES, self.dims, strict=True)
        ]
        masks = [self._array(f"{name}_mask", (self.clips, 1), np.bool_) for name in MODALITIES]
        return replace(Features.averaged(*values), audio_mask=masks[0], visual_mask=masks[1])

    def _array(self, name: str, shape: tuple[int, int], kind: type[np.generic]) -> Tensor:
        if 0 in shape:
            return torch.zeros(shape, dtype=torch.from_numpy(np.empty(0, kind)).dtype)
        return torch.from_numpy(np.memmap(self.folder / name, kind, mode="c", shape=shape))  # private if ever written


@contextmanager
def shared_averages(dataset: Dataset, beside: Path) -> Iterator[SharedAverages | None]:
    """Write the averages of `dataset` into a hidden folder in `beside`; it goes when the `with` block ends.

    What killed processes of this machine left there is removed, too.

    Returns:
        What to give to the processes; None without features, or where there is no room for the file (said on standard
        error): each process then averages for itself.
    """
    if dataset.features is None:
        yield None
        return
    name = f".averages-{socket.gethostname()}"
    folder = beside / f"{name}-{os.getpid()}"
    try:
        beside.mkdir(parents=True, exist_ok=True)
        for left in beside.glob(f"{name}-*"):
            if not _runs(left.name.rsplit("-", 1)[1]):
                shutil.rmtree(left, ignore_errors=True)
        shared: SharedAverages | None = _write(dataset.features, folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        shared = None
        print(
            f"note: no shared averages in {beside} ({error}); each process keeps its own", file=sys.stderr, flush=True
        )
    try:
        yield shared
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(source: FeatureSource, folder: Path) -> SharedAverages:
    """A part at a time: the writer never holds them all. Plain writes, because a full disk kills who maps the file."""
    folder.mkdir(exist_ok=True)
    names = [name for modality in MODALITIES for name in (modality, f"{modality}_mask")]
    files = {name: open(folder / name, "wb") for name in names}  # noqa: SIM115 (closed below)
    dims = (0, 0)
    try:
        for part in averages_of(source):
            dims = part.dims
            for name, file in files.items():
                file.write(np.ascontiguousarray(getattr(part, name).numpy()).tobytes())
    finally:
        for file in files.values():
            file.close()
    return SharedAverages(folder, len(source.ids), dims, _digest(source))


def _digest(source: FeatureSource) -> str:
    content = json.dumps([list(source.ids), dict(source.spec)], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        return True
    return True
