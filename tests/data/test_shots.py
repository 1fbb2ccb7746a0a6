"""How many clips of each novel class train, stated by whoever declares a dataset."""

import numpy as np
import pytest

from avshot.data.dataset import Dataset
from avshot.data.load import load_dataset
from avshot.data.manifest import declare, load_manifest
from avshot.data.split import SplitRule

COUNTS = {"ant": 6, "bee": 6, "cow": 3, "dog": 6, "eel": 5}
RULE = SplitRule(unseen_val=("cow",), unseen_test=("dog", "eel"))


@pytest.fixture
def videos(tmp_path):
    for label, count in COUNTS.items():
        (tmp_path / "v" / label).mkdir(parents=True)
        for i in range(count):
            (tmp_path / "v" / label / f"{i}.mp4").touch()
    return tmp_path / "v"


def test_shots_are_written_and_read_back(videos, tmp_path):
    plain = declare(videos, tmp_path / "plain.toml", rule=RULE).dataset
    made = declare(videos, tmp_path / "few.toml", rule=RULE, shots=2).dataset
    assert "\nshots = 2\n" in (tmp_path / "few.toml").read_text()
    assert "shots" not in (tmp_path / "plain.toml").read_text()
    assert (plain.shots, made.shots, load_manifest(tmp_path / "few.toml").shots) == (None, 2, 2)
    assert plain.fingerprint() != made.fingerprint()
    assert "shots" not in plain.identity  # a dataset that says nothing of shots is what it was
    assert made.notes == plain.notes == ()


@pytest.mark.parametrize(
    ("shots", "message"),
    [
        (3, r"shots is 3, but 1 unseen labels have no more clips than that: cow \(3\); some must be left"),
        (5, r"2 unseen labels have no more clips than that: eel \(5\), cow \(3\)"),
        (0, "shots is 0; expected how many clips"),
        (-1, "shots is -1"),
        (2.0, "shots is 2.0"),
        (True, "shots is True"),
    ],
)
def test_every_unseen_label_must_keep_clips_to_judge_by(videos, tmp_path, shots, message):
    with pytest.raises(ValueError, match=message):
        declare(videos, tmp_path / "few.toml", rule=RULE, shots=shots)
    assert not list(tmp_path.glob("few*"))


def test_there_must_be_novel_labels(videos, tmp_path):
    with pytest.raises(ValueError, match="shots is 1, but no label is unseen in testing"):
        declare(videos, tmp_path / "few.toml", rule=SplitRule(unseen_val=("cow",), unseen_test=()), shots=1)


def test_a_cap_counts(videos, tmp_path):
    rule = SplitRule(unseen_val=("cow",), unseen_test=("dog", "eel"), unseen_cap=2)
    with pytest.raises(ValueError, match=r"dog \(2\), eel \(2\)"):
        declare(videos, tmp_path / "few.toml", rule=rule, shots=2)


def test_simulated_features_may_carry_shots():
    plain, few = (load_dataset(f"simulated:ucf?scale=0.02{more}") for more in ("", "&shots=5"))
    assert (plain.name, few.name) == ("simulated-ucf-cls", "simulated-ucf-fsl-5")
    assert (plain.shots, few.shots) == (None, 5)
    assert np.array_equal(plain.gather([0, 40]).audio, few.gather([0, 40]).audio)
    assert load_dataset("simulated:ucf-main?scale=0.02&shots=5").name == "simulated-ucf-main"
    with pytest.raises(ValueError, match="shots is 0"):
        load_dataset("simulated:ucf?scale=0.02&shots=0")


def test_shots_of_a_dataset_are_a_number():
    with pytest.raises(ValueError, match="shots is '5'"):
        Dataset("zoo", (), (), {}, shots="5")
