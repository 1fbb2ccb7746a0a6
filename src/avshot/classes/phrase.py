"""Class names to the words that a text encoder reads: spoken names, prompt ensembles, descriptions."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path

from avshot.classes.names import join_key, refuse_alike, spoken, tidy, tidy_all
from avshot.errors import BadSetting
from avshot.files.text import read_table
from avshot.settings import did_you_mean

__all__ = [
    "join_key",
    "phrases",
    "prompt_ensembles",
    "read_descriptions",
    "refuse_alike",
    "spoken",
    "tidy",
    "tidy_all",
]

_LONG_LIST = 10  # classes named one by one in an error before it says how many more there are


@functools.cache
def prompt_ensembles() -> Mapping[str, tuple[str, ...]]:
    """The prompt ensembles by name; each template holds `{}` once. Their source is named in `prompts.json`."""
    data = json.loads(resources.files("avshot.classes").joinpath("prompts.json").read_text(encoding="utf-8"))
    return {name: tuple(templates) for name, templates in data["ensembles"].items()}


def phrases(names: Sequence[str], *, prompts: str = "name", descriptions: str | None = None) -> dict[str, list[str]]:
    """The texts of each class, whose embeddings are averaged into its vector.

    Args:
        names: Class names, in words or as dataset identifiers.
        prompts: `"name"` for the spoken name alone, or a prompt ensemble: `clip-actions` (48 templates),
            `clip-vggsound` (8), `clap-actions` (30), `clap-vggsound` (9).
        descriptions: CSV file with a header whose first column is the class name and whose other columns are texts
            (the released KDA form: name, description_1, description_2, description_3). Its texts follow the prompts,
            as in KDA's code, which averages the name and three descriptions; blank cells are skipped.

    Returns:
        `{name: [text, ...]}`, at least one text each, in the order of `names`.

    Raises:
        ValueError: Unknown ensemble, or classes without a row in the CSV (they are listed).
    """
    if prompts == "name":
        templates: tuple[str, ...] = ("{}",)
    elif prompts in prompt_ensembles():
        templates = prompt_ensembles()[prompts]
    else:
        known = ["name", *prompt_ensembles()]
        near = did_you_mean(prompts, known)
        raise BadSetting(f"Prompt ensemble {prompts!r} does not exist; choose one of: {', '.join(known)}.{near}")
    texts = {name: [template.replace("{}", spoken(name)) for template in templates] for name in names}
    if descriptions is not None:
        found = read_descriptions(descriptions, names)
        for name in names:
            texts[name] += found[join_key(name)]
    return texts


def read_descriptions(path: str | Path, names: Sequence[str] = ()) -> dict[str, list[str]]:
    """Read a table `name, text, ...` into `{join_key(name): [text, ...]}`, the texts as they are written.

    Args:
        path: The table.
        names: Classes that must have a row, in any spelling.

    Raises:
        ValueError: Not a table, no text column, a row without name or text, or two rows for one class; names the line.
            Or classes without a row (they are listed).
        OSError: There is no such file.
    """
    table = read_table(path)
    if len(table.columns) < 2:
        raise BadSetting(f"{path} has no text column; expected a header and columns name, text, ...")
    first, *others = table.columns
    found: dict[str, list[str]] = {}
    rows: dict[str, str] = {}
    for row in table.rows:
        texts = [row[column] for column in others if row[column]]
        name = row[first]
        if not texts:
            raise BadSetting(f"{row.place} has no text for {name!r}; fill the row or remove it.")
        if not join_key(name):
            raise BadSetting(f"{row.place} has the class name {name!r}; expected a name in words.")
        key = join_key(name)
        if key in found:
            raise BadSetting(f"{row.place} is a second row for {name!r} (the first: {rows[key]!r}); keep one.")
        found[key], rows[key] = texts, name
    _require_rows(names, found, str(path))
    return found


def _require_rows(names: Sequence[str], found: Mapping[str, Sequence[str]], path: str) -> None:
    missing = [name for name in names if join_key(name) not in found]
    if not missing:
        return
    shown = ", ".join(map(repr, missing[:_LONG_LIST]))
    more = f" and {len(missing) - _LONG_LIST} more" if len(missing) > _LONG_LIST else ""
    near = get_close_matches(join_key(missing[0]), list(found), n=1)
    hint = f" (nearest row to {missing[0]!r}: {near[0]!r})" if near else ""
    if join_key(read_table(path).columns[0]) in map(join_key, missing):
        hint = " (its first line is read as the header; write one: name,text)"
    raise BadSetting(f"{path} has no row for {len(missing)} classes: {shown}{more}{hint}. Add a row for each.")
