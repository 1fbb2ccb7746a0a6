"""Simulated clips of pairs, at the sizes of the benchmarks of video-adverb retrieval.

They are not the benchmarks. What a clip shows of its pair is the action's vector and the adverb's, whose entries the
action scales by factors of its own:

    t_(a, v) = unit(u_a + manner * g_a . w_v)    g_a in [1 - depends, 1 + depends], a fixed function of the action

With `depends = 0` an adverb looks alike whatever is done; with 1 (the default) an action can hide or double any part of
it, so that the look of a pair that nobody has shown must be composed. Methods are told `u_a` and `w_v` as word vectors,
and of a pair the mean of both. The rest of the story is that of `avshot.data.simulated.simulate`, without sound. Which
pairs there are, and how many clips of each, is drawn: few actions are frequent, and each has adverbs of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from avshot.data.dataset import Dataset
from avshot.data.pair_split import PairRule, split_pairs
from avshot.data.pairs import Pairs, all_pairs, by_frequency, pair_name
from avshot.data.simulated.features import SimulatedFeatures, Story
from avshot.errors import BadDataset
from avshot.settings import did_you_mean, read_options
from avshot.types import Clip

DIMS = (0, 1024)  # no sound; S3D, mixed_5c
WORD_DIM = 300


@dataclass(frozen=True)
class PairSize:
    """Rows and words of a released split (its tables, counted).

    Attributes:
        rows: Of training and test; with the unlabelled ones where pairs are unseen.
        test: Share of the rows that is tested where all pairs are seen; 0: unseen compositions by the rule.
        adverbs: How many.
        actions: How many.
        pairs: With clips.
        seconds: Shortest, median and longest clip.
    """

    rows: int
    test: float
    adverbs: int
    actions: int
    pairs: int
    seconds: tuple[float, float, float]


SIZES: Mapping[str, PairSize] = {
    "howto100m-adverbs": PairSize(5462, 323 / 5462, 6, 72, 257, (10, 20, 20)),
    "air": PairSize(7003, 1401 / 7003, 10, 48, 186, (4, 8.4, 20)),
    "activitynet-adverbs": PairSize(2972, 595 / 2972, 20, 113, 635, (2, 20, 120)),
    "msrvtt-adverbs": PairSize(1747, 350 / 1747, 18, 104, 450, (10, 15, 30)),
    "vatex-adverbs": PairSize(13947, 2790 / 13947, 34, 135, 1524, (10, 10, 10)),
    "activitynet-adverbs-unseen": PairSize(2972, 0, 20, 113, 635, (2, 20, 120)),
    "msrvtt-adverbs-unseen": PairSize(1747, 0, 18, 104, 450, (10, 15, 30)),
    "vatex-adverbs-unseen": PairSize(13213, 0, 34, 133, 1272, (10, 10, 10)),
}


def simulate_pairs(
    name: str,
    *,
    scale: float = 1.0,
    seed: int = 0,
    manner: float = 1.0,
    depends: float = 1.0,
    dims: tuple[int, int] = DIMS,
    **knobs: Any,
) -> Dataset:
    """A dataset of simulated features with the rows, words and pairs of a released split.

    Args:
        name: One of `SIZES`.
        scale: Multiplies the rows; every pair keeps at least one clip.
        seed: Draws words, pairs, rows, maps and clips.
        manner: Length of the adverb's part beside that of the action.
        depends: How far the look of an adverb depends on the action, 0 to 1.
        dims: Width of audio and visual features; 0 = there is none.
        knobs: Any field of `Story` (`temporal` for sequences).

    Returns:
        Dataset `simulated-<name>` of all pairs of its words, with the word vectors "simulated".

    Raises:
        ValueError: Unknown name or knob, or settings out of range.

    Example:
        >>> data = simulate_pairs("air", scale=0.1, dims=(0, 8))
        >>> data.name, len(data.names), sorted(data.folds)
        ('simulated-air', 480, ['test_seen', 'train'])
    """
    _check(name, scale, manner, depends, knobs)
    size, rng = SIZES[name], np.random.default_rng([seed, 0])
    rows = _rows(size, round(size.rows * scale), rng)
    clips = [Clip(f"simulated-{i:06d}", label=pair_name(*pair)) for i, pair in enumerate(rows)]
    pairs = _pairs(size, rows)
    folds = _folds(size, clips, rows, pairs, seed)
    words = {factor: _unit(rng.standard_normal((len(of), WORD_DIM))) for factor, of in pairs.words.items()}
    vectors = _looks(pairs, words, manner, depends, rng)
    number = {label: i for i, label in enumerate(pairs.actions)}
    low, median, high = size.seconds
    source = SimulatedFeatures(
        ids=tuple(clip.id for clip in clips),
        classes=np.array([number[str(clip.label)] for clip in clips]),
        vectors=vectors,
        dims=dims,
        seconds=np.clip(median * np.exp(0.5 * rng.standard_normal(len(clips))), low, high),
        story=Story(seed=seed, **knobs),
    )
    told = {factor: torch.from_numpy(of).float() for factor, of in words.items()}
    whole = _told(pairs, told)
    text = {"simulated": whole}
    pairs = replace(pairs, text={"simulated": told})
    return Dataset(f"simulated-{name}", tuple(clips), tuple(pairs.actions), folds, source, text=text, pairs=pairs)


def _check(name: str, scale: float, manner: float, depends: float, knobs: Mapping[str, Any]) -> None:
    if name not in SIZES:
        raise BadDataset(
            f"No split {name!r} to simulate; expected one of {', '.join(SIZES)}.{did_you_mean(name, SIZES)}"
        )
    if not 0 < scale <= 1000 or not 0 <= manner < np.inf or not 0 <= depends <= 1:
        raise BadDataset(f"Got scale {scale}, manner {manner}, depends {depends}; expected above 0, 0 or more, 0 to 1.")
    unknown = sorted(set(knobs) - {field.name for field in fields(Story)})
    if unknown:
        raise BadDataset(f"Simulated features have no knob {', '.join(map(repr, unknown))}.")


def load_simulated_pairs(spec: str) -> Dataset:
    """`simulate_pairs` from a text such as `vatex-adverbs?scale=0.1&temporal=true`. Raises ValueError as it does."""
    name, _, query = spec.partition("?")
    read: Mapping[str, Callable[[str], Any]] = {"float": float, "int": int, "bool": bool}
    types: dict[str, Callable[[str], Any]] = {"scale": float, "manner": float, "depends": float}
    types |= {field.name: read[str(field.type)] for field in fields(Story)}
    return simulate_pairs(name, **read_options(query, types, "Simulated data"))


def _rows(size: PairSize, count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Action and adverb of each row, in the order of a shuffle; every word and every pair has one."""
    actions, adverbs = size.actions, size.adverbs
    weight = rng.dirichlet(np.full(actions, 0.7))[:, None] * rng.dirichlet(np.full(adverbs, 0.7), actions)
    weight = weight * rng.dirichlet(np.full(adverbs, 2.0)) + 1e-9
    order = np.argsort(-np.log(weight.ravel()) - rng.gumbel(size=weight.size), kind="stable")
    chosen = {(a, a % adverbs) for a in range(actions)} | {(v % actions, v) for v in range(adverbs)}
    for place in order.tolist():
        if len(chosen) >= size.pairs:
            break
        chosen.add(divmod(place, adverbs))
    listed = sorted(chosen)
    share = np.array([weight[pair] for pair in listed])
    extra = max(0, count - len(listed))
    clips = 1 + rng.multinomial(extra, share / share.sum())
    rows = [pair for pair, n in zip(listed, clips.tolist(), strict=True) for _ in range(n)]
    return [(f"action{rows[i][0]:03d}", f"adverb{rows[i][1]:02d}") for i in rng.permutation(len(rows))]


