"""The rendered world: what a class name says is what can be seen and heard, and nothing else decides."""

import numpy as np
import pytest
import torch

from avshot.data.load import load_dataset
from avshot.data.rendered import world
from avshot.data.rendered.classes import VOCABULARY
from avshot.data.rendered.picture import COLOURS, render_picture
from avshot.data.rendered.shapes import SHAPES
from avshot.data.rendered.sound import VOICES, render_sound
from avshot.data.rendered.world import DEFAULT, Look, Roster, clip_name, demo_clip, render_clip, render_world, words_of
from avshot.media import read

CLEAR = Look(difficulty=0.0)
SMALL = Roster(
    seen=("red sliding drumming", "blue growing whistling"),
    val_unseen=("red growing whistling",),
    test_unseen=("blue sliding drumming",),
)


def mask(frames: np.ndarray) -> np.ndarray:
    """Strongly coloured pixels `[frame, height, width]`: at difficulty 0 they are the shape."""
    pixels = frames.astype(int)
    return pixels.max(-1) - pixels.min(-1) > 110


def centre(shape: np.ndarray) -> np.ndarray:
    """Mean row and column `[frame, 2]` of the frames in which at least half of the largest shape is seen."""
    area = shape.sum((1, 2))
    return np.array([np.argwhere(one).mean(0) for one in shape[area > 0.5 * area.max()]])


def spectrum(waveform: np.ndarray, rate: int = 16000) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.rfftfreq(len(waveform), 1 / rate), np.abs(np.fft.rfft(waveform)) ** 2


