"""wordllama: token vectors whose weights come with a package; nothing is fetched."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.classes.encoder import TextEncoder, unit_rows


class WordLlama(TextEncoder):
    """Averaged token vectors distilled from Llama 2's; 256 wide, its weights come with the package, nothing is fetched.

    Order of words is ignored: "dog bites man" and "man bites dog" nearly coincide.
    """

    size: ClassVar[str] = "16 MB"
    licence: ClassVar[str] = "MIT"
    checked: ClassVar[str] = "real weights"

    def __init__(self) -> None:
        self.spec = self.name = "wordllama"
        self.dim = 256
        self._model: Any = None

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embed texts; see `TextEncoder.encode`."""
        if len(texts) == 0:
            return torch.zeros(0, self.dim)
        if self._model is None:
            wordllama = _imported()
            # The weights lie in its wheel; without this folder it would look for its tokenizer on the network.
            home = Path(wordllama.__file__).parent
            self._model = wordllama.WordLlama.load(cache_dir=home, disable_download=True)
        return unit_rows(torch.from_numpy(np.array(self._model.embed(list(texts)), dtype=np.float32)), texts)


def _imported() -> Any:
    """The library, which sets up the logging of the whole program as it is imported; that is undone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    import wordllama

    root.handlers[:] = handlers
    root.setLevel(level)
    return wordllama
