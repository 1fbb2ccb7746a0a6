"""Several threads on one Predictor: every answer is that of a single thread, and nobody waits who need not."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import avshot.prediction.names as names_module
import avshot.prediction.predictor as predictor_module
from avshot import Recognizer
from avshot.classes.encoders.wordllama import WordLlama
from avshot.media import write
from avshot.methods import devise
from avshot.prediction.lists import LISTS
from avshot.prediction.predictor import Predictor
from avshot.registry import get_method
from avshot.run import load_run
from small_videos import FPS, RATE, heard_videos, picture, sound

LEARNT = ["low humming", "high beeping"]
CHOICES = [
    ["a church organ", "a dog barking"],
    [*LEARNT, "rain on a roof"],
    ["thunder", "a siren", "low humming"],
    None,
]
SHORT = {"epochs": 1, "batches_per_epoch": 4, "passes_per_epoch": 0}
ROUNDS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("threads")


@pytest.fixture(scope="module")
def videos(folder):
    return heard_videos(folder / "videos", per_class=3)


@pytest.fixture(scope="module")
def clip(folder):
    rng = np.random.default_rng(5)
    write(folder / "new.mp4", picture(None, rng), FPS, sound("low humming", rng), RATE)
    return str(folder / "new.mp4")


@pytest.fixture(scope="module")
def run_of(folder, videos):
    made = {}

    def get(method, **changes):
        key = (method, *changes)
        if key not in made:
            fitted = Recognizer(method, folder=folder / "kept", recipe=SHORT, **changes).fit(*videos)
            made[key] = fitted.run.path
        return load_run(made[key])

    return get


def at_once(tasks):
    """Results of functions that begin at the same moment, each in a thread of its own."""
    gate = threading.Barrier(len(tasks))

    def begin(task):
        gate.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(begin, task) for task in tasks]]


@pytest.mark.parametrize(
    ("method", "changes"), [("devise", {}), ("devise", {"optimise_classes": True}), ("f_vaegan_d2", {}), ("acfs", {})]
)
def test_each_thread_gets_the_answer_of_a_single_one(run_of, clip, method, changes):
    """Methods that adapt to the candidates draw at random meanwhile; one list must not leak into another."""
    run = run_of(method, **changes)
    alone = Predictor(run)
    expected = [alone.predict(clip, names) for names in CHOICES]
    assert len({answer.ranking for answer in expected}) == len(CHOICES)
    shared = Predictor(run)

    def worker(first):
        found = []
        for i in range(ROUNDS * len(CHOICES)):
            chosen = (first + i) % len(CHOICES)
            found.append((chosen, shared.predict(clip, CHOICES[chosen])))
        return found

    for answers in at_once([lambda k=k: worker(k) for k in range(4)]):
        for chosen, answer in answers:
            assert answer == expected[chosen]


def test_the_random_generator_of_others_is_left_alone(run_of, clip):
    for method in ("f_vaegan_d2", "devise"):
        run = run_of(method)  # trained here where no other test of this process asked for it, which draws numbers
        torch.manual_seed(3)
        before = torch.get_rng_state()
        Predictor(run).predict(clip, ["a church organ", "a dog barking"])
        assert torch.equal(torch.get_rng_state(), before)


def test_a_list_that_takes_long_holds_up_no_other(run_of, clip, monkeypatch):
    """While one list is embedded, those that are ready are used, and who asks for the same list waits for it."""
    predictor = Predictor(run_of("devise"))
    ready = ["a church organ", "a dog barking"]
    expected = predictor.predict(clip, ready)
    begun, go_on, calls = threading.Event(), threading.Event(), []
    embed = names_module.worded

    def slow(run, words, encoders):
        calls.append(tuple(words))
        begun.set()
        assert go_on.wait(30)
        return embed(run, words, encoders)

    monkeypatch.setattr(names_module, "worded", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(predictor.predict, clip, ["thunder", "waves"])
        assert begun.wait(30)
        second = pool.submit(predictor.predict, clip, ["thunder", "waves"])
        try:
            assert predictor.predict(clip, ready) == expected
            assert predictor.predict(clip).ranking
            assert not first.done()
            assert not second.done()
        finally:
            go_on.set()
        assert first.result() == second.result()
    assert calls == [("thunder", "waves")]


def test_what_is_loaded_late_is_loaded_once(run_of, clip, monkeypatch):
    """Text encoder and extractors, asked for by several threads before anything is there."""
    run, made, described = run_of("devise"), [], []
    original, extractors = WordLlama.__init__, predictor_module.extractors_of
    monkeypatch.setattr(WordLlama, "__init__", lambda self: made.append(1) or original(self))
    monkeypatch.setattr(predictor_module, "extractors_of", lambda *given: described.append(1) or extractors(*given))
    predictor = Predictor(run)
    found = at_once([lambda i=i: predictor.predict(clip, [f"thunder {i}", "rain"]) for i in range(4)])
    assert len(found) == 4
    assert (len(made), len(described)) == (1, 1)


def test_a_list_that_fails_is_tried_again_and_pushes_nothing_out(run_of, monkeypatch):
    predictor = Predictor(run_of("devise"))
    kept = predictor.classes(["thunder"])
    failing = names_module.worded

    def fails(*args, **kwargs):
        raise ValueError("no such words")

    monkeypatch.setattr(names_module, "worded", fails)
    for i in range(2 * LISTS):
        with pytest.raises(ValueError, match="no such words"):
            predictor.classes([f"word {i}"])
    assert predictor.classes(["thunder"]) is kept
    monkeypatch.setattr(names_module, "worded", failing)
    assert predictor.classes(["word 0"]).names == ("word 0",)
    for i in range(LISTS):
        predictor.classes([f"word {i}", "rain"])
    assert predictor.classes(["thunder"]) is not kept  # the list asked for longest ago went


def test_many_videos_are_answered_as_one_by_one(run_of, videos, clip, folder):
    recognizer = Recognizer.load(run_of("devise").path)
    broken = folder / "broken.mp4"
    broken.write_text("no video")
    with open(clip, "rb") as file:
        content = file.read()
    asked = [*map(str, videos[0]), str(broken), content, clip]
    found = list(recognizer.predict_many(asked, ["thunder", "low humming"], top=1, workers=2))
    assert [answer.video for answer in found] == [*map(str, videos[0]), str(broken), "<bytes>", clip]
    assert "cannot be used" in str(found[-3].error)
    for video, answer in zip(asked, found, strict=True):
        if video != str(broken):
            assert answer == recognizer.predict(video, ["thunder", "low humming"], top=1)
    assert (found[-2].ranking, found[-2].moments) == (found[-1].ranking, found[-1].moments)
    for wrong, message in (({"classes": ["!!"]}, "no letter or digit"), ({"top": 0}, "top is 0")):
        with pytest.raises(ValueError, match=message):
            recognizer.predict_many(asked, **wrong)  # before a video is read


def test_a_file_that_several_threads_name_is_imported_once(tmp_path):
    """The second one must not get a module that is half imported."""
    source = Path(devise.__file__).read_text()
    slow = tmp_path / "slow_devise.py"
    slow.write_text(source.replace("from dataclasses", "import time\n\ntime.sleep(0.2)\n\nfrom dataclasses", 1))
    assert "sleep" in slow.read_text()
    found = at_once([lambda: get_method(str(slow)) for _ in range(4)])
    assert len(set(found)) == 1
