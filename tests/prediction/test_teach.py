"""Teaching a Run from features: what the old classes keep, what order changes (nothing), and what is refused."""

import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

import avshot.prediction.teach as module
import avshot.protocol as protocol
from avshot.files.run_record import write_record
from avshot.prediction.predictor import Predictor
from avshot.prediction.teach import teach
from avshot.run import find_runs, load_run
from small_runs import experiment
from synthetic import WORDS, synthetic_dataset, without

NEW = ("loud horn", "class A")
UNSEEN = WORDS[8:]  # candidates of the Run without training clips
SHOTS = 4


class World:
    """A Run, its dataset, and clips of two classes that it has never heard of.

    What the dataset calls by its last two names the Run knows from words; clips of two others were left out, with
    their names, and stand for the new ones.
    """

    def __init__(self, folder, method="devise", task="gzsl"):
        whole = synthetic_dataset(noise=0.2)
        gone = WORDS[4:6]
        self.data = replace(without(whole, gone), text={})
        self.run = protocol.run(experiment(method=method, task=task), folder / "run", dataset=self.data)
        of = {name: np.array([i for i, c in enumerate(whole.clips) if c.label == name]) for name in WORDS}
        self.shots = {new: whole.gather(of[old][:SHOTS]) for new, old in zip(NEW, gone, strict=True)}
        self.rest = {new: whole.gather(of[old][SHOTS:]) for new, old in zip(NEW, gone, strict=True)}
        self.others = whole.gather(np.concatenate([of[name] for name in WORDS if name not in gone]))
        self.unseen = {name: whole.gather(of[name][:SHOTS]) for name in UNSEEN}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("teach"))


@pytest.fixture(scope="module")
def taught(world, tmp_path_factory):
    return teach(world.run, world.shots, tmp_path_factory.mktemp("taught") / "both")


def log(run, features, names=None):
    return Predictor(run).probabilities(features, names).log()


def test_the_taught_classes_are_known_and_no_weight_moved(world, taught):
    assert taught.info["taught"] == [{"name": name, "clips": SHOTS} for name in NEW]
    assert taught.classes().names == (*world.run.classes().names, *NEW)
    assert taught.classes().seen.tolist() == [*world.run.classes().seen.tolist(), False, False]
    before, after = world.run.method().state_dict(), taught.method().state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert taught.metrics == world.run.metrics
    taught.check()


def test_clips_of_taught_classes_are_recognised(taught, world):
    for name, features in world.rest.items():
        place = taught.classes().index(name)
        assert (log(taught, features).argmax(dim=1) == place).float().mean() >= 0.75


def test_other_classes_keep_their_odds_exactly(world, taught):
    """Trained ones and those known from words alone, on clips of both kinds; also among names in free text."""
    for names in (None, (*world.run.classes().names[:5], "green parrot", "blue parrot")):
        for features in (world.others, world.rest[NEW[0]]):
            before = log(world.run, features, names)
            asked = (*(names or world.run.classes().names), *NEW)
            after = log(taught, features, asked)[:, : before.shape[1]]
            after = torch.where(after.isneginf(), before, after)  # an evidence below the smallest number
            odds = (after - after[:, :1]) - (before - before[:, :1])
            finite = before.exp() > 1e-200
            torch.testing.assert_close(odds[finite], torch.zeros_like(odds[finite]), atol=1e-6, rtol=0)


def test_probabilities_add_up_and_without_a_taught_candidate_nothing_changes(world, taught):
    total = log(taught, world.others).exp().sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total))
    names = world.run.classes().names
    assert torch.equal(log(taught, world.others, names), log(world.run, world.others, names))
    only = log(taught, world.rest[NEW[0]], NEW).exp()
    torch.testing.assert_close(only.sum(dim=1), torch.ones(len(only), dtype=only.dtype))


