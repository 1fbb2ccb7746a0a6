"""Judging a method after an epoch: which views are looked at, and what is kept of the best."""

import dataclasses

import numpy as np
import pytest
import torch

from avshot.method import Inputs
from avshot.recipe import VIEWS, Selection
from avshot.registry import create_method
from avshot.task import get_task
from avshot.training.clips import ClipSource
from avshot.training.scoring import Judged, score_clips
from avshot.training.selection import Judge
from avshot.types import Classes
from synthetic import synthetic_dataset


def judged(modality="both"):
    dataset = synthetic_dataset()
    classes = Classes(dataset.names[:8], {"made": dataset.text["made"][:8]}, torch.arange(8) < 6)
    rows = np.concatenate([dataset.folds["val_seen"], dataset.folds["val_unseen"]])
    return Judged(ClipSource(dataset, rows, classes, modality), classes)


def model(name="avca", **fields):
    torch.manual_seed(0)
    return create_method(name, Inputs(12, 10, {"made": 16}), **fields).eval()


def looked_at(monkeypatch, selection, folder, made, modality="both"):
    """The views in which the clips are scored."""
    found = []

    def noted(method, clips, view):
        found.append(view)
        return score_clips(method, clips, view)

    monkeypatch.setattr("avshot.training.selection.score_clips", noted)
    verdict = Judge(judged(modality), get_task("gzsl"), selection, folder / "best")(made)
    return found, verdict


@pytest.mark.parametrize(
    ("selection", "fields", "expected"),
    [
        (Selection(), {}, ["both"]),
        (Selection(views=VIEWS), {}, ["both", "audio", "visual"]),
        (Selection(mean_beta=True), {}, ["both", "audio", "visual"]),
        (Selection(views=VIEWS), {"branches": "visual"}, ["both", "visual"]),  # theta_a is not trained
        (Selection(views=("audio",)), {"branches": "visual"}, ["both"]),
    ],
)
def test_a_view_is_one_that_may_be_chosen_and_can_decide(monkeypatch, tmp_path, selection, fields, expected):
    assert looked_at(monkeypatch, selection, tmp_path, model(**fields))[0] == expected


def test_where_one_modality_is_shown_there_is_nothing_to_choose(monkeypatch, tmp_path):
    found, verdict = looked_at(monkeypatch, Selection(views=VIEWS), tmp_path, model(), "audio")
    assert (found, verdict.settings["view"]) == (["both"], "both")


def test_three_views_calibrate_what_both_decide(monkeypatch, tmp_path):
    """AVGZSLNet as released: each calibration from the distances of its own view, the scores kept are those of both."""
    made = model("avgzslnet", double_single=False)
    selection = Selection(beta_grid="avca", mean_beta=True)
    _, verdict = looked_at(monkeypatch, selection, tmp_path, made)
    alone = [
        get_task("gzsl").select({"both": judged().scored(score_clips(made, judged(), view))}, Selection())
        for view in VIEWS
    ]
    assert verdict.settings["beta"] == pytest.approx(sum(part.settings["beta"] for part in alone) / 3)
    assert verdict.score == alone[0].score
    kept = Judge(judged(), get_task("gzsl"), dataclasses.replace(selection), tmp_path / "best")
    assert kept.best == verdict.score
