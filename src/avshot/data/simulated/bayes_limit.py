"""The Bayes limit of simulated features: what a classifier reaches that knows the story, its maps included.

Given its class y, an averaged simulated clip is Gaussian (`avshot.data.simulated.simulate`), with mean signal * a_m M_m
D_m t_y in modality m and the covariance of noise and scene, which classes of one domain share:

    Cov_mn = [m = n] noise^2 / 300 * M_m M_m' + B_m B_n' + [m = n] grain^2 * I

Choosing the most likely class is then optimal for the mean accuracy per class, all classes having the same weight
(Hastie et al., The Elements of Statistical Learning, section 4.3): linear discriminant analysis with one covariance,
quadratic with several, where there is a gap. No method does better but by luck: it would have to know more than the
story. The grain (0.001 a feature, far below anything that the story draws) stands for the rounding of the features; it
keeps densities finite where the story leaves directions without noise, of which features of 4096 numbers have many.

Densities are computed in the space that the maps span, 316 numbers a modality at most for each domain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.data.simulated.features import SimulatedFeatures
from avshot.data.sources import as_indices
from avshot.errors import BadDataset
from avshot.types import MODALITIES

GRAIN = 1e-3
CHUNK = 1024  # clips made at a time


def bayes_scores(
    source: SimulatedFeatures,
    rows: ArrayLike,
    candidates: ArrayLike,
    *,
    modality: str = "both",
    taught_by: ArrayLike | None = None,
) -> Tensor:
    """Log likelihood of the clips under each candidate class, up to a constant of the clip: `[clip, class]` float64.

    Args:
        source: Averaged features that `avshot.data.simulated.simulate.simulate` made.
        rows: `[clip]` rows of the source; none gives `[0, class]`.
        candidates: `[class]` class numbers of the source.
        modality: "both", or what the classifier gets to see: "audio" or "visual".
        taught_by: `[class]` class numbers. The classifier then knows of a class only that part of its vector which is a
            combination of the vectors of these classes: all that any number of their clips can teach a linear map.
            300 entries cannot be learnt from 42 classes. None = it knows everything.

    Raises:
        ValueError: The features are sequences (a mixture over spans, no longer Gaussian), or no such modality.
    """
    if source.story.temporal:
        raise BadDataset("The Bayes limit is known for averaged features only; leave temporal out.")
    if modality not in (*MODALITIES, "both"):
        raise BadDataset(f'modality is {modality!r}; expected "audio", "visual" or "both".')
    shown = [m for m, name in enumerate(MODALITIES) if modality in (name, "both")]
    classes = as_indices(candidates)
    domains = source.domain_of(classes)
    known = sorted(set(domains.tolist()))
    bases = {m: _basis(source, m, known) for m in shown}
    clips = _projected(source, as_indices(rows), bases)
    vectors = source.vectors if taught_by is None else _within(source.vectors, as_indices(taught_by))
    scores = torch.zeros(len(clips), len(classes), dtype=torch.float64)
    for domain in known:
        these = np.flatnonzero(domains == domain)
        maps = {m: source.class_map(m, domain) @ bases[m] for m in shown}
        parts = [source.class_part(m, vectors[classes[these]]) @ maps[m] for m in shown]
        means = torch.from_numpy(np.concatenate(parts, axis=1))
        scores[:, these] = _log_density(clips, means, _covariance(source, maps, bases))
    return scores


def bayes_accuracy(
    dataset: Dataset,
    fold: str,
    *,
    among: Sequence[str] | None = None,
    modality: str = "both",
    taught_by: Sequence[str] | None = None,
) -> float:
    """Mean accuracy per class of the Bayes classifier on the clips of `fold`, counted on these very clips.

    Args:
        dataset: What `simulate` made.
        fold: Name of the fold, with at least one clip.
        among: Candidate classes; None takes those of the fold (for "test_unseen" the limit of ZSL).
        modality: See `bayes_scores`.
        taught_by: Class names; see `bayes_scores`.

    Raises:
        ValueError: The dataset is not simulated, the fold is empty or not there, or see `bayes_scores`.

    Example:
        >>> from avshot.data.simulated.simulate import simulate
        >>> bayes_accuracy(simulate("ucf", scale=0.1, dims=(8, 8), signal=0.0), "test_unseen")  # one in six
        0.166...
    """
    source = dataset.features
    if not isinstance(source, SimulatedFeatures):
        raise BadDataset(f"Dataset {dataset.name!r} is not simulated; nobody knows its Bayes limit.")
    clips = dataset.fold(fold)
    if len(clips) == 0:
        raise BadDataset(f"Fold {fold!r} of dataset {dataset.name!r} has no clips to count.")

    def numbers(names: Sequence[str]) -> np.ndarray:
        index = {name: i for i, name in enumerate(dataset.names)}
        return np.array([index[name] for name in names], dtype=np.int64)

    candidates = numbers(dataset.classes_of(fold) if among is None else among)
    row_of = {id: row for row, id in enumerate(source.ids)}
    rows = [row_of[dataset.clips[i].id] for i in clips]
    taught = None if taught_by is None else numbers(taught_by)
    scores = bayes_scores(source, rows, candidates, modality=modality, taught_by=taught)
    labels = dataset.labels(clips).numpy()
    right = candidates[scores.argmax(dim=1).numpy()] == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def _basis(source: SimulatedFeatures, modality: int, domains: Sequence[int]) -> np.ndarray:
    """Orthonormal `[dim, rank]`: the directions in which features of these domains differ; the others hold nothing."""
    maps = [source.class_map(modality, domain) for domain in domains]
    columns = np.concatenate([*maps, source.scene_map(modality)]).astype(np.float64).T
    return np.linalg.qr(columns)[0] if columns.shape[0] > columns.shape[1] else np.eye(columns.shape[0])


def _projected(source: SimulatedFeatures, rows: np.ndarray, bases: dict[int, np.ndarray]) -> Tensor:
    """Features in the bases, the modalities side by side: `[clip, rank]`."""
    found = [torch.zeros(0, sum(basis.shape[1] for basis in bases.values()), dtype=torch.float64)]
    for i in range(0, len(rows), CHUNK):
        features = source.gather(rows[i : i + CHUNK]).pooled()
        found.append(torch.cat([features[m].double() @ torch.from_numpy(bases[m]) for m in bases], dim=1))
    return torch.cat(found)


def _covariance(source: SimulatedFeatures, maps: dict[int, np.ndarray], bases: dict[int, np.ndarray]) -> Tensor:
    """Covariance of a clip in the bases, given its class: noise of each modality, the common scene, the grain."""
    spread = source.story.noise / source.vectors.shape[1] ** 0.5
    scene = np.concatenate([source.scene_map(m) @ bases[m] for m in bases], axis=1)
    found = torch.from_numpy(scene.T @ scene)
    noise = [torch.from_numpy(spread**2 * (maps[m].T @ maps[m])) for m in bases]
    return found + torch.block_diag(*noise) + GRAIN**2 * torch.eye(len(found), dtype=torch.float64)


def _within(vectors: np.ndarray, taught: np.ndarray) -> np.ndarray:
    """`vectors` projected onto the span of those of the classes `taught`."""
    _, sizes, directions = np.linalg.svd(vectors[taught].astype(np.float64), full_matrices=False)
    kept = directions[sizes > 1e-6 * sizes.max(initial=0.0)]
    return vectors @ kept.T @ kept


def _log_density(clips: Tensor, means: Tensor, covariance: Tensor) -> Tensor:
    """Gaussian log density `[clip, class]` without the term that depends on neither."""
    factor = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(factor, clips.T, upper=False).T
    centres = torch.linalg.solve_triangular(factor, means.T, upper=False).T
    distance = white.square().sum(1)[:, None] + centres.square().sum(1) - 2 * white @ centres.T
    return -distance / 2 - factor.diagonal().log().sum()
