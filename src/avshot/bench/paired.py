"""Two rows of Runs, their answers paired clip by clip, for the test of significance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avshot.bench.significance import p_value, shares_of
from avshot.run import Run
from avshot.task import Scored


def p_of_pairs(pairs: Sequence[tuple[Run, Run]]) -> float:
    """The p value of the difference in HM between two rows, over all draws of the task together.

    Args:
        pairs: A Run of each row for every seed; at least one.

    Raises:
        ValueError: The Runs were not tested on the same clips, labels and classes, or not on both kinds of classes.
    """
    runs = [run for pair in pairs for run in pair]
    draws = runs[0].draws
    if not draws or any(run.draws != draws for run in runs):
        raise ValueError("the rows were not tested on the same draws." if draws else "there are no test clips.")
    answers, shares = [], []
    ids: list[str] = []
    for draw in draws:
        right, first = _answers(runs, draw)
        seen = first.seen[first.labels]
        if bool(seen.all()) or not bool(seen.any()):
            full, others = runs[0].task.kinds
            raise ValueError(f"there are no test clips of {full}, or none of {others} classes.")
        answers.append(right)
        shares.append(shares_of(first.labels, first.seen) / len(draws))
        ids += first.ids
    place = {id: i for i, id in enumerate(dict.fromkeys(ids))}
    right = torch.cat(answers, dim=1)
    return p_value(right[::2], right[1::2], torch.cat(shares), torch.tensor([place[id] for id in ids]))


def _answers(runs: Sequence[Run], draw: str) -> tuple[Tensor, Scored]:
    """`[run, clip]` whose answers to the clips of a draw are right, paired by id; and the clips as the first has them.

    Raises:
        ValueError: The Runs were not tested on the same clips, labels and classes.
    """
    tests = [test for run in runs if (test := run.scored(draw)) is not None]
    first = tests[0]
    for test in tests:
        if test.names != first.names or not torch.equal(test.seen, first.seen):
            raise ValueError("the rows were not tested among the same classes.")
        if set(test.ids) != set(first.ids):
            raise ValueError("the rows were not tested on the same clips.")
    orders = [_order(test.ids, first.ids) for test in tests]
    if any(not torch.equal(test.labels[order], first.labels) for test, order in zip(tests, orders, strict=True)):
        raise ValueError("the rows were tested with other labels of the same clips.")
    right = [_right(run, test)[order] for run, test, order in zip(runs, tests, orders, strict=True)]
    return torch.stack(right), first


def _order(ids: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Where each of `wanted` stands among `ids`."""
    place = {id: i for i, id in enumerate(ids)}
    return torch.tensor([place[id] for id in wanted], dtype=torch.long)


def _right(run: Run, test: Scored) -> Tensor:
    """`[clip]` True where the calibrated prediction is the label."""
    return run.task.apply(test.scores, test.seen, run.settings).argmax(dim=1) == test.labels
