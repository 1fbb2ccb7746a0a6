"""The Bayes limit against textbook densities, and methods against the limit: chance, near it, and what moves it."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm

from avshot.data.dataset import Dataset
from avshot.data.simulated.bayes_limit import bayes_accuracy, bayes_scores
from avshot.data.simulated.features import SimulatedFeatures, Story
from avshot.data.simulated.simulate import simulate
from avshot.method import Inputs
from avshot.registry import create_method
from avshot.training.clips import ClipSource
from avshot.types import Classes

TRAINING = ("train", "val_seen", "val_unseen")
SMALL = {"scale": 0.5, "dims": (24, 32), "noise": 2.0}  # 633 unseen clips of 9 classes


def narrow(width=12):
    """Class vectors with fewer entries than there are seen classes, so that clips can teach all of them."""
    rng = np.random.default_rng(0)
    return {f"class {i}": rng.standard_normal(width) for i in range(51)}


def small(**knobs):
    return simulate("ucf-main", vectors=narrow(), **(SMALL | knobs))


def classes_of(data, names):
    rows = torch.tensor([data.names.index(name) for name in names])
    text = {encoder: vectors[rows] for encoder, vectors in data.text.items()}
    return Classes(tuple(names), text, torch.zeros(len(names), dtype=torch.bool))


def seen_of(data):
    return tuple(dict.fromkeys(name for fold in TRAINING for name in data.classes_of(fold)))


def mean_accuracy(right, labels):
    return float(np.mean([right[labels == label].double().mean() for label in labels.unique()]))


def eszsl_accuracy(data):
    """ZSL of the closed-form linear method `eszsl`, trained on all training folds."""
    clips = np.concatenate([data.fold(fold) for fold in TRAINING])
    source = ClipSource(data, clips, classes_of(data, seen_of(data)))
    model = create_method("eszsl", Inputs.of(source.features(slice(0, 1)), source.classes)).eval()
    model.adapt(source.once(torch.device("cpu")), source.classes)
    test = data.fold("test_unseen")
    unseen = ClipSource(data, test, classes_of(data, data.classes_of("test_unseen")))
    scores = model.score(unseen.features(slice(None)), unseen.classes)
    return mean_accuracy(scores.argmax(dim=1) == unseen.labels, unseen.labels)


def story_by_hand(source):
    """Maps `M[domain][m] [dim, width]` and `B[m] [dim, 16]`, drawn again from the formula."""
    story, width = source.story, source.vectors.shape[1]
    rng = np.random.default_rng([story.seed, 1])
    here, scenes = [], []
    for dim in source.dims:
        here.append(rng.standard_normal((width, dim), dtype=np.float32).T.astype(float))
        scenes.append(rng.standard_normal((16, dim), dtype=np.float32).T.astype(float) * story.scene / 4)
    maps = {0: here}
    for domain in (1, 2):
        rng = np.random.default_rng([story.seed, 5, domain])
        other = [rng.standard_normal((width, dim), dtype=np.float32).T.astype(float) for dim in source.dims]
        angle = np.radians(90 * story.gap)
        maps[domain] = [np.cos(angle) * a + np.sin(angle) * b for a, b in zip(here, other, strict=True)]
    return maps, scenes


def density_by_hand(source, features, candidates, shown=(0, 1)):
    """Log density of every clip under every class from scipy, with the full covariance of all features."""
    maps, scenes = story_by_hand(source)
    story, width, columns = source.story, source.vectors.shape[1], []
    scale = [story.signal * np.sqrt(1 - story.imbalance), story.signal * np.sqrt(1 + story.imbalance)]
    clips = np.concatenate([features[m].numpy() for m in shown], axis=1)
    for c in candidates:
        own = maps[int(source.domains[c])]
        mean = np.concatenate([scale[m] * own[m] @ source.vectors[c] for m in shown])
        parts = [
            [scenes[m] @ scenes[n].T + (story.noise**2 / width * own[m] @ own[n].T if m == n else 0) for n in shown]
            for m in shown
        ]
        covariance = np.block(parts) + 1e-6 * np.eye(len(mean))
        columns.append(multivariate_normal(mean, covariance).logpdf(clips))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("gap", [0.0, 0.4])
@pytest.mark.parametrize("dims", [(3, 4), (60, 45)])  # fewer and more than the columns of M and B
def test_scores_are_log_densities(dims, gap):
    data = simulate("ucf", vectors=narrow(5), dims=dims, scale=0.02, noise=1.5, imbalance=0.3, gap=gap, signal=1.2)
    source, candidates = data.features, np.array([0, 7, 33, 41, 45, 47])  # of all three domains
    rows = np.flatnonzero(np.isin(source.classes, candidates))[:30]
    features = source.gather(rows).pooled()
    for modality, shown in (("both", (0, 1)), ("audio", (0,)), ("visual", (1,))):
        found = bayes_scores(source, rows, candidates, modality=modality).numpy()
        expected = density_by_hand(source, features, candidates, shown)
        found, expected = (values - values[:, :1] for values in (found, expected))
        # Large differences are those between domains, where rounding of the features meets the grain of 0.001.
        assert found == pytest.approx(expected, rel=5e-3, abs=0.05)


def test_accuracy_among_two_classes_is_that_of_the_textbook():
    """Phi(distance / 2), the Mahalanobis distance of two Gaussians with one covariance."""
    vectors, rng = narrow(6), np.random.default_rng(1)
    table = np.stack([v / np.linalg.norm(v) for v in vectors.values()]).astype(np.float32)[:2]
    count = 4000
    source = SimulatedFeatures(
        ids=tuple(map(str, range(count))),
        classes=rng.integers(0, 2, count),
        vectors=table,
        dims=(4, 5),
        seconds=np.ones(count),
        story=Story(noise=2.0),
        domains=np.zeros(2, dtype=np.int64),
    )
    maps, scenes = story_by_hand(source)
    both = np.concatenate([m @ (table[0] - table[1]) for m in maps[0]])
    noise = [4.0 / 6 * m @ m.T for m in maps[0]]
    scene = np.concatenate(scenes)
    covariance = scene @ scene.T
    covariance[:4, :4] += noise[0]
    covariance[4:, 4:] += noise[1]
    expected = norm.cdf(np.sqrt(both @ np.linalg.solve(covariance, both)) / 2)
    right = bayes_scores(source, np.arange(count), [0, 1]).argmax(dim=1).numpy() == source.classes
    assert 0.6 < expected < 0.95
    assert right.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / count))


def test_without_signal_all_are_at_chance():
    """Whatever a classifier does, its expected accuracy is 1/9; the bound is four standard deviations of the mean."""
    data = small(signal=0.0)
    counts = np.bincount(data.labels(data.fold("test_unseen")).numpy())[-9:]
    bound = 4 * np.sqrt((1 / 9 * 8 / 9 / counts).sum()) / 9
    assert bayes_accuracy(data, "test_unseen") == pytest.approx(1 / 9, abs=bound)
    assert eszsl_accuracy(data) == pytest.approx(1 / 9, abs=bound)
    hidden = small(audio_signal=0.0)
    assert bayes_accuracy(hidden, "test_unseen", modality="audio") == pytest.approx(1 / 9, abs=bound)
    assert bayes_accuracy(hidden, "test_unseen", modality="visual") > 0.4


def test_a_closed_form_linear_method_comes_near_the_limit():
    """Within 0.08 of it where the seen classes can teach all entries of the class vectors, and not above it."""
    for noise, least in ((1.0, 0.95), (2.0, 0.65)):
        data = small(noise=noise, scale=1.0)
        limit, found = bayes_accuracy(data, "test_unseen"), eszsl_accuracy(data)
        assert limit > least
        assert limit - 0.08 < found < limit + 0.02


def test_few_seen_classes_teach_few_entries():
    """300 entries, 42 seen classes: the limit is out of reach, the limit of what can be taught is not."""
    data = simulate("ucf-main", scale=0.5, dims=(128, 128), noise=2.0)
    limit = bayes_accuracy(data, "test_unseen")
    taught = bayes_accuracy(data, "test_unseen", taught_by=seen_of(data))
    found = eszsl_accuracy(data)
    assert limit > 0.97
    assert found < taught + 0.02
    assert 0.3 < taught < limit - 0.1
    assert found > taught - 0.2
    easy = small()  # 12 entries: nothing is lost
    assert bayes_accuracy(easy, "test_unseen", taught_by=seen_of(easy)) == bayes_accuracy(easy, "test_unseen")


def limits(**knobs):
    data = small(**knobs)
    return [bayes_accuracy(data, "test_unseen", modality=modality) for modality in ("both", "audio", "visual")]


def test_knobs_move_the_limit_in_the_stated_direction():
    both, audio, visual = limits()
    assert limits(signal=0.5)[0] < both - 0.2 < both + 0.1 < limits(signal=2.0)[0]
    assert limits(noise=3.0)[0] < both - 0.1 < both + 0.1 < limits(noise=1.0)[0]
    assert limits(scene=0.0)[1] > audio > limits(scene=4.0)[1] + 0.02  # 24 features cannot hide 16 of scene
    less = limits(audio_signal=0.5)
    assert less[0] < both - 0.05
    assert less[1] < audio - 0.1
    assert less[2] == visual
    least = limits(audio_signal=0.5, visual_signal=0.5)
    assert least[0] < less[0] - 0.05
    moved = limits(imbalance=0.5)
    assert moved[1] < audio - 0.05 < visual + 0.05 < moved[2]
    assert moved[0] == pytest.approx(both, abs=0.03)  # evidence moves, its sum stays
    assert limits(imbalance=1.0)[2] == pytest.approx(both, abs=0.06)


def test_the_limit_depends_on_signal_to_noise_alone():
    assert limits(signal=2.0, noise=4.0, scene=0.0) == limits(signal=1.0, noise=2.0, scene=0.0)


def test_a_gap_hurts_what_is_learnt_from_seen_classes_and_not_the_limit():
    datasets = [small(gap=gap) for gap in (0.0, 0.5, 1.0)]
    known = [bayes_accuracy(data, "test_unseen") for data in datasets]
    assert known == pytest.approx([known[0]] * 3, abs=0.03)
    learnt = [eszsl_accuracy(data) for data in datasets]
    assert learnt[0] > learnt[1] + 0.1
    assert learnt[1] > learnt[2] + 0.1
    assert learnt[2] == pytest.approx(1 / 9, abs=0.08)
    every = [*seen_of(datasets[0]), *datasets[0].classes_of("test_unseen")]
    unseen = [bayes_accuracy(data, "test_unseen", among=every) for data in datasets]
    assert unseen[0] < unseen[1]  # who knows the maps also sees which domain a clip is from


def test_shifted_class_vectors_hurt_methods_that_learn_from_them():
    right, shifted = small(), small(shifted=True)
    assert eszsl_accuracy(shifted) < eszsl_accuracy(right) - 0.3
    assert bayes_accuracy(shifted, "test_unseen") == bayes_accuracy(right, "test_unseen")


def test_shifted_class_vectors_leave_a_method_alone_that_ignores_names():
    """Nearest mean of the seen classes: the same guess for every seen test clip."""

    def guesses(data):
        rows = np.concatenate([data.fold(fold) for fold in TRAINING])
        clips, labels = torch.cat(data.gather(rows).pooled(), dim=1), data.labels(rows)
        means = torch.stack([clips[labels == c].mean(dim=0) for c in labels.unique()])
        return torch.cdist(torch.cat(data.gather(data.fold("test_seen")).pooled(), dim=1), means).argmin(dim=1)

    right, shifted = small(), small(shifted=True)
    assert torch.equal(guesses(right), guesses(shifted))
    labels = right.labels(right.fold("test_seen"))
    assert mean_accuracy(guesses(right) == labels, labels) > 3 / 42


def test_without_noise_nothing_is_confused():
    assert bayes_accuracy(small(noise=0.0, scale=0.05), "test_unseen") == 1.0
    assert bayes_accuracy(simulate("ucf", noise=0.0, scale=0.02), "test_unseen") == 1.0


def test_empty_selection_and_errors():
    data = small(scale=0.02)
    assert bayes_scores(data.features, [], [1, 2]).shape == (0, 2)
    with pytest.raises(ValueError, match="modality is 'smell'"):
        bayes_scores(data.features, [0], [0], modality="smell")
    with pytest.raises(ValueError, match="averaged features only"):
        bayes_accuracy(small(scale=0.02, temporal=True), "test_unseen")
    with pytest.raises(ValueError, match="'own' is not simulated"):
        bayes_accuracy(Dataset("own", data.clips, data.names, data.folds), "test_unseen")
    empty = Dataset("none", data.clips, data.names, {"train": [0], "test_unseen": []}, data.features)
    with pytest.raises(ValueError, match="'test_unseen' of dataset 'none' has no clips"):
        bayes_accuracy(empty, "test_unseen")
