"""Class names to the words that a text encoder reads: spoken names, prompt ensembles, descriptions."""

from __future__ import annotations

import csv
import functools
import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import resources

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LONG_LIST = 10  # classes named one by one in an error before it says how many more there are


def spoken(name: str) -> str:
    """Turn a dataset identifier into words: `PlayingFlute`, `playing_flute` and `playing-flute` to `playing flute`.

    A name that already holds a space is written for people and stays as it is, but for underscores and repeated space;
    so does a word in capitals (`YoYo` gives `yo yo`, `BMX` stays `BMX`).

    Raises:
        ValueError: The name holds no letter or digit.
    """
    text = " ".join(name.replace("_", " ").split())
    if not any(character.isalnum() for character in text):
        raise ValueError(f"Class name {name!r} holds no letter or digit; give each class a name in words.")
    if " " in name.strip():
        return text
    words = _CAMEL.sub(" ", text.replace("-", " ")).split()
    return " ".join(word if len(word) > 1 and word.isupper() else word.lower() for word in words)


def join_key(name: str) -> str:
    """What two spellings of a class name share: small letters and digits, without space, case or punctuation."""
    return "".join(character for character in name.casefold() if character.isalnum())


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
        known = ", ".join(["name", *prompt_ensembles()])
        raise ValueError(f"Prompt ensemble {prompts!r} does not exist; choose one of: {known}.")
    texts = {name: [template.replace("{}", spoken(name)) for template in templates] for name in names}
    if descriptions is not None:
        found = read_descriptions(descriptions)
        _require_rows(names, found, descriptions)
        for name in names:
            texts[name] += found[join_key(name)]
    return texts


def read_descriptions(path: str) -> dict[str, list[str]]:
    """Read a CSV `name, text, ...` into `{join_key(name): [text, ...]}`.

    Raises:
        ValueError: No text column, a row without text, or two rows for one class.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows or len(rows[0]) < 2:
        raise ValueError(f"{path} has no text column; expected a header and columns name, text, ...")
    found: dict[str, list[str]] = {}
    for row in rows[1:]:
        texts = [cell.strip() for cell in row[1:] if cell.strip()]
        if not texts:
            raise ValueError(f"{path} has no text for {row[0]!r}; fill the row or remove it.")
        if join_key(row[0]) in found:
            raise ValueError(f"{path} has two rows for {row[0]!r}; keep one.")
        found[join_key(row[0])] = texts
    return found


def _require_rows(names: Sequence[str], found: Mapping[str, Sequence[str]], path: str) -> None:
    missing = [name for name in names if join_key(name) not in found]
    if missing:
        shown = ", ".join(map(repr, missing[:_LONG_LIST]))
        more = f" and {len(missing) - _LONG_LIST} more" if len(missing) > _LONG_LIST else ""
        near = get_close_matches(join_key(missing[0]), list(found), n=1)
        hint = f" (nearest row to {missing[0]!r}: {near[0]!r})" if near else ""
        raise ValueError(f"{path} has no row for {len(missing)} classes: {shown}{more}{hint}. Add a row for each.")
