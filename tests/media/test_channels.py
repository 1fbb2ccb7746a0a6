"""Sound of many channels: more than PyAV's own `planes` can count."""

import subprocess
import sys

import av
import numpy as np
import pytest

from avshot.media import read
from made_media import add_audio, mux

RATE = 48000
SECOND = np.arange(RATE) / RATE
READ = "import sys; from avshot.media import read; m = read(sys.argv[1]); print(m.status, len(m.waveform))"


@pytest.mark.parametrize(("layout", "count"), [("mono", 1), ("stereo", 2), ("5.1", 6), ("6.1", 7), ("7.1", 8)])
@pytest.mark.parametrize(("codec", "name", "tolerance"), [("aac", "a.mp4", 0.02), ("flac", "a.flac", 1e-4)])
def test_all_channels_are_averaged(tmp_path, layout, count, codec, name, tolerance):
    # A low tone: the fourth or eighth channel may be one for low tones alone.
    level = np.linspace(0.1, 0.8, count)[:, None]
    made = (level * np.sin(2 * np.pi * 60 * SECOND)).astype(np.float32)
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        kind, fmt = (made, "flt") if codec == "aac" else ((made * 32767).astype(np.int16), "s16")
        mux(container, add_audio(container, kind, RATE, codec=codec, layout=layout, fmt=fmt))
    # In a process of its own: where planes are counted wrongly it crashes.
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[0]) == (0, "no_visual")
    heard = read(path, rate=RATE).waveform[4800:-4800]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)))).max() / len(heard) * 4
    assert spectrum == pytest.approx(level.mean(), rel=max(tolerance, 0.01))
