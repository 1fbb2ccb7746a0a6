"""Values of options as people type them."""

import pytest

from avshot.cli.parsing import parse_amount, parse_labels, parse_list, parse_seeds


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("dog, cat", ["dog", "cat"]),
        ('"dog, big", cat', ["dog, big", "cat"]),
        ("dog\ncat\r\nrain\n", ["dog", "cat", "rain"]),
        ('6" nails, hammer', ['6" nails', "hammer"]),
        ('"either; or", cat', ["either; or", "cat"]),
        (" , ,", []),
        ("", []),
        ("警笛, rain", ["警笛", "rain"]),
        ("k\udcc3\udcbcche", ["küche"]),  # as Python keeps UTF-8 bytes where the locale is ASCII
    ],
)
def test_lists(text, parts):
    assert parse_list(text) == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dog; cat", "';' in double quotes"),
        ("警笛、雨", "separate parts by commas"),
        ("dog，cat", "separate parts by commas"),
        ("dog | cat", "separate parts by commas"),
        ('dog, "cat', "close each quote"),
        ('"dog" big, cat', "close each quote"),
    ],
)
def test_lists_that_mean_something_else(text, message):
    with pytest.raises(ValueError, match=message):
        parse_list(text)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "0,,x", "4294967296", "9" * 5000])
def test_seeds_that_are_none(text):
    with pytest.raises(ValueError, match="--seeds"):
        parse_seeds(text)


def test_amounts_and_labels():
    assert (parse_amount(" 8 "), parse_amount("0.2")) == (8, 0.2)
    with pytest.raises(ValueError, match="Write 0.2"):
        parse_amount("0,2")
    for text in ("1e999", "nan", "1_0", "eight"):
        with pytest.raises(ValueError, match="the amount"):
            parse_amount(text)
    assert parse_labels("dog, C#") == ("dog", "C#")
    assert parse_labels("3") == 3
