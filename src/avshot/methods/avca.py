"""AVCA: exchange information between the audio and the visual embedding by cross-attention, then match them to words.

Averaged audio and visual features are encoded, attend to one another and are projected beside the class embeddings.
Triplets pull a clip to its class and away from a negative clip's; decoders keep class embedding and encoder output
recoverable. A clip belongs to the class whose projection lies nearest to `theta_v`, by then a mix of both modalities.

Paper: Mercea et al., "Audio-visual Generalised Zero-shot Learning with Cross-modal Attention and Language", CVPR 2022,
https://arxiv.org/abs/2203.03598. Code read: AVCA-GZSL, 2711aeb.

How ours differs: the model is the one the code trains, because the published numbers come from it. The presets
`paper-*` are the model as the paper describes it (section 3.1), with its rates: LayerNorm after the residual sum of a
sub-layer (`norm_first`), a feed-forward for each modality (`share_feedforward`), and no position vectors (`positions`),
which the code draws at random and never trains (`train_positions`). The paper names no weight decay and no momentum.

Two things of the released training step are left out: a second projection of the reconstructed encoder outputs that no
loss reads, and a further forward pass for logging. Both move the running statistics of batch normalisation, by which
clips are scored; with a momentum of 0.99 those of the second norms come from the last pass nearly alone.
`unread_passes=True` (`released`) restores them.

What the thesis takes away or measures otherwise is a field too: the attention (`cross_attention`), a branch with its
losses (`branches`), each loss term (its weight), and whose distance decides (`evaluate`). Without attention the
branches still share the projection and the decoder of the class embeddings, which the thesis leaves open. Of both
branches the thesis prints the sum of the distances and the CVPR paper half of it, beside the same numbers: on a grid of
calibrations that ends at 3 these are two settings ("sum", "mean"). "min" takes the lesser distance class by class, of
which its "modality with the smallest distance" is the case without calibration.

In few-shot learning (thesis section 4.3.3) a linear classifier of the trained classes reads the visual output:
`readout="classifier"`, of the presets `*-fsl`. The thesis says no more. Ours takes `theta_v`, adds the classifier's
cross-entropy to the five terms and leaves the rest as it is. Where a clip lacks the picture the classifier reads
`theta_a`, which the five terms draw to the same place. Batch norms have their usual momentum, since the statistics of
the last batch alone would be those of novel clips.

Missing modality (ours, the authors have none): a clip without picture is scored by `theta_a` in place of `theta_v`; the
absent modality is hidden from the attention and left out of batch statistics and of the means of the losses. A clip
with neither lies at the origin, so its scores say nothing about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from avshot.method import (
    AVCA_SELECTION,
    TUNED,
    VIEWS,
    Inputs,
    Method,
    Needs,
    Phase,
    Preset,
    Recipe,
    Selection,
    method,
    replace_fields,
)
from avshot.nn.avca import Avca
from avshot.nn.avca_config import BRANCHES, PAPER, PUBLISHED, RELEASED, AvcaConfig
from avshot.nn.class_head import ClassHead
from avshot.nn.readout import classified, classify, few_shot_presets
from avshot.nn.released_weights import fill
from avshot.recipe import base_then_novel
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class Config(AvcaConfig):
    """Settings of `avca`: those of the model."""

    readout: str = "nearest"  # the class whose text lies nearest; "classifier": linear, of trained classes (few shots)
    cross_entropy: float = 1.0  # weight of the classifier's loss beside the five; ours


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


def _published(name: str) -> Preset:
    batch_size = 64 if name == "vggsound-main" else 256
    return Preset(
        replace_fields(Config(), PUBLISHED[name]),
        # The weight decay is in the code only, the paper is silent.
        Recipe(epochs=50, batches_per_epoch=500, batch_size=batch_size, lr=1e-3, weight_decay=1e-5, schedule="plateau"),
        "AVCA-GZSL 2711aeb, run scripts of AVCA; the -main rates also in the paper, section 4.2",
    )


def _rates(name: str) -> dict[str, float]:
    """Published dropout, without the momentum."""
    return {key: value for key, value in PUBLISHED[name].items() if key != "momentum"}


def _paper(name: str) -> Preset:
    return Preset(
        replace_fields(Config(), {**_rates(name), **PAPER}),
        replace_fields(_published(name).recipe, {"weight_decay": 0.0}),
        "paper, sections 3.1 and 4.2; batches in an epoch from AVCA-GZSL 2711aeb, the paper is silent",
    )


@method
class AVCA(Method):
    """Cross-attention between one audio and one visual token, matched to class embeddings by triplets."""

    needs = Needs(texts=1, temporal=False, negatives=True)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(dropout_projection=0.2, dropout_decoder=0.1, scaling="standardise"),
            Recipe(epochs=24, passes_per_epoch=5, batch_size=64, lr=1e-3, weight_decay=1e-5),
            "ours, for small own datasets: dropout as on ActivityNet, plain batch normalisation, scaled inputs; "
            + TUNED,
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **{name: _published(name) for name in PUBLISHED},
        **few_shot_presets(
            Config(readout="classifier"),
            "ours: rates and epochs as of all methods (thesis 4.5.1), dropout as for zero shots",
            ucf=_rates("ucf-cls"),
            activitynet=_rates("activitynet-cls"),
            vggsound=_rates("vggsound-cls"),
        ),
        **{f"paper-{name}": _paper(name) for name in PUBLISHED if name.endswith("-main")},
    }
    released: ClassVar[Mapping[str, Any]] = RELEASED
    released_selection: ClassVar[Mapping[str, Any]] = AVCA_SELECTION
    paper = (
        "Mercea et al., Audio-visual Generalised Zero-shot Learning with Cross-modal Attention and Language, "
        "CVPR 2022, https://arxiv.org/abs/2203.03598"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.net = Avca(config, inputs.audio, inputs.visual, inputs.text_dim)
        classes = classified(config.readout, inputs.classes)
        self.head = None if classes is None else ClassHead(config.embedding, classes)
        if classes is not None and config.evaluate not in BRANCHES:
            known = " or ".join(BRANCHES)
            raise ValueError(f"evaluate is {config.evaluate!r}; a classifier reads one output, so pass {known}.")

    @property
    def closed(self) -> bool:
        """See `Method.closed`: with a classifier."""
        return self.head is not None

    def phases(self) -> tuple[Phase, ...]:
        """One; with a classifier base classes, then base and novel ones."""
        return (Phase(),) if self.head is None else base_then_novel()

    @property
    def decided_by(self) -> tuple[str, ...]:
        """See `Method.decided_by`."""
        return self.net.branches

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The five terms of eq. 4 to 10, times their weights (1 as published); weight 0 leaves a term out.

        With a classifier also its `cross_entropy`.

        Raises:
            ValueError: The batch has no negatives.
        """
        own, other = self.net.passed(batch)
        terms = self.net.terms(own, other)
        if self.head is not None:
            theta = self.net.decisive(own.audio.theta, own.visual.theta, batch.features)
            terms["cross_entropy"] = self.config.cross_entropy * classify(self.head, self.head(theta), batch)
        return terms

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative Euclidean distance of `theta_v` (`theta_a` without picture) to every `theta_w`; eq. 3.

        `evaluate` can ask for another distance, see `avshot.nn.avca.Avca.score`. With a classifier its logits.

        Raises:
            ValueError: A candidate is none of the classes of the classifier.
        """
        if self.head is None:
            return self.net.score(features, classes)
        _, _, theta_a, theta_v = self.net.embed(features)
        return self.head.columns(self.head(self.net.decisive(theta_a, theta_v, features)), classes)

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Clips as `theta_v` (`theta_a` without picture) and classes as `theta_w`."""
        return self.net.embeddings(features, classes)


