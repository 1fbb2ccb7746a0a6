"""A Run: the folder in which one training ends up, and the only thing reports and prediction read.

```
run/
  experiment.yaml       everything that was asked for, resolved
  run.json              what was chosen (epoch, calibration, by which fold), inputs, versions, data fingerprint, times,
                        what the Run depends on, and the digest of every other file that is read
  weights.safetensors   the method after stage 2
  classes.safetensors   candidate classes of stage 2: embeddings as used (text/) and as the encoder gave them (raw/)
  scores.safetensors    scores [clip, class], labels and seen flags of validation (stage 1) and test (stage 2)
  familiar.safetensors  what clips were like: pooled features of training, scores of each class and each taught one
  embeddings.safetensors  test clips: pooled input features, and what the method embedded them to where it can
  metrics.json          the task's metrics on test as validation calibrated it: S, U, HM, ZSL, AUSUC for gzsl
  history.json          losses and validation scores per epoch, per stage
  key.json              what the Run depends on, written when the folder is claimed
  README.md             model card
```
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from avshot.classes.factors import read_factors
from avshot.errors import DamagedRun, MissingFile, WrongRun, told_as
from avshot.experiment import Experiment, Parts, parse_experiment, resolve
from avshot.files.atomic import file_digest, load_tensors
from avshot.files.run_record import check_file, read_history, read_metrics, read_record
from avshot.files.text import read_text
from avshot.machine.draws import sole_draws
from avshot.machine.python_file import is_python_file, was_named
from avshot.method import Inputs, Method, build_method
from avshot.settings import as_recorded
from avshot.task import Scored, Task, get_task
from avshot.types import Classes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A finished Run read from its folder (see the module's docstring).

    Every file is compared with its digest when it is read: what was changed or damaged since the training is a
    ValueError that names the file, a folder that has gone a FileNotFoundError.

    Attributes:
        path: The folder.
        experiment: What was asked.
        info: Content of `run.json`.
        metrics: Content of `metrics.json`; its values are None where the dataset has no test clips.
        keeps: What must not go before this Run does: the temporary folder that it lies in.
    """

    path: Path
    experiment: Experiment
    info: dict[str, Any]
    metrics: dict[str, Any]
    keeps: object = field(default=None, repr=False, compare=False)

    @cached_property
    def task(self) -> Task:
        """What it was trained and tested for. Raises ValueError where its file is not what it was."""
        self._check_source("task")
        return get_task(self.experiment.task, self.experiment.task_config)

    @cached_property
    def parts(self) -> Parts:
        """What the names of its experiment stand for, and the method's settings as they were when it was trained.

        Raises ValueError where a method's file is not what it was.
        """
        for what in ("method", "task"):
            _refuse_code(self.path / "experiment.yaml", self.experiment, what)
        asked = self.experiment
        if asked.descriptions == "released" and self.info["descriptions"] is not None:
            # It keeps what it read, so that it opens where the benchmark is not.
            asked = asked.model_copy(update={"descriptions": str(self.path / "run.json")})
        parts, then = resolve(asked), self.info["resolved"].get("config")
        return parts if then is None else replace(parts, config=as_recorded(parts.config, then))

    @property
    def settings(self) -> dict[str, Any]:
        """What the task let validation choose: `view`, and for gzsl `beta`."""
        return dict(self.info["chosen"]["settings"])

    @property
    def beta(self) -> float:
        """Calibration subtracted from the scores of seen classes; 0 for tasks that have none."""
        return float(self.settings.get("beta", 0.0))

    @property
    def temperature(self) -> float:
        """Divides calibrated scores before the softmax."""
        return float(self.info["chosen"]["temperature"])

    @property
    def view(self) -> str:
        """The modality that scores go by where a clip has it: "both", "audio" or "visual" (chosen on validation)."""
        return str(self.settings.get("view", "both"))

    @property
    def shown(self) -> str:
        """What the method was shown: "both", or the modality that was asked for, or the only one training clips had."""
        return str(self.info["shown"] or self.experiment.modality)  # Runs of avshot 0.1 do not say

    @property
    def inputs(self) -> Inputs:
        """Sizes the method was built for."""
        told = self.info["inputs"]
        factors = {name: tuple(values) for name, values in told["factors"].items()}
        return Inputs(**{**told, "classes": tuple(told["classes"]), "factors": factors})

    def method(self, device: str = "cpu") -> Method:
        """The trained method in eval mode."""
        weights, parts = self._tensors("weights.safetensors"), self._unchanged()
        try:
            with sole_draws():  # of the weights that are replaced in a moment
                model = build_method(parts.method, parts.config, self.inputs)
            model.load_state_dict(weights)
        except (ValueError, RuntimeError, MemoryError) as error:
            first = " ".join(str(error).split())
            raise DamagedRun(
                f"{self.path / 'weights.safetensors'} does not fit the method that experiment.yaml and run.json "
                f"describe ({first[:300]}); train again."
            ) from None
        return model.to(device).eval()

    def _unchanged(self) -> Parts:
        """The parts, if the files that the experiment names are those of the training."""
        for kind in self.info["sources"]:
            self._check_source(kind)
        return self.parts

    def _check_source(self, kind: str) -> None:
        """Raise ValueError where the file of the "method" or "task" is not that of the training."""
        file, digest = Path(getattr(self.experiment, kind)), self.info["sources"].get(kind)
        if digest is not None and not (file.is_file() and file_digest(file) == digest):
            raise ValueError(
                f"The Run in {self.path} was trained with the {kind} in {file}, which "
                f"{'has changed since' if file.is_file() else 'is not there'}; {self.path / f'{kind}.py'} holds "
                "its text of then: put that back there to use the Run, or train again."
            )

    def classes(self, *, raw: bool = False) -> Classes:
        """Candidate classes of stage 2 with the embeddings the method used, or with the encoder's own (`raw`)."""
        tensors, prefix = self._tensors("classes.safetensors"), "raw/" if raw else "text/"
        names, seen = tuple(self.info["classes"]), tensors.get("seen")
        text = {encoder: tensors.get(f"{prefix}{encoder}") for encoder in self.info["encoders"]}
        widths = self.info["inputs"]["text"]
        fits = all(v is not None and tuple(v.shape) == (len(names), widths[k]) for k, v in text.items())
        if seen is None or seen.dtype != torch.bool or tuple(seen.shape) != (len(names),) or not fits:
            raise self._unfit("classes.safetensors", f"the {len(names)} classes")
        try:
            factors = read_factors(tensors, self.info["factors"], len(names))
        except ValueError:
            raise self._unfit("classes.safetensors", "the factors of the classes") from None
        return Classes(names, {key: value for key, value in text.items() if value is not None}, seen, factors)

    def scored(self, part: str) -> Scored | None:
        """Scores of the validation ("val") or test ("test") clips; None where there were none.

        A task with several draws has "test2", "test3" and so on, too.
        """
        if part not in self.info["scored"]:
            return None
        tensors, about = self._tensors("scores.safetensors"), self.info["scored"][part]
        names, ids = tuple(about["names"]), tuple(about["ids"])
        scores, labels, seen = (tensors.get(f"{part}/{key}") for key in ("scores", "labels", "seen"))
        if scores is None or labels is None or seen is None:
            raise self._unfit("scores.safetensors", f"the part {part!r}")
        fits = tuple(scores.shape) == (len(ids), len(names)) and tuple(seen.shape) == (len(names),)
        if not fits or tuple(labels.shape) != (len(ids),) or seen.dtype != torch.bool or labels.dtype != torch.int64:
            raise self._unfit("scores.safetensors", f"the {len(ids)} clips and {len(names)} classes of {part!r}")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(names):
            raise self._unfit("scores.safetensors", f"the {len(names)} classes of {part!r}")
        counts = tensors.get(f"{part}/counts")
        if counts is not None and tuple(counts.shape) != (len(names),):
            raise self._unfit("scores.safetensors", f"the {len(names)} classes of {part!r}")
        there = self.classes() if self.info["factors"] else None
        factors = there.select(names).factors if there is not None and set(names) <= set(there.names) else {}
        return Scored(scores, labels, seen, names, ids, factors, counts)

    @property
    def draws(self) -> tuple[str, ...]:
        """The tested parts as `scored` knows them: "test", and of several draws "test2" and so on; maybe none."""
        return tuple(sorted(self.info["scored"].keys() - {"val"}, key=lambda part: (len(part), part)))

    def embeddings(self) -> dict[str, Tensor]:
        """Test clips as tensors: `audio`, `visual` (pooled inputs) and, where the method embeds, `clip`, `class`."""
        return self._tensors("embeddings.safetensors", optional=True)

    def familiar(self) -> dict[str, Tensor]:
        """What training clips were like (`avshot.prediction.novelty`); empty in a Run that is older than that file."""
        return self._tensors("familiar.safetensors", optional=True)

    def history(self) -> dict[str, Any]:
        """Losses and validation scores per epoch for "stage1" and "stage2"."""
        file = self.path / "history.json"
        check_file(file, self.info["files"])
        return read_history(file)

    def check(self) -> None:
        """Compare every file with its digest. Raises what reading the first one that differs would raise."""
        for name in self.info["files"]:
            check_file(self.path / name, self.info["files"])

    def _tensors(self, name: str, *, optional: bool = False) -> dict[str, Tensor]:
        """Tensors of a file; none where it is `optional` and the Run was written without it."""
        file, files = self.path / name, self.info["files"]
        if optional and name not in files and (files or not file.exists()) and self.path.is_dir():
            return {}
        check_file(file, files)
        with told_as(DamagedRun):
            tensors, _ = load_tensors(file)
        odd = [key for key, v in tensors.items() if v.is_floating_point() and not _sound(key, v)]
        if odd:
            raise DamagedRun(f"{file} holds values in {odd[0]!r} that are no finite numbers; train again.")
        return tensors

    def _unfit(self, name: str, what: str) -> DamagedRun:
        return DamagedRun(f"{self.path / name} does not fit {what} that run.json names; train again.")


