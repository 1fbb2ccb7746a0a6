"""KDA: match clips to described classes, each a Gaussian, with a margin that grows with the distance between classes.

Averaged audio and visual features attend to one another (as in AVCA) and are mapped beside class embeddings made from
descriptions that a large language model wrote. The clips of a class are drawn to its description by the 2-Wasserstein
distance of Gaussians, and a softmax sets a larger margin between classes whose descriptions lie farther apart.

Paper: Chen et al., "Boosting Audio-visual Zero-shot Learning with Large Language Models", 2023,
https://arxiv.org/abs/2311.12268. Code read: https://github.com/chenhaoxing/KDA, 05157a5.

The descriptions come in with the class embeddings (`Experiment.descriptions`, a CSV; the released one has three texts a
class), each of unit length. The code leaves CLIP's vectors longer than that, so distances and published calibration
grids are on another scale.

What is Gaussian: the paper gives every class a mean and a covariance, and does not say over what they are taken; the
text of a class is one vector there, which has none, and the code never calls its Wasserstein distance. Here covariances
are diagonal, for which eq. 4 is exact. That of rho_av is taken over the clips of a class in the batch, that of rho_t
over the entries of `classes.text`. These are the descriptions one by one (`Experiment.separate_descriptions`), without
the class name, as the paper has it; its program averages name and three descriptions, and one such mean is an entry,
too (`separate_descriptions=false`). All descriptions that one text encoder embedded go through one map E_t: with a map
for each, the spread would be that of the maps, which training can shrink to nothing, and not that of what is said of
the class. Entries of several text encoders lie in several spaces and have a map each. With one entry the covariance is
zero: eq. 4 is then the root mean squared distance of the clips of a class to its text, and eq. 6 the distance between
two texts. `spread="dimensions"` takes the deviation over the numbers of one vector instead, as the uncalled function
does. Full covariances are beyond reach: a class has far fewer vectors than dimensions.

How ours differs: the default is the paper, which the released program is not: that minimises 5 times the mean squared
error of rho_av to the text and nothing else (`released`, presets `released-main` and `released-cls`). Layers are those
of the code, except that E_t of eq. 1 is linear (the code defines one but never calls it). The margin sits inside the
softmax (eq. 7; the code's, in a term that it leaves out, is added to probabilities). No gradient passes through it:
the loss would fall by moving all class embeddings together, and without bound by making alpha and beta negative. The
paper's dropout rate r_dec belongs to a decoder that KDA does not have. The authors chose epoch and calibration on test
clips; we do not.

Missing modality (ours, the authors have none): the absent one is hidden from the attention and left out of batch
statistics, and its half of theta_av is zero. A clip with neither is left out of the losses and lies at the origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.method import AVCA_SELECTION, TUNED, VIEWS, Inputs, Method, Needs, Preset, Recipe, Selection, method
from avshot.nn.attention import TransformerLayer
from avshot.nn.batch_means import mean_over
from avshot.nn.mlp import EmbNet2, InputScaling
from avshot.nn.text import encoder_of, text_entries
from avshot.types import Batch, Classes, Features

_CHOICES = {
    "alignment": ("wasserstein", "regression"),
    "spread": ("entries", "dimensions"),
    "embed_text": ("linear", "none"),
    "modality": ("both", "audio", "visual"),
}


@dataclass(frozen=True)
class Config:
    """Settings of `kda`."""

    audio_hidden: int = 512  # hidden width of A_enc; code
    visual_hidden: int = 1024  # hidden width of V_enc; code
    width: int = 512  # of tokens and projections, and hidden width of the projections; code
    common: int = 512  # width of the common space; code. Without effect where `embed_text` is "none"
    heads: int = 3  # code, as AVCA
    head_dim: int = 100  # code, as AVCA
    feedforward: int = 64  # hidden width of the feed-forward; code, as AVCA
    dropout_encoder: float = 0.2  # paper r_enc; the code has 0
    dropout_projection: float = 0.3  # paper r_proj; the code has 0
    dropout_attention: float = 0.1  # in the attention block; code, the paper names none
    scaling: str = "none"  # of the averaged inputs, a kind of `avshot.nn.mlp.InputScaling`; the authors scale nothing
    normalise: bool = False  # unit length of theta_av; code, for "cls" features
    embed_text: str = "linear"  # E_t of eq. 1; "none": the class embedding itself, as the code
    modality: str = "both"  # "audio" or "visual": that branch alone, without attention (Table 6)
    classification: float = 1.0  # weight of the cross-entropy; 0 removes it, as the code
    margin_scale: float = 1.0  # alpha of eq. 6; code 1, never learnt. With both 0 eq. 7 is eq. 5 (Table 3)
    margin_bias: float = 0.0  # beta of eq. 6; code 0, never learnt
    alignment: str = "wasserstein"  # eq. 4; "regression": mean squared error over clips and dimensions, as the code
    alignment_weight: float = 1.0  # lambda of eq. 9; 0 removes it (Table 3), best on UCF 10, on ActivityNet 1 (Table 4)
    spread: str = "entries"  # deviation over the texts of a class; "dimensions": over one vector's numbers, as uncalled


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name

_RELEASED: dict[str, Any] = {
    "classification": 0.0,
    "alignment": "regression",
    "alignment_weight": 5.0,
    "embed_text": "none",
    "dropout_encoder": 0.0,
    "dropout_projection": 0.0,
}


def _published(source: str, normalise: bool, **fields: Any) -> Preset:
    recipe = Recipe(
        epochs=50, batches_per_epoch=50, batch_size=2048, lr=1e-3, betas=(0.5, 0.999), schedule="plateau",
    )  # fmt: skip
    return Preset(Config(normalise=normalise, **fields), recipe, source)


def _paper(normalise: bool, encoder: float, projection: float, weight: float) -> Preset:
    rates = {"dropout_encoder": encoder, "dropout_projection": projection}
    source = "KDA paper, section 4.1; lambda from Table 4, which has none for VGGSound (1 here)"
    return _published(source, normalise, alignment_weight=weight, **rates)


@method
class KDA(Method):
    """AVCA's fusion in front of Gaussian classes, with a softmax margin from the distance of their descriptions."""

    needs = Needs(texts=12, fewer_texts=True)  # three descriptions by four text encoders
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            # With a lambda of 1 clips and class embeddings shrank to one point on GRID (cross-entropy stayed at log C);
            # 0.1 had the best validation HM of the values tried there (seed 0: 1, 0.1; and 1 without the map E_t).
            Config(
                scaling="features",
                audio_hidden=256,
                visual_hidden=256,
                width=256,
                common=256,
                alignment_weight=0.1,
            ),
            Recipe(epochs=12, passes_per_epoch=5, batch_size=64, lr=1e-3, weight_decay=1e-5),
            f"ours, for small own datasets: narrower, scaled inputs, losses as in the paper, less alignment; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        "ucf-main": _paper(False, 0.2, 0.3, 10.0),
        "ucf-cls": _paper(True, 0.2, 0.3, 10.0),
        "activitynet-main": _paper(False, 0.2, 0.2, 1.0),
        "activitynet-cls": _paper(True, 0.2, 0.2, 1.0),
        "vggsound-main": _paper(False, 0.0, 0.0, 1.0),
        "vggsound-cls": _paper(True, 0.0, 0.0, 1.0),
        "released-main": _published("KDA 05157a5, run scripts; what the program minimises", False, **_RELEASED),
        "released-cls": _published("KDA 05157a5, run scripts; what the program minimises", True, **_RELEASED),
    }
    paper = (
        "Chen et al., Boosting Audio-visual Zero-shot Learning with Large Language Models, 2023, "
        "https://arxiv.org/abs/2311.12268"
    )
    released: ClassVar[Mapping[str, Any]] = {**_RELEASED, "scaling": "none"}
    released_selection: ClassVar[Mapping[str, Any]] = AVCA_SELECTION

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        _check(config, inputs)
        width, encoder, projection = config.width, config.dropout_encoder, config.dropout_projection
        widths = list(inputs.text.values())
        common = widths[0] if config.embed_text == "none" else config.common
        # Visual first: the order in which the code joins them.
        hidden = {"visual": config.visual_hidden, "audio": config.audio_hidden}
        self.sides = [side for side in hidden if config.modality in ("both", side)]
        sizes = {side: getattr(inputs, side) for side in self.sides}
        self.scaling = nn.ModuleDict({side: InputScaling(config.scaling, n) for side, n in sizes.items()})
        self.encoder = nn.ModuleDict({s: EmbNet2(n, hidden[s], width, dropout=encoder) for s, n in sizes.items()})
        self.projection = nn.ModuleDict({s: EmbNet2(width, width, width, dropout=projection) for s in self.sides})
        if len(self.sides) == 2:
            self.position = nn.Parameter(torch.randn(2, width))
            self.block = TransformerLayer(
                width,
                heads=config.heads,
                head_dim=config.head_dim,
                feedforward=config.feedforward,
                dropout=config.dropout_attention,
                shared_norm=False,
            )
        self.embed_clip = nn.Linear(len(self.sides) * width, common, bias=False)  # E_av
        nn.init.uniform_(self.embed_clip.weight, 0.0, 2e-4)  # as in the code
        spaces = [(encoder_of(name)[0], n) for name, n in inputs.text.items()]
        apart = list(dict.fromkeys(spaces))
        self.map_of = [apart.index(space) for space in spaces]  # of each entry
        maps = [] if config.embed_text == "none" else [nn.Linear(n, common, bias=False) for _, n in apart]
        self.embed_texts = nn.ModuleList(maps)  # E_t, one for each text encoder

    @property
    def decided_by(self) -> tuple[str, ...]:
        """See `Method.decided_by`."""
        return tuple(self.sides)

    def embed(self, features: Features) -> tuple[Tensor, Tensor]:
        """Clips in the common space, rho_av `[clip, common]` (eq. 1), and which had anything to look at `[clip]`."""
        pooled = dict(zip(("audio", "visual"), features.pooled(), strict=True))
        real = {side: getattr(features, f"has_{side}") for side in self.sides}
        tokens = []
        for side in self.sides:
            scaled = self.scaling[side](pooled[side][:, None], real[side][:, None])[:, 0]
            tokens.append(self.encoder[side](scaled, real[side]))
        if len(tokens) == 2:
            phi, mask = torch.stack(tokens, dim=1), torch.stack(list(real.values()), dim=1)
            # The outer residual starts from phi, without the position vector.
            tokens = list((phi + self.block(phi + self.position, mask[:, None])).unbind(dim=1))
        theta = [self.projection[side](token, real[side]) for side, token in zip(self.sides, tokens, strict=True)]
        joined = torch.cat(theta, dim=1)
        if self.config.normalise:
            joined = F.normalize(joined, dim=1)
        return self.embed_clip(joined), torch.stack(list(real.values())).any(dim=0)

    def describe(self, classes: Classes) -> tuple[Tensor, Tensor]:
        """The Gaussian of each class, rho_t (eq. 1): mean and deviation, both `[class, common]`."""
        entries = text_entries(classes, self.inputs.text)
        if self.embed_texts:
            entries = [self.embed_texts[i](entry) for i, entry in zip(self.map_of, entries, strict=True)]
        points = torch.stack(entries)
        mean = points.mean(dim=0)
        return mean, self._deviation(mean, (points - mean).square().mean(dim=0))

    def margins(self, classes: Classes) -> Tensor:
        """Eq. 6, `[class, class]`: alpha times the 2-Wasserstein distance plus beta; 0 of a class to itself."""
        gaussians = torch.cat(self.describe(classes), dim=1).detach()
        apart = torch.cdist(gaussians, gaussians, compute_mode="donot_use_mm_for_euclid_dist")
        return (self.config.margin_scale * apart + self.config.margin_bias).fill_diagonal_(0.0)

    @property
    def couples(self) -> str:
        """See `Method.couples`."""
        return (
            "its alignment describes each class by its clips in the batch"
            if self.config.alignment != "regression"
            else ""
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Eq. 9: `classification` (eq. 7) and `alignment` (eq. 4, or the code's regression), times their weights."""
        rho, real = self.embed(batch.features)
        mean, deviation = self.describe(batch.classes)
        logits = rho @ mean.T + self.margins(batch.classes)[batch.labels]
        wrong = F.cross_entropy(logits, batch.labels, reduction="none")
        if self.config.alignment == "regression":
            apart = mean_over((rho - mean[batch.labels]).square().mean(dim=1), real)
        else:
            apart = self._align(rho[real], batch.labels[real], mean, deviation)
        return {
            "classification": self.config.classification * mean_over(wrong, real),
            "alignment": self.config.alignment_weight * apart,
        }

    def _align(self, rho: Tensor, labels: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Eq. 4 between the clips of a class and its text, mean over the classes in the batch; 0 without clips."""
        present, index, count = labels.unique(return_inverse=True, return_counts=True)
        own = (labels == present[:, None]).to(rho.dtype) / count[:, None]  # [class, clip]: averages over its clips
        centre = own @ rho
        spread = self._deviation(centre, own @ (rho - centre[index]).square())
        return wasserstein(centre, spread, mean[present], deviation[present]).sum() / max(len(present), 1)

    def _deviation(self, mean: Tensor, variance: Tensor) -> Tensor:
        if self.config.spread == "dimensions":
            variance = mean.var(dim=1, correction=0, keepdim=True).expand_as(mean)
        # Below the clamp the gradient is 0; the root's own would be infinite at 0.
        return torch.where(variance > 0, variance.clamp(min=1e-12).sqrt(), torch.zeros_like(variance))

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """rho_av of the clips and the means of rho_t of the classes."""
        return self.embed(features)[0], self.describe(classes)[0]

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative Euclidean distance of rho_av to the mean of rho_t of every class (eq. 8): `[clip, class]`."""
        # Exact differences: the matrix-product shortcut of cdist loses digits where distances are small.
        return -torch.cdist(*self.embeddings(features, classes), compute_mode="donot_use_mm_for_euclid_dist")


def wasserstein(mean: Tensor, deviation: Tensor, other_mean: Tensor, other_deviation: Tensor) -> Tensor:
    """The 2-Wasserstein distance of Gaussians with diagonal covariance, row by row: `[row]` (eq. 4, here exact).

    Args:
        mean: `[row, dim]`.
        deviation: `[row, dim]`, roots of the variances, not negative.
        other_mean: As `mean`.
        other_deviation: As `deviation`.

    Returns:
        Distances; the gradient between equal Gaussians is 0.
    """
    return torch.linalg.vector_norm(torch.cat([mean - other_mean, deviation - other_deviation], dim=1), dim=1)


def _check(config: Config, inputs: Inputs) -> None:
    """Refuse settings that do not exist or do not fit, with a ValueError."""
    for field, known in _CHOICES.items():
        if getattr(config, field) not in known:
            raise ValueError(f"{field} is {getattr(config, field)!r}; expected one of {', '.join(known)}.")
    if config.embed_text == "none" and len(set(inputs.text.values())) > 1:
        raise ValueError(
            f"embed_text='none' averages class embeddings as they are, so they need one width; got "
            f"{dict(inputs.text)}. Use one text encoder, or embed_text='linear'."
        )
