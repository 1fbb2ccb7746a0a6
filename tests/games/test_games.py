"""The frame: episodes, seats, rewards, what each player is shown, and things found by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.errors import BadDataset, BadSetting
from avshot.games.episode import Answer, Message, Sight
from avshot.games.game import Game
from avshot.games.item import Item, Picture
from avshot.games.named import build, build_source, class_of, config_of, names_in
from avshot.games.rei import Rei
from avshot.games.res import Res, iou
from avshot.games.scene import KINDS, RGB, WORDS, Thing, telling
from avshot.games.sources.source import Source


def rei(**config):
    return Rei(build_source("symbolic"), Rei.Config(**config))


def described(episodes):
    return [(e.id, tuple(item.id for item in e.items), e.target, e.order, e.coin) for e in episodes]


def played(game, speaker, listener, episodes):
    """Success of two players without a weakness."""
    messages = speaker.say([game.speaker_sees(e) for e in episodes])
    answers = listener.answer([game.listener_sees(e) for e in episodes], messages)
    return np.array([game.score(game.reward(e, a)) for e, a in zip(episodes, answers, strict=True)])


def test_the_same_seed_gives_the_same_episodes_wherever_one_begins():
    whole = described(rei().draw(40, seed=3))
    assert whole == described(rei().draw(40, seed=3))
    assert whole[13:30] == described(rei().draw(17, seed=3, start=13))
    others = [described(rei().draw(40, seed=4)), described(rei().draw(40, seed=3, split="test"))]
    assert all({row[1] for row in whole}.isdisjoint(row[1] for row in other) for other in others)


@given(seed=st.integers(0, 2**31), quarters=st.integers(1, 8))
@settings(deadline=None)
def test_sides_are_balanced_on_their_own_for_both_players(seed, quarters):
    episodes = rei().draw(4 * quarters, seed)
    for i in range(0, len(episodes), 4):
        seats = {(e.target, e.place) for e in episodes[i : i + 4]}
        assert seats == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_who_always_says_left_is_right_in_exactly_half():
    episodes = rei().draw(400, seed=0)
    assert played(rei(), build("speakers", "true"), build("listeners", "left"), episodes).mean() == 0.5


def test_the_listener_sees_the_target_where_the_episode_says_and_is_not_told():
    game = rei()
    for episode in game.draw(16, seed=1):
        told, seen = game.speaker_sees(episode), game.listener_sees(episode)
        assert seen.items[episode.place] is told.items[told.target]
        assert seen.target is None
        assert game.reward(episode, Answer(choice=episode.place)) == 1
        assert game.reward(episode, Answer(choice=1 - episode.place)) == -1
        assert game.reward(episode, Answer(text="I cannot say.")) == -1


@given(seed=st.integers(0, 2**31))
@settings(deadline=None)
def test_pairs_are_redrawn_until_a_kind_differs(seed):
    game = rei(differ=("material", "size"))
    for episode in game.draw(4, seed):
        target, other = episode.items[episode.target], episode.items[1 - episode.target]
        assert telling(target.things, other.things, ("material", "size"))


@given(seed=st.integers(0, 2**31))
@settings(deadline=None)
def test_telling_is_what_a_loop_over_values_finds(seed):
    (episode,) = rei().draw(1, seed)
    first, second = (item.things for item in episode.items)
    expected = []
    for kind, values in KINDS.items():
        for value in values:
            here = any(getattr(thing, kind) == value for thing in first)
            there = any(getattr(thing, kind) == value for thing in second)
            if here and not there:
                expected.append(value)
    assert telling(first, second) == tuple(expected)
    assert telling(first, second, ("shape",)) == tuple(v for v in expected if v in KINDS["shape"])


def test_one_seed_may_ask_for_what_no_pair_has():
    class Alike(Source):
        def pair(self, rng, split):
            same = Item("one", scene=(Thing("red", "cube", "metal", "small"),))
            return same, same

    with pytest.raises(BadDataset, match="no pair in 10000 differs in color"):
        Rei(Alike(), Rei.Config(differ=("color",))).draw(1, seed=0)


def test_intersection_over_union_by_counting():
    first, second = np.zeros((4, 5), bool), np.zeros((4, 5), bool)
    first[:2, :3], second[1:, 1:] = True, True
    both = sum(first[y, x] and second[y, x] for y in range(4) for x in range(5))
    either = sum(first[y, x] or second[y, x] for y in range(4) for x in range(5))
    assert iou(first, second) == both / either
    assert iou(first, first) == 1
    assert iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 0


def one_object():
    """`res` over one picture with two objects."""
    masks = np.zeros((2, 8, 10), bool)
    masks[0, 1:4, 1:5], masks[1, 5:7, 6:9] = True, True
    boxes = np.array([[1.0, 1, 5, 4], [6, 5, 9, 7]])
    pixels = np.full((8, 10, 3), 100, np.uint8)
    things = (Thing("red", "cube", "metal", "small"), Thing("blue", "cube", "metal", "large"))
    item = Item("one", scene=things, load=lambda: Picture(pixels, boxes, masks))

    class One(Source):
        def single(self, rng, split):
            return item, int(rng.integers(2))

    return Res(One())


def test_only_the_speaker_sees_the_circle():
    game = one_object()
    (episode,) = game.draw(1, seed=0)
    (told,), (seen,) = game.speaker_sees(episode).pixels(), game.listener_sees(episode).pixels()
    assert (seen == 100).all()
    red = (told == (255, 0, 0)).all(axis=2)
    left, top, right, bottom = episode.items[0].picture.boxes[episode.target].astype(int)
    assert red.any()
    inside = np.zeros_like(red)
    inside[top:bottom, left:right] = True
    assert not (red & ~inside).any()
    assert (told[~red] == 100).all()


def test_the_reward_of_a_mask_and_what_is_good():
    game = one_object()
    (episode,) = game.draw(1, seed=0)
    masks = episode.items[0].picture.masks
    assert game.reward(episode, Answer(mask=masks[episode.target])) == 1
    assert game.reward(episode, Answer(mask=masks[1 - episode.target])) == 0
    assert game.reward(episode, Answer()) == 0
    assert (game.good(0.5), game.good(0.49)) == (True, False)
    assert (rei().good(1.0), rei().good(-1.0)) == (True, False)


def test_symbolic_players_of_res_find_the_object():
    game = one_object()
    episodes = game.draw(20, seed=0)
    assert played(game, build("speakers", "true"), build("listeners", "exact"), episodes).mean() == 1
    alike = played(game, build("speakers", "true?without=color,size"), build("listeners", "exact"), episodes)
    assert 0 < alike.mean() < 1


def test_greys_of_the_eight_colours():
    grey = build("weaknesses", "grey").apply(np.array([list(RGB.values())], np.uint8))
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 0] == grey[..., 2]).all()
    found = dict(zip(RGB, grey[0, :, 0].tolist(), strict=True))
    assert found == {
        "gray": 87, "red": 76, "blue": 81, "green": 73, "brown": 85, "purple": 83, "cyan": 158, "yellow": 222,
    }  # fmt: skip


@pytest.mark.parametrize("name", names_in("weaknesses"))
def test_every_weakness_keeps_the_size_and_leaves_a_plain_grey_middle_alone(name):
    weakness = build("weaknesses", name)
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    before = noisy.copy()
    seen = weakness.apply(noisy)
    assert (seen.shape, seen.dtype) == (noisy.shape, np.uint8)
    assert (noisy == before).all()
    assert (seen != noisy).any()
    flat = np.full((60, 80, 3), 128, np.uint8)
    assert (np.abs(weakness.apply(flat).astype(int) - 128) <= 1).all()


def test_blur_is_the_gaussian_of_scipy():
    from scipy.ndimage import gaussian_filter1d

    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    expected = pixels.astype(float)
    for axis in (0, 1):
        expected = gaussian_filter1d(expected, 1.0, axis=axis, mode="nearest", radius=3)
    assert (np.abs(build("weaknesses", "blur?sigma=0.02").apply(pixels) - expected) <= 0.5 + 1e-9).all()
    assert (build("weaknesses", "blur?sigma=0").apply(pixels) == pixels).all()


def test_red_and_green_come_closer_and_blue_and_yellow_do_not():
    seen = build("weaknesses", "red_green").apply(np.array([list(RGB.values())], np.uint8))[0].astype(float)
    colours = dict(zip(RGB, seen, strict=True))

    def apart(first, second):
        before = np.linalg.norm(np.subtract(RGB[first], RGB[second]))
        return np.linalg.norm(colours[first] - colours[second]) / before

    assert apart("red", "green") < 0.5
    assert apart("blue", "yellow") > 0.8


@pytest.mark.parametrize(
    ("folder", "spec", "words"),
    [
        ("listeners", "exakt", "There is no listener 'exakt'; listeners: .*exact.* Did you mean 'exact'"),
        ("listeners", "exact?ignore=color", "no option 'ignore'; options: ignores"),
        ("listeners", "exact?ignores=colour", "ignores names colour; kinds: color"),
        ("speakers", "true?without=hue", "without names hue"),
        ("weaknesses", "blur?sigma=much", "option sigma is 'much'"),
        ("weaknesses", "blur:here", "takes no place"),
    ],
)
def test_a_wrong_name_is_told_in_one_sentence(folder, spec, words):
    with pytest.raises(BadSetting, match=words):
        build(folder, spec)


def test_a_wrong_split_and_a_source_without_what_the_game_needs():
    with pytest.raises(BadSetting, match="no split 'testing'; splits: train, val, test"):
        rei().draw(1, seed=0, split="testing")
    with pytest.raises(BadSetting, match="knows of no objects"):
        Res(build_source("symbolic")).draw(1, seed=0)
    with pytest.raises(BadDataset, match="has no picture"):
        Sight(rei().draw(1, seed=0)[0].items, "rei").pixels()
    with pytest.raises(BadDataset, match="Nobody knows what is in"):
        _ = Item("a photo").things
    with pytest.raises(BadSetting, match="differ names colour"):
        rei(differ=("colour",))


def test_a_file_of_ones_own_is_a_name_too(tmp_path):
    own = tmp_path / "right.py"
    own.write_text(
        "from avshot.games.episode import Answer\n"
        "from avshot.games.listeners.listener import Listener\n"
        "class Right(Listener):\n"
        "    def answer(self, sights, messages):\n"
        "        return [Answer(choice=1) for _ in sights]\n"
    )
    game = rei()
    assert played(game, build("speakers", "silent"), build("listeners", str(own)), game.draw(8, seed=0)).mean() == 0.5
    own.write_text("x = 1\n")
    with pytest.raises(BadSetting, match="holds 0 listeners; expected one"):
        build("listeners", str(own))


def test_settings_of_a_query_have_their_types():
    config = config_of(class_of("listeners", "exact"), "ignores=color,size", "exact")
    assert config.ignores == ("color", "size")


def test_words_of_a_message():
    assert Message("A red, metal 'cube'.").words == ["a", "red", "metal", "cube"]
    assert Message(" ... ").words == []


def test_the_fifteen_words_and_abstract_contracts():
    assert len(WORDS) == len(set(WORDS)) == 15
    with pytest.raises(TypeError, match="abstract"):
        Game(build_source("symbolic"))
