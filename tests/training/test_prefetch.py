"""Gathering one batch ahead: same items, same order, no thread left, and no thread where nothing waits."""

import threading

import pytest
import torch

import avshot.training.prefetch as ahead
from avshot.features.store.store import FeatureStore, StoreWriter
from avshot.training.prefetch import one_ahead, pays


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("avshot-ahead")]


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_items_come_in_order_and_none_is_lost_even_none_itself(active, count):
    items = [None, *range(4)][:count]
    with one_ahead(iter(items), active) as ready:
        assert list(ready) == items
    assert threads() == []


def test_the_next_item_is_made_while_the_present_one_is_in_use():
    made = [threading.Event() for _ in range(3)]

    def items():
        for event in made:
            event.set()
            yield threading.current_thread().name

    with one_ahead(items()) as ready:
        assert next(ready).startswith("avshot-ahead")
        assert made[1].wait(10)  # nobody asked for it yet
        assert not made[2].wait(0.05)  # but no further than one
        assert len(list(ready)) == 2


def test_without_it_nothing_is_made_before_it_is_asked_for():
    asked = []
    with one_ahead((asked.append(i) for i in range(3)), active=False) as ready:
        assert asked == []
        next(ready)
        assert asked == [0]
        assert threads() == []


def test_an_error_in_making_an_item_is_raised_where_the_item_is_used():
    def items():
        yield 1
        raise ValueError("the disk is gone")

    with one_ahead(items()) as ready:
        assert next(ready) == 1
        with pytest.raises(ValueError, match="the disk is gone"):
            next(ready)
    assert threads() == []


def test_an_error_of_the_user_leaves_no_thread():
    def use():
        with one_ahead(iter(range(10))) as ready:
            next(ready)
            raise KeyError("stop")

    with pytest.raises(KeyError):
        use()
    assert threads() == []


@pytest.mark.parametrize(("threads_of_torch", "idle"), [(2, False), (1, True)])
def test_a_thread_pays_where_something_waits_and_somebody_has_time(monkeypatch, threads_of_torch, idle):
    monkeypatch.setattr(ahead, "cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads_of_torch)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [pays(waits, cpu) for waits in ("", "disk", "network")] == [False, idle, True]
    assert [pays(waits, gpu) for waits in ("", "disk", "network")] == [False, True, True]


@pytest.mark.parametrize(("root", "waits"), [("memory://ahead/s", "network"), ("s", "disk")])
def test_a_store_knows_what_it_waits_for(tmp_path, root, waits):
    place = root if "://" in root else str(tmp_path / root)
    with StoreWriter(place, spec={}) as writer:
        writer.add("a", audio=torch.zeros(1, 2), audio_time=torch.zeros(1))
    assert FeatureStore(place).waits == waits
