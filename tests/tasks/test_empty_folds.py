"""Folds without clips: nothing is said to be chosen on them, and no number is made up for them."""

from dataclasses import replace

import numpy as np
import pytest

import avshot.protocol as protocol
from avshot.experiment import resolve
from avshot.report.rows import remarks, summarise
from avshot.run import load_run
from small_runs import experiment
from synthetic import synthetic_dataset


def without(*folds):
    dataset = synthetic_dataset()
    return replace(dataset, folds=dataset.folds | {fold: np.array([], dtype=np.int64) for fold in folds})


@pytest.mark.parametrize(
    ("empty", "by", "measured"),
    [
        ((), ["val_seen", "val_unseen"], {"S", "U", "HM", "ZSL", "AUSUC"}),
        (("val_unseen",), ["val_seen"], {"S", "U", "HM", "ZSL", "AUSUC"}),
        (("val_seen",), ["val_unseen"], {"S", "U", "HM", "ZSL", "AUSUC"}),
        (("val_seen", "val_unseen"), [], {"S", "U", "HM", "ZSL", "AUSUC"}),
        (("test_unseen",), ["val_seen", "val_unseen"], {"S"}),
        (("test_seen",), ["val_seen", "val_unseen"], {"U", "ZSL"}),
        (("test_seen", "test_unseen"), ["val_seen", "val_unseen"], set()),
    ],
)
def test_what_was_chosen_on_and_what_was_measured(tmp_path, empty, by, measured):
    run = protocol.run(experiment(), tmp_path, dataset=without(*empty))
    assert run.info["chosen"]["by"] == by
    row, *guessers = summarise([load_run(tmp_path)])
    assert row.selected_on == (" + ".join(by) or "nothing")
    assert set(row.values) == measured
    assert len(guessers) == (2 if measured else 0)
    for guesser, kept in zip(guessers, (measured, measured - {"AUSUC"}), strict=False):
        assert set(guesser.values) == kept
    chance, majority = guessers or (row, row)
    candidates = len(run.classes())
    for metric in {"S", "U", "HM"} & measured:
        assert chance.values[metric] == [1 / candidates]
    if "S" in measured:
        assert majority.values["S"] == [1 / int(run.classes().seen.sum())]
    card = (tmp_path / "README.md").read_text()
    assert all(f"{fold}" not in card.split("Chosen on")[1].split(":")[0] for fold in empty)
    assert ("Not measured (-): there are no test clips" in card) == (len(measured) < 5)
    assert any(text.startswith("Where there is a -") for text in remarks([row])) == (len(measured) < 5)
    assert "nan" not in card.lower()


def test_the_card_knows_seen_classes_by_their_flag():
    from avshot.runs.card import model_card

    run_info = {
        "chosen": {"by": [], "epochs": 1, "settings": {"beta": 0.0, "view": "both"}, "grid": "avca"},
        "resolved": {"source": "-", "optimise": None},
        "classes": ["new", "old"],
        "features": {},
        "encoders": ["made"],
        "parameters": 1,
        "versions": {"avshot": "1"},
        "data": {"name": "d", "fingerprint": "f"},
    }
    text = model_card(experiment(), resolve(experiment()), run_info, {}, seen=[False, True])
    assert "## Classes with training clips\n\nold\n" in text
    assert "without training clips\n\nnew\n" in text
