"""What a feature store says of itself: `store.json` (who made the features) and the manifest (one line per clip).

Both carry a digest of themselves, so that a changed character is noticed wherever it stands. A line that a killed
writer left half written has none; it never counted, and is passed over.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from avshot.errors import BadDataset
from avshot.features.store.origin import Origin, from_json, to_json
from avshot.features.store.place import CUT_OFF, Place

VERSION = 2
_SEAL, _SEAL_LENGTH = b', "digest": "', 16  # closes a line: the digest of all that stands before it
_DIGEST = re.compile(r"[0-9a-f]{32}")
_SHARD = re.compile(r"[\w.-]+")
_LARGEST_STEP, _LARGEST_WIDTH, _LATEST = 1 << 48, 1 << 31, 1e15
Steps = tuple[int, int, int]  # first step, number of steps and width within the shard


@dataclass(frozen=True, slots=True)
class Row:
    """A manifest line.

    Attributes:
        id: Clip.
        status: "ok", "error: why", ...
        source: Path of its file.
        shard: Name of the shard with its features; None where it has none.
        audio: Where its audio features are in the shard.
        visual: Where its visual features are in the shard.
        digests: Digest of its audio and visual features (`avshot.features.store.shard.digest`); None in stores of
            version 1.
        origin: Span and file that it was made from; None where that was not stated (version 1, or features made
            elsewhere).
        time: Seconds since 1970 when the line was written.
    """

    id: str
    status: str
    source: str
    shard: str | None
    audio: Steps
    visual: Steps
    digests: tuple[str, str] | None
    origin: Origin | None
    time: float

    def line(self) -> bytes:
        """The line, sealed."""
        content: dict[str, Any] = {"id": self.id, "status": self.status, "source": self.source, "shard": self.shard}
        content |= {"audio": self.audio, "visual": self.visual, "digests": self.digests, **to_json(self.origin)}
        text = json.dumps({**content, "time": self.time}, allow_nan=False)[:-1].encode()
        return text + _SEAL + _seal(text) + b'"}\n'


@dataclass(frozen=True)
class Manifest:
    """All lines of a store.

    Attributes:
        rows: The row that counts for every clip: the last written.
        damaged: `(file, number of the line from 1, what is wrong)`.
        shards: Names of all shards that a line mentions, be it one that no longer counts.
    """

    rows: dict[str, Row]
    damaged: tuple[tuple[str, int, str], ...]
    shards: frozenset[str]


def fingerprint(spec: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that identify a specification. Raises ValueError when it is not plain JSON."""
    return hashlib.sha256(_canonical(spec).encode()).hexdigest()[:16]


