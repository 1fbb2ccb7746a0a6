"""What the dataset of a table is, in a sentence: whoever reads the table elsewhere knows neither it nor its name."""

from __future__ import annotations

from avshot.bench.trainings import Block
from avshot.run import Run


def first_run(block: Block) -> Run | None:
    """The first Run there is: what all Runs of a block share is read from it."""
    return next((line.runs[0] for line in block.lines if line.runs), None)


def about_data(block: Block) -> str:
    """What the dataset of a block is, as a sentence: what kind, how many clips and classes, which features."""
    run = first_run(block)
    if run is None:
        return f"{block.name}: no Run is finished."
    released = run.experiment.dataset.startswith("official:")
    kind = f"simulated features in place of {block.benchmark}" if block.simulated else "own data"
    parts = ["a released benchmark" if released else kind, *_counts(run)]
    made = [spec.get("name") for spec in run.info["features"].values() if isinstance(spec, dict)]
    parts += [f"features {' and '.join(map(str, filter(None, made)))}"] if any(made) else []
    return f"{block.name}: {'; '.join(parts)}."


def _counts(run: Run) -> list[str]:
    """Clips and classes that a Run was trained and tested on."""
    knows, test = run.info["knows"], run.scored("test")
    trained = [] if knows is None else [f"trained on {knows['clips']:,} clips of {knows['classes']} classes"]
    if test is None:
        return [*trained, "no test clips"]
    names = zip(run.task.kinds, (True, False), strict=True)
    kinds = ((name, test.labels[test.seen[test.labels] == seen]) for name, seen in names)
    tested = [f"{len(of_kind):,} clips of {len(of_kind.unique())} {name}" for name, of_kind in kinds if len(of_kind)]
    draws = f" (the first of {len(run.draws)} draws)" if len(run.draws) > 1 else ""
    return [*trained, f"tested on {' and '.join(tested)} classes{draws}"]
