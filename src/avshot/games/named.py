"""Players, learners, sources and weaknesses by name: `kto?rate=1e-3` is the class in `learners/kto.py` with a setting.

A thing is one file of its folder; the file defines one class derived from the contract of its kind, and the class has a
frozen dataclass `Config`. The path of somebody's own file, `my/listener.py?key=value`, is a name, too.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from avshot.errors import BadSetting
from avshot.machine.python_file import full_path, is_python_file, load_python_file
from avshot.settings import did_you_mean, read_options, read_truth

_ROOT = "avshot.games"
_CONTRACTS = {  # by folder: the file that holds the contract of its things, which is called as the file
    "sources": "source",
    "weaknesses": "weakness",
    "speakers": "speaker",
    "listeners": "listener",
    "learners": "learner",
}


def names_in(folder: str) -> list[str]:
    """What there is in `sources`, `weaknesses`, `speakers`, `listeners` or `learners`, sorted."""
    package = importlib.import_module(f"{_ROOT}.{folder}")
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in found if name != _CONTRACTS[folder] and not name.startswith("_"))


def class_of(folder: str, name: str) -> type[Any]:
    """The class behind a name, or in the file at that path.

    Raises:
        ValueError: There is none of this name (the message lists what there is), or the file holds none or several.
    """
    kind = _CONTRACTS[folder]
    base = getattr(importlib.import_module(f"{_ROOT}.{folder}.{kind}"), kind.capitalize())
    if is_python_file(name):
        module = load_python_file(full_path(name), kind)
    elif name in names_in(folder):
        module = importlib.import_module(f"{_ROOT}.{folder}.{name}")
    else:
        known = names_in(folder)
        near = did_you_mean(name, known)
        raise BadSetting(f"There is no {kind} {name!r}; {folder}: {', '.join(known)}.{near}")
    return _only_class(module, base, kind)


def _only_class(module: ModuleType, base: type, kind: str) -> type[Any]:
    held = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    if len(held) != 1:
        raise BadSetting(f"{module.__file__} holds {len(held)} {kind}s; expected one in each file.")
    return held[0]


def split_name(spec: str) -> tuple[str, str, str]:
    """`name:place?key=value` as (name, place, query); the path of a Python file is a name as a whole."""
    head, _, query = spec.partition("?")
    if is_python_file(head):
        return head, "", query
    name, _, place = head.partition(":")
    return name, place, query


def config_of(cls: type[Any], query: str, what: str) -> Any:
    """The `Config` of a class with what a query sets. Raises ValueError for unknown settings and unsuitable values."""
    hints = get_type_hints(cls.Config)
    return cls.Config(**read_options(query, {key: _reader(hint) for key, hint in hints.items()}, what))


def _reader(hint: Any) -> Callable[[str], Any]:
    if get_origin(hint) in (Union, UnionType):  # of `float | None`
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    if hint is bool:
        return read_truth
    if get_origin(hint) is tuple:
        return lambda text: tuple(part.strip() for part in text.split(",") if part.strip())
    reader: Callable[[str], Any] = hint
    return reader


def build(folder: str, spec: str, *arguments: Any) -> Any:
    """Build what a spec names: `class(*arguments, config)`.

    Args:
        folder: `weaknesses`, `speakers`, `listeners` or `learners`.
        spec: `name` or `name?key=value&key=value`.
        arguments: What the class takes before its config.

    Raises:
        ValueError: No such name, setting or value; or a place, where none is taken.
    """
    name, place, query = split_name(spec)
    cls = class_of(folder, name)
    if place:
        raise BadSetting(f"{name} of {folder} takes no place; got {spec!r}, write {name}?key=value.")
    return cls(*arguments, config_of(cls, query, name))


def build_source(spec: str) -> Any:
    """The source that a spec names: `name`, `name:place` or `name:place?key=value`. Raises ValueError as `build`."""
    name, place, query = split_name(spec)
    cls = class_of("sources", name)
    return cls(place, config_of(cls, query, name))
