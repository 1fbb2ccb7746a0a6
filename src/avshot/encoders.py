"""Which pretrained encoders there are, whether they can be used here, and how fast they are.

Encoders are all extractors and text encoders that the registry knows; what is said of them stands in their own classes
(`size`, `licence`, `checked`, `joint`), or beside the address of their weights (`avshot.files.pins`).
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from avshot.classes.embed import create_text_encoder
from avshot.classes.encoder import TextEncoder
from avshot.features.extractor import Extractor, create_extractor
from avshot.files.pins import Pin, pins
from avshot.media import Media
from avshot.registry import EXTRACTORS, TEXT_ENCODERS

READS = {"audio": "sound", "visual": "picture"}
SECONDS = 20.0  # of noise or snow that a measurement describes
TEXTS = 64  # names that it embeds


@dataclass(frozen=True)
class Encoder:
    """What is known of one encoder.

    Attributes:
        name: Its spec, "efficientat:mn04_as"; with "..." where a checkpoint has to be named.
        reads: "sound", "picture" or "text".
        joint: Whether sounds or pictures lie in one space with texts.
        size: Of its weights, in words.
        licence: Of its weights.
        checked: What the tests ran it with: "real weights", "random weights", or empty where it has none.
        here: "ready", or what to do before it can be used here.
        speed: Once measured: seconds of recording, or names, for each second of processor.
    """

    name: str
    reads: str
    joint: bool
    size: str
    licence: str
    checked: str
    here: str
    speed: float | None = None


def list_encoders() -> list[Encoder]:
    """All there are: sound, picture, then text, by name. Loads no weights.

    An encoder of an installed package that cannot be imported is listed with the reason under `here`.
    """
    found = [encoder for name in EXTRACTORS.names() for encoder in _extractors(name)]
    found += [_text_encoder(name) for name in TEXT_ENCODERS.names()]
    order = [*READS.values(), "text"]
    return sorted(found, key=lambda e: (order.index(e.reads) if e.reads in order else len(order), e.name))


def measured(encoder: Encoder) -> Encoder:
    """`encoder` with its speed on this machine, if it is ready; one run to warm up, then one that counts."""
    if encoder.here != "ready":
        return encoder
    speed = _names_a_second(encoder.name) if encoder.reads == "text" else _times_real(encoder.name)
    return dataclasses.replace(encoder, speed=speed)


def _extractors(name: str) -> list[Encoder]:
    """One entry, or one for each file of weights that can be fetched."""
    try:
        cls: type[Extractor] = EXTRACTORS.get_class(name, Extractor)
    except ValueError as error:  # somebody's package
        return [Encoder(name, "", False, "", "", "", str(error))]
    own = [pin for pin in pins().values() if pin.extractor == name]
    if own:
        return [_pinned(cls, pin) for pin in own]
    needed = any(f.name == "checkpoint" and f.default is dataclasses.MISSING for f in dataclasses.fields(cls))  # type: ignore[arg-type]
    here = "name a checkpoint" if needed else _ready(cls, name)
    return [_facts(cls, f"{name}:..." if needed else name, READS[cls.modality], here)]


def _pinned(cls: type[Extractor], pin: Pin) -> Encoder:
    here = "ready" if pin.path.is_file() else f"avshot encoders pull {pin.name}"
    size = f"{pin.bytes / 1e6:.0f} MB"
    spec = pin.name if pin.name == pin.extractor else f"{pin.extractor}:{pin.name}"
    return Encoder(spec, READS[cls.modality], cls.joint, size, pin.licence, pin.checked, here)


def _text_encoder(name: str) -> Encoder:
    try:
        cls: type[TextEncoder] = TEXT_ENCODERS.get_class(name, TextEncoder)
    except ValueError as error:
        return Encoder(name, "text", False, "", "", "", str(error))
    return _facts(cls, f"{name}:..." if cls.place else name, "text", f"name a {cls.place}" if cls.place else "ready")


def _facts(cls: type[Any], name: str, reads: str, here: str) -> Encoder:
    return Encoder(name, reads, cls.joint, cls.size, cls.licence, cls.checked, here)


def _ready(cls: type[Extractor], name: str) -> str:
    try:
        create_extractor(name)
    except ValueError as error:
        return f"pip install avshot[{cls.extra}]" if cls.extra else str(error)
    return "ready"


def _times_real(spec: str) -> float:
    """Seconds of recording described in a second of processor."""
    extractor = create_extractor(spec)
    request, random = extractor.request(), np.random.default_rng(0)
    rate, fps = request.get("rate", 16000), request.get("fps") or 25.0
    height, width = request.get("size") or (request.get("short_side") or 64,) * 2
    frames = max(round(SECONDS * fps), 1) if extractor.modality == "visual" else 0
    media = Media(
        random.integers(0, 256, (frames, height, width, 3), np.uint8),
        (np.arange(frames) + 0.5) / fps,
        random.uniform(-0.1, 0.1, round(SECONDS * rate) if not frames else 0).astype(np.float32),
        rate,
        "ok",
        SECONDS,
    )
    extractor(media)
    started = time.process_time()
    extractor(media)
    return SECONDS / max(time.process_time() - started, 1e-9)


def _names_a_second(spec: str) -> float:
    encoder, names = create_text_encoder(spec), [f"a dog barking {i} times" for i in range(TEXTS)]
    encoder.encode(names)
    started = time.process_time()
    encoder.encode(names)
    return TEXTS / max(time.process_time() - started, 1e-9)
