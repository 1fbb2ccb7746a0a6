"""What the bench that asked for a Run calls it: `row.json` in the Run's folder, which moves with the folder.

It is no part of what the Run depends on or measured: it may be edited by hand, and a Run without it, of an older bench
or of `avshot train`, is called by its settings (`avshot.experiment.Experiment.label`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from avshot.files.atomic import load_json, save_json

FILE = "row.json"


@dataclass(frozen=True)
class Named:
    """What a Run is called.

    Attributes:
        label: Of its row in the table of the bench; empty where no bench named it.
        note: A sentence for below the table.
    """

    label: str = ""
    note: str = ""


def save_name(folder: Path, named: Named, *, anew: bool = True) -> None:
    """Write what a Run is called into its folder, which is made; nothing where the file says so already.

    Args:
        folder: Of the Run.
        named: What it is called.
        anew: In place of another name. Not before it is known whose the Run in the folder is.

    Raises:
        OSError: The folder cannot be written to.
    """
    if os.path.lexists(folder / FILE) and (not anew or read_name(folder) == named):
        return
    folder.mkdir(parents=True, exist_ok=True)
    save_json(folder / FILE, {"label": named.label, "note": named.note})


def read_name(folder: Path) -> Named:
    """What a Run is called; nothing where no bench named it, and where the file is damaged a note that says so."""
    if not os.path.lexists(folder / FILE):
        return Named()
    try:
        content = load_json(folder / FILE)
    except ValueError as error:
        return Named(note=f"The Run is called by its settings: {error}")
    label, note = (content.get(key, "") if isinstance(content, dict) else None for key in ("label", "note"))
    if not isinstance(label, str) or not isinstance(note, str) or not label.strip():
        return Named(note=f"The Run is called by its settings: {folder / FILE} names no label; write it anew.")
    return Named(" ".join(label.split()), " ".join(note.split()))
