"""Which clips of a rendered world are whole and were rendered for the class and number that their name says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from avshot.files.atomic import file_digest

_NOTES = "rendered.jsonl"  # beside clips/: a line per clip, {"clip", "label", "number", "sha256"}

Job = tuple[str, int]  # class name and number of a clip


def whole(root: Path, names: dict[Job, str]) -> set[Job]:
    """Jobs whose file under `root/clips` is what was rendered for them.

    A file that was cut off, replaced, or left by a renderer that took no notes is none of them: it is made again.
    """
    noted: dict[str, tuple[Job, str]] = {}
    for line in _lines(root / _NOTES):
        try:
            note = json.loads(line)
            noted[note["clip"]] = ((note["label"], note["number"]), note["sha256"])
        except (ValueError, KeyError, TypeError):  # a line cut off by a kill: its clip is made again
            continue
    return {job for job, name in names.items() if noted.get(name) == (job, _digest(root / "clips" / name))}


def note(root: Path, job: Job, name: str) -> None:
    """Note that a clip is whole, in one write at the end of the file."""
    line = {"clip": name, "label": job[0], "number": job[1], "sha256": _digest(root / "clips" / name)}
    with open(root / _NOTES, "a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps(line)}")  # a line that a kill cut off ends here
        file.flush()
        os.fsync(file.fileno())


def _lines(file: Path) -> Iterable[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ()


def _digest(file: Path) -> str | None:
    try:
        return file_digest(file)
    except OSError:
        return None