def _sound(name: str, values: Tensor) -> bool:
    """All numbers are finite, but that scores are -inf where a class is not among the candidates of a clip."""
    finite = values.isfinite()
    return bool((finite | values.isneginf() if name.endswith("/scores") else finite).all())


def load_run(path: str | Path) -> Run:
    """Open a Run folder.

    Raises:
        ValueError: It is none, is unfinished, has a newer format, or one of the files read here is damaged or was
            changed; the message names the file.
    """
    path = Path(path)
    asked, record = path / "experiment.yaml", path / "run.json"
    if not asked.exists():
        kind = WrongRun if path.is_dir() else MissingFile
        raise kind(f"{path} is not a Run folder (it has no experiment.yaml); pass a folder made by `avshot train`.")
    if not record.exists():
        raise WrongRun(f"The Run in {path} is not finished; run the same `avshot train` command again to resume it.")
    info = read_record(record)
    check_file(asked, info["files"])
    check_file(path / "metrics.json", info["files"])
    experiment = read_experiment(asked)
    _refuse_code(asked, experiment, "task")  # a method is needed later, or never
    changed = Path(experiment.task).is_file() and info["sources"].get("task") not in (
        None,
        file_digest(experiment.task),
    )
    names = () if changed else get_task(experiment.task, experiment.task_config).metrics
    found = Run(path, experiment, info, read_metrics(path / "metrics.json", names))
    _log.info("Run %s loaded: %s, %d classes", path, experiment.method, len(info["classes"]))
    return found


