"""What `avshot dataset` and `avshot import` say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avshot.data.dataset import Dataset
from avshot.data.label_table import PAIRS, Columns
from avshot.data.manifest import declare
from avshot.terminal.progress import note, say
from avshot.terminal.tables import print_table


def declare_dataset(source: Path, out: Path, *, label: str, pairs: bool = False, **options: Any) -> None:
    """`avshot dataset`; `options` are those of `declare`."""
    declared = declare(source, out, columns=Columns(label=label, pairs=PAIRS if pairs else None), **options)
    _print_folds(declared.dataset, out, {})
    for warning in declared.warnings:
        note(warning)


def import_table(
    table: Path,
    out: Path,
    arrays: Mapping[str, Path | None],
    text: list[str],
    names: Path | None,
    **options: Any,
) -> None:
    """`avshot import`.

    Args:
        table: The clips.
        out: The `.toml` to write.
        arrays: By modality; None where it was not given.
        text: `FILE` or `NAME=FILE` of class vectors.
        names: Names of the rows of plain arrays among them.
        options: Of `import_arrays`.
    """
    from avshot.classes.named_vectors import read_named_vectors
    from avshot.data.import_arrays import import_arrays

    given = {modality: place for modality, place in arrays.items() if place is not None}
    if not given:
        raise ValueError("Got no features; give --audio FILE, --visual FILE or both.")
    if names is not None and not text:
        raise ValueError("Got --names without class vectors; give --text FILE, too.")
    files = _named_files(text)
    plain = len(files) == 1  # one list of names, and one array that needs them
    vectors = {
        encoder: read_named_vectors(file, names if plain or _nameless(file) else None)
        for encoder, file in files.items()
    }
    found = import_arrays(table, out, given, text=vectors, **options)
    _print_folds(found.dataset, out, found.has)
    for encoder, rows in found.dataset.text.items():
        say(f"class vectors: {encoder} [{rows.shape[0]} classes, {rows.shape[1]} numbers]")
    for warning in found.warnings:
        note(warning)


def _named_files(text: list[str]) -> dict[str, Path]:
    """`["own.npy", "clap=c.npy"]` as `{text encoder: file}`."""
    found: dict[str, Path] = {}
    for given in text:
        encoder, equals, file = given.partition("=")
        if not equals or Path(given).exists():
            encoder, file = "own", given
        if encoder in found:
            raise ValueError(f"Got two files for the text encoder {encoder!r}; name each: --text NAME=FILE.")
        found[encoder] = Path(file)
    return found


def _nameless(file: Path) -> bool:
    from avshot.files.arrays import is_plain_npy

    return file.suffix == ".npy" and is_plain_npy(file)


def _print_folds(data: Dataset, out: Path, has: Mapping[str, frozenset[str]]) -> None:
    """Classes and clips of each fold, and how many of the clips have each modality."""
    rows = []
    for fold, clips in data.folds.items():
        there = [sum(data.clips[i].id in ids for i in clips) for ids in has.values()]
        rows.append([fold, *map(str, (len(data.classes_of(fold)), len(clips), *there))])
    print_table(f"{data.name} -> {out}", ["fold", "classes", "clips", *(f"with {name}" for name in has)], rows)
