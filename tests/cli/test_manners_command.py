"""What the command line says of manners: `avshot predict --action`, `avshot search`, `avshot demo --task`."""

import json

import pytest

from avshot import Recognizer
from small_videos import loud_videos

RECIPE = {"epochs": 1, "passes_per_epoch": 200, "batch_size": 16, "lr": 3e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("manners")


@pytest.fixture(scope="module")
def run(folder):
    options = {"task": "adverb", "audio": "logmel?normalise=none&mels=20", "visual": None, "recipe": RECIPE}
    videos, pairs = loud_videos(folder / "videos")
    fitted = Recognizer("devise", **options, folder=folder).fit(videos, pairs, antonyms={"loudly": "quietly"})
    return fitted.save(folder / "run")


@pytest.fixture(scope="module")
def new(folder):
    return loud_videos(folder / "new", per_pair=1, seed=5)[0]


def test_predict_ranks_the_manners_of_an_action(avshot, run, new):
    code, told, _ = avshot("predict", run, new[0], "--action", "low humming", "--adverbs", "loudly, quietly, sadly")
    assert code == 0
    assert f"{new[0]} (1.2 s, ok): low humming\n" in told
    assert "assumed" not in told
    lines = [line.split() for line in told.splitlines() if line.split()[:1] in (["loudly"], ["quietly"], ["sadly"])]
    of = {line[0]: line for line in lines}
    assert of["loudly"][3] == "quietly"
    assert of["sadly"][3:5] == ["-", "-"]
    code, told, _ = avshot("predict", run, new[0])
    assert ": low humming, assumed (" in told


def test_predict_as_json(avshot, run, new):
    code, told, _ = avshot("predict", run, new[1], "--json")
    found = json.loads(told)
    assert (code, found["action"], found["manners"][0]["adverb"]) == (0, "low humming", "quietly")


def test_search_lists_the_best_first_and_names_what_it_cannot_use(avshot, run, new, folder, tmp_path):
    code, told, _ = avshot("search", run, "high beeping loudly", folder / "new", "--top", "2")
    assert code == 0
    assert "the first 2 of 4 videos" in told
    assert "rather than quietly" in told
    assert told.index("high-beeping-loudly-0.mp4") < told.index("high-beeping-quietly-0.mp4")
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    code, told, error = avshot("search", run, "high beeping loudly", folder / "new", bad, "--json")
    assert code == 1
    assert "bad.mp4 cannot be used" in error
    first = json.loads(told.splitlines()[0])
    assert first["video"].endswith("high-beeping-loudly-0.mp4")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["search", "RUN", "loudly", "NEW"], "'loudly' is one word"),
        (["predict", "RUN", "NEW", "--action", "x", "--classes", "a, b"], "and not both"),
        (["demo", "--task", "gfsl"], "There is no demo of the task 'gfsl'; expected gzsl or adverb."),
    ],
)
def test_wrong_use_is_one_sentence(avshot, run, folder, arguments, sentence):
    places = {"RUN": run, "NEW": folder / "new"}
    code, _, error = avshot(*(places.get(argument, argument) for argument in arguments))
    assert code == 2
    assert sentence in error
    assert "Traceback" not in error
