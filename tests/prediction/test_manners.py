"""How something is done: adverbs beside their opposites for an action that is given or assumed, and searched for."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avshot import Recognizer
from avshot.prediction.manners import asked_pairs, assumed_action, manners, parted
from avshot.prediction.search import search
from avshot.types import Classes, Clip, Factor
from small_videos import heard_videos, loud_videos

RECIPE = {"epochs": 1, "passes_per_epoch": 200, "batch_size": 16, "lr": 3e-3}
ACTIONS, ADVERBS = ("cut", "chop up", "stir"), ("slowly", "quickly", "very gently", "loudly")
OPPOSITE = (1, 0, -1, -1)


def classes(pairs=None):
    """Pairs as classes, without texts."""
    pairs = pairs or [(action, adverb) for adverb in range(len(ADVERBS)) for action in range(len(ACTIONS))]
    index = torch.tensor(pairs)
    factors = {
        "action": Factor(index[:, 0], ACTIONS),
        "adverb": Factor(index[:, 1], ADVERBS, {}, torch.tensor(OPPOSITE)),
    }
    names = tuple(f"{ACTIONS[a]} {ADVERBS[v]}" for a, v in pairs)
    return Classes(names, {}, torch.ones(len(names), dtype=torch.bool), factors)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("cut slowly", ("cut", "slowly")),
        ("Chop-up very gently", ("chop up", "very gently")),
        ("stir the soup very gently", ("stir the soup", "very gently")),
        ("stir madly", ("stir", "madly")),
        ("peel an onion badly", ("peel an onion", "badly")),
    ],
)
def test_a_name_parts_into_action_and_adverb(name, pair):
    assert parted(name, classes().factors) == pair


def test_one_word_is_no_pair():
    with pytest.raises(ValueError, match="'slowly' is one word"):
        parted("slowly", classes().factors)


def test_what_is_not_given_is_all_that_the_run_knows():
    known = classes()
    assert asked_pairs(known, "CUT", None) == tuple(("cut", adverb) for adverb in ADVERBS)
    assert asked_pairs(known, None, ["Quickly", "madly"]) == tuple(
        (action, adverb) for action in ACTIONS for adverb in ("quickly", "madly")
    )
    with pytest.raises(ValueError, match="Got no adverbs"):
        asked_pairs(known, "cut", [])
    plain = Classes(("a", "b"), {}, torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="leave action and adverbs away"):
        asked_pairs(plain, "cut", None)


# --- probabilities ----------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.001, 1), min_size=12, max_size=12))
def test_the_assumed_action_has_most_probability(weights):
    p, known = torch.tensor(weights, dtype=torch.float64), classes()
    p = p / p.sum()
    action, share, own = assumed_action(p, known)
    of = {a: sum(float(p[j]) for j, name in enumerate(known.names) if name.startswith(a + " ")) for a in ACTIONS}
    assert of[action] == pytest.approx(max(of.values()))
    assert share == pytest.approx(of[action])
    assert set(own) == {f"{action} {adverb}" for adverb in ADVERBS}


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_manners_are_ranked_and_set_against_their_opposites(weights):
    own = classes([(1, v) for v in (2, 0, 3, 1)])
    found = manners(torch.tensor(weights, dtype=torch.float64), own)
    assert [m.probability for m in found] == sorted(weights, reverse=True)
    of = {m.adverb: m for m in found}
    slow, quick = weights[1], weights[3]
    assert (of["slowly"].opposite, of["quickly"].opposite) == ("quickly", "slowly")
    expected = slow / (slow + quick) if slow + quick > 0 else 0.5
    assert of["slowly"].against == pytest.approx(expected)
    assert (of["loudly"].opposite, of["loudly"].against) == (None, None)


def test_an_opposite_that_is_not_asked_for_is_not_shown():
    (only,) = manners(torch.tensor([1.0]), classes([(0, 0)]))
    assert (only.adverb, only.opposite, only.against) == ("slowly", None, None)


# --- raw videos -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("manners")


@pytest.fixture(scope="module")
def loud(folder):
    """Learnt from two actions that are heard, each done loudly and quietly."""
    options = {
        "task": "adverb",
        "audio": "logmel?normalise=none&mels=20",
        "visual": None,
        "recipe": RECIPE,
        "folder": folder,
    }
    videos, pairs = loud_videos(folder / "videos")
    return Recognizer("devise", **options).fit(videos, pairs, antonyms={"loudly": "quietly"})


@pytest.fixture(scope="module")
def new(folder):
    return loud_videos(folder / "new", per_pair=1, seed=5)


def test_the_manner_of_a_new_video_is_heard(loud, new):
    for video, (action, adverb) in zip(*new, strict=True):
        found = loud.predict(video, action=action.upper())
        assert (found.action, found.assumed) == (action, None)
        assert {m.adverb for m in found.manners} == {"loudly", "quietly"}
        assert found.manners[0].adverb == adverb
        assert found.label == f"{action} {adverb}"
        assert sum(m.probability for m in found.manners) == pytest.approx(1)
        assert found.manners[0].against == pytest.approx(found.manners[0].probability)


def test_without_an_action_it_says_which_it_assumes(loud, new):
    for video, (action, _) in zip(*new, strict=True):
        found = loud.predict(video)
        assert found.action == action
        assert 0.5 <= found.assumed <= 1
        assert [guess.name for guess in found.ranking] == [f"{action} {m.adverb}" for m in found.manners]
        given = loud.predict(video, action=action)
        assert [m.probability for m in given.manners] == pytest.approx([m.probability for m in found.manners])


def test_words_in_free_text(loud, new):
    found = loud.predict(new[0][0], action="singing", adverbs=["quietly", "sweetly", "LOUDLY"])
    assert found.action == "singing"
    of = {m.adverb: m for m in found.manners}
    assert set(of) == {"quietly", "sweetly", "loudly"}
    assert of["loudly"].opposite == "quietly"
    assert of["sweetly"].opposite is None
    assert not any(guess.seen for guess in found.ranking)
    named = loud.predict(new[0][0], ["singing quietly", "low humming loudly", "whispering sweetly"])
    assert named.action == ""
    assert {guess.name for guess in named.ranking} == {"singing quietly", "low humming loudly", "whispering sweetly"}


def test_new_words_have_the_embedding_that_training_would_give(loud):
    """As the run's own words: those of a known pair, embedded anew under the same names, are what they were."""
    known = loud.run.classes().factors["adverb"]
    asked = loud._ready().candidates(["singing sweetly"], (("singing", "sweetly"),))
    factor = asked.classes.factors["adverb"]
    assert factor.names == (*known.names, "sweetly")
    assert factor.opposite.tolist() == [*known.opposite.tolist(), -1]
    again = loud._ready()._lists._names._words(known.names)
    for encoder, vectors in known.text.items():
        assert torch.allclose(again[encoder], vectors, atol=1e-6)
        assert factor.text[encoder].shape == (len(known) + 1, vectors.shape[1])


