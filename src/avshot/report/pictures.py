"""Figures as files: PNG for pages, SVG and PDF for papers; and an SVG for inside a page, which tells names on hover."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from avshot.report.clip_maps import HOVER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMS = (".png", ".svg", ".pdf")
_SVG = "http://www.w3.org/2000/svg"
# Text stays text, fonts are TrueType (publishers refuse Type 3), and equal figures give equal files.
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "avshot", "pdf.fonttype": 42}
_ABOUT: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def pictures(figure: Figure) -> dict[str, bytes]:
    """The figure in each of `FORMS`, by ending."""
    found = {}
    for form in FORMS:
        found[form] = _bytes(figure, form)
        figure.set_layout_engine("none")  # all forms share the layout of the first
    return found | {".svg": _told(found[".svg"])}


def tells(figure: Figure) -> bool:
    """Whether parts of the figure have something to say when a pointer rests on them."""
    return any(_hover(part.get_gid()) for axis in figure.axes for part in axis.get_children())


def inside_page(svg: bytes, title: str) -> str:
    """An SVG of `pictures` as an element of an HTML page."""
    root = ElementTree.fromstring(svg)
    root.set("role", "img")
    root.set("aria-label", title)
    for size in ("width", "height"):  # the page's width decides
        root.attrib.pop(size, None)
    return ElementTree.tostring(root, encoding="unicode")


def _bytes(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    with _drawing():
        figure.savefig(buffer, format=form[1:], metadata=_ABOUT[form])
    return buffer.getvalue()


@contextmanager
def _drawing() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names in scripts that the built-in font lacks
        yield


def _told(svg: bytes) -> bytes:
    """The SVG in which each part whose id begins with `HOVER` has the rest of that id as its title."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(svg)
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for part in root.iter():
        text = _hover(part.get("id"))
        if text:
            del part.attrib["id"]
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = text
            part.insert(0, title)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _hover(id: str | None) -> str:
    return id.removeprefix(HOVER) if id is not None and id.startswith(HOVER) else ""
