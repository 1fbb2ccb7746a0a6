"""The contract of a task, asserted for every file in `avshot/tasks/`.

A new task needs one entry in `CASES`: what it is tried on, which settings it takes and refuses, and what its own pages
say that scores of one value give.
"""

import dataclasses
import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import avshot.tasks
from avshot.data.dataset import Dataset
from avshot.data.pairs import Pairs, all_pairs
from avshot.metrics.generalised import BETA_GRIDS
from avshot.recipe import VIEWS, Selection
from avshot.registry import TASKS
from avshot.task import Scored, Task, get_task, list_tasks, split_task
from avshot.types import Clip, Factor
from synthetic import synthetic_dataset


def first_of_all(task, scored):
    """Ties go to the first class: a seen one, and among unseen classes an unseen one; the curve is a straight line."""
    seen = int(scored.seen.sum())
    unseen = len(scored.seen) - seen
    values = (1 / seen, 0.0, 0.0, 1 / unseen, 1 / (2 * seen * unseen))
    return dict(zip(task.metrics, values, strict=False))


@dataclass(frozen=True)
class Case:
    """What one task is tried with.

    Attributes:
        dataset: Makes a small dataset with its folds, each with clips.
        settings: Draws settings that it takes.
        refused: `{setting as typed: words of the sentence that refuses it}`.
        constant: What `measure` gives for scores of one value, from (task, scored); None where nothing is said.
        needs: Folds without which it refuses a dataset, each by itself.
    """

    dataset: Callable[[], Dataset] = synthetic_dataset
    settings: st.SearchStrategy = dataclasses.field(default_factory=lambda: st.just({}))
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    constant: Callable[[Task, Scored], dict] | None = None
    needs: tuple[str, ...] = ("train",)


def pairs_of_words():
    """Three actions in four manners, two of each pair for every fold but that of unseen compositions."""
    pairs = all_pairs(("cut", "stir", "pour"), ("slowly", "up", "quickly", "down"), {"slowly": "quickly", "up": "down"})
    unseen = [name for i, name in enumerate(pairs.actions) if i % 5 == 0]
    folds, clips = {fold: [] for fold in ("train", "val_seen", "test_seen", "test_unseen", "unlabelled")}, []
    for fold, rows in folds.items():
        for name in pairs.actions:
            if (name in unseen) == (fold in ("test_unseen", "unlabelled")):
                for i in range(2 + (fold == "train" and len(name) % 3)):
                    rows.append(len(clips))
                    clips.append(Clip(f"{name}-{fold}-{i}", label=name, group=f"{name}-{fold}"))
    return Dataset("pairs", tuple(clips), tuple(pairs.actions), folds, pairs=pairs)


CASES = {
    "adverb": Case(
        dataset=pairs_of_words,
        settings=st.fixed_dictionaries(
            {},
            optional={
                "given_action": st.booleans(),
                "compositions": st.sampled_from(["all", "seen", "unseen"]),
                "by": st.sampled_from(["mAP W", "Acc-A cls"]),
                "held_out": st.floats(0, 0.5),
                "held_seed": st.integers(),
                "each": st.booleans(),
            },
        ),
        refused={
            "compositions=some": "compositions is 'some'; expected all, seen, unseen",
            "by=HM": "by is 'HM'; expected one of mAP W",
            "held_out=1.0": "held_out is 1.0; expected a share from 0 to below 1",
            "held_out=many": "held_out is 'many'",
            "given_action=sometimes": "given_action is 'sometimes'",
        },
    ),
    "gzsl": Case(constant=first_of_all, refused={"shots=5": "gzsl has no settings"}),
    "gfsl": Case(
        constant=first_of_all,
        settings=st.fixed_dictionaries(
            {}, optional={"shots": st.none() | st.integers(1, 10), "draws": st.integers(1, 4), "seed": st.integers()}
        ),
        refused={
            "shots=0": "shots is 0; expected at least 1",
            "shots=-3": "shots is -3; expected at least 1",
            "shots=2.5": "shots is 2.5",
            "shots=true": "shots is True",
            "draws=0": "draws is 0; expected 1 to 1000",
            "draws=1001": "draws is 1001; expected 1 to 1000",
            "draws=null": "draws is None",
            "seed=first": "seed is 'first'",
            "shot=5": "Did you mean 'shots'",
        },
        needs=("train", "test_unseen"),
    ),
}
NAMES = sorted(list_tasks())
every_task = pytest.mark.parametrize("name", NAMES)
SEEDS = st.integers(0, 10_000)
some = settings(max_examples=15, deadline=None)


