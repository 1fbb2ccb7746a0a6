"""`avshot report` with several folders, and with two Runs side by side."""

import pytest

import avshot.protocol as protocol
from avshot.experiment import Experiment
from avshot.runs.naming import Named, save_name
from synthetic import synthetic_dataset


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root, dataset = tmp_path_factory.mktemp("report"), synthetic_dataset()
    for name, on in (("on", True), ("off", False)):
        experiment = Experiment(dataset="in memory", method="eszsl", optimise_classes=on)
        protocol.run(experiment, root / name / "seed-0", dataset=dataset)
    save_name(root / "on" / "seed-0", Named("with optimisation"))
    return root


def test_two_runs_side_by_side(root, avshot):
    asked = ("report", root / "on", root / "off" / "seed-0", "--compare", "--classes", "man speaking, dog barking")
    code, out, err = avshot(*asked)
    assert code == 0, err
    assert "class-embedding optimisation (on / off)" in out + err
    assert "class-embedding optimisation (on / off)" in (root / "compare.html").read_text()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["on"], "expected two Runs"), (["on", "off", "on"], "expected two Runs"), (["on", "."], "holds 2 Runs"),
        (["on", "nowhere"], "is not a folder"), (["on", "off", "--classes", "nobody"], "No test clips of the class"),
        (["on", "off", "--classes", ","], "Got nothing for --classes"),
    ],
)  # fmt: skip
def test_wrong_folders_are_a_sentence(root, avshot, given, words):
    folders = [root / part for part in given if part in (".", "on", "off", "nowhere")]
    code, _, err = avshot("report", *folders, *given[len(folders) :], "--compare", "--out", root / "wrong.html")
    assert code == 2
    assert words in " ".join(err.split())
    assert not (root / "wrong.html").exists()


def test_several_folders_are_one_report(root, avshot):
    code, out, err = avshot("report", root / "on", root / "off", root / "off")
    assert code == 0, err
    rows = [line.split("  ")[0].strip() for line in out.splitlines()]
    assert rows.count("with optimisation †") == 1
    assert rows.count("eszsl-no-ceo") == 1
    assert (root / "report.html").exists()
    code, _, err = avshot("report", root / "on", "/proc")
    assert code == 2
    assert "--out" in err
