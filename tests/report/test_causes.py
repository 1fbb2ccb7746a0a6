"""What may have moved a published number: which causes a number has, and what an audit adds to them."""

import csv
from importlib.resources import files

import pytest

from avshot.data.official.audit import Audit, Finding
from avshot.report.causes import KINDS, causes_of, explain, explained
from avshot.report.published import published

DATASETS = [f"{name}-{split}" for name in ("ucf", "activitynet", "vggsound") for split in ("main", "cls", "clipclap")]


def names(*asked):
    return {cause.name for cause in causes_of(*asked)}


def test_every_published_number_has_what_is_known_of_vectors_selection_and_clips():
    for dataset in DATASETS:
        rows = explained(dataset)
        assert sum(len(row.sources) for row in rows) == len(published(dataset))
        for row in rows:
            kinds = [cause.kind for cause in row.causes]
            assert {"class vectors", "selection", "clips"} <= set(kinds), row
            assert kinds == sorted(kinds, key=KINDS.index)
            assert len(set(row.causes)) == len(row.causes)


def test_what_selected_a_number_agrees_with_the_table_of_numbers():
    """Only quotes of one program's number may differ: some papers do not say what their source selected on."""
    said = {"selected on val": "val", "selected on test": "test", "selection unknown": "unstated"}
    for dataset in DATASETS:
        for row in published(dataset):
            (by,) = [cause for cause in causes_of(dataset, row["method"], row["source"]) if cause.kind == "selection"]
            assert row["selected_on"] in (said[by.name], "unstated"), row


@pytest.mark.parametrize(
    ("asked", "has", "has_not"),
    [
        (("ucf-cls", "avca", "AVCA Table 1"), {"shifted vectors", "frozen positions", "inverted colours"}, {"selavi"}),
        (
            ("vggsound-main", "avca", "AVCA Table 1"),
            {"shifted vectors", "selavi"},
            {"inverted colours", "blue and red"},
        ),
        (("activitynet-cls", "tcaf", "KDA Table 2"), {"cropped sound", "blue and red"}, {"inverted colours"}),
        (("ucf-cls", "tcaf", "KDA Table 2"), {"index times", "not reproduced"}, {"cropped sound"}),
        (("ucf-cls", "kda", "KDA Table 2"), {"selected on test", "squared error alone"}, {"shifted descriptions"}),
        (("vggsound-cls", "kda", "KDA Table 2"), {"shifted descriptions"}, {"shifted vectors", "selected on val"}),
        (
            ("ucf-clipclap", "clipclap", "thesis Table 5.1"),
            {"right vectors", "grid 0 to 5", "reproduced"},
            {"grid 0 to 3"},
        ),
        (
            ("vggsound-clipclap", "avca", "thesis Table 5.1"),
            {"shifted vectors", "extra text layer"},
            {"inverted colours"},
        ),
        (("vggsound-cls", "ez_avgzl", "EZ-AVGZL Table 1"), {"selection unknown", "ceo loss"}, {"grid 0 to 3"}),
        (("vggsound-cls", "ez_avgzl ranking loss", "EZ-AVGZL Table 5"), {"selection unknown"}, {"ceo loss"}),
        (("ucf-main", "f_vaegan_d2", "KDA Table 1"), {"one batch an epoch", "selected on test"}, {"grid 0 to 3"}),
        (("UCF-cls-legacy", "cjme", "EZ-AVGZL Table 2"), {"gate averaged", "mean of three betas"}, set()),
    ],
)
def test_known_answers(asked, has, has_not):
    found = names(*asked)
    assert has <= found
    assert not has_not & found


def test_numbers_that_several_papers_print_are_one_result():
    (avca,) = [row for row in explained("ucf-cls") if row.method == "avca" and row.numbers[2] == "41.34"]
    assert {"EZ-AVGZL Table 2", "KDA Table 2"} <= set(avca.sources)
    (kda,) = [row for row in explained("activitynet-cls") if row.method == "kda"]
    assert kda.notes == ("printed HM 17.95; S and U give 16.10",)


def test_the_table_of_causes_is_sound():
    """Each has a kind and a source, and applies to some published number."""
    rows = list(csv.DictReader(files("avshot.report").joinpath("published_causes.csv").read_text().splitlines()))
    used = {cause for dataset in DATASETS for row in explained(dataset) for cause in row.causes}
    for row in rows:
        assert row["kind"] in KINDS
        assert row["text"].endswith(".")
        assert row["known_from"]
        applies = any((row["cause"], row["text"]) == (cause.name, cause.text) for cause in used)
        assert applies, row


def test_an_audit_adds_what_it_counted():
    findings = (
        Finding("descriptions", "misjoined when addressed by class id", 3, 7),
        Finding("shared sources", "test_seen", 4, 9),
        Finding("shared sources", "test_unseen", None, 5, "unknown"),
    )
    plain = explain(Audit("VGGSound", (), {}))
    counted = explain(Audit("VGGSound", findings, {"all": (5, 7, 0.4), "train": (1, 2, 0.4)}))
    assert "given here" not in plain
    assert "with the file given here 5 of 7)" in counted
    assert "in the files given here 3 of 7)" in counted
    assert "in the files given here 4 of 9 (test_seen))" in counted
    # Every result is a line of its dataset's table and refers to causes that are listed.
    listed = [line for line in counted.splitlines() if line.startswith("  [")]
    table = [line for line in counted.splitlines() if line.startswith("| kda ")]
    assert len(table) == 2
    refers = {int(number) for line in table for number in line.split("[")[1].split("]")[0].split(",")}
    assert refers <= set(range(1, len(listed) + 1))
    on_test = next(i for i, line in enumerate(listed, 1) if "follow the test HM" in line)
    assert all(f",{on_test}," in line.replace("[", ",").replace("]", ",") for line in table)
