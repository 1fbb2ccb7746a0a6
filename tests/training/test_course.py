"""Which epochs a training runs: phases, stretches with a best epoch each, and going on in the middle of any of them."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from avshot.method import Inputs, Method
from avshot.recipe import Phase, Recipe, Selection, Turn, spans, stretches
from avshot.task import Task, Verdict, get_task
from avshot.training import loop
from avshot.training.clips import ClipSource
from avshot.training.course import Course
from avshot.training.loop import train
from avshot.training.scoring import Judged
from avshot.training.selection import Judge, file_of, last_file, weights_in
from avshot.types import Classes
from synthetic import synthetic_dataset

# --- the course alone -------------------------------------------------------------------------------------------------

PHASES = st.lists(
    st.builds(
        Phase,
        st.text("abc", min_size=1, max_size=3),
        share=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
        best=st.sampled_from(["", "B", "N"]),
    ),
    min_size=1,
    max_size=4,
)


def naive(phases, total):
    """`[epoch]` (place of its phase, first epoch of its stretch, metric of its stretch), epoch by epoch.

    A stretch ends with a phase that names a metric; what ends with the training goes by the task's own rule.
    """
    shares = [sum(phase.share for phase in phases[: i + 1]) for i in range(len(phases))]
    place = []
    for epoch in range(total):
        after = [i for i, share in enumerate(shares[:-1]) if epoch < min(total, round(share * total))]
        place.append(after[0] if after else len(phases) - 1)
    ends = [e for e in range(total - 1) if any(phases[p].best for p in range(place[e], place[e + 1]) if p in place)]
    found = []
    for epoch in range(total):
        start = max([0, *(end + 1 for end in ends if end < epoch)])
        stop = min([end for end in ends if end >= epoch], default=None)
        found.append((place[epoch], start, "" if stop is None else phases[place[stop]].best))
    return found


@given(PHASES, st.integers(1, 12))
def test_all_epochs_in_order_with_their_phase_and_stretch(phases, total):
    course, expected = Course(phases, total, None), naive(phases, total)
    assert [course[i] for i in range(len(course))] == list(range(total))
    assert [course.phase(i) for i in range(total)] == [phases[place] for place, _, _ in expected]
    assert [course.start(i) for i in range(total)] == [start for _, start, _ in expected]
    assert [course.by(i) for i in range(total)] == [by for _, _, by in expected]
    starts = {start for _, start, _ in expected}
    assert {i for i in range(total) if course.begins(i)} == (starts if len(starts) > 1 else set())
    assert course.phase(-1) is None


@given(PHASES, st.integers(1, 12), st.data())
def test_a_prefix_of_each_stretch(phases, total, data):
    found = stretches(phases, total)
    counts = [data.draw(st.integers(1, len(own))) for own, _ in found]
    course, whole = Course(phases, total, counts), Course(phases, total, None)
    expected = [epoch for (own, _), count in zip(found, counts, strict=True) for epoch in list(own)[:count]]
    assert [course[i] for i in range(len(course))] == expected
    for i, epoch in enumerate(expected):
        for what in ("phase", "start", "by", "begins"):
            assert getattr(course, what)(i) == getattr(whole, what)(epoch), what


@given(PHASES, st.integers(1, 12), st.integers(1, 12))
def test_a_number_is_a_prefix_of_everything(phases, total, epochs):
    course = Course(phases, total, epochs)
    assert [course[i] for i in range(len(course))] == list(range(epochs))


@given(PHASES, st.integers(1, 12))
def test_stretches_have_epochs_and_the_last_goes_by_the_task(phases, total):
    found = stretches(phases, total)
    assert [epoch for own, _ in found for epoch in own] == list(range(total))
    assert all(len(own) for own, _ in found)
    assert found[-1][1] == ""
    assert all(by for _, by in found[:-1])
    assert [epoch for _, own in spans(phases, total) for epoch in own] == list(range(total))


def test_epochs_of_other_stretches_are_refused():
    with pytest.raises(ValueError, match=r"Got epochs of 2 stretches; this training has 1\."):
        Course((Phase(),), 5, [2, 3])


def test_without_phases_one_look_is_all_there_is():
    for epochs in (None, 7, [2, 3]):
        course = Course((), 50, epochs)
        assert (len(course), course[0], course.phase(0), course.by(0), course.begins(0)) == (1, 0, None, "", False)


# --- a training in three stretches ------------------------------------------------------------------------------------

RECIPE = Recipe(epochs=9, batches_per_epoch=2, batch_size=8, lr=3e-2)
THREE = (
    Phase("first", (Turn(("left",)),), 1 / 3, best="B"),
    Phase("second", (Turn(("left",)), Turn(("right",))), 1 / 3, best="N"),
    Phase("third", share=1 / 3),
)
ENDS = (3, 6, 9)


@dataclass(frozen=True)
class _Config:
    phases: tuple[Phase, ...] = THREE


class Tiny(Method):
    """Two linear maps of the averaged sound; a shift that depends on the draws of torch's global generator."""

    Config = _Config

    def __init__(self, config, inputs):
        super().__init__(config, inputs)
        self.left, self.right = nn.Linear(inputs.audio, 4), nn.Linear(4, inputs.text_dim)

    def phases(self):
        return self.config.phases

    def score(self, features, classes):
        return self.right(self.left(features.pooled()[0]).tanh()) @ classes.text["made"].T

    def loss(self, batch):
        scores = self.score(batch.features, batch.classes)
        return {"ce": nn.functional.cross_entropy(scores + 0.1 * torch.randn_like(scores), batch.labels)}


