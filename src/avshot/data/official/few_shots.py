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
from avshot.data.official.class_vectors import find_class_vectors, join_vectors, lacks_class_vectors
from avshot.data.official.features import OfficialFeatures
from avshot.data.official.tables import Tables, find_benchmark, lists_folder, read_lists, source_of
from avshot.data.shots import check_shots
from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.types import Clip

# Fold -> (folder of features, list of classes). The tests of the second and third draw have no list of their own.
FOLDS = {
    "train": ("stage_1_train_base", "stage_1_base_train"),
    "val_seen": ("stage_1_val_seen", "stage_1_val_seen"),
    "val_shots": ("stage_1_train_novel", "stage_1_novel_train"),
    "val_unseen": ("stage_1_val_novel", "stage_1_val_unseen"),
    "test_seen": ("stage_2_test_seen", "stage_2_test_seen"),
    "test_shots": ("stage_2_train_novel", "stage_2_novel_train"),
    "test_unseen": ("stage_2_test_novel", "stage_2_test_unseen"),
    "test_shots_2": ("stage_2_train_novel_1", "stage_2_novel_train"),
    "test_unseen_2": ("stage_2_test_novel_1", "stage_2_test_unseen"),
    "test_shots_3": ("stage_2_train_novel_2", "stage_2_novel_train"),
    "test_unseen_3": ("stage_2_test_novel_2", "stage_2_test_unseen"),
}
_FURTHER = ("_1", "_2")  # how the folders of the second and third draw end
LISTS = (*dict.fromkeys(listed for _, listed in FOLDS.values()), "stage_2_base_train")


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
        Dataset `UCF-fsl-5` with the five usual folds, in which no shots are, and the shots in folds of their own:
        `val_shots` in stage 1, `test_shots`, `test_shots_2` and `test_shots_3` in the three draws of stage 2, the last
        two with their test clips `test_unseen_2` and `test_unseen_3`. A draw without folders has no folds.

    Raises:
        ValueError: A list, file or class vector is not there or damaged, a clip is in the files of two classes, or a
            folder of the first draw is not there; the message says which.
    """
    where = features or find_benchmark(root, name) / "features" / f"{shots}-shot"
    tables = read_lists(root, name, f"{shots}-shot", LISTS)
    lists = tables.lists[f"{shots}-shot"]
    source = OfficialFeatures(where, "cls", stages=_stages(where), repeats=True)
    members = {
        fold: _members(source, stage, tables, lists[listed])
        for fold, (stage, listed) in FOLDS.items()
        if stage in source.members
    }
    clips = _clips(source, members)
    row = {clip.id: i for i, clip in enumerate(clips)}
    folds = {fold: np.array([row[id] for id in ids], dtype=np.int64) for fold, ids in members.items()}
    found = find_class_vectors(where / "text", name) if text is None else text
    vectors = {encoder: join_vectors(Path(path), tables, legacy=legacy) for encoder, path in found.items()}
    notes = [] if found else [lacks_class_vectors(where / "text", name)]
    notes += [*_counts(members, lists, shots), *_lists_apart(lists), *_unused(source, members)]
    if legacy:
        notes.append("Class vectors are joined by position, to compare with published numbers.")
    return Dataset(
        f"{name}-fsl-{shots}" + ("-legacy" if legacy else ""),
        clips,
        tables.names,
        folds,
        source,
        phrases=tables.phrases,
        text=vectors,
        candidates={fold: lists[listed] for fold, (_, listed) in FOLDS.items() if fold in folds},
        shots=shots,
        notes=tuple(notes),
    )


def _stages(where: Path) -> list[str]:
    """The folders of features that are there.

    Raises:
        ValueError: One that every copy must have is not.
    """
    found = [stage for stage, _ in FOLDS.values() if (where / "audio" / stage).is_dir()]
    lacking = [stage for stage, _ in FOLDS.values() if stage not in found and not stage.endswith(_FURTHER)]
    if lacking:
        raise BadDataset(
            f"{where / 'audio'} has no folder {', '.join(lacking)}; expected those of the released program: "
            f"{', '.join(stage for stage, _ in FOLDS.values())}."
        )
    return found


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
    """What is odd in the number of shots, and which draws are not there."""
    notes = []
    for fold in (fold for fold in members if "shots" in fold):
        clips = Counter(members[fold].values())
        odd = [f"{name} ({clips[name]})" for name in lists[FOLDS[fold][1]] if clips[name] != shots]
        if odd:
            notes.append(f"{len(odd)} classes of {fold} have not {shots} clips: {first_few(odd)}.")
    absent = [stage for fold, (stage, _) in FOLDS.items() if fold not in members]
    if absent:
        notes.append(f"The folders {', '.join(absent)} are not there, so there are fewer than three draws.")
    return notes


def _lists_apart(lists: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Lists that contradict each other."""
    base, learnt = (set(lists[key]) for key in ("stage_2_base_train", "stage_1_base_train"))
    odd = base ^ (learnt | set(lists["stage_1_novel_train"]))
    said = f"stage_2_base_train is not the union of the two training lists of stage 1: {first_few(sorted(odd))}."
    return [said] if odd else []


def _unused(source: OfficialFeatures, members: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Clips of feature files whose class is on no list of their folder."""
    unused = [id for fold, found in members.items() for id in source.members[FOLDS[fold][0]] if id not in found]
    return [f"{len(unused)} clips lie in files of classes that are not listed: {first_few(unused)}."] if unused else []
