"""Every number of released feature files looked at: how many are not finite, and which files cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from avshot.data.official.features import feature_files
from avshot.data.official.files import count_wrong, read_features
from avshot.types import MODALITIES


@dataclass
class FolderCount:
    """What was found in one folder of features.

    Attributes:
        folder: Its name, for example `cls_features`.
        files: How many there are.
        numbers: How many numbers could be read.
        wrong: `{file: (numbers that are not finite, the first clip with one)}`.
        broken: What is said of files that cannot be read.
    """

    folder: str
    files: int = 0
    numbers: int = 0
    wrong: dict[str, tuple[int, str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def count_features(base: Path) -> list[FolderCount]:
    """Read all released features below `<benchmark>/features`, one file at a time, and count; stores are left out."""
    return [
        _count_folder(folder)
        for folder in sorted(base.glob("*"))
        if folder.is_dir() and not (folder / "store.json").exists() and any((folder / m).is_dir() for m in _PARTS)
    ]


_PARTS = ("audio", "video")


def _count_folder(folder: Path) -> FolderCount:
    found = FolderCount(folder.name)
    for modality in MODALITIES:
        try:
            files = feature_files(folder, modality)
        except ValueError as error:
            found.broken.append(str(error))
            continue
        for path, _ in files:
            found.files += 1
            try:
                _count_file(path, folder, found)
            except (ValueError, OSError) as error:
                found.broken.append(str(error))
    return found


def _count_file(path: Path, folder: Path, found: FolderCount) -> None:
    names, arrays = read_features(path)
    found.numbers += sum(array.size for array in arrays)
    counts = [(count, name) for name, array in zip(names, arrays, strict=False) if (count := count_wrong(array)) > 0]
    if counts:
        found.wrong[str(path.relative_to(folder))] = (sum(count for count, _ in counts), counts[0][1])
