"""A Run that trains in a second, for tests of what surrounds the training."""

from avshot.experiment import Experiment

SMALL = {"epochs": 3, "batches_per_epoch": 4, "passes_per_epoch": 0, "batch_size": 16, "lr": 1e-2}
GRID = {"beta_grid": "avca"}


def experiment(**changes):
    return Experiment(**{"dataset": "in memory", "method": "devise", "recipe": SMALL, "selection": GRID, **changes})