def case(name):
    """A task of an installed package, or of somebody's own file, is tried with what suits most."""
    return CASES.get(name, Case())


@functools.cache
def data(name):
    return case(name).dataset()


@functools.cache
def stages(name):
    return get_task(name).stages(data(name))


def ids_of(dataset, rows):
    return {dataset.clips[i].id for i in np.asarray(rows).tolist()}


def among(stage):
    """`[clip, class]` bool: which candidates each judged clip is scored among."""
    place = {name: i for i, name in enumerate(stage.candidates)}
    allowed = np.full((len(stage.judge), len(place)), not stage.trials)
    for trial in stage.trials:
        allowed[np.ix_(trial.clips, [place[name] for name in trial.classes])] = True
    return torch.from_numpy(allowed)


def as_scored(name, stage, scores):
    """The judged clips of a stage with `scores`, as the protocol hands them to the task."""
    dataset, place = data(name), {c: i for i, c in enumerate(stage.candidates)}
    clips = [dataset.clips[i] for i in stage.judge.tolist()]
    labels = torch.tensor([place[clip.label] for clip in clips])
    seen = torch.tensor([c in set(stage.seen) for c in stage.candidates])
    ids = tuple(clip.id for clip in clips)
    counts = torch.zeros(len(place), dtype=torch.long)
    for i in stage.train.tolist():
        counts[place[dataset.clips[i].label]] += 1
    scores = scores.masked_fill(~among(stage), -torch.inf)
    return Scored(scores, labels, seen, stage.candidates, ids, factors_of(dataset.pairs, stage.candidates), counts)


def factors_of(pairs, names):
    """As `avshot.classes.factors.with_factors` makes them, without vectors of words."""
    if pairs is None:
        return {}
    place = {factor: {word: i for i, word in enumerate(of)} for factor, of in pairs.words.items()}
    index = {factor: torch.tensor([place[factor][of[name]] for name in names]) for factor, of in pairs.of_class.items()}
    opposite = {"action": None, "adverb": torch.tensor(pairs.opposites)}
    return {factor: Factor(index[factor], of, {}, opposite[factor]) for factor, of in pairs.words.items()}


def guessed(name, seed, number=1):
    """Random scores, no two alike."""
    stage = stages(name)[number]
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(len(stage.judge), len(stage.candidates), generator=generator, dtype=torch.float64)
    return as_scored(name, stage, scores)


def perfect(name, number=1):
    found = guessed(name, 0, number)
    right = torch.nn.functional.one_hot(found.labels, len(found.names)).double()
    return replace(found, scores=torch.where(found.scores.isneginf(), found.scores, right))


def part_of(scored, rows):
    """Some of the clips, in the order of `rows`."""
    ids = tuple(scored.ids[i] for i in rows.tolist())
    return replace(scored, scores=scored.scores[rows], labels=scored.labels[rows], ids=ids)


def chosen(name, seed, grid):
    """What some validation clips chose."""
    views = {view: guessed(name, seed + i, 0) for i, view in enumerate(VIEWS)}
    return get_task(name).select(views, Selection(beta_grid=grid, views=VIEWS))


def values(task, metrics):
    """The columns of the table alone."""
    return {metric: metrics[metric] for metric in task.metrics}


# --- the contract: what is cut ----------------------------------------------------------------------------------------


def test_each_task_of_avshot_has_a_case():
    own = {path.stem for path in Path(avshot.tasks.__path__[0]).glob("*.py") if not path.stem.startswith("_")}
    assert own == set(CASES), "say in CASES what a new task is tried with"
    assert own <= set(NAMES)


@every_task
def test_the_first_stage_selects_and_others_are_tested(name):
    found = stages(name)
    assert len(found) >= 2
    assert [stage.name for stage in found] == [f"stage{i}" for i in range(1, len(found) + 1)]
    for stage in found:
        assert stage.judged_on
        assert all(len(data(name).folds[fold]) for fold in stage.judged_on)
        assert len(stage.judge)
        assert len(stage.train)


@every_task
@given(draw=st.data())
@some
def test_training_and_judged_clips_are_apart_in_each_stage(name, draw):
    task, dataset = get_task(name, draw.draw(case(name).settings)), data(name)
    tests = {i for fold, rows in dataset.folds.items() if fold.startswith("test") for i in rows.tolist()}
    first, *others = task.stages(dataset)
    for stage in (first, *others):
        train, judge = stage.train.tolist(), stage.judge.tolist()
        assert not set(train) & set(judge)
        assert max(Counter(train).values()) == 1, "a clip is in two pools"
        assert max(Counter(judge).values()) == 1
    assert tests
    assert not tests & {*first.train.tolist(), *first.judge.tolist()}, "the stage that selects sees a test clip"
    assert all(set(stage.judge.tolist()) <= tests for stage in others)


