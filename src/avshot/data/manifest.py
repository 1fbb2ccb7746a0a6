"""Declared datasets: a `.toml` that states the rule, and beside it a `.folds.csv` with the fold of each clip.

`declare` makes both from a folder or a table of own videos; `load_manifest` reads them back. The table is what counts:
it can be looked at, put under version control, and does not change when files are added later.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avshot.classes.names import join_key, refuse_alike, spoken, tidy
from avshot.data.antonyms import read_antonyms
from avshot.data.dataset import Dataset
from avshot.data.fold_table import folds_csv, read_folds, relative
from avshot.data.listing import Columns, Listing, list_clips
from avshot.data.manifest_text import manifest_toml, present, rule_digest, stated_rule
from avshot.data.own_text import own_text_of
from avshot.data.pair_split import PairRule, check_pair_options, split_pairs
from avshot.data.pairs import Pairs, all_pairs, by_frequency
from avshot.data.shots import check_few, check_shots
from avshot.data.sources import FeatureSource, first_few, once
from avshot.data.split import SplitRule, split_clips
from avshot.errors import BadDataset, MissingFile, told_as
from avshot.files.atomic import save_bytes
from avshot.files.text import read_text
from avshot.files.url import local_path
from avshot.types import Clip


@dataclass(frozen=True)
class Declared:
    """What `declare` made.

    Attributes:
        path: The `.toml` file; `load_dataset(str(path))` reads it.
        dataset: The dataset, without features.
        warnings: What the user should know about files, labels and folds.
    """

    path: Path
    dataset: Dataset
    warnings: tuple[str, ...]


@told_as(BadDataset)
def declare(
    source: str | Path,
    out: str | Path,
    *,
    columns: Columns | None = None,
    rule: SplitRule | PairRule | None = None,
    name: str | None = None,
    media: str | Path | None = None,
    skip_missing: bool = False,
    overwrite: bool = False,
    shots: int | None = None,
    antonyms: str | Path | None = None,
) -> Declared:
    """Declare a dataset: list the clips, cut them into folds, write `out` (`.toml`) and its `.folds.csv`.

    Args:
        source: Folder whose sub-folders are labels, or a CSV table.
        out: Path of the `.toml` to write.
        columns: What the columns of the table mean.
        rule: How clips become folds; the default draws unseen labels and splits the others 70 / 15 / 15. For pairs
            (`Columns.pairs`) a `PairRule`; the default is that of unseen compositions.
        name: Name of the dataset; default: the stem of `out`.
        media: Folder of the files a table names; default: beside the table, or in a sub-folder.
        skip_missing: Leave out clips whose file is not there, in place of an error.
        overwrite: Replace a dataset of the same path that differs.
        shots: Clips of each unseen label that a task with few shots trains on (`--task gfsl`); noted in `out`.
        antonyms: Table of antonyms (`avshot.data.antonyms`) of the adverbs, where labels are pairs; noted in `out`.

    Raises:
        ValueError: The clips cannot be listed or split as asked (the message says why), `out` does not end in `.toml`,
            a different dataset is there already, or an unseen label has no more clips than `shots`.

    Example:
        >>> declare("videos", "birds.toml", rule=SplitRule(unseen_test=2, seed=7))  # doctest: +SKIP
    """
    out, columns = manifest_path(out), columns or Columns()
    pairs = columns.pairs is not None
    check_pair_options(pairs, rule, antonyms)
    listing = list_clips(source, columns, media=media, skip_missing=skip_missing)
    opposite = _opposites(listing, antonyms)
    if pairs:
        rule = rule or PairRule()
        split = split_pairs(listing.clips, listing.pair_of, opposite, rule)  # type: ignore[arg-type]
    else:
        rule = rule or SplitRule()
        split = split_clips(listing.clips, rule)  # type: ignore[arg-type]
    check_few(listing.clips, split.fold_of, shots)
    stated: dict[str, Any] = {"source": {"path": relative(source, out.parent)}}
    if Path(source).is_file():
        stated["source"] |= {"media": relative(listing.media, out.parent)} | present(asdict(columns))
    stated |= {"compositions": rule.stated()} if isinstance(rule, PairRule) else stated_rule(split, rule)
    more: dict[str, Any] = {"pair_of": listing.pair_of, "antonyms": opposite}
    files = manifest_files(out, listing.clips, split.fold_of, stated, name=name, shots=shots, **more)
    refuse_others(files, overwrite)
    write_files(files)
    dataset = load_manifest(out, features=False)
    return Declared(out, dataset, (*listing.warnings, *split.warnings, *dataset.warnings()))


def _opposites(listing: Listing, antonyms: str | Path | None) -> dict[str, str]:
    """The antonyms of the adverbs that occur, both ways; where one occurs alone, it is left out with its antonym."""
    there = {adverb for _, adverb in listing.pair_of.values()}
    found = {} if antonyms is None else read_antonyms(antonyms)
    return {adverb: other for adverb, other in found.items() if adverb in there and other in there}


def manifest_path(out: str | Path) -> Path:
    """Where a dataset is to be declared. Raises ValueError for a path that does not end in `.toml`."""
    if Path(out).suffix != ".toml":
        raise BadDataset(f"The dataset is to be written to {out}; expected a path that ends in .toml.")
    return Path(out)


def manifest_files(
    out: Path,
    clips: Sequence[Clip],
    fold_of: Mapping[str, str],
    stated: Mapping[str, Any],
    *,
    name: str | None = None,
    text: Mapping[str, str] | None = None,
    command: str = "avshot dataset",
    shots: int | None = None,
    pair_of: Mapping[str, tuple[str, str]] | None = None,
    antonyms: Mapping[str, str] | None = None,
) -> dict[Path, bytes]:
    """The two files of a declared dataset, `{path: content}`, the `.toml` last: it points to the table.

    Args:
        out: The `.toml`.
        clips: All clips.
        fold_of: `{clip id: fold}`.
        stated: Sections `source`, `unseen` and `split`: where the clips are from, and the rule behind the folds.
        name: Name of the dataset; default: the stem of `out`.
        text: `{text encoder: file of its class vectors}`, relative to `out`.
        command: What makes such a dataset.
        shots: Clips of each novel class that a task with few shots trains on; None says nothing of it.
        pair_of: `{label: (action, adverb)}` where labels are pairs.
        antonyms: Of their adverbs, both ways.
    """
    table = out.with_suffix(".folds.csv")
    head = {"name": name or out.stem, "folds": table.name, "rule": rule_digest(stated)} | present({"shots": shots})
    toml = manifest_toml(head, stated, spelt_out(clips), text or {}, command, antonyms)
    return {table: folds_csv(clips, fold_of, out.parent, pair_of).encode(), out: toml.encode()}


def spelt_out(clips: Sequence[Clip]) -> dict[str, str]:
    """The words of labels that are written with underscores."""
    return {clip.label: spoken(clip.label) for clip in clips if clip.label and "_" in clip.label}


def refuse_others(files: Mapping[Path, bytes], overwrite: bool) -> None:
    """Raise ValueError where a file is there with another content, unless it may be overwritten."""
    changed = [path for path, content in files.items() if path.exists() and path.read_bytes() != content]
    if changed and not overwrite:
        raise BadDataset(
            f"{changed[0]} is there and differs; choose another path, or replace it (--overwrite, overwrite=True)."
        )


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write files one after the other, each whole or not at all; their folders are made."""
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_bytes(path, content)


