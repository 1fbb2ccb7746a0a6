"""SubRip: captions of the sounds of one recording, as they can be read (`avshot.events.captions`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from avshot.errors import BadDataset
from avshot.events.captions import DEFAULT, Captions, make_cues
from avshot.events.format import Format, beginning
from avshot.events.span import Event
from avshot.events.subtitles import blocks_of, read_subtitles, subrip_cue
from avshot.files.atomic import save_text
from avshot.files.text import read_text


class Srt(Format):
    """A number, `00:00:01,500 --> 00:00:03,500` and `[dog barking]`; the rest as WebVTT."""

    endings: ClassVar[tuple[str, ...]] = (".srt",)

    def __init__(self, captions: Captions = DEFAULT) -> None:
        self.captions = captions

    def write(self, path: Path, events: Sequence[Event], files: Sequence[str]) -> None:
        """Write captions; an empty file without events."""
        cues = enumerate(make_cues(events, self.captions), 1)
        save_text(path, "\n".join("\n".join(subrip_cue(cue, number)) + "\n" for number, cue in cues))

    def read(self, path: Path, file: str, names: Sequence[str]) -> list[Event]:
        """Read captions that stand in brackets as a whole; several names in one are an event each."""
        text = read_text(path)
        if text.strip() and all(block.start is None for block in blocks_of(text, str(path))):
            raise BadDataset(
                f"{path} line 1 is no SubRip caption; expected a number and 00:00:01,000 --> 00:00:02,000."
            )
        return read_subtitles(path, names, file)

    def is_like(self, head: bytes) -> bool:
        """A line of times among the first ones."""
        return re.search(r"^\d+:\d\d:\d\d,\d{3} --> ", beginning(head), re.MULTILINE) is not None
