"""Several processes that share a batch: their slices add up, for every method, and so do whole trainings."""

import copy
import dataclasses
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from avshot.bench.sweep import train_all
from avshot.data.load import load_dataset
from avshot.experiment import Experiment, parse_experiment
from avshot.method import Inputs, Recipe
from avshot.nn import batch_means as together
from avshot.nn.batch_means import mean_over
from avshot.nn.mlp import BatchNorm
from avshot.registry import create_method, list_methods
from avshot.run import find_runs, load_run
from avshot.task import Verdict
from avshot.training.clips import ClipSource
from avshot.training.companions import spawn
from avshot.training.distributed import Processes, check, current
from avshot.training.loop import train
from avshot.types import Batch, Classes, Features
from synthetic import synthetic_dataset
from test_every_method import build, make_batch


class Threads:
    """As many threads as a process group has processes: `add_up` waits for all of them."""

    def __init__(self, count):
        self.count, self.barrier, self.box = count, threading.Barrier(count, timeout=20), {}

    def run(self, work, weights):
        """Results of `work(index)` in one thread each, under its share of the batch."""

        def one(index):
            def add_up(value):
                self.box[index] = value.detach().clone()
                self.barrier.wait()
                total = sum(self.box[i] for i in range(self.count))
                self.barrier.wait()  # nobody writes the next value before all have read this one
                return total

            with together.sharing(together.Share(weights[index], add_up)):
                return work(index)

        with ThreadPoolExecutor(self.count) as pool:
            return list(pool.map(one, range(self.count)))


def parts(clips, count):
    """The slices of all processes."""
    found = []
    for index in range(count):
        processes = Processes()
        processes.count, processes.index = count, index
        found.append(processes.part(clips))
    return found


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 9))
def test_the_slices_are_the_batch(clips, count):
    rows = [i for part in parts(clips, count) for i in range(clips)[part]]
    assert rows == list(range(clips))
    sizes = [len(range(clips)[part]) for part in parts(clips, count)]
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None, max_examples=30)
@given(st.lists(st.booleans(), min_size=2, max_size=12), st.integers(2, 3), st.integers(0, 9))
def test_means_over_some_rows_add_up(real, count, seed):
    rows, real = torch.randn(len(real), generator=torch.Generator().manual_seed(seed)), torch.tensor(real)
    slices = parts(len(rows), count)
    weights = [len(rows[part]) / len(rows) for part in slices]
    if 0 in weights:
        return
    found = Threads(count).run(lambda i: mean_over(rows[slices[i]], real[slices[i]]), weights)
    torch.testing.assert_close(sum(w * v for w, v in zip(weights, found, strict=True)), mean_over(rows, real))


@pytest.mark.parametrize("sizes", [(5, 3), (7, 1), (8, 0), (1, 0), (0, 0)])
def test_batch_norm_sees_all_rows(sizes):
    """Against the plain norm: outputs, gradients, running statistics."""
    torch.manual_seed(0)
    rows, outer = torch.randn(sum(sizes), 4, dtype=torch.float64), torch.randn(sum(sizes), 4, dtype=torch.float64)
    plain = BatchNorm(4).double().train()
    nn.init.uniform_(plain.weight)
    norms = [copy.deepcopy(plain) for _ in sizes]
    whole = rows.clone().requires_grad_()
    (plain(whole) * outer).sum().backward()
    pieces = [piece.clone().requires_grad_() for piece in rows.split(sizes)]

    def work(index):
        out = norms[index](pieces[index])
        (out * outer.split(sizes)[index]).sum().backward()
        return out.detach()

    out = Threads(len(sizes)).run(work, [0.5] * len(sizes))
    torch.testing.assert_close(
        torch.cat(out), copy.deepcopy(plain).eval()(rows) if sum(sizes) < 2 else normed(rows, plain)
    )
    torch.testing.assert_close(torch.cat([piece.grad for piece in pieces]), whole.grad)
    for norm in norms:
        for key, value in plain.named_buffers():
            torch.testing.assert_close(dict(norm.named_buffers())[key], value)


def test_batch_norm_counts_class_embeddings_once():
    """All processes norm the same rows: as one process does, not as if there were more of them."""
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    plain = BatchNorm(4).train()
    norms = [copy.deepcopy(plain) for _ in range(3)]
    expected = plain(rows)
    for out in Threads(3).run(lambda i: norms[i](rows), [0.5, 0.25, 0.25]):
        torch.testing.assert_close(out, expected)
    for norm in norms:
        torch.testing.assert_close(norm.running_var, plain.running_var)


def normed(rows, norm):
    """What a batch norm makes of `rows`, written out."""
    scaled = (rows - rows.mean(dim=0)) / (rows.var(dim=0, correction=0) + norm.eps).sqrt()
    return (scaled * norm.weight + norm.bias).detach()


