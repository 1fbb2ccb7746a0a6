"""The released features: one file per class and stage, `.h5` (AVCA, averaged over time) or `.pkl` (TCaF, ClipClap).

Audio and video are joined by clip id, whatever order the files and the clips in them have. The names of `.h5` clips are
read when the source is opened and their features at the first use; a pickle cannot be read in parts, so a folder of
pickles is read whole when it is opened. Everything then stays in memory, one flat array per modality.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avshot.data.official.files import check_finite, clean_id, read_features, read_names
from avshot.data.official.tables import STAGES
from avshot.data.sources import as_indices, digest_of
from avshot.errors import BadDataset
from avshot.types import MODALITIES, Features

__all__ = ["ClassFile", "OfficialFeatures", "clean_id", "feature_files"]

_FOLDERS = {"audio": "audio", "visual": "video"}
# Seconds from one step to the next. "cls": VGGish 0.96 s, C3D 16 frames at 25 fps; "main": SeLaVi, one second.
_STEP = {"cls": {"audio": 0.96, "visual": 0.64}, "main": {"audio": 1.0, "visual": 1.0}}


@dataclass(frozen=True)
class ClassFile:
    """One file of the release: the clips of one class in one stage, one modality.

    Attributes:
        path: The `.h5` or `.pkl` file.
        stage: "stage_1_train", ...
        label: Class name: the file's name without its suffix.
        names: Clip ids as stored, cleaned.
        count: How many feature arrays it holds; fewer than `names` in some ClipClap files.
        empty: Positions of arrays without a single step.
    """

    path: Path
    stage: str
    label: str
    names: tuple[str, ...]
    count: int
    empty: frozenset[int] = frozenset()


class OfficialFeatures:
    """Features of a released benchmark folder, joined by clip id (a `FeatureSource`).

    Times are those the authors train with: step i starts at i * 0.96 s (audio) and i * 0.64 s (video) for "cls"
    features, at i seconds for "main" features; averaged features are one step at 0 s.

    Args:
        folder: For example `UCF/features/cls_features`: has `audio/<stage>/<class>.h5` and `video/<stage>/...`.
        kind: "cls" or "main": the spacing of time steps.
        stages: The folders in `audio` and `video` to read; those of zero-shot learning where not said.
        repeats: A clip may be in several stages, as each draw of few shots has folders of its own; it must have the
            same features in all of them, which are kept once.

    Attributes:
        ids: Clips that have audio or video features.
        status: "ok", "no_audio", "no_visual" or "error: ..." for each clip that is named.
        clips: `(id, stage, class)` of each of `ids`; of a clip in several stages the first of them.
        members: `{stage: {id: class}}` of the clips that have audio or video features there.

    Raises:
        ValueError: No feature files there, files that cannot be read, or a clip that occurs twice.
    """

    def __init__(
        self, folder: str | Path, kind: str, *, stages: Sequence[str] | None = None, repeats: bool = False
    ) -> None:
        if kind not in _STEP:
            raise BadDataset(f'kind is {kind!r}; expected "cls" or "main".')
        self.folder, self.kind, self._repeats = Path(folder), kind, repeats
        self._stages = tuple(STAGES.values()) if stages is None else tuple(stages)
        self._read: dict[Path, list[np.ndarray]] = {}
        self._again: dict[Path, dict[int, int]] = {}  # position in a file -> row where the same clip was first
        self._files = {modality: list(self._open(modality)) for modality in MODALITIES}
        self.members: dict[str, dict[str, str]] = {stage: {} for stage in self._stages}
        places = {modality: self._places(modality) for modality in MODALITIES}
        named = {name for found in self._files.values() for file in found for name in file.names}
        self.ids: list[str] = sorted({*places["audio"], *places["visual"]})
        self.status = {id: _status(id in places["audio"], id in places["visual"]) for id in sorted(named)}
        self.clips = [(id, *(places["audio"].get(id) or places["visual"][id])[1:]) for id in self.ids]
        absent = (-1, "", "")
        self._row = {
            modality: np.array([places[modality].get(id, absent)[0] for id in self.ids], dtype=np.int64)
            for modality in MODALITIES
        }

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """Where the features are from, and the digest of their numbers, which are read for it (see `content`)."""
        return {"source": "released benchmark", "features": self.folder.name, "content": self.content()[:16]}

    def content(self, ids: Iterable[str] | None = None) -> str:
        """Digest of ids, status, times and all numbers, whatever `ids`: 0.6 s for a gigabyte at the first use."""
        return self._content

    @cached_property
    def _content(self) -> str:
        about = [self.ids, sorted(self.status.items()), [_STEP[self.kind][modality] for modality in MODALITIES]]
        numbers = [array for m in MODALITIES for array in (*self._flat[m], self._row[m])]
        return digest_of(about, numbers)

    @cached_property
    def dims(self) -> tuple[int, int]:
        """Width of the audio and of the video features."""
        return self._flat["audio"][0].shape[1], self._flat["visual"][0].shape[1]

    def gather(self, rows: Sequence[int] | np.ndarray) -> Features:
        """The features of `rows` (index into `ids`), padded with zeros to the longest."""
        rows = as_indices(rows)
        audio, visual = (self._padded(modality, rows) for modality in MODALITIES)
        return Features(audio[0], visual[0], audio[1], visual[1], audio[2], visual[2])

    def _padded(self, modality: str, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        flat, offsets = self._flat[modality]
        row = self._row[modality][rows]
        start = offsets[row]
        length = np.where(row < 0, 0, offsets[row + 1] - start)
        steps = np.arange(max(int(length.max(initial=0)), 1))
        mask = steps < length[:, None]
        if len(flat):
            value = flat[np.where(mask, start[:, None] + steps, 0)]
            value[~mask] = 0
        else:
            value = np.zeros((*mask.shape, flat.shape[1]), dtype=np.float32)
        time = np.where(mask, steps * _STEP[self.kind][modality], 0.0).astype(np.float32)
        return torch.from_numpy(value), torch.from_numpy(mask), torch.from_numpy(time)

    @cached_property
    def _flat(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """`[sum of time, dim]` float32 and `[clip + 1]` offsets for each modality, in the order of the files."""
        found = {modality: self._joined(modality) for modality in MODALITIES}
        self._read.clear()
        return found

    def _joined(self, modality: str) -> tuple[np.ndarray, np.ndarray]:
        arrays: list[np.ndarray] = []
        dim: int | None = None
        for file in self._files[modality]:
            parts = self._arrays(file)
            width = next((part.shape[1] for part in parts if len(part)), dim)
            if dim is not None and width != dim:
                raise BadDataset(
                    f"{file.path} holds {modality} features of {width} numbers and the files before it of {dim}; "
                    "expected one width."
                )
            dim = width
            self._keep(arrays, parts, file)
        if not dim:
            raise BadDataset(f"The {modality} files in {self.folder} hold no features at all; fetch them again.")
        lengths = np.array([len(array) for array in arrays], dtype=np.int64)
        flat = np.empty((int(lengths.sum()), dim), dtype=np.float32)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        for array, start in zip(arrays, offsets, strict=False):
            flat[start : start + len(array)] = array
        return flat, offsets

    def _keep(self, arrays: list[np.ndarray], parts: Sequence[np.ndarray], file: ClassFile) -> None:
        """Add the features of a file to `arrays`, but for clips that are there already."""
        again = self._again.get(file.path, {})
        for i, part in enumerate(parts):
            if i not in again:
                arrays.append(part)
            elif part.shape != (first := arrays[again[i]]).shape or not np.allclose(part, first, rtol=1e-4, atol=1e-5):
                raise BadDataset(
                    f"{file.path} holds other features of clip {file.names[i]!r} than a folder before it; expected the "
                    "same in every draw. Fetch the folders again, or copy this clip from one to the others."
                )

    def _arrays(self, file: ClassFile) -> list[np.ndarray]:
        """The features of a file, every number of them finite."""
        if file.path in self._read:
            return self._read.pop(file.path)
        names, arrays = read_features(file.path)
        if names != file.names:
            raise BadDataset(f"{file.path} was changed while it was in use; start again.")
        check_finite(file.path, names, arrays)
        return arrays

    def _open(self, modality: str) -> Iterator[ClassFile]:
        for path, stage in feature_files(self.folder, modality, self._stages):
            empty: frozenset[int] = frozenset()
            if path.suffix == ".h5":
                names, count = read_names(path)
            else:
                names, arrays = read_features(path)
                check_finite(path, names, arrays)
                count = len(arrays)
                empty = frozenset(i for i, array in enumerate(arrays) if len(array) == 0)
                self._read[path] = arrays
            yield ClassFile(path, stage, path.name[: -len(path.suffix)], names, count, empty)

    def _places(self, modality: str) -> dict[str, tuple[int, str, str]]:
        """Clip id -> (row in the flat array, stage, class). A file with too few arrays loses its last names."""
        found: dict[str, tuple[int, str, str]] = {}
        there: set[tuple[str, str]] = set()
        row = 0
        for file in self._files[modality]:
            for i, name in enumerate(file.names[: file.count]):
                if name not in found:
                    if i not in file.empty:
                        found[name] = (row, file.stage, file.label)
                    row += 1
                elif self._repeats and (file.stage, name) not in there:
                    self._again.setdefault(file.path, {})[i] = found[name][0]
                else:
                    raise BadDataset(f"Clip {name!r} is in {file.path} and in another {modality} file; expected one.")
                if i not in file.empty:
                    there.add((file.stage, name))
                    self.members[file.stage][name] = file.label
        return found


def _status(has_audio: bool, has_visual: bool) -> str:
    if has_audio and has_visual:
        return "ok"
    if has_audio or has_visual:
        return "no_visual" if has_audio else "no_audio"
    return "error: its class files name it but hold no features for it"


def feature_files(
    folder: Path, modality: str, stages: Sequence[str] = tuple(STAGES.values())
) -> list[tuple[Path, str]]:
    """`(file, stage)` of the released features of a modality, stage by stage and sorted by name.

    Raises:
        ValueError: There are none.
    """
    base = folder / _FOLDERS[modality]
    paths = [(path, stage) for stage in stages for path in sorted((base / stage).glob("*"))]
    paths = [(path, stage) for path, stage in paths if path.suffix in (".h5", ".pkl") and path.name[0] != "."]
    if not paths:
        raise BadDataset(f"{base} holds no .h5 or .pkl files in {stages[0]} and so on; expected released features.")
    return paths
