"""The benchmarks UCF-FSL, ActivityNet-FSL and VGGSound-FSL: few clips of each novel class beside many of base classes.

Source: the program of AV-Diff (AVDIFF-GFSL, MIT), which is released without its data. A copy of the data has, for each
number of shots k, eight lists in `class-split/<k>-shot` and pickles in `features/<k>-shot`. Each of its three draws of
the test has two folders, clips that train and clips that judge. Clips and classes are those of the zero-shot benchmark
of the split "cls", with k clips of each novel class moved to training, so that its folder will do as well: a task then
draws the shots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from avshot.data.dataset import Dataset
from avshot.data.official.class_vectors import released_vectors
from avshot.data.official.features import OfficialFeatures
from avshot.data.official.tables import Tables, find_benchmark, lists_folder, read_lists, source_of
from avshot.data.shots import check_shots
from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.types import Clip

# Folder of features -> the list of its classes, also of its further draws.
FOLDERS = {
    "stage_1_train_base": "stage_1_base_train",
    "stage_1_val_seen": "stage_1_val_seen",
    "stage_1_train_novel": "stage_1_novel_train",
    "stage_1_val_novel": "stage_1_val_unseen",
    "stage_2_test_seen": "stage_2_test_seen",
    "stage_2_train_novel": "stage_2_novel_train",
    "stage_2_test_novel": "stage_2_test_unseen",
}
LISTS = (*FOLDERS.values(), "stage_2_base_train")
_DRAWN = ("stage_2_train_novel", "stage_2_test_novel")  # the folders that each draw has, with one of these endings
_ENDINGS = ("", "_1", "_2")
_LIST_OF_FOLD = {
    "train": "stage_1_base_train",
    "val_seen": "stage_1_val_seen",
    "val_unseen": "stage_1_val_unseen",
    "test_seen": "stage_2_test_seen",
    "test_unseen": "stage_2_test_unseen",
}


def has_few_shots(root: str | Path, name: str, shots: int) -> bool:
    """A copy has lists of so many shots. Raises ValueError where there is no such benchmark or number of shots."""
    return (lists_folder(root, name) / f"{check_shots(shots)}-shot").is_dir()


def load_few_shots(
    root: str | Path,
    name: str,
    shots: int,
    *,
    features: Path | None = None,
    text: Mapping[str, str | Path] | None = None,
    legacy: bool = False,
) -> Dataset:
    """Load the folders of one number of shots.

    Args:
        root: Folder with `UCF/class-split` and so on, or the folder of the one benchmark.
        name: "UCF", "ActivityNet" or "VGGSound".
        shots: Clips of each novel class that train: the k of the folders `<k>-shot`.
        features: Folder of features; None takes `features/<k>-shot`.
        text: `{encoder: .npy file}` of released class vectors; None takes those in the features' `text` folder.
        legacy: Join class vectors by position as the authors' code does.

    Returns:
        Dataset `UCF-fsl-5` with the five usual folds, those of the zero-shot benchmark, and the shots of stage 1 and of
        the draws of stage 2 as further folds: `val_shots`, `test_shots`, `test_shots_2`, `test_shots_3`. What a draw
        tests is `test_unseen` without its shots; where the folders say otherwise, it is `test_unseen_2` and so on.

    Raises:
        ValueError: A list, file or class vector is not there or damaged, a clip is in the files of two classes, or a
            folder of the first draw is not there; the message says which.
    """
    where = features or find_benchmark(root, name) / "features" / f"{shots}-shot"
    tables = read_lists(root, name, f"{shots}-shot", LISTS)
    lists = tables.lists[f"{shots}-shot"]
    source = OfficialFeatures(where, "cls", stages=_stages(where), repeats=True)
    members = {stage: _members(source, stage, tables, lists[_list_of(stage)]) for stage in source.members}
    clips = _clips(source, members)
    row = {clip.id: i for i, clip in enumerate(clips)}
    folds = {fold: np.array([row[id] for id in ids], dtype=np.int64) for fold, ids in _folds(members).items()}
    vectors, notes = released_vectors(tables, name, where / "text", text, legacy=legacy)
    notes += [*_counts(members, lists, shots), *_lists_apart(lists), *_unused(source, members)]
    return Dataset(
        f"{name}-fsl-{shots}" + ("-legacy" if legacy else ""),
        clips,
        tables.names,
        folds,
        source,
        phrases=tables.phrases,
        text=vectors,
        candidates={fold: lists[listed] for fold, listed in _LIST_OF_FOLD.items()},
        shots=shots,
        notes=tuple(notes),
    )


def _stages(where: Path) -> list[str]:
    """The folders of features that are there; a draw needs both of its two.

    Raises:
        ValueError: One that every copy must have is not there.
    """
    lacking = [stage for stage in FOLDERS if not (where / "audio" / stage).is_dir()]
    if lacking:
        raise BadDataset(
            f"{where / 'audio'} has no folder {', '.join(lacking)}; expected those of the released program: "
            f"{', '.join(FOLDERS)}, and for further draws {_DRAWN[0]}_1, {_DRAWN[1]}_1 and so on."
        )
    draws = [[f"{stage}{ending}" for stage in _DRAWN] for ending in _ENDINGS[1:]]
    whole = [draw for draw in draws if all((where / "audio" / stage).is_dir() for stage in draw)]
    return [*FOLDERS, *(stage for draw in whole for stage in draw)]


def _list_of(stage: str) -> str:
    """The list of classes of a folder of features."""
    return FOLDERS[stage] if stage in FOLDERS else FOLDERS[stage[:-2]]


def _folds(members: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """`{fold: clip ids}`: the five usual ones, then the shots, and what a draw tests where that is not all others."""
    ids = {stage: set(found) for stage, found in members.items()}
    folds = {
        "train": ids["stage_1_train_base"],
        "val_seen": ids["stage_1_val_seen"],
        "val_unseen": ids["stage_1_val_novel"] | ids["stage_1_train_novel"],
        "test_seen": ids["stage_2_test_seen"],
        "test_unseen": ids["stage_2_test_novel"] | ids["stage_2_train_novel"],
        "val_shots": ids["stage_1_train_novel"],
        "test_shots": ids["stage_2_train_novel"],
    }
    further = [ending for ending in _ENDINGS[1:] if f"{_DRAWN[0]}{ending}" in ids]
    for number, ending in enumerate(further, start=2):
        shots, tested = (ids[f"{stage}{ending}"] for stage in _DRAWN)
        folds[f"test_shots_{number}"] = shots
        if tested != folds["test_unseen"] - shots:
            folds[f"test_unseen_{number}"] = tested
    return {fold: sorted(found) for fold, found in folds.items()}


def _members(source: OfficialFeatures, stage: str, tables: Tables, listed: tuple[str, ...]) -> dict[str, str]:
    """`{clip id: class}` of a folder, by id: of the classes on its list, which define the split."""
    wanted = set(listed)
    named = {
        label: tables.named(label, source.folder / "audio" / stage) for label in set(source.members[stage].values())
    }
    return {id: named[label] for id, label in sorted(source.members[stage].items()) if named[label] in wanted}


def _clips(source: OfficialFeatures, members: Mapping[str, Mapping[str, str]]) -> tuple[Clip, ...]:
    """Every clip once, fold by fold.

    Raises:
        ValueError: A clip is in the files of two classes.
    """
    label_of: dict[str, str] = {}
    for found in members.values():
        for id, label in found.items():
            if label_of.setdefault(id, label) != label:
                raise BadDataset(
                    f"Clip {id!r} in {source.folder} is in the files of two classes, {label_of[id]!r} and {label!r}; "
                    "expected one."
                )
    return tuple(Clip(id, label=label, group=source_of(id)) for id, label in label_of.items())


def _counts(members: Mapping[str, Mapping[str, str]], lists: Mapping[str, tuple[str, ...]], shots: int) -> list[str]:
    """What is odd in the number of shots, and how many draws there are where there are not three."""
    notes = []
    for stage in (stage for stage in members if "train_novel" in stage):
        clips = Counter(members[stage].values())
        odd = [f"{name} ({clips[name]})" for name in lists[_list_of(stage)] if clips[name] != shots]
        if odd:
            notes.append(f"{len(odd)} classes in {stage} have not {shots} clips: {first_few(odd)}.")
    draws = sum(stage.startswith(_DRAWN[0]) for stage in members)
    if draws < len(_ENDINGS):
        notes.append(f"There are folders for {draws} of {len(_ENDINGS)} draws of shots.")
    return notes


def _lists_apart(lists: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Lists that contradict each other."""
    base, learnt = (set(lists[key]) for key in ("stage_2_base_train", "stage_1_base_train"))
    odd = base ^ (learnt | set(lists["stage_1_novel_train"]))
    said = f"stage_2_base_train is not the union of the two training lists of stage 1: {first_few(sorted(odd))}."
    return [said] if odd else []


def _unused(source: OfficialFeatures, members: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Clips of feature files whose class is on no list of their folder."""
    unused = [id for stage, found in members.items() for id in source.members[stage] if id not in found]
    return [f"{len(unused)} clips lie in files of classes that are not listed: {first_few(unused)}."] if unused else []
