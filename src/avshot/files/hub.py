"""Models of the Hugging Face hub: from the hub, or from this machine's copy where the hub cannot be reached.

The hub's own client tries each file six times, which takes half a minute where there is no network. Whether the hub
answers is therefore found out first, in a second; where it does not, only the copies on this machine are looked at.
"""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from avshot.errors import BadSetting

_PATIENCE = 1.5  # seconds for a connection, with the look-up of its name
_KEPT = 60.0  # seconds for which an answer counts: a network may come back


def load_pretrained(kind: Any, place: str, what: str, parts: str, **options: Any) -> Any:
    """`kind.from_pretrained(place)`.

    Args:
        kind: A class of transformers.
        place: Hub id, or a folder.
        what: Whose it is, as the message begins: "Text encoder 'clip:openai/...'".
        parts: What a folder has to hold beside its config and weights: "tokenizer".
        options: Further arguments of `from_pretrained`.

    Raises:
        ValueError: It cannot be loaded, in one sentence.
    """
    offline = not Path(place).is_dir() and not reachable()
    try:
        with _quiet():
            return kind.from_pretrained(place, **options, **({"local_files_only": True} if offline else {}))
    except Exception as error:  # broken files and unreachable hubs raise every class there is
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        if offline and isinstance(error, OSError):
            reason = "the hub cannot be reached, and this machine has no whole copy of it"
        raise BadSetting(
            f"{what} cannot be loaded ({reason}); give a Hugging Face id that can be reached, or a folder with config, "
            f"weights and {parts}."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of transformers, which appear for small models of this machine, too."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def file_of(place: str, name: str, what: str) -> Path | None:
    """One file of a model; None where the model has no such file (or no copy is on this machine and no hub in reach).

    Args:
        place: Hub id, or a folder.
        name: Path of the file inside it.
        what: Whose it is, as the message begins.

    Raises:
        ValueError: It cannot be fetched.
    """
    if Path(place).is_dir():
        return Path(place, name) if Path(place, name).is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(place, name, local_files_only=not reachable()))
    except EntryNotFoundError:  # also of a copy without it
        return None
    except Exception as error:  # unreachable hubs raise every class there is
        reason = next(iter(str(error).strip().splitlines()), "").rstrip(".") or type(error).__name__
        raise BadSetting(f"{what}: {name} cannot be fetched ({reason}); try again, or give a folder.") from error


def reachable() -> bool:
    """Whether the hub, or the proxy on the way to it, takes a connection. False where `HF_HUB_OFFLINE` is set."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and _answers(constants.ENDPOINT, int(time.monotonic() / _KEPT))


@lru_cache(maxsize=8)
def _answers(endpoint: str, period: int) -> bool:
    """Whether somebody answers there, in this stretch of time. The look-up of a name has no limit of its own."""
    target = urlsplit(endpoint)
    proxy = urllib.request.getproxies().get(target.scheme)
    if proxy and not urllib.request.proxy_bypass(target.hostname or ""):
        target = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = target.port or (443 if target.scheme == "https" else 80)
    found: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection((target.hostname or "", port), timeout=_PATIENCE).close()
        except OSError:
            return
        found.append(True)

    looking = threading.Thread(target=connect, daemon=True)
    looking.start()
    looking.join(_PATIENCE)
    return bool(found)
