"""The two commands that declare a dataset, and the options that they share; imports nothing heavy until one runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avshot.cli.parsing import parse_amount, parse_labels

if TYPE_CHECKING:
    from avshot.data.pair_split import PairRule
    from avshot.data.split import SplitRule

# What is left away takes the default of `SplitRule`, which is shown here.
UnseenVal = Annotated[
    str | None, typer.Option(help="Labels unseen in validation: names, count or fraction.", show_default="0.2")
]
UnseenTest = Annotated[
    str | None, typer.Option(help="Labels unseen in testing: names, count or fraction.", show_default="0.2")
]
Train = Annotated[str | None, typer.Option(help="Clips of each seen label for training.", show_default="the rest")]
Val = Annotated[
    str | None,
    typer.Option(help="Clips of each seen label for validation: count or fraction.", show_default="0.15"),
]
Test = Annotated[
    str | None, typer.Option(help="Clips of each seen label for testing: count or fraction.", show_default="0.15")
]
GroupDisjoint = Annotated[bool, typer.Option(help="Keep clips of one source in one fold.")]
Seed = Annotated[int | None, typer.Option(help="Decides the draws.", show_default="0")]
Label = Annotated[str, typer.Option(help='Label column, or a pattern such as "{command} {colour}".')]
Shots = Annotated[
    int | None, typer.Option(help="Clips of each unseen label that train in the task gfsl; the others judge.")
]
Pairs = Annotated[bool, typer.Option(help="Labels are pairs, from the columns action and adverb (task adverb).")]
Antonyms = Annotated[Path | None, typer.Option(help="Table of the antonyms of adverbs: columns adverb, antonym.")]
Unlabelled = Annotated[
    float | None,
    typer.Option(help="With --pairs: share of the clips of unseen pairs that are unlabelled.", show_default="0.5"),
]
Overwrite = Annotated[bool, typer.Option(help="Replace a different dataset of the same name.")]

_PARSED = {
    "train": parse_amount,
    "val": parse_amount,
    "test": parse_amount,
    "unseen_val": parse_labels,
    "unseen_test": parse_labels,
}


def _split_rule(group_disjoint: bool, seed: int | None, **amounts: str | None) -> SplitRule | None:
    """The rule that the options ask for; None where none of them was given.

    Args:
        group_disjoint: Of `SplitRule`.
        seed: Of `SplitRule`.
        amounts: The other options as they were typed, by the name of their field.

    Raises:
        ValueError: An amount that is none.
    """
    from avshot.data.split import SplitRule

    given: dict[str, Any] = {name: _PARSED[name](text) for name, text in amounts.items() if text is not None}
    if group_disjoint:
        given["group_disjoint"] = True
    if seed is not None:
        given["seed"] = seed
    return SplitRule(**given) if given else None


def _plain_rule(
    unlabelled: float | None, group_disjoint: bool, seed: int | None, **amounts: str | None
) -> SplitRule | None:
    """`_split_rule`, for labels that are no pairs. Raises ValueError for an option of pairs."""
    if unlabelled is not None:
        raise ValueError("--unlabelled is for labels that are pairs; give --pairs, or leave it away.")
    return _split_rule(group_disjoint, seed, **amounts)


def _pair_rule(options: dict[str, str | None], unlabelled: float | None, seed: int | None) -> PairRule | None:
    """The rule of pairs that the options ask for; None where none of them was given.

    Raises:
        ValueError: A share that is none, or an option that means nothing for pairs.
    """
    from avshot.data.pair_split import PairRule

    for name in ("train", "unseen_val"):
        if options.pop(name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} means nothing for pairs; leave it away.")
    names = {"unseen_test": "unseen", "val": "val", "test": "test"}
    given: dict[str, Any] = {names[name]: _share(name, text) for name, text in options.items() if text is not None}
    given |= {} if unlabelled is None else {"unlabelled": unlabelled}
    given |= {} if seed is None else {"seed": seed}
    return PairRule(**given) if given else None


def _share(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--{name.replace('_', '-')} is {text!r}; for pairs expected a share from 0 to 1.") from None


def dataset(
    source: Annotated[Path, typer.Argument(help="Folder with one sub-folder per label, or a CSV table.")],
    out: Annotated[Path, typer.Argument(help="The .toml to write.")],
    label: Label = "label",
    unseen_val: UnseenVal = None,
    unseen_test: UnseenTest = None,
    train: Train = None,
    val: Val = None,
    test: Test = None,
    media: Annotated[Path | None, typer.Option(help="Folder of the files a table names.")] = None,
    group_disjoint: GroupDisjoint = False,
    skip_missing: Annotated[bool, typer.Option(help="Leave out files that are not there.")] = False,
    overwrite: Overwrite = False,
    seed: Seed = None,
    shots: Shots = None,
    pairs: Pairs = False,
    antonyms: Antonyms = None,
    unlabelled: Unlabelled = None,
) -> None:
    """Declare a dataset of own videos: which clip has which label and lies in which fold."""
    from avshot.cli.dataset import declare_dataset

    amounts = {"train": train, "val": val, "test": test, "unseen_val": unseen_val, "unseen_test": unseen_test}
    rule = _pair_rule(amounts, unlabelled, seed) if pairs else _plain_rule(unlabelled, group_disjoint, seed, **amounts)
    options: dict[str, Any] = {"skip_missing": skip_missing, "overwrite": overwrite, "shots": shots}
    options["antonyms"] = antonyms
    declare_dataset(source, out, label=label, pairs=pairs, rule=rule, media=media, **options)


def import_command(
    table: Annotated[Path, typer.Argument(help="Table of clips: id, label, and perhaps fold and group.")],
    out: Annotated[Path, typer.Argument(help="The .toml to write; features and folds go beside it.")],
    audio: Annotated[Path | None, typer.Option(help="Audio features: .npy, .npz, .h5 or a folder of .npy.")] = None,
    visual: Annotated[Path | None, typer.Option(help="Visual features, likewise.")] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Class vectors, FILE or NAME=FILE: .npy, .npz; may be given again.")
    ] = None,
    names: Annotated[Path | None, typer.Option(help="Class names, one per line: line i for row i of --text.")] = None,
    label: Label = "label",
    unseen_val: UnseenVal = None,
    unseen_test: UnseenTest = None,
    train: Train = None,
    val: Val = None,
    test: Test = None,
    group_disjoint: GroupDisjoint = False,
    skip_unknown: Annotated[bool, typer.Option(help="Leave out features of clips that are not in the table.")] = False,
    overwrite: Overwrite = False,
    seed: Seed = None,
    shots: Shots = None,
    pairs: Pairs = False,
    antonyms: Antonyms = None,
    unlabelled: Unlabelled = None,
) -> None:
    """Make a dataset of features that you have as arrays; `avshot train` takes it as it is.

    Where the table has no column fold, the folds are drawn as `avshot dataset` draws them.
    """
    from avshot.cli.dataset import import_table

    amounts = {"train": train, "val": val, "test": test, "unseen_val": unseen_val, "unseen_test": unseen_test}
    rule = _pair_rule(amounts, unlabelled, seed) if pairs else _plain_rule(unlabelled, group_disjoint, seed, **amounts)
    options: dict[str, Any] = {"label": label, "rule": rule, "skip_unknown": skip_unknown, "overwrite": overwrite}
    options |= {"shots": shots, "pairs": pairs, "antonyms": antonyms}
    import_table(table, out, {"audio": audio, "visual": visual}, text or [], names, **options)
