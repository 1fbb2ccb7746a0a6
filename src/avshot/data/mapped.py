"""Averaged features of a dataset in files that any number of processes map: in memory once, whoever reads them.

They lie beside the Runs, which can be written to where the data may not be, for as long as the trainings last. Their
pages are the system's cache, shared by all who map them; a machine short of memory drops them and reads them again.
"""

from __future__ import annotations

import os
import shutil
import socket
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.data.sources import FeatureSource, as_indices, averages_of
from avshot.terminal.callbacks import Say
from avshot.types import MODALITIES, Features


@dataclass(frozen=True, eq=False)
class MappedAverages:
    """Averages that lie in files (a `FeatureSource`); small to send, so that each process maps them for itself.

    Attributes:
        ids: Clip id of each row.
        spec: What made the features.
        status: Of each clip, where the source had one.
        dims: Width of the audio and of the visual features.
        folder: Holds one flat float32 file of `[clip, dim]` and one bool file of `[clip, 1]` per modality.
        vouched: What the source says of its values (`content`); None where it says nothing.
    """

    averages = True  # see `Dataset.averaged`

    ids: Sequence[str]
    spec: Mapping[str, Any]
    status: Mapping[str, str]
    dims: tuple[int, int]
    folder: Path
    vouched: str | None = None

    def content(self, ids: Iterable[str] | None = None) -> str | None:
        """The same as of the features that were averaged: a Run made with them is a Run made with these."""
        return self.vouched

    def gather(self, rows: ArrayLike) -> Features:
        """Averages of `rows` (integers `[clip]`), in that order: one time step, masked where a modality is missing."""
        return self._kept.take(torch.from_numpy(as_indices(rows)))

    @cached_property
    def _kept(self) -> Features:
        audio, visual = (self._mapped(name, np.float32, dim) for name, dim in zip(MODALITIES, self.dims, strict=True))
        masks = {f"{name}_mask": self._mapped(f"{name}_mask", np.bool_, 1) for name in MODALITIES}
        return replace(Features.averaged(audio, visual), **masks)

    def _mapped(self, name: str, kind: type[np.generic], dim: int) -> Tensor:
        shape = (len(self.ids), dim)
        if 0 in shape:  # an empty file cannot be mapped
            return torch.from_numpy(np.empty(shape, kind))
        return torch.from_numpy(np.memmap(self.folder / name, kind, mode="c", shape=shape))  # private if ever written

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}


@contextmanager
def shared_averages(dataset: Dataset, beside: Path, say: Say = warnings.warn) -> Iterator[Dataset | None]:
    """Write the averages of `dataset` into a hidden folder in `beside`; it goes when the `with` block ends.

    What killed processes of this machine left there is removed, too.

    Returns:
        The dataset with its averages mapped, to give to other processes: nothing else of its features travels with it,
        and they need not open it. None without features, or where there is no room for the files, which `say` is told.
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
        shared: Dataset | None = dataset.with_features(_write(dataset.features, folder, dataset.identity["values"]))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        shared = None
        say(f"no shared averages in {beside} ({error}); each process keeps its own.")
    try:
        yield shared
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(source: FeatureSource, folder: Path, vouched: str | None) -> MappedAverages:
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
    return MappedAverages(source.ids, source.spec, getattr(source, "status", {}), dims, folder, vouched)


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        return True
    return True
