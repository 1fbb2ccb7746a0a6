import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.features.extractor import create_extractor
from avshot.features.extractors.logmel import FLOOR, LogMel, log_mel, mel_matrix
from avshot.media import Media

RATE = 16000


def sound(waveform, rate=RATE, gaps=()):
    waveform = np.asarray(waveform, dtype=np.float32)
    frames = np.zeros((0, 8, 8, 3), dtype=np.uint8)
    return Media(frames, np.zeros(0), waveform, rate, "no_visual", len(waveform) / rate, gaps=gaps)


def chirp(seconds=1.0):
    t = np.arange(int(seconds * RATE)) / RATE
    return 0.5 * np.sin(2 * np.pi * (200 * t + 900 * t**2)) + 0.01 * np.random.default_rng(0).standard_normal(len(t))


def test_mel_matrix_and_frames_equal_librosa():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import librosa

        matrix = mel_matrix(RATE, 512, 40, low=50, high=7600)
        theirs = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=40, fmin=50, fmax=7600, htk=True, norm=None)
        wave = chirp().astype(np.float32)
        power = librosa.feature.melspectrogram(
            y=wave, sr=RATE, n_fft=512, win_length=400, hop_length=160, center=True, pad_mode="constant",
            n_mels=40, fmin=50, fmax=7600, htk=True, norm=None,
        )  # fmt: skip
    np.testing.assert_allclose(matrix.numpy(), theirs, atol=1e-6)
    ours = log_mel(torch.from_numpy(wave), rate=RATE, window=400, hop=160, matrix=matrix)
    np.testing.assert_allclose(ours.numpy(), np.log(power + FLOOR).T, atol=1e-4)


def test_stacked_frames_and_step_centres():
    wave = chirp()
    frames, _ = LogMel(stack=1, hop=0.01, spacing=0.01, normalise="none")(sound(wave))
    steps, times = LogMel(stack=4, hop=0.04, spacing=0.01, normalise="none")(sound(wave))
    assert frames.shape == (101, 40)
    assert steps.shape == (26, 160)
    torch.testing.assert_close(steps[:25].reshape(100, 40), frames[:100])
    torch.testing.assert_close(steps[25], frames[100].repeat(4))  # the last step repeats the last frame
    torch.testing.assert_close(times, torch.arange(26) * 0.04 + 0.015)


def test_overlapping_steps_are_centred_on_their_hop():
    wave = chirp()
    frames, _ = LogMel(stack=1, hop=0.02, normalise="none")(sound(wave))
    steps, times = LogMel(normalise="none")(sound(wave))  # 12 frames every 2
    assert len(frames) == 51
    assert steps.shape == (26, 12 * 40)
    for step in (0, 10, 25):
        index = [min(max(2 * step - 5 + i, 0), 50) for i in range(12)]
        torch.testing.assert_close(steps[step].reshape(12, 40), frames[index])
    torch.testing.assert_close(times, torch.arange(26) * 0.04 + 0.01)


def test_step_time_points_at_the_sound():
    wave = np.zeros(RATE)
    wave[int(0.62 * RATE) : int(0.64 * RATE)] = 0.5
    steps, times = LogMel(stack=2, normalise="none")(sound(wave))
    loudest = steps.mean(dim=1).argmax()
    assert abs(times[loudest] - 0.63) <= 0.02


def test_silence_short_and_missing_sound():
    for nothing in (np.zeros(RATE), np.full(RATE, 0.01), np.random.default_rng(0).integers(-1, 2, RATE) / 32768):
        silent, times = LogMel()(sound(nothing))
        assert silent.shape == (0, 480)
        assert times.shape == (0,)
    for samples in (2, 100, 399):
        short, times = LogMel()(sound(chirp()[:samples]))
        assert short.shape == (1, 480)
        assert times.tolist() == pytest.approx([0.01])
        assert torch.isfinite(short).all()
    none, times = LogMel()(sound(np.zeros(0)))
    assert none.shape == (0, 480)
    assert times.shape == (0,)


