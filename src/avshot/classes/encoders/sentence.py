"""Sentence encoders: the mean of the last hidden states over real tokens, or what `modules.json` beside the model says.

`modules.json` is how sentence-transformers lists what follows the transformer: which tokens are pooled, dense layers,
scaling to unit length. Without it the mean is taken. Encoders of the T5 family work, too.

Instructor (Su et al. 2023, https://arxiv.org/abs/2212.09741) reads an instruction in front of every text and leaves its
tokens out of the mean: `sentence:hkunlp/instructor-large?instruction=Represent the sentence:`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from avshot.classes.encoders._pretrained import TextTower
from avshot.errors import BadSetting
from avshot.files.hub import file_of
from avshot.files.text import read_text
from avshot.nn.released_weights import plain_tensors

_OPTION = "?instruction="
_ENCODERS = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel"}  # encoders of models that have a decoder, too
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"Identity": nn.Identity, "Tanh": nn.Tanh, "ReLU": nn.ReLU}
_POOLS = ("mean_tokens", "cls_token")


class Sentence(TextTower):
    """`sentence:<Hugging Face id or folder>`, and `?instruction=<text>` behind it; see `TextTower`."""

    checked: ClassVar[str] = "random weights"

    def __init__(self, place: str) -> None:
        where, option, self._instruction = place.partition(_OPTION)
        super().__init__("sentence", where)
        self.spec = f"sentence:{place}"
        if option and not self._instruction.strip():
            raise BadSetting(f"Text encoder {self.spec!r} has an empty instruction; write one or leave it out.")

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Width of a vector."""
        widths = [layer.out_features for layer in self._after[1].modules() if isinstance(layer, nn.Linear)]
        return int(widths[-1] if widths else self._config.hidden_size)

    @property
    def _architecture(self) -> str:
        return _ENCODERS.get(self._config.model_type, "AutoModel")

    def _used(self, key: str) -> bool:
        return not key.startswith("pooler.")

    def _forward(self, texts: list[str]) -> Tensor:
        for part in ("_tokenizer", "_model", "_after", "_instructed"):  # what is wrong with one is said of that one
            getattr(self, part)
        return super()._forward([self._instruction + text for text in texts])

    def _pooled(self, model: Any, tokens: Any) -> Tensor:
        pool, dense = self._after
        with torch.inference_mode():
            state = model(**tokens).last_hidden_state.float()
            real = tokens["attention_mask"].clone()
            real[:, : self._instructed] = 0
            found = state[:, 0] if pool == "cls_token" else _mean(state, real)
            return dense(found).clone()

    @cached_property
    def _instructed(self) -> int:
        """Tokens that the instruction takes at the beginning of every text."""
        if not self._instruction:
            return 0
        tokenizer = self._tokenizer
        found = list(tokenizer(self._instruction)["input_ids"])
        return len(found) - (bool(found) and found[-1] in tokenizer.all_special_ids)

    @cached_property
    def _after(self) -> tuple[str, nn.Sequential]:
        """Which tokens are pooled, and the dense layers behind that."""
        pool, dense = "mean_tokens", nn.Sequential()
        for kind, folder in self._modules():
            if kind == "Pooling":
                pool = self._pool(self._needed(f"{folder}/config.json"))
            elif kind == "Dense":
                dense.append(self._dense(folder))
            elif kind not in ("Transformer", "Normalize"):
                raise BadSetting(f"Text encoder {self.spec!r} has a part {kind!r}; expected Pooling, Dense, Normalize.")
        return pool, dense.eval()

    def _modules(self) -> list[tuple[str, str]]:
        """Kind and folder of each part that modules.json lists; nothing where there is none."""
        listed = self._file("modules.json")
        try:
            found = [] if listed is None else self._json(listed)
            return [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in found]
        except (KeyError, TypeError):
            raise BadSetting(
                f"Text encoder {self.spec!r}: {listed} is no list of parts with type and path; fetch it again."
            ) from None

    def _pool(self, file: Path) -> str:
        modes = [key for key, value in self._json(file).items() if key.startswith("pooling_mode_") and value is True]
        named = [mode.removeprefix("pooling_mode_") for mode in modes]
        if len(named) != 1 or named[0] not in _POOLS:
            raise BadSetting(f"Text encoder {self.spec!r} pools {' and '.join(named)}; expected {' or '.join(_POOLS)}.")
        return named[0]

    def _dense(self, folder: str) -> nn.Sequential:
        about = self._json(self._needed(f"{folder}/config.json"))
        activation = str(about.get("activation_function", "Tanh")).rpartition(".")[2]
        weights = self._file(f"{folder}/model.safetensors") or self._needed(f"{folder}/pytorch_model.bin")
        if activation not in _ACTIVATIONS:
            known = ", ".join(_ACTIVATIONS)
            raise BadSetting(f"Text encoder {self.spec!r} has the activation {activation!r}; expected one of {known}.")
        tensors, _ = plain_tensors(weights)
        try:
            with torch.device("meta"):
                layer = nn.Linear(about["in_features"], about["out_features"], bias=bool(about.get("bias", True)))
            plain = {key.removeprefix("linear."): value.float() for key, value in tensors.items()}
            layer.load_state_dict(plain, assign=True)
        except (KeyError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise BadSetting(f"Text encoder {self.spec!r}: {weights} does not fit its config ({reason}).") from None
        return nn.Sequential(layer, _ACTIVATIONS[activation]())

    def _file(self, name: str) -> Path | None:
        return file_of(self._place, name, f"Text encoder {self.spec!r}")

    def _needed(self, name: str) -> Path:
        found = self._file(name)
        if found is None:
            raise BadSetting(f"Text encoder {self.spec!r} lacks {name}, which its modules.json names; fetch all of it.")
        return found

    def _json(self, file: Path) -> Any:
        try:
            return json.loads(read_text(file))
        except ValueError as error:
            raise BadSetting(f"Text encoder {self.spec!r}: {file} is no JSON ({error}); fetch it again.") from None


def _mean(state: Tensor, real: Tensor) -> Tensor:
    """Mean of the states `[text, token, dim]` whose token is `real`: `[text, dim]`."""
    weight = real[:, :, None].to(state.dtype)
    return (state * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
