"""Streams that tests encode packet by packet, so that stamps, codecs and flags are what the test says."""

from fractions import Fraction

import av
import numpy as np

RATE = 16000


def greys(count, height=32, width=48, step=4):
    """Frame i is a plain grey of level 20 + step * i, so a decoded frame tells its number."""
    levels = 20 + step * np.arange(count)
    assert levels.max() <= 235
    return np.broadcast_to(levels[:, None, None, None].astype(np.uint8), (count, height, width, 3))


def numbers(media, step=4):
    """Which of the `greys` each frame is."""
    return np.rint((media.frames.mean(axis=(1, 2, 3)) - 20) / step).astype(int).tolist()


def sine(seconds, rate=RATE, hertz=440.0, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def amplitude_at(waveform, rate, hertz):
    """Amplitude of one frequency, by the discrete Fourier sum over the middle of the waveform."""
    middle = waveform[len(waveform) // 4 : 3 * len(waveform) // 4].astype(np.float64)
    window = np.hanning(len(middle))
    wave = np.exp(-2j * np.pi * hertz * np.arange(len(middle)) / rate)
    return 2 * abs((middle * window * wave).sum()) / window.sum()


def add_video(container, frames, stamps, *, codec="libx264", gop=12, tick=Fraction(1, 1000), pixels="yuv420p", rate=25):
    """Add a stream whose frame i is stamped `stamps[i]` ticks; returns a function that encodes and muxes it all."""
    stream = container.add_stream(codec, rate=rate)
    stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
    stream.codec_context.time_base = tick
    stream.gop_size = gop
    stream.codec_context.thread_count = 1

    def packets():
        for picture, stamp in zip(frames, stamps, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = stamp, tick
            yield from stream.encode(frame)
        yield from stream.encode(None)

    return stream, packets


def add_audio(container, samples, rate, *, codec="aac", layout="mono", fmt="fltp", first=0):
    """Add a sound stream from `[channel, sample]` in the sample format `fmt`; `first` = stamp of its first sample."""
    stream = container.add_stream(codec, rate=rate, layout=layout)

    def packets():
        for at in range(0, samples.shape[1], 1024):
            piece = np.ascontiguousarray(samples[:, at : at + 1024])
            if not fmt.endswith("p"):
                piece = piece.T.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format=fmt, layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, first + at, Fraction(1, rate)
            yield from stream.encode(frame)
        yield from stream.encode(None)

    return stream, packets


def mux(container, *streams):
    for packet in sorted((p for s in streams for p in s[1]()), key=lambda p: p.dts * p.time_base):
        container.mux(packet)


def make_video(path, frames, stamps, **settings):
    with av.open(str(path), "w") as container:
        mux(container, add_video(container, frames, stamps, **settings))
    return path
