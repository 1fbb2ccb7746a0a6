"""Sound: one audio stream to a mono waveform at a stated rate, every sample at the time its stamp says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

# A stamp this far from where the samples so far end begins a new run. Just below one frame of AAC at 48 kHz (21.3 ms):
# one lost frame is noticed, the rounding of stamps to milliseconds is not.
GAP = 0.02

# Overlap of stamps that had to be put right: of a sound whose rate changed they are counted at the old one.
_LOOSE = 0.25

_TOGETHER = 64  # packets decoded before their samples are copied: each of the two is faster without turns
_LONG = 1 << 20  # samples per channel that wait before they are resampled: what is held does not grow with the file
_WIDE = 1 << 24  # and samples of all channels
# Rates (Hz) outside are no sound but damage. Telephones use 8000, DSD decodes to 352,800 and more.
RATES = (100, 6_144_000)
# Share of the channels' power that is left in their average when they cancel, one being the other upside down. Codecs
# leave something of it, most of noise; channels unlike each other leave a half.
_CANCELLED = 0.1
# Sample formats; those that end in p have a plane for each channel.
_KINDS = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
LEAST_GAP = 1e-3  # seconds; shorter ones come from the rounding of stamps


class Sound:
    """Decodes one audio stream.

    Channels are averaged (all of them, as librosa does), so the level does not depend on the codec's sample format;
    gaps between stamps and a late beginning become zeros. Channels that cancel each other leave nothing but what the
    codec made of them, which is no sound either: zeros.

    Args:
        stream: The sound stream.
        start: Seconds (on the clock of the stamps) where the span begins.
        end: Seconds where it ends.
        rate: Hz of the waveform.
        loose: Where the stamps had to be put right, samples follow each other when those say that they overlap.
    """

    def __init__(self, stream: Any, start: float, end: float, rate: int, loose: bool = False) -> None:
        from av.error import FFmpegError

        self.stream, self.start, self.end, self.rate = stream, start, end, rate
        self._overlap = _LOOSE if loose else GAP
        self.done = False
        self.first = math.inf  # stamp of the first packet
        self.packets, self.damaged = 0, 0  # all, and those that the decoder refused
        self.gaps: tuple[tuple[float, float], ...] = ()  # after `finish`: seconds of the waveform without any samples
        self._base = float(stream.time_base)
        self._decode = stream.codec_context.decode
        self._damage = (FFmpegError, ValueError)  # PyAV 19 says the latter once a decoder could not be opened
        self.runs: list[Run] = []  # those that were not let go of
        self._gone = (0.0, 0.0, -math.inf)  # of the others: powers, and the latest end
        self._last = 0.0

    def feed(self, packets: Sequence[tuple[Any, float | None]]) -> None:
        """Decode packets with their stamps in seconds; None instead of a packet flushes the decoder."""
        for first in range(0, len(packets), _TOGETHER):
            frames: list[Any] = []
            for packet, time in packets[first : first + _TOGETHER]:
                if self.done:
                    return
                self.packets += 1
                if time is not None and time < self.first:
                    self.first = time
                try:
                    frames += self._decode(packet)
                except self._damage:  # a damaged packet: its time becomes a gap
                    self.damaged += packet is not None
                    continue
            for frame in frames:
                if not self.done:
                    self._add(frame)

    def finish(self, end: float) -> np.ndarray:
        """Flush and give the waveform of the span, cut at `end` seconds (AAC pads its last packet)."""
        total = self.flush(end)
        runs = [(self.place(run), run.take(last=True)) for run in self.runs]
        waveform = np.zeros(total, np.float32)
        covered = [_place(waveform, samples, offset) for offset, samples in runs]
        self.gaps = _uncovered(covered, total, self.rate)
        if self.cancels:
            waveform[:] = 0
        return waveform

    def flush(self, end: float) -> int:
        """Flush the decoder; gives how many samples the waveform of the span has, which ends at `end` seconds."""
        self.feed([(None, None)])
        last = max((run.end for run in self.runs), default=self._gone[2])
        last = self.start if last == -math.inf else max(last, self._gone[2])
        if end > -math.inf:  # packets without stamps cannot say where they end
            last = min(last, end)
        return max(0, round((min(last, self.end) - self.start) * self.rate))

    def place(self, run: Run) -> int:
        """The sample of the waveform at which a run begins; negative in front of the span."""
        return round((run.time - self.start) * self.rate)

    def let_go(self) -> None:
        """Forget the first run, all of which was taken."""
        run, gone = self.runs.pop(0), self._gone
        self._gone = (gone[0] + run.power[0], gone[1] + run.power[1], max(gone[2], run.end))

    @property
    def cancels(self) -> bool:
        """Whether the channels are heard but their average is not, in what was resampled so far."""
        together, single = (sum([*(run.power[i] for run in self.runs), self._gone[i]]) for i in (0, 1))
        return together < _CANCELLED * single  # false for NaN

    def _add(self, frame: Any) -> None:
        count, pts, rate = frame.samples, frame.pts, frame.sample_rate
        planes = _planes(frame) if count and RATES[0] <= rate <= RATES[1] else None
        if planes is None:
            return
        time = self._last if pts is None else pts * self._base
        self._last = last = time + count / rate
        if last <= self.start:
            return
        if time >= self.end:
            self.done = True
            return
        key = (frame.format.name, frame.layout.name, rate)
        run = self.runs[-1] if self.runs else None
        if run is None or run.key != key or not -self._overlap <= time - run.end <= GAP:
            run = Run(time, key, frame, self.rate)
            self.runs.append(run)
        run.add(planes, count)


class Run:
    """Consecutive samples of one format, channel layout and rate."""

    def __init__(self, time: float, key: tuple[str, str, int], frame: Any, rate: int) -> None:
        self.time, self.key, self.count, self._rate = time, key, 0, rate
        self._planar, self._channels = frame.format.is_planar, frame.layout.nb_channels
        self._kind = _kind(frame)
        self._frames: list[tuple[list[Any], int]] = []  # planes and samples of each
        self._blocks: list[np.ndarray] = []  # samples `[channel, sample]` as they were decoded
        self._waiting = 0  # how many they are
        self._parts: list[np.ndarray] = []  # of the waveform
        self._resampler: Any = None
        self.power = (0.0, 0.0)  # of the average, and of the channels, summed over samples

    @property
    def end(self) -> float:
        """Seconds behind the last sample."""
        return self.time + self.count / self.key[2]

    def add(self, planes: list[Any], count: int) -> None:
        """Append `count` samples of one frame."""
        self._frames.append((planes, count))
        self.count += count
        self._waiting += count
        if len(self._frames) >= _TOGETHER:
            self._copy()
        if self._waiting >= _LONG or self._waiting * self._channels >= _WIDE:
            self._convert(last=False)

    def take(self, last: bool) -> np.ndarray:
        """What of it is sure and was not taken yet, with `last` all the rest: mono, at the wanted rate."""
        self._convert(last)
        parts, self._parts = self._parts, []
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return np.clip(np.nan_to_num(whole, copy=False), -1.0, 1.0)

    def _copy(self) -> None:
        """Copy the samples of the waiting frames `[channel, sample]`, and let go of the frames."""
        frames, self._frames = self._frames, []
        if not frames:
            return
        if self._planar:
            rows = [
                np.concatenate([np.frombuffer(planes[channel], self._kind, count) for planes, count in frames])
                for channel in range(self._channels)
            ]
            self._blocks.append(np.stack(rows))
            return
        width = self._channels
        packed = np.concatenate([np.frombuffer(planes[0], self._kind, count * width) for planes, count in frames])
        self._blocks.append(packed.reshape(-1, width).T)

    def _convert(self, last: bool) -> None:
        """Average the channels of the samples that wait and resample them; in pieces it gives the same numbers."""
        import soxr

        self._copy()
        blocks, self._blocks, self._waiting = self._blocks, [], 0
        samples = np.concatenate(blocks, axis=1) if blocks else np.zeros((1, 0), np.float32)
        if samples.dtype == np.uint8:
            samples = samples.astype(np.float32) / 128.0 - 1.0
        elif samples.dtype.kind == "i":
            samples = samples.astype(np.float32) / float(2 ** (8 * samples.dtype.itemsize - 1))
        mono = samples.astype(np.float32, copy=False)
        mono = mono[0] if len(mono) == 1 else self._average(mono)
        if not np.isfinite(mono.sum()):  # one such sample would spoil all that it is mixed with
            mono = np.nan_to_num(mono, posinf=1.0, neginf=-1.0)
        if self._rate != self.key[2]:
            if last and self._resampler is None:  # cheaper for a short run
                mono = soxr.resample(mono, self.key[2], self._rate, quality="HQ")
            else:
                if self._resampler is None:
                    self._resampler = soxr.ResampleStream(self.key[2], self._rate, 1, dtype="float32", quality="HQ")
                mono = self._resampler.resample_chunk(mono, last=last)
        self._parts.append(mono)

    def _average(self, samples: np.ndarray) -> np.ndarray:
        mono = samples.mean(axis=0)
        single = sum(_power(channel) for channel in samples) / len(samples)
        self.power = (self.power[0] + _power(mono), self.power[1] + single)
        return mono


def _kind(frame: Any) -> np.dtype[Any] | None:
    name = _KINDS.get(frame.format.name.removesuffix("p"))
    return None if name is None else np.dtype(name)


def _planes(frame: Any) -> list[Any] | None:
    """The planes of a frame, or None where it has not what it says.

    Made one by one, because `frame.planes` and `to_ndarray` of PyAV (18, 19) look for the end of the list of channels
    behind its end where there are eight or more: a file with 7.1 sound crashed the process.
    """
    from av.audio.plane import AudioPlane

    kind, channels = _kind(frame), frame.layout.nb_channels
    if kind is None or channels < 1:
        return None
    count, width = (channels, 1) if frame.format.is_planar else (1, channels)
    planes = [AudioPlane(frame, index) for index in range(count)]
    needed = frame.samples * width * kind.itemsize
    whole = all(plane.buffer_ptr and plane.buffer_size >= needed for plane in planes)
    return planes if whole else None


def _power(samples: np.ndarray) -> float:
    return float(np.dot(samples, samples))


def _place(waveform: np.ndarray, samples: np.ndarray, offset: int) -> tuple[int, int]:
    """Write samples at an offset, as far as they fit; returns where they begin and end."""
    if offset < 0:
        samples, offset = samples[-offset:], 0
    samples = samples[: max(0, len(waveform) - offset)]
    waveform[offset : offset + len(samples)] = samples
    return offset, offset + len(samples)


def _uncovered(covered: Sequence[tuple[int, int]], total: int, rate: int) -> tuple[tuple[float, float], ...]:
    """The seconds of a waveform of `total` samples in which nothing was placed."""
    gaps, reached = [], 0
    for begin, end in [*sorted(covered), (total, total)]:
        if begin - reached > LEAST_GAP * rate:
            gaps.append((reached / rate, min(begin, total) / rate))
        reached = max(reached, end)
    return tuple(gaps)
