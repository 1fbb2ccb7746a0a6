"""The text of a small method, as somebody would write it into a file of their own."""

PLAIN = """
from __future__ import annotations
from dataclasses import dataclass
import torch
from torch import nn
from avshot.method import Method, Preset, Recipe, method

@dataclass(frozen=True)
class Config:
    scale: float = 1.0
    width: int = 4
    names: tuple[str, ...] = ("a",)

@method
class Plain(Method):
    Config = Config
    presets = {"default": Preset(Config(), Recipe(epochs=2, batches_per_epoch=4), "made up")}
    paper = "none"

    def __init__(self, config, inputs):
        super().__init__(config, inputs)
        self.map = nn.Linear(inputs.audio + inputs.visual, inputs.text_dim)

    def score(self, features, classes):
        (text,) = classes.text.values()
        return self.config.scale * self.map(torch.cat(features.pooled(), dim=1)) @ text.T

    def loss(self, batch):
        return {"ce": nn.functional.cross_entropy(self.score(batch.features, batch.classes), batch.labels)}
"""
