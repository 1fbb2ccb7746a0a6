"""X-CLIP's text tower: the space that X-CLIP's videos lie in, without what the model adds to a text for each video."""

from __future__ import annotations

from avshot.classes.encoders._pretrained import TextTower


class XClipText(TextTower):
    """`xclip:<Hugging Face id or folder>`; see `TextTower`."""

    def __init__(self, place: str) -> None:
        super().__init__("xclip", place)

    @property
    def _architecture(self) -> str:
        return "XCLIPModel"
