"""Video-adverb retrieval from the command line to the table, and its stages and numbers one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from avshot import protocol
from avshot.cli.app import main
from avshot.data.import_arrays import import_arrays
from avshot.data.pair_split import PairRule
from avshot.experiment import Experiment
from avshot.report.rows import summarise
from avshot.run import find_runs
from avshot.task import Scored, get_task
from avshot.types import Factor
from pair_clips import ACTIONS, ADVERBS, write_pairs
from synthetic import synthetic_dataset

TASK = get_task("adverb")
QUICK = ("--set", "recipe.epochs=4", "--set", "recipe.batches_per_epoch=20")


def avshot(*arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert left.value.code in (0, None)


def made(folder, rule=None, **options):
    table, antonyms, visual = write_pairs(folder, **options)
    found = import_arrays(
        table, folder / "own.toml", {"visual": visual}, rule=rule, pairs=True, antonyms=antonyms, overwrite=True
    )
    return found.dataset


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    """Unseen compositions by the rule, and a fifth of the clips of the other pairs to test as well."""
    return made(tmp_path_factory.mktemp("pairs"), PairRule(test=0.2))


def test_the_command_line_trains_and_tells_it_from_the_priors(tmp_path, capsys):
    table, antonyms, visual = write_pairs(tmp_path)
    about = ("--visual", visual, "--pairs", "--antonyms", antonyms, "--test", 0.2)
    avshot("import", table, tmp_path / "own.toml", *about)
    out = tmp_path / "runs"
    avshot("train", tmp_path / "own.toml", "--task", "adverb", "--method", "devise", "--out", out, *QUICK)
    told = capsys.readouterr().out
    assert "mAP W" in told
    (run,) = find_runs(out)
    _, *guessers = summarise([run])
    assert [guesser.label for guesser in guessers] == ["priors", "p(adverb | action)", "p smoothed", "p(adverb)"]
    assert run.metrics["cls half"] > guessers[0].values["cls half"][0] + 0.1
    assert run.metrics["unseen"].keys() == run.metrics["seen"].keys()
    assert run.info["chosen"]["by"] == ["held-out train"]
    test = run.scored("test")
    assert int(test.counts.sum()) == run.info["data"]["folds"]["train"]
    assert test.factors["adverb"].names == run.classes().factors["adverb"].names
    manner = test.factors["adverb"].index
    of_clip = torch.stack([test.scores.masked_fill(manner != v, -torch.inf).amax(1) for v in range(len(ADVERBS))], 1)
    labels = manner[test.labels]
    each = [average_precision_score((labels == v).numpy(), of_clip[:, v].numpy()) for v in labels.unique().tolist()]
    assert run.metrics["mAP M"] == pytest.approx(np.mean(each), abs=1e-9)


def test_printed_numbers_are_the_best_epoch_of_each_metric(unseen, tmp_path):
    quick = {"epochs": 5, "batches_per_epoch": 3}
    asked = {"dataset": "own", "method": "devise", "recipe": quick, "select": "oracle"}
    each, one = (
        protocol.run(Experiment(task=f"adverb?each={each}", **asked), tmp_path / each, dataset=unseen)
        for each in ("true", "false")
    )
    epochs = each.history()["stage2"]["metrics"]
    assert len(epochs) == 5
    assert one.history()["stage2"]["metrics"] == []
    for metric in TASK.metrics:
        assert each.metrics[metric] == max(epoch[metric] for epoch in epochs) >= one.metrics[metric]
    assert each.metrics["one_epoch"] == {metric: one.metrics[metric] for metric in TASK.metrics}
    assert len({epoch["mAP W"] for epoch in epochs}) > 1


def test_stages_hold_out_whole_videos_and_score_within_an_action(unseen):
    first, second = TASK.stages(unseen)
    assert set(first.train) | set(first.judge) == set(second.train)
    assert not set(first.train) & set(first.judge)
    assert len(first.judge) == pytest.approx(0.1 * len(second.train), abs=1)
    assert first.judged_on == ("held-out train",)
    assert second.judged_on == ("test_seen", "test_unseen")
    assert len(second.candidates) == len(ACTIONS) * len(ADVERBS)
    pairs = unseen.pairs
    placed = []
    for trial in second.trials:
        (action,) = {pairs.actions[name] for name in trial.classes}
        assert [pairs.adverbs[name] for name in trial.classes] == list(pairs.words["adverb"])
        assert {pairs.actions[unseen.clips[second.judge[i]].label] for i in trial.clips} == {action}
        placed += trial.clips.tolist()
    assert sorted(placed) == list(range(len(second.judge)))
    assert second.aside["unlabelled"].tolist() == unseen.fold("unlabelled").tolist()
    assert not set(second.aside["unlabelled"]) & set(second.train)
    assert set(second.seen) < set(second.candidates)


def test_settings_choose_what_is_tested(unseen):
    seen = get_task("adverb?compositions=seen").stages(unseen)[1]
    only = get_task("adverb?compositions=unseen").stages(unseen)[1]
    assert seen.judged_on == ("test_seen",)
    assert only.judged_on == ("test_unseen",)
    assert get_task("adverb?given_action=false").stages(unseen)[1].trials == ()
    nothing = get_task("adverb?held_out=0").stages(unseen)[0]
    assert (len(nothing.judge), nothing.judged_on) == (0, ())
    other = get_task("adverb?held_seed=1").stages(unseen)[0]
    assert set(other.judge) != set(TASK.stages(unseen)[0].judge)
    for wrong, told in (("compositions=some", "all, seen, unseen"), ("by=HM", "mAP W"), ("held_out=1", "below 1")):
        with pytest.raises(ValueError, match=told):
            get_task(f"adverb?{wrong}")


def test_rows_of_one_video_are_held_out_together(unseen):
    clips = tuple(replace(clip, group=f"film {i % 5}") for i, clip in enumerate(unseen.clips))
    first = TASK.stages(replace(unseen, clips=clips))[0]
    assert len({clips[i].group for i in first.judge} & {clips[i].group for i in first.train}) == 0


def test_it_refuses_what_it_cannot_use(unseen):
    with pytest.raises(ValueError, match="no pairs of an action"):
        TASK.stages(synthetic_dataset())
    with pytest.raises(ValueError, match="no clips in its fold 'train'"):
        TASK.stages(replace(unseen, folds={**unseen.folds, "train": np.array([], dtype=int)}))
    both = np.append(unseen.fold("test_unseen"), unseen.fold("train")[0])
    with pytest.raises(ValueError, match="is in fold 'test_unseen' and trains"):
        TASK.stages(replace(unseen, folds={**unseen.folds, "test_unseen": both}))


def scored(scores, labels, *, counts=None, opposite=(1, 0, -1)):
    """Two actions with three adverbs, adverb by adverb."""
    action = Factor(torch.tensor([0, 1, 0, 1, 0, 1]), ("cut", "stir"))
    opposites = None if opposite is None else torch.tensor(opposite)
    adverb = Factor(torch.tensor([0, 0, 1, 1, 2, 2]), ("slowly", "quickly", "again"), {}, opposites)
    names = tuple(f"{a} {v}" for v in adverb.names for a in action.names)
    ids = tuple(map(str, range(len(labels))))
    seen = torch.ones(6, dtype=torch.bool)
    factors = {"action": action, "adverb": adverb}
    counted = None if counts is None else torch.tensor(counts)
    return Scored(torch.tensor(scores), torch.tensor(labels), seen, names, ids, factors, counted)


def test_metrics_by_hand():
    no = -torch.inf
    cut_slowly, stir_quickly, stir_again = (
        [0.9, no, 0.1, no, 0.0, no],
        [no, 0.3, no, 0.3, no, 0.3],
        [no, 0, no, 0, no, 1.0],
    )
    found = TASK.measure(scored([cut_slowly, stir_quickly, stir_again], [0, 3, 5]), {})
    assert found["mAP W"] == found["mAP M"] == 1.0
    assert found["Acc-A"] == 0.5  # equal scores count for the adverb that stands first
    assert found["Acc-A half"] == 0.75
    assert found["per_adverb"] == {"slowly": 1.0, "quickly": 0.0}
    assert TASK.measure(scored([cut_slowly], [0], opposite=None), {})["Acc-A"] is None
    assert TASK.absent(TASK.measure(scored([cut_slowly], [0], opposite=None), {})) == [
        "no adverb of the test clips has an antonym"
    ]
    with pytest.raises(ValueError, match="pairs of an action"):
        TASK.measure(replace(scored([cut_slowly], [0]), factors={}), {})


def test_without_a_given_action_the_best_action_counts():
    found = get_task("adverb?given_action=false").measure(scored([[0.1, 0.9, 0.5, 0.2, 0.0, 0.3]], [0]), {})
    assert found["Acc-A"] == 1.0  # stirring slowly says slowly
    other = get_task("adverb?given_action=false").measure(scored([[0.1, 0.4, 0.5, 0.2, 0.0, 0.3]], [0]), {})
    assert other["Acc-A"] == 0.0


def test_guessers_are_the_counts_of_training_clips():
    test = scored(torch.zeros(3, 6).tolist(), [0, 3, 5], counts=[3, 0, 1, 2, 0, 6])
    found = TASK.guessers(test)
    assert found["priors"]["Acc-A"] == 1.0
    # cut: 3 slowly, 1 quickly; stir: 2 quickly, 6 again. p(again | stir) = .75 twice, p(quickly | stir) = .25 twice
    assert found["p(adverb | action)"]["mAP W"] == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    assert found["p(adverb)"]["mAP M"] == pytest.approx(1 / 3)
    assert TASK.guessers(replace(test, counts=None)) == {}
