"""What there is by name - methods, tasks, extractors, text encoders - under one rule, and how to build a method.

A thing is one file of its folder, and the file's name is its name: `methods/devise.py` is the method `devise`. The file
defines one object of its kind. An installed package adds its own by an entry point, whose group is the dotted name of
the folder:

    [project.entry-points."avshot.methods"]
    plain = "my_package.plain"

The name of an entry point is the name of its thing, whatever its file is called; where avshot has one of that name
itself, that one is meant. A method or a task is also found by the path of its file, `my/plain.py`. Files whose names
begin with `_` are machinery.
A method of avshot may have further names, each of which sets some of its `Config` (`Method.aliases`, in its file).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from torch import Tensor

from avshot.errors import BadSetting
from avshot.machine.python_file import digest_of_file, full_path, is_python_file, load_python_file
from avshot.method import Inputs, Method, build_method
from avshot.nn.released_weights import first_keys, plain_tensors
from avshot.recipe import Preset
from avshot.settings import did_you_mean, replace_fields


@dataclass(frozen=True)
class Shelf:
    """Things of one kind, found by name.

    Attributes:
        kind: What one is called in messages.
        folder: Dotted name of the folder that holds one file for each; also the group of entry points.
        paths: Whether the path of a file is a name, too.
    """

    kind: str
    folder: str
    paths: bool = False

    def names(self) -> list[str]:
        """What there is, sorted: file names of the folder, and what installed packages add."""
        return sorted({*self._files(), *self._added()})

    def get_class(self, name: str, base: type, *, of: str = "") -> Any:
        """The class that is called `name` and derived from `base`; its file is imported now.

        Args:
            name: A name, or the path of a `.py` file where the kind has `paths`.
            base: Of the kind.
            of: Words of the caller in place of "<Kind> 'name' does not exist".

        Raises:
            ValueError: There is none of this name (the message lists what there is, and what is alike) or several
                packages offer one, or its file cannot be imported, holds none or several, or one that lacks something.
        """
        if self.paths and is_python_file(name):
            return self._checked(load_python_file(full_path(name), self.kind), base)
        if name in self._files():
            return self._checked(importlib.import_module(f"{self.folder}.{name}"), base)
        points = self._added().get(name, ())
        if not points:
            raise BadSetting(f"{of or f'{self.kind.capitalize()} {name!r} does not exist'}; {self.offer(name)}")
        found = self._checked(self._loaded(points), base)
        if "name" in _facts(base):
            found.name = name
        return found

    def offer(self, name: str) -> str:
        """What there is, as the end of a message about a `name` that is not there; with what is spelt alike."""
        known, file = self.names(), f"{name}.py"
        here = self.paths and full_path(file).is_file()
        near = f" There is a file {file}; pass that to use it." if here else did_you_mean(name, known)
        return f"{self.kind}s: {', '.join(known)}.{near}"

    def hidden(self) -> list[str]:
        """Sentences about what installed packages add under a name of avshot's own, which is therefore not found."""
        points = (point for point in entry_points(group=self.folder) if point.name in self._files())
        return [
            f"the package {_package(point)} adds the {self.kind} {point.name!r} too; avshot's own is used."
            for point in points
        ]

    def _checked(self, found: Any, base: type) -> Any:
        """The one class of a module, or the class itself, if it is one of this kind and lacks nothing."""
        where = (
            getattr(found, "__file__", None)
            or f"{getattr(found, '__module__', '')}.{getattr(found, '__name__', found)}"
        )
        if isinstance(found, ModuleType):
            values, own = list(vars(found).values()), found.__name__
            held = [v for v in values if isinstance(v, type) and issubclass(v, base) and v.__module__ == own]
            if len(held) != 1:
                raise BadSetting(f"{where} holds {len(held)} {self.kind}s; expected one in each file.")
            (found,) = held
        if not (isinstance(found, type) and issubclass(found, base)):
            raise BadSetting(f"{where} is no {self.kind}; expected a class derived from avshot's {base.__name__}.")
        lacking = [name for name in _facts(base) if not hasattr(found, name)]
        lacking += sorted(getattr(found, "__abstractmethods__", ()))
        if lacking:
            raise BadSetting(f"{where}: class {found.__name__} lacks {', '.join(lacking)}, which each {self.kind} has.")
        return found

    def _loaded(self, points: Sequence[EntryPoint]) -> Any:
        """What an entry point names, be it a module or a class."""
        point, *others = points
        if others:
            packages = " and ".join(map(_package, points))
            raise BadSetting(
                f"The {self.kind} {point.name!r} is added by several packages ({packages}); uninstall all but one."
            )
        try:
            return point.load()
        except Exception as error:  # somebody's package may fail with anything
            said = next(iter(str(error).splitlines()), "")
            raise BadSetting(
                f"The {self.kind} {point.name!r} of the package {_package(point)} cannot be loaded "
                f"({type(error).__name__}: {said}); mend or uninstall that package."
            ) from error

    def _files(self) -> tuple[str, ...]:
        return _files_of(self.folder)

    def _added(self) -> Mapping[str, Sequence[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self.folder):
            if point.name not in self._files():
                found.setdefault(point.name, []).append(point)
        return found


METHODS = Shelf("method", "avshot.methods", paths=True)
TASKS = Shelf("task", "avshot.tasks", paths=True)
EXTRACTORS = Shelf("extractor", "avshot.features.extractors")
TEXT_ENCODERS = Shelf("text encoder", "avshot.classes.encoders")


@cache
def _files_of(folder: str) -> tuple[str, ...]:
    package = importlib.import_module(folder)
    return tuple(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_") and not m.ispkg)


def _facts(base: type) -> list[str]:
    """What each class of a kind has to say about itself: annotated in its base class, without a value there."""
    return [
        name
        for name, hint in inspect.get_annotations(base).items()
        if "ClassVar" in str(hint) and name not in vars(base)
    ]


def _package(point: EntryPoint) -> str:
    return repr(point.dist.name) if point.dist is not None else "of unknown name"


def digest_of(kind: Shelf, name: str) -> str | None:
    """Digest of the file behind a name that is a path; None for what comes with avshot or an installed package."""
    if not (kind.paths and is_python_file(name)):
        return None
    return digest_of_file(full_path(name), kind.kind)


def use_code(*paths: str | Path) -> None:
    """Let Runs that name these `.py` files as their method or task use them, in this process.

    A Run may come from anybody, and such a file is code. What was trained with, or made by `create_method`, in this
    process is in use already.

    Raises:
        ValueError: A file cannot be read or imported.
    """
    for path in paths:
        load_python_file(full_path(str(path)), "method or task")


def list_methods() -> list[str]:
    """Names of all methods, sorted, without aliases: the files in `avshot/methods/`, and what packages add."""
    return METHODS.names()


def list_aliases() -> dict[str, str]:
    """`{other name: method}` of the methods in `avshot/methods/` (`Method.aliases`). Imports all of them."""
    found: dict[str, str] = {}
    for name in _files_of(METHODS.folder):
        try:
            cls: type[Method] = METHODS.get_class(name, Method)
        except ValueError:  # a file that holds no method says so to who asks for it by its own name
            continue
        found |= dict.fromkeys(cls.aliases, name)
    return found


def get_method(name: str) -> type[Method]:
    """The class of method `name`, of the file at that path, or of an alias. Raises ValueError naming what exists."""
    known = is_python_file(name) or name in METHODS.names()
    found: type[Method] = METHODS.get_class(name if known else list_aliases().get(name, name), Method)
    presets = found.presets.values() if isinstance(found.presets, Mapping) else ()
    sound = bool(presets) and all(isinstance(p, Preset) and isinstance(p.config, found.Config) for p in presets)
    if not (isinstance(found.Config, type) and is_dataclass(found.Config) and sound):
        raise BadSetting(
            f"Method {found.name!r} needs Config, a dataclass, and presets, a dictionary that holds at least "
            '{"default": Preset(Config(), Recipe(), "where the numbers come from")}.'
        )
    return found


def get_preset(name: str, preset: str = "default") -> Preset:
    """The preset of method `name`; for an alias with what that sets. Raises ValueError naming what exists."""
    cls = get_method(name)
    if preset not in cls.presets:
        near = did_you_mean(preset, cls.presets)
        raise BadSetting(f"Method {name!r} has no preset {preset!r}; presets: {', '.join(cls.presets)}.{near}")
    found = cls.presets[preset]
    return replace(found, config=replace_fields(found.config, cls.aliases.get(name, {})))


def create_method(name: str, inputs: Inputs, *, preset: str = "default", **overrides: Any) -> Method:
    """Build a method with fresh weights drawn from torch's global generator.

    Args:
        name: Name of the method, for example `"devise"`, or the path of its file, `"my/plain.py"`, or an alias.
        inputs: Feature and class-embedding sizes.
        preset: Which published setting to start from.
        overrides: Fields of the method's `Config` to change.

    Raises:
        ValueError: Unknown method, preset or field; the message names the valid ones.

    Example:
        >>> from avshot import Inputs, create_method
        >>> create_method("devise", Inputs(audio=128, visual=64, text={"wordllama": 256})).name
        'devise'
    """
    return build_method(get_method(name), replace_fields(get_preset(name, preset).config, overrides), inputs)


def load_official(name: str, state_dict: Mapping[str, Tensor] | str | Path, **overrides: Any) -> Method:
    """Build method `name` from the authors' released weights, in eval mode.

    Args:
        name: A method whose file defines `from_official`, for example `"avca"`.
        state_dict: Tensors by the authors' names, or the path of a `.safetensors` or `.pt`/`.pth` file with them. A
            training checkpoint `{"model": state_dict, ...}` is unwrapped.
        overrides: Fields of the method's `Config` to change; needed where a setting leaves no trace in the tensors.
            Some methods need names as well: `classes`, or `actions` and `adverbs` (`regada`).

    Returns:
        The method. It expects features and class embeddings as raw as the authors' model did, one text entry `"w2v"`
        (`"s3d"` for `regada`).

    Raises:
        ValueError: Unknown method, one that reads no released weights, a file that holds none, or missing, unexpected
            or misshapen tensors.
    """
    from_official = _reader(name)
    if from_official is None:
        known = ", ".join(other for other in list_methods() if _reader(other) is not None)
        raise BadSetting(f"Method {name!r} has no reader for released weights; methods that have one: {known}.")
    tensors, named = plain_tensors(state_dict)
    try:
        return from_official(tensors, **overrides)
    except KeyError as error:
        raise BadSetting(
            f"{named} weights do not look like a release of {name!r}: tensor {error} is missing; "
            f"got {len(tensors)} tensors ({first_keys(tensors)})."
        ) from error
    except (IndexError, AttributeError, RuntimeError) as error:  # sizes that no such model has
        raise BadSetting(
            f"{named} weights do not look like a release of {name!r}: a tensor has another shape "
            f"({str(error).splitlines()[0]}); got {len(tensors)} tensors ({first_keys(tensors)})."
        ) from error


def _reader(name: str) -> Callable[..., Method] | None:
    module = sys.modules[get_method(name).__module__]
    return cast("Callable[..., Method] | None", getattr(module, "from_official", None))