@told_as(BadDataset)
def load_manifest(path: str | Path, *, features: bool = True) -> Dataset:
    """Read a declared dataset; `features=False` leaves the feature store alone.

    Features come from the store named under `features` (relative to the file), else from `<stem>.features` beside it.
    Those of another span, or of a file that has changed since, are left out (`Dataset.missing`).

    Raises:
        ValueError: The file or its table of folds is missing or malformed.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"Dataset {path} is not there; make it with `avshot dataset`.")
    content = _read_toml(path)
    shots = check_shots(content.get("shots"), f"{path}: shots")
    table = path.parent / str(content.get("folds", path.with_suffix(".folds.csv").name))
    if not table.is_file():
        raise MissingFile(f"{path} keeps its folds in {table}, which is not there; run `avshot dataset` again.")
    clips, folds, pair_of = read_folds(table)
    notes = []
    stated: dict[str, Any] = {key: content[key] for key in _RULE if key in content}
    if "rule" in content and content["rule"] != rule_digest(stated):
        notes.append(f"The rule in {path.name} was edited after {table.name} was made; the table is what is used.")
    pairs = _pairs(path, content.get("antonyms", {}), pair_of, clips)
    found = {clip.label for clip in clips if clip.label is not None}
    names = sorted(found) if pairs is None else list(pairs.actions)
    phrases = _phrases(path, content.get("phrases", {}), names)
    store = _open_features(path, content, clips, notes) if features else None
    name = str(content.get("name", path.stem))
    text, pairs = own_text_of(path, content.get("text", {}), names, phrases, pairs)
    more: dict[str, Any] = {"phrases": phrases, "text": text, "pairs": pairs, "shots": shots, "notes": tuple(notes)}
    return Dataset(name, tuple(clips), tuple(names), folds, store, **more)


_RULE = ("source", "unseen", "split", "compositions")


def _pairs(path: Path, antonyms: Any, pair_of: Mapping[str, tuple[str, str]], clips: Sequence[Clip]) -> Pairs | None:
    """The pairs of a table that has them, words in the order of how many clips have them."""
    if not isinstance(antonyms, dict) or not all(isinstance(word, str) for word in antonyms.values()):
        raise BadDataset(f'{path} has antonyms of another form; expected lines "adverb" = "adverb" under [antonyms].')
    if not pair_of:
        if antonyms:
            raise BadDataset(f"{path} has antonyms, and its clips no columns action and adverb; leave them out.")
        return None
    occur = [pair_of[clip.label] for clip in clips if clip.label is not None]
    actions, adverbs = (by_frequency(words) for words in zip(*occur, strict=True))
    return all_pairs(actions, adverbs, {str(a): b for a, b in antonyms.items()})


def features_path(path: str | Path) -> str:
    """Where the features of the declared dataset `path` are or will be: its `features` key, or `<stem>.features`."""
    path = Path(path)
    wanted = _read_toml(path).get("features")
    if wanted is None:
        return str(path.with_suffix(".features"))
    if str(wanted).startswith("file:"):
        return local_path(str(wanted))
    return str(wanted) if "://" in str(wanted) else str(path.parent / str(wanted))


def _open_features(
    path: Path, content: Mapping[str, Any], clips: Sequence[Clip], notes: list[str]
) -> FeatureSource | None:
    """The feature store, without the features of clips whose file or span is another one today."""
    from avshot.features.store.standing import stale
    from avshot.features.store.store import FeatureStore

    where = features_path(path)
    if "://" not in where and not (Path(where) / "store.json").is_file():
        if "features" in content:
            notes.append(f"The features of {path.name} are not there yet ({where}); make them with `avshot extract`.")
        return None
    store = FeatureStore(where)
    described = once(clips)
    lines = [store.lines[clip.id] for clip in described if clip.id in store.lines]
    unknown = sum(line.digests is None and line.shard is not None for line in lines)
    if unknown:
        notes.append(
            f"The features of {unknown} clips were stored by avshot 0.1, which did not note their files and spans: "
            "they are used unchecked. `avshot extract --retry` describes them again."
        )
    return store.without(stale(described, store.lines))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise BadDataset(f"{path} is not valid TOML: {error}.") from None
    except RecursionError:
        raise BadDataset(f"{path} is not valid TOML: brackets in it are nested too deep.") from None


def _phrases(path: Path, stated: Any, names: Sequence[str]) -> dict[str, str]:
    """The words that the file gives for classes, joined by name; no two classes may be left with the same words."""
    if not isinstance(stated, dict) or not all(isinstance(words, str) for words in stated.values()):
        raise BadDataset(f'{path} has phrases of another form; expected lines "class" = "words" under [phrases].')
    refuse_alike(stated, f"{path}, phrases: ")
    spelt = {join_key(name): name for name in names}
    unknown = sorted(name for name in stated if join_key(name) not in spelt)
    if unknown:
        raise BadDataset(f"{path} gives phrases for classes that no clip has: {first_few(unknown)}.")
    phrases = {}
    for name, words in stated.items():
        try:
            phrases[spelt[join_key(name)]] = tidy(words)
        except ValueError as error:
            raise BadDataset(f"{path} gives no words for {name!r}: {error}") from None
    texts: dict[str, str] = {}
    for name in names:
        key = join_key(phrases.get(name, name))
        if texts.setdefault(key, name) != name:
            raise BadDataset(f"{path} gives the classes {texts[key]!r} and {name!r} the same words; keep them apart.")
    return phrases
