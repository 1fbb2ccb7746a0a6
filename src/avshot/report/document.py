"""A page that is written twice: as HTML that fetches nothing, and as Markdown; its figures beside it in three forms."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from avshot.files.atomic import save_bytes, save_text
from avshot.files.lock import sole_writer
from avshot.files.output import output_file
from avshot.report.html import html_table, image, page, plain, slug
from avshot.report.pictures import FORMS, pictures, tells
from avshot.terminal.tables import markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Document:
    """Parts in their order; nothing is written before `write`.

    Args:
        file: Path of the HTML page; the Markdown file has the suffix `.md`, the figures lie in `<stem>-figures/`.
        title: Of the page.
        about: A line below it.

    Raises:
        ValueError: Another ending than `.html`, or a file is in the way of the figures.
        OSError: The folder cannot be written to.
    """

    def __init__(self, file: Path, title: str, about: str = "") -> None:
        self.file, self.title = check_page(file), title
        self.folder = file.with_name(f"{file.stem}-figures")
        self.html = [f"<h1>{escape(title)}</h1>", *([f'<p class="lead">{escape(about)}</p>'] if about else [])]
        self.text = [f"# {plain(title)}\n"]
        self.files: dict[Path, bytes] = {}

    def heading(self, text: str, level: int = 2) -> None:
        """A heading of level 2 or 3."""
        self.html.append(f"<h{level}>{escape(text)}</h{level}>")
        self.text.append(f"{'#' * level} {plain(text)}\n")

    def say(self, text: str) -> None:
        """A paragraph."""
        self.html.append(f"<p>{escape(text)}</p>")
        self.text.append(f"{plain(text)}\n")

    def warn(self, text: str) -> None:
        """A paragraph that is not to be overlooked."""
        self.html.append(f'<p class="warn">{escape(text)}</p>')
        self.text.append(f"> {plain(text)}\n")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], reference: Sequence[bool] = ()) -> None:
        """A table; rows of `reference` are set apart."""
        self.html.append(html_table(head, rows, reference))
        self.text.append(markdown(head, rows))

    def figure(self, title: str, figure: Figure) -> None:
        """A figure: PNG in the page, or SVG where it has something to say on hover; PNG, SVG and PDF beside it."""
        forms = pictures(figure)
        stem = f"{len(self.files) // len(FORMS):03d}-{slug(title)}"
        self.files |= {self.folder / f"{stem}{form}": content for form, content in forms.items()}
        self.html.append(image(title, forms, inches=figure.get_figwidth(), alive=tells(figure)))
        self.text.append(f"### {plain(title)}\n\n![{plain(title)}](<{self.folder.name}/{stem}.png>)\n")

    def fold(self, title: str, content: str) -> None:
        """HTML that is folded away under its title; not in the Markdown."""
        self.html.append(f"<details><summary>{escape(title)}</summary>{content}</details>")

    def write(self) -> None:
        """Write all files; figures of an earlier page of that name go last."""
        with sole_writer(self.folder):
            for partial in self.folder.parent.glob(f".{self.file.stem}.*.partial"):  # of a command that was killed
                partial.unlink(missing_ok=True)
            for path, content in self.files.items():
                save_bytes(path, content)
            save_text(self.file, page(self.title, "".join(self.html)))
            save_text(self.file.with_suffix(".md"), "\n".join(self.text))
            made = {path for form in FORMS for path in self.folder.glob(f"[0-9][0-9][0-9]-*{form}")}
            for old in made - set(self.files):
                old.unlink(missing_ok=True)


def check_page(file: Path) -> Path:
    """`file`, when a page can be written there. Raises ValueError or OSError otherwise, before any figure is drawn."""
    output_file(file, (".html", ".htm"), "report")
    try:
        file.with_name(f"{file.stem}-figures").mkdir(exist_ok=True)
    except FileExistsError:
        raise ValueError(f"A file is in the way of the figures of {file}; pass another path.") from None
    return file