def test_normalisation_removes_what_it_says():
    wave = chirp()
    by_clip = LogMel(normalise="clip")(sound(wave))[0]
    one = LogMel(normalise="clip", stack=1, hop=0.02)(sound(wave))[0]
    assert one.mean().item() == pytest.approx(0, abs=1e-4)
    assert one.std(correction=0).item() == pytest.approx(1, abs=1e-4)
    quiet = LogMel(normalise="clip")(sound(wave * 0.5))[0]
    assert (quiet - by_clip).abs().max() < 0.05  # only what lies near the floor moves
    raw_change = LogMel(normalise="none")(sound(wave * 0.5))[0] - LogMel(normalise="none")(sound(wave))[0]
    assert raw_change.mean().item() == pytest.approx(2 * np.log(0.5), abs=0.01)
    by_channel = LogMel(normalise="channel", stack=1, hop=0.02)(sound(wave))[0]
    torch.testing.assert_close(by_channel.mean(dim=0), torch.zeros(40), atol=1e-5, rtol=0)
    torch.testing.assert_close(by_channel.std(dim=0, correction=0), torch.ones(40), atol=1e-4, rtol=0)


def test_spec_round_trip_and_pickle():
    extractor = create_extractor("logmel?mels=40&hop=0.02&stack=2&normalise=channel")
    assert extractor == LogMel(mels=40, hop=0.02, stack=2, normalise="channel")
    assert extractor.dim == 80
    assert extractor.request() == {"rate": RATE}
    assert pickle.loads(pickle.dumps(extractor)) == extractor
    spec = extractor.spec()
    assert spec["name"] == "logmel"
    assert LogMel(**{k: v for k, v in spec.items() if k not in ("name", "version")}) == extractor


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("logmell", "Did you mean 'logmel'"),
        ("logmel?bands=3", "Extractor logmel has no option 'bands'; options: rate, hop, spacing"),
        ("logmel?mels=many", "expected a value of type int"),
        ("logmel?mels", "incomplete or repeated"),
        ("logmel?mels=3&mels=4", "incomplete or repeated"),
        ("logmel:weights", "has no weights"),
        ("clip", "names no weights"),
        ("logmel?normalise=mean", "expected one of none, clip, channel"),
        ("logmel?high=9000", "expected 0 <= low < high <= 8000"),
        ("logmel?stack=0", "above 0"),
        ("logmel?hop=0.03", "expected hop = a multiple of spacing"),
        ("clip:folder?frames=-1", 'expected "middle" or a rate'),
    ],
)
def test_bad_specs_say_what_to_do(spec, message):
    with pytest.raises(ValueError, match=message):
        create_extractor(spec)


