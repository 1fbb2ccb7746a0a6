"""The table of adverbs on rendered manners: every method, pairs that train beside unseen compositions, three seeds.

One command makes the whole table and resumes where it was stopped; another bench file, another table:

    python benchmarks/rendered_adverbs.py --out results/rendered-adverbs --jobs 2
    python benchmarks/rendered_adverbs.py --rows experiments/regada-table-6.4.toml --out results/rendered-6.4 --jobs 2

The world is that of `avshot demo --task adverb`: 50 pairs of 20 clips, 26 of them unseen by the rule of the benchmark,
and its features.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from adverb_table import print_sides

from avshot.files.atomic import save_text

ROWS = Path(__file__).parent.parent / "experiments" / "adverb-all-methods.toml"


def main() -> None:
    """Render, extract, train, print the table."""
    from avshot.cli.bench import run_bench
    from avshot.cli.demo_adverbs import prepare_manners

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/rendered-adverbs"))
    parser.add_argument("--rows", type=Path, default=ROWS, help="bench file")
    parser.add_argument("--methods", default="", help="only these methods of it, comma-separated")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--clips", type=int, default=20, help="of each pair")
    parser.add_argument("--difficulty", type=float, default=0.2)
    parser.add_argument("--world-seed", type=int, default=0, help="of the clips, and of which pairs are unseen")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    toml = prepare_manners(
        options.out / "manners", clips=options.clips, difficulty=options.difficulty, seed=options.world_seed
    )
    run_bench(
        options.rows,
        options.out,
        datasets=[str(toml)],
        seeds=[int(seed) for seed in options.seeds.split(",")],
        methods=[name for name in options.methods.split(",") if name],
        jobs=options.jobs,
    )
    save_text(options.out / "sides.md", print_sides(options.out / toml.stem))


if __name__ == "__main__":
    main()
