"""The released benchmarks of video-adverb retrieval as datasets.

Seen compositions: clips of `test` are in the fold `test_seen`, though a few of their pairs (4 of 82 in HowTo100M
Adverbs) have no training clip. Unseen compositions: they are in `test_unseen`, and there are `unlabelled` clips.
Features are dictionaries that `torch.save` wrote (`avshot.data.official.pth_features`); without them there are tables
alone, from which the priors can be counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from avshot.classes.named_vectors import SUFFIXES
from avshot.data.dataset import Dataset
from avshot.data.official.adverb_tables import AdverbTables, read_adverbs
from avshot.data.official.pth_features import LAYERS, PthFeatures, pth_files
from avshot.data.own_text import own_text_of
from avshot.data.pairs import Pairs, all_pairs, by_frequency, numbered, pair_name
from avshot.settings import read_options
from avshot.types import Clip

_FOLDS = {"train": "train", "unlabelled": "unlabelled"}


def load_adverbs(
    root: str | Path,
    name: str,
    *,
    split: str = "seen",
    features: str | Path | None = None,
    layer: str = LAYERS[0],
    text: Mapping[str, str | Path] | None = None,
) -> Dataset:
    """Load a released benchmark.

    Args:
        root: Folder of the split tables (`avshot.data.official.adverb_tables.find_adverbs`).
        name: `howto100m-adverbs`, `air`, `activitynet-adverbs`, `msrvtt-adverbs` or `vatex-adverbs`.
        split: "seen" or "unseen" compositions.
        features: A `.pth` file, a folder of them, or the name of one in the folder `features` beside the tables; None
            takes the files in that folder, where there is one, and else reads the tables alone.
        layer: Which of the features of a clip: "s3d_features" (mixed_5c), or "video_embedding_joint_space", which can
            be compared with the text encoder of S3D.
        text: `{encoder: file}` of vectors of the words, and perhaps of whole pairs, as arrays with their names
            (`avshot.classes.named_vectors`): those of S3D's text encoder, for example. None takes the files in
            `features/text`, each an encoder of its name.

    Returns:
        Dataset `vatex-adverbs`, or `vatex-adverbs-unseen`, of all pairs of its words.

    Raises:
        ValueError: A table or file of features is not there or damaged; the message says which.
    """
    tables = read_adverbs(root, name, split)
    clips, folds = _clips(tables)
    pairs = pairs_of(tables)
    files = _features(tables.folder, features)
    source = None if files is None else PthFeatures(files, layer, sorted({clip.key for clip in clips}))
    stated = {
        encoder: str(Path(file).absolute())
        for encoder, file in (_texts(tables.folder) if text is None else text).items()
    }
    vectors, own = own_text_of(tables.folder / "antonyms.csv", stated, tuple(pairs.actions), {}, pairs)
    title = name if split == "seen" else f"{name}-unseen"
    return Dataset(title, tuple(clips), tuple(pairs.actions), folds, source, text=vectors, pairs=own)


def load_adverbs_spec(spec: str) -> Dataset:
    """Load from `<root>?name=air&split=seen&features=<folder>&layer=<layer>&text.s3d=<file>`, `name` at least.

    Raises:
        ValueError: An unknown key or value, or anything `load_adverbs` refuses.
    """
    root, _, query = spec.partition("?")
    types = dict.fromkeys(("name", "split", "features", "layer", "text."), str)
    options = read_options(query, types, "The benchmark")
    text = {key[5:]: options.pop(key) for key in list(options) if key.startswith("text.")}
    return load_adverbs(root, options.pop("name", ""), text=text or None, **options)


def _texts(folder: Path) -> dict[str, Path]:
    """Files of vectors of words that lie beside the features: `{encoder: file}`."""
    return {path.stem: path for path in sorted((folder / "features" / "text").glob("*")) if path.suffix in SUFFIXES}


def _features(folder: Path, features: str | Path | None) -> list[Path] | None:
    """The files of features; None where there are none and none were asked for."""
    base = folder / "features"
    if features is None:
        return pth_files(base) if base.is_dir() and any(base.glob("*.pth")) else None
    beside = base / features
    return pth_files(beside if beside.exists() else features)


def pairs_of(tables: AdverbTables) -> Pairs:
    """All pairs of the words of a split, by frequency in training and test, as the authors' programs order them."""
    counted = [row for table in ("train", "test") for row in tables.rows[table]]
    found = []
    for word in ("action", "adverb"):
        first = by_frequency(getattr(row, word) for row in counted)
        rest = by_frequency(getattr(row, word) for row in tables.rows.get("unlabelled", ()))
        found.append(tuple(dict.fromkeys((*first, *rest))))
    there = set(found[1])
    return all_pairs(found[0], found[1], {a: b for a, b in tables.antonyms.items() if {a, b} <= there})


def _clips(tables: AdverbTables) -> tuple[list[Clip], dict[str, np.ndarray]]:
    """A clip for each row, and the folds; the first row of a clip has its id, the others share its features."""
    clips = [
        Clip(row.clip, label=pair_name(*row.pair), group=row.video) for table in tables.rows.values() for row in table
    ]
    folds, at = {}, 0
    for table, rows in tables.rows.items():
        folds[_FOLDS.get(table, f"test_{tables.composition}")] = np.arange(at, at + len(rows))
        at += len(rows)
    return numbered(clips), folds
