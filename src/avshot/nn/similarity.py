"""How alike is a fused clip to a class: the four similarity functions of EZ-AVGZL (section 3.3, Table 6).

All share one form: `similarity(fused, text [class, dim]) -> [clip, class]`, higher is more alike, and treat every class
by itself, so classes can be added, removed or reordered.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn.attention import Attention, FeedForward
from avshot.nn.autocast import exact, widened
from avshot.nn.fusion import Fused


class Similarity(nn.Module, ABC):
    """Base class of the similarity functions.

    Attributes:
        reads_tokens: Whether `Fused.rows` must be there; else `Fused.clip` will do.
    """

    reads_tokens = False

    @abstractmethod
    def forward(self, fused: Fused, text: Tensor) -> Tensor:
        """Similarity of clips to classes `text [class, text_dim]`: `[clip, class]`."""


class CentredText(nn.Module):
    """Subtract the mean of the training classes' embeddings, then scale rows to unit length.

    Embeddings of short names share most of their direction (those of "bin blue" and "bin green" have a cosine of 0.67
    in wordllama); what tells classes apart is the small rest. The mean is that of the classes of training, remembered,
    so a class scores the same whatever other candidates are offered.

    Args:
        text_dim: Width of class embeddings.
    """

    mean: Tensor

    def __init__(self, text_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(text_dim))

    def forward(self, text: Tensor) -> Tensor:
        """Centre `[class, text_dim]`; in training these are all training classes, and their mean is remembered."""
        if self.training and len(text) > 1:
            with torch.no_grad():
                self.mean.copy_(text.mean(dim=0))
        return F.normalize(text - self.mean, dim=1)


class Scale(nn.Module):
    """A positive factor on logits, `1 / temperature`.

    A cosine lies in [-1, 1]; a softmax over C classes with logits in that range gives the right one at most
    `e / (e + (C - 1) / e)`, 10 % for 69 classes, so without a factor the loss cannot be fitted. The paper names none.

    Args:
        temperature: First (or fixed) value.
        learnt: Learn its logarithm; the factor is held at 100 or less, as in CLIP.
    """

    def __init__(self, temperature: float, *, learnt: bool) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}; expected a positive number.")
        start = torch.tensor(-math.log(temperature))
        self.log_scale: Tensor
        if learnt:
            self.log_scale = nn.Parameter(start)
        else:
            self.register_buffer("log_scale", start)

    def forward(self, logits: Tensor) -> Tensor:
        """Multiply."""
        return logits * self.log_scale.clamp(max=math.log(100)).exp()


class Cosine(Similarity):
    """Cosine of the linearly projected clip vector and the class embedding, times a scale.

    The projection brings the clip to the width of the text; in the paper both are 300 wide and it may have had none.
    """

    def __init__(self, dim: int, text_dim: int, scale: Scale) -> None:
        super().__init__()
        self.project = nn.Linear(dim, text_dim)
        self.scale = scale

    def forward(self, fused: Fused, text: Tensor) -> Tensor:
        """`scale * cos(project(clip), text)`."""
        with exact(text):
            return self.scale(F.normalize(self.project(fused.clip), dim=1) @ F.normalize(text, dim=1).T)


class Linear(Similarity):
    """Bilinear form: an affine map of the clip vector, multiplied with the class embedding.

    The paper applies "a linear layer to the concatenation of both embeddings". That is `a . clip + b . text`: the first
    term is the same for all classes, the second for all clips, so all clips get one ranking, which cannot give the
    numbers of Table 6. `as_printed=True` builds it all the same; the default is what is linear in either embedding
    and can rank.
    """

    def __init__(self, dim: int, text_dim: int, *, as_printed: bool = False) -> None:
        super().__init__()
        # No bias that all classes would share: a softmax does not see it, so it would never learn.
        self.of_clip = nn.Linear(dim, 1, bias=False) if as_printed else nn.Linear(dim, text_dim)
        self.of_text = nn.Linear(text_dim, 1, bias=False) if as_printed else None

    def forward(self, fused: Fused, text: Tensor) -> Tensor:
        """Bilinear (or, as printed, additive) similarity."""
        with exact(text):
            clip = self.of_clip(fused.clip)
            return clip @ text.T if self.of_text is None else clip + self.of_text(text).T


class MLP(Similarity):
    """A perceptron with one hidden ReLU layer on the concatenation of clip vector and class embedding.

    The first layer is computed once per clip and once per class and added, not once per pair.
    """

    def __init__(self, dim: int, text_dim: int, hidden: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.clip = nn.Linear(dim, hidden)
        self.text = nn.Linear(text_dim, hidden, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, 1, bias=False)  # a softmax over classes does not see a shared bias

    def forward(self, fused: Fused, text: Tensor) -> Tensor:
        """Score every pair."""
        with exact(text):
            hidden = F.relu(self.clip(fused.clip)[:, None] + self.text(text)[None])
            return self.out(self.dropout(hidden)).squeeze(2)


class CrossAttention(Similarity):
    """Class embeddings as queries look at the fused clip; a linear map of what they found is the score.

    Attention over a *single* key is constant in the query: its softmax is 1 whatever the class asks. With the clip
    vector as only key and a linear read-out, every class would get the same score; adding the query as a residual would
    give the same ranking to every clip. So by default the keys and values are the fused token sequence (class token,
    audio, visual): what a class finds then depends on both. The residual and a feed-forward part complete the
    transformer layer that the paper speaks of; with them even `keys="clip"` can rank, through the feed-forward part.

    Args:
        dim: Width of tokens and of this layer.
        text_dim: Width of class embeddings.
        heads: Number of heads.
        head_dim: Width of a head.
        dropout: In attention output and feed-forward part.
        feedforward: Hidden width of the feed-forward part; 0 = none.
        residual: Add the (projected) query to what it found.
        keys: "tokens" or "clip".
        readout: "linear": the printed linear projection; "cosine": the cosine of what a class found with the class
            embedding itself, times `scale`.
        scale: Needed for "cosine".
    """

    def __init__(
        self,
        dim: int,
        text_dim: int,
        *,
        heads: int,
        head_dim: int,
        dropout: float = 0.0,
        feedforward: int = 128,
        residual: bool = True,
        keys: str = "tokens",
        readout: str = "linear",
        scale: Scale | None = None,
    ) -> None:
        super().__init__()
        if keys not in ("tokens", "clip"):
            raise ValueError(f'keys is {keys!r}; expected "tokens" or "clip".')
        if readout not in ("linear", "cosine"):
            raise ValueError(f'readout is {readout!r}; expected "linear" or "cosine".')
        self.keys, self.residual = keys, residual
        self.reads_tokens = keys == "tokens"
        self.query = nn.Linear(text_dim, dim)
        self.norm_query = nn.LayerNorm(dim)
        self.norm_key = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, head_dim, dropout=dropout)
        self.norm_ff = nn.LayerNorm(dim) if feedforward > 0 else None
        self.feedforward = FeedForward(dim, feedforward, dropout=dropout) if feedforward > 0 else None
        # A softmax over classes does not see a bias that they share.
        self.readout = nn.Linear(dim, 1, bias=False) if readout == "linear" else nn.Linear(dim, text_dim)
        self.scale = scale if readout == "cosine" else None

    def forward(self, fused: Fused, text: Tensor) -> Tensor:
        """Score every pair."""
        found = widened(self.found(fused, text))
        with exact(text):
            if self.scale is None:
                return self.readout(found).squeeze(2)
            return self.scale((F.normalize(self.readout(found), dim=2) * F.normalize(text, dim=1)).sum(dim=2))

    def found(self, fused: Fused, text: Tensor) -> Tensor:
        """What each class found in each clip: `[clip, class, dim]`."""
        query = self.query(text)[None]
        if self.reads_tokens:
            found = self.attention.look(self.norm_query(query), self.norm_key(fused.packed), fused.layout)
        else:
            found = self.attention(self.norm_query(query), self.norm_key(fused.clip[:, None]))
        if self.residual:
            found = found + query
        if self.feedforward is not None and self.norm_ff is not None:
            found = found + self.feedforward(self.norm_ff(found))
        return found
