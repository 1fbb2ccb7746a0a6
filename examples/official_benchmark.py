"""A released benchmark: check the folder for its traps, then run the protocol at its true class counts.

Run: python examples/official_benchmark.py [folder with UCF/class-split]
Without a folder only the second part runs, on simulated features: they are not the benchmark, they have its size.
"""

import sys
import tempfile
from pathlib import Path

from avshot import Experiment, load_dataset, run_experiment
from avshot.data.official.audit import audit
from avshot.report.rows import summarise, table
from avshot.terminal.tables import markdown


def main() -> None:
    if len(sys.argv) > 1:
        print(audit(sys.argv[1], "UCF").render())
        real = load_dataset(f"official:{sys.argv[1]}?name=UCF&split=cls")
        print({fold: len(real.classes_of(fold)) for fold in real.folds}, "classes, as released")
    spec = "simulated:ucf?scale=0.1&noise=2"
    data = load_dataset(spec)
    print({fold: len(data.classes_of(fold)) for fold in data.folds}, "classes, as simulated")
    asked = Experiment(dataset=spec, method="devise", recipe={"epochs": 3, "batches_per_epoch": 20, "batch_size": 64})
    run = run_experiment(asked, Path(tempfile.mkdtemp(prefix="official-benchmark-")) / "devise")
    print(markdown(*table(summarise([run]))))
    print("Numbers on simulated features say that the code runs at this size, nothing about a method.")


if __name__ == "__main__":
    main()
