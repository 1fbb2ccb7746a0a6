"""Teach a finished Run further classes from a few clips each: in seconds, without its training clips, and for good.

No weight moves. What the clips are like goes into a new Run folder, beside what the old one knew of its own classes
(`avshot.training.class_statistics`), and predictions put both together (`avshot.prediction.taught`).
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avshot.classes.names import refuse_alike, tidy
from avshot.data.sources import first_few
from avshot.errors import BadClassName, BadDataset, BadSetting, WrongRun
from avshot.files.atomic import save_tensors, save_text
from avshot.files.run_record import write_record
from avshot.prediction.forgetting import offset_of
from avshot.prediction.names import Names
from avshot.prediction.novelty import strangeness
from avshot.prediction.taught import Described, check_described
from avshot.run import Run, load_run
from avshot.runs.card import model_card
from avshot.types import MODALITIES, Classes, Features

# Share of the clips of trained classes that taught ones may take over, as far as a Run can tell. Really it may be more:
# with 0.01, labels of GRID lost 1.5 points of S in a rehearsal without test clips, with 0.02 they lost 2.5
# (docs/teaching.md).
LOSE = 0.01

_log = logging.getLogger(__name__)


def teach(
    run: Run,
    examples: Mapping[str, Features],
    folder: str | Path,
    *,
    replace: bool = False,
    lose: float = LOSE,
    device: str = "cpu",
) -> Run:
    """Write a Run that knows what `run` knows and the classes of `examples`; `run` stays as it is.

    A candidate of the Run that it knows from words alone is taught like a new name. One that it was trained on is
    refused: its clips have shaped the weights, so it takes a training to unlearn it.

    Args:
        run: A finished Run, taught before or not.
        examples: Class names, and of each the features of at least one clip, made by the Run's extractors.
        folder: New or empty.
        replace: Classes that the Run was taught before may be taught anew, from these clips alone.
        lose: The share of the clips of trained classes, from 0 to 1, that all taught classes together may take over, as
            far as the Run's statistics tell: 0.02 is two points of S. 1 weighs all classes alike, which is best for
            taught ones.
        device: torch device.

    Returns:
        The new Run.

    Raises:
        ValueError: The folder is not empty; a name that the Run was trained on, was taught (without `replace`), or that
            is given twice; no clips; features of other sizes; a Run without statistics of its classes; `lose` is none
            of these shares.
    """
    folder = check_place(folder)
    check_share(lose)
    names = check_new(run, list(examples), replace=replace)
    space = Described(run, run.method(device), device)
    new = _moments(run, space, {name: examples[asked] for asked, name in names.items()})
    classes = _embedded(run, list(new))
    told, familiar = _joined(run, new)
    text = _classes_of(run, classes, [one["name"] for one in told])
    familiar["taught/offset"] = offset_of(run, space, familiar, text, lose)
    _widen(familiar, run, examples.values())
    _write(run, folder, {"classes": classes, "familiar": familiar}, told)
    _log.info("%s: taught %s", folder, ", ".join(new))
    return load_run(folder)


def _joined(run: Run, new: Mapping[str, Mapping[str, Tensor]]) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """What `run.json` says of all taught classes, those taught before first, and what the Run keeps with theirs."""
    kept = [one for one in run.info["taught"] if one["name"] not in new]
    told = kept + [{"name": name, "clips": int(found["count"])} for name, found in new.items()]
    before = {one["name"]: i for i, one in enumerate(run.info["taught"])}
    familiar = run.familiar()
    for key in ("count", "mean", "scatter"):
        old = [familiar[f"taught/{key}"][before[one["name"]]] for one in kept]
        familiar[f"taught/{key}"] = torch.stack([*old, *(found[key] for found in new.values())])
    return told, familiar


def check_share(lose: float) -> None:
    """Raises ValueError for what is no share of clips."""
    if not 0 <= lose <= 1:  # also for no number
        raise BadSetting(f"lose is {lose}; expected a share from 0 to 1, for example 0.02 for two points of S.")


def check_place(folder: str | Path) -> Path:
    """The folder of a Run to be. Raises ValueError where something is in it."""
    folder = Path(folder)
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise WrongRun(f"{folder} is not empty; teach into a new folder.")
    return folder


def check_new(run: Run, given: Sequence[str], *, replace: bool = False) -> dict[str, str]:
    """`{name as given: name in the new Run}`. Raises ValueError for names that cannot be taught, and as `Described`."""
    count, known = check_described(run)["class/count"], {one["name"] for one in run.info["taught"]}
    names = Names(run)
    trained = {name for name, clips in zip(names.known.names, count.tolist(), strict=False) if clips}
    tidied = {name: tidy(name) for name in given}
    refuse_alike(list(tidied.values()))
    meant = dict(zip(tidied, names.meant(list(tidied.values())), strict=True))
    for asked, name in meant.items():
        if name in trained:
            raise BadClassName(
                f"{asked!r}: the Run in {run.path} was trained on clips of that class; train again with these clips "
                "among the others, or give the new class another name."
            )
        if name in known and not replace:
            raise BadClassName(
                f"{asked!r}: the Run in {run.path} was taught that class before; say that it is to be replaced by "
                "these clips, or give the new class another name."
            )
    if len(set(meant.values())) < len(meant):
        raise BadClassName(f"Names that mean one class of the Run: {first_few(sorted(meant))}; give its clips once.")
    return meant


def _moments(run: Run, space: Described, examples: Mapping[str, Features]) -> dict[str, dict[str, Tensor]]:
    """Of each class how many clips, their mean scores, and how far white clips lie from it in all."""
    found = {}
    for name, features in examples.items():
        if len(features) < 1:
            raise BadDataset(f"Got no clip of {name!r}; teaching needs at least one of each class.")
        if features.dims != (run.inputs.audio, run.inputs.visual):
            raise BadDataset(
                f"The clips of {name!r} have features of widths {features.dims}; the Run in {run.path} reads "
                f"{(run.inputs.audio, run.inputs.visual)}. Describe them with the Run's extractors."
            )
        used = features.only(run.shown).prefer(run.view)
        white = space.values(used, [f"{name}, clip {i + 1}" for i in range(len(used))])
        mean = white.mean(dim=0)
        raw = torch.linalg.solve(space.known.white.T, mean)
        scatter = (white - mean).square().sum()
        found[name] = {"count": torch.tensor(len(used)), "mean": raw.float(), "scatter": scatter.float()}
    return found


def _embedded(run: Run, new: list[str]) -> dict[str, Tensor]:
    """Content of `classes.safetensors` with the new names behind the others, or in the place that they had."""
    names, raw = Names(run), run.classes(raw=True)
    used = run.classes()
    further = [name for name in new if name not in used.names]
    if further:
        try:
            added, plain = names.classes(further).text, names.embedded(further).text
        except BadClassName:  # class vectors that came with the dataset: the name says nothing, the clips say all
            added, plain = ({k: v.mean(dim=0).expand(len(further), -1) for k, v in c.text.items()} for c in (used, raw))
        used, raw = _with(used, added, further), _with(raw, plain, further)
    tensors = {f"text/{k}": v for k, v in used.text.items()} | {f"raw/{k}": v for k, v in raw.text.items()}
    return tensors | {"seen": used.seen}


def _classes_of(run: Run, tensors: Mapping[str, Tensor], names: list[str]) -> Tensor:
    """All class embeddings `[class, dim]` of some classes in the content of `classes.safetensors`."""
    listed = list(dict.fromkeys([*run.info["classes"], *names]))
    rows = [listed.index(name) for name in names]
    return torch.cat([tensors[f"text/{key}"][rows] for key in run.info["encoders"]], dim=1).double()


def _with(classes: Classes, text: Mapping[str, Tensor], names: list[str]) -> Classes:
    joined = {key: torch.cat([value, text[key]]) for key, value in classes.text.items()}
    seen = torch.cat([classes.seen, torch.zeros(len(names), dtype=torch.bool)])
    return Classes((*classes.names, *names), joined, seen)


def _widen(familiar: dict[str, Tensor], run: Run, examples: Iterable[Features]) -> None:
    """Let what clips of taught classes are like count as usual, and what lies no farther out (`novelty`)."""
    for features in examples:
        shown = features.only(run.shown)
        for name, pooled in zip(MODALITIES, shown.pooled(), strict=True):
            real = getattr(shown, f"has_{name}")
            if f"{name}/limit" in familiar and bool(real.any()):
                farthest = strangeness(pooled[real], familiar, name).max().clamp(min=1)
                familiar[f"{name}/limit"] = familiar[f"{name}/limit"] * farthest.float()


def _write(run: Run, folder: Path, tensors: Mapping[str, dict[str, Tensor]], told: list[dict[str, Any]]) -> None:
    """Copy the Run with some of its files replaced; the folder appears when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.partial"
    partial.mkdir()
    try:
        for name in [*run.info["files"], "README.md", "key.json", "method.py", "task.py"]:
            if (run.path / name).is_file():
                shutil.copyfile(run.path / name, partial / name)
        digests = {
            f"{name}.safetensors": save_tensors(partial / f"{name}.safetensors", t) for name, t in tensors.items()
        }
        names = dict.fromkeys([*run.info["classes"], *(one["name"] for one in told)])
        info = run.info | {"taught": told, "classes": list(names), "files": run.info["files"] | digests}
        seen = tensors["classes"]["seen"].tolist()
        save_text(partial / "README.md", model_card(run.experiment, run.parts, info, run.metrics, seen=seen))
        write_record(partial / "run.json", info)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
