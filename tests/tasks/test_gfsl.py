"""Generalised few-shot learning as a task: which clips are shots, what is chosen, measured and averaged."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avshot import protocol
from avshot.data.dataset import Dataset
from avshot.experiment import Experiment, parse_experiment
from avshot.metrics.generalised import harmonic_mean
from avshot.recipe import Selection, base_then_novel
from avshot.registry import get_method
from avshot.report.rows import summarise
from avshot.task import Scored, get_task
from small_runs import experiment
from synthetic import synthetic_dataset

DATA = synthetic_dataset()
SHOTS = st.integers(1, 10)


def labels_of(rows):
    return [DATA.clips[i].label for i in rows]


@given(SHOTS, st.integers(1, 4), st.integers(0, 5))
def test_shots_leave_the_pool_and_the_rest_is_judged(shots, draws, seed):
    first, *tested = get_task(f"gfsl?shots={shots}&draws={draws}&seed={seed}").stages(DATA)
    assert [stage.name for stage in (first, *tested)] == [f"stage{i + 1}" for i in range(draws + 1)]
    for stage, base, pool in [
        (first, ("train",), "val"),
        *((s, ("train", "val_seen", "val_unseen"), "test") for s in tested),
    ]:
        novel, judged = stage.pools["novel"], stage.judge
        rest = set(DATA.folds[f"{pool}_unseen"].tolist()) - set(novel.tolist())
        assert sorted(stage.pools["base"]) == sorted(i for fold in base for i in DATA.folds[fold])
        assert sorted(judged) == sorted([*DATA.folds[f"{pool}_seen"], *rest])
        assert not set(judged) & set(stage.train)
        assert {name: labels_of(novel).count(name) for name in stage.few} == dict.fromkeys(stage.few, shots)
        assert stage.trained == stage.candidates == stage.seen + stage.few
    assert first.few == DATA.names[6:8]
    assert tested[0].few == DATA.names[8:]
    assert tested[0].seen == DATA.names[:8]


def test_draws_differ_and_a_seed_names_them():
    def drawn(seed):
        return [s.pools["novel"].tolist() for s in get_task(f"gfsl?shots=3&draws=3&seed={seed}").stages(DATA)]

    assert drawn(0) == drawn(0)
    assert len(set(map(tuple, [*drawn(0), *drawn(1)]))) == 8
    order = np.random.default_rng(0).permutation(len(DATA))
    place = np.argsort(order)
    moved = Dataset(
        "moved", tuple(DATA.clips[i] for i in order), DATA.names, {k: place[v] for k, v in DATA.folds.items()}
    )
    ids = [{moved.clips[i].id for i in s.pools["novel"]} for s in get_task("gfsl?shots=3").stages(moved)]
    assert ids == [{DATA.clips[i].id for i in s} for s in drawn(0)], "the order of clips decides nothing"


def test_shots_come_from_different_sources_first_and_related_clips_are_told():
    clips = tuple(replace(clip, group=f"source{i % 4}") for i, clip in enumerate(DATA.clips))
    data = replace(DATA, clips=clips)
    for stage in get_task("gfsl?shots=4").stages(data):
        for name in stage.few:
            sources = [clips[i].group for i in stage.pools["novel"] if clips[i].label == name]
            assert sorted(sources) == [f"source{i}" for i in range(4)]
    (note,) = get_task("gfsl?shots=4").record(data)["notes"]
    assert note.startswith("62 judged clips of novel classes")  # all others: 2 * (11 - 4) + 3 * 2 * (12 - 4)
    assert get_task("gfsl?shots=4").record(DATA)["notes"] == []


def test_shots_of_the_dataset_and_of_the_task():
    assert get_task("gfsl").shots(DATA) == 5
    assert get_task("gfsl?shots=2").shots(DATA) == 2
    noted = get_task("gfsl?shots=2&draws=1").record(DATA)
    assert {stage: {k: len(v) for k, v in of.items()} for stage, of in noted["drawn"].items()} == {
        "stage1": {"baby crying": 2, "water running": 2},
        "stage2": {"wind blowing": 2, "man speaking": 2},
    }
    assert json.loads(json.dumps(noted)) == noted


def test_draws_that_the_dataset_brings():
    folds = dict(DATA.folds)
    novel = folds["test_unseen"]
    folds |= {"val_shots": folds["val_unseen"][:1], "test_shots": novel[:2], "test_shots_2": novel[5:9]}
    folds |= {"test_unseen_2": novel[10:14]}
    first, one, two = get_task("gfsl?shots=7").stages(replace(DATA, folds=folds))
    assert first.pools["novel"].tolist() == folds["val_shots"].tolist()
    assert one.pools["novel"].tolist() == novel[:2].tolist()
    assert set(novel) & set(one.judge) == set(novel[2:])
    assert two.pools["novel"].tolist() == novel[5:9].tolist()
    assert set(novel) & set(two.judge) == set(novel[10:14])
    noted = get_task("gfsl?shots=7").record(replace(DATA, folds=folds))
    assert noted["shots"] == 2
    assert noted["notes"] == ["The 2 draws of shots are the dataset's own; the settings of gfsl?shots=7 draw none."]
    assert get_task("gfsl").record(replace(DATA, folds=folds))["notes"] == []


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        ({"test_shots": []}, "Fold 'test_shots' holds no clips; expected clips of the classes of 'test_unseen'"),
        ({"test_shots": [0]}, "Fold 'test_shots' holds clips of dog barking; expected"),
        ({"val_shots": [100]}, "Fold 'val_shots' holds clips of wind blowing; expected clips of .* 'val_unseen'"),
        ({"test_shots": [100], "test_unseen_2": [0], "test_shots_2": [101]}, "Fold 'test_unseen_2' holds clips of dog"),
        ({"test_shots_2": [100]}, "has the folds test_shots_2; expected those of its draws .*: test_shots[.]"),
        ({"test_shots": [100], "test_shots_3": [101]}, "expected those .*: test_shots, test_shots_2[.]"),
    ],
)
def test_draws_of_a_dataset_that_are_none(folds, words):
    data = replace(DATA, folds={**DATA.folds, **{k: np.array(v, dtype=np.int64) for k, v in folds.items()}})
    with pytest.raises(ValueError, match=words):
        get_task("gfsl?shots=2").stages(data)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("gfsl?shots=0", "shots is 0; expected at least 1"),
        ("gfsl?draws=0", "draws is 0; expected 1 to 1000"),
        ("gfsl?shots=many", "shots is 'many'"),
        ("gfsl?shot=5", "has no field 'shot'.*Did you mean 'shots'"),
        ("gfsl?shots", "setting 'shots' is incomplete"),
        ("gfsl?shots=1&shots=2", "setting 'shots=2' is incomplete or repeated"),
    ],
)
def test_settings_that_it_does_not_have(task, words):
    with pytest.raises(ValueError, match=words):
        get_task(task)


def test_datasets_that_cannot_be_cut():
    with pytest.raises(ValueError, match=r"12 shots need at least 13 clips .* too few have .*\(1[12]\).*shots=10\)"):
        get_task("gfsl?shots=12").stages(DATA)
    bare = replace(DATA, folds={k: v for k, v in DATA.folds.items() if "unseen" not in k})
    with pytest.raises(ValueError, match="so no class is novel"):
        get_task("gfsl").stages(bare)
    both = {**DATA.folds, "val_seen": DATA.folds["train"]}
    with pytest.raises(ValueError, match="is in fold 'train' and in 'val_seen'"):
        get_task("gfsl").stages(replace(DATA, folds=both))


def test_without_validation_nothing_is_selected(tmp_path):
    folds = {k: v for k, v in DATA.folds.items() if not k.startswith("val")}
    with pytest.raises(ValueError, match="in fold 'test_seen' that no training fold has: baby crying, water running"):
        get_task("gfsl").stages(replace(DATA, folds=folds))
    folds["test_seen"] = folds["test_seen"][:6]
    data = replace(DATA, folds=folds)
    run = protocol.run(experiment(task="gfsl?shots=3&draws=2"), tmp_path, dataset=data)
    assert (run.settings, run.info["chosen"]["by"], run.info["chosen"]["epochs"]) == (
        {"beta": 0.0, "view": "both"},
        [],
        3,
    )
    assert set(run.metrics) >= {"B", "N", "HM", "FSL"}


# --- metrics ----------------------------------------------------------------------------------------------------------


def scored(seed, clips=40, classes=7, novel=3):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (clips,), generator=generator)
    scores = torch.randn(clips, classes, generator=generator).round(decimals=1)  # with ties
    names = tuple("abcdefg")[:classes]
    return Scored(scores, labels, torch.arange(classes) < classes - novel, names, tuple(map(str, range(clips))))


@given(st.integers(0, 10_000), st.floats(-2, 2), st.booleans())
def test_novel_accuracy_among_all_is_never_above_that_among_novel_classes(seed, beta, softmax):
    found = get_task("gfsl").measure(scored(seed), {"beta": beta, "view": "both", "softmax": softmax})
    assert found["N"] <= found["FSL"]


@pytest.mark.parametrize("softmax", [False, True])
def test_metrics_against_a_loop(softmax):
    test, beta = scored(3), 0.2
    found = get_task("gfsl").measure(test, {"beta": beta, "view": "both", **({"softmax": True} if softmax else {})})
    right = {name: [] for name in test.names}
    among = {name: [] for name in test.names}
    for row, label in zip(test.scores.double(), test.labels.tolist(), strict=True):
        value = row.exp() / row.exp().sum() if softmax else row
        lowered = [float(v) - beta * bool(base) for v, base in zip(value, test.seen, strict=True)]
        right[test.names[label]].append(lowered.index(max(lowered)) == label)
        if not test.seen[label]:
            novel = lowered[4:]
            among[test.names[label]].append(novel.index(max(novel)) + 4 == label)
    base, novel = (np.mean([np.mean(right[name]) for name in names if right[name]]) for names in ("abcd", "efg"))
    assert found["B"] == pytest.approx(base)
    assert found["N"] == pytest.approx(novel)
    assert found["HM"] == pytest.approx(2 * base * novel / (base + novel))
    assert found["FSL"] == pytest.approx(np.mean([np.mean(among[name]) for name in "efg" if among[name]]))


def test_printed_calibration_is_in_units_of_probability():
    """The authors' program: beta in 0, .1, ..., 1 from softmax probabilities; 0 is a value like any other."""
    val = scored(5)
    verdict = get_task("gfsl").select({"both": val}, Selection(beta_grid="avdiff"))
    tried = {}
    for step in range(11):
        lowered = val.scores.softmax(dim=1) - step / 10 * val.seen
        hit = lowered.argmax(dim=1) == val.labels
        each = [float(hit[val.labels == c].double().mean()) for c in range(7)]
        tried[step / 10] = harmonic_mean(sum(each[:4]) / 4, sum(each[4:]) / 3)
    assert verdict.score == pytest.approx(max(tried.values()))
    assert tried[round(verdict.settings["beta"], 1)] == pytest.approx(verdict.score)
    easy = replace(val, scores=20 * torch.nn.functional.one_hot(val.labels, 7).float())
    assert get_task("gfsl").select({"both": easy}, Selection(beta_grid="avdiff")).settings["beta"] == 0.0
    task, settings = get_task("gfsl"), verdict.settings
    applied = task.apply(val.scores, val.seen, settings).argmax(dim=1)
    assert float((applied == val.labels)[val.labels == 0].double().mean()) == pytest.approx(
        task.measure(val, settings)["per_class"][0]
    )
    assert task.in_words(settings).startswith("probabilities of base classes lowered by beta = ")