def sound(word: str | None, number: int = 0, difficulty: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng([9, number])
    return render_sound(word, rng, seconds=2.0, span=(0.2, 1.8), difficulty=difficulty, rate=16000)


def test_words_of_a_name():
    assert words_of("Red star, bouncing;  drumming") == {
        "colour": "red",
        "shape": "star",
        "motion": "bouncing",
        "sound": "drumming",
    }
    assert words_of("a red thing") == {"colour": "red"}
    with pytest.raises(ValueError, match="two colours: red and blue"):
        words_of("red blue drumming")
    with pytest.raises(ValueError, match=r"no word that can be rendered.*whistling"):
        words_of("dog barking")


def test_no_word_has_two_meanings():
    words = [word for kind in VOCABULARY.values() for word in kind]
    assert len(words) == len(set(words))


def test_default_classes_are_inferable():
    """Each word of an unseen class occurs in several seen ones; no class is listed twice."""
    assert len(DEFAULT.names) == 32
    for name in (*DEFAULT.val_unseen, *DEFAULT.test_unseen):
        for word in name.split():
            assert sum(word in seen.split() for seen in DEFAULT.seen) >= 3, (name, word)
    for name in DEFAULT.names:
        assert set(words_of(name)) == {"colour", "motion", "sound"}


@pytest.mark.parametrize("missing", ["colour", "motion", "sound"])
def test_every_word_is_needed(missing):
    """Without one kind of word the unseen test classes fall into groups of two: at best half can be right."""
    rest = [tuple(word for kind, word in words_of(name).items() if kind != missing) for name in DEFAULT.test_unseen]
    assert len(set(rest)) == len(rest) // 2


def test_words_can_be_read_from_text_vectors():
    """A linear map fitted on the seen classes names every word of every unseen class from its text vector."""
    from avshot.classes.embed import embed_classes

    vectors = embed_classes(DEFAULT.names).text["wordllama"]
    seen = len(DEFAULT.seen)
    for kind in ("colour", "motion", "sound"):
        of_class = [words_of(name)[kind] for name in DEFAULT.names]
        words = sorted(set(of_class[:seen]))
        target = torch.tensor([[float(word == other) for other in words] for word in of_class])
        kernel = vectors[:seen] @ vectors[:seen].T + 0.01 * torch.eye(seen)
        guess = vectors[seen:] @ vectors[:seen].T @ torch.linalg.solve(kernel, target[:seen])
        assert guess.argmax(1).equal(target[seen:].argmax(1)), kind


def test_a_roster_names_a_class_once():
    with pytest.raises(ValueError, match="red drumming"):
        _ = Roster(("red drumming", "blue drumming"), (), ("red drumming",)).names


def test_clips_are_deterministic_and_differ():
    frames, waveform = render_clip("red growing drumming", 3)
    again = render_clip("red growing drumming", 3)
    assert np.array_equal(frames, again[0])
    assert np.array_equal(waveform, again[1])
    assert frames.shape == (24, 120, 160, 3)
    assert frames.dtype == np.uint8
    assert waveform.shape == (32000,)
    assert waveform.dtype == np.float32
    others = (render_clip("red growing drumming", 4), render_clip("red growing drumming", 3, Look(seed=1)))
    for other in others:
        assert not np.array_equal(frames, other[0])
        assert not np.array_equal(waveform, other[1])


@pytest.mark.parametrize("colour", ["red", "green", "blue", "yellow"])
def test_colour_is_seen(colour):
    """The coloured pixels lie nearest to the named colour, among all colours, in every clip."""
    table = np.array(list(COLOURS.values()))
    for number in range(3):
        frames, _ = render_clip(f"{colour} flashing drumming", number, CLEAR)
        mean = frames[mask(frames)].mean(0) / 255
        assert list(COLOURS)[np.abs(table - mean).sum(1).argmin()] == colour


def test_shapes_have_their_form():
    """Share of the bounding box that a shape fills: known for disc and square, less for the hollow and pointed ones."""
    x, y = np.meshgrid(*[np.linspace(-1.3, 1.3, 400)] * 2)
    filled = {}
    for name, shape in SHAPES.items():
        inside = shape(x, y) < 0
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        filled[name] = inside.sum() / (np.ptp(rows) + 1) / (np.ptp(columns) + 1)
        assert 0.5 < np.ptp(rows) * 2.6 / 400 / 2 < 1.15, name
    assert filled["circle"] == pytest.approx(np.pi / 4, abs=0.02)
    assert filled["square"] > 0.97
    assert filled["triangle"] == pytest.approx(0.5, abs=0.05)
    assert max(filled["star"], filled["moon"], filled["ring"], filled["cross"]) < 0.62


def motion(word: str, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area `[frame]` relative to the largest, and rows and columns of the centre, while the event lasts."""
    frames = render_picture(
        {"colour": "red", "shape": "circle", "motion": word},
        np.random.default_rng([4, number]),
        seconds=2.0,
        fps=12,
        span=(0.25, 1.75),
        difficulty=0.0,
        size=(120, 160),
    )
    shape = mask(frames)
    assert not shape[[0, 1, 22, 23]].any()
    area = shape.sum((1, 2))[4:20]
    where = centre(shape)
    return area / area.max(), where[:, 0], where[:, 1]


@pytest.mark.parametrize("number", range(3))
def test_motions_are_seen(number):
    area, _, _ = motion("growing", number)
    assert area[0] < 0.25 < 0.8 < area[-1]
    area, _, _ = motion("shrinking", number)
    assert area[-1] < 0.25 < 0.8 < area[0]
    area, row, column = motion("sliding", number)
    assert np.ptp(column) > 50 > 15 > np.ptp(row)
    assert (np.diff(column) > 0).all() or (np.diff(column) < 0).all()
    area, row, column = motion("bouncing", number)
    assert np.ptp(row) > 25 > np.ptp(column)
    area, row, column = motion("flashing", number)
    switches = np.abs(np.diff((area > 0.5).astype(int))).sum()
    assert switches >= 4
    assert max(np.ptp(row), np.ptp(column)) < 12


def test_motion_is_free_where_none_is_named():
    first, second = (mask(render_clip("red square drumming", n, CLEAR)[0]) for n in range(2))
    assert first.any()
    assert second.any()
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("word", VOICES)
def test_sounds_are_heard_in_their_span(word):
    wave = sound(word)
    assert np.abs(wave).max() < 1
    inside = np.sqrt(np.mean(wave[4000:28000] ** 2))
    outside = np.sqrt(np.mean(np.concatenate([wave[:3000], wave[29000:]]) ** 2))
    assert inside > 10 * outside


def test_sounds_differ_as_their_words_say():
    """Median frequency and rhythm, the same whatever the draw."""
    for number in range(4):
        middle = {}
        for word in VOICES:
            hertz, power = spectrum(sound(word, number))
            middle[word] = hertz[np.searchsorted(np.cumsum(power), power.sum() / 2)]
        assert middle["drumming"] < 200 < 600 < middle["whistling"] < 2600
        assert middle["humming"] < 400 < 1500 < middle["chirping"]
        assert middle["hissing"] > 2500
        loud = {word: loudness(sound(word, number)) for word in ("whistling", "beeping", "ringing", "knocking")}
        assert pauses(loud["whistling"]) == 0
        assert pauses(loud["beeping"]) >= 3
        assert pauses(loud["knocking"]) >= 3


def loudness(wave: np.ndarray) -> np.ndarray:
    """Root mean square in steps of 10 ms, inside the event, relative to the loudest."""
    steps = np.sqrt(np.mean(wave[4000:28000].reshape(-1, 160) ** 2, axis=1))
    return steps / steps.max()


def pauses(loud: np.ndarray) -> int:
    return int((np.diff((loud < 0.1).astype(int)) == 1).sum())


def test_no_sound_word_is_silence_and_difficulty_is_noise():
    quiet, noisy = sound(None, difficulty=0.0), sound(None, difficulty=0.9)
    assert np.sqrt(np.mean(quiet**2)) < 0.01 < np.sqrt(np.mean(noisy**2))
    assert not mask(render_clip("drumming", 0, CLEAR)[0]).any()


def test_difficulty_adds_clutter_and_shortens_the_event():
    def clutter(difficulty: float) -> float:
        frames, _ = render_clip("drumming", 1, Look(difficulty=difficulty))
        return float(np.abs(np.diff(frames.astype(float), axis=2)).mean())

    assert clutter(0.0) < clutter(0.4) < clutter(0.9)

    def share(difficulty: float) -> float:
        heard = [render_clip("red whistling", n, Look(difficulty=difficulty))[1] for n in range(6)]
        return float(np.mean([(loudness(wave) > 0.5).mean() for wave in heard]))

    assert share(1.0) < share(0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"difficulty": 1.5}, "difficulty is 1.5"),
        ({"seconds": 0.1}, "seconds is 0.1"),
        ({"seed": -1}, "seed is -1"),
        ({"size": (121, 160)}, "even height"),
    ],
)
def test_a_look_out_of_range_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Look(**change)


def test_world_is_declared_resumes_and_does_not_depend_on_workers(tmp_path):
    seen: list[tuple[int, int]] = []
    settings = {"classes": SMALL, "clips_per_class": 8, "seconds": 0.5}
    toml = render_world(tmp_path / "a", workers=2, progress=lambda done, of: seen.append((done, of)), **settings)
    assert seen == [(i, 32) for i in range(33)]
    data = load_dataset(str(toml))
    assert {fold: len(rows) for fold, rows in data.folds.items()} == {
        "train": 12,
        "val_seen": 2,
        "val_unseen": 8,
        "test_seen": 2,
        "test_unseen": 8,
    }
    assert data.classes_of("test_unseen") == SMALL.test_unseen
    assert set(data.classes_of("train")) == set(SMALL.seen)
    media = read(data.clips[0].path)
    assert media.status == "ok"
    assert media.duration == pytest.approx(0.5, abs=0.1)

    files = sorted((tmp_path / "a" / "clips").iterdir())
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    files[5].unlink()
    done: list[int] = []
    render_world(tmp_path / "a", workers=1, progress=lambda n, of: done.append(n), **settings)
    assert done == [31, 32]
    for path in sorted((tmp_path / "a" / "clips").iterdir()):
        stamp, content = before[path.name]
        assert path.read_bytes() == content  # one process or two: the same bytes
        assert (path.stat().st_mtime_ns == stamp) == (path.name != files[5].name)


def test_worlds_of_two_looks_do_not_mix(tmp_path, monkeypatch):
    monkeypatch.setattr(world, "_write", lambda target, *rest: target.touch())
    render_world(tmp_path, classes=SMALL, clips_per_class=5, workers=1)
    with pytest.raises(ValueError, match="holds a world of other settings"):
        render_world(tmp_path, classes=SMALL, clips_per_class=5, difficulty=0.5, workers=1)
    render_world(tmp_path, classes=SMALL, clips_per_class=6, workers=1)  # more clips of the same look are welcome
    assert len(list((tmp_path / "clips").iterdir())) == 24


def test_bad_orders_are_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="clips_per_class is 4"):
        render_world(tmp_path / "x", clips_per_class=4)
    with pytest.raises(ValueError, match="no word that can be rendered"):
        render_world(tmp_path / "x", classes=Roster(("dog barking",), (), ()))
    with pytest.raises(ValueError, match="would share files"):
        render_world(tmp_path / "x", classes=Roster(("red thing drumming", "Red thing, drumming"), (), ()))
    with pytest.raises(ValueError, match="workers is 0"):
        render_world(tmp_path / "x", classes=SMALL, workers=0)
    assert not (tmp_path / "x").exists()


def test_demo_clip_is_new(tmp_path):
    path = demo_clip(tmp_path / "new", "red growing drumming", difficulty=0.3)
    assert path.name == "red-growing-drumming.mp4"
    media = read(path, fps=12)
    assert media.status == "ok"
    inside = [render_clip("red growing drumming", n)[1] for n in range(3)]
    shortest = min(len(media.waveform), 32000)
    for wave in inside:
        assert abs(np.corrcoef(media.waveform[:shortest], wave[:shortest])[0, 1]) < 0.5
    assert clip_name("red growing drumming", 7) == "red-growing-drumming-007.mp4"
