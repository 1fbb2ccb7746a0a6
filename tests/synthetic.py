"""A small dataset whose features are made from class vectors, for tests of training and protocol."""

from dataclasses import replace

import numpy as np
import torch

from avshot.data.dataset import Dataset, MemoryFeatures
from avshot.types import Clip, Features

WORDS = (
    "dog barking", "cat meowing", "bird singing", "bell ringing", "drum playing", "car passing",
    "baby crying", "water running", "wind blowing", "man speaking",
)  # fmt: skip


def synthetic_dataset(*, per_class: int = 12, noise: float = 0.3, seed: int = 0, time: int = 3) -> Dataset:
    """Ten classes; unseen for validation: 6 and 7, for test: 8 and 9. Both modalities carry the class vector."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(WORDS), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    maps = [rng.normal(size=(16, dim)).astype(np.float32) for dim in (12, 10)]
    labels = np.repeat(np.arange(len(WORDS)), per_class)
    drawn = [
        (vectors[labels] @ m)[:, None] + noise * rng.normal(size=(len(labels), time, m.shape[1])).astype(np.float32)
        for m in maps
    ]
    clips = tuple(Clip(f"clip{i:03d}", label=WORDS[c]) for i, c in enumerate(labels))
    mask = torch.ones(len(clips), time, dtype=torch.bool)
    seconds = torch.arange(time).float().expand(len(clips), time).contiguous()
    features = Features(
        torch.from_numpy(drawn[0]), torch.from_numpy(drawn[1]), mask, mask.clone(), seconds, seconds.clone()
    )
    within = np.arange(len(clips)) % per_class
    last, before = within == per_class - 1, within >= per_class - 3
    folds = {
        "train": np.flatnonzero((labels < 6) & ~before),
        "val_seen": np.flatnonzero((labels < 6) & before & ~last),
        "val_unseen": np.flatnonzero((labels >= 6) & (labels < 8) & ~last),
        "test_seen": np.flatnonzero((labels < 8) & last),
        "test_unseen": np.flatnonzero(labels >= 8),
    }
    source = MemoryFeatures([c.id for c in clips], features, {"audio": {"name": "synthetic"}, "seed": seed})
    return Dataset("synthetic", clips, WORDS, folds, source, text={"made": torch.from_numpy(vectors)})


def without(dataset: Dataset, names) -> Dataset:
    """The dataset without these classes: neither their clips nor their names nor their vectors."""
    kept = [i for i, clip in enumerate(dataset.clips) if clip.label not in names]
    place = {old: new for new, old in enumerate(kept)}
    folds = {
        fold: np.array([place[i] for i in rows.tolist() if i in place], dtype=np.int64)
        for fold, rows in dataset.folds.items()
    }
    left = [i for i, name in enumerate(dataset.names) if name not in names]
    return replace(
        dataset,
        clips=tuple(dataset.clips[i] for i in kept),
        names=tuple(dataset.names[i] for i in left),
        folds=folds,
        text={key: vectors[left] for key, vectors in dataset.text.items()},
    )
