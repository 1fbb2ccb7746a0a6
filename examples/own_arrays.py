"""Features that you have as arrays become a dataset, and a method is trained and tested on it.

Run: python examples/own_arrays.py
"""

import tempfile
from pathlib import Path

import numpy as np

from avshot.classes.named_vectors import read_named_vectors
from avshot.data.import_arrays import import_arrays
from avshot.experiment import Experiment
from avshot.protocol import run

NAMES = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("dog", "bell", "drum")]


def main() -> None:
    work, draw = Path(tempfile.mkdtemp(prefix="own-arrays-")), np.random.default_rng(0)
    colours, things = draw.normal(size=(2, 3, 16))  # made-up numbers stand in for your features and class vectors
    told, labels = (colours[:, None] + things).reshape(9, 16), np.arange(180) % 9
    np.save(work / "a.npy", told[labels] @ draw.normal(size=(16, 12)) + 0.3 * draw.normal(size=(180, 12)))
    np.save(work / "v.npy", told[labels] @ draw.normal(size=(16, 20)) + 0.3 * draw.normal(size=(180, 20)))
    np.save(work / "t.npy", told)
    (work / "names.txt").write_text("\n".join(NAMES))
    (work / "clips.csv").write_text("id,label\n" + "".join(f"clip{i},{NAMES[k]}\n" for i, k in enumerate(labels)))

    arrays = {"audio": work / "a.npy", "visual": work / "v.npy"}
    text = {"own": read_named_vectors(work / "t.npy", work / "names.txt")}
    found = import_arrays(work / "clips.csv", work / "own.toml", arrays, text=text)
    print({fold: len(clips) for fold, clips in found.dataset.folds.items()}, found.warnings)
    trained = run(Experiment(dataset=str(found.path), method="eszsl"), work / "run")
    print("classes without a training clip:", *found.dataset.classes_of("test_unseen"), sep=" | ")
    print(f"ZSL {100 * trained.metrics['ZSL']:.0f} %, HM {100 * trained.metrics['HM']:.0f} %")


if __name__ == "__main__":
    main()
