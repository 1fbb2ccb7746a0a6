"""Recognise audio-visual events in video with little or no training data: name the classes in words.

The names below are a promise: they change only with a note in CHANGELOG.md. Importing avshot itself loads none of the
heavy libraries; each name loads what it needs when it is first used. What goes on is told to the logger "avshot", which
is silent unless a program listens to it.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from avshot.machine.versions import __version__ as __version__

logging.getLogger("avshot").addHandler(logging.NullHandler())

_HOME = {
    "AvshotError": "errors",
    "BadClassName": "errors",
    "BadDataset": "errors",
    "BadMedia": "errors",
    "BadSetting": "errors",
    "Batch": "types",
    "Classes": "types",
    "Clip": "types",
    "DamagedRun": "errors",
    "Experiment": "experiment",
    "Failed": "prediction.batch",
    "Features": "types",
    "Inputs": "method",
    "Method": "method",
    "MissingFile": "errors",
    "Prediction": "prediction.prediction",
    "Recognizer": "recognizer",
    "Task": "task",
    "TooLarge": "errors",
    "WrongRun": "errors",
    "create_method": "registry",
    "find": "finding.api",
    "list_methods": "registry",
    "list_tasks": "task",
    "load_dataset": "data.load",
    "load_official": "registry",
    "load_run": "run",
    "recognise": "finding.api",
    "run_experiment": "protocol:run",
    "use_code": "registry",
}
__all__ = [
    "AvshotError",
    "BadClassName",
    "BadDataset",
    "BadMedia",
    "BadSetting",
    "Batch",
    "Classes",
    "Clip",
    "DamagedRun",
    "Experiment",
    "Failed",
    "Features",
    "Inputs",
    "Method",
    "MissingFile",
    "Prediction",
    "Recognizer",
    "Task",
    "TooLarge",
    "WrongRun",
    "create_method",
    "find",
    "list_methods",
    "list_tasks",
    "load_dataset",
    "load_official",
    "load_run",
    "recognise",
    "run_experiment",
    "use_code",
]

if TYPE_CHECKING:
    from avshot.data.load import load_dataset
    from avshot.errors import (
        AvshotError,
        BadClassName,
        BadDataset,
        BadMedia,
        BadSetting,
        DamagedRun,
        MissingFile,
        TooLarge,
        WrongRun,
    )
    from avshot.experiment import Experiment
    from avshot.finding.api import find, recognise
    from avshot.method import Inputs, Method
    from avshot.prediction.batch import Failed
    from avshot.prediction.prediction import Prediction
    from avshot.protocol import run as run_experiment
    from avshot.recognizer import Recognizer
    from avshot.registry import create_method, list_methods, load_official, use_code
    from avshot.run import load_run
    from avshot.task import Task, list_tasks
    from avshot.types import Batch, Classes, Clip, Features


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'avshot' has no attribute {name!r}")
    module, _, there = _HOME[name].partition(":")
    return getattr(import_module(f"avshot.{module}"), there or name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
