"""Two Runs side by side: that both matrices are those of the Runs in one order, and what is said to differ."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import avshot.protocol as protocol
from avshot.experiment import Experiment
from avshot.report.comparison import _beside, write_comparison, zero_shot
from avshot.report.difference import difference, names_of
from avshot.run import Run, load_run
from avshot.runs.naming import Named, save_name
from synthetic import synthetic_dataset

SMALL = {"epochs": 2, "batches_per_epoch": 4, "batch_size": 16, "lr": 1e-2}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root, dataset = tmp_path_factory.mktemp("compare"), synthetic_dataset()
    asked = {"on": {"optimise_classes": True}, "off": {"optimise_classes": False, "seed": 1, "config": {"margin": 0.5}}}
    for name, changes in asked.items():
        experiment = Experiment(dataset="in memory", method="devise", recipe=SMALL, **changes)
        protocol.run(experiment, root / name / "seed-0", dataset=dataset)
    protocol.run(Experiment(dataset="in memory", method="eszsl"), root / "eszsl", dataset=dataset)
    save_name(root / "on" / "seed-0", Named("with optimisation"))
    return root


def pair(root, one="on/seed-0", other="off/seed-0"):
    return load_run(root / one), load_run(root / other)


def test_what_differs_is_said_in_one_sentence(root):
    first, second = pair(root)
    said = difference(first, second)
    assert said.startswith("with optimisation, seed 0 and devise-no-ceo-margin=0.5-")
    assert "differ in seed (0 / 1); class-embedding optimisation (on / off); config.margin (" in said
    assert "optimise_classes" not in said
    assert difference(first, first).endswith("were asked the same.")
    assert len(set(names_of(first, first))) == 1  # it is one folder
    assert "method (devise / eszsl)" in difference(first, load_run(root / "eszsl"))
    assert "config." not in difference(first, load_run(root / "eszsl"))  # of other methods


def test_both_matrices_are_zero_shot_accuracies_in_one_order(root):
    runs = pair(root)
    tests = [run.scored("test") for run in runs]
    found = zero_shot(*tests, ("a", "b"))
    assert found[0].true == found[1].true
    assert found[0].predicted == found[1].predicted
    for run, test, matrix in zip(runs, tests, found, strict=True):
        assert np.diag(matrix.shares).mean() == pytest.approx(run.metrics["ZSL"])
        unseen = [name for name, seen in zip(test.names, test.seen.tolist(), strict=True) if not seen]
        assert set(matrix.true) == set(unseen)
        for i, name in enumerate(matrix.true):  # clip by clip
            rows = [r for r, c in enumerate(test.labels.tolist()) if test.names[c] == name]
            guesses = [
                max(unseen, key=lambda other, r=r, t=test: float(t.scores[r, t.names.index(other)])) for r in rows
            ]
            wanted = [guesses.count(other) / len(rows) for other in matrix.predicted]
            assert matrix.shares[i] == pytest.approx(wanted)


def test_runs_on_other_unseen_classes_are_refused(root):
    first, second = (run.scored("test") for run in pair(root))
    with pytest.raises(ValueError, match=r"a and b were tested on other unseen classes \(wind blowing\)"):
        zero_shot(first, replace(second, seen=second.seen | (torch.arange(10) == 8)), ("a", "b"))
    with pytest.raises(ValueError, match="other unseen classes"):
        zero_shot(first, replace(second, labels=second.labels.clamp(max=8)), ("a", "b"))


def test_classes_that_are_confused_stand_beside_each_other():
    shares = np.eye(6)
    for a, b in ((0, 3), (1, 4), (2, 5)):
        shares[a, a], shares[a, b] = 0.5, 0.5
    order = _beside(2 * shares).tolist()
    assert sorted(order) == list(range(6))
    assert all(abs(order.index(a) - order.index(b)) == 1 for a, b in ((0, 3), (1, 4), (2, 5)))
    assert _beside(np.eye(2)).tolist() == [0, 1]


def test_the_page(root, tmp_path):
    write_comparison(*pair(root), tmp_path / "c.html", classes=["man speaking", "dog barking"])
    html = (tmp_path / "c.html").read_text()
    for text in (html, (tmp_path / "c.md").read_text()):
        assert "class-embedding optimisation (on / off)" in text
        assert "mean over classes (ZSL)" in text
    assert "man speaking (unseen), 12 clips" in html
    assert "wind blowing (unseen), 12 clips" not in html
    assert len(list((tmp_path / "c-figures").glob("*.pdf"))) == 2


def test_a_run_without_a_joint_space_has_an_empty_panel(root, tmp_path, monkeypatch):
    first, second = pair(root)
    real = Run.embeddings
    lacking = {"clip", "class"}
    monkeypatch.setattr(Run, "embeddings", lambda run: {k: v for k, v in real(run).items() if k not in lacking})
    write_comparison(first, second, tmp_path / "c.html")
    assert (tmp_path / "c.html").read_text().count("this Run has no fused features") == 2
