"""Published numbers, to stand beside ours where the dataset is a published one. Data: published*.csv, with sources."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

# Zero-shot learning: S, U, HM, ZSL; few-shot learning: B, N, HM, FSL; adverbs: mAP W, mAP M, Acc-A, Acc-A cls.
_FILES = ("published.csv", "published_few.csv", "published_adverbs.csv")


def published(dataset: str) -> list[dict[str, str]]:
    """Rows of published results in percent on `dataset` (`ucf-cls`, `ucf-fsl-5`, `air`, ...); empty for any other name.

    Case does not matter; `-legacy` (class vectors joined as the authors' code does) is the same benchmark.

    `selected_on` says what chose epoch and calibration where the paper or its code says so. Numbers whose selection is
    unstated or was on test must not be ranked against ours. `note` says where a printed number is odd (numbers stand as
    printed: an HM that the two accuracies do not give is a misprint of one of the three), else it is empty.
    """
    wanted = dataset.lower().removesuffix("-legacy")
    return [dict(row) for name in _FILES for row in _rows(name) if row["dataset"] == wanted]


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    text = files("avshot.report").joinpath(name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
