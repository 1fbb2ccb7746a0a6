"""Simulated features at the true sizes of the released benchmarks: a test of methods we can reason about.

They are not the benchmarks, and a number on them says nothing about real videos. The story behind a clip i of class y,
with unit class vector t_y (300 numbers):

    latent  u_im = signal * a_m * D_m t_y + noise * e_im    what modality m shows of the class; e has expected length 1
    feature x_im = M_m u_im + B_m z_i                       z_i: the scene, common to both modalities, unrelated to y

`M_m` (dim x 300) and `B_m` (dim x 16) are fixed Gaussian maps. `D_m` keeps the entries of the class vector that the
modality carries (`audio_signal`, `visual_signal`, `overlap`) and sets the others to 0; `a_m` is sqrt(1 - imbalance) for
audio and sqrt(1 + imbalance) for visual features. A linear map can undo `M_m`, also for classes it has not seen, as
far as `noise` and the scene allow; with `signal = 0` the features know nothing of the class. With a `gap`, classes of
`val_unseen` and of `test_unseen` go through maps cos(g) M_m + sin(g) M'_m of their own, g = gap right angles. In
sequences the class is present during one random span only, and half of the noise is new in every step.

Given the class, averaged features are Gaussian with a known mean and covariance: `avshot.data.simulated.bayes_limit`
computes what no method can beat. docs/simulated-features.md tells what each knob does to that limit.

Features are made when they are asked for, each clip from its own random stream: a set of 94,000 clips of 4096 numbers
takes no memory, and a clip is the same whatever is asked for beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from avshot.classes.dictionary import read_class_vectors
from avshot.data.dataset import FOLDS, Dataset
from avshot.data.simulated.classes import SimulatedClasses, Size, made_up_classes, released_classes
from avshot.data.simulated.features import SimulatedFeatures, Story
from avshot.errors import BadDataset
from avshot.settings import did_you_mean, read_options
from avshot.types import Clip

__all__ = ["SIZES", "SimulatedFeatures", "Story", "load_simulated", "simulate"]

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
_MAX_SCALE = 1000  # a hundred million clips
DIMS = {"cls": (128, 4096), "main": (512, 512)}  # VGGish and C3D; SeLaVi


def simulate(
    name: str,
    *,
    scale: float = 1.0,
    seed: int = 0,
    vectors: Mapping[str, ArrayLike] | None = None,
    names: str | Path | None = None,
    shifted: bool = False,
    dims: tuple[int, int] | None = None,
    shots: int | None = None,
    **knobs: float,
) -> Dataset:
    """A dataset of simulated features with the class and clip counts of a released benchmark.

    Args:
        name: "ucf", "activitynet" or "vggsound", with "-cls" (the default) or "-main" behind it.
        scale: Multiplies the clip counts; every class keeps at least one clip in each of its folds.
        seed: Draws class vectors, class sizes, maps and clips.
        vectors: Class vectors by class name, made unit length. With `names` keyed by spelled-out names, as released;
            else the first ones are used. None = random ones.
        names: Folder of released lists (`<names>/UCF/class-split`): the true names of each fold, and the true number
            of clips of each class where the clip table is there. None = sizes drawn, classes numbered.
        shifted: Methods get class vectors joined as the released programs join them, wrong for many classes, while
            the features are made from the right ones. Without `names` as many classes as there get a wrong vector.
        dims: Width of audio and visual features; None = those of the benchmark (cls 128/4096, main 512/512).
        shots: Clips of each novel class that a task with few shots trains on (`Dataset.shots`).
        knobs: Any field of `Story`: signal, noise, scene, audio_signal, visual_signal, overlap, imbalance, gap,
            temporal, span.

    Returns:
        A dataset named "simulated-<name>" ("simulated-ucf-fsl-5" for "ucf-cls" with 5 shots), with class vectors in
        `text`, that makes its features on demand.

    Raises:
        ValueError: Unknown name or knob, settings out of range, lists not there, too few or unfit vectors.

    Example:
        >>> data = simulate("ucf", scale=0.1, dims=(8, 16))
        >>> data.name, len(data.classes_of("test_unseen")), data.gather(data.fold("train")[:4]).dims
        ('simulated-ucf-cls', 6, (8, 16))
    """
    full = name if "-" in name else f"{name}-cls"
    if full not in SIZES:
        near = did_you_mean(full, SIZES)
        raise BadDataset(f"No benchmark {name!r} to simulate; expected one of {', '.join(SIZES)}.{near}")
    if not 0 < scale <= _MAX_SCALE:
        raise BadDataset(f"scale is {scale}; expected more than 0, at most {_MAX_SCALE}.")
    story = _story(seed, knobs)
    benchmark, split = full.split("-")
    size, rng = SIZES[full], np.random.default_rng([seed, 0])
    if names is None:
        cast = made_up_classes(benchmark, size, vectors, rng, shifted=shifted)
    else:
        cast = released_classes(names, benchmark, split, vectors, rng, shifted=shifted)
    labels = [_labels(rng, cast, fold, n, scale) for fold, n in zip(FOLDS, size.clips, strict=True)]
    ends = np.cumsum([0, *map(len, labels)])
    classes = np.concatenate(labels)
    clips = tuple(Clip(id=f"simulated-{i:06d}", label=cast.names[c]) for i, c in enumerate(classes))
    return Dataset(
        name=f"simulated-{benchmark}-{split if shots is None or split == 'main' else f'fsl-{shots}'}"
        + "-shifted" * shifted,
        clips=clips,
        names=cast.names,
        folds={fold: np.arange(ends[i], ends[i + 1]) for i, fold in enumerate(FOLDS)},
        features=SimulatedFeatures(
            ids=tuple(clip.id for clip in clips),
            classes=classes,
            vectors=cast.vectors,
            dims=dims or DIMS[split],
            seconds=_seconds(rng, size.seconds, len(clips)),
            story=story,
            domains=cast.domains,
        ),
        phrases=cast.phrases,
        shots=shots,
        text={"simulated" if vectors is None else "given": torch.from_numpy(cast.told)},
        notes=("Class vectors are joined by position, wrong for many classes, to see what that does.",) * shifted,
    )


def load_simulated(spec: str) -> Dataset:
    """`simulate` from a text such as `vggsound` or `ucf-main?scale=0.1&gap=0.2&names=FOLDER&vectors=FILE.npy`.

    Raises:
        ValueError: Unknown benchmark or option, a value of the wrong type, or what `simulate` refuses.
    """
    name, _, query = spec.partition("?")
    types: dict[str, Callable[[str], Any]] = {
        "scale": float,
        "vectors": str,
        "names": str,
        "shifted": bool,
        "shots": int,
    }
    types |= {field.name: _READ[str(field.type)] for field in fields(Story)}
    options = read_options(query, types, "Simulated data")
    if "vectors" in options:
        if not Path(options["vectors"]).is_file():
            raise BadDataset(f"There is no file {options['vectors']!r} of class vectors.")
        options["vectors"] = read_class_vectors(options["vectors"])
    return simulate(name, **options)


_READ: Mapping[str, Callable[[str], Any]] = {"float": float, "int": int, "bool": bool}


def _story(seed: int, knobs: Mapping[str, Any]) -> Story:
    known = [field.name for field in fields(Story)]
    unknown = sorted(set(knobs) - set(known))
    if unknown:
        raise BadDataset(f"Simulated features have no knob {', '.join(map(repr, unknown))}; knobs: {', '.join(known)}.")
    return Story(seed=seed, **knobs)


def _labels(rng: np.random.Generator, cast: SimulatedClasses, fold: str, count: int, scale: float) -> np.ndarray:
    """`[clip]` sorted class numbers: as many of each class as listed, else uneven sizes; at least one of each class."""
    classes = cast.folds[fold]
    if fold in cast.counts:
        listed = cast.counts[fold]
        return np.repeat(classes, np.where(listed > 0, np.maximum(1, np.rint(listed * scale).astype(int)), 0))
    extra = max(0, round(count * scale) - len(classes))
    return np.repeat(classes, 1 + rng.multinomial(extra, rng.dirichlet(np.full(len(classes), 8.0))))


def _seconds(rng: np.random.Generator, limits: tuple[float, float, float], count: int) -> np.ndarray:
    low, median, high = limits
    return np.clip(median * np.exp(0.5 * rng.standard_normal(count)), low, high)
