"""Parquet: a table with a column for each field of an event, every digit kept; needs pyarrow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar

from avshot.errors import BadDataset, BadSetting
from avshot.events.format import Format, one_line
from avshot.events.span import Event
from avshot.files.atomic import save_bytes


class Parquet(Format):
    """Columns file, start, end, name, probability, sound, picture."""

    endings: ClassVar[tuple[str, ...]] = (".parquet",)
    several: ClassVar[bool] = True

    def write(self, path: Path, events: Sequence[Event], files: Sequence[str]) -> None:
        """Write a table. Raises ValueError where pyarrow is not installed."""
        arrow, parquet = _arrow()
        kinds = {"file": arrow.string(), "name": arrow.string()}
        schema = arrow.schema([(field.name, kinds.get(field.name, arrow.float64())) for field in fields(Event)])
        rows = [asdict(event) | {"name": one_line(event.name)} for event in events]
        out = io.BytesIO()
        parquet.write_table(arrow.Table.from_pylist(rows, schema=schema), out)
        save_bytes(path, out.getvalue())

    def read(self, path: Path, file: str, names: Sequence[str]) -> list[Event]:
        """Read a table that has at least start, end and name. Raises ValueError where pyarrow is not installed."""
        arrow, parquet = _arrow()
        try:
            rows = parquet.read_table(io.BytesIO(path.read_bytes())).to_pylist()
        except arrow.ArrowException as error:
            raise BadDataset(f"{path} is no Parquet file ({str(error).splitlines()[0]}).") from None
        return [_event(row, f"{path} row {number}", file) for number, row in enumerate(rows, 1)]

    def is_like(self, head: bytes) -> bool:
        """Its first four bytes."""
        return head.startswith(b"PAR1")


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise BadSetting("Parquet needs pyarrow, which is not installed: pip install pyarrow.") from None
    return pyarrow, pyarrow.parquet


def _event(row: dict[str, Any], place: str, file: str) -> Event:
    known: dict[str, Any] = {field.name: row.get(field.name) for field in fields(Event)}
    known["file"] = known["file"] or file
    known["probability"] = 1.0 if known["probability"] is None else known["probability"]
    try:
        return Event(**known)
    except (TypeError, AttributeError):
        raise BadDataset(f"{place}: start and end must be numbers, name text; it has: {', '.join(row)}.") from None
    except ValueError as error:
        raise BadDataset(f"{place}: {error}") from None
