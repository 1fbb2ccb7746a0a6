"""What a file format of events is: it writes events, reads them back, and knows a file of its kind."""

from __future__ import annotations

import codecs
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from avshot.events.span import Event

# What XML 1.0 cannot hold (section 2.2), among it what is no text: control characters and halves of pairs.
_NO_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Format(ABC):
    """One format of files.

    Attributes:
        endings: Of its files, in small letters, with the dot; the first one is given to new files.
        several: Whether one file holds several recordings.
    """

    endings: ClassVar[tuple[str, ...]]
    several: ClassVar[bool] = False

    @abstractmethod
    def write(self, path: Path, events: Sequence[Event], files: Sequence[str]) -> None:
        """Write a file that is then complete or as it was.

        Args:
            path: The file.
            events: By recording and start; none are fine.
            files: The recordings, also those without events; at most one unless `several`.

        Raises:
            ValueError: A library is missing.
            OSError: It cannot be written.
        """

    @abstractmethod
    def read(self, path: Path, file: str, names: Sequence[str]) -> list[Event]:
        """Read a file.

        Args:
            path: The file.
            file: The recording, where the format does not name it.
            names: Names that may occur; for formats in which names cannot be told apart without.

        Raises:
            ValueError: Not such a file; the message names the line, where there are lines.
            OSError: It cannot be read.
        """

    def is_like(self, head: bytes) -> bool:
        """Whether a file that begins with these bytes may be one of this format."""
        return False


def one_line(text: str) -> str:
    """A name as files hold it: in one line, runs of space as one, and U+FFFD for what is no text."""
    return " ".join(_NO_TEXT.sub("\ufffd", " ".join(text.split())).split())


def beginning(head: bytes) -> str:
    """The first bytes of a file as text, whatever its encoding."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head[: len(head) // 2 * 2].decode("utf-16", "replace")
    return head.decode("utf-8-sig", "replace")


def event_at(place: str, file: str, start: float, end: float, name: str, probability: float = 1.0) -> Event:
    """An event that was read. Raises ValueError that names the `place` for an impossible one."""
    try:
        return Event(file, start, end, one_line(name), probability)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