def test_the_harmonic_mean_is_that_of_the_means_over_draws():
    draws = [
        {"B": b, "N": n, "FSL": n, "HM": harmonic_mean(b, n), "per_class": [b]} for b, n in ((0.9, 0.1), (0.3, 0.7))
    ]
    found = get_task("gfsl").average(draws)
    assert (found["B"], found["N"], found["FSL"]) == pytest.approx((0.6, 0.4, 0.4))
    assert found["HM"] == pytest.approx(0.48)
    assert found["HM_of_draws"] == pytest.approx([0.18, 0.42])
    assert found["HM_deviation"] == pytest.approx(np.std([0.18, 0.42], ddof=1))


def test_guessers_are_what_guessing_gives():
    test = scored(0, clips=6000)
    chance, majority = get_task("gfsl").guessers(test).values()
    assert chance == pytest.approx({"B": 1 / 7, "N": 1 / 7, "HM": 1 / 7, "FSL": 1 / 3})
    constant = torch.zeros_like(test.scores)
    constant[:, 0], constant[:, 4] = 2.0, 1.0
    found = get_task("gfsl").measure(replace(test, scores=constant), {"beta": 0.0})
    assert {name: found[name] for name in majority} == pytest.approx(majority)


# --- a whole Run ------------------------------------------------------------------------------------------------------


