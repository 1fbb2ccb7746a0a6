"""Simulated features at the true sizes of the released benchmarks, for scale tests. They are not the benchmarks.

The story behind a clip i of class y, with unit class vector t_y (300 numbers):

    latent  u_im = signal * t_y + noise * e_im          what modality m shows of the class; e has expected length 1
    feature x_im = M_m u_im + B_m z_i                    z_i: the scene, common to both modalities, unrelated to y

`M_m` (dim x 300) and `B_m` (dim x 16) are fixed Gaussian maps. A linear map can therefore undo `M_m`, also for classes
it has not seen, as far as `noise` and the scene allow; with `signal = 0` the features know nothing of the class. In
sequences the class is present during one random span only, and half of the noise is new in every step.

Features are made when they are asked for, each clip from its own random stream: a set of 94,000 clips of 4096 numbers
takes no memory, and a clip is the same whatever is asked for beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import torch
from numpy.typing import ArrayLike

from avshot.data.dataset import FOLDS, Dataset
from avshot.data.simulated_features import SimulatedFeatures, Story
from avshot.types import Clip

__all__ = ["SIZES", "SimulatedFeatures", "Story", "load_simulated", "simulate"]

TEXT_DIM = 300


@dataclass(frozen=True)
class Size:
    """Clips and classes of a released benchmark (its lists, counted).

    Attributes:
        clips: Clips in each of `FOLDS`.
        classes: Classes of `train`, of `val_unseen` and of `test_unseen`; `test_seen` has those of the first two.
        seconds: Shortest, median and longest clip.
    """

    clips: tuple[int, int, int, int, int]
    classes: tuple[int, int, int]
    seconds: tuple[float, float, float]


# Counts from the released class lists; "cls" has fewer unseen test classes than "main". Seconds: VGGSound clips last
# 10 s; UCF-101 and ActivityNet vary about the given median.
SIZES: Mapping[str, Size] = {
    "vggsound-cls": Size((70351, 7817, 3102, 9032, 3200), (138, 69, 64), (10, 10, 10)),
    "vggsound-main": Size((70351, 7817, 3102, 9032, 3450), (138, 69, 69), (10, 10, 10)),
    "ucf-cls": Size((3174, 353, 1467, 555, 845), (30, 12, 6), (2, 6.5, 30)),
    "ucf-main": Size((3174, 353, 1467, 555, 1267), (30, 12, 9), (2, 6.5, 30)),
    "activitynet-cls": Size((9204, 1023, 4307, 1615, 4052), (99, 51, 48), (5, 115, 240)),
    "activitynet-main": Size((9204, 1023, 4307, 1615, 4199), (99, 51, 50), (5, 115, 240)),
}
DIMS = {"cls": (128, 4096), "main": (512, 512)}  # VGGish and C3D; SeLaVi


def simulate(
    name: str,
    *,
    scale: float = 1.0,
    seed: int = 0,
    vectors: Mapping[str, ArrayLike] | None = None,
    temporal: bool = False,
    signal: float = 1.0,
    noise: float = 4.0,
    dims: tuple[int, int] | None = None,
) -> Dataset:
    """A dataset of simulated features with the class and clip counts of a released benchmark.

    Args:
        name: "ucf", "activitynet" or "vggsound", with "-cls" (the default) or "-main" behind it.
        scale: Multiplies the clip counts; every class keeps at least one clip in each of its folds.
        seed: Draws class vectors, class sizes, maps and clips.
        vectors: Class vectors by class name; the first ones are used, made unit length. None = random ones.
        temporal: Sequences at the benchmark's clip lengths (VGGish and C3D steps), instead of averages.
        signal: See `Story`; 0 = features independent of the class.
        noise: See `Story`.
        dims: Width of audio and visual features; None = those of the benchmark (cls 128/4096, main 512/512).

    Returns:
        A dataset named "simulated-<name>", with class vectors in `text`, that makes its features on demand.

    Raises:
        ValueError: Unknown name, settings out of range, too few or unfit vectors.

    Example:
        >>> data = simulate("ucf", scale=0.1, dims=(8, 16))
        >>> data.name, len(data.classes_of("test_unseen")), data.gather(data.fold("train")[:4]).dims
        ('simulated-ucf-cls', 6, (8, 16))
    """
    full = name if "-" in name else f"{name}-cls"
    if full not in SIZES:
        raise ValueError(f"No benchmark {name!r} to simulate; expected one of {', '.join(SIZES)}.")
    if not scale > 0:
        raise ValueError(f"scale is {scale}; expected more than 0.")
    story = Story(signal=signal, noise=noise, temporal=temporal, seed=seed)
    size, rng = SIZES[full], np.random.default_rng([seed, 0])
    names, table = _vectors(vectors, sum(size.classes), rng)
    parts = _class_folds(size)
    labels = [_labels(rng, parts[fold], round(n * scale)) for fold, n in zip(FOLDS, size.clips, strict=True)]
    ends = np.cumsum([0, *map(len, labels)])
    classes = np.concatenate(labels)
    clips = tuple(Clip(id=f"simulated-{i:06d}", label=names[c]) for i, c in enumerate(classes))
    return Dataset(
        name=f"simulated-{full}",
        clips=clips,
        names=names,
        folds={fold: np.arange(ends[i], ends[i + 1]) for i, fold in enumerate(FOLDS)},
        features=SimulatedFeatures(
            ids=tuple(clip.id for clip in clips),
            classes=classes,
            vectors=table,
            dims=dims or DIMS[full.split("-")[1]],
            seconds=_seconds(rng, size.seconds, len(clips)),
            story=story,
        ),
        text={"simulated" if vectors is None else "given": torch.from_numpy(table)},
    )


def load_simulated(spec: str) -> Dataset:
    """`simulate` from a text such as `vggsound` or `ucf-main?scale=0.1&temporal=true&seed=1`.

    Raises:
        ValueError: Unknown benchmark or option, or a value of the wrong type.
    """
    name, _, query = spec.partition("?")
    types: dict[str, Callable[[str], Any]] = {
        "scale": float,
        "seed": int,
        "temporal": _truth,
        "signal": float,
        "noise": float,
    }
    options: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in types:
            raise ValueError(f"Simulated data have no option {key!r}; options: {', '.join(types)}.")
        try:
            options[key] = types[key](value)
        except ValueError:
            raise ValueError(f"Option {key}={value!r} of simulated data cannot be read as a value of it.") from None
    return simulate(name, **options)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _class_folds(size: Size) -> dict[str, np.ndarray]:
    """Class numbers of each fold."""
    train, val, test = np.split(np.arange(sum(size.classes)), np.cumsum(size.classes)[:2])
    both = np.concatenate([train, val])
    return {"train": train, "val_seen": train, "val_unseen": val, "test_seen": both, "test_unseen": test}


def _labels(rng: np.random.Generator, classes: np.ndarray, count: int) -> np.ndarray:
    """`[clip]` sorted class numbers: uneven class sizes, none empty (so at least one clip per class)."""
    extra = max(0, count - len(classes))
    sizes = 1 + rng.multinomial(extra, rng.dirichlet(np.full(len(classes), 8.0)))
    return np.repeat(classes, sizes)


def _seconds(rng: np.random.Generator, limits: tuple[float, float, float], count: int) -> np.ndarray:
    low, median, high = limits
    return np.clip(median * np.exp(0.5 * rng.standard_normal(count)), low, high)


def _vectors(
    given: Mapping[str, ArrayLike] | None, count: int, rng: np.random.Generator
) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names and unit class vectors `[class, dim]` float32."""
    if given is None:
        names = tuple(f"class {i:03d}" for i in range(count))
        table = rng.standard_normal((count, TEXT_DIM))
    else:
        if len(given) < count:
            raise ValueError(f"Got vectors of {len(given)} classes; this benchmark has {count}. Pass that many.")
        names = tuple(given)[:count]
        rows = [np.asarray(given[name], dtype=np.float64) for name in names]
        if len({row.shape for row in rows}) != 1 or rows[0].ndim != 1:
            raise ValueError(f"Class vectors have shapes {sorted({row.shape for row in rows})}; expected one [dim].")
        table = np.stack(rows)
    length = np.linalg.norm(table, axis=1, keepdims=True)
    if not (length > 0).all():
        raise ValueError("A class vector is zero (or not a number); expected vectors with a direction.")
    return names, (table / length).astype(np.float32)
