"""Kept tracks: what was scored once lies in a folder, and is used again where all that it depends on is the same."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avshot.errors import AvshotError
from avshot.events import Track
from avshot.features.store.origin import Origin, compare, from_json, to_json
from avshot.files.atomic import content_digest, load_tensors, save_tensors
from avshot.types import Clip

VERSION = 1  # raised whenever tracks of the same key would come out different
FOLDER = "tracks"
_ARRAYS = ("time", "probability", "sound")


class KeptTracks:
    """Tracks in a folder, one file for each recording, span and way of scoring.

    Args:
        folder: Where results go; the tracks lie in `tracks/` below it. It is made.
        key: All that tracks depend on beside the recording and its span, as plain json values.
    """

    def __init__(self, folder: str | os.PathLike[str], key: dict[str, Any]) -> None:
        self._folder, self._key = Path(folder) / FOLDER, {**key, "version": VERSION}
        self._folder.mkdir(parents=True, exist_ok=True)

    def get(self, clip: Clip) -> Track | None:
        """The track of a recording; None where there is none, or it is of another content, or damaged."""
        try:
            arrays, about = load_tensors(self._place(clip))
            origin = from_json(about["span"], about["file"])
            if about["key"] != self._key or origin is None or compare(origin, about["path"], clip, certain=True)[0]:
                return None
            told = about["track"]
            made = {name: arrays[name].numpy() for name in _ARRAYS if name in arrays}
            sound = made.get("sound")
            names, notes = tuple(told["names"]), tuple(told["notes"])
            return Track(
                clip.path,
                names,
                made["time"],
                told["hop"],
                made["probability"],
                sound,
                told["duration"],
                told["status"],
                notes,
            )
        except (ValueError, KeyError, TypeError):  # not there, cut off, or of another program
            return None

    def put(self, clip: Clip, origin: Origin, track: Track) -> None:
        """Keep a track; `origin` is what `origin_of` gave before the recording was read. Raises OSError."""
        told = {key: value for key, value in asdict(track).items() if key not in (*_ARRAYS, "file")}
        about = {"key": self._key, "path": clip.path, "track": told, **to_json(origin)}
        arrays = {name: getattr(track, name) for name in _ARRAYS if getattr(track, name) is not None}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}
        save_tensors(self._place(clip), tensors, about=about)

    def _place(self, clip: Clip) -> Path:
        """The file of a recording: its own name, so that people find it, and a digest that tells it from others."""
        about = [os.path.abspath(clip.path), clip.start, clip.end, self._key]
        plain = re.sub(r"[^\w.-]+", "_", Path(clip.path).stem, flags=re.ASCII)[:40] or "recording"
        return self._folder / f"{plain}-{_digest(about)}.safetensors"


def _digest(about: list[Any]) -> str:
    try:
        return content_digest(about)
    except UnicodeEncodeError:  # a name that is no text
        return content_digest([os.fsencode(about[0]).hex(), *about[1:]])


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Make a folder of results. Raises ValueError where that cannot be."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = error.strerror or error
        raise AvshotError(f"Results cannot go to {folder} ({said}); name another folder.") from None
