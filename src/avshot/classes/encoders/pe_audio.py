"""PE-AV's text tower for sounds: the space that the extractor `pe_audio` describes clips in."""

from __future__ import annotations

from avshot.classes.encoders._pe import PeText


class PeAudioText(PeText):
    """`pe_audio:<Hugging Face id or folder>`; see `TextTower`."""

    def __init__(self, place: str) -> None:
        super().__init__("pe_audio", place)
