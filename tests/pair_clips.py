"""Small clips of pairs: a table, antonyms, and features in which a manner looks alike whatever is done."""

import csv

import numpy as np

ACTIONS = ("cut", "stir", "put down", "pour")
ANTONYMS = {"slowly": "quickly", "gently": "firmly", "up": "down"}
ADVERBS = tuple(word for pair in ANTONYMS.items() for word in pair)
DIM = 24


def vector(word):
    """A direction for each word, the same in every test."""
    return np.random.default_rng(sum(map(ord, word))).standard_normal(DIM).astype(np.float32)


def write_pairs(folder, *, clips=8, folds=None, noise=0.3):
    """`pairs.csv`, `antonyms.csv` and `visual.npz` in `folder`; `folds(action, adverb, i)` names a fold."""
    rng, rows, features = np.random.default_rng(0), [], {}
    for action in ACTIONS:
        for adverb in ADVERBS:
            for i in range(clips):
                id = f"{action.replace(' ', '_')}-{adverb}-{i}"
                rows.append([id, action, adverb, *([folds(action, adverb, i)] if folds else [])])
                features[id] = vector(action) + vector(adverb) + noise * rng.standard_normal((3, DIM))
    write(folder / "pairs.csv", ["id", "action", "adverb", *(["fold"] if folds else [])], rows)
    write(folder / "antonyms.csv", ["adverb", "antonym"], ANTONYMS.items())
    ids = list(features)
    np.savez(folder / "visual.npz", ids=ids, features=np.stack([features[id] for id in ids]).astype(np.float32))
    return folder / "pairs.csv", folder / "antonyms.csv", folder / "visual.npz"


def write(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path
