"""Features and class vectors that somebody has as arrays, made a declared dataset with a feature store beside it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avshot.classes.named_vectors import named_vectors_bytes
from avshot.classes.names import join_key
from avshot.data.antonyms import read_antonyms
from avshot.data.array_steps import StepReader, rows_of
from avshot.data.clip_arrays import open_clip_arrays
from avshot.data.clip_table import ClipTable, read_clip_table
from avshot.data.dataset import Dataset
from avshot.data.fold_table import relative
from avshot.data.manifest import load_manifest, manifest_files, manifest_path, refuse_others, spelt_out, write_files
from avshot.data.manifest_text import stated_rule
from avshot.data.own_text import pick_vectors, unit_vectors
from avshot.data.pair_split import PairRule, check_pair_options, split_pairs
from avshot.data.shots import check_few
from avshot.data.sources import first_few, once
from avshot.data.split import SplitRule, split_clips
from avshot.errors import BadDataset, told_as
from avshot.features.store.store import FeatureStore
from avshot.features.store.writer import StoreWriter
from avshot.types import MODALITIES

_SOURCE = "arrays"  # what the store says made the features


@dataclass(frozen=True)
class Imported:
    """What `import_arrays` made.

    Attributes:
        path: The `.toml` file; `load_dataset(str(path))` reads it.
        dataset: The dataset with features.
        has: `{modality: ids of the clips that have it}`, of the modalities that were given.
        warnings: What the user should know.
    """

    path: Path
    dataset: Dataset
    has: Mapping[str, frozenset[str]]
    warnings: tuple[str, ...]


@told_as(BadDataset)
def import_arrays(
    table: str | Path,
    out: str | Path,
    arrays: Mapping[str, str | Path],
    *,
    text: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    label: str = "label",
    rule: SplitRule | PairRule | None = None,
    skip_unknown: bool = False,
    overwrite: bool = False,
    shots: int | None = None,
    pairs: bool = False,
    antonyms: str | Path | None = None,
) -> Imported:
    """Write a dataset that is trained without any other step: `out` (`.toml`), its `.folds.csv` and its `.features`.

    The same again changes nothing. Arrays are read clip by clip, and nothing is put in place before all is read.

    Args:
        table: The clips: `avshot.data.clip_table.read_clip_table`.
        out: Path of the `.toml` to write.
        arrays: `{"audio": file or folder, "visual": file or folder}`, at least one: `open_clip_arrays`.
        text: Class vectors `{encoder: {name: [dim]}}` that come with the dataset, joined to classes by name.
        label: Column of the label, or a pattern that combines several.
        rule: How clips become folds where the table has no column `fold`; None = the usual one.
        skip_unknown: Leave out features of clips that the table does not name, in place of an error.
        overwrite: Replace a dataset of the same path that differs.
        shots: Clips of each unseen label that a task with few shots trains on; noted in `out`.
        pairs: Labels are the columns `action` and `adverb`; `text` then holds vectors of the words, and perhaps of
            whole pairs.
        antonyms: Table of antonyms of the adverbs.

    Raises:
        ValueError: Table, arrays, rule or vectors are not what they should be (the message says which clip, line or
            class), a rule is given though the table states the folds, or a different dataset is there already.
    """
    out = manifest_path(out)
    if not arrays or not set(arrays) <= set(MODALITIES):
        raise BadDataset(f"Got arrays of {', '.join(arrays) or 'nothing'}; expected audio, visual or both.")
    check_pair_options(pairs, rule, antonyms)
    listed = read_clip_table(table, label, pairs=pairs)
    there = {adverb for _, adverb in listed.pair_of.values()}
    opposite = {} if antonyms is None else {a: b for a, b in read_antonyms(antonyms).items() if {a, b} <= there}
    fold_of, stated, warnings = _folds(table, listed, rule, opposite)
    check_few(listed.clips, fold_of, shots)
    source = {"path": relative(table, out.parent), "label": label}
    source |= {modality: relative(place, out.parent) for modality, place in sorted(arrays.items())}
    vectors, spare = _vectors(listed, text or {})
    files = {out.with_name(f"{out.stem}.{encoder}.text.safetensors"): found for encoder, found in vectors.items()}
    named = {encoder: path.name for encoder, path in zip(vectors, files, strict=True)}
    options: dict[str, Any] = {"text": named, "shots": shots, "pair_of": listed.pair_of, "antonyms": opposite}
    told = {"source": source, **stated}
    files |= manifest_files(out, listed.clips, fold_of, told, command="avshot import", **options)
    refuse_others(files, overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    has, notes = _store(out.with_suffix(".features"), listed, arrays, skip_unknown, overwrite)
    write_files(files)
    dataset = load_manifest(out)
    return Imported(out, dataset, has, (*listed.warnings, *warnings, *notes, *spare, *dataset.warnings()))


def _folds(
    table: str | Path, listed: ClipTable, rule: SplitRule | PairRule | None, antonyms: Mapping[str, str]
) -> tuple[Mapping[str, str], dict[str, Any], tuple[str, ...]]:
    """The fold of each clip, the rule behind them and what it could not do: stated in the table, or drawn."""
    if listed.fold_of is None:
        if listed.pair_of:
            of_pairs = rule if isinstance(rule, PairRule) else PairRule()
            split = split_pairs(listed.clips, listed.pair_of, antonyms, of_pairs)
            return split.fold_of, {"compositions": of_pairs.stated()}, split.warnings
        rule = rule if isinstance(rule, SplitRule) else SplitRule()
        split = split_clips(listed.clips, rule)
        return split.fold_of, stated_rule(split, rule), split.warnings
    if rule is not None:
        raise BadDataset(
            f"{table} has a column fold, which states the folds, so no rule draws them; take the column out, or leave "
            "the options of the split away."
        )
    unused = len(listed.clips) - len(listed.fold_of)
    return listed.fold_of, {}, (f"{unused} clips of {table} are in no fold.",) if unused else ()


def _product(pair_of: Mapping[str, tuple[str, str]]) -> list[tuple[str, str]]:
    """Every action with every adverb."""
    actions, adverbs = (dict.fromkeys(words) for words in zip(*pair_of.values(), strict=True))
    return [(action, adverb) for action in actions for adverb in adverbs]


def _vectors(
    listed: ClipTable, text: Mapping[str, Mapping[str, np.ndarray]]
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The file of each text encoder's vectors of the classes, and what is said of vectors that no class has."""
    names = sorted({str(clip.label) for clip in listed.clips})
    phrases = spelt_out(listed.clips)
    if listed.pair_of:
        names, phrases = sorted({word for pair in listed.pair_of.values() for word in pair}), {}
    files, spare = {}, []
    for encoder, vectors in text.items():
        if not re.fullmatch(r"[\w.+-]+", encoder):
            raise BadDataset(f"Got the text encoder {encoder!r}; expected letters, digits, '.', '_', '+' and '-'.")
        source = f"The text encoder {encoder!r}"
        picked = pick_vectors(vectors, names, phrases, source)
        if listed.pair_of:  # vectors of whole pairs are kept where there are some
            whole = {join_key(f"{action} {adverb}") for action, adverb in _product(listed.pair_of)}
            picked |= {name: vector for name, vector in vectors.items() if join_key(name) in whole}
        unit_vectors(picked)  # refuses what has no direction, before anything is written
        files[encoder] = named_vectors_bytes(encoder, picked)
        if len(vectors) > len(picked):
            spare.append(f"{source} has {len(vectors) - len(picked)} vectors more than the table has classes.")
    return files, tuple(spare)


