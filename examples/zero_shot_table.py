"""Two methods, two seeds, one table: the two-stage protocol on rendered videos, and the report.

Run: python examples/zero_shot_table.py
"""

import tempfile
from pathlib import Path

from avshot.cli.extract import extract_source
from avshot.cli.train import train_grid
from avshot.data.rendered.world import Roster, render_world

COLOURS, SOUNDS = ("red", "blue", "green"), ("drumming", "whistling", "beeping")
NAMES = {(c, s): f"{c} sliding {s}" for c in COLOURS for s in SOUNDS}
TEST, VAL = (NAMES["blue", "whistling"], NAMES["green", "drumming"]), (NAMES["red", "beeping"],)
SEEN = tuple(name for name in NAMES.values() if name not in TEST + VAL)


def main() -> None:
    work = Path(tempfile.mkdtemp(prefix="zero-shot-table-"))
    toml = render_world(work / "world", classes=Roster(SEEN, VAL, TEST), clips_per_class=6, difficulty=0.1, seconds=1.0)
    extract_source(toml, None, audio="logmel", visual="pixels", workers=None)
    train_grid(
        {"dataset": str(toml), "recipe": {"epochs": 4, "batches_per_epoch": 15, "batch_size": 24}},
        {"method": ["devise", "gru"], "seed": [0, 1]},
        work / "runs",
    )
    print(f"S, U: seen and unseen classes. The page with figures is {work / 'runs' / 'report.html'}")


if __name__ == "__main__":
    main()
