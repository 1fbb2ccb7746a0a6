"""How the command line begins and ends: its streams, exit codes and last words. Imports nothing heavy."""

from __future__ import annotations

import _thread
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from avshot.machine.python_file import place_of, with_place
from avshot.settings import did_you_mean

STOPPED = 130  # exit code after Ctrl-C
GO_ON = "stopped; run the same command again to go on where it was."
_interrupts: list[int] = []


def watch_interrupts() -> None:
    """Let Ctrl-C end the program wherever it is.

    The first one during an import waits for the end of the import: several libraries swallow it there, and others are
    left half imported and fail with something else later.
    """
    if threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _interrupted)


def stop() -> NoReturn:
    """Say that the work can go on, and leave."""
    print(f"avshot: {GO_ON}", file=sys.stderr)
    sys.exit(STOPPED)


def _interrupted(number: int, frame: FrameType | None) -> None:
    _interrupts.append(number)
    if len(_interrupts) == 1 and _in_import(frame):
        threading.Thread(target=_interrupt_after_import, daemon=True).start()
    else:
        signal.default_int_handler(number, frame)


def _interrupt_after_import() -> None:
    main = threading.main_thread().ident or 0
    while _in_import(sys._current_frames().get(main)):
        time.sleep(0.02)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _in_import(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def open_streams() -> None:
    """Print every line whatever the encoding, and nowhere where a stream is closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # as after `>&-`; without this the next file opened would take its place
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            utf8 = (stream.encoding or "").lower().replace("_", "-").startswith("utf")
            stream.reconfigure(errors="backslashreplace" if utf8 else "replace")


def show_log(level: str) -> None:
    """Show what avshot logs on standard error, from `level` on; nothing for "". Raises ValueError for no such level."""
    if not level:
        return
    known = logging.getLevelNamesMapping()
    if level.upper() not in known:
        raise ValueError(f"AVSHOT_LOG is {level!r}; expected debug, info, warning or error.")
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    log = logging.getLogger("avshot")
    log.setLevel(known[level.upper()])
    log.addHandler(shown)
    log.propagate = False  # libraries that set up logging of their own would show it again


def end_with(work: Callable[[], int | None], usage_error: type) -> NoReturn:
    """Do the work of the command line and leave: with the exit code that it returns, or with last words.

    Args:
        work: Returns an exit code, or None for 0.
        usage_error: What it raises for an option or an argument that is not as expected.
    """
    open_streams()
    watch_interrupts()
    try:
        try:
            show_log(os.environ.get("AVSHOT_LOG", ""))
            code = work() or 0
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush at exit
        code = 1
    except BaseException as error:
        if isinstance(error, usage_error):
            say_usage(error)
            sys.exit(2)
        if isinstance(error, SystemExit) or os.environ.get("AVSHOT_TRACEBACK"):
            raise
        told, code = last_words(error)
        print(f"avshot: {told}", file=sys.stderr, flush=True)
        sys.exit(code)
    if code == STOPPED:  # click has swallowed a Ctrl-C
        stop()
    sys.exit(code)


def say_usage(error: Any) -> None:
    """How a command is used, and in one sentence what was wrong with this use, with what is spelt alike.

    Args:
        error: A usage error of click. Where a command was called without anything its help is printed already.
    """
    if type(error).__name__ == "NoArgsIsHelpError":
        return
    near, command = "", "avshot"
    if error.ctx is not None:
        print(error.ctx.get_usage().strip(), file=sys.stderr)
        command = error.ctx.command_path
        option = getattr(error, "option_name", None)
        if option is not None:
            known = [name for parameter in error.ctx.command.params for name in parameter.opts if name.startswith("-")]
            near = did_you_mean(option, [*known, "--help"])
    said = (error.message if near else error.format_message()).rstrip(".")
    ask = "" if near or said.endswith("?") else f" See {command} --help."
    print(f"avshot: {said}{'' if said.endswith('?') else '.'}{near}{ask}", file=sys.stderr)


def last_words(error: BaseException) -> tuple[str, int]:
    """What to say of an error that ends the program, and the exit code."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    if cause is not None or _interrupts:
        return GO_ON, STOPPED
    if isinstance(error, ValueError | OSError) and not isinstance(error, UnicodeError):
        return str(with_place(error)), 2
    first = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in first:
        return f"there is not enough memory for this ({first or 'no more is left'}).", 1
    if isinstance(error, Exception) and place_of(error):
        return f"{with_place(error)}. AVSHOT_TRACEBACK=1 shows the whole way there.", 2
    told = f"{type(error).__name__}: {first}".removesuffix(": ").rstrip(".")
    return f"{told}. This is a bug in avshot: please report it, with what AVSHOT_TRACEBACK=1 shows.", 1
