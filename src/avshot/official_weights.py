"""Load weights that the authors of a method released into our implementation of it.

`load_official("avca", state_dict)` reads every size from the tensors and gives a `Method` in eval mode whose `-score`
equals the authors' distances on the same raw inputs. The layout of a release is known by its method's file: one that
can read it defines `from_official(state_dict, **overrides)`, usually a call of `fill`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from avshot.method import Method, get_method, list_methods


def load_official(name: str, state_dict: Mapping[str, Tensor] | str | Path, **overrides: Any) -> Method:
    """Build method `name` from the authors' released weights, in eval mode.

    Args:
        name: A method whose file defines `from_official`, for example `"avca"`.
        state_dict: Tensors by the authors' names, or the path of a `.safetensors` or `.pt`/`.pth` file with them. A
            training checkpoint `{"model": state_dict, ...}` is unwrapped.
        overrides: Fields of the method's `Config` to change; needed where a setting leaves no trace in the tensors.

    Returns:
        The method. It expects features and class embeddings as raw as the authors' model did, one text entry `"w2v"`.

    Raises:
        ValueError: Unknown method, one that reads no released weights, a file that holds none, or missing, unexpected
            or misshapen tensors.
    """
    get_method(name)
    from_official = _reader(name)
    if from_official is None:
        known = ", ".join(other for other in list_methods() if _reader(other) is not None)
        raise ValueError(f"Method {name!r} has no reader for released weights; methods that have one: {known}.")
    named = f"{state_dict}: the" if isinstance(state_dict, str | Path) else "The"
    tensors = _read(Path(state_dict)) if isinstance(state_dict, str | Path) else state_dict
    tensors = _checked(_unwrap(tensors), named)
    try:
        return from_official(tensors, **overrides)
    except KeyError as error:
        raise ValueError(
            f"{named} weights do not look like a release of {name!r}: tensor {error} is missing; "
            f"got {len(tensors)} tensors ({_some(tensors)})."
        ) from error
    except (IndexError, AttributeError, RuntimeError) as error:  # sizes that no such model has
        raise ValueError(
            f"{named} weights do not look like a release of {name!r}: a tensor has another shape "
            f"({str(error).splitlines()[0]}); got {len(tensors)} tensors ({_some(tensors)})."
        ) from error


def _reader(name: str) -> Callable[..., Method] | None:
    return getattr(importlib.import_module(f"avshot.methods.{name}"), "from_official", None)


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
            f"The released weights do not fit: missing {_some(missing)}; unexpected {_some(unexpected)}. "
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


def _some(keys: Any, most: int = 4) -> str:
    """The first few of `keys` in words."""
    listed = list(keys)
    if not listed:
        return "nothing"
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(map(repr, listed[:most])) + more


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise ValueError(f"There is no file {path}; pass the path of a .safetensors or .pt file, or a state dict.")
    import torch
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


def _unwrap(tensors: Any) -> Mapping[str, Tensor]:
    if isinstance(tensors, Mapping) and isinstance(tensors.get("model"), Mapping):
        tensors = tensors["model"]
    if not isinstance(tensors, Mapping) or not tensors:
        raise ValueError(f"Got {type(tensors).__name__} without tensors; expected a state dict {{name: tensor}}.")
    odd = [key for key, value in tensors.items() if not isinstance(value, Tensor) or not isinstance(key, str)]
    if odd:
        raise ValueError(f"Entries {_some(odd)} of the state dict are no tensors; pass only the model's state dict.")
    return tensors


def _checked(tensors: Mapping[str, Tensor], named: str) -> Mapping[str, Tensor]:
    """The tensors, if all are plain, real and finite. Raises ValueError naming one that is not."""
    import torch

    for key, tensor in tensors.items():
        place = f"{named} tensor {key!r}"
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
            raise ValueError(f"{place} is of {tensor.dtype} and {tensor.layout}; expected plain real numbers.")
        finite = torch.isfinite(tensor)
        if not bool(finite.all()):
            wrong = int((~finite).sum())
            raise ValueError(f"{place} holds {wrong} numbers that are not finite (nan or inf); fetch it again.")
    return tensors
