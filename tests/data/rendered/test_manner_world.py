"""The rendered world of manners: each adverb is seen or heard in each motion, and nothing else goes along with it."""

import csv
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest

from avshot.data.load import load_dataset
from avshot.data.pair_split import split_pairs
from avshot.data.rendered.acted import ACTED
from avshot.data.rendered.manner_world import (
    demo_manner,
    pair_names,
    pair_of,
    render_manner,
    render_manners,
    unseen_rule,
)
from avshot.data.rendered.manners import ADVERBS, OPPOSITES, draw_manner
from avshot.data.rendered.picture import MOTIONS
from avshot.data.rendered.world import Look, Roster, render_world
from avshot.media import read
from avshot.types import Clip

CLEAR = Look(difficulty=0.0, seconds=2.4, size=(48, 64))
CLIPS = 6


def test_five_pairs_of_opposites_over_five_motions():
    assert len(ADVERBS) == 10
    assert all(OPPOSITES[OPPOSITES[word]] == word != OPPOSITES[word] for word in ADVERBS)
    assert len(set(pair_names())) == 50
    assert set(ACTED) <= set(MOTIONS)
    assert pair_of("growing downwards") == ("growing", "downwards")
    for name in ("growing", "flashing quickly", "growing happily", "growing  quickly"):
        with pytest.raises(ValueError, match="cannot be rendered"):
            pair_of(name)


SIDE = {
    "quickly": "tempo",
    "completely": "extent",
    "continuously": "pause",
    "upwards": "rise",
    "loudly": "level",
}


@pytest.mark.parametrize("adverb", SIDE)
def test_an_adverb_fixes_one_side_and_leaves_the_others(adverb):
    """From the same state of the generator, what an adverb does not say is the same as under its opposite."""
    said = SIDE[adverb]
    for number in range(50):
        one, other = (asdict(draw_manner(word, np.random.default_rng(number))) for word in (adverb, OPPOSITES[adverb]))
        assert {key for key in one if one[key] != other[key]} == {said}
        middle = asdict(draw_manner("loudly" if adverb != "loudly" else "quickly", np.random.default_rng(number)))
        low, high = sorted((one[said], other[said]))
        assert low < middle[said] < high
        assert (one[said] < other[said]) == (adverb == "continuously")


def test_there_is_no_eleventh_adverb():
    with pytest.raises(KeyError):
        draw_manner("happily", np.random.default_rng(0))


def masks(action: str, adverb: str, number: int) -> np.ndarray:
    """Pixels of the shape `[frame, height, width]` while the event lasts: it is bright, the background is dark."""
    frames, _ = render_manner(f"{action} {adverb}", number, CLEAR)
    shape = frames.max(-1) > 170
    there = np.flatnonzero(shape.any((1, 2)))
    return shape[there[0] + 2 : there[-1] - 1]


def change(shape: np.ndarray) -> np.ndarray:
    return (shape[1:] ^ shape[:-1]).sum((1, 2)).astype(float)


def moved(shape: np.ndarray) -> float:
    """Pixels that change in a frame, for each pixel of the outline (more or less: the root of the area)."""
    return float(change(shape).mean() / np.sqrt(shape.sum((1, 2)).mean()))


def covered(action: str, shape: np.ndarray) -> float:
    """Pixels that the shape ever covers: of what grows as such, else relative to its usual size."""
    area = shape.sum((1, 2))
    return float(shape.any(0).sum() / (1 if action == "growing" else np.median(area)))


def stillness(shape: np.ndarray) -> float:
    """Share of the frames in which little changes."""
    pixels = change(shape)
    return float((pixels < 0.3 * np.quantile(pixels, 0.85)).mean())


def climb(action: str, shape: np.ndarray) -> float:
    """How the centre goes up with time; of what grows, with its size: pixels per standard deviation."""
    shape = shape[shape.any((1, 2))]
    height = np.array([-np.argwhere(frame)[:, 0].mean() for frame in shape])
    along = shape.sum((1, 2)).astype(float) if action == "growing" else np.arange(float(len(shape)))
    along = along - along.mean()
    return float((height * along).mean() / along.std())


def each(measure, action: str, adverb: str) -> np.ndarray:
    return np.array([measure(masks(action, adverb, number)) for number in range(CLIPS)])


@pytest.mark.parametrize("action", ACTED)
def test_each_manner_is_seen_in_each_motion(action):
    """The mean over a few clips differs from that of the opposite, in what the adverb is about."""
    assert each(moved, action, "quickly").mean() > 1.5 * each(moved, action, "slowly").mean()
    full, part = (each(lambda shape: covered(action, shape), action, word) for word in ("completely", "partially"))
    assert full.mean() > 1.3 * part.mean()
    assert each(stillness, action, "periodically").mean() > each(stillness, action, "continuously").mean() + 0.15
    up, down = (each(lambda shape: climb(action, shape), action, word) for word in ("upwards", "downwards"))
    assert (up > 0.5).all()
    assert (down < -0.5).all()


def loudness(action: str, adverb: str) -> float:
    """Mean level of a few clips in decibels."""
    waves = [render_manner(f"{action} {adverb}", number, CLEAR)[1] for number in range(CLIPS)]
    return float(np.mean([10 * np.log10(np.mean(wave**2)) for wave in waves]))