def _store(
    place: Path, listed: ClipTable, arrays: Mapping[str, str | Path], skip_unknown: bool, overwrite: bool
) -> tuple[dict[str, frozenset[str]], list[str]]:
    """Fill the feature store at `place`: which clips have which modality, and notes."""
    ids, notes = [clip.id for clip in once(listed.clips)], []
    with _made_beside(place, overwrite) as folder, ExitStack() as opened:
        readers, rows = {}, {}
        for modality in (m for m in MODALITIES if m in arrays):
            found = opened.enter_context(open_clip_arrays(arrays[modality]))
            readers[modality] = StepReader(found, modality)
            rows[modality], unknown = rows_of(found, ids, skip_unknown=skip_unknown)
            if unknown:
                notes.append(
                    f"{found.place}: {len(unknown)} clips are left out, not in the table: {first_few(unknown)}."
                )
            if found.unread:
                notes.append(f"{found.place}: nothing reads {first_few(found.unread)}.")
        has = _fill(folder, ids, readers, rows)
    for modality, reader in readers.items():
        notes += reader.notes()
        lacking = [id for id in ids if id not in has[modality]]
        if lacking:
            notes.append(f"{len(lacking)} of {len(ids)} clips have no {modality} features: {first_few(lacking)}.")
    return has, notes


def _fill(
    folder: Path, ids: list[str], readers: Mapping[str, StepReader], rows: Mapping[str, np.ndarray]
) -> dict[str, frozenset[str]]:
    spec = {"source": _SOURCE} | {m: {"name": _SOURCE} if m in readers else None for m in MODALITIES}
    has: dict[str, list[str]] = {modality: [] for modality in readers}
    with StoreWriter(str(folder), spec=spec) as writer:
        for i, id in enumerate(ids):
            given: dict[str, Any] = {}
            for modality, reader in readers.items():
                steps = reader.read(int(rows[modality][i]), id)
                if steps is not None:
                    given[modality], given[f"{modality}_time"] = steps
                    has[modality].append(id)
            writer.add(id, status=_status(given, readers), **given)
    for modality, reader in readers.items():
        if not has[modality]:
            raise BadDataset(f"{reader.arrays.place} holds {modality} features of no clip; expected numbers, not NaN.")
    return {modality: frozenset(found) for modality, found in has.items()}


def _status(given: Mapping[str, Any], readers: Mapping[str, StepReader]) -> str:
    if not given:
        return "error: the arrays hold no features of it"
    lacking = [modality for modality in readers if modality not in given]
    return f"no_{lacking[0]}" if lacking else "ok"


@contextmanager
def _made_beside(place: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `place` when the block ends, unless the same is there already.

    Raises:
        ValueError: Something else is there, which may not be overwritten or holds features of videos.
    """
    before = _present(place)
    made = place.with_name(f".{place.name}.{secrets.token_hex(4)}.partial")
    gone = made.with_suffix(".old")
    try:
        yield made
        if before is not None:
            now = FeatureStore(str(made))
            if (before.spec, before.dims, before.content()) == (now.spec, now.dims, now.content()):
                return
            if not overwrite:
                raise BadDataset(
                    f"{place} is there and holds other features; choose another path, or replace it (--overwrite, "
                    "overwrite=True)."
                )
            os.replace(place, gone)
        try:
            os.replace(made, place)
        except OSError:
            if before is not None:
                os.replace(gone, place)
            raise
        shutil.rmtree(gone, ignore_errors=True)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _present(place: Path) -> FeatureStore | None:
    """The store of an earlier import that is at `place`; None where nothing is there."""
    if not place.exists():
        return None
    store = FeatureStore(str(place)) if (place / "store.json").is_file() else None
    if store is None or store.spec.get("source") != _SOURCE:
        raise BadDataset(
            f"{place} is there and was not made by an import of arrays; choose another path, or remove it."
        )
    return store
