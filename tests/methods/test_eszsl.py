"""ESZSL: the map against the objective it minimises, the chosen penalties against a naive search, and batches."""

import itertools

import numpy as np
import pytest
import torch

from avshot.method import Inputs
from avshot.registry import create_method
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=4, visual=3, text={"words": 5})


def make_task(size=60, count=9, noise=0.7, seed=0, text_dim=5):
    """Clips whose features are noisy linear images of their class embeddings; classes differ in size."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.nn.functional.normalize(torch.randn(count, text_dim, generator=generator), dim=1)
    classes = Classes(tuple(f"c{i}" for i in range(count)), {"words": text}, torch.ones(count, dtype=torch.bool))
    labels = torch.cat([torch.arange(count), (torch.rand(size - count, generator=generator) ** 2 * count).long()])
    parts = [
        text[labels] @ torch.randn(text_dim, width, generator=generator)
        + noise * torch.randn(size, width, generator=generator)
        for width in (4, 3)
    ]
    return Batch(Features.averaged(*parts), labels, classes)


def fitted(batch, parts=1, **overrides):
    model = create_method("eszsl", INPUTS, **overrides).eval()
    cuts = np.array_split(np.arange(len(batch)), parts)
    model.adapt([Batch(batch.features[c], batch.labels[c], batch.classes) for c in cuts], batch.classes)
    return model


def scaled_by_hand(batch, scaling):
    parts = []
    for value in (batch.features.audio[:, 0].double(), batch.features.visual[:, 0].double()):
        if scaling in ("standardise", "both"):
            value = (value - value.mean(dim=0)) / value.std(dim=0, unbiased=False)
        if scaling in ("features", "both"):
            value = value / value.square().sum(dim=1, keepdim=True).sqrt()
        parts.append(value)
    return torch.cat(parts, dim=1)


def weights_by_hand(labels, balance):
    share = [len(labels) / (labels == label).sum() / len(labels.unique()) for label in labels]
    return torch.tensor(share).double() if balance else torch.ones(len(labels)).double()


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_rounding_is_not_blown_up_to_unit_size(level):
    """A block whose average is zero (or the same) by construction holds rounding alone."""
    batch = make_task()
    audio, visual = batch.features.pooled()
    rounding = level + 1e-8 * torch.randn(len(audio), 2, generator=torch.Generator().manual_seed(0))
    audio = torch.cat([audio[:, :2], rounding], dim=1)
    fit = fitted(Batch(Features.averaged(audio, visual), batch.labels, batch.classes))
    scaled = fit.scaled(Features.averaged(audio, visual))
    assert scaled[:, 2:4].abs().max() < 1e-5
    assert scaled[:, :2].abs().max() > 0.1
    assert torch.equal(fit.audio_deviation[2:], torch.ones(2))


@pytest.mark.parametrize("scaling", ["none", "features", "standardise", "both"])
@pytest.mark.parametrize(
    ("wrong", "balance", "relative"), [(0.0, True, True), (-1.0, False, False), (0.3, True, False)]
)
def test_the_map_is_the_minimum_of_the_objective(scaling, wrong, balance, relative):
    batch, gamma, lam = make_task(), 0.3, 0.2
    settings = {"scaling": scaling, "wrong": wrong, "balance": balance, "relative": relative}
    model = fitted(batch, gamma=gamma, lam=lam, **settings)
    assert model.penalties.tolist() == pytest.approx([gamma, lam])
    x, s = scaled_by_hand(batch, scaling), batch.classes.text["words"].double()
    weight = weights_by_hand(batch.labels, balance)
    y = torch.where(batch.labels[:, None] == torch.arange(len(s)), 1.0, wrong).double()
    if relative:
        gamma = gamma * torch.linalg.eigvalsh(x.T @ (weight[:, None] * x)).mean()
        lam = lam * torch.linalg.eigvalsh(s.T @ s).mean()

    def objective(v):
        """Equations 3 and 4 of the paper with beta = gamma * lambda."""
        return (
            (weight[:, None] * (x @ v @ s.T - y).square()).sum()
            + gamma * (v @ s.T).square().sum()
            + lam * (weight[:, None] * (x @ v).square()).sum()
            + gamma * lam * v.square().sum()
        )

    v = model.map.detach().double().requires_grad_()
    least = objective(v)
    (slope,) = torch.autograd.grad(least, v)
    assert (
        slope.abs().max()
        < 1e-4 * torch.autograd.grad(objective(w := 2 * v.detach().requires_grad_()), w)[0].abs().max()
    )
    for seed in range(3):
        step = 1e-2 * torch.randn(v.shape, generator=torch.Generator().manual_seed(seed)).double()
        assert objective(v + step) > least


def search_by_hand(batch, grid, folds):
    """Mean recall of held-out classes for every pair of penalties, class by class."""
    x, s, labels = (
        scaled_by_hand(batch, "both").numpy(),
        batch.classes.text["words"].double().numpy(),
        batch.labels.numpy(),
    )
    weight = weights_by_hand(batch.labels, True).numpy()
    recall = {}
    for gamma, lam in itertools.product(grid, grid):
        found = {}
        for fold in range(folds):
            held = [c for c in range(len(s)) if c % folds == fold]
            kept = [c for c in range(len(s)) if c % folds != fold]
            rows = [i for i, label in enumerate(labels) if label in kept]
            xk, wk, sk = x[rows], weight[rows][:, None], s[kept]
            y = (labels[rows][:, None] == np.array(kept)).astype(float)
            gram, classes = xk.T @ (wk * xk), sk.T @ sk
            left = np.linalg.inv(gram + gamma * np.linalg.eigvalsh(gram).mean() * np.eye(len(gram)))
            right = np.linalg.inv(classes + lam * np.linalg.eigvalsh(classes).mean() * np.eye(len(classes)))
            v = left @ (wk * xk).T @ y @ sk @ right
            for c in held:
                best = [held[int(np.argmax(row @ v @ s[held].T))] for row in x[labels == c]]
                found[c] = np.mean([b == c for b in best])
        recall[gamma, lam] = np.mean(list(found.values()))
    return recall


def test_the_penalties_are_those_of_a_naive_search_over_held_out_classes():
    grid, chosen = (0.01, 1.0, 100.0), set()
    for seed in range(4):
        batch = make_task(noise=1.0, seed=seed)
        recall = search_by_hand(batch, grid, folds=3)
        assert len(set(recall.values())) > 2
        expected = max(recall, key=lambda pair: (round(recall[pair], 9), pair))  # the strongest on ties
        assert fitted(batch, grid=grid).penalties.tolist() == pytest.approx(expected)
        chosen.add(expected)
    assert len(chosen) > 1


def test_batches_change_nothing_and_it_repeats():
    batch = make_task()
    whole, parts = fitted(batch), fitted(batch, parts=7)
    torch.testing.assert_close(parts.map, whole.map)
    assert torch.equal(parts.penalties, whole.penalties)
    before = parts.map.clone()
    parts.adapt(None, batch.classes)
    assert torch.equal(parts.map, before)


def test_more_dimensions_than_clips():
    batch, generator = make_task(size=12, count=4), torch.Generator().manual_seed(2)
    wide = Features.averaged(torch.randn(12, 40, generator=generator), torch.randn(12, 30, generator=generator))
    model = create_method("eszsl", Inputs(40, 30, {"words": 5}), gamma=1e-3, lam=1e-3)
    model.adapt([Batch(wide, batch.labels, batch.classes)], batch.classes)
    assert (model.score(wide, batch.classes).argmax(dim=1) == batch.labels).all()


def test_a_channel_that_never_changes_and_classes_without_clips_do_no_harm():
    batch = make_task()
    audio = torch.cat([batch.features.audio[:, 0, :3], torch.full((len(batch), 1), 254.9)], dim=1)
    used = batch.labels < 7
    features = Features.averaged(audio, batch.features.visual[:, 0])[used]
    model = fitted(Batch(features, batch.labels[used], batch.classes))
    assert model.audio_deviation[3] == 1.0
    assert model.scaled(features)[:, 3].abs().max() < 1e-3
    known = batch.classes.select(batch.classes.names[:7])
    torch.testing.assert_close(fitted(Batch(features, batch.labels[used], known)).map, model.map)


def test_clips_without_a_modality_stay_out_of_its_statistics():
    batch = make_task()
    deaf = batch.features[:20].only("visual")
    model = fitted(Batch(Features.cat([batch.features[20:], deaf]), batch.labels.roll(-20), batch.classes))
    torch.testing.assert_close(model.audio_mean, batch.features.audio[20:, 0].mean(dim=0))
    torch.testing.assert_close(model.visual_mean, batch.features.visual[:, 0].mean(dim=0))
    assert model.scaled(deaf)[:, :4].abs().max() == 0.0


def test_too_few_classes_to_hold_out_take_the_middle_of_the_grid():
    batch = make_task(size=9, count=3)
    assert fitted(batch).penalties.tolist() == [1.0, 1.0]
    assert fitted(batch, gamma=5.0).penalties.tolist() == [5.0, 1.0]


def test_errors():
    for wrong in ({"gamma": 0.0}, {"lam": -1.0}, {"grid": ()}, {"folds": 1}):
        with pytest.raises(ValueError, match="positive gamma, lam and grid"):
            create_method("eszsl", INPUTS, **wrong)
    with pytest.raises(ValueError, match="expected one of none, features"):
        create_method("eszsl", INPUTS, scaling="length")
    with pytest.raises(ValueError, match="no training clips"):
        create_method("eszsl", INPUTS).adapt([], make_task().classes)


def test_chunks_change_nothing(monkeypatch):
    batch = make_task()
    whole = fitted(batch, parts=5)
    monkeypatch.setattr("avshot.methods.eszsl.CHUNK", 20)  # batches of 12: two are joined, the last stays alone
    torch.testing.assert_close(fitted(batch, parts=5).map, whole.map)


@pytest.mark.parametrize("balance", [True, False])
def test_scores_are_in_units_of_their_deviation_whatever_the_penalties(balance):
    batch, sizes = make_task(), []
    for lam in (1e-2, 1e3):
        model = fitted(batch, gamma=0.1, lam=lam, balance=balance)
        raw = model.embeddings(batch.features, batch.classes)[0] @ batch.classes.text["words"].T
        sizes.append(raw.abs().mean().item())
        scores = model.score(batch.features, batch.classes)
        assert torch.equal(scores.argsort(dim=1), raw.argsort(dim=1))
        weight = weights_by_hand(batch.labels, balance)
        variances = [np.var(row) for row in scores.double().numpy()]
        assert np.average(variances, weights=weight.numpy()) == pytest.approx(1.0, rel=1e-4)
    assert sizes[0] > 20 * sizes[1]