def _official_names(depth: int) -> dict[str, str]:
    names = {"position": "pos_emb1D", "word_projection": "W_proj", "decoder": "D"}
    for own, official in (("audio", "A"), ("visual", "V")):
        names[f"{own}_encoder"] = f"{official}_enc"
        names[f"{own}_projection"] = f"{official}_proj"
        names[f"{own}_reconstruction"] = f"{official}_rec"
    for i in range(depth):
        own, official = f"blocks.{i}", f"cross_attention.layers.{i}"
        names[f"{own}.attention_norm"] = f"{official}.0.norm"
        names[f"{own}.attention"] = f"{official}.0.fn"
        names[f"{own}.feedforward_norm"] = f"{official}.1.norm"
        names[f"{own}.feedforward.0"] = f"{official}.1.fn"
    return names


def from_official(state_dict: Mapping[str, Tensor], **overrides: Any) -> AVCA:
    """Build the method from the `model` entry of a checkpoint of AVCA-GZSL, in eval mode.

    Every width is read from the tensors. The number of heads leaves no trace in them: 3 unless overridden. To train on,
    pass dropout rates and momentum as overrides too.

    Args:
        state_dict: Tensors by the authors' names (`A_enc.fc.0.weight`, ...).
        overrides: Fields of `Config` to change.

    Raises:
        ValueError: A tensor is missing or has no place; the message names it.
    """
    size = {key: value.shape[0] for key, value in state_dict.items() if value.ndim == 2}
    heads = int(overrides.get("heads", Config.heads))
    layers = {key.split(".")[2] for key in state_dict if key.startswith("cross_attention.layers.")}
    config = Config(
        hidden=size["A_enc.fc.0.weight"],
        width=size["A_enc.fc.4.weight"],
        embedding=size["A_proj.fc.4.weight"],
        depth=len(layers),
        heads=heads,
        head_dim=size["cross_attention.layers.0.0.fn.to_qkv.weight"] // (3 * heads),
        feedforward=size["cross_attention.layers.0.1.fn.net.0.weight"],
    )
    audio, visual, text = (state_dict[f"{name}.fc.0.weight"].shape[1] for name in ("A_enc", "V_enc", "W_proj"))
    built = AVCA(replace_fields(config, overrides), Inputs(audio, visual, {"w2v": text}))
    tensors = dict(state_dict)
    for i in range(len(layers)):
        attention = f"cross_attention.layers.{i}.0.fn"
        # The code makes queries, keys and values with one matrix, we with three.
        for name, part in zip("qkv", tensors.pop(f"{attention}.to_qkv.weight").chunk(3), strict=True):
            tensors[f"{attention}.to_{name}.weight"] = part
    fill(built.net, tensors, _official_names(len(layers)))
    return built.eval()