def test_wrong_rate_is_refused():
    with pytest.raises(ValueError, match="sampled at 8000 Hz; logmel expects 16000"):
        LogMel()(sound(chirp(), rate=8000))


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(1, 40), stack=st.integers(1, 9), stride=st.integers(1, 5), mels=st.integers(1, 3),
    transposed=st.booleans(),
)  # fmt: skip
def test_steps_gather_the_frames_around_them(frames, stack, stride, mels, transposed):
    extractor = LogMel(mels=mels, stack=stack, spacing=0.01, hop=0.01 * stride)
    values = torch.arange(float(frames * mels)).reshape(frames, mels)
    steps, _ = extractor._steps(values.T.contiguous().T if transposed else values)
    before = (stack - stride) // 2
    for i, step in enumerate(steps):
        rows = [min(max(i * stride - before + j, 0), frames - 1) for j in range(stack)]
        assert torch.equal(step, values[rows].flatten())
    assert len(steps) == -(-frames // stride)


def test_long_sounds_are_cut_into_chunks_without_a_seam(monkeypatch):
    matrix = mel_matrix(RATE, 512, 40, low=50, high=7600)
    for samples in (1, 320, 3199, 3200, 16000):
        wave = torch.from_numpy(chirp().astype(np.float32))[:samples]
        whole = log_mel(wave, rate=RATE, window=400, hop=320, matrix=matrix)
        with monkeypatch.context() as patch:
            patch.setattr("avshot.features.extractors.logmel.CHUNK", 10)
            torch.testing.assert_close(log_mel(wave, rate=RATE, window=400, hop=320, matrix=matrix), whole)
        assert len(whole) == 1 + samples // 320


def numpy_frames(waveform):
    """Frames 20 ms apart of a stretch of sound on its own, one Fourier transform at a time."""
    padded = np.pad(np.asarray(waveform, np.float64), 256)
    taper = np.zeros(512)
    taper[56:456] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    filters = mel_matrix(RATE, 512, 40, low=50, high=7600).double().numpy()
    rows = [padded[first : first + 512] * taper for first in range(0, len(waveform) + 1, 320)]
    return np.array([np.log(filters @ np.abs(np.fft.rfft(row)) ** 2 + FLOOR) for row in rows])


def numpy_steps(stretches):
    """Each stretch a clip of its own, all with one mean and deviation; the edge frames of a stretch repeat."""
    parts = [numpy_frames(stretch) for stretch in stretches]
    whole = np.concatenate(parts)
    made = []
    for part in [(part - whole.mean()) / whole.std() for part in parts]:
        for first in range(-5, len(part) - 5, 2):
            made.append(np.concatenate([part[min(max(first + i, 0), len(part) - 1)] for i in range(12)]))
    return np.array(made)


@pytest.mark.parametrize(("before", "after"), [(0, RATE), (RATE, 0), (1234, 777), (4000, 4000), (0, 800)])
def test_silence_at_the_ends_changes_neither_the_steps_nor_the_statistics(before, after):
    wave = chirp()
    wave[0], wave[-1] = 0.3, -0.3
    steps, times = LogMel()(sound(np.concatenate([np.zeros(before), wave, np.zeros(after)])))
    alone, alone_times = LogMel()(sound(wave))
    assert torch.equal(steps, alone)
    torch.testing.assert_close(times, alone_times + before / RATE)
    np.testing.assert_allclose(steps.numpy(), numpy_steps([wave]), atol=2e-3)


def test_noise_of_a_codec_at_the_ends_is_as_good_as_silence():
    wave = chirp()
    wave[0], wave[-1] = 0.3, -0.3
    dither = np.random.default_rng(1).integers(-1, 2, RATE) / 32768
    steps, times = LogMel()(sound(np.concatenate([dither, wave, dither])))
    assert torch.equal(steps, LogMel()(sound(wave))[0])
    assert float(times[0]) == pytest.approx(1.01)


def test_a_pause_between_two_sounds_stays():
    wave = np.concatenate([chirp(0.5), np.zeros(8000), chirp(0.5)])
    steps, times = LogMel()(sound(wave))
    assert len(steps) == 38
    np.testing.assert_allclose(times.numpy(), np.arange(38) * 0.04 + 0.01, atol=1e-6)


def test_gaps_are_neither_described_nor_smeared_into_their_neighbours():
    first, second, third = chirp(0.4), 0.3 * chirp(0.33), chirp(0.5)[::-1]
    lost = np.zeros(1600)
    wave = np.concatenate([first, lost, second, lost, third])
    gaps = ((0.4, 0.5), (0.83, 0.93))
    steps, times = LogMel()(sound(wave, gaps=gaps))
    np.testing.assert_allclose(steps.numpy(), numpy_steps([first, second, third]), atol=2e-3)
    counts = [math.ceil((1 + len(part) // 320) / 2) for part in (first, second, third)]
    expected = [start + 0.04 * i + 0.01 for start, n in zip((0, 0.5, 0.93), counts, strict=True) for i in range(n)]
    np.testing.assert_allclose(times.numpy(), expected, atol=1e-6)
    assert not torch.isclose(steps, LogMel()(sound(wave))[0][: len(steps)]).all()


def test_a_very_short_sound_in_a_long_silence_is_one_step_at_its_time():
    wave = np.zeros(3 * RATE)
    wave[RATE : RATE + 80] = chirp()[:80]
    steps, times = LogMel()(sound(wave))
    assert steps.shape == (1, 480)
    assert float(times[0]) == pytest.approx(1.01, abs=0.001)
