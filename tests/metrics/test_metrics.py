"""Metrics against naive loops and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import recall_score

from avshot.metrics.accuracy import per_class_accuracy
from avshot.metrics.generalised import BETA_GRIDS, choose_beta, gzsl_metrics, harmonic_mean
from avshot.metrics.stacking import Rivals, exact_curve, predict_calibrated
from avshot.metrics.temperature import fit_temperature


def task(seed: int, clips: int = 60, classes: int = 7, *, coarse: bool = False):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(clips, classes, generator=generator)
    if coarse:  # few distinct values, so that ties are common
        scores = (scores * 2).round() / 2
    labels = torch.randint(classes, (clips,), generator=generator)
    seen = torch.arange(classes) < classes // 2 + 1
    return scores, labels, seen


def naive(scores, labels, seen, beta):
    right, total = {}, {}
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        lowered = [s - beta if seen[j] else s for j, s in enumerate(np.float32(row))]
        guess = max(range(len(lowered)), key=lambda j: (lowered[j], -j))
        total[label] = total.get(label, 0) + 1
        right[label] = right.get(label, 0) + (guess == label)
    accuracy = {c: right[c] / total[c] for c in total}
    s = [a for c, a in accuracy.items() if seen[c]]
    u = [a for c, a in accuracy.items() if not seen[c]]
    return sum(s) / max(len(s), 1), sum(u) / max(len(u), 1)


def test_accuracy_per_class_is_the_recall_of_sklearn():
    scores, labels, _ = task(0)
    guess = scores.argmax(1)
    expected = recall_score(labels.numpy(), guess.numpy(), average=None)
    assert per_class_accuracy(guess == labels, labels, 7).tolist() == pytest.approx(expected.tolist(), abs=1e-12)


def test_a_class_without_clips_is_nan():
    labels = torch.tensor([0, 0, 2])
    accuracy = per_class_accuracy(torch.tensor([0, 1, 2]) == labels, labels, 4)
    assert accuracy[:3:2].tolist() == [0.5, 1.0]
    assert accuracy[[1, 3]].isnan().all()


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_curve_on_a_grid_equals_the_loop(seed, coarse):
    scores, labels, seen = task(seed, coarse=coarse)
    betas = np.linspace(*BETA_GRIDS["avca"])
    curve = Rivals(scores, labels, seen).curve(betas)
    for i, beta in enumerate(np.float32(betas)):
        s, u = naive(scores, labels, seen, beta)
        assert curve.seen[i] == pytest.approx(s, abs=1e-12)
        assert curve.unseen[i] == pytest.approx(u, abs=1e-12)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_exact_curve_agrees_with_the_grid_at_its_own_points_and_is_never_beaten(seed, coarse):
    scores, labels, seen = (t.double() if t.is_floating_point() else t for t in task(seed, coarse=coarse))
    exact = exact_curve(scores, labels, seen)
    again = Rivals(scores, labels, seen).curve(exact.beta)
    np.testing.assert_allclose(exact.seen, again.seen, atol=1e-12)
    np.testing.assert_allclose(exact.unseen, again.unseen, atol=1e-12)
    fine = Rivals(scores, labels, seen).curve(np.linspace(-6, 6, 501) + 1e-4)
    assert exact.hm.max() >= fine.hm.max() - 1e-12
    assert (np.diff(exact.seen) <= 1e-12).all()
    assert (np.diff(exact.unseen) >= -1e-12).all()


def test_area_is_one_for_perfect_scores_and_small_for_random_ones():
    _, labels, seen = task(3, clips=400)
    perfect = torch.nn.functional.one_hot(labels, 7).float() * 10
    assert exact_curve(perfect, labels, seen).area() == pytest.approx(1.0)
    random = exact_curve(torch.randn(400, 7, generator=torch.Generator().manual_seed(1)), labels, seen)
    assert random.area() < 0.2


def test_beta_zero_is_a_value_and_wins_when_it_is_best():
    scores = torch.tensor([[2.0, 0.0], [0.0, 0.1]])
    labels, seen = torch.tensor([0, 1]), torch.tensor([True, False])
    assert choose_beta(scores, labels, seen, "avca") == (0.0, 1.0)


def test_exact_choice_stays_at_zero_unless_a_standard_error_speaks_against_it():
    seen = torch.tensor([True, False])
    scores = torch.tensor([[5.0, 0.0], [1.0, 0.0]])  # margins 5 (seen clip) and 1 (unseen clip): beta in (1, 5)
    beta, hm = choose_beta(scores, torch.tensor([0, 1]), seen, "exact")
    assert (beta, hm) == (3.0, 1.0)
    # 20 clips each; at 0 one unseen clip in 20 is lost, which is less than one standard error of the best value
    margin = torch.cat([torch.linspace(0.5, 3.0, 20) - 0.9 * (torch.arange(20) < 3), -torch.linspace(0.1, 2.0, 20)])
    margin[-1] = 0.3
    scores = torch.stack([margin, torch.zeros(40)], dim=1)
    labels = torch.tensor([0] * 20 + [1] * 20)
    beta, hm = choose_beta(scores, labels, seen, "exact")
    curve = Rivals(scores, labels, seen).curve(np.array([beta]))
    assert beta == 0.0
    assert hm - 0.06 < curve.hm[0] <= hm


def test_unknown_grid_names_the_known_ones():
    scores, labels, seen = task(0)
    with pytest.raises(ValueError, match="grids: avca, clipclap, exact"):
        choose_beta(scores, labels, seen, "fine")


@pytest.mark.parametrize("beta", [0.0, 0.4, 2.0])
def test_gzsl_metrics_against_the_loop(beta):
    scores, labels, seen = task(5)
    metrics = gzsl_metrics(scores, labels, seen, beta)
    s, u = naive(scores, labels, seen, np.float32(beta))
    assert metrics["S"] == pytest.approx(s)
    assert metrics["U"] == pytest.approx(u)
    assert metrics["HM"] == pytest.approx(harmonic_mean(s, u))
    unseen_only = ~seen[labels]
    guess = scores[unseen_only][:, ~seen].argmax(1) + int(seen.sum())
    expected = recall_score(labels[unseen_only].numpy(), guess.numpy(), average="macro", labels=[4, 5, 6])
    assert metrics["ZSL"] == pytest.approx(expected)


def test_metrics_without_unseen_clips_are_none_not_nan():
    scores, labels, seen = task(0)
    known = seen[labels]
    metrics = gzsl_metrics(scores[known], labels[known], seen, 0.0)
    assert metrics["U"] is None
    assert metrics["HM"] is None
    assert metrics["ZSL"] is None
    assert metrics["without_clips"] == int((~seen).sum())


def test_calibration_moves_predictions_from_seen_to_unseen():
    scores, _, seen = task(0)
    share = [seen[predict_calibrated(scores, seen, beta)].float().mean().item() for beta in (-9.0, 0.0, 9.0)]
    assert share[0] == 1.0
    assert 0 < share[1] < 1
    assert share[2] == 0.0


def test_temperature_minimises_the_balanced_likelihood():
    scores, labels, _ = task(2, clips=300)
    scores = scores + 1.5 * torch.nn.functional.one_hot(labels, 7)
    found = fit_temperature(scores * 13, labels)
    counts = torch.bincount(labels, minlength=7)

    def loss(t):
        picked = torch.log_softmax(scores.double() * 13 / t, 1)[torch.arange(300), labels]
        return float(-(picked / counts[labels]).sum())

    assert loss(found) <= min(loss(found * f) for f in (0.8, 0.95, 0.99, 1.01, 1.05, 1.25)) + 1e-3
    assert fit_temperature(scores[:0], labels[:0]) == 1.0


def test_temperature_of_clips_with_few_candidates_each_is_that_of_these_candidates():
    generator = torch.Generator().manual_seed(0)
    few, place = torch.randn(40, 5, generator=generator), torch.stack([torch.randperm(60)[:5] for _ in range(40)])
    labels = few.argmax(1)
    scores = torch.full((40, 60), -torch.inf).scatter(1, place, few)
    wide = place.gather(1, labels[:, None])[:, 0]
    again = torch.full((40, 90), -torch.inf)
    again[:, 15:75] = scores  # more classes that are no candidates change nothing
    assert fit_temperature(scores, wide) == fit_temperature(again, wide + 15)
    assert fit_temperature(scores[:, :], wide) == pytest.approx(fit_temperature(scores * 2, wide) / 2, rel=0.02)
