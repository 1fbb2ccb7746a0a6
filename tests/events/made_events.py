"""Events that tests of files share: any names and times, as hypothesis draws them."""

from hypothesis import strategies as st

from avshot.events import Event, Events

ODD = [
    'dog, "barking"',
    "new\nline",
    "tab\there",
    "a;b",
    "<b> & </b>",
    "naïve – 犬の鳴き声 🐕",
    "[in brackets]",
    "'=1+1",
    "\\n",
    "-->",
    "\x00\x1b",
    " spaced  out ",
]
names = st.one_of(
    st.sampled_from(["dog barking", "rain", "Bark, bow-wow", *ODD]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
).filter(lambda name: name.strip())
shares = st.one_of(st.none(), st.integers(0, 10_000).map(lambda n: n / 10_000))


@st.composite
def events_of(draw, files=("a.mp4", "folder/b é.wav"), longest=2_000_000, shares=shares):
    """Events whose times are whole milliseconds and whose probabilities have four digits, up to hundreds of hours."""
    found = []
    for _ in range(draw(st.integers(0, 4))):
        start, length = draw(st.integers(0, longest * 1000)), draw(st.integers(1, 90_000))
        sound = draw(shares)
        picture = None if sound is None else round(1 - sound, 4)
        probability = draw(st.integers(0, 10_000)) / 10_000
        name = draw(names)
        found.append(
            Event(
                draw(st.sampled_from(files)), start / 1000, (start + length) / 1000, name, probability, sound, picture
            )
        )
    return Events(found)


def rounded(events, *, probability=True, shares=True):
    """What is the same after a file: names in one line, times in milliseconds."""
    from avshot.events.format import one_line

    rows = (
        (
            event.file,
            round(event.start, 3),
            round(event.end, 3),
            one_line(event.name),
            round(event.probability, 4) if probability else None,
            round(event.sound, 4) if shares and event.sound is not None else None,
        )
        for event in events
    )
    return sorted(rows, key=lambda row: tuple(-1 if value is None else value for value in row))
