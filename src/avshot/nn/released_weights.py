"""Weights that the authors of a method released: read as plain tensors, and filled into our modules by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def fill(model: nn.Module, state_dict: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Copy the authors' tensors into `model`, joining by name and refusing to leave any out.

    Args:
        model: The module to fill, in place.
        state_dict: Tensors by the authors' names.
        names: Our name or dotted prefix -> theirs; the longest that fits counts, without one the name is the same.

    Raises:
        ValueError: Tensors are missing, unexpected or of another shape; the message names them.
    """
    own = model.state_dict()
    theirs = {_rename(key, names): key for key in own}
    # Batch counters only matter to cumulative averages, which nobody uses; checkpoints may lack them.
    counters = {key for key in theirs if key.endswith("num_batches_tracked")}
    missing, unexpected = sorted(set(theirs) - counters - set(state_dict)), sorted(set(state_dict) - set(theirs))
    if missing or unexpected:
        raise ValueError(
            f"The released weights do not fit: missing {first_keys(missing)}; unexpected {first_keys(unexpected)}. "
            f"Pass the state dict of the authors' model unchanged."
        )
    found = {key: target for key, target in theirs.items() if key in state_dict}
    for key, target in found.items():
        if state_dict[key].shape != own[target].shape:
            raise ValueError(
                f"Released tensor {key!r} has shape {tuple(state_dict[key].shape)}; "
                f"expected {tuple(own[target].shape)}. Check the overrides."
            )
    model.load_state_dict(own | {target: state_dict[key] for key, target in found.items()})


def _rename(key: str, names: Mapping[str, str]) -> str:
    fits = [prefix for prefix in names if key == prefix or key.startswith(prefix + ".")]
    if not fits:
        return key
    longest = max(fits, key=len)
    return names[longest] + key[len(longest) :]


def first_keys(keys: Any) -> str:
    """The first few of `keys` in words."""
    listed, most = list(keys), 4
    if not listed:
        return "nothing"
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(map(repr, listed[:most])) + more


def plain_tensors(weights: Mapping[str, Tensor] | str | Path) -> tuple[Mapping[str, Tensor], str]:
    """Tensors by the authors' names, and how messages begin that speak of them: "The", or "<file>: the".

    Args:
        weights: The tensors, a training checkpoint `{"model": state_dict, ...}` (or "model_state", "net"), or the path
            of a `.safetensors` or `.pt`/`.pth` file with either.

    Raises:
        ValueError: No such file, none that holds plain real finite tensors alone.
    """
    named = f"{weights}: the" if isinstance(weights, str | Path) else "The"
    tensors = _read(Path(weights)) if isinstance(weights, str | Path) else weights
    return _checked(_unwrap(tensors), named), named


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise ValueError(f"There is no file {path}; pass the path of a .safetensors or .pt file, or a state dict.")
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Plain tensors only: a pickle from the web may otherwise run any code.
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make both readers raise every class there is
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ValueError(
            f"{path} could not be read as plain tensors ({reason}); "
            f"save only its state dict, for example with safetensors.torch.save_file."
        ) from error


_WRAPPED = ("model", "model_state", "net")  # under what programs keep the state dict in a checkpoint


def _unwrap(tensors: Any) -> Mapping[str, Tensor]:
    if isinstance(tensors, Mapping):
        tensors = next((tensors[key] for key in _WRAPPED if isinstance(tensors.get(key), Mapping)), tensors)
    if not isinstance(tensors, Mapping) or not tensors:
        raise ValueError(f"Got {type(tensors).__name__} without tensors; expected a state dict {{name: tensor}}.")
    odd = [key for key, value in tensors.items() if not isinstance(value, Tensor) or not isinstance(key, str)]
    if odd:
        raise ValueError(
            f"Entries {first_keys(odd)} of the state dict are no tensors; pass only the model's state dict."
        )
    return tensors


def _checked(tensors: Mapping[str, Tensor], named: str) -> Mapping[str, Tensor]:
    """The tensors, if all are plain, real and finite. Raises ValueError naming one that is not."""
    for key, tensor in tensors.items():
        place = f"{named} tensor {key!r}"
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
            raise ValueError(f"{place} is of {tensor.dtype} and {tensor.layout}; expected plain real numbers.")
        if not all_finite(tensor):
            wrong = int((~torch.isfinite(tensor)).sum())
            raise ValueError(f"{place} holds {wrong} numbers that are not finite (nan or inf); fetch it again.")
    return tensors


def all_finite(tensor: Tensor) -> bool:
    """Whether no number of a real tensor is nan or infinite, in one pass that allocates nothing: weights are large."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(math.isfinite(edge) for edge in tensor.aminmax())  # nan goes through it