def test_plain_values_say_of_manners_only_where_there_are_some(loud, new):
    found = loud.predict(new[0][0], action="low humming")
    told = json.loads(json.dumps(found.to_dict()))
    assert told["action"] == "low humming"
    assert told["manners"][0]["adverb"] == found.manners[0].adverb
    assert not {"action", "assumed", "manners"} & set(replace(found, action="").to_dict())


def test_many_videos_say_what_one_says(loud, new):
    found = list(loud.predict_many(new[0], action="low humming", workers=2))
    assert [f.manners for f in found] == [loud.predict(video, action="low humming").manners for video in new[0]]


def test_names_and_an_action_are_not_both_given(loud, new):
    with pytest.raises(ValueError, match="and not both"):
        loud.predict(new[0][0], ["low humming loudly"], action="low humming")


# --- search -----------------------------------------------------------------------------------------------------------


def test_search_puts_those_first_that_are_so(loud, folder, new, tmp_path):
    videos = [str(path) for path in new[0]]
    for video, (action, adverb) in zip(videos, new[1], strict=True):
        found, failed = loud.search(f"{action} {adverb}", [*videos, tmp_path / "none.mp4"])
        assert found[0].video == video
        assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
        assert found[0].opposite == ("quietly" if adverb == "loudly" else "loudly")
        assert found[0].against > 0.5 > min(match.against for match in found)
        assert [fail.video for fail in failed] == [str(tmp_path / "none.mp4")]


def test_search_scores_are_those_of_the_method(loud, new):
    """The column of the pair, clip by clip, as the task ranks clips for an adverb."""
    predictor = loud._ready()
    found, _ = search(predictor, "low humming loudly", new[0], workers=1)
    asked = predictor.candidates(["low humming loudly"])
    for match in found:
        features, _, _ = predictor.features(Clip(match.video, match.video))
        with torch.inference_mode():
            own = float(asked.model.score(features.prefer(loud.run.view), asked.classes)[0, 0])
        assert match.score == pytest.approx(own, abs=1e-5)


def test_search_of_plain_classes(folder):
    videos, labels = heard_videos(folder / "heard", per_class=4)
    plain = Recognizer("devise", folder=folder, recipe=RECIPE).fit(videos, labels)
    found, failed = plain.search("low humming", videos)
    assert not failed
    low = {str(video) for video, label in zip(videos, labels, strict=True) if label == "low humming"}
    assert {match.video for match in found[:4]} == low
    assert found[0].opposite is None
    with pytest.raises(ValueError, match="leave action and adverbs away"):
        plain.predict(videos[0], action="low humming")


def test_labels_that_the_task_cannot_use(folder):
    videos, pairs = [folder / "a.mp4", folder / "b.mp4"], [("humming", "loudly"), ("humming", "quietly")]
    with pytest.raises(ValueError, match=r'build Recognizer\(task="adverb"\)'):
        Recognizer("devise").fit(videos, pairs)
    with pytest.raises(ValueError, match="pass an action and an adverb"):
        Recognizer("devise", task="adverb").fit(videos, ["humming loudly", "humming quietly"])
    with pytest.raises(ValueError, match="leave classes away"):
        Recognizer("devise", task="adverb").fit(videos, pairs, classes=["humming softly"])
    with pytest.raises(ValueError, match="Antonyms are for the task adverb"):
        Recognizer("devise").fit(videos, ["a", "b"], antonyms={"loudly": "quietly"})
