"""Video file -> frames at stated times and a mono waveform at a stated rate; and back."""

from avshot.media.limits import Limits
from avshot.media.reader import Media, read
from avshot.media.streaming import Stream, stream
from avshot.media.streams import probe
from avshot.media.stretch import Stretch
from avshot.media.writer import write

__all__ = ["Limits", "Media", "Stream", "Stretch", "probe", "read", "stream", "write"]
