"""The contract of a method, and the registry that finds methods by file name.

A method is one file in `avshot/methods/`: a frozen `Config`, `presets`, and a `Method` subclass decorated with
`@method`. It knows nothing of datasets, splits, optimisers or calibration: it maps a `Batch` to named loss terms and
`Features` x `Classes` to scores. Everything else (command line, contract tests, reports, prediction) picks it up.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from avshot.needs import Inputs, Needs
from avshot.recipe import Phase, Preset, Recipe, Turn
from avshot.settings import replace_fields
from avshot.types import MODALITIES, Batch, Classes, Features

__all__ = [
    "Inputs",
    "Method",
    "Needs",
    "Phase",
    "Preset",
    "Recipe",
    "Turn",
    "build_method",
    "check_modalities",
    "create_method",
    "get_method",
    "get_preset",
    "list_methods",
    "method",
    "replace_fields",
]


class Method(nn.Module, ABC):
    """Base class of all methods: `loss`, `score`, and a few facts as class attributes.

    Subclasses are final: variants are `Config` values or new files. They take `(config, inputs)`.

    Attributes:
        needs: What the method asks of its input.
        Config: Its frozen dataclass of settings.
        presets: Named settings; `"default"` suits own videos, the others are published ones.
        paper: Authors, title, venue, year, link.
        frozen: Prefixes of parameter names that no phase trains.
        released: Fields of `Config` that restore what the authors' program does where ours departs from it; applied
            when an experiment asks for `legacy`.
    """

    needs: ClassVar[Needs] = Needs()
    Config: ClassVar[type]
    presets: ClassVar[Mapping[str, Preset]]
    paper: ClassVar[str]
    name: ClassVar[str]
    frozen: ClassVar[tuple[str, ...]] = ()
    released: ClassVar[Mapping[str, Any]] = {}

    config: Any
    inputs: Inputs

    def __init__(self, config: Any, inputs: Inputs) -> None:
        super().__init__()
        if not self.needs.accepts(len(inputs.text)):
            raise ValueError(
                f"Method {self.name!r} joins {self.needs.texts} text encoder(s); got {len(inputs.text)} "
                f"({', '.join(inputs.text)}). Pass that many text encoders."
            )
        check_modalities(type(self), inputs.modalities)
        self.config = config
        self.inputs = inputs

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalar loss terms, already weighted; each turn of a phase minimises the sum of its terms.

        Every method has them except those that learn nothing by gradient (`phases()` is empty).
        """
        raise NotImplementedError(f"{self.name} learns nothing by gradient, so it has no loss.")

    @abstractmethod
    def score(self, features: Features, classes: Classes) -> Tensor:
        """Scores `[clip, class]`, higher is better, in eval mode independent of the other clips of the batch."""

    def adapt(self, support: Iterable[Batch] | None, classes: Classes) -> None:
        """Get ready for the candidate `classes`; called after training and before every judgement. Usually nothing.

        For what no gradient step on a batch can do: a solution in closed form, a final classifier on generated
        features. Torch's global generator is seeded before the call; gradients are on; the method is in eval mode.

        Args:
            support: All training clips once, in batches without negatives, labelled among `batch.classes`; can be
                passed through several times. None when they are not at hand (prediction with new names): make do with
                what was learnt.
            classes: The candidates that `score` will be asked for, with `seen` set.
        """

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor] | None:
        """Clips `[clip, dim]` and classes `[class, dim]` in the space they are compared in; None without such a space.

        Only pictures use it.
        """
        return None

    @property
    def decided_by(self) -> tuple[str, ...]:
        """Modalities that can decide for themselves; a clip that has none of them is told apart from no other.

        Both, unless a setting takes a branch away.
        """
        return MODALITIES

    @property
    def couples(self) -> str:
        """How a clip's loss depends on which others are in the batch, as half a sentence; empty where it does not.

        Empty means that `loss` is the mean over clips of what each would give alone (but for batch statistics, and with
        `losses.mean_over` for means over some of the clips), so that several processes can each take a slice.
        """
        return ""

    def phases(self) -> tuple[Phase, ...]:
        """Phases of training, in order; one that trains everything unless overridden. Empty: nothing by gradient."""
        return (Phase(),)

    @property
    def device(self) -> torch.device:
        """Where the weights are; the CPU for a method without any."""
        return next((tensor.device for tensor in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    @classmethod
    def adapts(cls) -> bool:
        """Whether `adapt` does anything."""
        return cls.adapt is not Method.adapt


M = TypeVar("M", bound=type[Method])
_REGISTRY: dict[str, type[Method]] = {}


def method(cls: M) -> M:
    """Register a `Method` under the name of its file. Raises ValueError for a second method in one file."""
    name = cls.__module__.rsplit(".", 1)[-1]
    if name in _REGISTRY and _REGISTRY[name].__qualname__ != cls.__qualname__:
        raise ValueError(f"File {name}.py registers two methods; one file holds one method.")
    cls.name = name
    _REGISTRY[name] = cls
    return cls


def list_methods() -> list[str]:
    """Names of all methods, sorted: the file names in `avshot/methods/`."""
    import avshot.methods

    return sorted(m.name for m in pkgutil.iter_modules(avshot.methods.__path__))


def get_method(name: str) -> type[Method]:
    """The class of method `name`. Raises ValueError naming what exists."""
    if name not in _REGISTRY:
        known = list_methods()
        if name not in known:
            raise ValueError(f"Method {name!r} does not exist; methods: {', '.join(known)}.")
        importlib.import_module(f"avshot.methods.{name}")
    return _REGISTRY[name]


def get_preset(name: str, preset: str = "default") -> Preset:
    """The preset of method `name`. Raises ValueError naming what exists."""
    presets = get_method(name).presets
    if preset not in presets:
        raise ValueError(f"Method {name!r} has no preset {preset!r}; presets: {', '.join(presets)}.")
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
        >>> from avshot.method import Inputs, create_method
        >>> create_method("devise", Inputs(audio=128, visual=64, text={"wordllama": 256})).name
        'devise'
    """
    return build_method(get_method(name), replace_fields(get_preset(name, preset).config, overrides), inputs)


def build_method(cls: type[Method], config: Any, inputs: Inputs, modality: str = "both") -> Method:
    """Build a method with fresh weights, for features that may lack a modality altogether.

    Args:
        cls: Class of the method.
        config: Its settings.
        inputs: Feature and class-embedding sizes.
        modality: "both", "audio" or "visual": what the method will get to see.

    Raises:
        ValueError: The sizes or settings do not suit the method, or it could decide nothing by what it will see.
    """
    with warnings.catch_warnings():
        # Layers that would read a modality that does not exist have no weights: torch warns that it cannot draw them.
        warnings.filterwarnings("ignore", "Initializing zero-element tensors is a no-op")
        made = cls(config, inputs)
    check_modalities(made, inputs.modalities, modality)
    return made


def check_modalities(method: Method | type[Method], there: Collection[str], modality: str = "both") -> None:
    """Refuse to learn from clips that lack what is asked for or what a method needs.

    Args:
        method: The method; its class where it is not built yet (then its settings are not looked at).
        there: Those of "audio" and "visual" that any of the clips has.
        modality: "both", "audio" or "visual": what the method is to see.

    Raises:
        ValueError: Nothing is there, `modality` is not, the method needs both and is to see one, or with its settings
            it decides by another one alone.
    """
    lacking = [name for name in MODALITIES if name not in there]
    hidden = [name for name in MODALITIES if modality not in ("both", name)]
    left = [name for name in MODALITIES if name not in (*lacking, *hidden)]
    if len(lacking) == len(MODALITIES):
        raise ValueError(
            "The training clips have neither audio nor visual features, so there is nothing to learn from; extract "
            "features of at least one with `avshot extract`."
        )
    if not left:
        raise ValueError(
            f"The features have no {modality} part, and modality {modality!r} lets the method see nothing else; drop "
            f"--modality, or extract {modality} features too (avshot extract --{modality})."
        )
    cause = f"the features have no {lacking[0]} part" if lacking else f"modality {modality!r} hides the others"
    cure = f"extract again with --{lacking[0]} too" if lacking else "drop --modality"
    if len(left) == 1 and not method.needs.missing_modality:
        able = [name for name in list_methods() if get_method(name).needs.missing_modality]
        raise ValueError(
            f"Method {method.name!r} needs both audio and visual features, and {cause}; {cure}, or use a method that "
            f"can do with one (--method {', '.join(able)})."
        )
    if isinstance(method, Method) and not set(left) & set(method.decided_by):
        by = f"{method.decided_by[0]} alone" if method.decided_by else "nothing that is there"
        raise ValueError(
            f"Method {method.name!r} decides by {by} with these settings, and {cause}; {cure}, or change the settings."
        )