class Chance(Task):
    """Metrics that jump up and down with the weights, so that the best epoch of a stretch is anywhere."""

    metrics = ("B", "N", "HM")
    main = "HM"
    explain = "made up"

    def stages(self, dataset):
        raise NotImplementedError

    def measure(self, scored, settings):
        total = scored.scores.double().sum()
        return {
            name: float((total * factor).frac().abs()) for name, factor in zip(self.metrics, (97, 89, 83), strict=True)
        }


def prepared(seed=0, phases=THREE):
    dataset = synthetic_dataset()
    classes = Classes(dataset.names[:6], {"made": dataset.text["made"][:6]}, torch.ones(6, dtype=torch.bool))
    source = ClipSource(dataset, dataset.folds["train"], classes)
    torch.manual_seed(seed)
    return source, Tiny(_Config(phases), Inputs(12, 10, {"made": 16}))


class Noted(Judge):
    """A judge that keeps the weights and the score of every epoch."""

    def __init__(self, source, folder):
        val = ClipSource(source.dataset, source.dataset.folds["val_seen"], source.classes)
        folder.mkdir(exist_ok=True)
        self.seen = []
        super().__init__(Judged(val, source.classes), Chance(), Selection(), folder / "best.safetensors")

    def __call__(self, model):
        verdict = super().__call__(model)
        self.seen.append((weights(model), verdict.score, self.by))
        return verdict


def weights(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one | other)


def trained(folder, *, seed=0, **options):
    """A training of the first stage from start to end, or from where it was: model, history, judge."""
    source, model = prepared(seed)
    judge = Noted(source, folder)
    history = train(model, source, RECIPE, seed=5, judge=judge, checkpoint=folder / "checkpoint", **options)
    return model, history, judge


def best_of(seen, start, end):
    scores = [score for _, score, _ in seen[start:end]]
    return start + scores.index(max(scores))


def test_each_stretch_goes_on_from_the_best_weights_of_the_one_before(tmp_path, monkeypatch):
    began = []
    epoch = loop._epoch
    monkeypatch.setattr(
        loop, "_epoch", lambda players, *rest: began.append(weights(players.method)) or epoch(players, *rest)
    )
    _, history, judge = trained(tmp_path)
    assert history.starts == [0, 3, 6]
    assert [by for _, _, by in judge.seen] == ["B"] * 3 + ["N"] * 3 + [""] * 3
    bests = [best_of(judge.seen, end - 3, end) for end in ENDS]
    assert history.parts == [best - end + 4 for best, end in zip(bests, ENDS, strict=True)]
    assert history.best == bests[-1]
    assert bests[0] < 2 or bests[1] < 5, "else nothing is gone back to"
    for at, best in ((3, bests[0]), (6, bests[1])):
        assert same(began[at], judge.seen[best][0])
    for at in (1, 2, 4, 5, 7, 8):  # within a stretch it goes on from the epoch before
        assert same(began[at], judge.seen[at - 1][0])
    for number, best in enumerate(bests):
        assert same(weights_in(file_of(tmp_path / "best.safetensors", number)), judge.seen[best][0])
    assert last_file(tmp_path / "best.safetensors", history.starts).stem == "best-2"


