"""The text tower of S3D (Miech et al., CVPR 2020): the space that `s3d?layer=joint` features lie in; ReGaDa's words.

The release is two files: the weights, and `s3d_dict.npy`, the words in the order of their vectors. The second lies
beside the first, or is named: `s3d:s3d_howto100m.pth?words=FILE`. A text is its first 16 known words, in small
letters, whatever their order; unknown ones are left out, as the authors' program does.
https://arxiv.org/abs/1912.06430, `s3dg.py` of antoine77340/S3D_HowTo100M.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from avshot.classes.encoder import MissingVectors
from avshot.classes.encoders._pretrained import BatchedEncoder
from avshot.errors import BadSetting, MissingFile
from avshot.files.arrays import map_npy
from avshot.files.released import filled, released_tensors
from avshot.nn.nets.s3d import S3D, WORDS, WordTower

_OPTION, _WORDS = "?words=", "s3d_dict.npy"
_WORD = re.compile(r"[\w']+")


class S3dText(BatchedEncoder):
    """`s3d:<file>`, and `?words=<file>` behind it where the words lie elsewhere."""

    place = "checkpoint file"
    licence: ClassVar[str] = "not stated in the release; ask its authors"
    checked: ClassVar[str] = "random weights"

    def __init__(self, place: str) -> None:
        self.spec, self.name = f"s3d:{place}", "s3d"
        self._path, _, words = place.partition(_OPTION)
        self._words = words or str(Path(self._path).parent / _WORDS)

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Width of a vector; reads the file."""
        return self._tower.fc2.out_features

    def _forward(self, texts: list[str]) -> Tensor:
        known = [[self._number[word] for word in _WORD.findall(text.lower()) if word in self._number] for text in texts]
        missing = {text: "none of its words" for text, numbers in zip(texts, known, strict=True) if not numbers}
        if missing:
            raise MissingVectors(self.spec, missing)
        tokens = torch.tensor([(numbers + [0] * WORDS)[:WORDS] for numbers in known])
        with torch.inference_mode():
            return self._tower(tokens).clone()

    @cached_property
    def _number(self) -> dict[str, int]:
        """`{word: row of its vector}`; row 0 is padding."""
        tower = self._tower
        if not Path(self._words).is_file():
            raise MissingFile(f"Text encoder {self.spec!r}: there is no file {self._words}; give the words (?words=).")
        words = map_npy(self._words)
        if words.ndim != 1 or words.dtype.kind != "U":
            raise BadSetting(f"{self._words} holds {words.dtype} {words.shape}; expected a list of words as text.")
        if len(words) >= tower.word_embd.num_embeddings:
            raise BadSetting(
                f"{self._words} holds {len(words)} words for {tower.word_embd.num_embeddings} vectors, the first of "
                "which is none; do the two files belong together?"
            )
        return {str(word): row for row, word in enumerate(words, start=1)}

    @cached_property
    def _tower(self) -> WordTower:
        tensors = released_tensors(self._path)
        try:
            with torch.device("meta"):
                network = S3D.like(tensors)
        except (KeyError, RuntimeError, ValueError, ZeroDivisionError) as error:
            raise BadSetting(f"{self._path} has no S3D whose sizes can be told ({error}); give it unchanged.") from None
        tower: WordTower = filled(network, tensors, self._path, "S3D of HowTo100M").text_module
        return tower
