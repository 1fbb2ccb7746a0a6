"""Whether a method can be trained on a dataset: found out before any training, without memory for its weights."""

from __future__ import annotations

import os

import torch

from avshot.classes.candidates import class_embeddings
from avshot.data.dataset import Dataset
from avshot.experiment import Experiment
from avshot.method import Inputs, build_method
from avshot.registry import get_method
from avshot.types import Classes

_COPIES = 4  # weights, their gradients, and two averages of Adam
_BYTES = 4  # of a number


def why_not(experiment: Experiment, dataset: Dataset, classes: Classes | None = None) -> str | None:
    """Why a method cannot be trained on a dataset, or None when its inputs fit.

    Only sizes, modalities and memory are looked at: the method is built without memory for its weights.

    Args:
        experiment: What is asked.
        dataset: Has features and training clips.
        classes: Some embedded classes; None embeds one.
    """
    try:
        classes = class_embeddings(dataset, experiment, dataset.names[:1]) if classes is None else classes
        inputs = Inputs.of(dataset.gather(dataset.folds["train"][:1]), classes)
        with torch.device("meta"):
            model = build_method(
                get_method(experiment.method), experiment.resolved_config(), inputs, experiment.modality
            )
    except ValueError as error:
        return str(error)
    except (RuntimeError, OverflowError, MemoryError) as error:  # sizes beyond all bounds
        return f"Method {experiment.method!r} cannot be built with these settings: {_first_line(error)}."
    needed = _COPIES * _BYTES * sum(parameter.numel() for parameter in model.parameters())
    if experiment.device == "cpu" and needed > (memory := _memory()):
        return (
            f"Method {experiment.method!r} with these settings needs {needed / 1e9:.0f} GB of memory to train; this "
            f"machine has {memory / 1e9:.0f} GB. Choose smaller sizes."
        )
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")


def _memory() -> float:
    """Bytes of this machine; no bound where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")