def test_the_order_of_classes_and_of_teaching_changes_nothing(world, taught, tmp_path):
    clips = {**world.shots, UNSEEN[0]: world.unseen[UNSEEN[0]]}
    expected = None
    for i, order in enumerate(permutations(clips)):
        made = teach(world.run, {name: clips[name] for name in order}, tmp_path / f"at-once-{i}")
        found = log(made, world.others, (*world.run.classes().names, *NEW))
        expected = found if expected is None else expected
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    made = world.run
    for i, name in enumerate(clips):
        made = teach(made, {name: clips[name]}, tmp_path / f"one-by-one-{i}")
    assert [one["name"] for one in made.info["taught"]] == list(clips)
    found = log(made, world.others, (*world.run.classes().names, *NEW))
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    a, b = (teach(made, {"one more": world.shots[NEW[0]]}, tmp_path / x).familiar() for x in ("a", "b"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_candidate_known_from_words_can_be_taught(world, tmp_path):
    made = teach(world.run, {UNSEEN[0].upper(): world.unseen[UNSEEN[0]]}, tmp_path / "run")
    assert made.classes().names == world.run.classes().names
    assert made.info["taught"] == [{"name": UNSEEN[0], "clips": SHOTS}]
    for key in world.run.classes().text:
        assert torch.equal(made.classes().text[key], world.run.classes().text[key])
    card = (made.path / "README.md").read_text()
    assert f"{UNSEEN[0]} ({SHOTS})" in card
    assert UNSEEN[0] not in card.partition("without training clips")[2].partition("## Classes taught")[0]


def test_a_taught_class_is_replaced_only_where_that_is_asked_for(world, taught, tmp_path):
    again = {NEW[0]: world.rest[NEW[0]]}
    with pytest.raises(
        ValueError, match=r"'loud horn': .* was taught that class before; say that it is to be replaced"
    ):
        teach(taught, again, tmp_path / "no")
    assert not (tmp_path / "no").exists()
    made = teach(taught, again, tmp_path / "yes", replace=True)
    fresh = teach(world.run, {NEW[1]: world.shots[NEW[1]]} | again, tmp_path / "fresh")
    assert made.info["taught"] == fresh.info["taught"]
    names = (*world.run.classes().names, *NEW)
    torch.testing.assert_close(log(made, world.others, names), log(fresh, world.others, names), atol=1e-9, rtol=1e-9)


def test_one_clip_is_enough(world, tmp_path):
    made = teach(world.run, {NEW[0]: world.shots[NEW[0]][:1]}, tmp_path / "run")
    assert made.info["taught"] == [{"name": NEW[0], "clips": 1}]
    assert (log(made, world.rest[NEW[0]]).argmax(dim=1) == made.classes().index(NEW[0])).float().mean() > 0.5


def test_what_may_be_lost_is_a_matter_of_choice(world, tmp_path):
    """The more may be lost, the more goes to the taught class; here one whose clips are those of a trained class."""
    offsets, shares, clips = [], [], {"impostor": world.others[:6]}
    for lose in (0.0, 0.02, 0.2, 1.0):
        made = teach(world.run, clips, tmp_path / str(lose), lose=lose)
        offsets.append(float(made.familiar()["taught/offset"]))
        shares.append(float(log(made, world.others).exp()[:, -1].sum()))
    assert offsets == sorted(offsets)
    assert shares == sorted(shares)
    assert offsets[0] < offsets[-1] == 0


def test_class_vectors_that_came_with_the_dataset_leave_it_to_the_clips(tmp_path):
    data = synthetic_dataset(noise=0.2)
    run = protocol.run(experiment(), tmp_path / "run", dataset=data)
    clips = [i for i, c in enumerate(data.clips) if c.label == "man speaking"]
    made = teach(run, {"loud horn": data.gather(clips[:5])}, tmp_path / "taught")
    assert torch.equal(made.classes().text["made"][-1], run.classes().text["made"].mean(dim=0))
    names = tuple(n for n in made.classes().names if n != "man speaking")
    assert (log(made, data.gather(clips[5:]), names).argmax(dim=1) == names.index("loud horn")).float().mean() > 0.7


def test_a_run_of_few_shots_is_taught_like_others(tmp_path):
    world = World(tmp_path, task="gfsl?shots=2&draws=1")
    made = teach(world.run, world.shots, tmp_path / "taught")
    before, after = log(world.run, world.others), log(made, world.others)[:, :-2]
    torch.testing.assert_close(after - after[:, :1], before - before[:, :1], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({WORDS[0]: "shots"}, r"'dog barking': the Run in .* was trained on clips of that class; train again"),
        ({"Loud horn": "shots", "loud-horn": "shots"}, r"loud-horn"),
        ({"!": "shots"}, r"'!'"),
        ({"loud horn": "none"}, r"Got no clip of 'loud horn'; teaching needs at least one of each class"),
        ({"loud horn": "wide"}, r"features of widths \(13, 10\); the Run in .* reads \(12, 10\)"),
    ],
)
def test_what_cannot_be_taught_is_refused_in_a_sentence_and_leaves_nothing(world, tmp_path, given, message):
    shots = world.shots[NEW[0]]
    wide = replace(shots, audio=torch.nn.functional.pad(shots.audio, (0, 1)))
    clips = {"shots": shots, "none": shots[:0], "wide": wide}
    with pytest.raises(ValueError, match=message):
        teach(world.run, {name: clips[what] for name, what in given.items()}, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_places_shares_and_runs_that_do_not_do(world, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "file").touch()
    for place in ("full", "file"):
        with pytest.raises(ValueError, match=f"{place} is not empty; teach into a new folder"):
            teach(world.run, world.shots, tmp_path / place)
    for lose in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=f"lose is {lose}; expected a share from 0 to 1"):
            teach(world.run, world.shots, tmp_path / "run", lose=lose)
    kept = {key: value for key, value in world.run.familiar().items() if not key.startswith("class/")}
    monkeypatch.setattr(type(world.run), "familiar", lambda self: kept)
    with pytest.raises(ValueError, match=r"cannot be taught, for it keeps no statistics of its classes.*train again"):
        teach(world.run, world.shots, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_trained_on_one_clip_of_each_class_refuses(tmp_path):
    data = synthetic_dataset()
    folds = {"train": np.array([0, 12, 24]), "test_unseen": np.array([96])}
    run = protocol.run(experiment(), tmp_path / "run", dataset=replace(data, folds=folds))
    with pytest.raises(ValueError, match="no class had two training clips"):
        teach(run, {"loud horn": data.gather([1])}, tmp_path / "taught")


def test_what_is_killed_leaves_nothing_and_can_be_done_again(world, tmp_path, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_record", die)
        with pytest.raises(KeyboardInterrupt):
            teach(world.run, world.shots, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".run.0123abcd.partial").mkdir()  # of one that was killed outright
    (tmp_path / ".run.0123abcd.partial" / "experiment.yaml").touch()
    made = teach(world.run, world.shots, tmp_path / "run")
    assert [run.path for run in find_runs(tmp_path)] == [made.path]


def test_an_empty_folder_will_do_and_the_old_run_stays(world, tmp_path):
    before = {file.name: file.read_bytes() for file in world.run.path.iterdir() if file.is_file()}
    (tmp_path / "run").mkdir()
    teach(world.run, world.shots, tmp_path / "run")
    assert {file.name: file.read_bytes() for file in world.run.path.iterdir() if file.is_file()} == before
    assert load_run(tmp_path / "run").info["taught"]


def test_a_training_does_not_go_on_in_a_taught_run(world, taught):
    with pytest.raises(ValueError, match="holds a Run that was taught further classes after its training"):
        protocol.run(experiment(), taught.path, dataset=world.data)


def test_a_damaged_record_of_what_was_taught_is_noticed(world, taught, tmp_path):
    made = teach(world.run, world.shots, tmp_path / "run")
    info = json.loads((made.path / "run.json").read_text())
    info["taught"].append({"name": "nobody", "clips": 1})
    info.pop("digest")
    write_record(made.path / "run.json", info)
    with pytest.raises(ValueError, match="a taught class is none of its classes"):
        load_run(made.path)
