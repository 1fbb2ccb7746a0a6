"""By what endings a file is taken for video or sound, before it is opened."""

from __future__ import annotations

_VIDEO = (
    "mp4 m4v mov qt mkv webm avi divx mpg mpeg mpe m2v ts mts m2ts m2t vob wmv asf flv f4v 3gp 3g2 ogv ogm mxf dv gif "
    "rm rmvb mjpg mjpeg"
)
_SOUND = "wav mp3 mp2 flac ogg oga opus m4a m4b aac mka wma aif aiff aifc au snd caf amr ac3 eac3 w64 wv ape tta"
MEDIA_SUFFIXES = frozenset(f".{suffix}" for suffix in f"{_VIDEO} {_SOUND}".split())