def _canonical(spec: Mapping[str, Any]) -> str:
    try:
        return json.dumps(spec, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadDataset(f"Feature specification {spec!r} is not plain JSON: {error}.") from error


def read_about(place: Place) -> dict[str, Any] | None:
    """Contents of `store.json`, or None when there is none.

    Raises:
        ValueError: It is damaged, or of a format newer than this avshot.
    """
    if not place.exists("store.json"):
        return None
    try:
        about = _JSON.decode(place.read("store.json").decode())
        problem = _problem(about)
    except (ValueError, RecursionError, OSError) as error:
        problem = str(error)
    if problem:
        raise BadDataset(
            f"{place.path('store.json')} cannot be read ({problem}); restore it, or remove the store and extract again."
        )
    if about["version"] > VERSION:
        raise BadDataset(f"{place.root} has format {about['version']}; this avshot reads up to {VERSION}: upgrade it.")
    return dict(about)


def _problem(about: Any) -> str:
    """What is wrong with the content of `store.json`; "" if nothing is."""
    if not isinstance(about, dict) or type(about.get("version")) is not int or about["version"] < 1:
        return "it states no version"
    if about["version"] > VERSION:
        return ""
    if "digest" in about or about["version"] > 1:
        rest = {key: value for key, value in about.items() if key != "digest"}
        if about.get("digest") != fingerprint(rest):
            return "it was changed after it was written"
    if not isinstance(about.get("spec"), dict) or about.get("fingerprint") != fingerprint(about["spec"]):
        return "spec and fingerprint do not agree"
    if about.get("dtype") not in ("float32", "float16"):
        return f"dtype is {about.get('dtype')!r}"
    dims = about.get("dims")
    if not isinstance(dims, list) or len(dims) != 2:
        return f"dims is {dims!r}"
    if not all(dim is None or (type(dim) is int and 0 <= dim <= _LARGEST_WIDTH) for dim in dims):
        return f"dims is {dims!r}"
    return ""


def join_store(
    place: Place, spec: Mapping[str, Any], dtype: str, dims: tuple[int | None, int | None]
) -> tuple[int | None, int | None]:
    """Make `store.json`, or check that the one that is there agrees; returns the widths it declares."""
    about = read_about(place)
    if about is None:
        plain = json.loads(_canonical(spec))
        made = {"version": VERSION, "spec": plain, "fingerprint": fingerprint(spec), "dims": list(dims), "dtype": dtype}
        text = json.dumps({**made, "digest": fingerprint(made)}, indent=1, sort_keys=True)
        place.publish("store.json", [text.encode()], replace=False)
        about = read_about(place)  # that of another writer, if it came first
    if about is None:
        raise BadDataset(f"{place.path('store.json')} is there and is no file; remove it, or choose another store.")
    if about["fingerprint"] != fingerprint(spec):
        there, here = _flat(about["spec"]), _flat(json.loads(_canonical(spec)))
        keys = sorted(k for k in there.keys() | here.keys() if there.get(k, "unset") != here.get(k, "unset"))
        differs = ", ".join(f"{k} is {there.get(k, 'unset')!r} there and {here.get(k, 'unset')!r} here" for k in keys)
        raise BadDataset(f"Store {place.root} holds other features: {differs}; use the same settings or a new folder.")
    if about["dtype"] != dtype:
        raise BadDataset(f"Store {place.root} holds {about['dtype']}, not {dtype}; use that or a new folder.")
    known = [there if there is not None else here for there, here in zip(about["dims"], dims, strict=True)]
    return known[0], known[1]


def _flat(spec: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(spec, dict) or not spec:
        return {prefix or "spec": spec}
    return {k: v for key, part in spec.items() for k, v in _flat(part, f"{prefix}.{key}" if prefix else key).items()}


def read_manifest(place: Place, version: int) -> Manifest:
    """All lines of a store of a format `version`. Raises ValueError where a file cannot be read at all."""
    rows: dict[str, Row] = {}
    damaged, shards = [], set()
    for name in place.names("manifest"):
        if not name.endswith(".jsonl"):
            continue
        for number, line in enumerate(_lines(place, name), 1):
            if not line or line.endswith(CUT_OFF) or (version == 1 and not line.endswith(b"}")):
                continue
            try:
                row = _parse(line, version)
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                damaged.append((name, number, str(error)))
                continue
            if row.shard is not None:
                shards.add(row.shard)
            if row.id not in rows or row.time >= rows[row.id].time:
                rows[row.id] = row
    return Manifest(rows, tuple(damaged), frozenset(shards))


def mend(place: Place, manifest: Manifest) -> tuple[str, ...]:
    """Take damaged lines out of the manifest of a local store that nobody else writes to.

    Returns:
        A sentence for each file that had any.
    """
    told = []
    for name in dict.fromkeys(name for name, *_ in manifest.damaged):
        gone = {number for file, number, _ in manifest.damaged if file == name}
        kept = [line for number, line in enumerate(_lines(place, name), 1) if number not in gone]
        place.publish(name, [b"".join(line + b"\n" for line in kept)])
        told.append(f"{len(gone)} damaged lines of {place.path(name)} were taken out; their clips are described again.")
    return tuple(told)


def refuse_damage(place: Place, manifest: Manifest) -> dict[str, Row]:
    """The rows of a manifest. Raises ValueError when lines of it are damaged: file, line and cure."""
    if manifest.damaged:
        name, number, reason = manifest.damaged[0]
        more = f", and {len(manifest.damaged) - 1} more lines" if len(manifest.damaged) > 1 else ""
        raise BadDataset(
            f"{place.path(name)} line {number} is damaged ({reason}){more}; run the same extraction again, which takes "
            "such lines out and describes their clips anew."
        )
    return manifest.rows


def append_rows(place: Place, worker: str, rows: Iterable[Row]) -> None:
    """Add lines to the manifest of a writer."""
    place.append(f"manifest/{worker}.jsonl", b"".join(row.line() for row in rows))


def _lines(place: Place, name: str) -> list[bytes]:
    """The lines of a manifest file, but for a last one that was cut off while it was written."""
    try:
        *lines, last = place.read(name).split(b"\n")
    except OSError as error:
        raise BadDataset(
            f"{place.path(name)} cannot be read ({error.strerror or error}); restore or remove it."
        ) from None
    whole = len(last.rpartition(_SEAL)[2]) >= _SEAL_LENGTH + 2 and _SEAL in last  # only its end is not what it was
    return [*lines, last] if whole else lines


def _parse(line: bytes, version: int) -> Row:
    body, seal, rest = line.rpartition(_SEAL)
    if seal:
        if rest != _seal(body) + b'"}':
            raise BadDataset("it was changed after it was written")
        line = body + b"}"
    elif version > 1:
        raise BadDataset("it was changed after it was written")
    content = _JSON.decode(line.decode())
    if not isinstance(content, dict):
        raise BadDataset("it is no clip")
    lacking = {"id", "status", "source", "shard", "audio", "visual", "time"} - content.keys()
    if lacking:
        raise BadDataset(f"it is no clip: no {', '.join(sorted(lacking))}")
    return _checked(content)


def _checked(content: Mapping[str, Any]) -> Row:
    id, status, source, shard = (content[key] for key in ("id", "status", "source", "shard"))
    for key in ("id", "status", "source"):
        if type(content[key]) is not str or (key != "source" and not content[key]):
            raise BadDataset(f"{key} is {str(content[key])[:60]!r}")
    if shard is not None and not (type(shard) is str and _SHARD.fullmatch(shard)):
        raise BadDataset(f"shard is {str(shard)[:60]!r}")
    audio, visual = (_steps(key, content[key]) for key in ("audio", "visual"))
    if (shard is None) != (audio[1] + visual[1] == 0):
        raise BadDataset("steps and shard do not agree")
    digests, time = content.get("digests"), content["time"]
    if digests is not None:
        audio_digest, visual_digest = digests
        if not (_DIGEST.fullmatch(audio_digest) and _DIGEST.fullmatch(visual_digest)):
            raise BadDataset("digests are none")
        digests = (audio_digest, visual_digest)
    if type(time) not in (int, float) or not 0 <= time < _LATEST:
        raise BadDataset(f"time is {str(time)[:60]!r}")
    origin = from_json(content.get("span"), content.get("file"))
    return Row(id, status, source, shard, audio, visual, digests, origin, float(time))


def _steps(key: str, value: Any) -> Steps:
    start, steps, width = value
    if not (type(start) is int and type(steps) is int and type(width) is int):
        raise BadDataset(f"{key} is {str(value)[:60]!r}")
    if not (0 <= start <= _LARGEST_STEP and 0 <= steps <= _LARGEST_STEP and 0 <= width <= _LARGEST_WIDTH):
        raise BadDataset(f"{key} is {value!r}")
    return start, steps, width


def _seal(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_SEAL_LENGTH].encode()


def _no_constant(text: str) -> Any:
    raise BadDataset(f"{text} is no number")


_JSON = json.JSONDecoder(parse_constant=_no_constant)
