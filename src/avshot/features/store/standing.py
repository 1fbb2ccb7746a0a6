"""What a store already has of the clips that are asked for: what counts, and what is described again, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from avshot.features.store.manifest import Row
from avshot.features.store.origin import Origin, compare
from avshot.features.store.store import FeatureStore
from avshot.types import Clip

ClipStatus = tuple[str, bool]  # status, has features
FAILED = "it failed before"
DAMAGED = "its stored features were damaged"
UNKNOWN = "the store does not know its file"


@dataclass
class Standing:
    """What is known before an extraction begins.

    Attributes:
        kept: ClipStatus of the clips that are not described again.
        again: Why a clip that the store has is described again, by id.
        unknown: Clips that are kept though the store cannot tell from which file and span they are: those of avshot
            0.1, and features that were made elsewhere.
        moved: New lines of clips whose file has the same content as before but another time or name.
        latest: When the last line of the store was written, seconds since 1970.
    """

    kept: dict[str, ClipStatus] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    moved: list[Row] = field(default_factory=list)
    latest: float = 0.0


def standing(root: str, clips: Sequence[Clip], *, retry: bool) -> Standing:
    """Compare what a store holds with what the clips ask for today.

    The features of a local store are read and compared with their digests; of another one, only the headers of shards.

    Args:
        root: An existing store.
        clips: With unique ids.
        retry: Describe again also what failed, and what cannot be checked.

    Raises:
        ValueError: The store is damaged, or a clip's span is no span.
    """
    store = FeatureStore(root)
    found = Standing(latest=max((row.time for row in store.lines.values()), default=0.0))
    broken = store.broken([clip.id for clip in clips], deep=store.waits == "disk")
    for clip in clips:
        row = store.lines.get(clip.id)
        if row is None:
            continue
        if clip.id in broken:
            found.again[clip.id] = DAMAGED
        elif row.shard is None and (retry or row.origin is None):
            found.again[clip.id] = FAILED
        elif row.origin is None:
            _unknown(found, clip, row, retry)
        else:
            _known(found, clip, row, row.origin)
    return found


def stale(clips: Sequence[Clip], lines: Mapping[str, Row]) -> dict[str, str]:
    """Clips whose stored features are not those of the file and span that they state today: `{id: why}`.

    Looks at files, and reads only those that have another time or name than they had but the same size.

    Raises:
        ValueError: A clip's span is no span.
    """
    found = {}
    for clip in clips:
        row = lines.get(clip.id)
        if row is None or row.origin is None:
            continue
        why, _ = compare(row.origin, row.source, clip, certain=False)
        if why:
            before = "" if row.shard is not None else f"{row.status.removeprefix('error: ')}; "
            found[clip.id] = f"{before}{why}; run `avshot extract` again"
    return found


def _unknown(found: Standing, clip: Clip, row: Row, retry: bool) -> None:
    if retry:
        found.again[clip.id] = UNKNOWN
        return
    found.unknown.append(clip.id)
    found.kept[clip.id] = row.status, True


def _known(found: Standing, clip: Clip, row: Row, origin: Origin) -> None:
    why, state = compare(origin, row.source, clip, certain=True)
    if why:
        found.again[clip.id] = why
        return
    if state is not None:
        found.moved.append(replace(row, source=clip.path, origin=Origin(origin.span, state)))
    found.kept[clip.id] = row.status, row.shard is not None
