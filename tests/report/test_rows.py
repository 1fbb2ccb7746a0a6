"""Rows of a table: which are marked."""

import avshot.protocol as protocol
from avshot.experiment import Experiment
from avshot.report.rows import TRANSDUCTIVE, class_transductive, remarks, summarise
from synthetic import synthetic_dataset


def test_rows_that_hear_the_names_of_test_classes_are_marked(tmp_path):
    """Class-embedding optimisation of all candidates, and methods that make features of unseen classes."""
    data = synthetic_dataset()
    asked = {
        "devise": {"method": "devise"},
        "all": {"method": "devise", "optimise_classes": True},
        "seen": {"method": "devise", "optimise_classes": True, "optimise": {"scope": "seen"}},
        "f_vaegan_d2": {"method": "f_vaegan_d2"},
    }
    recipe = {"epochs": 1, "batches_per_epoch": 1, "passes_per_epoch": 0, "batch_size": 4}
    runs = {
        name: protocol.run(Experiment(dataset="x", recipe=recipe, **settings), tmp_path / name, dataset=data)
        for name, settings in asked.items()
    }
    assert {name: class_transductive(run) for name, run in runs.items()} == {
        "devise": False,
        "all": True,
        "seen": False,
        "f_vaegan_d2": True,
    }
    found = summarise(list(runs.values()))
    marked = {row.runs[0].path.name for row in found if row.title.endswith(" †")}
    assert marked == {"all", "f_vaegan_d2"}
    assert [text for text in remarks(found) if text.startswith("†")] == [TRANSDUCTIVE]
    assert not any(text.startswith("†") for text in remarks([row for row in found if row.title == row.label]))
    for run in runs.values():  # what avshot 0.1 wrote
        resolved = run.info["resolved"]
        resolved.pop("class_transductive")
        if run.path.name == "all":
            resolved["optimise"].pop("scope")
    assert [class_transductive(run) for run in runs.values()] == [False, True, False, True]
