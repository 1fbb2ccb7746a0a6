"""Names to words: spoken names, the prompt ensembles of the thesis, descriptions joined by name."""

import json
from importlib import resources

import pytest

from avshot.classes.phrase import phrases, prompt_ensembles


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


def test_descriptions_as_spreadsheets_save_them(tmp_path):
    (tmp_path / "a.csv").write_bytes("name;text\r\nC#;It is, say, code.\r\n;\r\n".encode("utf-16"))
    assert phrases(["C#"], descriptions=str(tmp_path / "a.csv")) == {"C#": ["c#", "It is, say, code."]}
    (tmp_path / "b.csv").write_bytes("name,text\nküche,Topf\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"b.csv is not UTF-8 text \(line 2\); save it again as UTF-8"):
        phrases(["küche"], descriptions=str(tmp_path / "b.csv"))


def test_classes_without_a_row_are_listed(tmp_path):
    path = write(tmp_path / "words.csv", "name,text\ndog barking,Woof.\n")
    with pytest.raises(ValueError, match=r"no row for 2 classes: 'dogs barking', 'rain' .*nearest.*dogbarking"):
        phrases(["dog barking", "dogs barking", "rain"], descriptions=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "bad.csv is empty; expected a table with a header"),
        ("name\ndog\n", "no text column"),
        ("name,text\ndog, \n", "no text for 'dog'"),
        ("name,text\nDog bark,a\ndog_bark,b\n", r"line 3 is a second row for 'dog_bark' \(the first: 'Dog bark'\)"),
        ("name,text\n ,a\n", "line 2 has the class name ''"),
        ("dog,Woof woof\ncat,Meow\n", "its first line is read as the header"),
        ('name,text\ndog,"Woof\n', "line 2 is no row of a table"),
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
