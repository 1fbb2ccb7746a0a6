"""What a feature store says of itself: `store.json` (who made the features) and the manifest (one line per clip)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from avshot.features.place import Place

VERSION = 1
_ROW = {"id", "status", "source", "shard", "audio", "visual", "time"}


def fingerprint(spec: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that identify a specification. Raises ValueError when it is not plain JSON."""
    return hashlib.sha256(_canonical(spec).encode()).hexdigest()[:16]


def _canonical(spec: Mapping[str, Any]) -> str:
    try:
        return json.dumps(spec, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Feature specification {spec!r} is not plain JSON: {error}.") from error


def read_about(place: Place) -> dict[str, Any] | None:
    """Contents of `store.json`, or None when there is none. Raises ValueError for a format newer than this avshot."""
    if not place.exists("store.json"):
        return None
    try:
        about = json.loads(place.read("store.json"))
    except ValueError as error:
        raise ValueError(f"{place.path('store.json')} cannot be read ({error}); make the store again.") from error
    if about["version"] > VERSION:
        raise ValueError(f"{place.root} has format {about['version']}; this avshot reads up to {VERSION}: upgrade it.")
    return about


def join_store(
    place: Place, spec: Mapping[str, Any], dtype: str, dims: tuple[int | None, int | None]
) -> tuple[int | None, int | None]:
    """Make `store.json`, or check that the one that is there agrees; returns the widths it declares."""
    about = read_about(place)
    if about is None:
        plain = json.loads(_canonical(spec))
        about = {"version": VERSION, "spec": plain, "fingerprint": fingerprint(spec), "dims": dims, "dtype": dtype}
        place.publish("store.json", [json.dumps(about, indent=1, sort_keys=True).encode()], replace=False)
        about = read_about(place) or about  # that of another writer, if it came first
    if about["fingerprint"] != fingerprint(spec):
        there, here = _flat(about["spec"]), _flat(json.loads(_canonical(spec)))
        keys = sorted(k for k in there.keys() | here.keys() if there.get(k, "unset") != here.get(k, "unset"))
        differs = ", ".join(f"{k} is {there.get(k, 'unset')!r} there and {here.get(k, 'unset')!r} here" for k in keys)
        raise ValueError(f"Store {place.root} holds other features: {differs}; use the same settings or a new folder.")
    if about["dtype"] != dtype:
        raise ValueError(f"Store {place.root} holds {about['dtype']}, not {dtype}; use that or a new folder.")
    known = [there if there is not None else here for there, here in zip(about["dims"], dims, strict=True)]
    return known[0], known[1]


def _flat(spec: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(spec, dict) or not spec:
        return {prefix or "spec": spec}
    return {k: v for key, part in spec.items() for k, v in _flat(part, f"{prefix}.{key}" if prefix else key).items()}


def newest_rows(place: Place) -> dict[str, dict[str, Any]]:
    """The row that counts for every clip: one with data before one without, then the last written."""
    newest: dict[str, tuple[tuple[bool, float], dict[str, Any]]] = {}
    for name in place.names("manifest"):
        if not name.endswith(".jsonl"):
            continue
        for line in place.read(name).splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # half a line, from a writer killed while appending: its clip was never confirmed
            if not isinstance(row, dict) or _ROW - row.keys():
                raise ValueError(f"{place.path(name)} holds a line that is no clip: {line[:60]!r}; delete that line.")
            rank = (row["shard"] is not None, float(row["time"]))
            if row["id"] not in newest or rank >= newest[row["id"]][0]:
                newest[row["id"]] = (rank, row)
    return {id: row for id, (_, row) in newest.items()}
