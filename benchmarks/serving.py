"""Many videos through one Predictor: threads beside one after the other, and what lists of class names cost."""

from __future__ import annotations

import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

from measure import Target, interleaved, keep, options

from avshot.data.load import load_dataset
from avshot.data.rendered.world import Roster, render_world
from avshot.experiment import Experiment
from avshot.features.extract import extract
from avshot.prediction.predictor import Predictor
from avshot.protocol import run as train
from avshot.run import load_run
from avshot.terminal.tables import print_table

SEEN = ("red growing ringing", "blue sliding drumming", "red growing drumming", "blue sliding ringing")
WORKERS = 2
GAIN = 1.6  # two threads beside one, on two free cores
RECIPE = {"epochs": 1, "batches_per_epoch": 4, "passes_per_epoch": 0}
KINDS = {
    "devise": {"method": "devise"},
    "devise, optimised": {"method": "devise", "optimise_classes": True},
    "f_vaegan_d2": {"method": "f_vaegan_d2"},
}
LISTS = (["dog barking", "rain"], ["church organ", "thunder"], ["typing", "waves"], ["siren", "applause"])


def run() -> list[Target]:
    """Ratios of works in turn; the lists once each, for the first one loads the text encoder."""
    with tempfile.TemporaryDirectory() as folder:
        clips, made = _prepared(Path(folder), 10 if options.quick else 30)
        predictor = Predictor(load_run(made["devise"]))
        expected = [predictor.predict(clip) for clip in clips]
        works = {
            "predict, one by one": lambda: [predictor.predict(clip) for clip in clips],
            f"predict_many, {WORKERS} threads": lambda: list(predictor.predict_many(clips, workers=WORKERS)),
        }
        if list(predictor.predict_many(clips, workers=WORKERS)) != expected:
            raise RuntimeError("predict_many does not answer as predict does.")
        load = os.getloadavg()[0]  # of others: threads gain nothing where no core is free
        seconds = interleaved(works, 3 if options.quick else 7)
        lists = {name: _lists(path) for name, path in made.items()}
    one, many = seconds.values()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    target = Target(f"predict_many, {WORKERS} threads beside one", one / many, GAIN)
    rows = [[name, f"{len(clips) / value:.1f}", f"{one / value:.2f} x"] for name, value in seconds.items()]
    print_table(
        f"{len(clips)} clips of 2 s; peak {peak:.0f} MB; load of the machine before {load:.1f}",
        ["", "clips/s", ""],
        rows,
    )
    cells = [[name, *(f"{1000 * value:.0f}" for value in found)] for name, found in lists.items()]
    print_table("a list of class names, ms", ["Run", "first list", "a new list", "a known list"], cells)
    keep("serving", {"seconds": seconds, "peak_mb": peak, "load": load, "lists": lists})
    return [target]


def _prepared(folder: Path, count: int) -> tuple[list[str], dict[str, Path]]:
    """Clips, and a Run of each kind."""
    roster = Roster(SEEN, (), ("red sliding drumming",))
    toml = render_world(folder / "world", classes=roster, clips_per_class=10, seconds=2.0, workers=1)
    clips = load_dataset(str(toml)).clips
    extract(clips, folder / "world" / "world.features", workers=1)
    made = {name: folder / name for name in KINDS}
    for name, changes in KINDS.items():
        train(Experiment(dataset=str(toml), recipe=RECIPE, **changes), made[name])
    return [clip.path for clip in clips[:count]], made


def _lists(path: Path) -> tuple[float, float, float]:
    """Seconds of the first list, of a further one (median), and of one that is ready."""
    predictor = Predictor(load_run(path))
    times = []
    for names in (*LISTS, LISTS[0]):
        started = time.perf_counter()
        predictor.classes(names)
        times.append(time.perf_counter() - started)
    return times[0], statistics.median(times[1:-1]), times[-1]
