"""Subtitle files, WebVTT and SubRip: where their captions stand, and captions of sounds put between those of speech.

Source: W3C, "WebVTT: The Web Video Text Tracks Format" (blocks, timings, the setting `line`). SubRip
has no standard.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from avshot.errors import BadDataset
from avshot.events.captions import DEFAULT, Captions, Cue, make_cues, names_in
from avshot.events.span import Event
from avshot.files.atomic import save_bytes
from avshot.files.text import read_text

_CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?$", re.ASCII)
_TAG = re.compile(r"<[^>]*>")
_POSITION = re.compile(r"\{\\[^}]*\}")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|$)")
_NO_CUES = ("NOTE", "STYLE", "REGION")


@dataclass(frozen=True)
class Block:
    """Lines of a subtitle file without an empty one between them.

    Attributes:
        begins: Place of its first character in the file.
        line: Number of its first line, from 1.
        start: Seconds; None where it is no caption.
        end: Seconds.
        text: What the caption says, in one line, as it is written there.
        number: The number above the times, 0 for none.
    """

    begins: int
    line: int
    start: float | None = None
    end: float = 0.0
    text: str = ""
    number: int = 0


def clock(seconds: float, point: str) -> str:
    """Seconds as `hh:mm:ss.mmm`, rounded to the millisecond; more than 99 hours have more digits."""
    whole = round(seconds * 1000)
    return f"{whole // 3_600_000:02}:{whole // 60_000 % 60:02}:{whole // 1000 % 60:02}{point}{whole % 1000:03}"


def times(cue: Cue, point: str) -> str:
    """The line of times of a caption, which lasts a millisecond at least."""
    end = max(cue.end, cue.start + 0.001)
    return f"{clock(cue.start, point)} --> {clock(end, point)}"


def is_webvtt(text: str) -> bool:
    """Whether a file begins as WebVTT does."""
    return re.match("\ufeff?WEBVTT(?=[ \t\r\n]|$)", text) is not None


def blocks_of(text: str, place: str, *, strict: bool = True) -> list[Block]:
    """The blocks of a subtitle file, in order.

    Args:
        text: The whole file.
        place: What it is called in messages.
        strict: Refuse a caption whose times are none; otherwise it is a block that is no caption.

    Raises:
        ValueError: Such a caption; names the line.
    """
    found: list[Block] = []
    for begins, number, lines in _paragraphs(text):
        header = not found and is_webvtt(text)
        found.append(_block(lines, begins, number, place, strict=strict and not header))
    return found


def _paragraphs(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Lines without an empty one between them: where they begin, the number of the first, and what they hold."""
    begins, number, lines = 0, 0, list[str]()
    for count, match in enumerate(_LINE.finditer(text), 1):
        line = match.group().rstrip("\r\n").lstrip("\ufeff")
        if line.strip():
            mark = match.group().startswith("\ufeff")  # a byte order mark stays in front of all
            begins, number = (begins, number) if lines else (match.start() + mark, count)
            lines.append(line)
        elif lines:
            yield begins, number, lines
            lines = []
    if lines:
        yield begins, number, lines


def _block(lines: Sequence[str], begins: int, number: int, place: str, *, strict: bool) -> Block:
    timed = next((i for i, line in enumerate(lines[:2]) if "-->" in line), None)
    if timed is None or lines[0].split()[0] in _NO_CUES:
        return Block(begins, number)
    match = _TIMES.match(lines[timed])
    if match is None:
        if strict:
            raise BadDataset(f"{place} line {number + timed} is {lines[timed]!r}; expected times as 00:01:02.500.")
        return Block(begins, number)
    start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
    if end < start and strict:
        raise BadDataset(f"{place} line {number + timed} ends before it starts; expected the earlier time first.")
    said = " ".join(lines[timed + 1 :])
    count = lines[0].strip() if timed else ""
    plain = count.isascii() and count.isdigit() and len(count) < 10
    return Block(begins, number, start, end, said, int(count) if plain else 0)


def _seconds(groups: Sequence[str | None]) -> float:
    hours, minutes, seconds, part = groups
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + int((part or "0").ljust(3, "0")) / 1000


def webvtt_cue(cue: Cue, *, top: bool = False) -> list[str]:
    """The lines of a caption in WebVTT; with `top` at the upper edge of the picture."""
    return [times(cue, ".") + (" line:0" if top else ""), *(html.escape(line, quote=False) for line in cue.lines)]


