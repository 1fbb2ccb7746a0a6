"""ELAN's annotations (.eaf): a tier for each name, an annotation for each event, times in milliseconds.

Source: "EAF Annotation Format 3.0, Schema Definition", The Language Archive. Annotations of one tier may not overlap
there; those that do go to a further tier of the same name with a number.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from avshot.errors import BadDataset
from avshot.events.format import Format, beginning, event_at, one_line
from avshot.events.formats._xml import read_xml
from avshot.events.span import Event
from avshot.files.atomic import save_bytes

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_TYPE = "default-lt"


class Elan(Format):
    """`ANNOTATION_DOCUMENT` with the recording as its media; no probabilities."""

    endings: ClassVar[tuple[str, ...]] = (".eaf",)

    def write(self, path: Path, events: Sequence[Event], files: Sequence[str]) -> None:
        """Write a document that ELAN opens; without events it has no tiers."""
        root = _document(files)
        order = SubElement(root, "TIME_ORDER")
        numbers = count(1)
        for name, own in _tiers(events).items():
            tier = SubElement(root, "TIER", LINGUISTIC_TYPE_REF=_TYPE, TIER_ID=name)
            for event in own:
                _add(tier, order, event, next(numbers))
        SubElement(root, "LINGUISTIC_TYPE", GRAPHIC_REFERENCES="false", LINGUISTIC_TYPE_ID=_TYPE, TIME_ALIGNABLE="true")
        indent(root)
        save_bytes(path, tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n")

    def read(self, path: Path, file: str, names: Sequence[str]) -> list[Event]:
        """Read annotations that have times; an empty one is called like its tier. The recording is the first medium."""
        root = read_xml(path)
        if root.tag != "ANNOTATION_DOCUMENT":
            raise BadDataset(f"{path} is XML of another kind ({root.tag}); expected an ANNOTATION_DOCUMENT.")
        of = _medium(root) or file
        slots = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
        return [
            event
            for tier in root.iter("TIER")
            for annotation in tier.iter("ALIGNABLE_ANNOTATION")
            if (event := _event(annotation, tier, slots, of, str(path))) is not None
        ]

    def is_like(self, head: bytes) -> bool:
        """Its outermost element."""
        return "<ANNOTATION_DOCUMENT" in beginning(head)


def _document(files: Sequence[str]) -> Element:
    root = Element("ANNOTATION_DOCUMENT", AUTHOR="", DATE="1970-01-01T00:00:00+00:00", FORMAT="3.0", VERSION="3.0")
    root.set("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
    root.set("xsi:noNamespaceSchemaLocation", _SCHEMA)
    header = SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    for file in files:
        place = quote(one_line(file).replace("\\", "/"))
        kind = mimetypes.guess_type(file)[0] or "unknown"
        SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=place, MIME_TYPE=kind, RELATIVE_MEDIA_URL=place)
    return root


def _tiers(events: Sequence[Event]) -> dict[str, list[Event]]:
    """Events by the tier they go to: none overlaps the one before it."""
    found: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda event: event.start):
        name = one_line(event.name)
        for number in count(1):
            tier = found.setdefault(name if number == 1 else f"{name} ({number})", [])
            if not tier or _milliseconds(tier[-1])[1] <= _milliseconds(event)[0]:
                tier.append(event)
                break
    return found


def _milliseconds(event: Event) -> tuple[int, int]:
    """Start and end, which is later: ELAN has no annotations without length."""
    start = round(event.start * 1000)
    return start, max(round(event.end * 1000), start + 1)


def _add(tier: Element, order: Element, event: Event, number: int) -> None:
    ids = (f"ts{2 * number - 1}", f"ts{2 * number}")
    for id, value in zip(ids, _milliseconds(event), strict=True):
        SubElement(order, "TIME_SLOT", TIME_SLOT_ID=id, TIME_VALUE=str(value))
    outer = SubElement(tier, "ANNOTATION")
    inner = SubElement(
        outer, "ALIGNABLE_ANNOTATION", ANNOTATION_ID=f"a{number}", TIME_SLOT_REF1=ids[0], TIME_SLOT_REF2=ids[1]
    )
    SubElement(inner, "ANNOTATION_VALUE").text = one_line(event.name)


def _medium(root: Element) -> str:
    """The recording: the medium by its relative place, else by its URL, of which the path is meant."""
    medium = root.find("HEADER/MEDIA_DESCRIPTOR")
    if medium is None:
        return ""
    place = medium.get("RELATIVE_MEDIA_URL") or urlsplit(medium.get("MEDIA_URL", "")).path
    return unquote(place).removeprefix("./")


def _event(
    annotation: Element, tier: Element, slots: dict[str | None, str | None], file: str, path: str
) -> Event | None:
    ends = [slots.get(annotation.get(f"TIME_SLOT_REF{i}")) for i in (1, 2)]
    if ends[0] is None or ends[1] is None:
        return None  # ELAN draws it between its neighbours; nobody said when it is
    name = one_line(annotation.findtext("ANNOTATION_VALUE") or "") or tier.get("TIER_ID", "")
    place = f"{path}, annotation {annotation.get('ANNOTATION_ID', '?')}"
    try:
        start, end = (int(value) / 1000 for value in ends if value is not None)
    except ValueError:
        raise BadDataset(f"{place}: its times are {ends[0]!r} and {ends[1]!r}; expected milliseconds.") from None
    return event_at(place, file, start, end, name)
