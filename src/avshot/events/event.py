"""A table of events: of one or several recordings, written to any of the formats and read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, overload

from avshot.errors import BadSetting
from avshot.events.files import read_events, write_events
from avshot.events.span import Event

if TYPE_CHECKING:
    import pandas

__all__ = ["Event", "Events"]


class Events(Sequence[Event]):
    """Events of one or several recordings, by recording (in the order they came), start, end and name."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        given = list(events)
        place = {file: index for index, file in enumerate(dict.fromkeys(event.file for event in given))}
        self._events = tuple(sorted(given, key=lambda e: (place[e.file], e.start, e.end, e.name, -e.probability)))

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> Events: ...

    def __getitem__(self, index: int | slice) -> Event | Events:
        return Events(self._events[index]) if isinstance(index, slice) else self._events[index]

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Events) and self._events == other._events

    def __hash__(self) -> int:
        return hash(self._events)

    def __repr__(self) -> str:
        return f"Events({len(self)} in {len(self.files)} files)"

    @property
    def files(self) -> tuple[str, ...]:
        """The recordings that have events, in order."""
        return tuple(dict.fromkeys(event.file for event in self))

    @property
    def names(self) -> tuple[str, ...]:
        """What happens, each name once, in order of first appearance."""
        return tuple(dict.fromkeys(event.name for event in self))

    def of(self, file: str) -> Events:
        """Those of one recording; none where it has none."""
        return Events(event for event in self if event.file == file)

    def write(self, path: str | Path, *, format: str | None = None) -> Path:
        """Write them to a file that is then complete or as it was; an existing one is replaced.

        Args:
            path: The file.
            format: A name of `avshot.events.files.format_names`; None goes by the file's ending.

        Returns:
            The file.

        Raises:
            ValueError: No such format or ending, several recordings for a format that holds one (`write_all` makes a
                file for each), or a library that the format needs is missing.
            OSError: It cannot be written.
        """
        return write_events(path, self, self.files, format=format)

    def to_csv(self, path: str | Path) -> Path:
        """`write` as a table: file, start, end, name, probability, sound, picture."""
        return self.write(path, format="csv")

    def to_vtt(self, path: str | Path) -> Path:
        """`write` as WebVTT sound captions of one recording; `avshot.events.captions` has the settings."""
        return self.write(path, format="vtt")

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame with a column for each field of `Event`. Raises ValueError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise BadSetting("This needs pandas, which is not installed: pip install pandas.") from None
        names = [field.name for field in fields(Event)]
        return pandas.DataFrame([astuple(event) for event in self], columns=names)

    @classmethod
    def read(
        cls, path: str | Path, *, format: str | None = None, file: str | None = None, names: Sequence[str] = ()
    ) -> Events:
        """Read what avshot, a spreadsheet or an editor of labels wrote.

        Args:
            path: The file.
            format: A name of `avshot.events.files.format_names`; None goes by ending and content.
            file: The recording, for formats that do not name it; None takes a media file beside it that is called like
                it, else its name without the ending.
            names: Names that captions may hold; without them a comma parts names there.

        Raises:
            ValueError: Not such a file; the message names the line.
            OSError: There is no such file, or it cannot be read.
        """
        return cls(read_events(path, format=format, file=file, names=names))