@every_task
def test_every_clip_has_a_class_of_its_stage(name):
    dataset = data(name)
    for stage in stages(name):
        assert len(set(stage.candidates)) == len(stage.candidates)
        assert not set(stage.seen) & set(stage.few)
        assert set(stage.trained) <= set(stage.candidates), "a method is built for candidates"
        assert {dataset.clips[i].label for i in stage.train.tolist()} == set(stage.trained)
        allowed = among(stage)
        assert bool(allowed.any(dim=1).all()), "a clip is scored among nothing"
        for row, i in zip(allowed, stage.judge.tolist(), strict=True):
            assert row[stage.candidates.index(dataset.clips[i].label)], "a clip's own class is not among its candidates"
    joined = get_task(name).candidates(dataset)
    assert len(set(joined)) == len(joined)
    assert set(joined) == {c for stage in stages(name) for c in stage.candidates}


@every_task
@given(seed=SEEDS)
@some
def test_the_order_of_clips_and_classes_decides_nothing(name, seed):
    rng, dataset, task = np.random.default_rng(seed), data(name), get_task(name)
    order = rng.permutation(len(dataset))
    place = np.argsort(order)
    folds = {fold: rng.permutation(place[rows]) for fold, rows in dataset.folds.items()}
    names = tuple(dataset.names[i] for i in rng.permutation(len(dataset.names)))
    clips = tuple(dataset.clips[i] for i in order)
    pairs = dataset.pairs
    if pairs is not None:
        parts = ({name: of[name] for name in names} for of in (pairs.actions, pairs.adverbs))
        pairs = Pairs(*parts, pairs.antonyms)
    moved = Dataset("moved", clips, names, folds, candidates=dataset.candidates, shots=dataset.shots, pairs=pairs)
    for one, other in zip(task.stages(dataset), task.stages(moved), strict=True):
        assert ids_of(dataset, one.judge) == ids_of(moved, other.judge)
        assert {k: ids_of(dataset, v) for k, v in one.pools.items()} == {
            k: ids_of(moved, v) for k, v in other.pools.items()
        }
        for what in ("seen", "few", "candidates"):
            assert set(getattr(one, what)) == set(getattr(other, what))


@every_task
def test_draws_differ_and_a_seed_names_them(name):
    dataset, drawing = data(name), "seed" in {field.name for field in dataclasses.fields(get_task(name).config)}
    if not drawing:
        pytest.skip(f"{name} draws nothing")

    def drawn(seed):
        return [tuple(sorted(ids_of(dataset, s.train))) for s in get_task(name, {"seed": seed}).stages(dataset)]

    assert drawn(1) == drawn(1)
    tested = [train for seed in (1, 2) for train in drawn(seed)[1:]]
    assert len(tested) > 2
    assert len(set(tested)) == len(tested)


@every_task
@given(draw=st.data())
@some
def test_the_record_is_plain_and_says_which_clips_were_drawn(name, draw):
    task, dataset = get_task(name, draw.draw(case(name).settings)), data(name)
    record = task.record(dataset)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert all(isinstance(note, str) and note.endswith(".") for note in record.get("notes", []))
    for stage in task.stages(dataset):
        few = {dataset.clips[i].id for i in stage.train.tolist() if dataset.clips[i].label in set(stage.few)}
        noted = record.get("drawn", {}).get(stage.name, {})
        assert {id for ids in noted.values() for id in ids} == few
        assert set(noted) == set(stage.few)


@every_task
@pytest.mark.parametrize("how", ["empty", "absent", "strange"])
def test_a_dataset_without_its_folds_is_refused_in_one_sentence(name, how):
    task, dataset = get_task(name), data(name)
    for fold in case(name).needs:
        lacking = {k: v for k, v in dataset.folds.items() if k != fold}
        if how == "empty":
            lacking[fold] = np.array([], dtype=np.int64)
        if how == "strange":
            lacking = {f"my_{k}": v for k, v in dataset.folds.items()}
        with pytest.raises(ValueError, match=rf"{dataset.name}.*fold") as error:
            task.stages(replace(dataset, folds=lacking))
        assert one_sentence(error)


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text
    return text.endswith((".", "?"))


# --- the contract: settings -------------------------------------------------------------------------------------------


