"""XML that somebody else wrote, read without entities, document types or anything outside of it."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from avshot.errors import BadDataset

_LARGEST = 256 << 20  # bytes


def read_xml(path: Path) -> Element:
    """The outermost element of a file.

    Raises:
        ValueError: Not XML, larger than 256 MiB, or with a document type, in which entities could be; names the line.
        OSError: It cannot be read.
    """
    if path.stat().st_size > _LARGEST:
        raise BadDataset(f"{path} is larger than 256 MiB; expected a file of annotations.")
    parser, builder = expat.ParserCreate(), TreeBuilder()

    def refuse(*told: object) -> int:
        raise BadDataset(
            f"{path} line {parser.CurrentLineNumber} declares a document type or an entity; such files are not read."
        )

    parser.StartElementHandler = lambda tag, attributes: builder.start(tag, attributes)
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise BadDataset(f"{path} line {error.lineno} is no XML ({expat.ErrorString(error.code)}).") from None
    return builder.close()
