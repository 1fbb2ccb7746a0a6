"""Published numbers, to stand beside ours where the dataset is a published one. Data: published.csv, with sources."""

from __future__ import annotations

import csv
from importlib.resources import files


def published(dataset: str) -> list[dict[str, str]]:
    """Rows of published results in percent on `dataset` (`ucf-cls`, `vggsound-main`, ...); empty for any other name.

    Case does not matter; `-legacy` (class vectors joined as the authors' code does) is the same benchmark.

    `selected_on` says what chose epoch and calibration where the paper or its code says so. Numbers whose selection is
    unstated or was on test must not be ranked against ours. `note` says where a printed number is odd (numbers stand as
    printed: an HM that S and U do not give is a misprint of one of the three), else it is empty.
    """
    text = files("avshot.report").joinpath("published.csv").read_text(encoding="utf-8")
    return [
        row for row in csv.DictReader(text.splitlines()) if row["dataset"] == dataset.lower().removesuffix("-legacy")
    ]
