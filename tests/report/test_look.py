"""How figures tell lines and classes apart."""

from hypothesis import given
from hypothesis import strategies as st

from avshot.report import look
from avshot.report.name_groups import name_groups


def test_lines_are_told_apart_by_dashes_markers_and_colours_from_the_first_on():
    looks = [look.line(i, "") for i in range(look.MOST_LINES)]
    for part in ("color", "linestyle", "marker"):
        assert len({str(one[part]) for one in looks}) == look.MOST_LINES
    assert [look.dot(i)["marker"] for i in range(look.MOST_LINES)] == [one["marker"] for one in looks]
    assert look.line(look.MOST_LINES, "x")["label"] == "further rows, see the table"
    assert look.line(look.MOST_LINES + 1, "x")["label"] == "_nolegend_"


def test_groups_are_shared_words():
    found = name_groups(["a drum", "b drum", "a bell", "b bell"])  # the last word where both do
    assert found == {"a drum": "drum", "b drum": "drum", "a bell": "bell", "b bell": "bell"}
    found = name_groups(["play cello", "play drums", "Ride horse", "ride bike", "swim"])
    assert list(found.values()) == ["play", "play", "ride", "ride", "other"]
    for names in (["one", "two", "three"], ["dog", "big dog", "dog barking"], ["", "!"], []):
        assert name_groups(names) is None


@given(st.lists(st.text(), unique=True))
def test_groups_of_any_names_are_few_and_cover_all(names):
    found = name_groups(names)
    if found is not None:
        assert set(found) == set(names)
        assert 2 <= len(set(found.values())) <= len(look.PALETTE)
