"""Sound from a pipe."""

import io
import struct
import wave

import numpy as np
import pytest
import soxr

from avshot.finding.pcm import sound_of


class Dribble(io.RawIOBase):
    """A pipe that gives a few bytes at a time, never whole samples."""

    def __init__(self, content, size=7):
        self.rest, self.size = content, size

    def read(self, count=-1):
        part, self.rest = self.rest[: min(count, self.size)], self.rest[min(count, self.size) :]
        return part


def heard(content, rate=16000, **raw):
    return np.concatenate(list(sound_of(Dribble(content), rate, **raw)))


WAVE = np.random.default_rng(0).uniform(-0.9, 0.9, 3001)
SIXTEEN = (WAVE * 32767).astype("<i2")


def wav(samples, kind, bits, channels=1, rate=16000, extra=b"", size=None):
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + extra
    return b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + body + b"data" + struct.pack("<I", size or 0xFFFFFFFF) + samples


def test_raw_samples():
    np.testing.assert_allclose(heard(SIXTEEN.tobytes()), SIXTEEN / 32768, atol=1e-6)


def test_half_a_sample_at_the_end_is_dropped():
    assert len(heard(SIXTEEN.tobytes()[:-1])) == len(SIXTEEN) - 1


def test_channels_are_averaged_and_the_rate_is_changed():
    both = np.stack([SIXTEEN, SIXTEEN // 2], axis=1)
    found = heard(both.tobytes(), 8000, raw_rate=32000, raw_channels=2)
    expected = soxr.resample(both.astype(np.float32).mean(axis=1) / 32768, 32000, 8000)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "kind", "bits"),
    [
        (SIXTEEN, 1, 16),
        ((WAVE * 127 + 128).astype("u1"), 1, 8),
        ((WAVE * 2**31).astype("<i4"), 1, 32),
        (WAVE.astype("<f4"), 3, 32),
    ],
)
def test_wav_says_what_it_holds_whatever_its_length_says(samples, kind, bits):
    extra = b"LIST" + struct.pack("<I", 5) + b"abcde\0"
    np.testing.assert_allclose(heard(wav(samples.tobytes(), kind, bits, extra=extra)), WAVE, atol=0.02)


def test_a_wav_file_of_the_standard_library():
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(SIXTEEN.tobytes())
    np.testing.assert_allclose(heard(out.getvalue()), SIXTEEN / 32768, atol=1e-6)


def test_an_extensible_wav_file():
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16000, 32000, 2, 16, 22, 16, 4) + struct.pack("<H", 1) + bytes(14)
    content = b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + bytes(4)
    np.testing.assert_allclose(heard(content + SIXTEEN.tobytes()), SIXTEEN / 32768, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "No sound came"),
        (b"x", "No sound came"),
        (wav(b"1234", 7, 8), "holds format 7"),
        (wav(b"", 1, 16)[:30], "ends before"),
        (b"RIFF1234WAVEdata" + bytes(40), "before it says"),
    ],
)
def test_what_cannot_be_heard_is_told(content, words):
    with pytest.raises(ValueError, match=words):
        heard(content)


@pytest.mark.parametrize("raw", [{"raw_rate": 0}, {"raw_channels": 0}])
def test_impossible_settings(raw):
    with pytest.raises(ValueError, match="expected"):
        heard(SIXTEEN.tobytes(), **raw)


def test_sound_is_given_while_it_comes():
    """A piece is there before the pipe is read to its end."""
    pipe = Dribble(SIXTEEN.tobytes(), 100)
    next(sound_of(pipe, 16000))
    assert len(pipe.rest) > len(SIXTEEN)
