"""Synthesised sounds of the rendered world: one function per word, plus the noise they are heard through.

A voice is what a clip of class "red star drumming" sounds like. Words differ in timbre and rhythm; pitch, tempo and
loudness are free, so the mean spectrum alone does not tell them all apart. No sound depends on what is in the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Voice = Callable[[np.ndarray, np.random.Generator, int], np.ndarray]


def whistling(t: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """One unbroken tone with vibrato and a slow bend, and a little breath."""
    bend = 1 + rng.uniform(-0.15, 0.15) * np.sin(2 * np.pi * rng.uniform(0.2, 0.6) * t + rng.uniform(0, 6.3))
    vibrato = 1 + 0.012 * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * t)
    tone = np.sin(_phase(rng.uniform(900, 2200) * bend * vibrato, rate))
    return tone + 0.04 * rng.standard_normal(len(t))


def beeping(t: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """A tone of constant pitch switched on and off three to five times a second."""
    pitch, tempo = rng.uniform(700, 2000), rng.uniform(3.0, 5.0)
    age = _age(t, tempo, rng)
    gate = np.clip(age / 0.006, 0, 1) * np.clip((0.5 / tempo - age) / 0.006, 0, 1)
    return gate * (np.sin(2 * np.pi * pitch * t) + 0.3 * np.sin(6 * np.pi * pitch * t))


def chirping(t: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """Short upward sweeps like a bird's, six to nine a second, in groups."""
    low, tempo = rng.uniform(1800, 2600), rng.uniform(6.0, 9.0)
    age = _age(t, tempo, rng)
    length = 0.6 / tempo
    inside = np.clip(1 - age / length, 0, 1)
    group = (np.sin(2 * np.pi * tempo / 5 * t + rng.uniform(0, 6.3)) > -0.6).astype(float)
    sweep = np.sin(2 * np.pi * (low * age + 0.5 * (1.2 * low / length) * age**2))
    return sweep * np.sqrt(inside * (1 - inside)) * 2 * group


