"""Sound captions that can be read: how long, how wide, what stands together; and what they say read back."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_events import events_of

from avshot.errors import BadSetting
from avshot.events import Event
from avshot.events.captions import EXACT, Captions, make_cues, names_in
from avshot.events.format import one_line

quick = settings(max_examples=60, deadline=None)


def shown(events, how=None):
    return [(cue.start, cue.end, " / ".join(cue.lines)) for cue in make_cues(events, how or Captions())]


def event(start, end, name="dog barking", probability=1.0):
    return Event("a.mp4", start, end, name, probability)


@quick
@given(
    events_of(files=("a.mp4",), longest=200),
    st.sampled_from([Captions(), Captions(repeat=None), Captions(lines=1, width=20)]),
)
def test_captions_can_be_read(events, how):
    cues = make_cues(events, how)
    for cue in cues:
        text = " ".join(cue.lines)
        assert text[0] + text[-1] == "[]"
        assert len(cue.lines) <= how.lines
        assert max(map(len, cue.lines)) <= how.width
        needed = max(how.shortest, len(text) / how.speed)
        assert needed - 1e-9 <= cue.end - cue.start <= max(how.longest, needed) + 1e-9
    for before, after in pairwise(cues):
        assert before.end <= after.start  # one at a time
        assert (
            after.start - before.end >= how.bridge - 1e-9
            or after.start - before.end < 1e-9
            or (after.start - before.start > how.longest)
        )


@quick
@given(events_of(files=("a.mp4",), longest=200))
def test_every_sound_is_told_when_it_begins_where_there_is_room(events):
    roomy = Captions(width=10_000)
    cues = make_cues(events, roomy)
    for one in {one_line(one.name): one for one in reversed(events)}.values():  # the first of each name
        told = [cue for cue in cues if one_line(one.name) in " ".join(cue.lines)]
        near = [cue for cue in told if cue.start <= one.start < cue.end + roomy.bridge]
        assert near, (one, cues)


def test_a_short_sound_stays_long_enough_and_a_long_one_goes():
    assert shown([event(10, 10.2)]) == [(10, 12, "[dog barking]")]
    assert shown([event(10, 30)]) == [(10, 17, "[dog barking]")]
    long = "a very long name of a sound that nobody reads in two seconds"
    ((start, end, _),) = shown([event(10, 10.2, long)])
    assert end - start == pytest.approx((len(long) + 2) / 15)


def test_what_is_heard_together_is_told_together():
    assert shown([event(1, 4), event(1.5, 5, "rain")]) == [(1, 5, "[dog barking, rain]")]
    assert shown([event(1, 9, "rain"), event(4, 6)]) == [(1, 4, "[rain]"), (4, 8, "[rain, dog barking]")]
    assert shown([event(1, 5, "rain"), event(4, 6)]) == [(1, 4, "[rain]"), (4, 6, "[dog barking]")]
    assert shown([event(1, 4, "Bark, bow-wow"), event(1, 4, "rain")])[0][2] == "[Bark, bow-wow; rain]"


def test_short_gaps_do_not_flicker():
    barks = [event(start, start + 0.2) for start in (1, 2, 3.5)]
    assert shown(barks) == [(1, 3.7, "[dog barking]")]
    assert shown([event(1, 3), event(4, 6, "rain")]) == [(1, 4, "[dog barking]"), (4, 6, "[rain]")]
    assert shown([event(1, 3), event(6, 8)]) == [(1, 3, "[dog barking]"), (6, 8, "[dog barking]")]


def test_a_lasting_sound_is_told_again():
    assert [start for start, _, _ in shown([event(5, 200, "rain")])] == [5, 65, 125, 185]
    assert [start for start, _, _ in shown([event(5, 200, "rain")], Captions(repeat=None))] == [5]
    assert [start for start, _, _ in shown([event(5, 66, "rain")])] == [5]  # it is over before it could be read


def test_of_more_names_than_fit_the_likeliest_are_told():
    many = [event(1, 3, f"sound of number {i:02}", i / 20) for i in range(20)]
    ((_, _, text),) = shown(many)
    assert text == "[sound of number 16, sound of number 17, / sound of number 18, sound of number 19]"
    ((_, _, text),) = shown([event(1, 3, "word " * 40)])
    assert text.endswith("…]")
    ((_, _, text),) = shown([event(1, 3, "w" * 200)])
    assert len(text) == 42 + 3 + 42


def test_exact_captions_are_the_events_as_they_are():
    assert shown([event(1, 1.01), event(1, 90), event(1.02, 2)], EXACT) == [
        (1, 1.01, "[dog barking]"),
        (1, 90, "[dog barking]"),
        (1.02, 2, "[dog barking]"),
    ]


def test_names_are_read_from_brackets_alone():
    assert names_in("[dog barking, rain]") == ["dog barking", "rain"]
    assert names_in("[Bark, bow-wow; rain]") == ["Bark, bow-wow", "rain"]
    assert names_in("[Bark, bow-wow]", ["Bark, bow-wow"]) == ["Bark, bow-wow"]
    assert names_in("[rain, Bark, bow-wow, dog]", ["Bark, bow-wow", "dog"]) == ["rain", "Bark, bow-wow", "dog"]
    assert [names_in(text) for text in ("[sighs] Hello.", "Hello.", "[]", "", "[ ]")] == [[]] * 5


@pytest.mark.parametrize(
    "wrong", [{"shortest": 9.0}, {"speed": 0.0}, {"width": 3}, {"lines": 0}, {"repeat": 5.0}, {"shortest": math.nan}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(BadSetting, match="expected"):
        Captions(**wrong)