def _refuse_code(file: Path, experiment: Experiment, what: str) -> None:
    """A Run may come from anybody: what it names as its method or task is run only if its user named that, too."""
    named = getattr(experiment, what)
    if is_python_file(named) and not was_named(Path(named)):
        raise WrongRun(
            f"{file} names as its {what} the file {named}, which is code. If you trust it, name it yourself: "
            f"--code {named} on the command line, avshot.use_code({named!r}) in Python."
        )


@told_as(DamagedRun)
def read_experiment(file: Path) -> Experiment:
    """Content of an `experiment.yaml`. Raises ValueError that names the file."""
    try:
        content = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, RecursionError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DamagedRun(f"{file} cannot be read ({reason[:200]}); it is damaged: train again.") from None
    try:
        found = parse_experiment(content)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    for kind in ("method", "task"):
        if is_python_file(found_as := str(content.get(kind, ""))) and not Path(found_as).is_absolute():
            raise DamagedRun(f"{file} names the {kind} {found_as}; expected the whole path, as avshot writes it.")
    return found


def find_runs(root: str | Path, *, skipped: Callable[[str], None] | None = None) -> list[Run]:
    """All finished Runs in or below `root` that can be read, sorted by path.

    Args:
        root: A folder.
        skipped: Called with a sentence for each finished Run that is damaged; None warns of it.
    """
    told = skipped or (lambda text: warnings.warn(text, stacklevel=3))
    runs = []
    for file in sorted(Path(root).rglob("run.json")):
        if not any((file.parent / name).exists() for name in ("experiment.yaml", "weights.safetensors")):
            continue  # some other program's
        try:
            run = load_run(file.parent)
            run._check_source("task")
            runs.append(run)
        except (ValueError, OSError) as error:
            told(f"a Run is left out: {error}")
    return runs
