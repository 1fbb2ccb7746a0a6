"""The table on real media: 800 GRID clips, sixteen "command colour" labels, four of them never seen.

One command makes the whole table and resumes where it was stopped:

    AVSHOT_DATA=<folder with grid/> python benchmarks/grid.py --out results/grid --jobs 2

Validation and test labels, clips per label and protocol are fixed here; the rows are those of
`experiments/all-methods.toml`, or of another bench file.
The data: GRID corpus (Cooke et al., JASA 2006), https://zenodo.org/records/3625687, one speaker, re-encoded.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

UNSEEN_VAL = ("bin red", "place green", "set white")
UNSEEN_TEST = ("bin green", "lay red", "place white", "set blue")
AUDIO, VISUAL = "logmel", "pixels"
ROWS = Path(__file__).parent.parent / "experiments" / "all-methods.toml"


def main() -> None:
    """Declare, extract, train, print the table."""
    from avshot.cli.bench import run_bench

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/grid"))
    parser.add_argument("--rows", type=Path, default=ROWS, help="bench file")
    parser.add_argument("--methods", default="", help="only these methods of it, comma-separated")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    run_bench(
        options.rows,
        options.out,
        datasets=[str(prepare(options.out))],
        seeds=[int(seed) for seed in options.seeds.split(",")],
        methods=[name for name in options.methods.split(",") if name],
        jobs=options.jobs,
    )


def prepare(out: Path) -> Path:
    """Declare the dataset in `out` and extract its features, where they are not there yet; returns its `.toml`."""
    from avshot.cli.extract import extract_source
    from avshot.data.manifest import declare
    from avshot.data.split import SplitRule

    data = os.environ.get("AVSHOT_DATA")
    if not data or not Path(data, "grid", "labels.csv").exists():
        sys.exit("Set AVSHOT_DATA to a folder that holds grid/labels.csv and grid/clips/*.mp4.")
    out.mkdir(parents=True, exist_ok=True)
    toml = out / "grid.toml"
    rule = SplitRule(train=36, val=6, test=8, unseen_val=UNSEEN_VAL, unseen_test=UNSEEN_TEST, seed=0)
    declare(Path(data, "grid", "labels.csv"), toml, rule=rule, media=Path(data, "grid", "clips"))
    extract_source(toml, None, audio=AUDIO, visual=VISUAL, workers=None)
    return toml


if __name__ == "__main__":
    main()