def part_of(batch, part):
    """Rows of a batch."""

    def cut(features):
        return Features(*(getattr(features, field.name)[part] for field in dataclasses.fields(features) if field.init))

    negative = None if batch.negative is None else part_of(batch.negative, part)
    return Batch(cut(batch.features), batch.labels[part], batch.classes, negative)


def gaps(batch):
    """The batch with clips that lack a modality: some of the first slice, and all of the second."""
    first, both, last = batch.features[:5], batch.features[5:14], batch.features[14:]
    return replace(batch, features=Features.cat([first.only("visual"), both, last.only("audio")]))


def gradients(model, batch, weight=1.0):
    """Gradient of every parameter, zero where there is none; the loss is that of all players."""
    (weight * torch.stack(list(model.loss(batch).values())).sum()).backward()
    return {key: torch.zeros_like(p) if p.grad is None else p.grad.clone() for key, p in model.named_parameters()}


@pytest.mark.parametrize("name", list_methods())
def test_slices_add_up_to_the_gradient_of_the_batch(name, monkeypatch):
    """Without random draws: in eval mode, batch norms aside, and with constants for what a loss draws itself."""
    model = build(name).double().eval()
    if not model.phases():
        with pytest.raises(ValueError, match="learns nothing by gradient, so 2 processes"):
            check(model, 24, 2)
        return
    for module in model.modules():
        module.training = isinstance(module, BatchNorm)
    batch = make_batch(name)
    batch = doubled(gaps(batch) if model.needs.missing_modality else batch)
    for draw in ("randn", "rand"):
        monkeypatch.setattr(torch, draw, lambda *size, **_: torch.full(size, 0.3, dtype=torch.float64))
        monkeypatch.setattr(torch, f"{draw}_like", lambda like, **_: torch.full_like(like, 0.3))
    monkeypatch.setattr(torch, "randint", lambda high, size, **_: torch.full(size, high // 2))
    slices, copies = (slice(0, 14), slice(14, 24)), [copy.deepcopy(model) for _ in range(2)]
    expected = gradients(model, batch)
    weights = [14 / 24, 10 / 24]
    found = Threads(2).run(lambda i: gradients(copies[i], part_of(batch, slices[i]), weights[i]), weights)
    total = {key: found[0][key] + found[1][key] for key in expected}
    largest = max(value.abs().max() for value in expected.values())
    worst = max((total[key] - expected[key]).abs().max() for key in expected) / largest
    if model.couples:
        assert worst > 1e-4, "its loss is that of its slices after all: let several processes train it"
        with pytest.raises(ValueError, match=f"{name} cannot learn from slices of a batch: .* train it with one"):
            check(model, 24, 2)
    else:
        assert worst < 1e-6
        check(model, 24, 2)


def doubled(batch):
    """In double precision, so that only real differences are seen."""
    features = Features(
        *(
            value.double() if value.is_floating_point() else value
            for value in (getattr(batch.features, f.name) for f in dataclasses.fields(batch.features) if f.init)
        )
    )
    classes = batch.classes.with_text({key: value.double() for key, value in batch.classes.text.items()})
    factors = {
        part: dataclasses.replace(factor, text={key: value.double() for key, value in factor.text.items()})
        for part, factor in classes.factors.items()
    }
    classes = dataclasses.replace(classes, factors=factors)
    return Batch(features, batch.labels, classes, None if batch.negative is None else doubled(batch.negative))


def test_what_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="Batches of 3 clips cannot be shared by 4 processes"):
        check(build("devise"), 3, 4)
    with pytest.raises(ValueError, match="other clips of the batch"):
        check(build("tcaf", triplet=1.0), 8, 2)
    check(build("ez_avgzl", negatives="batch", smoothing=0.0), 1, 1)


# --- two real processes -----------------------------------------------------------------------------------------------


def trainings(folder):
    """What each of two processes does: devise, stopped after two epochs and resumed; ale; clipclap; devise in bf16."""
    recipe = Recipe(epochs=3, batches_per_epoch=3, batch_size=9, lr=1e-2, clip_norm=1.0, schedule="plateau")
    found = []
    for name, epochs, changes in (
        ("devise", 2, {}),
        ("devise", 3, {}),
        ("ale", 3, {}),
        ("clipclap", 3, {}),
        ("devise", 3, {"precision": "bf16"}),
    ):
        dataset = synthetic_dataset()
        classes = Classes(dataset.names[:6], {"made": dataset.text["made"][:6]}, torch.ones(6, dtype=torch.bool))
        source = ClipSource(dataset, dataset.folds["train"], classes)
        torch.manual_seed(len(found) + int(os.environ.get("RANK", "0")))  # other weights: the main one's must count
        model = create_method(name, Inputs(12, 10, {"made": 16}), dropout=0.0)
        file = folder / f"{name}{changes}.checkpoint"
        if current().main:
            found.append((model, None))
        history = train(
            model,
            source,
            replace(recipe, **changes),
            seed=7,
            epochs=epochs,
            judge=judged if current().main else None,
            checkpoint=file if current().main else None,
            candidates=classes,
        )
        if current().main:
            found[-1] = (model, history)
    return found


def judged(model):
    return Verdict(-float(sum(p.abs().sum() for p in model.parameters())), {"beta": 0.5, "view": "both"})


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(tmp_path):
    """And their history, resumed or not, in fp32 and in bf16; nothing is left of them afterwards."""
    pytest.importorskip("accelerate")
    (tmp_path / "two").mkdir()
    with spawn(2, trainings, tmp_path / "two"):
        assert current().count == 2
        two = trainings(tmp_path / "two")
    assert "WORLD_SIZE" not in os.environ
    assert not torch.distributed.is_initialized()
    (tmp_path / "one").mkdir()
    one = trainings(tmp_path / "one")
    for (a, history), (b, other) in zip(one, two, strict=True):
        loose = {"atol": 2e-3, "rtol": 2e-2} if history is one[-1][1] else {"atol": 1e-5, "rtol": 1e-5}
        if a.name != "clipclap":  # before a batch norm there are biases that nothing holds: they go where rounding does
            for key, value in a.state_dict().items():
                torch.testing.assert_close(b.state_dict()[key], value, **loose)
        torch.testing.assert_close(torch.tensor(other.scores), torch.tensor(history.scores), rtol=1e-3, atol=0.0)
        assert (other.settings, other.drops) == (history.settings, history.drops)
        for epoch, (mine, theirs) in enumerate(zip(history.losses, other.losses, strict=True)):
            # Adam takes full steps along what only rounding moves, so batch norms part after a while.
            exact = loose["atol"] < 1e-4 and (a.name != "clipclap" or epoch == 0)
            assert mine == pytest.approx(theirs, rel=1e-4 if exact else 1e-2)


def dies():
    """A companion that ends before it is asked for anything."""
    os._exit(7)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_training_with_one_sentence():
    pytest.importorskip("accelerate")

    def run():
        with spawn(2, dies):
            current().share(1)

    with pytest.raises(ValueError, match="A process that trained along ended .exit code 7.*or with fewer"):
        run()
    assert not torch.distributed.is_initialized()


@pytest.mark.slow
def test_a_whole_run_is_the_same(tmp_path):
    """Both stages, the judge and class-embedding optimisation, by the command's function and by torchrun."""
    pytest.importorskip("accelerate")
    data = "simulated:ucf-main?scale=0.02"
    asked = {"method": "devise", "dataset": data, "recipe": {"epochs": 2, "batches_per_epoch": 4, "batch_size": 16}}
    experiment = parse_experiment(asked | {"config": {"dropout": 0.0}, "optimise_classes": True})
    dataset = load_dataset(data)
    found = {}
    for count in (1, 2):
        assert train_all({tmp_path / f"{count}": experiment}, dataset, 1, count) == {}
        found[count] = load_run(tmp_path / f"{count}")
    assert found[2].info["processes"] == 2
    for name in ("S", "U", "HM", "ZSL", "AUSUC"):
        assert found[2].metrics[name] == pytest.approx(found[1].metrics[name], abs=1e-3)
    torch.testing.assert_close(found[2].scored("test").scores, found[1].scored("test").scores, atol=1e-4, rtol=1e-4)
    changes = [word for key, value in asked["recipe"].items() for word in ("--set", f"recipe.{key}={value}")]
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "avshot.cli.app",
        "train",
        data,
    ]
    command += ["--method", "devise", "--set", "config.dropout=0.0", "--optimise-classes", *changes]
    done = subprocess.run(
        [sys.executable, *command, "--out", str(tmp_path / "torchrun")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (run,) = find_runs(tmp_path / "torchrun")
    assert run.metrics == found[2].metrics


def test_several_processes_mix_neither_with_jobs_nor_with_one_gpu():
    with pytest.raises(ValueError, match="2 jobs of 2 processes each"):
        train_all({}, synthetic_dataset(), 2, 2)
    one = {Path("never"): Experiment(dataset="d", device="cuda:1")}
    with pytest.raises(ValueError, match="Got device cuda:1 for 2 processes; each takes one of its own"):
        train_all(one, synthetic_dataset(), 1, 2)


def test_without_accelerate_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r'pip install "avshot\[train\]"'):
        current()
