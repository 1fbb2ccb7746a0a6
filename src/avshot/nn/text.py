"""Class embeddings of several text encoders: in the order a method was built for, and mixed by a learnt layer."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from avshot.nn.mlp import EmbNet1
from avshot.types import Classes

# The number stands behind the kind, where a file that is named behind the colon cannot look like one.
_NUMBERED = re.compile(r"([^:#]+)#(\d+)(:.*)?", flags=re.DOTALL)


def entry_name(encoder: str, number: int) -> str:
    """Name of the entry of `Classes.text` that holds text `number` (from 1) of every class, as `encoder` embeds it.

    Example:
        >>> entry_name("clip", 2), entry_name("vectors:glove.txt", 2)
        ('clip#2', 'vectors#2:glove.txt')
    """
    kind, colon, place = encoder.partition(":")
    return f"{kind}#{number}{colon}{place}"


def encoder_of(entry: str) -> tuple[str, int]:
    """Undo `entry_name`: the text encoder of an entry, and its number; 0 where the entry is not one of several.

    Class vectors of a dataset that are named so (`gpt#1`, `gpt#2`) are entries of one encoder, too.
    """
    found = _NUMBERED.fullmatch(entry)
    return (entry, 0) if found is None else (found[1] + (found[3] or ""), int(found[2]))


def text_entries(classes: Classes, widths: Mapping[str, int]) -> list[Tensor]:
    """The entries of `classes.text` in the order of `widths`, each `[class, dim]`.

    Entries are found by name, so their order in `classes.text` does not matter. Where the names are others (weights
    trained with another file of the same encoder), they are taken in their own order if their widths agree.

    Args:
        classes: The classes.
        widths: Name and width of each entry, as in `Inputs.text`.

    Raises:
        ValueError: An entry is missing or has another width.
    """
    names = list(widths) if set(widths) <= set(classes.text) else list(classes.text)
    if [classes.dims[name] for name in names] != list(widths.values()):
        raise ValueError(
            f"The method was built for class embeddings {dict(widths)} (name: width); got {classes.dims}. "
            f"Embed the classes with the same text encoders."
        )
    return [classes.text[name] for name in names]


class TextLayer(nn.Module):
    """W_enc: a learnt layer between the one class embedding and all that a method does with it (thesis eq. 5.9).

    Linear, batch norm, ReLU, dropout over CLIP's and CLAP's vectors end to end (`Experiment.join_text`), so that
    methods made for one text vector can be compared with ClipClap. What it gives takes the place of the class embedding
    everywhere: where it is projected, and as the target of reconstructions, which is not detached (as in ClipClap).

    The thesis puts it in front of CJME, AVGZSLNet, AVCA and Hyper-multiple and names neither width nor dropout: 300,
    the width of the word2vec vectors that they were made for, gives its counts of parameters, and 0.1 is ClipClap's
    rate. It speaks of the words of each clip; here the layer runs over the training classes, each once, and batch norm
    sees these.

    Args:
        dim: Width of the class embedding.
        width: Width of the layer; 0 leaves it out, and class embeddings pass as they are.
        dropout: Probability.

    Attributes:
        dim: Width of what comes out.
    """

    def __init__(self, dim: int, width: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.dim = width or dim
        self.layer = EmbNet1(dim, width, dropout=dropout) if width else None

    def forward(self, classes: Classes) -> Tensor:
        """Embeddings of the classes, `[class, dim]`, from their only text entry."""
        (text,) = classes.text.values()
        return text if self.layer is None else self.layer(text)