@every_task
@given(draw=st.data())
@some
def test_settings_survive_the_title_and_json(name, draw):
    asked = draw.draw(case(name).settings)
    task = get_task(name, asked)
    noted = dataclasses.asdict(task.config)
    assert {key: noted[key] for key in asked} == asked
    assert get_task(task.title).config == task.config
    assert get_task(name, json.loads(json.dumps(noted))).config == task.config
    found, typed = split_task(task.title)
    assert found == name
    assert typed == {k: v for k, v in noted.items() if v != getattr(type(task.config)(), k)}
    assert get_task(name).title == name
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        task.config.anything = 1


@every_task
def test_settings_that_it_does_not_take_are_refused_in_one_sentence(name):
    for typed, words in {"nonsense=1": "nonsense", **case(name).refused}.items():
        with pytest.raises(ValueError, match=re.escape(words)) as error:
            get_task(f"{name}?{typed}")
        assert one_sentence(error)
    for typed in ("nonsense", "=1", "a=1&a=2"):
        with pytest.raises(ValueError, match="incomplete or repeated") as error:
            get_task(f"{name}?{typed}")
        assert one_sentence(error)


# --- the contract: what is measured -----------------------------------------------------------------------------------


@every_task
@given(seed=SEEDS, keep=st.integers(1, 10_000))
@some
def test_metrics_are_fractions_or_none(name, seed, keep):
    task, test = get_task(name), guessed(name, seed)
    some_clips = torch.randperm(len(test.labels), generator=torch.Generator().manual_seed(seed))
    test = part_of(test, some_clips[: 1 + keep % len(some_clips)])
    for beside in (test, *(part_of(test, rows.nonzero()[:, 0]) for rows in kinds(test) if rows.any())):
        found = task.measure(beside, task.neutral)
        assert set(task.metrics) <= set(found)
        assert all(value is None or 0 <= value <= 1 for value in values(task, found).values())
        lacking = [metric for metric in task.metrics if found[metric] is None]
        assert bool(task.absent(found)) == bool(lacking)
        assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert task.absent({})


def kinds(scored):
    own = scored.seen[scored.labels]
    return own, ~own


@every_task
@given(seed=SEEDS, grid=st.sampled_from(sorted(BETA_GRIDS)))
@some
def test_the_order_of_clips_and_columns_changes_no_metric(name, seed, grid):
    task, test, settings = get_task(name), guessed(name, seed), chosen(name, seed, grid).settings
    found = values(task, task.measure(test, settings))
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.randperm(n, generator=generator) for n in test.scores.shape)
    assert values(task, task.measure(part_of(test, rows), settings)) == pytest.approx(found)
    moved = Scored(
        test.scores[:, columns],
        columns.argsort()[test.labels],
        test.seen[columns],
        tuple(test.names[i] for i in columns),
        test.ids,
        {name: factor.select(columns) for name, factor in test.factors.items()},
        test.counts[columns],
    )
    assert values(task, task.measure(moved, settings)) == pytest.approx(found)


@every_task
@given(seed=SEEDS, grid=st.sampled_from(sorted(BETA_GRIDS)))
@some
def test_what_is_applied_is_what_is_measured(name, seed, grid):
    """Predictions are ranked by `apply`; measured as they are, with nothing chosen, they give what `measure` gives."""
    task, test, settings = get_task(name), guessed(name, seed), chosen(name, seed, grid).settings
    before = test.scores.clone()
    applied = task.apply(test.scores, test.seen, settings)
    assert applied.shape == test.scores.shape
    assert not applied.isnan().any()
    expected = values(task, task.measure(test, settings))
    assert values(task, task.measure(replace(test, scores=applied), task.neutral)) == pytest.approx(expected)
    assert torch.equal(test.scores, before), "scores are not the task's to change"
    alone = torch.cat([task.apply(row[None], test.seen, settings) for row in test.scores])
    torch.testing.assert_close(alone, applied)
    per_class = task.measure(test, settings).get("per_class")
    if per_class is not None:
        right = (applied.argmax(dim=1) == test.labels).double()
        for c, value in enumerate(per_class):
            own = right[test.labels == c]
            assert value == (pytest.approx(float(own.mean())) if len(own) else None)


@every_task
def test_nothing_chosen_changes_no_order(name):
    task, test = get_task(name), guessed(name, 3)
    applied = task.apply(test.scores, test.seen, task.neutral)
    assert torch.equal(applied.argsort(dim=1), test.scores.argsort(dim=1))


@every_task
@pytest.mark.parametrize("number", [0, 1])
def test_perfect_scores_give_one(name, number):
    task, test = get_task(name), perfect(name, number)
    found = values(task, task.measure(test, task.neutral))
    assert found == pytest.approx(dict.fromkeys(task.metrics, 1.0))
    verdict = task.select({"both": test}, Selection(beta_grid="exact"))
    assert verdict.score == pytest.approx(1.0)
    assert values(task, task.measure(test, verdict.settings)) == pytest.approx(found)


