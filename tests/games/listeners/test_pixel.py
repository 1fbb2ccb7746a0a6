"""The listener that looks: what it sees well, and what grey and blur take from it, by stated amounts."""

import numpy as np
import pytest

from avshot.games.episode import Message, Sight
from avshot.games.item import Item
from avshot.games.judge import judge
from avshot.games.measures import measure
from avshot.games.named import build, build_source
from avshot.games.rei import Rei
from avshot.games.rendering.camera import Camera
from avshot.games.rendering.place import placed_scene
from avshot.games.rendering.render import render
from avshot.games.scene import KINDS, WORDS

LISTENER = "pixel?scenes=160"
SIZES = [len(values) for values in KINDS.values()]


@pytest.fixture(scope="module")
def scenes():
    """Sixty scenes that it was not taught on, with their pictures."""
    drawn = [placed_scene(np.random.default_rng([5, i])) for i in range(60)]
    return [(scene, render(scene, Camera(160, 120))) for scene in drawn]


def accuracy(scenes, weakness=""):
    """Share of things whose value is told, for each kind."""
    listener, weak = build("listeners", LISTENER), build("weaknesses", weakness) if weakness else None
    hits = []
    for scene, picture in scenes:
        pixels = picture.pixels if weak is None else weak.apply(picture.pixels)
        parts = listener.beliefs(pixels, picture.boxes).split(SIZES, dim=1)
        for kind, part in zip(KINDS, parts, strict=True):
            found = [KINDS[kind][i] for i in part.argmax(1).tolist()]
            hits += [(kind, value == getattr(thing, kind)) for value, thing in zip(found, scene, strict=True)]
    return {kind: float(np.mean([hit for k, hit in hits if k == kind])) for kind in KINDS}


def test_grey_takes_colours_and_blur_takes_materials(scenes):
    clean, grey, blurred = accuracy(scenes), accuracy(scenes, "grey"), accuracy(scenes, "blur")
    assert clean["color"] > 0.95
    assert clean["shape"] > 0.75
    assert min(clean["material"], clean["size"]) > 0.9
    assert grey["color"] < clean["color"] - 0.5
    assert grey["shape"] > clean["shape"] - 0.15
    assert blurred["material"] < clean["material"] - 0.04
    assert blurred["color"] > clean["color"] - 0.05


def test_beliefs_are_distributions_and_do_not_depend_on_the_other_things(scenes):
    scene, picture = scenes[0]
    listener = build("listeners", LISTENER)
    beliefs = listener.beliefs(picture.pixels, picture.boxes)
    assert beliefs.shape == (len(scene), len(WORDS))
    for part in beliefs.exp().split(SIZES, dim=1):
        assert part.sum(1).numpy() == pytest.approx(1, abs=1e-5)
    alone = listener.beliefs(picture.pixels, picture.boxes[1:2])
    assert alone[0].numpy() == pytest.approx(beliefs[1].numpy(), abs=1e-4)


def test_the_choice_follows_the_probability_that_some_thing_has_the_value(scenes):
    listener = build("listeners", LISTENER)
    items = tuple(Item(str(i), scene=scenes[i][0], load=lambda i=i: scenes[i][1]) for i in range(2))
    for word in ("red", "sphere", "metal", "small", "cyan"):
        scores = []
        for item in items:
            beliefs = listener.beliefs(item.picture.pixels, item.picture.boxes)[:, WORDS.index(word)].exp().tolist()
            nowhere = 1.0
            for p in beliefs:
                nowhere *= 1 - min(p, 1 - 1e-6)
            scores.append(1 - nowhere)
        if abs(scores[0] - scores[1]) > 1e-4:
            (answer,) = listener.answer([Sight(items, "rei")], [Message(f"a {word} thing")])
            assert answer.choice == int(scores[1] > scores[0])


def test_without_a_word_that_it_knows_it_tosses_the_coin(scenes):
    items = tuple(Item(str(i), scene=scenes[i][0], load=lambda i=i: scenes[i][1]) for i in range(2))
    listener = build("listeners", LISTENER)
    for coin in range(4):
        (answer,) = listener.answer([Sight(items, "rei", coin=coin)], [Message("hello")])
        assert answer.choice == coin % 2


def test_it_plays_and_a_weakness_costs():
    game = Rei(build_source("rendered?width=160&height=120"))
    episodes, speaker, listener = game.draw(60, 0), build("speakers", "true"), build("listeners", LISTENER)
    clean = measure(judge(game, episodes, speaker, listener))["score"]
    grey = measure(judge(game, episodes, speaker, listener, build("weaknesses", "grey")))["score"]
    assert clean > 0.85
    assert grey < clean - 0.1
