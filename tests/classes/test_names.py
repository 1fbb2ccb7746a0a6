"""One rule for class names: which spellings are one class, and what a text encoder reads."""

import pytest

from avshot.classes.names import join_key, refuse_alike, spoken, tidy, tidy_all

DOG = [
    "dog barking",
    "DOG BARKING",
    "Dog barking",
    " dog  barking\t",
    "dog_barking",
    "dog-barking",
    "DogBarking",
    "DOG_BARKING",
    "dog\u00a0barking",  # no-break space
    "dog\u2003barking\u200b",  # em space, zero-width space
    "dog \u2060barking\ufeff",  # word joiner, byte order mark
    "ｄｏｇ ＢＡＲＫＩＮＧ",  # full width
    "dog\u2013barking",  # en dash
    "“Dog” barking!",
    "'dog' barking",
    "dog barking.",
    "dog\nbarking",
]


@pytest.mark.parametrize("name", DOG)
def test_spellings_of_one_class_share_key_and_text(name):
    assert join_key(name) == "dogbarking"
    assert spoken(name) == "dog barking"


@pytest.mark.parametrize(
    "names",
    [
        ("C", "C#", "C++", "D", "D#"),
        ("R&B", "RB", "R+B"),
        ("50 %", "50"),
        ("vitamin +1", "vitamin 1"),
        ("-5 degrees", "5 degrees"),
        ("1.5", "15", "1 5", "1:5", "1,5", "1/5"),
        ("take 1 2", "take 12"),
        ("play *", "play"),
        ("thumbs 👍", "thumbs", "thumbs 👎"),
        ("café", "cafe"),
        ("किताब", "कताब"),  # differ in a vowel sign
        ("100 €", "100 $", "100"),
    ],
)
def test_what_carries_meaning_keeps_classes_apart(names):
    assert len({join_key(name) for name in names}) == len(names)
    assert len({spoken(name) for name in names}) == len(names)
    assert tidy_all(names) == names


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Cafe\u0301", "café"),  # composed, decomposed
        ("people’s voices", "People's voices"),
        ("R & B", "r&b"),
        ("police car (siren)", "Police car siren"),
        ("heart sounds, heartbeat", "heart sounds heartbeat"),
        ("AC/DC", "ac dc"),
        ("STRASSE", "Straße"),
        ("soft\u00adhyphen", "softhyphen"),
        ("☕\ufe0f cup", "☕ cup"),
        ("−5 degrees", "-5 degrees"),  # minus sign, hyphen
        ("a…b", "a...b"),
    ],
)
def test_what_carries_none_does_not(left, right):
    assert join_key(left) == join_key(right)
    with pytest.raises(ValueError, match="differ only in case, space or punctuation"):
        refuse_alike([left, right])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("PlayingFlute", "playing flute"),
        ("playing_FluteLoud", "playing flute loud"),
        ("Playing  Flute ", "playing flute"),
        ("PlayingFlute loud", "playingflute loud"),  # it holds a space, so it is no identifier
        ("YoYo", "yo yo"),
        ("BMX", "bmx"),
        ("RidingBMXBike", "riding bmx bike"),
        ("ÜberHören", "über hören"),
        ("3DPrinting", "3d printing"),
        ("R2D2Beeping", "r2d2 beeping"),
        ("Archery", "archery"),
        ("bee, wasp, etc. buzzing", "bee, wasp, etc. buzzing"),
        ("heart sounds ,heartbeat", "heart sounds, heartbeat"),
        ("1,000 dogs", "1,000 dogs"),
        ("a dog’s bark", "a dog's bark"),
        ("dogs' bark", "dogs bark"),
        ("police car( siren )", "police car (siren)"),
        ("Blow-drying hair", "blow drying hair"),
        ("curly {} name", "curly {} name"),
        ("划船", "划船"),
    ],
)
def test_spoken(name, words):
    assert spoken(name) == words
    assert spoken(words) == words


@pytest.mark.parametrize("name", ["", "  ", "_", "--", "👍", "!?", "\u200b"])
def test_a_name_that_nobody_can_say_is_refused(name):
    for ask in (spoken, tidy, lambda one: tidy_all([one])):
        with pytest.raises(ValueError, match="holds no letter or digit"):
            ask(name)


@pytest.mark.parametrize("name", [None, 3, float("nan"), b"dog", ["dog"], "caf\udce9"])
def test_what_is_no_text_is_no_name(name):
    with pytest.raises(ValueError, match="(?i)class name"):
        tidy(name)


def test_tidy_keeps_the_spelling():
    assert tidy("  Dog\u00a0  BARKING! ") == "Dog BARKING!"
    assert tidy("Cafe\u0301") == "Café"


@pytest.mark.parametrize("names", ["dog", b"dog", None, 3])
def test_one_text_is_no_list(names):
    with pytest.raises(ValueError, match="as class names; pass a list of names"):
        tidy_all(names)


def test_names_for_one_class_are_all_told():
    with pytest.raises(
        ValueError, match=r"^t.csv: .*'Dog' / 'dog', 'a_b' / 'a b'; name each class once and spell each one way"
    ):
        refuse_alike(["Dog", "a_b", "cat", "dog", "a b"], "t.csv: ")
    assert tidy_all(name for name in ("dog", "cat")) == ("dog", "cat")
