"""Pretrained weights that avshot fetches itself: where they lie on the web, and the digest that they must have.

The table is `pins.json` beside this file. A file is kept in the cache under its digest, so that what is there is always
what this avshot means, and the network is asked once.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path

from avshot.errors import BadSetting, MissingFile
from avshot.files.atomic import file_digest
from avshot.files.download import download
from avshot.files.lock import sole_writer

CACHE = "AVSHOT_CACHE"  # environment variable that names the cache folder


@dataclass(frozen=True)
class Pin:
    """One file of weights.

    Attributes:
        name: What `avshot encoders pull` calls it.
        extractor: Which extractor reads it.
        modality: "audio" or "visual".
        file: Its name at the source; the ending is kept.
        bytes: Its size.
        licence: Of the weights, as their authors state it.
        checked: What the tests ran it with: "real weights", or "random weights" of the same names and shapes.
        sha256: Of its content, hexadecimal.
        url: Where it is fetched.
        source: Who made it, and how the digest is known.
    """

    name: str
    extractor: str
    modality: str
    file: str
    bytes: int
    licence: str
    checked: str
    sha256: str
    url: str
    source: str

    @property
    def path(self) -> Path:
        """Where the cache has it, or would have it."""
        return cache_folder() / f"{self.name}-{self.sha256[:16]}{Path(self.file).suffix}"


@cache
def pins() -> dict[str, Pin]:
    """All that can be fetched, by name."""
    table = json.loads((files("avshot.files") / "pins.json").read_text(encoding="utf-8"))
    return {name: Pin(name=name, **facts) for name, facts in table.items()}


def cache_folder() -> Path:
    """`AVSHOT_CACHE`, or `avshot` in the folder that XDG_CACHE_HOME names, or `~/.cache/avshot`."""
    named = os.environ.get(CACHE)
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avshot"


def find_pin(name: str) -> Pin:
    """The entry of that name. Raises ValueError, with what there is."""
    if name not in pins():
        raise BadSetting(f"Nothing to fetch is called {name!r}; there is {', '.join(pins())}.{_near(name, pins())}")
    return pins()[name]


def weights_file(checkpoint: str, extractor: str) -> Path:
    """The file of weights that a checkpoint means: a path, or a name that `avshot encoders pull` knows.

    Nothing is fetched, and nowhere but in the cache is looked for a name.

    Raises:
        ValueError: There is no such file, or it has not been fetched; the message says how.
    """
    path, own = Path(checkpoint), [pin.name for pin in pins().values() if pin.extractor == extractor]
    if path.is_file():
        return path
    if checkpoint not in own:
        names = f" or of {', '.join(own)}" if own else ""
        raise BadSetting(
            f"Extractor {extractor}: there is no file {checkpoint}; give the path of its weights{names}."
            f"{_near(checkpoint, own)}"
        )
    found = pins()[checkpoint].path
    if not found.is_file():
        raise MissingFile(
            f"Extractor {extractor}: its weights are not on this machine; fetch them once with "
            f"`avshot encoders pull {checkpoint}`, or give the path of {pins()[checkpoint].file}."
        )
    return found


def pull(name: str, *, from_file: str | Path | None = None, progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch weights into the cache, or check those that are there; continues where an earlier attempt broke off.

    Args:
        name: Of the table.
        from_file: A file of this machine to take instead, which must have the same digest.
        progress: Called with bytes done and bytes in all.

    Returns:
        Where they lie.

    Raises:
        ValueError: No such name, an address that cannot be reached, or content of another digest, which is not kept.
        OSError: The cache cannot be written to.
    """
    pin = find_pin(name)
    pin.path.parent.mkdir(parents=True, exist_ok=True)
    with sole_writer(pin.path.parent):
        if pin.path.is_file() and file_digest(pin.path) == pin.sha256:
            return pin.path
        if from_file is not None:
            _take(Path(from_file), pin)
        else:
            download(
                pin.url, pin.path, sha256=pin.sha256, size=pin.bytes, what=f"The weights {name}", progress=progress
            )
    return pin.path


def _take(source: Path, pin: Pin) -> None:
    if not source.is_file():
        raise MissingFile(f"There is no file {source}; give the file {pin.file} of {pin.url}.")
    partial = pin.path.with_name(f"{pin.path.name}.copy")
    try:
        shutil.copyfile(source, partial)
        if file_digest(partial) != pin.sha256:
            raise BadSetting(
                f"{source} is not the file {pin.file} that avshot knows (its sha256 differs); nothing was kept."
            )
        os.replace(partial, pin.path)
    finally:
        partial.unlink(missing_ok=True)


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