def test_a_run_notes_its_draws_and_every_one_is_tested(tmp_path):
    run = protocol.run(experiment(task="gfsl?shots=4&draws=2"), tmp_path, dataset=DATA)
    assert run.experiment.task == "gfsl"
    assert run.experiment.task_config == {"shots": 4, "draws": 2}
    assert run.task.title == "gfsl?shots=4&draws=2"
    assert run.info["few"] == ["wind blowing", "man speaking"]
    assert run.info["inputs"]["classes"] == list(DATA.names)
    for stage, part in (("stage1", "val"), ("stage2", "test"), ("stage3", "test2")):
        shots = [id for ids in run.info["task"]["drawn"][stage].values() for id in ids]
        assert len(shots) == 8
        assert not set(shots) & set(run.scored(part).ids)
    each = [run.task.measure(run.scored(name), run.settings) for name in ("test", "test2")]
    assert run.metrics["FSL"] == pytest.approx((each[0]["FSL"] + each[1]["FSL"]) / 2)
    assert run.metrics["HM_of_draws"] == pytest.approx([found["HM"] for found in each])
    assert run.method().inputs.classes == DATA.names


def test_shots_are_a_setting_by_which_tables_part(tmp_path):
    runs = [protocol.run(experiment(task=f"gfsl?shots={k}&draws=1"), tmp_path / str(k), dataset=DATA) for k in (1, 4)]
    assert {row.table[1] for row in summarise(runs)} == {"gfsl?shots=1&draws=1", "gfsl?shots=4&draws=1"}
    asked = parse_experiment({"dataset": "x.toml", "task": "gfsl?shots=4"})
    assert asked.label() == "ez_avgzl-task=gfsl-shots=4"
    assert asked == Experiment(dataset="x.toml", task="gfsl", task_config={"shots": 4})