def drumming(t: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """Low thumps with a falling pitch and a skin click, three to six a second, every fourth stressed."""
    pitch, tempo = rng.uniform(70, 140), rng.uniform(3.0, 6.0)
    age = _age(t, tempo, rng)
    stress = 0.6 + 0.4 * (np.floor(t * tempo) % 4 == 0)
    thump = np.sin(2 * np.pi * (pitch * age + pitch * 0.04 * (1 - np.exp(-age / 0.03)))) * np.exp(-age / 0.09)
    return stress * (thump + 0.35 * rng.standard_normal(len(t)) * np.exp(-age / 0.008))


def buzzing(t: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """A rasping, unsteady saw tooth, like a large insect or a mains hum gone wrong."""
    pitch = rng.uniform(110, 220) * (1 + 0.03 * np.sin(2 * np.pi * rng.uniform(1, 3) * t + rng.uniform(0, 6.3)))
    turn = _phase(pitch, rate)
    saw = sum(np.sin(k * turn) / k**0.7 for k in range(1, 25))
    return saw * (1 + 0.5 * np.sin(2 * np.pi * rng.uniform(18, 30) * t))


def ringing(t: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """A bell struck two or three times a second: inharmonic partials that die away at different speeds."""
    pitch, tempo = rng.uniform(500, 900), rng.uniform(1.8, 3.0)
    age = _age(t, tempo, rng)
    partials = (
        (1.0, 1.0, 0.45),
        (2.0, 0.7, 0.35),
        (2.4, 0.5, 0.3),
        (3.0, 0.5, 0.22),
        (4.2, 0.4, 0.15),
        (5.4, 0.3, 0.1),
    )
    bell = sum(a * np.sin(2 * np.pi * r * pitch * age) * np.exp(-age / d) for r, a, d in partials)
    return bell * np.clip(age / 0.002, 0, 1)


def humming(t: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """A low, soft voice-like tone on two or three slow notes."""
    notes = rng.uniform(130, 260) * 2 ** (rng.integers(-3, 4, size=4) / 12)
    pitch = notes[np.floor(t * rng.uniform(1.0, 1.8)).astype(int) % 4]
    turn = _phase(pitch, rate)
    return np.sin(turn) + 0.35 * np.sin(2 * turn) + 0.12 * np.sin(3 * turn)


def wailing(t: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """A siren: a tone that climbs and falls over more than an octave about once a second."""
    swing = np.sin(2 * np.pi * rng.uniform(0.7, 1.4) * t + rng.uniform(0, 6.3))
    turn = _phase(rng.uniform(700, 1100) * 2 ** (0.6 * swing), rate)
    return np.sin(turn) + 0.3 * np.sin(2 * turn) + 0.2 * np.sin(3 * turn)


def knocking(t: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """Dry wooden knocks in groups of three with a pause between the groups."""
    pitch, tempo = rng.uniform(300, 500), rng.uniform(6.0, 8.0)
    age = _age(t, tempo, rng)
    played = np.floor(t * tempo + 1e-9) % 6 < 3
    wood = np.sin(2 * np.pi * pitch * age) + 0.6 * np.sin(2 * np.pi * 2.7 * pitch * age)
    return played * wood * np.exp(-age / 0.025)


def hissing(t: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """High noise that swells, like steam."""
    noise = _coloured(len(t), rng, rate, low=rng.uniform(2500, 3500), tilt=0.0)
    return noise * (1 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.5, 1.5) * t + rng.uniform(0, 6.3)))


VOICES: Mapping[str, Voice] = {
    voice.__name__: voice
    for voice in (whistling, beeping, chirping, drumming, buzzing, ringing, humming, wailing, knocking, hissing)
}


def render_sound(
    word: str | None,
    rng: np.random.Generator,
    *,
    seconds: float,
    span: tuple[float, float],
    difficulty: float,
    rate: int,
    gain: float = 0.0,
) -> np.ndarray:
    """Mono waveform `[sample]` float32 in [-1, 1] with sound `word` during `span`.

    Args:
        word: A key of `VOICES`, or None for the background alone.
        rng: Draws pitch, tempo, loudness and noise; a given state gives the same samples.
        seconds: Length of the clip.
        span: Begin and end of the sound in seconds.
        difficulty: 0 = clear; 1 = noise almost as loud as the sound and a faint second sound now and then.
        rate: Samples per second.
        gain: Decibels that the sound is louder than usual; the noise stays as it is.
    """
    count = round(seconds * rate)
    signal = np.zeros(count)
    if word is not None:
        _add(signal, VOICES[word], rng, span, rate)
        signal *= 10 ** (gain / 20)
    loudness = 10 ** (-rng.uniform(0, 12 * difficulty) / 20)
    noise = _coloured(count, rng, rate, low=40.0, tilt=rng.uniform(0.5, 1.0 + 0.5 * difficulty))
    level = 10 ** (-(34 - 26 * difficulty - rng.uniform(0, 6)) / 20)
    mix = 0.16 * loudness * signal + 0.16 * level * noise
    if rng.uniform() < difficulty:
        other = np.zeros(count)
        begin = rng.uniform(0, 0.7 * seconds)
        _add(other, VOICES[rng.choice(sorted(VOICES))], rng, (begin, begin + 0.3 * seconds), rate)
        mix += 0.16 * loudness * 10 ** (-rng.uniform(12, 20) / 20) * other
    return np.tanh(mix).astype(np.float32)


def _add(target: np.ndarray, voice: Voice, rng: np.random.Generator, span: tuple[float, float], rate: int) -> None:
    """Add `voice` at unit root-mean-square to `target` during `span`, with soft edges."""
    begin, end = (min(max(round(at * rate), 0), len(target)) for at in span)
    t = np.arange(end - begin) / rate
    sound = voice(t, rng, rate)
    sound = sound * np.clip(np.minimum(t, t[::-1]) / 0.02, 0, 1)
    target[begin:end] += sound / max(float(np.sqrt(np.mean(sound**2))), 1e-9)


def _phase(pitch: np.ndarray, rate: int) -> np.ndarray:
    """Radians turned by a tone whose frequency in Hz is `pitch [sample]`."""
    return 2 * np.pi * np.cumsum(pitch) / rate


def _age(t: np.ndarray, tempo: float, rng: np.random.Generator) -> np.ndarray:
    """Seconds since the last of strokes at `tempo` per second, a small part of a beat in at the start."""
    return ((t * tempo + rng.uniform(0, 0.02)) % 1.0) / tempo


def _coloured(count: int, rng: np.random.Generator, rate: int, *, low: float, tilt: float) -> np.ndarray:
    """Noise of unit root-mean-square above `low` Hz whose amplitude falls with frequency to the power `tilt`."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / rate)
    spectrum *= np.where(hertz < low, 0.0, np.maximum(hertz, low) ** -tilt)
    noise = np.fft.irfft(spectrum, count)
    return noise / max(float(np.sqrt(np.mean(noise**2))), 1e-9)