def test_only_the_parameters_of_the_phase_move(tmp_path):
    before = weights(prepared()[1])
    _, _, judge = trained(tmp_path)
    assert same(
        {k: v for k, v in judge.seen[2][0].items() if "right" in k}, {k: v for k, v in before.items() if "right" in k}
    )
    assert not torch.equal(judge.seen[3][0]["right.weight"], before["right.weight"])


def test_the_second_stage_repeats_what_was_chosen(tmp_path):
    """The chosen epochs of each stretch, run again from scratch without a judge, end in the chosen weights."""
    _, history, judge = trained(tmp_path)
    source, model = prepared()
    again = train(model, source, RECIPE, seed=5, epochs=history.parts)
    assert again.starts == [0, history.parts[0], sum(history.parts[:2])]
    assert (again.parts, len(again.losses)) == (history.parts, sum(history.parts))
    assert same(weights(model), judge.seen[history.best][0])
    source, other = prepared()
    train(other, source, RECIPE, seed=5, epochs=[3, 3, 3])
    assert not same(weights(other), weights(model))


class Killed(Exception):
    pass


def die(done, total, numbers, *, at):
    if done == at:
        raise Killed


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return *trained(folder), folder


@pytest.mark.parametrize("at", range(1, 9))
def test_killed_after_any_epoch_it_goes_on_to_the_same_weights(whole, tmp_path, at):
    model, history, _, kept = whole
    with pytest.raises(Killed):
        trained(tmp_path, progress=lambda *told: die(*told, at=at))
    found, again, judge = trained(tmp_path, seed=99)  # other initial weights: all must come from the files
    assert len(judge.seen) == 9 - at
    assert again == history
    assert same(weights(found), weights(model))
    for number in range(3):
        files = (file_of(folder / "best.safetensors", number) for folder in (tmp_path, kept))
        assert same(*map(weights_in, files))


@pytest.mark.parametrize("at", range(9))
def test_killed_between_judgement_and_checkpoint(whole, tmp_path, monkeypatch, at):
    """The best of a stretch is on disk already, and the epoch is run again."""
    model, history, *_ = whole
    save, count = loop.save_state, [0]

    def dying(*args):
        if count[0] == at:
            raise Killed
        count[0] += 1
        save(*args)

    monkeypatch.setattr(loop, "save_state", dying)
    with pytest.raises(Killed):
        trained(tmp_path)
    monkeypatch.setattr(loop, "save_state", save)
    found, again, judge = trained(tmp_path, seed=0 if at == 0 else 99)  # before the first one there is nothing to read
    assert len(judge.seen) == 9 - at
    assert again == history
    assert same(weights(found), weights(model))


@pytest.mark.parametrize("at", range(1, 6))
def test_a_repeated_training_goes_on_in_each_stretch(tmp_path, at):
    parts = [2, 1, 3]
    source, model = prepared()
    expected = train(model, source, RECIPE, seed=5, epochs=parts)
    source, other = prepared()
    options = {"seed": 5, "epochs": parts, "checkpoint": tmp_path / "c"}
    with pytest.raises(Killed):
        train(other, source, RECIPE, progress=lambda *told: die(*told, at=at), **options)
    source, fresh = prepared(seed=99)
    assert train(fresh, source, RECIPE, **options) == expected
    assert same(weights(fresh), weights(model))


def test_a_training_too_short_for_all_its_stretches_can_be_repeated():
    phases = (Phase("base", share=0.6, best="B"), Phase("novel", share=0.4))
    source, model = prepared(phases=phases)
    recipe = Recipe(epochs=1, batches_per_epoch=2, batch_size=8)
    history = train(model, source, recipe, seed=5, judge=lambda _: Verdict(0.5, {"view": "both"}))
    source, again = prepared(phases=phases)
    train(again, source, recipe, seed=5, epochs=history.parts)
    assert same(weights(again), weights(model))


def test_a_metric_that_the_task_lacks_is_refused_in_one_sentence(tmp_path):
    source, model = prepared()
    judge = Noted(source, tmp_path)
    judge.task = get_task("gzsl")
    with pytest.raises(ValueError, match=r"^[^\n]*chooses the epochs of a phase by B, and the task gzsl measures S, U"):
        train(model, source, RECIPE, seed=5, judge=judge)
