"""What is odd in a released benchmark folder: counts, lists against tables, misjoined vectors, shared sources, NaN.

Nothing is changed; `avshot audit` prints it. A number that cannot be computed from the files present is None, and the
note beside it says what is lacking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avshot.classes.dictionary import read_class_vectors
from avshot.data.findings import Finding, rendered
from avshot.data.official.class_vectors import join_by_name, join_by_position
from avshot.data.official.feature_audit import count_features
from avshot.data.official.tables import RETRAIN, STAGES, Tables, find_benchmark, read_table, read_tables
from avshot.data.sources import first_few
from avshot.errors import BadDataset

_SHOWN = 5  # files named one by one
_FOLD_OF = {stage: fold for fold, stage in STAGES.items()} | {RETRAIN: "stage-2 training"}


@dataclass(frozen=True)
class Audit:
    """Findings about one benchmark.

    Attributes:
        benchmark: "UCF", "ActivityNet" or "VGGSound".
        findings: In the order of `to_rows`.
        misjoined: `{"all" | fold | "fold (split)": (wrong, classes, mean cosine of true and used vector)}`: classes
            that get another class's vector when vectors are joined by position; empty without a file of vectors.
    """

    benchmark: str
    findings: tuple[Finding, ...]
    misjoined: Mapping[str, tuple[int, int, float | None]]

    def value(self, section: str, item: str) -> Finding:
        """The finding of that section and item. Raises ValueError, listing the items, when there is none."""
        for finding in self.findings:
            if (finding.section, finding.item) == (section, item):
                return finding
        items = [f"{finding.section}: {finding.item}" for finding in self.findings]
        raise BadDataset(f"The audit has no {section}: {item}; it has {first_few(items, 50)}.")

    def to_rows(self) -> list[tuple[str, str, str, str]]:
        """`(section, item, count, note)` as text, for a table."""
        return [(f.section, f.item, f.count, f.note) for f in self.findings]

    def to_dict(self) -> dict[str, Any]:
        """The audit as plain JSON."""
        misjoined = {item: list(numbers) for item, numbers in self.misjoined.items()}
        return {"benchmark": self.benchmark, "findings": [asdict(f) for f in self.findings], "misjoined": misjoined}

    def render(self) -> str:
        """The audit as text with aligned columns."""
        return rendered(f"{self.benchmark}-GZSL", self.findings)


def audit(
    root: str | Path, name: str, text_file: str | Path | None = None, *, descriptions: str | Path | None = None
) -> Audit:
    """Look through a released benchmark folder, the numbers of all its features among it (a second for a gigabyte).

    Args:
        root: Folder with `UCF/class-split` and so on.
        name: "UCF", "ActivityNet" or "VGGSound".
        text_file: Released dictionary of class vectors (`.npy`).
        descriptions: Class descriptions as KDA ships them (`.csv` with a column `name`), which its code addresses by
            class id.

    Raises:
        ValueError: The folder or a file is not there or not of the released form.
    """
    tables = read_tables(root, name)
    findings = [*_class_counts(tables), *_clip_counts(tables), *_lists_against_tables(tables)]
    misjoined: dict[str, tuple[int, int, float | None]] = {}
    if text_file is not None:
        misjoined = misjoined_vectors(tables, read_class_vectors(text_file), text_file)
        for item, (wrong, total, cosine) in misjoined.items():
            note = "" if cosine is None else f"mean cosine of the true and the used vector {cosine:.2f}"
            findings.append(Finding("class vectors", f"misjoined by position, {item}", wrong, total, note))
    if descriptions is not None:
        findings.append(_misjoined_descriptions(tables, Path(descriptions)))
    findings += _shared_sources(tables)
    findings += _features(find_benchmark(root, name) / "features")
    return Audit(name, tuple(findings), misjoined)


def misjoined_vectors(
    tables: Tables, vectors: Mapping[str, np.ndarray], source: str | Path = "the file"
) -> dict[str, tuple[int, int, float | None]]:
    """Classes whose vector under the authors' positional join is another class's, in all and per fold.

    Args:
        tables: What the lists say.
        vectors: The released vectors.
        source: The file they are from, for messages.

    Returns:
        `{"all" | fold | "fold (split)": (wrong, classes, mean cosine)}`; the mean is over the wrong ones, None without.
    """
    true, used = (join(vectors, tables, source).double() for join in (join_by_name, join_by_position))
    wrong = (true != used).any(dim=1)
    cosine = torch.nn.functional.cosine_similarity(true, used, dim=1)
    row = {name: i for i, name in enumerate(tables.names)}

    def count(names: tuple[str, ...]) -> tuple[int, int, float | None]:
        rows = torch.tensor([row[name] for name in names], dtype=torch.long)
        bad = rows[wrong[rows]]
        return len(bad), len(rows), float(cosine[bad].mean()) if len(bad) else None

    return {"all": count(tables.names)} | {item: count(names) for item, names in _per_fold(tables).items()}


def _per_fold(tables: Tables) -> dict[str, tuple[str, ...]]:
    """Class list of each fold; folds whose lists differ between the splits appear once per split."""
    found = {}
    for stage, fold in _FOLD_OF.items():
        lists = {split: tables.lists[split][stage] for split in tables.lists}
        if len({frozenset(names) for names in lists.values()}) == 1:
            found[fold] = next(iter(lists.values()))
        else:
            found |= {f"{fold} ({split})": names for split, names in lists.items()}
    return found


def _class_counts(tables: Tables) -> list[Finding]:
    lists = tables.lists.values()
    used = {name for stages in lists for names in stages.values() for name in names}
    found = [
        Finding("classes", "all", len(tables.names)),
        Finding("classes", "in some fold", len(used), len(tables.names)),
    ]
    found += [Finding("classes", item, len(names)) for item, names in _per_fold(tables).items()]
    for split, stages in tables.lists.items():
        seen = {*stages[STAGES["test_seen"]], *stages[RETRAIN]}
        both = seen & set(stages[STAGES["test_unseen"]])
        both |= set(stages[STAGES["val_unseen"]]) & set(stages[STAGES["train"]])
        note = first_few(sorted(both))
        found.append(Finding("classes", f"both seen and unseen ({split})", len(both), note=note))
    return found


def _clip_counts(tables: Tables) -> list[Finding]:
    found = []
    for stage, fold in _FOLD_OF.items():
        counts = {}
        for split in tables.lists:
            listed = tables.listed(split, stage)
            if listed is None and stage == RETRAIN and tables.retrain is not None:
                listed = tables.retrain
            counts[split] = None if listed is None else len(listed)
        items = {fold: counts[next(iter(counts))]} if len(set(counts.values())) == 1 else {}
        items = items or {f"{fold} ({split})": count for split, count in counts.items()}
        found += [
            Finding("clips", item, count, note=_why_unknown(tables, stage, count)) for item, count in items.items()
        ]
    parts = [STAGES[fold] for fold in ("train", "val_seen", "val_unseen")]
    if RETRAIN in tables.clips and all(stage in tables.clips for stage in parts):
        union = {clip.id for stage in parts for clip in tables.clips[stage]}
        odd = union ^ {clip.id for clip in tables.clips[RETRAIN]}
        note = "clips in one of: stage-2 training, union of the three stage-1 folds"
        found.append(Finding("clips", "stage-2 training against stage 1", len(odd), len(union), note))
    tests = {clip.id for fold in ("test_seen", "test_unseen") for clip in tables.clips.get(STAGES[fold], ())}
    learnt = {clip.id for stage in (*parts, RETRAIN) for clip in tables.clips.get(stage, ())}
    note = "" if tables.retrain is not None else "from the tables that are there"
    found.append(Finding("clips", "both in training and in a test fold", len(tests & learnt), note=note))
    return found


def _why_unknown(tables: Tables, stage: str, count: int | None) -> str:
    if count is not None:
        return ""
    if stage != RETRAIN:
        return f"{stage}.csv is not there"
    known = sum(len(tables.clips.get(STAGES[fold], ())) for fold in ("train", "val_seen", "val_unseen"))
    return f"{stage}.csv is not there; at least {known}, from the stage-1 tables that are"


def _lists_against_tables(tables: Tables) -> list[Finding]:
    """Classes that a table lists and the text list does not: the lists define the split, so their clips are unused."""
    found = []
    for split, stages in tables.lists.items():
        for stage, fold in _FOLD_OF.items():
            if stage not in tables.clips:
                continue
            tabled = {str(clip.label) for clip in tables.clips[stage]}
            dropped, bare = sorted(tabled - set(stages[stage])), sorted(set(stages[stage]) - tabled)
            if dropped:
                found.append(
                    Finding("lists", f"only in the table, {fold} ({split})", len(dropped), note=", ".join(dropped))
                )
            if bare:
                found.append(
                    Finding("lists", f"listed without clips, {fold} ({split})", len(bare), note=first_few(bare))
                )
    spelt = [f"{name} / {other}" for name, other in tables.spelt.items()]
    found.append(Finding("lists", "names spelt in two ways", len(spelt), note=first_few(spelt)))
    return found


def _misjoined_descriptions(tables: Tables, path: Path) -> Finding:
    rows = read_table(path, "name")
    if not rows:
        raise BadDataset(f"{path} has no rows; expected name, description_1, description_2, description_3.")
    pairs = zip(tables.names, rows, strict=False)
    wrong = sum(row.cells["name"] != tables.phrases.get(name, name) for name, row in pairs)
    wrong += abs(len(rows) - len(tables.names))
    return Finding("descriptions", "misjoined when addressed by class id", wrong, len(tables.names))


def _shared_sources(tables: Tables) -> list[Finding]:
    """Test clips whose recording also has clips in stage-2 training."""
    parts = [STAGES[fold] for fold in ("train", "val_seen", "val_unseen")]
    training = tables.retrain
    known = training if training is not None else [c for stage in parts for c in tables.clips.get(stage, ())]
    sources = {clip.group for clip in known}
    found = []
    for fold in ("test_seen", "test_unseen"):
        clips = tables.clips.get(STAGES[fold])
        if clips is None:
            found.append(Finding("shared sources", fold, None, note=f"{STAGES[fold]}.csv is not there"))
            continue
        shared = sum(clip.group in sources for clip in clips)
        if training is not None:
            note = "clips whose recording also has clips in stage-2 training"
            found.append(Finding("shared sources", fold, shared, len(clips), note))
            continue
        lacking = ", ".join(f"{stage}.csv" for stage in (*parts, RETRAIN) if stage not in tables.clips)
        note = f"cannot be computed: {lacking} not there; at least {shared}, from the tables that are"
        found.append(Finding("shared sources", fold, None, len(clips), note))
    return found


def _features(base: Path) -> list[Finding]:
    """Numbers that are not finite and files that cannot be read, in each folder of released features."""
    found = []
    for count in count_features(base):
        wrong = [f"{file}: {n} nan or inf, first in {clip}" for file, (n, clip) in count.wrong.items()]
        total = sum(n for n, _ in count.wrong.values())
        item = f"not finite, {count.folder}"
        found.append(Finding("features", item, total, count.numbers, "; ".join(wrong[:_SHOWN])))
        unread = f"cannot be read, {count.folder}"
        found.append(Finding("features", unread, len(count.broken), count.files, "; ".join(count.broken[:_SHOWN])))
    return found
