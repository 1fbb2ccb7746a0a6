"""Two methods, two seeds, one table: the two-stage protocol on rendered videos, and the report.

Run: python examples/zero_shot_table.py
"""

import tempfile
from pathlib import Path

from avshot import Experiment, load_dataset
from avshot.bench.sweep import sweep
from avshot.data.manifest import features_path
from avshot.data.rendered.world import Roster, render_world
from avshot.features.extract import extract
from avshot.report.page import write_page
from avshot.report.rows import summarise, table
from avshot.terminal.tables import markdown

COLOURS, SOUNDS = ("red", "blue", "green"), ("drumming", "whistling", "beeping")
NAMES = {(c, s): f"{c} sliding {s}" for c in COLOURS for s in SOUNDS}
TEST, VAL = (NAMES["blue", "whistling"], NAMES["green", "drumming"]), (NAMES["red", "beeping"],)
SEEN = tuple(name for name in NAMES.values() if name not in TEST + VAL)


def main() -> None:
    work = Path(tempfile.mkdtemp(prefix="zero-shot-table-"))
    toml = render_world(work / "world", classes=Roster(SEEN, VAL, TEST), clips_per_class=6, difficulty=0.1, seconds=1.0)
    extract(load_dataset(str(toml)).clips, features_path(toml), audio="logmel", visual="pixels")
    recipe = {"epochs": 4, "batches_per_epoch": 15, "batch_size": 24}
    asked = [Experiment(dataset=str(toml), method=m, seed=s, recipe=recipe) for m in ("devise", "gru") for s in (0, 1)]
    runs = sweep(asked, work / "runs").runs()
    print(markdown(*table(summarise(runs))))
    write_page(runs, work / "runs" / "report.html")
    print(f"S, U: seen and unseen classes. The page with figures is {work / 'runs' / 'report.html'}")


if __name__ == "__main__":
    main()
