"""Generalised zero-shot learning as a task: what it refuses, chooses and measures."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from avshot.data.dataset import Dataset
from avshot.metrics.generalised import choose_beta, gzsl_metrics
from avshot.metrics.stacking import predict_calibrated
from avshot.recipe import Selection
from avshot.task import Scored, get_task, list_tasks
from avshot.tasks._generalised import FEW
from avshot.types import Clip

TASK = get_task("gzsl")


def zoo(**folds):
    labels = ("ant", "ant", "bee", "bee", "cow", "dog")
    clips = tuple(Clip(f"c{i}", label=label) for i, label in enumerate(labels))
    return Dataset("zoo", clips, ("ant", "bee", "cow", "dog"), {k: np.array(v) for k, v in folds.items()})


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ({"train": [0, 1], "val_seen": [1]}, "'c1' is in fold 'train' and in 'val_seen'"),
        ({"train": [0, 0]}, "'c0' is in fold 'train' and in 'train'"),
        ({"train": [0], "val_unseen": [1]}, "must not share any: ant"),
        ({"train": [0], "val_unseen": [2], "test_unseen": [3]}, "must not share any: bee"),
        ({"val_unseen": [2]}, "no clips in its fold 'train'"),
    ],
)
def test_folds_that_are_not_of_this_task(folds, message):
    with pytest.raises(ValueError, match=message):
        TASK.stages(zoo(**folds))


def test_a_class_that_validation_holds_out_may_be_tested_as_seen():
    first, second = TASK.stages(zoo(train=[0], val_seen=[1], val_unseen=[2], test_seen=[3], test_unseen=[4]))
    assert (first.seen, first.candidates) == (("ant",), ("ant", "bee"))
    assert (second.seen, second.candidates) == (("ant", "bee"), ("ant", "bee", "cow"))
    assert second.train.tolist() == [0, 1, 2]
    assert list(second.pools) == ["all"]
    assert TASK.candidates(zoo(train=[0], val_unseen=[2], test_unseen=[4])) == ("ant", "bee", "cow")


def scored(seed=0, clips=60, classes=6):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(clips) % classes
    scores = torch.randn(clips, classes, generator=generator) + torch.nn.functional.one_hot(labels, classes)
    seen = torch.arange(classes) < 4
    return Scored(scores + 0.8 * seen, labels, seen, tuple("abcdef"), tuple(map(str, range(clips))))


def test_what_is_applied_is_what_is_measured():
    test, settings = scored(), {"beta": 0.7, "view": "both"}
    found = TASK.measure(test, settings)
    assert found == gzsl_metrics(test.scores, test.labels, test.seen, 0.7)
    guess = TASK.apply(test.scores, test.seen, settings).argmax(dim=1)
    assert torch.equal(guess, predict_calibrated(test.scores, test.seen, 0.7))
    right = [float((guess == test.labels)[test.labels == c].double().mean()) for c in range(6)]
    assert found["per_class"] == pytest.approx(right)
    assert found["S"] == pytest.approx(sum(right[:4]) / 4)


def test_the_harmonic_mean_chooses_and_without_both_kinds_of_clips_accuracy():
    val = scored()
    verdict = TASK.select({"both": val}, Selection(beta_grid="avca"))
    assert (verdict.settings["beta"], verdict.score) == choose_beta(val.scores, val.labels, val.seen, "avca")
    rows = val.seen[val.labels]
    seen_alone = replace(val, scores=val.scores[rows], labels=val.labels[rows])
    verdict = TASK.select({"both": seen_alone}, Selection())
    assert verdict.score == gzsl_metrics(seen_alone.scores, seen_alone.labels, val.seen, 0.0)["S"]
    assert verdict.settings == {"beta": 0.0, "view": "both"}


def test_a_single_modality_is_trusted_within_a_standard_error():
    good = scored()
    worse = replace(good, scores=torch.zeros_like(good.scores))
    chosen = TASK.select({"both": good, "audio": good, "visual": worse}, Selection(beta_grid="exact"))
    assert chosen.settings["view"] == "audio"
    chosen = TASK.select({"both": good, "audio": worse, "visual": worse}, Selection(beta_grid="exact"))
    assert chosen.settings["view"] == "both"


@pytest.mark.parametrize("kind", ["seen", "unseen"])
def test_a_few_clips_choose_no_modality(kind):
    good = scored()
    ours = good.seen[good.labels] if kind == "seen" else ~good.seen[good.labels]
    for left in (FEW - 1, FEW):
        rows = torch.cat([ours.nonzero().flatten()[:left], (~ours).nonzero().flatten()])
        part = replace(good, scores=good.scores[rows], labels=good.labels[rows])
        chosen = TASK.select({"both": part, "audio": part, "visual": part}, Selection(beta_grid="exact"))
        assert chosen.settings["view"] == ("both" if left < FEW else "audio")
    assert TASK.select({"audio": part}, Selection()).settings["view"] == "audio"


def test_the_mean_of_three_betas_calibrates_what_both_decide():
    """AVCA-GZSL's programs of CJME and AVGZSLNet: each view's best on the grid, in a loop, then their mean."""
    views = {name: scored(seed) for seed, name in enumerate(("both", "audio", "visual"))}
    views["audio"] = replace(views["audio"], scores=3 * views["audio"].scores)
    best = {}
    for name, part in views.items():
        tried = {}
        for step in range(16):
            guess = (part.scores - 0.2 * step * part.seen).argmax(dim=1)
            right = [float((guess == part.labels)[part.labels == c].double().mean()) for c in range(6)]
            s, u = sum(right[:4]) / 4, sum(right[4:]) / 2
            tried[0.2 * step] = 2 * s * u / (s + u) if s + u else 0.0
        best[name] = max(tried, key=lambda beta: round(tried[beta], 12)), max(tried.values())
    assert len({round(beta, 6) for beta, _ in best.values()}) > 1
    verdict = TASK.select(views, Selection(beta_grid="avca", mean_beta=True))
    assert verdict.settings["beta"] == pytest.approx(sum(beta for beta, _ in best.values()) / 3)
    assert verdict.settings["view"] == "both"
    assert verdict.score == pytest.approx(best["both"][1])  # the epoch goes by both, at its own best
    alone = TASK.select({"both": views["both"]}, Selection(beta_grid="avca"))
    assert alone.settings["beta"] == pytest.approx(best["both"][0])


def test_no_calibration_is_a_grid_of_zero():
    val = scored()
    beta, score = choose_beta(val.scores, val.labels, val.seen, "none")
    assert (beta, score) == (0.0, gzsl_metrics(val.scores, val.labels, val.seen, 0.0)["HM"])


def test_guessers_are_what_guessing_gives():
    test = scored(clips=6000)
    chance, majority = TASK.guessers(test).values()
    guess = torch.randint(0, 6, (6000,), generator=torch.Generator().manual_seed(1))
    right = [float((guess == test.labels)[test.labels == c].double().mean()) for c in range(6)]
    assert chance["S"] == pytest.approx(sum(right[:4]) / 4, abs=0.03)
    constant = torch.zeros_like(test.scores)
    constant[:, 0], constant[:, 4] = 2.0, 1.0  # the same seen class always; among unseen ones the same, too
    found = gzsl_metrics(constant, test.labels, test.seen, 0.0)
    assert {metric: found[metric] for metric in majority} == pytest.approx(majority)


def test_tasks_are_found_by_name():
    assert list_tasks() == ["adverb", "gfsl", "gzsl"]
    with pytest.raises(ValueError, match="Task 'gzls' does not exist; tasks: adverb, gfsl, gzsl. Did you mean 'gzsl'"):
        get_task("gzls")
