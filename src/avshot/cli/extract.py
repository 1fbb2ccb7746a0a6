"""What `avshot extract` is given, and what it says; imported only when it runs."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from avshot.data.folders import MEDIA_SUFFIXES, media_files
from avshot.data.sources import first_few
from avshot.features.extract import ExtractConfig, Extraction
from avshot.files.url import local_path
from avshot.terminal.progress import say, show_progress
from avshot.terminal.tables import print_table
from avshot.types import Clip


def say_outcome(store: str, found: Extraction) -> None:
    """Counts, what was done again or left as it was and why, and the table of clips that are not as usual."""
    counts = f"{found.done} new, {found.kept} already there, {len(found.failed)} failed, {len(found.partial)} partial"
    say(f"{store}: {counts}")
    reasons = Counter(why for *_, why in found.again)
    for why, count in reasons.most_common():
        few = first_few(id for id, _, reason in found.again if reason == why)
        say(f"note: {count} clips that the store had were described again ({why}): {few}.")
    for note in found.notes:
        say(f"note: {note}")
    if found.untried:
        say(f"note: {len(found.untried)} failed before, with the same file; --retry tries them again.")
    if found.unknown:
        say(
            f"note: of {len(found.unknown)} clips the store does not know from which file and span their features are "
            "(they were stored by avshot 0.1 or another program); --retry describes them again."
        )
    if found.failed or found.partial:
        rows = [[id, status, path] for id, path, status in (*found.failed, *found.partial)]
        print_table("not as usual", ["clip", "why", "file"], rows)


def limits(seconds: float | None, gigabytes: float | None) -> ExtractConfig:
    """The settings of an extraction with bounds for one clip; None = the usual ones. ValueError unless above 0."""
    usual = ExtractConfig()
    memory = usual.memory_limit if gigabytes is None else gigabytes * (1 << 30)
    return ExtractConfig(time_limit=usual.time_limit if seconds is None else seconds, memory_limit=memory)


def given(source: str) -> Path:
    """The file or folder that was named, be it as a `file://` URL."""
    path = Path(local_path(source))
    if not path.exists():
        raise ValueError(f"{source} does not exist; pass a dataset .toml, a folder of videos, or a video.")
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv"):
        raise ValueError(f"{source} is a table; declare a dataset with `avshot dataset {source} NAME.toml` first.")
    return path


def beside(path: Path) -> str:
    """The usual store of a folder or a video: its own name and `.features`, beside it."""
    named = path if path.name not in ("", "..") else Path(os.path.abspath(path))
    if not named.name:
        raise ValueError(f"{path} has no folder beside it; say where the features go (--store FOLDER).")
    return f"{named}.features"


def files(source: Path) -> tuple[Clip, ...]:
    """A video, or all videos below a folder, as clips named by their path in it; says what it leaves out."""
    if not source.is_dir():
        return (Clip(source.name, str(source)),)
    found = media_files(source)
    for note in found.notes():
        say(f"note: {note}")
    if not found.files:
        raise ValueError(f"{source} holds no videos ({', '.join(sorted(MEDIA_SUFFIXES))}); pass another folder.")
    return tuple(Clip(f.relative_to(source).as_posix(), str(f)) for f in found.files)


def extract_source(
    source: str | Path,
    store: str | None,
    *,
    audio: str | None,
    visual: str | None,
    workers: int | None,
    runner: str = "local",
    retry: bool = False,
    shared: bool = False,
    time_limit: float | None = None,
    memory_limit: float | None = None,
) -> int:
    """`avshot extract`: returns how many clips failed, after a table of what failed and why."""
    from avshot.cli.extract import beside, files, given, limits, say_outcome
    from avshot.data.load import load_dataset
    from avshot.data.manifest import features_path, load_manifest
    from avshot.data.sources import once
    from avshot.features.extract import extract

    path, config = given(str(source)), limits(time_limit, memory_limit)
    declared = path.suffix == ".toml"
    clips = once(load_manifest(path, features=False).clips) if declared else files(path)
    if clips and not any(clip.path for clip in clips):
        raise ValueError(f"{path} names no video: its features were imported, and `avshot train {path}` takes them.")
    usual = features_path(path) if declared else beside(path)
    store = store or usual
    options: dict[str, Any] = {"audio": audio, "visual": visual, "workers": workers, "runner": runner}
    options |= {"retry_failed": retry, "alone": not shared, "config": config}
    told = f"note: another extraction writes to {store}; waiting until it has finished"
    try:
        with show_progress("extracting") as bar:
            found = extract(clips, store, progress=bar, waiting=lambda: say(told), **options)
    except RuntimeError as error:  # an extractor that does not work at all, or a store that cannot be written
        raise ValueError(str(error)) from error
    say_outcome(store, found)
    if declared and Path(store).resolve() != Path(usual).resolve():
        say(f'note: to train on these features, write  features = "{store}"  at the top of {path}')
    elif declared:
        for warning in load_dataset(str(path)).warnings():
            say(f"note: {warning}")
    elif path.is_dir():
        say(
            "note: nothing can be trained on features without labels; "
            f"`avshot dataset {shlex.quote(str(path))} own.toml` says what is possible."
        )
    return len(found.failed)
