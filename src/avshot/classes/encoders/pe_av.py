"""PE-AV's text tower for sounds and pictures together: the space that the extractor `pe_av` describes clips in."""

from __future__ import annotations

from avshot.classes.encoders._pe import PeText


class PeAudioVideoText(PeText):
    """`pe_av:<Hugging Face id or folder>`; see `TextTower`."""

    def __init__(self, place: str) -> None:
        super().__init__("pe_av", place)
