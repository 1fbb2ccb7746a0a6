"""Released weights of an encoder: a file's tensors by the authors' names, and a model filled with them.

Nothing in the file runs: `.safetensors` holds tensors alone, and what `torch.save` wrote goes through the restricted
reader. Checkpoints of TensorFlow and Caffe are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting, MissingFile
from avshot.files.torch_archive import restricted_archive

_WRAPPED = ("model", "state_dict", "model_state_dict", "net")  # under what programs keep the state dict
_COUNTER = "num_batches_tracked"  # only matters while batch statistics are learnt; torch before 0.4.1 had none


def released_tensors(
    path: str | Path, *, unused: str = "", renamed: Sequence[tuple[str, str]] = ()
) -> dict[str, Tensor]:
    """Read a state dict, alone or as the entry "model" (or "state_dict", ...) of a training checkpoint.

    Args:
        path: A `.safetensors` file, or one of `torch.save`.
        unused: Pattern of whole names to leave out.
        renamed: Patterns and what each is replaced by, one after the other; a leading "module." is taken off before.

    Returns:
        Tensors of real numbers by name, float32 where they are no whole numbers.

    Raises:
        ValueError: There is no such file, it cannot be read, or an entry is no tensor; the message names it.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"There is no file {path}; give the released weights.")
    content = _safetensors(path) if path.suffix == ".safetensors" else restricted_archive(path)
    if isinstance(content, dict):
        content = next((content[key] for key in _WRAPPED if isinstance(content.get(key), dict)), content)
    if not isinstance(content, dict) or not content:
        raise BadSetting(f"{path} holds no tensors by name; give the released weights, unchanged.")
    found = {}
    for name, value in content.items():
        known = str(name).removeprefix("module.")
        for pattern, replacement in renamed:
            known = re.sub(pattern, replacement, known)
        if unused and re.fullmatch(unused, known):
            continue
        if not isinstance(value, np.ndarray | Tensor):
            raise BadSetting(f"{path}: {name!r} is no tensor; give the released weights, unchanged.")
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        found[known] = tensor.float() if tensor.is_floating_point() else tensor
    return found


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise BadSetting(f"{path} is no whole .safetensors file ({reason}); fetch it again.") from None


def filled(model: Any, tensors: Mapping[str, Tensor], path: str | Path, what: str, *, made: str = "") -> Any:
    """`model` with the parameters `tensors`, in eval mode and without gradients.

    Args:
        model: A module; it may be on "meta", where nothing is allocated.
        tensors: By its names, every one once. Counters of batch normalisation may be missing.
        path: Of the checkpoint, for messages.
        what: Which model, for messages: "C3D", "HTSAT of WavCaps".
        made: Pattern of names of the model that it makes itself.

    Raises:
        ValueError: Parameters are missing, unknown or of another shape, or hold numbers that are not finite.
    """
    own = model.state_dict()
    given = {name: value for name, value in tensors.items() if not name.endswith(_COUNTER)}
    needed = {name for name in own if not name.endswith(_COUNTER) and not (made and re.search(made, name))}
    wrong = sorted(needed ^ set(given)) or [name for name in sorted(needed) if own[name].shape != given[name].shape]
    if wrong:
        raise BadSetting(
            f"{path} does not hold the parameters of {what} (lacking, unknown or of another size: "
            f"{', '.join(wrong[:3])}); give the released file unchanged."
        )
    bad = [name for name, value in given.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if bad:
        raise BadSetting(f"{path} holds numbers in {bad[0]} that are not finite; fetch it again.")
    rest = {
        name: torch.zeros((), dtype=torch.long) if name.endswith(_COUNTER) else own[name]
        for name in own
        if name not in needed
    }
    model.load_state_dict({**rest, **given}, assign=True)
    return model.float().eval().requires_grad_(False)
