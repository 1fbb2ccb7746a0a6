"""Processes that this one starts on its machine to train along with it (`avshot.training.distributed`)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from avshot.training.distributed import current, leave

_LATER = 5.0  # seconds
_LEAVING = 60.0  # seconds that finished companions get to leave by themselves


@contextmanager
def spawn(count: int, companion: Callable[..., None], *arguments: Any, device: str = "cpu") -> Iterator[None]:
    """What runs inside is the first of `count` processes on this machine; the others run `companion(*arguments)`.

    They divide the threads of this one. When it fails they are stopped; when one of them dies, it fails.

    Args:
        count: Processes in all; 1 starts none.
        companion: A function of a module (it is found by name in a fresh process), which trains whenever this one does.
        arguments: Travel to each of them.
        device: Where they train; see `current`.

    Raises:
        ValueError: A companion died, or accelerate is missing.
    """
    if count == 1:
        yield
        return
    share = max(1, torch.get_num_threads() // count)
    settings = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "OMP_NUM_THREADS": str(share)}
    settings |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "RANK": "0", "LOCAL_RANK": "0"}
    companions: list[Any] = []
    with _set_for_a_while(settings, share), _with_companions(companions):
        started = []
        for index in range(1, count):
            os.environ.update(settings | {"RANK": str(index), "LOCAL_RANK": str(index)})  # the child inherits it
            started.append(_start(companions, device, companion, arguments))
        os.environ.update(settings)
        for pipe in started:
            pipe.recv()  # a group that one never joins would be waited for in vain
        current(device)
        yield


@contextmanager
def _set_for_a_while(settings: dict[str, str], threads: int) -> Iterator[None]:
    """Environment variables that change inside and torch's number of threads; both are set back."""
    before, own = {name: os.environ.get(name) for name in settings}, torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})
        torch.set_num_threads(own)


@contextmanager
def _with_companions(companions: list[Any]) -> Iterator[None]:
    """Wait for them when all went well; stop them when not. Raises ValueError where one of them died."""
    try:
        yield
        for process in companions:
            process.join(_LEAVING)
    except (RuntimeError, EOFError) as error:
        for process in companions:
            process.join(_LATER)  # a peer that hung up may not have ended yet
        codes = [process.exitcode for process in companions if process.exitcode]
        if not codes:
            raise
        raise ValueError(
            f"A process that trained along ended (exit code {codes[0]}), perhaps for want of memory; run the same "
            "command again to go on, or with fewer processes."
        ) from error
    finally:
        for process in companions:
            process.kill()
        leave()


def _start(companions: list[Any], device: str, companion: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
    """Start one more companion; it says through the returned pipe when it is ready to join the group."""
    context = multiprocessing.get_context("spawn")  # fork would copy torch's threads in an unusable state
    ours, theirs = context.Pipe(duplex=False)
    companions.append(context.Process(target=_accompany, args=(theirs, device, companion, arguments), daemon=True))
    companions[-1].start()
    theirs.close()  # so that the pipe ends when the child does
    return ours


def _accompany(pipe: Any, device: str, companion: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Body of a companion."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process, which then stops this one
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    leave_with_parent()
    pipe.send("ready")
    try:
        current(device)
        companion(*arguments)
    except ValueError as error:
        time.sleep(_LATER)  # usually the main process found the same: it says so, and stops this one
        sys.exit(f"avshot: process {os.environ['RANK']}: {error}")
    leave()


def leave_with_parent() -> None:
    """End this process when its parent is gone: what was killed must not train on beside a resumed command."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
