"""Video file -> frames at stated times and a mono waveform at a stated rate; and back."""

from avshot.media.reader import Limits, Media, probe, read
from avshot.media.writer import write

__all__ = ["Limits", "Media", "probe", "read", "write"]
