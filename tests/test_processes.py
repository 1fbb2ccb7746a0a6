"""Several processes that share a batch: their slices add up, for every method, and so do whole trainings."""

import copy
import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from avshot import together
from avshot.losses import mean_over
from avshot.method import list_methods
from avshot.nn.mlp import BatchNorm
from avshot.processes import Processes, refuse
from avshot.types import Batch, Features
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
            refuse(model, 24, 2)
        return
    for module in model.modules():
        module.training = isinstance(module, BatchNorm)
    batch = make_batch(name)
    batch = doubled(gaps(batch) if model.needs.missing_modality else batch)
    for draw in ("randn", "rand"):
        monkeypatch.setattr(torch, draw, lambda *size, **_: torch.full(size, 0.3, dtype=torch.float64))
        monkeypatch.setattr(torch, f"{draw}_like", lambda like: torch.full_like(like, 0.3))
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
            refuse(model, 24, 2)
    else:
        assert worst < 1e-6
        refuse(model, 24, 2)


def doubled(batch):
    """In double precision, so that only real differences are seen."""
    features = Features(
        *(
            value.double() if value.is_floating_point() else value
            for value in (getattr(batch.features, f.name) for f in dataclasses.fields(batch.features) if f.init)
        )
    )
    classes = batch.classes.with_text({key: value.double() for key, value in batch.classes.text.items()})
    return Batch(features, batch.labels, classes, None if batch.negative is None else doubled(batch.negative))


def test_what_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="Batches of 3 clips cannot be shared by 4 processes"):
        refuse(build("devise"), 3, 4)
    with pytest.raises(ValueError, match="other clips of the batch"):
        refuse(build("tcaf", triplet=1.0), 8, 2)
    refuse(build("ez_avgzl", negatives="batch", smoothing=0.0), 1, 1)