def subrip_cue(cue: Cue, number: int, *, top: bool = False) -> list[str]:
    r"""The lines of a caption in SubRip; with `top` at the upper edge, where a player knows the mark `{\an8}`."""
    mark = r"{\an8}" if top else ""
    return [str(number), times(cue, ","), *(mark * (i == 0) + line for i, line in enumerate(cue.lines))]


def merge_captions(
    speech: str | Path,
    events: Sequence[Event],
    out: str | Path,
    settings: Captions = DEFAULT,
    *,
    top: bool | None = None,
) -> Path:
    """Put captions of sounds between those of a subtitle file, of which every byte stays.

    Each caption of a sound is one of its own, in the order of time; while speech is on the screen, it stands at the
    top. Where captions are numbered (SubRip), the new ones count on from the highest number, so that no line changes.

    Args:
        speech: WebVTT or SubRip, with or without byte order mark, with any line ends; UTF-8, or another
            encoding that has ASCII in it (then new captions may hold nothing else).
        events: Of the recording that the file belongs to.
        out: The file to write; `speech` itself is possible.
        settings: How events become captions.
        top: Put captions of sounds at the top while speech is on the screen; None: in WebVTT (`line:0`), not in SubRip,
            where the mark for it is an invention of players.

    Returns:
        `out`.

    Raises:
        ValueError: Neither kind of file, or captions that its encoding does not have.
        OSError: It cannot be read or written.
    """
    text, encoding = _decoded(Path(speech).read_bytes(), str(speech))
    blocks = blocks_of(text, str(speech), strict=False)
    spoken = [(block.begins, block.start, block.end) for block in blocks if block.start is not None]
    webvtt = is_webvtt(text)
    if not (webvtt or spoken or not text.strip("\ufeff \t\r\n")):
        raise BadDataset(f"{speech} is no subtitle file; expected WebVTT or SubRip, with lines 00:00:01,000 --> ...")
    number = max((block.number for block in blocks), default=0)
    added = []
    for i, cue in enumerate(make_cues(events, settings), 1):
        covered = any(start < cue.end and cue.start < end for _, start, end in spoken)
        above = covered and (webvtt if top is None else top)
        lines = webvtt_cue(cue, top=above) if webvtt else subrip_cue(cue, number + i, top=above)
        added.append((next((begins for begins, start, _ in spoken if start > cue.start), len(text)), lines))
    if encoding != "utf-8" and not all(line.isascii() for _, lines in added for line in lines):
        raise BadDataset(f"{speech} is not UTF-8 text, and the captions hold other letters; save it again as UTF-8.")
    save_bytes(out, _with_added(text, added).encode(encoding))
    return Path(out)


def _decoded(data: bytes, place: str) -> tuple[str, str]:
    """The text of a file and its encoding, by which it becomes the same bytes again."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadDataset(f"{place} is UTF-16 text; save it again as UTF-8, which players expect.")
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"  # whatever letters they are, the bytes stay


def _with_added(text: str, added: Sequence[tuple[int, list[str]]]) -> str:
    """The text with captions at places in it; an empty line parts each from what is before and behind."""
    match = re.search(r"\r\n|\n|\r", text)
    newline = match.group() if match else "\n"
    made, at = "", 0
    for where, lines in sorted(added, key=lambda one: one[0]):  # stable: captions at one place stay in their order
        made, at = made + text[at:where], where
        before = made[-4:].lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")[-2:]
        lead = 0 if before in ("", "\n", "\n\n") else 1 if before.endswith("\n") else 2
        made += newline * lead + newline.join(lines) + newline * (1 if where == len(text) else 2)
    return made + text[at:]


def read_subtitles(path: Path, names: Sequence[str], file: str) -> list[Event]:
    """The sounds in a subtitle file: captions that stand in brackets as a whole; speech is passed over.

    Args:
        path: WebVTT or SubRip.
        names: As `captions.names_in`.
        file: The recording.

    Raises:
        ValueError: Not such a file; names the line.
    """
    text = read_text(path)
    return [
        Event(file, block.start, max(block.start, block.end), name)
        for block in blocks_of(text, str(path))
        if block.start is not None
        for name in _told(block.text, names, webvtt=is_webvtt(text))
    ]


def _told(text: str, names: Sequence[str], *, webvtt: bool) -> list[str]:
    """The names in a caption, whatever tags are about it; within brackets, SubRip may mean by `<b>` what it says."""
    if webvtt:
        return names_in(html.unescape(_TAG.sub("", text)), names)
    text = _POSITION.sub("", text)
    return names_in(text, names) or names_in(_TAG.sub("", text), names)
