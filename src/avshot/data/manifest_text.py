"""The text of a declared dataset's `.toml`: what is stated in it, and the digest of the rule behind its folds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from avshot.data.split import Split, SplitRule

_COMMENTS = {
    "unseen": [
        "# All clips of these labels are in val_unseen or test_unseen (at most `cap` of each label, where stated).",
        "# Stage 1 trains on train; stage 2 on train + val_seen + val_unseen, so val labels are seen in the test.",
    ],
    "split": [
        "# Clips of each seen label: a count, or a fraction such as 0.15; train takes the rest where not stated."
    ],
    "compositions": [
        "# Share of pairs that no training clip has, and of their clips that are unlabelled (the others are tested);",
        "# share of the clips of other pairs that are tested and that select.",
    ],
    "antonyms": ["# Adverbs and their opposites."],
    "text": ["# Class vectors that came with the features: name of their text encoder = file."],
}


def stated_rule(split: Split, rule: SplitRule) -> dict[str, dict[str, Any]]:
    """The sections `unseen` and `split`: what was drawn, and by which rule."""
    unseen = {"val": list(split.unseen_val), "test": list(split.unseen_test)}
    amounts = {key: getattr(rule, key) for key in ("train", "val", "test", "group_disjoint", "seed")}
    return {"unseen": unseen | _drawn(rule), "split": present(amounts)}


def manifest_toml(
    head: Mapping[str, Any],
    stated: Mapping[str, Mapping[str, Any]],
    phrases: Mapping[str, str],
    text: Mapping[str, str],
    command: str,
    antonyms: Mapping[str, str] | None = None,
) -> str:
    """The file as text.

    Args:
        head: What stands above all sections.
        stated: Sections of the rule.
        phrases: `{class: words}` where they differ.
        text: `{text encoder: file of its class vectors}`; empty for none.
        command: What makes such a dataset: "avshot dataset".
        antonyms: Of the adverbs of pairs, both ways.
    """
    lines = [
        "# A dataset for avshot. The fold of each clip is in the table named under `folds`; the rule below made it.",
        f"# To split differently, declare the dataset again with `{command}`.",
        '# Features: the folder <this file without .toml>.features, or add a line  features = "folder or URL".',
        *(f"{key} = {_value(value)}" for key, value in head.items()),
    ]
    once = {a: b for a, b in sorted((antonyms or {}).items()) if a < b}
    free = {"text": text, "antonyms": once}  # sections whose keys are any text
    for section, content in {**stated, **{name: found for name, found in free.items() if found}}.items():
        lines += ["", *_COMMENTS.get(section, []), f"[{section}]"]
        lines += [f"{_value(key) if section in free else key} = {_value(value)}" for key, value in content.items()]
    lines += [
        "",
        "# The words that stand for a class when its name is embedded, where they differ from the name.",
        "[phrases]",
    ]
    lines += [f"{_value(label)} = {_value(words)}" for label, words in sorted(phrases.items())]
    return "\n".join(lines) + "\n"


def rule_digest(stated: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits by which an edited rule is noticed."""
    return hashlib.sha256(json.dumps(stated, sort_keys=True, default=str).encode()).hexdigest()[:12]


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without the values that are None: TOML has no such thing."""
    return {key: value for key, value in values.items() if value is not None}


def _value(value: Any) -> str:
    """A TOML value. JSON strings are TOML strings, but for DEL, which TOML wants escaped."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _drawn(rule: SplitRule) -> dict[str, Any]:
    """How the unseen labels came about, where they were not named, and the cap on their clips."""
    asked = {"val_drawn": rule.unseen_val, "test_drawn": rule.unseen_test}
    found: dict[str, Any] = {key: amount for key, amount in asked.items() if not isinstance(amount, tuple)}
    return found | present({"cap": rule.unseen_cap})