@every_task
@pytest.mark.parametrize("value", [-2.0, 0.0, 7.0])
def test_scores_of_one_value_tell_nothing(name, value):
    task, test = get_task(name), guessed(name, 0)
    test = replace(test, scores=torch.where(test.scores.isneginf(), test.scores, value))
    found = values(task, task.measure(test, task.neutral))
    assert all(0 <= number < 1 for number in found.values())
    expected = case(name).constant
    if expected is not None:
        assert found == pytest.approx(expected(task, test))


@every_task
def test_guessers_know_nothing_and_chance_is_what_random_scores_give(name):
    task, test = get_task(name), guessed(name, 1)
    found = task.guessers(test)
    for guesses in found.values():
        assert guesses
        assert set(guesses) <= set(task.metrics)
        assert all(0 <= value < 1 for value in guesses.values())
    blind = replace(test, scores=torch.where(test.scores.isneginf(), test.scores, 0.0))
    assert task.guessers(blind) == found, "a guesser looks at the scores"
    if "chance" in found:
        measured = [task.measure(noisy(test, seed), task.neutral) for seed in range(100)]
        means = {metric: np.mean([one[metric] for one in measured]) for metric in found["chance"]}
        assert found["chance"] == pytest.approx(means, abs=0.03)


def noisy(scored, seed):
    """Each clip twenty times, every time with other random scores."""
    many = part_of(scored, torch.arange(len(scored.labels)).repeat(20))
    noise = torch.randn(many.scores.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return replace(many, scores=torch.where(many.scores.isneginf(), many.scores, noise))


# --- the contract: what is chosen -------------------------------------------------------------------------------------


@every_task
@given(seed=SEEDS, grid=st.sampled_from(sorted(BETA_GRIDS)), mean=st.booleans())
@some
def test_what_is_chosen_is_plain_and_complete(name, seed, grid, mean):
    task = get_task(name)
    views = {view: guessed(name, seed + i, 0) for i, view in enumerate(VIEWS)}
    verdict = task.select(views, Selection(beta_grid=grid, views=VIEWS, mean_beta=mean))
    assert 0 <= verdict.score <= 1
    assert set(task.neutral) <= set(verdict.settings)
    assert verdict.settings["view"] in (("both",) if mean else VIEWS)
    assert json.loads(json.dumps(dict(verdict.settings), allow_nan=False)) == verdict.settings
    assert isinstance(task.in_words(verdict.settings), str)
    again = task.select(views, Selection(beta_grid=grid, views=VIEWS, mean_beta=mean))
    assert again == verdict


@every_task
def test_one_good_view_is_chosen(name):
    task = get_task(name)
    views = {"both": guessed(name, 1, 0), "audio": guessed(name, 2, 0), "visual": perfect(name, 0)}
    many = {view: part_of(scored, torch.arange(len(scored.labels)).repeat(4)) for view, scored in views.items()}
    assert task.select(many, Selection(views=VIEWS)).settings["view"] == "visual"


@every_task
@given(seed=SEEDS, count=st.integers(1, 4))
@some
def test_the_mean_over_draws(name, seed, count):
    task = get_task(name)
    draws = [task.measure(guessed(name, seed + i), task.neutral) for i in range(count)]
    found = task.average(draws)
    for metric in task.metrics:
        each = [draw[metric] for draw in draws]
        if None not in each:
            assert 0 <= found[metric] <= 1
    same = values(task, task.average([draws[0]] * count))
    assert same == pytest.approx(values(task, draws[0]))
    nothing = dict.fromkeys(task.metrics)
    assert values(task, task.average([nothing] * count)) == nothing


# --- the contract: words ----------------------------------------------------------------------------------------------


@every_task
def test_its_words(name):
    task = get_task(name)
    assert task.main in task.metrics
    assert len(set(task.metrics)) == len(task.metrics)
    for metric in task.metrics:
        assert re.search(rf"\b{re.escape(metric)}\b", task.explain), f"explain does not say what {metric} is"
    assert task.explain.endswith(".")
    full, others = task.kinds
    assert full != others
    assert all(re.fullmatch("[a-z]+", kind) for kind in task.kinds)
    assert task.alone == "" or task.alone in task.metrics
    assert task.neutral["view"] == "both"
    assert json.loads(json.dumps(dict(task.neutral))) == task.neutral
    assert type(task).__doc__
    assert TASKS.get_class(name, Task) is type(task)
