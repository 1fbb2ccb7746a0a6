"""Sound: one audio stream to a mono waveform at a stated rate, every sample at the time its stamp says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# A stamp this far from where the samples so far end begins a new run. Just below one frame of AAC at 48 kHz (21.3 ms):
# one lost frame is noticed, the rounding of stamps to milliseconds is not.
GAP = 0.02


class Sound:
    """Decodes one audio stream packet by packet.

    Channels are averaged (all of them, as librosa does), so the level does not depend on the codec's sample format;
    gaps between stamps and a late beginning become zeros.
    """

    def __init__(self, stream: Any, start: float, end: float) -> None:
        self.stream, self.start, self.end = stream, start, end
        self.done = False
        self.first = math.inf  # stamp of the first packet
        self._base = float(stream.time_base)
        self._runs: list[_Run] = []
        self._last = 0.0

    def feed(self, packet: Any) -> None:
        """Decode one packet; None flushes the decoder."""
        from av.error import FFmpegError

        if self.done:
            return
        if packet is not None and packet.pts is not None:
            self.first = min(self.first, packet.pts * self._base)
        try:
            frames = self.stream.codec_context.decode(packet)
        except FFmpegError:  # a damaged packet: its time becomes a gap
            return
        for frame in frames:
            if frame.samples:
                self._add(frame)

    def finish(self, rate: int, end: float) -> np.ndarray:
        """Flush and give the waveform of the span at `rate` Hz, cut at `end` seconds (AAC pads its last packet)."""
        self.feed(None)
        last = max((run.end for run in self._runs), default=self.start)
        if end > -math.inf:  # packets without stamps cannot say where they end
            last = min(last, end)
        total = max(0, round((min(last, self.end) - self.start) * rate))
        runs = [(run.time, run.mono(rate)) for run in self._runs]
        waveform = np.zeros(total, np.float32)
        for time, samples in runs:
            _place(waveform, samples, round((time - self.start) * rate))
        return waveform

    def _add(self, frame: Any) -> None:
        time = self._last if frame.pts is None else frame.pts * self._base
        key = (frame.format.name, frame.layout.name, frame.sample_rate)
        run = self._runs[-1] if self._runs else None
        self._last = time + frame.samples / frame.sample_rate
        if self._last <= self.start:
            return
        if time >= self.end:
            self.done = True
            return
        if run is None or run.key != key or abs(time - run.end) > GAP:
            run = _Run(key, time)
            self._runs.append(run)
        run.add(frame)


class _Run:
    """Consecutive samples of one format, channel layout and rate."""

    def __init__(self, key: tuple[str, str, int], time: float) -> None:
        self.key, self.time, self.count = key, time, 0
        self._chunks: list[np.ndarray] = []

    @property
    def end(self) -> float:
        return self.time + self.count / self.key[2]

    def add(self, frame: Any) -> None:
        data = frame.to_ndarray()
        if not frame.format.is_planar:
            data = data.reshape(frame.samples, -1).T
        self._chunks.append(data)
        self.count += frame.samples

    def mono(self, rate: int) -> np.ndarray:
        import soxr

        samples = np.concatenate(self._chunks, axis=1)
        self._chunks = []
        if samples.dtype == np.uint8:
            samples = samples.astype(np.float32) / 128.0 - 1.0
        elif samples.dtype.kind == "i":
            samples = samples.astype(np.float32) / float(2 ** (8 * samples.dtype.itemsize - 1))
        mono = samples.astype(np.float32, copy=False)
        mono = mono[0] if len(mono) == 1 else mono.mean(axis=0)
        if rate != self.key[2]:
            mono = soxr.resample(mono, self.key[2], rate, quality="HQ")
        return np.clip(np.nan_to_num(mono, copy=False), -1.0, 1.0)


def _place(waveform: np.ndarray, samples: np.ndarray, offset: int) -> None:
    if offset < 0:
        samples, offset = samples[-offset:], 0
    samples = samples[: max(0, len(waveform) - offset)]
    waveform[offset : offset + len(samples)] = samples
