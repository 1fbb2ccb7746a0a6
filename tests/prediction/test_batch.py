"""Many videos at once: in order, a bad one in its place, no more read ahead than is needed."""

import threading
import time

import pytest

from avshot.errors import BadMedia, BadSetting
from avshot.prediction.batch import AHEAD, Failed, answers


def test_answers_come_in_order_whatever_takes_longest():
    def slow(video):
        time.sleep(0.05 if int(video) % 3 == 0 else 0)
        return video

    videos = [str(i) for i in range(20)]
    for workers in (1, 2, 5):
        assert list(answers(slow, videos, workers=workers)) == videos
    assert list(answers(slow, [], workers=2)) == []


def test_a_bad_one_is_answered_in_its_place_and_the_others_go_on():
    def picky(video):
        if video == "b":
            raise BadMedia("b cannot be used.")
        if video == "c":
            raise OSError("the disk is full")
        return video

    found = list(answers(picky, ["a", "b", "c", "d"], workers=2))
    assert [found[0], found[3]] == ["a", "d"]
    assert isinstance(found[1], Failed)
    assert isinstance(found[1].error, BadMedia)
    assert (found[1].video, str(found[1].error)) == ("b", "b cannot be used.")
    assert isinstance(found[2].error, OSError)


def test_a_bug_is_no_bad_video():
    def broken(video):
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        list(answers(broken, ["a"], workers=1))


def test_it_is_parallel_and_reads_no_further_ahead_than_it_says():
    inside, most, taken = 0, 0, []
    lock = threading.Lock()

    def busy(video):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.02)
        with lock:
            inside -= 1
        return video

    def endless():
        i = 0
        while True:
            taken.append(i)
            yield str(i)
            i += 1

    found = answers(busy, endless(), workers=3)
    assert [next(found) for _ in range(10)] == [str(i) for i in range(10)]
    assert most == 3
    assert len(taken) <= 10 + 3 * AHEAD
    found.close()
    time.sleep(0.05)
    assert inside == 0  # nothing goes on behind the caller's back


def test_wrong_use_is_said_at_once():
    for videos, message in (("a.mp4", "Got one video"), (b"abc", "Got one video"), (None, "pass a list of paths")):
        with pytest.raises(BadMedia, match=message):
            answers(str, videos)
    with pytest.raises(BadSetting, match="workers is 0"):
        answers(str, ["a"], workers=0)