@pytest.fixture
def in_two_parts(monkeypatch):
    monkeypatch.setattr(get_method("devise"), "phases", lambda self: base_then_novel(base=0.5))


ASKED = experiment(
    task="gfsl?shots=4&draws=1", recipe={"epochs": 6, "batches_per_epoch": 3, "passes_per_epoch": 0, "batch_size": 16}
)


def test_each_part_of_a_curriculum_has_its_own_best_epoch(in_two_parts, tmp_path, monkeypatch):
    drawn, loss = [], get_method("devise").loss
    monkeypatch.setattr(
        get_method("devise"), "loss", lambda self, b: drawn.append(set(b.labels.tolist())) or loss(self, b)
    )
    run = protocol.run(ASKED, tmp_path, dataset=DATA)
    history = run.history()["stage1"]
    assert history["starts"] == [0, 3]
    chosen = run.info["chosen"]
    assert chosen["parts"] == [int(np.argmax(history["scores"][:3])) + 1, int(np.argmax(history["scores"][3:])) + 1]
    assert chosen["epochs"] == sum(chosen["parts"])
    again = run.history()["stage2"]
    assert (len(again["losses"]), again["starts"]) == (chosen["epochs"], [0, chosen["parts"][0]])
    base, novel = set(range(6)), {6, 7}
    assert all(labels <= base for labels in drawn[:9])
    assert all(labels <= (novel if i % 2 else base) for i, labels in enumerate(drawn[9:18], start=9))


def test_a_killed_curriculum_goes_on_to_the_same_weights(in_two_parts, tmp_path):
    whole = protocol.run(ASKED, tmp_path / "whole", dataset=DATA)

    for killed_at in (("stage1", 2), ("stage1", 3), ("stage1", 4), ("stage2", 2)):

        def kill(stage, done, total, numbers, at=killed_at):
            if (stage, done) == at:
                raise KeyboardInterrupt

        folder = tmp_path / "-".join(map(str, killed_at))
        with pytest.raises(KeyboardInterrupt):
            protocol.run(ASKED, folder, dataset=DATA, progress=kill)
        found = protocol.run(ASKED, folder, dataset=DATA)
        assert found.history() == whole.history()
        assert found.info["chosen"] == whole.info["chosen"]
        for key, value in whole.method().state_dict().items():
            assert torch.equal(found.method().state_dict()[key], value), key


def test_a_curriculum_without_a_task_that_measures_its_metric(in_two_parts, tmp_path):
    with pytest.raises(ValueError, match="draws from the pool 'base'|by B, and the task gzsl measures S, U"):
        protocol.run(experiment(), tmp_path, dataset=DATA)


def test_a_method_with_weights_for_its_classes_needs_clips_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr(get_method("devise"), "closed", property(lambda self: True))
    with pytest.raises(
        ValueError, match="scores only classes that have training clips, and the task gzsl asks for 2 oth"
    ):
        protocol.run(experiment(), tmp_path / "gzsl", dataset=DATA)
    assert protocol.run(experiment(task="gfsl?shots=2&draws=1"), tmp_path / "gfsl", dataset=DATA).metrics["HM"] >= 0
