"""What there is by name - methods, tasks, extractors, text encoders - under one rule, and how to build a method.

A thing is one file of its folder, and the file's name is its name: `methods/devise.py` is the method `devise`. The file
defines one object of its kind. An installed package adds its own by an entry point, whose group is the dotted name of
the folder:

    [project.entry-points."avshot.methods"]
    plain = "my_package.plain"

A method or a task is also found by the path of its file, `my/plain.py`. Files whose names begin with `_` are machinery.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from torch import Tensor

from avshot.errors import BadSetting
from avshot.method import Inputs, Method, build_method
from avshot.nn.released_weights import first_keys, plain_tensors
from avshot.recipe import Preset
from avshot.settings import did_you_mean, replace_fields

_loading = threading.RLock()  # a file that is half imported is in sys.modules already; one may name another


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
            ValueError: There is none of this name (the message lists what there is, and what is alike), or its file
                cannot be imported, or holds none or several.
        """
        return self._find(name, of, base)

    def offer(self, name: str) -> str:
        """What there is, as the end of a message about a `name` that is not there; with what is spelt alike."""
        known = self.names()
        return f"{self.kind}s: {', '.join(known)}.{did_you_mean(name, known)}"

    def _find(self, name: str, of: str, base: type) -> Any:
        if self.paths and name.endswith(".py"):
            found: Any = _module_at(Path(name), self.kind)
        elif name in self._files():
            found = importlib.import_module(f"{self.folder}.{name}")
        elif name in self._added():
            found = self._added()[name].load()
        else:
            raise BadSetting(f"{of or f'{self.kind.capitalize()} {name!r} does not exist'}; {self.offer(name)}")
        if not isinstance(found, ModuleType):
            return found
        held = [
            value
            for value in vars(found).values()
            if isinstance(value, type) and issubclass(value, base) and value.__module__ == found.__name__
        ]
        if len(held) != 1:
            raise BadSetting(f"{found.__file__} holds {len(held)} {self.kind}s; expected one in each file.")
        return held[0]

    def _files(self) -> tuple[str, ...]:
        return _files_of(self.folder)

    def _added(self) -> Mapping[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.folder) if point.name not in self._files()}


METHODS = Shelf("method", "avshot.methods", paths=True)
TASKS = Shelf("task", "avshot.tasks", paths=True)
EXTRACTORS = Shelf("extractor", "avshot.features.extractors")
TEXT_ENCODERS = Shelf("text encoder", "avshot.classes.encoders")


@cache
def _files_of(folder: str) -> tuple[str, ...]:
    package = importlib.import_module(folder)
    return tuple(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_") and not m.ispkg)


def _module_at(path: Path, kind: str) -> ModuleType:
    """The file as a module; read again when its content has changed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadSetting(f"The {kind} {path} cannot be read ({error.strerror}); pass the path of its file.") from None
    name = f"avshot_file_{hashlib.sha256(str(path.resolve()).encode() + content).hexdigest()[:16]}.{path.stem}"
    with _loading:
        return sys.modules[name] if name in sys.modules else _imported(name, path, kind)


def _imported(name: str, path: Path, kind: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadSetting(f"{path} is no Python file; pass the path of one that defines a {kind}.")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # somebody's file may fail with anything
        del sys.modules[name]
        raise BadSetting(f"{path} cannot be imported ({type(error).__name__}: {error}); mend it.") from error
    return module


def digest_of(kind: Shelf, name: str) -> str | None:
    """Digest of the file behind a name that is a path; None for what comes with avshot or an installed package."""
    if not (kind.paths and name.endswith(".py")):
        return None
    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except OSError as error:
        raise BadSetting(f"The {kind.kind} {name} cannot be read ({error.strerror}).") from None


def list_methods() -> list[str]:
    """Names of all methods, sorted: the files in `avshot/methods/`, and what installed packages add."""
    return METHODS.names()


def get_method(name: str) -> type[Method]:
    """The class of method `name`, or of the file at that path. Raises ValueError naming what exists."""
    found: type[Method] = METHODS.get_class(name, Method)
    return found


def get_preset(name: str, preset: str = "default") -> Preset:
    """The preset of method `name`. Raises ValueError naming what exists."""
    presets = get_method(name).presets
    if preset not in presets:
        near = did_you_mean(preset, presets)
        raise BadSetting(f"Method {name!r} has no preset {preset!r}; presets: {', '.join(presets)}.{near}")
    return presets[preset]


def create_method(name: str, inputs: Inputs, *, preset: str = "default", **overrides: Any) -> Method:
    """Build a method with fresh weights drawn from torch's global generator.

    Args:
        name: File name of the method, for example `"devise"`.
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

    Returns:
        The method. It expects features and class embeddings as raw as the authors' model did, one text entry `"w2v"`.

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
