"""JSON and tensors on disk: written whole or not at all, and checked against their digest when they are read."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_SEAL = "sha256"  # the key of a sealed record under which the digest of the rest of it stands
_LARGEST_JSON = 1 << 30  # bytes; ids of ten million clips fit


def save_bytes(path: str | Path, content: bytes) -> None:
    """Write a file that is either complete or as it was, whatever happens to the process or the machine."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save_text(path: str | Path, text: str) -> None:
    """`save_bytes` of UTF-8 text."""
    save_bytes(path, text.encode("utf-8"))


def save_json(path: str | Path, content: Any) -> None:
    """`save_bytes` of JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    save_text(path, _dumps(path, content, indent=1) + "\n")


def save_sealed(path: str | Path, content: Mapping[str, Any]) -> None:
    """`save_json` with the digest of the content in it, for `load_sealed`."""
    plain = json.loads(_dumps(path, dict(content)))
    save_json(path, plain | {_SEAL: _digest_of(plain)})


def load_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        ValueError: The file is missing, a folder, not UTF-8, not JSON, holds NaN, or is nested absurdly deep; names it.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ValueError("it is larger than any such file")
        return json.loads(path.read_bytes().decode("utf-8"), parse_constant=_no_constant)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; make it again.") from None
    except (ValueError, RecursionError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}); it is damaged: make it again.") from None


def load_sealed(path: str | Path) -> dict[str, Any]:
    """Read what `save_sealed` wrote, without its digest.

    Raises:
        ValueError: As `load_json`, or a single value is not what was written.
    """
    content = load_json(path)
    if not isinstance(content, dict) or content.get(_SEAL) is None:
        raise ValueError(f"{path} has no digest of itself; it is damaged: make it again.")
    seal = content.pop(_SEAL)
    if seal != _digest_of(content):
        raise ValueError(f"{path} was changed after it was written (its digest differs): make it again.")
    return content


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], *, about: Mapping[str, Any] | None = None) -> str:
    """Write a safetensors file that is either complete or as it was.

    Args:
        path: The file.
        tensors: Moved to the CPU as they are.
        about: JSON-able content that is kept in the file's header.

    Returns:
        The sha256 digest of the file, for `load_tensors`.
    """
    content = tensors_bytes(path, tensors, about=about)
    save_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def tensors_bytes(path: str | Path, tensors: Mapping[str, Tensor], *, about: Mapping[str, Any] | None = None) -> bytes:
    """What `save_tensors` writes, which takes the same; equal for equal tensors. `path` is for messages alone."""
    from safetensors.torch import save

    plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    told = _dumps(path, dict(about or {}))
    # One entry with both: safetensors writes several in an order that changes from one process to the next.
    return save(plain, {"avshot": f"{tensors_digest(plain, told)} {told}"})


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote: the tensors, and `about`.

    Files of avshot 0.1, which hold no digest, are read unchecked.

    Raises:
        ValueError: The file is missing, not a safetensors file, cut off, or a value in it is not what was written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path)
    try:
        content = path.read_bytes()
        tensors = load(content)
        meta = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
        if meta and "avshot" not in meta:
            raise ValueError("its header names no program")
        seal, space, told = meta.get("avshot", "{}").partition(" ")
        sealed = bool(space) and len(seal) == 64
        about = dict(json.loads(told if sealed else meta.get("avshot", "{}")))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; make it again.") from None
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}); it is damaged: make it again.") from None
    if sealed and seal != tensors_digest(tensors, told):
        raise ValueError(f"{path} was changed after it was written (its digest differs): make it again.")
    return tensors, about


def tensors_digest(tensors: Mapping[str, Tensor], extra: str = "") -> str:
    """Sha256 of names, types, shapes and every bit of `tensors`, in the order of their names, and of `extra`."""
    import torch

    digest = hashlib.sha256(extra.encode())
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data if value.numel() else b"")
    return digest.hexdigest()


def file_digest(path: str | Path) -> str:
    """Sha256 of a file's bytes, as hexadecimal digits. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(content: Any) -> str:
    """Sixteen hexadecimal digits that identify JSON-able content. Raises ValueError for NaN and infinity."""
    return hashlib.sha256(_dumps("the content", content, sort_keys=True).encode()).hexdigest()[:16]


def _digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _dumps(path: str | Path, content: Any, **options: Any) -> str:
    try:
        return json.dumps(content, allow_nan=False, **options)
    except ValueError as error:
        raise ValueError(f"{path} cannot be written: {error}; a value is NaN or infinite.") from None


def _no_constant(text: str) -> Any:
    raise ValueError(f"it holds {text}, which is no number")
