"""Several networks that name sounds, heard together: they err on different sounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import Extractor, create_extractor
from avshot.features.sound_tagger import SoundTagger
from avshot.media.presence import sounding
from avshot.untrained.resemblance import LEAST

if TYPE_CHECKING:
    from avshot.media import Media

HOP = 0.5  # seconds between steps, of all networks


@dataclass(frozen=True)
class Hearing(Extractor):
    """Logits of several taggers of sound, side by side, in the windows of the first.

    Of the others, the mean probability of the windows whose middles lie within that of the first counts, or the nearest
    one. Where a sound begins and ends, nearer than half a window, what the first or the last window gives is said again
    every `HOP` seconds: otherwise nobody would have heard the first and the last second of a recording.

    Attributes:
        taggers: At least one; all give logits every `HOP` seconds.
    """

    name: ClassVar[str] = "hearing"
    modality: ClassVar[str] = "audio"

    taggers: tuple[SoundTagger, ...]

    @property
    def dim(self) -> int:
        """Labels of all taggers together."""
        return sum(tagger.dim for tagger in self.taggers)

    @property
    def hop(self) -> float:
        """Seconds between steps."""
        return self.taggers[0].hop

    @property
    def reach(self) -> float:
        """As far as the farthest of them hears, or as another one's window may lie from the middle of the first."""
        first = self.taggers[0]
        return max(first.reach, *(_room(first, other) + other.reach for other in self.taggers))

    def request(self) -> dict[str, Any]:
        """The highest of their sampling rates."""
        return {"rate": max(tagger.rate for tagger in self.taggers)}

    def spec(self) -> dict[str, Any]:
        """Those of the taggers."""
        return {"name": self.name, "version": self.version, "taggers": [tagger.spec() for tagger in self.taggers]}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Steps `[time, dim]` and the centres of the first tagger's windows.

        Raises:
            ValueError: The clip was decoded at another rate.
        """
        if media.rate != self.request()["rate"]:
            raise BadSetting(f"Audio is sampled at {media.rate} Hz; expected {self.request()['rate']} as of request().")
        made = [(tagger, *tagger(_at_rate(media, tagger.rate))) for tagger in self.taggers]
        first, vectors, times = made[0]
        if not len(times):
            return torch.zeros(0, self.dim), times
        vectors, times = _to_the_ends(vectors, times, sounding(media.waveform, media.rate, media.gaps))
        beside = [_beside(times, other, time, _room(first, tagger)) for tagger, other, time in made[1:]]
        return torch.cat([vectors, *beside], dim=1), times


def hearing(specs: Sequence[str], window: float | None = None, device: str = "cpu") -> Hearing:
    """Taggers of sound from their specs.

    Args:
        specs: Such as `"efficientat"` or `"yamnet:/models/yamnet.tflite"`.
        window: Seconds that those hear which can be told so; None: what they hear usually.
        device: Where they run.

    Raises:
        ValueError: An extractor that names no sounds, or whose weights are not there.
    """
    made = []
    for spec in specs:
        tagger = create_extractor(spec)
        if not isinstance(tagger, SoundTagger):
            raise BadSetting(f"Extractor {spec!r} has no words for sounds; take efficientat or yamnet.")
        settings: dict[str, Any] = {"out": "logits", "hop": HOP, "device": device}
        if window is not None and any(field.name == "window" for field in fields(tagger)):  # type: ignore[arg-type]
            settings["window"] = window
        made.append(replace(tagger, **settings))  # type: ignore[type-var]
    return Hearing(tuple(made))


def _room(first: SoundTagger, other: SoundTagger) -> float:
    """Seconds that the centre of another's window may lie from that of the first to lie within it."""
    return max(0.0, (first.window - other.hop) / 2)


def _at_rate(media: Media, rate: int) -> Media:
    if media.rate == rate:
        return media
    import soxr

    return replace(media, waveform=soxr.resample(media.waveform, media.rate, rate, quality="HQ"), rate=rate)


def _to_the_ends(vectors: Tensor, times: Tensor, spans: Iterable[tuple[float, float]]) -> tuple[Tensor, Tensor]:
    """Steps, and copies of the first and the last one of each span of sound every `HOP` seconds up to its ends."""
    rows, found = [], []
    for start, end in spans:
        own = ((times >= start) & (times <= end)).nonzero().flatten().tolist()
        if not own:
            continue
        first, last = float(times[own[0]]), float(times[own[-1]])
        before, after = math.ceil((first - start) / HOP) - 1, math.ceil((end - last) / HOP) - 1
        rows += [own[0]] * max(0, before) + own + [own[-1]] * max(0, after)
        found += [first - HOP * i for i in range(before, 0, -1)]
        found += times[own].tolist() + [last + HOP * i for i in range(1, after + 1)]
    return vectors[rows], torch.tensor(found, dtype=times.dtype)


def _beside(times: Tensor, vectors: Tensor, others: Tensor, room: float) -> Tensor:
    """Logits `[time, dim]` of the mean probability within `room` seconds of each of `times`, or of the nearest one.

    Probabilities are averaged, not logits: a sound that fills one of three windows is there.
    """
    if not len(others):
        return torch.full((len(times), vectors.shape[1]), -torch.inf)  # nothing is heard: probability 0
    apart = (times[:, None].double() - others[None].double()).abs()
    near = (apart <= room + 1e-6) | (apart == apart.min(dim=1, keepdim=True).values)
    mean = (near.double() / near.sum(dim=1, keepdim=True)) @ vectors.double().sigmoid()
    return torch.logit(mean, eps=LEAST).float()