def _pairs(size: PairSize, rows: list[tuple[str, str]]) -> Pairs:
    """All pairs of the words, by frequency; each adverb and the next one are antonyms."""
    actions, adverbs = (by_frequency(words) for words in zip(*rows, strict=True))
    antonyms = {f"adverb{v:02d}": f"adverb{v + 1:02d}" for v in range(0, size.adverbs - 1, 2)}
    return all_pairs(actions, adverbs, antonyms)


def _folds(
    size: PairSize, clips: list[Clip], rows: list[tuple[str, str]], pairs: Pairs, seed: int
) -> dict[str, np.ndarray]:
    if size.test:
        ends = round(len(clips) * (1 - size.test))
        return {"train": np.arange(ends), "test_seen": np.arange(ends, len(clips))}
    pair_of = {pair_name(*pair): pair for pair in rows}
    fold_of = split_pairs(clips, pair_of, pairs.antonyms, PairRule(seed=seed)).fold_of
    return {
        fold: np.array([i for i, clip in enumerate(clips) if fold_of[clip.id] == fold])
        for fold in ("train", "unlabelled", "test_unseen")
    }


def _looks(
    pairs: Pairs, words: Mapping[str, np.ndarray], manner: float, depends: float, rng: np.random.Generator
) -> np.ndarray:
    """`[class, 300]`: what a clip shows of each pair (`t` of the module's docstring)."""
    gate = 1 + depends * np.tanh(2 * words["action"] @ rng.standard_normal((WORD_DIM, WORD_DIM)))
    place = {factor: {word: i for i, word in enumerate(of)} for factor, of in pairs.words.items()}
    action = np.array([place["action"][word] for word in pairs.actions.values()])
    adverb = np.array([place["adverb"][word] for word in pairs.adverbs.values()])
    return _unit(words["action"][action] + manner * gate[action] * words["adverb"][adverb])


def _told(pairs: Pairs, told: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """`[class, 300]`: the mean of the words' vectors, at length 1."""
    place = {factor: {word: i for i, word in enumerate(of)} for factor, of in pairs.words.items()}
    parts = [
        told[factor][[place[factor][word] for word in of.values()]]
        for factor, of in (("action", pairs.actions), ("adverb", pairs.adverbs))
    ]
    return torch.nn.functional.normalize(parts[0] + parts[1], dim=1)


def _unit(table: np.ndarray) -> np.ndarray:
    return (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)
