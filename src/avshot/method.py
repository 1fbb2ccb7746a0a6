"""The contract of a method.

A method is one file in `avshot/methods/`: a frozen `Config`, `presets`, and a `Method` subclass decorated with
`@method`. It knows nothing of datasets, splits, optimisers or calibration: it maps a `Batch` to named loss terms and
`Features` x `Classes` to scores. Everything else (command line, contract tests, reports, prediction) picks it up; it is
found by the name of its file (`avshot.registry`).
"""

from __future__ import annotations

import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from avshot.errors import BadSetting
from avshot.recipe import AVCA_SELECTION, SMALL_SEQUENCES, TUNED, VIEWS, Phase, Preset, Recipe, Selection, Turn
from avshot.settings import replace_fields
from avshot.types import MODALITIES, Batch, Classes, Features

__all__ = [
    "AVCA_SELECTION",
    "SMALL_SEQUENCES",
    "TUNED",
    "VIEWS",
    "Inputs",
    "Method",
    "Needs",
    "Phase",
    "Preset",
    "Recipe",
    "Selection",
    "Turn",
    "build_method",
    "check_modalities",
    "method",
    "replace_fields",
]


@dataclass(frozen=True)
class Needs:
    """What a method asks of its input, in place of flags in shared code.

    Attributes:
        texts: How many text encoders it joins (ClipClap: 2). `Classes.text` must hold exactly that many entries;
            separate descriptions are entries of their own.
        fewer_texts: It also works with fewer of them, at least one.
        temporal: It uses the order of time steps; False means it reads `Features.pooled()`.
        negatives: `Batch.negative` must be there.
        open_vocabulary: It can score classes that neither training nor `Method.adapt` has shown it.
        missing_modality: It can learn from and score clips that have only one modality, also where the other does not
            exist at all (an `Inputs` width of 0); its docstring says how.
        pairs: Classes must be pairs of an action and an adverb: `Classes.factors` has both.
    """

    texts: int = 1
    fewer_texts: bool = False
    temporal: bool = False
    negatives: bool = False
    open_vocabulary: bool = True
    missing_modality: bool = True
    pairs: bool = False

    def accepts(self, texts: int) -> bool:
        """Whether so many text encoders suit it."""
        return texts == self.texts or (self.fewer_texts and 1 <= texts < self.texts)


@dataclass(frozen=True)
class Inputs:
    """The sizes a method is built for: widths of the audio and visual features and of each class embedding.

    A width of 0 says that the modality does not exist: features were made of the other one alone, every mask is False.
    `classes` are the names of the classes that are trained, in the order of `Batch.classes`, for methods that have a
    weight for each; empty where nobody said. `factors` are the values that the parts of pairs can have (all actions,
    all adverbs), for methods that have a weight for each of them; empty where classes are plain.
    """

    audio: int
    visual: int
    text: Mapping[str, int]
    classes: tuple[str, ...] = ()
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, features: Features, classes: Classes, trained: Sequence[str] = ()) -> Inputs:
        """Read the sizes from data."""
        factors = {name: factor.names for name, factor in classes.factors.items()}
        return cls(*features.dims, dict(classes.dims), tuple(trained), factors)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of "audio" and "visual" that exist."""
        return tuple(name for name in MODALITIES if getattr(self, name) > 0)

    @property
    def text_dim(self) -> int:
        """Width of the only class embedding. Raises ValueError when there are several."""
        if len(self.text) != 1:
            raise BadSetting(f"This method uses one text encoder; got {len(self.text)}: {', '.join(self.text)}.")
        return next(iter(self.text.values()))


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
            when an experiment asks for `legacy`. Widths, rates and dropout are those of the preset.
        released_recipe: Fields of `Recipe` for the same.
        released_selection: Fields of `Selection` for the same.
        class_transductive: Its training hears the names of the classes to be tested, for example to make features of
            them; `adapt` alone, after training on the seen ones, does not count unless a classifier is trained there.
        aliases: Other names of the method, each with fields of `Config` that it sets in every preset: variants that
            papers name, and names that the method had before.
    """

    needs: ClassVar[Needs] = Needs()
    Config: ClassVar[type]
    presets: ClassVar[Mapping[str, Preset]]
    paper: ClassVar[str]
    name: ClassVar[str]
    frozen: ClassVar[tuple[str, ...]] = ()
    released: ClassVar[Mapping[str, Any]] = {}
    released_recipe: ClassVar[Mapping[str, Any]] = {}
    released_selection: ClassVar[Mapping[str, Any]] = {}
    class_transductive: ClassVar[bool] = False
    aliases: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    config: Any
    inputs: Inputs

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = cls.__module__.rpartition(".")[2]

    def __init__(self, config: Any, inputs: Inputs) -> None:
        super().__init__()
        if not self.needs.accepts(len(inputs.text)):
            raise BadSetting(
                f"Method {self.name!r} joins {self.needs.texts} text encoder(s); got {len(inputs.text)} "
                f"({', '.join(inputs.text)}). Pass that many text encoders."
            )
        check_modalities(type(self), inputs.modalities)
        if self.needs.pairs and not {"action", "adverb"} <= set(inputs.factors):
            raise BadSetting(
                f"Method {self.name!r} learns from pairs of an action and an adverb, and these classes are plain; use "
                "a dataset whose classes are pairs, or another method (`avshot methods` lists them)."
            )
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
    def closed(self) -> bool:
        """It scores no classes but those that it was trained on, because each has weights of its own."""
        return not self.needs.open_vocabulary and not self.adapts()

    @property
    def couples(self) -> str:
        """How a clip's loss depends on which others are in the batch, as half a sentence; empty where it does not.

        Empty means that `loss` is the mean over clips of what each would give alone (but for batch statistics, and with
        `nn.batch_means.mean_over` for means over some of the clips), so that several processes can each take a slice.
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


def method(cls: M) -> M:
    """Mark the method of a file, whose name it bears. Raises ValueError for a second one in the file."""
    others = vars(sys.modules[cls.__module__]).values() if cls.__module__ in sys.modules else ()
    if any(isinstance(o, type) and issubclass(o, Method) and o.__module__ == cls.__module__ for o in others):
        raise BadSetting(f"File {cls.name}.py registers two methods; one file holds one method.")
    return cls


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
        raise BadSetting(
            "The training clips have neither audio nor visual features, so there is nothing to learn from; extract "
            "features of at least one with `avshot extract`."
        )
    if not left:
        raise BadSetting(
            f"The features have no {modality} part, and modality {modality!r} lets the method see nothing else; drop "
            f"--modality, or extract {modality} features too (avshot extract --{modality})."
        )
    cause = f"the features have no {lacking[0]} part" if lacking else f"modality {modality!r} hides the others"
    cure = f"extract again with --{lacking[0]} too" if lacking else "drop --modality"
    if len(left) == 1 and not method.needs.missing_modality:
        raise BadSetting(
            f"Method {method.name!r} needs both audio and visual features, and {cause}; {cure}, or use a method that "
            "can do with one (`avshot methods` lists them)."
        )
    if isinstance(method, Method) and not set(left) & set(method.decided_by):
        by = f"{method.decided_by[0]} alone" if method.decided_by else "nothing that is there"
        raise BadSetting(
            f"Method {method.name!r} decides by {by} with these settings, and {cause}; {cure}, or change the settings."
        )
