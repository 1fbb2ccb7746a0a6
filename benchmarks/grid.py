"""The table on real media: 800 GRID clips, sixteen "command colour" labels, four of them never seen.

One command makes the whole table and resumes where it was stopped:

    AVSHOT_DATA=<folder with grid/> python benchmarks/grid.py results/grid --jobs 2

Validation and test labels, clips per label and protocol are fixed here; methods, seeds and modalities are options.
The data: GRID corpus (Cooke et al., JASA 2006), https://zenodo.org/records/3625687, one speaker, re-encoded.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

UNSEEN_VAL = ("bin red", "place green", "set white")
UNSEEN_TEST = ("bin green", "lay red", "place white", "set blue")


def main() -> None:
    """Declare, extract, train, report."""
    from avshot.commands import extract_source, train_grid
    from avshot.data.manifest import declare
    from avshot.data.split import SplitRule

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--methods", default="gru,ez_avgzl,tcaf,avca,devise")
    parser.add_argument("--modalities", default="both,audio,visual")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    data = os.environ.get("AVSHOT_DATA")
    if not data or not Path(data, "grid", "labels.csv").exists():
        sys.exit("Set AVSHOT_DATA to a folder that holds grid/labels.csv and grid/clips/*.mp4.")
    options.out.mkdir(parents=True, exist_ok=True)
    toml = options.out / "grid.toml"
    rule = SplitRule(train=36, val=6, test=8, unseen_val=UNSEEN_VAL, unseen_test=UNSEEN_TEST, seed=0)
    declare(Path(data, "grid", "labels.csv"), toml, rule=rule, media=Path(data, "grid", "clips"))
    extract_source(toml, None, audio=AUDIO, visual=VISUAL, workers=None)
    axes = {
        "method": options.methods.split(","),
        "modality": options.modalities.split(","),
        "seed": [int(seed) for seed in options.seeds.split(",")],
    }
    train_grid({"dataset": str(toml)}, axes, options.out / "runs", jobs=options.jobs)


AUDIO, VISUAL = "logmel", "pixels"

if __name__ == "__main__":
    main()
