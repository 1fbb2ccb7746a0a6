"""The counts of the inventory, from the released tables; and the audit as a command."""

import os
from pathlib import Path

import pytest

from avshot.cli.app import main
from avshot.data.import_arrays import import_arrays
from avshot.data.official.adverb_audit import audit_adverbs
from pair_clips import write_pairs

DATA = Path(os.environ.get("AVSHOT_DATA", "nowhere")) / "adverbs" / "reduced"
released = pytest.mark.skipif(not DATA.is_dir(), reason="AVSHOT_DATA has no split tables of adverbs")
# Rows of train and test; pairs of train, of test, in both; clips in both; test rows that train.
SEEN = {
    "howto100m-adverbs": (5139, 323, 82, 78, 0, 0),
    "air": (5602, 1401, 143, 138, 0, 0),
    "activitynet-adverbs": (2377, 595, 275, 202, 30, 0),
    "msrvtt-adverbs": (1397, 350, 169, 117, 112, 7),
    "vatex-adverbs": (11157, 2790, 779, 661, 1050, 57),
}
# Rows of train, unlabelled and test; clips in train and test; actions only in train and only in test; unlabelled pairs
# that are tested, and all; pairs that differ from print.
UNSEEN = {
    "vatex-adverbs": (6603, 3317, 3293, 726, 21, 1, 433, 537, 3),
    "activitynet-adverbs": (1490, 634, 848, 30, 23, 0, 168, 168, 3),
    "msrvtt-adverbs": (987, 306, 454, 102, 0, 26, 114, 114, 0),
}


def counted(name, split):
    return {finding.item: finding for finding in audit_adverbs(DATA, name, split)}


@released
@pytest.mark.parametrize("name", SEEN)
def test_counts_of_seen_splits(name):
    found = counted(name, "seen")
    pairs = found["pairs in train and test"]
    rows = (found["rows of train"].found, found["rows of test"].found, pairs.total, pairs.found)
    clips = (found["clips in train and test"].found, found["test rows with training rows"].found)
    assert rows + clips == SEEN[name]


@released
@pytest.mark.parametrize("name", UNSEEN)
def test_counts_of_unseen_splits_and_the_swapped_print(name):
    found = counted(name, "unseen")
    inside = found["unlabelled pairs that are tested"]
    items = ("rows of train", "rows of unlabelled", "rows of test", "clips in train and test", "actions only in train")
    numbers = [found[item].found for item in (*items, "actions only in test")]
    printed = found["pairs that differ from Tables 6.1 and E.1"]
    assert (*numbers, inside.found, inside.total, printed.found) == UNSEEN[name]
    assert found["pairs in train and test"].found == 0
    assert found["test pairs whose antonym partner trains"].found == 0
    swapped = {"vatex-adverbs": "activitynet-adverbs", "activitynet-adverbs": "vatex-adverbs"}
    if name in swapped:
        assert printed.note.endswith(f"what is printed of {swapped[name]}")


def avshot(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code, *capsys.readouterr()


@released
def test_the_command_on_released_tables(capsys):
    code, out, _ = avshot(capsys, "audit", DATA, "--name", "vatex-adverbs", "--split", "unseen")
    assert code in (0, None)
    assert "635 / 537 / 543: what is printed of activitynet-adverbs" in out


def test_the_command_on_a_declared_dataset(tmp_path, capsys):
    table, antonyms, visual = write_pairs(tmp_path)
    import_arrays(table, tmp_path / "own.toml", {"visual": visual}, pairs=True, antonyms=antonyms)
    code, out, err = avshot(capsys, "audit", tmp_path / "own.toml")
    assert code in (0, None)
    assert "pairs in train and test" in out
    assert err == ""
    code, _, err = avshot(capsys, "audit", tmp_path, "--name", "vatex-adverb")
    assert code == 2
    assert "Did you mean 'vatex-adverbs'" in err
    code, _, err = avshot(capsys, "audit", tmp_path)
    assert code == 2
    assert "Name the benchmark" in err
