"""How far several trainings are: the count of epochs, the one thread that shows it, and the lines."""

import queue
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import avshot.terminal.progress as terminal
from avshot.bench.watch import Tally, Watch
from avshot.experiment import Experiment

A, B = Path("a"), Path("b")


class Told(queue.Queue):
    """A queue within this process, with what only one between processes has."""

    left = False

    def cancel_join_thread(self):
        self.left = True


def test_epochs_are_counted_as_they_come():
    tally = Tally({A: 4, B: 4})
    assert tally.epochs() == (0, 16)  # two stages each, as the recipe says
    tally.note(A, "stage1", 1, 4)
    assert tally.epochs() == (1, 16)
    tally.note(A, "stage1", 4, 4)
    tally.note(A, "stage2", 1, 2)  # stage 1 chose two epochs
    assert tally.epochs() == (5, 14)
    tally.note(A, "stage2", 2, 2)
    tally.note(A, "", 0, 0)
    assert tally.epochs() == (6, 14)
    assert tally.ended == {A}
    tally.note(B, "", 0, 0)  # it failed, or was there: nothing of it is to come
    assert tally.epochs() == (6, 6)


def test_a_resumed_stage_and_further_draws():
    tally = Tally({A: 5})
    tally.note(A, "stage2", 3, 4)  # stage 1 was done before
    assert tally.epochs() == (3, 9)
    for stage in ("stage1", "stage3"):
        tally.note(A, stage, 1, 5)
    assert tally.epochs() == (5, 14)
    tally.note(A, "", 0, 0)
    assert tally.epochs() == (5, 5)


def test_one_thread_shows_what_workers_tell():
    shown, threads, told = [], set(), Told()

    def progress(what, done, total, numbers):
        shown.append((what, done, total, numbers["ended"]))
        threads.add(threading.current_thread().name)

    with Watch(progress, print).all(told, {A: 2, B: 2}) as ended:
        told.put((A, "stage1", 1, 2))
        told.put((A, "stage1", 2, 2))
        told.put((A, "stage2", 1, 1))
        ended(A)
        ended(B)
    assert [row[1:] for row in shown] == [(0, 8, 0), (1, 8, 0), (2, 8, 0), (3, 7, 0), (3, 7, 1), (3, 3, 2)]
    assert {row[0] for row in shown} == {"epochs of 2 trainings"}
    assert len(threads) == 2  # the first by who began, all others by the listener
    assert told.left


def test_news_are_taken_though_they_cannot_be_shown():
    told, calls = Told(), []

    def progress(*news):
        calls.append(news)
        if len(calls) == 2:
            raise BrokenPipeError

    def work():
        with Watch(progress, print).all(told, {A: 2}) as ended:
            for epoch in range(50):
                told.put((A, "stage1", epoch, 50))
            ended(A)

    with pytest.raises(BrokenPipeError):
        work()
    assert told.empty()
    assert len(calls) == 2


def test_a_failure_of_the_work_is_what_is_raised():
    with pytest.raises(KeyError), Watch(lambda *news: None, print).all(Told(), {A: 2}):
        raise KeyError


def test_a_training_in_this_process():
    shown = []
    watch = Watch(lambda *news: shown.append(news), print)
    watch.one(Experiment(dataset="x", method="devise", seed=3), 2, 5)("stage1", 1, 4, {"loss": 0.5})
    watch.one(Experiment(dataset="x", method="devise"), 1, 1)("stage2", 4, 4, {})
    assert shown == [
        ("[2/5] devise seed 3, stage1", 1, 4, {"loss": 0.5}),
        ("devise seed 0, stage2", 4, 4, {}),
    ]


def test_lines_where_there_is_no_terminal(capsys, monkeypatch):
    clock = iter(range(1000, 2000, 10))
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    told = Told()
    with terminal.show_trainings() as progress, Watch(progress, print).all(told, {A: 2}) as ended:
        for news in ((A, "stage1", 1, 2), (A, "stage1", 2, 2), (A, "stage2", 1, 1)):
            told.put(news)
        ended(A)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("epochs of 1 trainings: 0/4 0 ended (")
    assert lines[-1].startswith("epochs of 1 trainings: 3/3 1 ended (")
    assert any(re.fullmatch(r"epochs of 1 trainings: 2/4 0 ended \(\d+ s, about \d+ s left\)", line) for line in lines)


def test_one_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(terminal.sys.stderr, "isatty", lambda: True, raising=False)
    told = Told()
    with terminal.show_trainings() as progress, Watch(progress, print).all(told, {A: 2, B: 2}) as ended:
        told.put((A, "stage1", 2, 2))
        ended(A)
        ended(B)
    shown = capsys.readouterr().err
    assert shown.count("epochs of 2 trainings") >= 1
    assert "2/2" in shown.splitlines()[-1] or "2/2" in shown
    assert "2 ended" in shown
