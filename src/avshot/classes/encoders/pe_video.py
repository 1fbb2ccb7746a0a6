"""PE-AV's text tower for pictures: the space that the extractor `pe_video` describes clips in."""

from __future__ import annotations

from avshot.classes.encoders._pe import PeText


class PeVideoText(PeText):
    """`pe_video:<Hugging Face id or folder>`; see `TextTower`."""

    def __init__(self, place: str) -> None:
        super().__init__("pe_video", place)
