"""Clips with features as arrays, and every form in which somebody may have saved them."""

import csv

import h5py
import numpy as np

NAMES = tuple(f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("dog", "bell", "drum"))


def write_table(path, rows, header=("id", "label")):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def padded(sequences):
    """`[clip, time, dim]` of sequences, None and what is beyond their ends as NaN."""
    dim = next(s.shape[1] for s in sequences if s is not None)
    longest = max([len(s) for s in sequences if s is not None])
    found = np.full((len(sequences), longest, dim), np.nan, np.float32)
    for i, sequence in enumerate(sequences):
        if sequence is not None:
            found[i, : len(sequence)] = sequence
    return found


def ragged(sequences):
    """`features [step, dim]` and `offsets [clip + 1]`."""
    dim = next(s.shape[1] for s in sequences if s is not None)
    parts = [np.zeros((0, dim), np.float32) if s is None else s for s in sequences]
    return {"features": np.concatenate(parts), "offsets": np.cumsum([0, *map(len, parts)])}


def save_h5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def save_as(form, path, ids, sequences, shuffled=None):
    """Save sequences `[time, dim]` (None = missing) of clips in one of FORMS; returns what to pass to the import."""
    order = list(range(len(ids))) if shuffled is None else list(shuffled)
    mixed, names = [sequences[i] for i in order], [ids[i] for i in order]
    if form == ".npy":
        np.save(path / "f.npy", padded(sequences))
        return path / "f.npy"
    if form == "folder":
        for name, sequence in zip(names, mixed, strict=True):
            if sequence is not None:
                target = path / "f" / f"{name}.npy"
                target.parent.mkdir(parents=True, exist_ok=True)
                np.save(target, sequence)
        return path / "f"
    if form == ".h5 by clip":
        save_h5(path / "f.h5", {n: s for n, s in zip(names, mixed, strict=True) if s is not None})
        return path / "f.h5"
    suffix, kind = form.split()
    dense = {"features": padded(mixed)}
    if kind == "lengths":
        dense = {
            "features": np.nan_to_num(padded(mixed), nan=7.0),
            "lengths": np.array([0 if s is None else len(s) for s in mixed]),
        }
    arrays = (ragged(mixed) if kind == "ragged" else dense) | {"ids": np.array(names)}
    if suffix == ".npz":
        np.savez_compressed(path / "f.npz", **arrays)
    else:
        save_h5(path / "f.h5", arrays | {"ids": [name.encode() for name in names]})
    return path / f"f{suffix}"


FORMS = (
    ".npy",
    "folder",
    ".h5 by clip",
    *(f"{suffix} {kind}" for suffix in (".npz", ".h5") for kind in ("dense", "lengths", "ragged")),
)


def small_world(folder, *, per_class=12, seed=0, time=1):
    """A table of nine classes and arrays of both modalities that carry the class vector; `[clip, time, dim]`."""
    rng = np.random.default_rng(seed)
    colours, things = rng.normal(size=(2, 3, 8)).astype(np.float32)
    vectors = (colours[:, None] + things).reshape(len(NAMES), 8)  # a class is its colour and its thing
    labels = np.arange(per_class * len(NAMES)) % len(NAMES)
    ids = [f"clip{i:03d}" for i in range(len(labels))]
    write_table(folder / "clips.csv", [(id, NAMES[k]) for id, k in zip(ids, labels, strict=True)])
    made = {}
    for modality, dim in (("audio", 6), ("visual", 5)):
        told = vectors[labels] @ rng.normal(size=(8, dim)).astype(np.float32)
        made[modality] = (told[:, None] + 0.1 * rng.normal(size=(len(labels), time, dim))).astype(np.float32)
    np.save(folder / "t.npy", vectors)
    (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
    return ids, made
