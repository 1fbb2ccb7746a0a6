"""The released UCF-, ActivityNet- and VGGSound-GZSL benchmark folders as datasets.

Source of the layout: AVCA-GZSL (Mercea et al., CVPR 2022), TCaF (ECCV 2022) and ClipClap-GZSL releases. Two things are
read differently from the authors' code: class vectors are joined to classes by name (`legacy=True` restores their
positional join, see `avshot.data.official.class_vectors`), and clips are put in a stated order where theirs is that of
the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from avshot.data.dataset import Dataset
from avshot.data.official.class_vectors import released_vectors
from avshot.data.official.features import OfficialFeatures
from avshot.data.official.few_shots import has_few_shots, load_few_shots
from avshot.data.official.tables import SPLITS, STAGES, Tables, find_benchmark, read_tables, source_of
from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.settings import read_options
from avshot.types import Clip


def load_official_benchmark(
    root: str | Path,
    name: str,
    *,
    split: str = "cls",
    features: str | Path | None = None,
    text: Mapping[str, str | Path] | None = None,
    legacy: bool = False,
    shots: int | None = None,
) -> Dataset:
    """Load a released benchmark.

    Args:
        root: Folder with `UCF/class-split` and so on, or the folder of the one benchmark.
        name: "UCF", "ActivityNet" or "VGGSound".
        split: "main" (SeLaVi features) or "cls" (C3D and VGGish features; leaves a few test classes out).
        features: A folder of released features, its name under `<root>/<name>/features`, or a feature store; None
            takes the one of the split that is there. Without any the dataset has clips and classes only.
        text: `{encoder: .npy file}` of released class vectors; None takes those in the features' `text` folder.
        legacy: Join class vectors by position as the authors' code does, to compare with published numbers.
        shots: Clips of each novel class that a task with few shots trains on (`Dataset.shots`). The draws come from
            the folders `<shots>-shot` where the copy has them (`load_few_shots`), else the task draws them.

    Returns:
        Dataset with original class names; `phrases` are the spelled-out ones. Stage 2 trains on its three stage-1
        folds, whose union is the released `stage_2_train`.

    Raises:
        ValueError: A name, split, list, file or class vector is not there; the message says which.
    """
    if split not in SPLITS:
        raise BadDataset(f"Split {split!r} is not known; expected one of {', '.join(SPLITS)}.")
    folder = find_benchmark(root, name)
    if shots is not None and split == "cls" and has_few_shots(root, name, shots):
        where = None if features is None else _features_folder(folder, split, features)
        return load_few_shots(root, name, shots, features=where, text=text, legacy=legacy)
    tables = read_tables(root, name)
    if split not in tables.lists:
        raise BadDataset(f"{folder} has no lists of the {split} split; it has {', '.join(tables.lists)}.")
    where = _features_folder(folder, split, features)
    source = None if where is None else _open_features(where, split)
    beside = None if where is None else where / "text"
    vectors, notes = released_vectors(tables, name, beside, text, legacy=legacy)
    staged, said = _clips(tables, split, source)
    notes += said
    clips: list[Clip] = []
    folds = {}
    for fold, found in staged.items():
        folds[fold] = np.arange(len(clips), len(clips) + len(found))
        clips += found
    if shots is not None:
        notes.append(f"{folder} has no lists of {shots} shots, so the shots are drawn.")
    lists = {fold: tables.lists[split][stage] for fold, stage in STAGES.items()}
    return Dataset(
        f"{name}-{split if shots is None or split == 'main' else f'fsl-{shots}'}" + ("-legacy" if legacy else ""),
        tuple(clips),
        tables.names,
        folds,
        source,
        phrases=tables.phrases,
        text=vectors,
        candidates=lists,
        shots=shots,
        notes=tuple(notes),
    )


def load_official_spec(spec: str) -> Dataset:
    """Load from `<root>?name=UCF&split=cls&shots=5&legacy=false&features=<folder>&text.w2v=<file>`, `name` at least.

    Raises:
        ValueError: An unknown key or value, or anything `load_official_benchmark` refuses.
    """
    root, options = _read_spec(spec)
    text = {key[5:]: options.pop(key) for key in list(options) if key.startswith("text.")}
    if "" in text:
        raise BadDataset(f"text.={text['']} names no encoder; write text.w2v=FILE.")
    name, split = options.pop("name"), options.pop("split", "cls")
    return load_official_benchmark(root, name, split=split, text=text or None, **options)


def _read_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """Folder and options of `<root>?name=UCF&...`; the name is among them."""
    root, _, query = spec.partition("?")
    types: dict[str, Callable[[str], Any]] = {"name": str, "split": str, "legacy": bool, "features": str}
    types |= {"text.": str, "shots": int}
    options = read_options(query, types, "The benchmark")
    if "name" not in options:
        raise BadDataset(
            "The benchmark is not named; expected name and, where wanted, split, shots, legacy, features, "
            "text.<encoder>: official:<root>?name=UCF&split=cls."
        )
    return root, options


def released_descriptions(spec: str) -> Path:
    """The CSV of class descriptions that KDA ships beside the lists of a benchmark: `class-split/UCF.csv`.

    Args:
        spec: What `load_dataset` takes.

    Raises:
        ValueError: Not a released benchmark, or its folder has no such file.
    """
    kind, _, rest = spec.partition(":")
    if kind != "official":
        raise BadDataset(f"{spec} is no released benchmark, so no descriptions come with it; pass a CSV of them.")
    root, options = _read_spec(rest)
    name = options["name"]
    file = find_benchmark(root, name) / "class-split" / f"{name}.csv"
    if not file.exists():
        raise BadDataset(f"{file} is not there; it comes with the program of KDA (docs/reproduce.md).")
    return file


def released_prompts(spec: str) -> dict[str, str]:
    """`{kind of text encoder: prompt ensemble}` as the authors of ClipClap use them for a benchmark (thesis, D.1).

    UCF and ActivityNet are actions of people, VGGSound is not; other data than theirs take the prompts of VGGSound,
    into which any class fits.

    Args:
        spec: What `load_dataset` takes.
    """
    kind, _, rest = spec.partition(":")
    name = _read_spec(rest)[1]["name"] if kind == "official" else rest
    subject = "actions" if name.lower().startswith(("ucf", "activitynet")) else "vggsound"
    return {"clip": f"clip-{subject}", "clap": f"clap-{subject}", "wavcaps": f"clap-{subject}"}


def _features_folder(folder: Path, split: str, features: str | Path | None) -> Path | None:
    """The folder of features to read; None where there is none and none was asked for."""
    base = folder / "features"
    if features is not None:
        for found in (base / features, Path(features)):
            if found.is_dir():
                return found
        there = ", ".join(sorted(path.name for path in base.glob("*") if path.is_dir())) or "nothing"
        raise BadDataset(f"Features {str(features)!r} are not there; {base} has {there}.")
    known = ("", "_non_averaged", "_no_averaged")
    present = [path for ending in known if (path := base / f"{split}_features{ending}").is_dir()]
    if len(present) > 1:
        names = ", ".join(path.name for path in present)
        raise BadDataset(f"{base} has several features for the {split} split: {names}; say which (features=...).")
    return present[0] if present else None


def _open_features(where: Path, split: str) -> Any:
    if (where / "store.json").is_file():
        from avshot.features.store.store import FeatureStore

        return FeatureStore(str(where))
    named = next((kind for kind in SPLITS if where.name.startswith(kind)), split)
    return OfficialFeatures(where, named)


def _clips(tables: Tables, split: str, source: Any) -> tuple[dict[str, list[Clip]], list[str]]:
    """Clips of each fold: from the table, else from the names in the feature files, else none, with a note."""
    staged: dict[str, list[Clip]] = {}
    notes = []
    for fold, stage in STAGES.items():
        listed = tables.listed(split, stage)
        if listed is None and isinstance(source, OfficialFeatures):
            listed = _named_in_files(source, stage, tables, split)
            notes.append(f"The table of {stage} is not there; its clips are those of the feature files.")
        elif listed is None:
            notes.append(f"The table of {stage} is not there, so fold {fold} has no clips; its class list is known.")
        staged[fold] = sorted(listed or (), key=lambda clip: clip.id)
    if source is not None:
        _check_joined({clip.id for found in staged.values() for clip in found}, source.ids, tables.benchmark)
    if isinstance(source, OfficialFeatures):
        notes += _against_files(source, [clip for found in staged.values() for clip in found], tables)
    return staged, notes


def _against_files(source: OfficialFeatures, listed: Sequence[Clip], tables: Tables) -> list[str]:
    """What feature files and tables do not agree on, in sentences."""
    notes = []
    for kind, word in (("no_audio", "audio"), ("no_visual", "video")):
        lacking = [clip.id for clip in listed if source.status.get(clip.id) == kind]
        if lacking:
            notes.append(f"{len(lacking)} clips have no {word} features in {source.folder}: {first_few(lacking)}.")
    file_of = {id: label for id, _, label in source.clips}
    other = [
        f"{clip.id} ({clip.label}, in the file of {file_of[clip.id]})"
        for clip in listed
        if clip.id in file_of and _letters(file_of[clip.id]) != _letters(str(clip.label))
    ]
    if other:
        notes.append(
            f"{len(other)} clips lie in the feature file of another class than their table says: {first_few(other)}."
        )
    tabled = {clip.id for clips in tables.clips.values() for clip in clips}
    unknown = [id for id, stage, _ in source.clips if stage in tables.clips and id not in tabled]
    if unknown:
        notes.append(f"{len(unknown)} clips of the feature files are in no table: {first_few(unknown)}.")
    return notes


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _named_in_files(source: OfficialFeatures, stage: str, tables: Tables, split: str) -> tuple[Clip, ...]:
    listed = {name.lower(): name for name in tables.lists[split][stage]}
    return tuple(
        Clip(id, label=listed[label.lower()], group=source_of(id))
        for id, at, label in source.clips
        if at == stage and label.lower() in listed
    )


def _check_joined(listed: Set[str], known: Sequence[str], benchmark: str) -> None:
    if not listed & set(known):
        raise BadDataset(
            f"None of the features belongs to a clip of {benchmark}: the tables say {min(listed, default='nothing')!r} "
            f"and the features {min(known, default='nothing')!r}; is it the right folder?"
        )
