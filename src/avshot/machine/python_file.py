"""Somebody's own Python file as a module, run again when it has changed; and where in one something went wrong."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from pathlib import Path
from types import ModuleType

from avshot.errors import BadSetting

_PREFIX = "avshot_file_"
_loading = threading.RLock()  # a file that is half run is in sys.modules already; one may name another
_named: set[Path] = set()  # files that somebody named in this process, by their whole path


def is_python_file(name: str) -> bool:
    """Whether a name is the path of a Python file: it ends in `.py`."""
    return name.endswith(".py")


def full_path(name: str) -> Path:
    """The absolute path of a file that somebody named, `~` being the home folder."""
    return Path(os.path.expanduser(name)).resolve()


def load_python_file(path: Path, kind: str) -> ModuleType:
    """The file as a module whose name ends in the file's. What has run already is not run again.

    The bytes that are run are those that were read, so that a digest of them tells what was run: Python's own cache of
    compiled files does not see a change within a second.

    Args:
        path: The file.
        kind: What it holds, for messages: "method".

    Raises:
        ValueError: The file cannot be read, or something in it fails; the message names the line.
    """
    content = _read(path, kind)
    _named.add(path.resolve())
    with _loading:
        return _loaded(path, kind, content)


def _loaded(path: Path, kind: str, content: bytes) -> ModuleType:
    package = _PREFIX + hashlib.sha256(os.fsencode(path.resolve()) + content).hexdigest()[:16]
    name = f"{package}.{path.stem.replace('.', '_')}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__, module.__package__ = str(path), package
    sys.modules[package], sys.modules[name] = ModuleType(package), module  # pickle asks for both
    try:
        exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:  # somebody's file may fail with anything, or leave
        del sys.modules[name], sys.modules[package]
        raise BadSetting(f"{path} cannot be imported ({_reason(error, path)}); {_cure(error, path, kind)}.") from error
    return module


def was_named(path: Path) -> bool:
    """Whether somebody named this file in this process, so that it was run: only then may a Run name it, too."""
    return path.resolve() in _named


def digest_of_file(path: Path, kind: str) -> str:
    """Sha256 of its bytes, as hexadecimal digits. Raises ValueError where it cannot be read."""
    return hashlib.sha256(_read(path, kind)).hexdigest()


def place_of(error: BaseException) -> str:
    """`/my/plain.py line 12`: the innermost line of somebody's own file that an error came through; empty for none."""
    place, step = "", error.__traceback__
    while step is not None:
        if str(step.tb_frame.f_globals.get("__name__", "")).startswith(_PREFIX):
            place = f"{step.tb_frame.f_code.co_filename} line {step.tb_lineno}"
        step = step.tb_next
    return place


def with_place(error: Exception) -> Exception:
    """The error as it is; where it came through somebody's own file, a ValueError that begins with the line there."""
    place = place_of(error)
    if not place:
        return error
    said = next(iter(str(error).strip().splitlines()), "")
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: " if said else type(error).__name__
    made = ValueError(f"{place}: {kind}{said}")
    made.__cause__ = error
    return made


def _read(path: Path, kind: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadSetting(f"The {kind} {path} cannot be read ({error.strerror}); pass the path of its file.") from None


def _reason(error: BaseException, path: Path) -> str:
    """Kind and words of what went wrong, and on which line."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{type(error).__name__}: {error.msg}, line {error.lineno}"
    place, step = "", error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == str(path):
            place = f", line {step.tb_lineno}"
        step = step.tb_next
    said = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}{': ' if said else ''}{said.rstrip('.')}{place}"


def _cure(error: BaseException, path: Path, kind: str) -> str:
    """What to do: a file beside it would be no part of what a Run keeps, so it is not looked for there."""
    if not isinstance(error, ImportError) or error.name is None:
        return "mend it"
    inside = error.name.startswith(_PREFIX)  # of a relative import
    sibling = error.name.partition(".")[2 if inside else 0].partition(".")[0] or "what it imports"
    if inside or (path.parent / f"{sibling}.py").is_file() or (path.parent / sibling).is_dir():
        return (
            f"{sibling} may lie beside it, but a {kind} is one file, which is all that a Run keeps of it: move what it "
            "needs into the file, or install the package that holds both (pip install -e FOLDER)"
        )
    return "install what it imports, or mend it"
