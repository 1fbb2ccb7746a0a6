"""One clip to features: what every way of running an extraction (in process, pool, cluster) shares."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from avshot.features.extractor import Extractor
from avshot.features.origin import changed_meanwhile, origin_of
from avshot.features.writer import StoreWriter
from avshot.files.url import local_path
from avshot.media import Media, read
from avshot.types import Clip

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
            raise ValueError(
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
    """Features of one clip: `[time, dim]` and seconds `[time]` per modality, None where it has none."""

    status: str
    audio: Tensor | None = None
    audio_time: Tensor | None = None
    visual: Tensor | None = None
    visual_time: Tensor | None = None

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
            raise ValueError("Neither an audio nor a visual extractor is given; name at least one.")
        for modality, extractor in (("audio", self.audio), ("visual", self.visual)):
            if extractor is not None and extractor.modality != modality:
                raise ValueError(f"{extractor!r} is the {modality} extractor but describes {extractor.modality}.")

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
            media = read(path, start=clip.start, end=clip.end, **self.request())
            found = Described(media.status) if media.status.startswith("error") else self.describe_media(media)
        except MemoryError:
            found = Described(self.config.out_of_memory)
        except Exception as error:  # one bad file must not stop the rest, whatever it does to a decoder or a model
            found = Described(f"error: {type(error).__name__}: {error}")
        short = found.status.startswith("error") and any(words in found.status for words in _NO_MEMORY)
        return Described(self.config.out_of_memory) if short else found

    def warm_up(self) -> None:
        """Describe a second of silence and darkness, so that weights are loaded and a broken extractor shows at once.

        Without it a missing checkpoint would mark every clip of a data set as failed.
        """
        import av  # noqa: F401 - loaded now, so that the limits of the first clip do not pay for it
        import soxr  # noqa: F401

        wanted = self.request()
        fps, rate = wanted.get("fps") or 25.0, wanted.get("rate", 16000)
        height, width = wanted.get("size") or (wanted.get("short_side") or 64,) * 2
        steps = max(round(fps), 1) if self.visual is not None else 0
        frames = np.zeros((steps, height, width, 3), np.uint8)
        waveform = np.zeros(rate if self.audio is not None else 0, np.float32)
        self.describe_media(Media(frames, (np.arange(steps) + 0.5) / fps, waveform, rate, "ok", 1.0))

    def describe_media(self, media: Media) -> Described:
        """Describe a clip that is already decoded with `request()`. A broken extractor raises what it raises."""
        audio, audio_time = (None, None) if self.audio is None else self.audio(media)
        visual, visual_time = (None, None) if self.visual is None else self.visual(media)
        if audio is None or len(audio) == 0:
            audio = audio_time = None
        if visual is None or len(visual) == 0:
            visual = visual_time = None
        status = media.status
        if audio is None and visual is None:
            if status == "ok":
                status = "error: too short for a single feature step"
        elif status == "ok" and self.audio is not None and audio is None:
            status = "no_audio"
        elif status == "ok" and self.visual is not None and visual is None:
            status = "no_visual"
        return Described(status, audio, audio_time, visual, visual_time)


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
            self._writer.add(clip.id, **vars(described), source=clip.path, origin=origin)
        except ValueError as error:  # NaN, infinity or a wrong shape: refused by the store, which names the clip
            described = Described(f"error: {error}")
            self._writer.add(clip.id, **vars(described), source=clip.path, origin=origin)
        self._flush_if_due()
        return described.status, described.kept, self._writer.pending == 0

    def flush(self) -> None:
        """Make what was described permanent now."""
        self._writer.flush()

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
