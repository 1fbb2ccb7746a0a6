"""One clip to features: what every way of running an extraction (in process, pool, cluster) shares."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import Extractor
from avshot.features.store.origin import Origin, changed_meanwhile, origin_of
from avshot.features.store.writer import StoreWriter
from avshot.files.url import local_path
from avshot.media import Media, read
from avshot.media.presence import lit, sounding
from avshot.types import MODALITIES, Clip

_NOTHING = {"audio": "the sound is silent", "visual": "the picture is black"}
_ABSENT = {"audio": "there is no sound", "visual": "there is no picture"}
_STORED = ("audio", "audio_time", "visual", "visual_time")

_USUAL = 8 << 30
_NO_MEMORY = ("allocate memory", "std::bad_alloc")  # of torch and of FFmpeg, which have errors of their own
_CHANGED = "error: the file changed while it was read; run the same extraction again when it is complete"


@dataclass(frozen=True)
class ExtractConfig:
    """Settings of an extraction that do not change the features."""

    dtype: str = "float32"  # on disk; "float16" halves the store
    time_limit: float = 300.0  # seconds a worker process may spend on one clip before it is stopped and the clip failed
    memory_limit: float | None = None  # bytes a worker process may take for one clip (Linux); None = `usual_memory`
    flush_clips: int = 1000  # clips a worker holds at most before they are made permanent
    flush_seconds: float = 60.0  # and for how long; less early in a run, see `Recorder`
    shard_bytes: int = 256 << 20  # memory a worker fills at most, and the size of the largest shards

    def __post_init__(self) -> None:
        if not self.time_limit > 0 or not (self.memory_limit is None or self.memory_limit > 0):
            raise BadSetting(
                f"Got a limit of {self.time_limit} seconds and {self.memory_limit} bytes for one clip; expected more "
                "than 0 of both."
            )

    @property
    def memory(self) -> float:
        """Bytes a worker process may take for one clip."""
        return usual_memory() if self.memory_limit is None else self.memory_limit

    @property
    def out_of_memory(self) -> str:
        """Status of a clip that takes more."""
        return f"error: it takes more than {self.memory / (1 << 30):.3g} GiB of memory; raise the memory limit"


def usual_memory() -> int:
    """Half the memory of this machine in bytes, at most 8 GiB."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return _USUAL
    return min(_USUAL, whole // 2)


@dataclass(frozen=True)
class Described:
    """Features of one clip: `[time, dim]` and seconds `[time]` per modality, None where it has none.

    Attributes:
        status: "ok", "no_audio", "no_visual", "silent", "black", "truncated" or "error: " and a sentence. Of several
            the gravest: an error, then truncated, then a stream that is not there, then one that holds nothing.
        audio: `[time, dim]`.
        audio_time: `[time]` seconds from the start of the span.
        visual: `[time, dim]`.
        visual_time: `[time]` seconds from the start of the span.
        empty: The modalities whose stream is there but holds nothing: "audio" that is silent, "visual" that is black.
        notes: Sentences of the reader on what the status cannot say.
    """

    status: str
    audio: Tensor | None = None
    audio_time: Tensor | None = None
    visual: Tensor | None = None
    visual_time: Tensor | None = None
    empty: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """True when there is at least one modality to store."""
        return self.audio is not None or self.visual is not None


@dataclass(frozen=True)
class Job:
    """What to extract into which store; travels to the worker processes."""

    audio: Extractor | None
    visual: Extractor | None
    store: str
    config: ExtractConfig = field(default_factory=ExtractConfig)
    after: float = 0.0  # see `StoreWriter`

    def __post_init__(self) -> None:
        if self.audio is None and self.visual is None:
            raise BadSetting("Neither an audio nor a visual extractor is given; name at least one.")
        for modality, extractor in (("audio", self.audio), ("visual", self.visual)):
            if extractor is not None and extractor.modality != modality:
                raise BadSetting(f"{extractor!r} is the {modality} extractor but describes {extractor.modality}.")

    def writer(self, worker: str) -> StoreWriter:
        """A writer into the store. Raises ValueError when the store holds features of other extractors."""
        spec = {
            "audio": None if self.audio is None else self.audio.spec(),
            "visual": None if self.visual is None else self.visual.spec(),
        }
        dims = (0 if self.audio is None else self.audio.dim, 0 if self.visual is None else self.visual.dim)
        config = self.config
        return StoreWriter(
            self.store,
            spec=spec,
            worker=worker,
            dtype=config.dtype,
            shard_bytes=config.shard_bytes,
            dims=dims,
            after=self.after,
        )

    def request(self) -> dict[str, Any]:
        """What to ask of `avshot.media.read`: the frames the visual and the sound the audio extractor wants."""
        wanted: dict[str, Any] = {"want_frames": self.visual is not None, "want_audio": self.audio is not None}
        for extractor in (self.visual, self.audio):
            wanted.update({} if extractor is None else extractor.request())
        return wanted

    def describe(self, clip: Clip) -> Described:
        """Decode a clip once and describe it. Never raises: what went wrong becomes the status."""
        try:
            path = local_path(clip.path)
        except ValueError as error:  # a URL
            return Described(f"error: {error}.")
        try:
            found = self.describe_media(read(path, start=clip.start, end=clip.end, **self.request()))
        except MemoryError:
            found = Described(self.config.out_of_memory)
        except Exception as error:  # one bad file must not stop the rest, whatever it does to a decoder or a model
            found = Described(f"error: {type(error).__name__}: {error}")
        short = found.status.startswith("error") and any(words in found.status for words in _NO_MEMORY)
        return Described(self.config.out_of_memory) if short else found

    def warm_up(self) -> None:
        """Describe a second of noise and of snow, so that weights are loaded and a broken extractor shows at once.

        Without it a missing checkpoint would mark every clip of a data set as failed.
        """
        import av  # noqa: F401 - loaded now, so that the limits of the first clip do not pay for it
        import soxr  # noqa: F401

        wanted = self.request()
        fps, rate = wanted.get("fps") or 25.0, wanted.get("rate", 16000)
        height, width = wanted.get("size") or (wanted.get("short_side") or 64,) * 2
        steps = max(round(fps), 1) if self.visual is not None else 0
        random = np.random.default_rng(0)
        frames = random.integers(0, 256, (steps, height, width, 3), np.uint8)
        waveform = random.uniform(-0.1, 0.1, rate if self.audio is not None else 0).astype(np.float32)
        self.describe_media(Media(frames, (np.arange(steps) + 0.5) / fps, waveform, rate, "ok", 1.0))

    def describe_media(self, media: Media) -> Described:
        """Describe a clip that is already decoded with `request()`. A broken extractor raises what it raises.

        A stream that is there but holds nothing (`avshot.media.presence`) is described as if it were not there. What
        the arrays hold decides; of the media's own status only "truncated" and errors count.
        """
        if media.status.startswith("error"):
            return Described(media.status, notes=media.notes)
        there = {
            "audio": self.audio is not None and len(media.waveform) > 0,
            "visual": self.visual is not None and len(media.frames) > 0,
        }
        holds = {
            "audio": there["audio"] and len(sounding(media.waveform, media.rate, media.gaps)) > 0,
            "visual": there["visual"] and bool(lit(media.frames).any()),
        }
        empty = tuple(name for name in MODALITIES if there[name] and not holds[name])
        audio, audio_time = self.audio(media) if self.audio is not None and holds["audio"] else (None, None)
        visual, visual_time = self.visual(media) if self.visual is not None and holds["visual"] else (None, None)
        if audio is None or len(audio) == 0:
            audio = audio_time = None
        if visual is None or len(visual) == 0:
            visual = visual_time = None
        status = self._status(media, audio is not None, visual is not None, empty)
        return Described(status, audio, audio_time, visual, visual_time, empty, media.notes)

    def _status(self, media: Media, has_audio: bool, has_visual: bool, empty: tuple[str, ...]) -> str:
        if not has_audio and not has_visual:
            return self._reason(media, empty)
        if media.status == "truncated":
            return "truncated"
        if self.audio is not None and not has_audio:
            return "silent" if "audio" in empty else "no_audio"
        if self.visual is not None and not has_visual:
            return "black" if "visual" in empty else "no_visual"
        return "ok"

    def _reason(self, media: Media, empty: tuple[str, ...]) -> str:
        """The status of a clip that gave no features."""
        if empty:
            wanted = [name for name, extractor in zip(MODALITIES, (self.audio, self.visual), strict=True) if extractor]
            facts = [(_NOTHING if name in empty else _ABSENT)[name] for name in wanted]
            return f"error: {' and '.join(facts)}"
        missing = media.status in ("no_audio", "no_visual", "truncated")
        return media.status if missing else "error: too short for a single feature step"


class Recorder:
    """Describes clips one after the other and writes them to the store under one worker name.

    What is not yet permanent when the process is killed is described again on resume: at most `flush_clips` clips, at
    most the work of `flush_seconds`, and early in a run at most a twentieth of the time spent (but two seconds), plus
    the clip in hand. The growing interval keeps small runs safe and large ones free of tiny shards.
    """

    def __init__(self, job: Job, worker: str) -> None:
        self._job, self._writer = job, job.writer(worker)
        self._started = self._flushed = time.monotonic()

    def record(self, clip: Clip) -> tuple[str, bool, bool]:
        """Describe and add a clip; returns its status, whether it has features, and whether all are permanent now.

        Raises:
            OSError: The store cannot be written.
        """
        origin = origin_of(clip)
        described = self._job.describe(clip)
        if changed_meanwhile(origin, clip):
            described = Described(_CHANGED)
        try:
            self._add(clip, described, origin)
        except ValueError as error:  # NaN, infinity or a wrong shape: refused by the store, which names the clip
            described = Described(f"error: {error}")
            self._add(clip, described, origin)
        self._flush_if_due()
        return described.status, described.kept, self._writer.pending == 0

    def flush(self) -> None:
        """Make what was described permanent now."""
        self._writer.flush()

    def _add(self, clip: Clip, described: Described, origin: Origin) -> None:
        stored = {name: getattr(described, name) for name in ("status", *_STORED)}
        self._writer.add(clip.id, **stored, source=clip.path, origin=origin)

    def _flush_if_due(self) -> None:
        now, config = time.monotonic(), self._job.config
        due = min(config.flush_seconds, max(2.0, (now - self._started) / 20))
        if self._writer.pending >= config.flush_clips or now - self._flushed >= due:
            self._writer.flush()
            self._flushed = time.monotonic()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.flush()
