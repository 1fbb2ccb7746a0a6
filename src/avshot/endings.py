"""How the command line begins and ends: its streams, exit codes and last words. Imports nothing heavy."""

from __future__ import annotations

import os
import sys

STOPPED = 130  # exit code after Ctrl-C
GO_ON = "stopped; run the same command again to go on where it was."


def open_streams() -> None:
    """Print every line whatever the encoding, and nowhere where a stream is closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # as after `>&-`; without this the next file opened would take its place
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            utf8 = (stream.encoding or "").lower().replace("_", "-").startswith("utf")
            stream.reconfigure(errors="backslashreplace" if utf8 else "replace")


def last_words(error: BaseException) -> tuple[str, int]:
    """What to say of an error that ends the program, and the exit code."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:  # libraries that are interrupted while they are imported raise something else
        return GO_ON, STOPPED
    if isinstance(error, ValueError | OSError) and not isinstance(error, UnicodeError):
        return str(error), 2
    first = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in first:
        return f"there is not enough memory for this ({first or 'no more is left'}).", 1
    told = f"{type(error).__name__}: {first}".removesuffix(": ").rstrip(".")
    return f"{told}. This is a bug in avshot: please report it, with what AVSHOT_TRACEBACK=1 shows.", 1