@pytest.mark.parametrize("action", ACTED)
def test_loudness_is_heard_and_only_there(action):
    """Loud and quiet lie apart, other opposites do not, and the picture knows nothing of it."""
    loud, quiet = loudness(action, "loudly"), loudness(action, "quietly")
    assert loud > quiet + 10
    for adverb in ("quickly", "completely", "continuously", "upwards"):
        levels = [loudness(action, word) for word in (adverb, OPPOSITES[adverb])]
        assert abs(levels[0] - levels[1]) < 3
        assert quiet + 3 < min(levels) < max(levels) < loud
    assert 0.7 < each(moved, action, "loudly").mean() / each(moved, action, "quietly").mean() < 1.4


def test_how_loud_is_loud_depends_on_what_is_done():
    """The motions differ by half of what lies between loud and quiet: the level alone does not say which it is."""
    usual = [loudness(action, "quickly") for action in ACTED]
    assert max(usual) - min(usual) > 4


def test_clips_repeat_and_differ():
    label, look = "spinning slowly", Look(seconds=1.0, size=(48, 64))
    frames, wave = render_manner(label, 3, look)
    again = render_manner(label, 3, look)
    assert np.array_equal(frames, again[0])
    assert np.array_equal(wave, again[1])
    assert frames.shape == (12, 48, 64, 3)
    for other in (render_manner(label, 4, look), render_manner(label, 3, Look(seed=1, seconds=1.0, size=(48, 64)))):
        assert not np.array_equal(frames, other[0])
        assert not np.array_equal(wave, other[1])


NAMES = ("sliding quickly", "sliding slowly", "growing loudly")


def test_the_world_is_balanced_and_its_bytes_repeat(tmp_path):
    """As many clips of each pair, action and adverb beside the label; two processes write what one writes."""
    settings = {"names": NAMES, "clips_per_class": 5, "seconds": 0.5}
    toml = render_manners(tmp_path / "a", workers=2, **settings)
    with open(toml.with_name("labels.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["label"] for row in rows) == dict.fromkeys(NAMES, 5)
    assert all(row["label"] == f"{row['action']} {row['adverb']}" for row in rows)
    assert all((tmp_path / "a" / row["filename"]).is_file() for row in rows)
    render_manners(tmp_path / "b", workers=1, **settings)
    for name in ("labels.csv", *(row["filename"] for row in rows)):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert read(tmp_path / "a" / rows[0]["filename"]).status == "ok"
    pairs = load_dataset(str(toml)).pairs
    assert set(pairs.words["action"]) == {"sliding", "growing"}
    assert pairs.antonyms == {"quickly": "slowly", "slowly": "quickly"}  # "quietly" has no clip


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_unseen_pairs_follow_the_rule_and_leave_enough_to_learn_from(seed):
    """Opposites on one side, every word on both, and every word that trains does so in two pairs of opposites."""
    pairs = {name: pair_of(name) for name in pair_names()}
    clips = [Clip(f"{name} {i}", label=name) for name in pairs for i in range(20)]
    rule = unseen_rule(pairs, seed)
    split = split_pairs(clips, pairs, OPPOSITES, rule)
    assert rule == unseen_rule(pairs, seed)
    unseen = set(split.unseen_test)
    assert len(unseen) in (24, 26)
    for name, (action, adverb) in pairs.items():
        assert (name in unseen) == (f"{action} {OPPOSITES[adverb]}" in unseen)
    for word in (*ACTED, *ADVERBS):
        own = {name for name, words in pairs.items() if word in words}
        assert own & unseen
        assert len(own - unseen) >= (4 if word in ACTED else 2)
    folds = Counter((split.fold_of[clip.id], clip.label in unseen) for clip in clips)
    count = len(unseen)
    assert folds == {
        ("train", False): 15 * (50 - count),
        ("test_seen", False): 5 * (50 - count),
        ("test_unseen", True): 10 * count,
        ("unlabelled", True): 10 * count,
    }


def test_a_world_of_manners_is_no_other_world(tmp_path):
    render_manners(tmp_path, names=NAMES[:1], clips_per_class=5, seconds=0.5, workers=1)
    roster = Roster(("sliding drumming", "growing drumming"), (), ())
    with pytest.raises(ValueError, match="holds a world of other settings"):
        render_world(tmp_path, classes=roster, clips_per_class=5, seconds=0.5, workers=1)


def test_bad_orders_are_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="cannot be rendered"):
        render_manners(tmp_path / "x", names=("sliding happily",))
    with pytest.raises(ValueError, match="clips_per_class is 2"):
        render_manners(tmp_path / "x", clips_per_class=2)
    assert not (tmp_path / "x").exists()


def test_a_clip_to_try_is_none_of_the_world(tmp_path):
    path = demo_manner(tmp_path / "new", "shaking quietly")
    assert path.name == "shaking-quietly.mp4"
    assert read(path).status == "ok"
    with pytest.raises(ValueError, match="cannot be rendered"):
        demo_manner(tmp_path, "shaking")
