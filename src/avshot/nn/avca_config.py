"""Settings of the AVCA model, those that its authors published, and those of the model as the paper describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BRANCHES = ("audio", "visual")
EVALUATIONS = (*BRANCHES, "sum", "mean", "min")


@dataclass(frozen=True)
class AvcaConfig:
    """Settings of the AVCA model."""

    hidden: int = 512  # hidden width of encoders and projections; paper section 4.2, k_f_hidd
    width: int = 300  # width of a token in the attention block; paper k_f
    embedding: int = 64  # width of the common space; paper k_proj
    depth: int = 1  # attention blocks; the code's default, the paper has one
    heads: int = 3  # paper section 4.2
    head_dim: int = 100  # code: 3 heads of 100
    feedforward: int = 64  # hidden width of the feed-forward; paper k_attn_hidd
    dropout_encoder: float = 0.2  # encoders and attention block; paper r_enc
    dropout_projection: float = 0.3  # paper r_proj
    dropout_decoder: float = 0.5  # word projection, decoder, reconstructions; paper r_dec
    margin: float = 1.0  # triplet margin; paper mu
    scaling: str = "none"  # of the averaged inputs, a kind of `avshot.nn.mlp.InputScaling`; the authors scale nothing
    momentum: float = 0.1  # of the second batch normalisation in encoders and projections; code, 0.99 in most runs
    norm_first: bool = True  # LayerNorm before a sub-layer (code); False: after its residual sum (paper)
    share_feedforward: bool = True  # one feed-forward for both tokens (code); False: one per modality (paper f3, f4)
    positions: bool = True  # a vector for each modality, added before the attention (code); False: none (paper)
    train_positions: bool = False  # these vectors: drawn once and kept (code, by oversight); True: trained
    unread_passes: bool = (
        False  # True: the code's passes that no loss reads; they move batch statistics, see methods/avca
    )
    cross_attention: bool = True  # False: no attention block, a branch is its encoder and projection (thesis Table 2.4)
    branches: str = "both"  # "audio", "visual": only this branch is projected and trained (thesis Table 2.4)
    evaluate: str = "visual"  # whose distance decides: "audio", "sum" (thesis Table 2.5), "mean" (paper Table 5), "min"
    triplet: float = 1.0  # weight of l_t; 0 removes it, as for the next four (thesis Table 2.6)
    reconstruction: float = 1.0  # weight of l_rec
    decoded_triplet: float = 1.0  # weight of l_ct
    word_triplet: float = 1.0  # weight of l_w
    regularisation: float = 1.0  # weight of l_r
    text_layer: int = 0  # width of a learnt layer on the class embedding, W_enc of thesis eq. 5.9 (300); 0: none


def _rates(*rates: float, momentum: float) -> dict[str, float]:
    names = ("dropout_encoder", "dropout_projection", "dropout_decoder")
    return dict(zip(names, rates, strict=True)) | {"momentum": momentum}


# Fields of the published settings by dataset and features: AVCA-GZSL 2711aeb, run scripts of AVCA; the -main rates also
# in the paper, section 4.2.
PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "ucf-main": _rates(0.2, 0.3, 0.5, momentum=0.1),
    "ucf-cls": _rates(0.2, 0.3, 0.5, momentum=0.99),
    "activitynet-main": _rates(0.2, 0.2, 0.1, momentum=0.99),
    "activitynet-cls": _rates(0.2, 0.2, 0.1, momentum=0.99),
    "vggsound-main": _rates(0.0, 0.0, 0.1, momentum=0.1),
    "vggsound-cls": _rates(0.0, 0.0, 0.0, momentum=0.99),
}

# Where the paper (section 3.1) differs from the code.
PAPER: Mapping[str, Any] = {"norm_first": False, "share_feedforward": False, "positions": False}
# What the code does, whatever the preset.
RELEASED: Mapping[str, Any] = {
    "scaling": "none",
    "unread_passes": True,
    "norm_first": True,
    "share_feedforward": True,
    "positions": True,
    "train_positions": False,
}


def check(config: AvcaConfig) -> None:
    """Raise ValueError where `branches` or `evaluate` does not exist, or the model lacks what is to be evaluated."""
    if config.branches not in ("both", *BRANCHES):
        raise ValueError(f"branches is {config.branches!r}; expected both, audio or visual.")
    if config.evaluate not in EVALUATIONS:
        raise ValueError(f"evaluate is {config.evaluate!r}; expected one of {', '.join(EVALUATIONS)}.")
    if config.branches not in ("both", config.evaluate):
        raise ValueError(
            f"The model has only the branch {config.branches!r}, but evaluate is {config.evaluate!r}; "
            f"pass evaluate={config.branches!r}."
        )
