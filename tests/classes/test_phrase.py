"""Names to words: spoken names, the prompt ensembles of the thesis, descriptions joined by name."""

import json
from importlib import resources

import pytest

from avshot.classes.phrase import join_key, phrases, prompt_ensembles, spoken


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("PlayingFlute", "playing flute"),
        ("playing_flute", "playing flute"),
        ("playing-flute", "playing flute"),
        ("playing flute", "playing flute"),
        ("Playing  Flute ", "Playing Flute"),
        ("YoYo", "yo yo"),
        ("BMX", "BMX"),
        ("RidingBMXBike", "riding BMX bike"),
        ("Archery", "archery"),
        ("bee, wasp, etc. buzzing", "bee, wasp, etc. buzzing"),
        ("bin_blue", "bin blue"),
        ("R2D2Beeping", "R2 D2 beeping"),
        ("划船", "划船"),
    ],
)
def test_spoken(name, words):
    assert spoken(name) == words


@pytest.mark.parametrize("name", ["", "  ", "_", "--"])
def test_a_name_without_letters_is_refused(name):
    with pytest.raises(ValueError, match="holds no letter or digit"):
        spoken(name)


def test_spellings_share_a_key():
    assert join_key("PlayingFlute") == join_key("Playing Flute") == join_key("playing_flute") == "playingflute"


def test_prompt_ensembles_of_the_thesis():
    ensembles = prompt_ensembles()
    counts = {name: len(templates) for name, templates in ensembles.items()}
    assert counts == {"clip-actions": 48, "clip-vggsound": 8, "clap-actions": 30, "clap-vggsound": 9}
    for templates in ensembles.values():
        assert len(set(templates)) == len(templates)
        assert all(template.count("{}") == 1 and template.endswith(".") for template in templates)
    # CLIP's list: four kinds of picture, "a" or "the" person, six verbs
    kinds, verbs = (
        ("photo", "video", "example", "demonstration"),
        ("", "using", "doing", "during", "performing", "practicing"),
    )
    built = {f"a {k} of {p} person {v + ' ' if v else ''}{{}}." for k in kinds for p in ("a", "the") for v in verbs}
    assert set(ensembles["clip-actions"]) == built
    assert "thesis" in json.loads(resources.files("avshot.classes").joinpath("prompts.json").read_text())["source"]


def test_prompts_take_the_spoken_name():
    texts = phrases(["PlayingFlute", "dog barking"], prompts="clap-vggsound")
    assert list(texts) == ["PlayingFlute", "dog barking"]
    assert texts["PlayingFlute"][0] == "a playing flute can be heard."
    assert len(texts["dog barking"]) == 9
    assert phrases(["PlayingFlute"]) == {"PlayingFlute": ["playing flute"]}
    assert phrases(["curly {} name"], prompts="clip-vggsound")["curly {} name"][0] == "a photo of curly {} name."


def test_unknown_ensemble_names_those_that_exist():
    with pytest.raises(ValueError, match="'clip' does not exist; choose one of: name, clip-actions"):
        phrases(["dog"], prompts="clip")


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_descriptions_are_joined_by_name_whatever_the_order_and_spelling(tmp_path):
    path = write(
        tmp_path / "words.csv",
        'name,description_1,description_2\nYo Yo,"A toy, on a string.",It hums.\n\nplaying_flute,Air over a hole.,\n',
    )
    texts = phrases(["PlayingFlute", "YoYo"], descriptions=path)
    assert texts == {
        "PlayingFlute": ["playing flute", "Air over a hole."],
        "YoYo": ["yo yo", "A toy, on a string.", "It hums."],
    }


def test_classes_without_a_row_are_listed(tmp_path):
    path = write(tmp_path / "words.csv", "name,text\ndog barking,Woof.\n")
    with pytest.raises(ValueError, match=r"no row for 2 classes: 'dogs barking', 'rain' .*nearest.*dogbarking"):
        phrases(["dog barking", "dogs barking", "rain"], descriptions=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no text column"),
        ("name\ndog\n", "no text column"),
        ("name,text\ndog, \n", "no text for 'dog'"),
        ("name,text\nDog bark,a\ndog_bark,b\n", "two rows for 'dog_bark'"),
    ],
)
def test_bad_descriptions_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        phrases(["dog"], descriptions=write(tmp_path / "bad.csv", content))


@pytest.mark.parametrize(("file", "count"), [("UCF", 101), ("ActivityNet", 200), ("VGGSound", 309)])
def test_released_descriptions(real_data, file, count):
    from avshot.classes.phrase import read_descriptions

    found = read_descriptions(str(real_data / "text" / "descriptions" / f"{file}.csv"))
    assert len(found) == count
    assert {len(texts) for texts in found.values()} == {3}
