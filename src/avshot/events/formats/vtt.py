"""WebVTT: captions of the sounds of one recording, as they can be read (`avshot.events.captions`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from avshot.errors import BadDataset
from avshot.events.captions import DEFAULT, Captions, make_cues
from avshot.events.format import Format, beginning
from avshot.events.span import Event
from avshot.events.subtitles import is_webvtt, read_subtitles, webvtt_cue
from avshot.files.atomic import save_text
from avshot.files.text import read_text


class Vtt(Format):
    """`00:00:01.500 --> 00:00:03.500` and `[dog barking]`: no probabilities, times as they are read, not as found."""

    endings: ClassVar[tuple[str, ...]] = (".vtt",)

    def __init__(self, captions: Captions = DEFAULT) -> None:
        self.captions = captions

    def write(self, path: Path, events: Sequence[Event], files: Sequence[str]) -> None:
        """Write captions; without events the header alone."""
        cues = ["\n".join(webvtt_cue(cue)) for cue in make_cues(events, self.captions)]
        save_text(path, "\n\n".join(["WEBVTT", *cues]) + "\n")

    def read(self, path: Path, file: str, names: Sequence[str]) -> list[Event]:
        """Read captions that stand in brackets as a whole; several names in one are an event each."""
        if not is_webvtt(read_text(path)):
            raise BadDataset(f"{path} line 1 does not begin with WEBVTT, as such a file does; add that line.")
        return read_subtitles(path, names, file)

    def is_like(self, head: bytes) -> bool:
        """It begins with WEBVTT."""
        return is_webvtt(beginning(head))
