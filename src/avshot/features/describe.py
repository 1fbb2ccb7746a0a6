"""One clip to features: what every way of running an extraction (in process, pool, cluster) shares."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from avshot.features.extractor import Extractor
from avshot.features.store import StoreWriter
from avshot.media import Media, read
from avshot.types import Clip


@dataclass(frozen=True)
class ExtractConfig:
    """Settings of an extraction that do not change the features."""

    dtype: str = "float32"  # on disk; "float16" halves the store
    time_limit: float = 300.0  # seconds a worker process may spend on one clip before it is stopped and the clip failed
    flush_clips: int = 1000  # clips a worker holds at most before they are made permanent
    flush_seconds: float = 60.0  # and for how long; less early in a run, see `Recorder`
    shard_bytes: int = 256 << 20  # memory a worker fills at most, and the size of the largest shards


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
            self.store, spec=spec, worker=worker, dtype=config.dtype, shard_bytes=config.shard_bytes, dims=dims
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
            media = read(clip.path, start=clip.start, end=clip.end, **self.request())
            return Described(media.status) if media.status.startswith("error") else self.describe_media(media)
        except Exception as error:  # one bad file must not stop the rest, whatever it does to a decoder or a model
            return Described(f"error: {type(error).__name__}: {error}")

    def warm_up(self) -> None:
        """Describe a second of silence and darkness, so that weights are loaded and a broken extractor shows at once.

        Without it a missing checkpoint would mark every clip of a data set as failed.
        """
        import av  # noqa: F401 - loaded now, so that the first clip's time limit does not pay for it

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
        """Describe and add a clip; returns its status, whether it has features, and whether all are permanent now."""
        described = self._job.describe(clip)
        try:
            self._add(clip, described)
        except ValueError as error:  # NaN, infinity or a wrong shape: refused by the store, which names the clip
            described = Described(f"error: {error}")
            self._add(clip, described)
        self._flush_if_due()
        return described.status, described.kept, self._writer.pending == 0

    def _add(self, clip: Clip, described: Described) -> None:
        self._writer.add(clip.id, **vars(described), source=clip.path)

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
