"""AVCA: exchange information between the audio and the visual embedding by cross-attention, then match them to words.

Averaged audio and visual features are encoded, attend to one another and are projected beside the class embeddings.
Triplets pull a clip to its class and away from a negative clip's; decoders keep class embedding and encoder output
recoverable. A clip belongs to the class whose projection lies nearest to `theta_v`, by then a mix of both modalities.

Paper: Mercea et al., "Audio-visual Generalised Zero-shot Learning with Cross-modal Attention and Language", CVPR 2022,
https://arxiv.org/abs/2203.03598. Code read: AVCA-GZSL, 2711aeb.

How ours differs: the model is the one the code trains, because the published numbers come from it. Where paper and code
disagree, the `Config` says which field restores the paper: normalisation before or after a sub-layer (`norm_first`),
one feed-forward for both modalities or one each (`share_feedforward`), and position vectors, which the paper does not
mention and the code draws at random and never trains (`train_positions`). Two things of the released training step are
left out: a second projection of the reconstructed encoder outputs that no loss reads, and a further forward pass for
logging. Both only moved the running statistics of batch normalisation.

Missing modality (ours, the authors have none): a clip without picture is scored by `theta_a` in place of `theta_v`; the
absent modality is hidden from the attention and left out of batch statistics and of the means of the losses. A clip
with neither lies at the origin, so its scores say nothing about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.method import Inputs, Method, Needs, Preset, Recipe, method, replace_fields
from avshot.nn.attention import Attention, FeedForward
from avshot.nn.mlp import EmbNet1, EmbNet2, InputScaling
from avshot.official_weights import fill
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class Config:
    """Settings of `avca`."""

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
    train_positions: bool = False  # position vectors: drawn once and kept (code, by oversight); True: trained


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


def _published(dropout: tuple[float, float, float], momentum: float, batch_size: int = 256) -> Preset:
    encoder, projection, decoder = dropout
    return Preset(
        Config(dropout_encoder=encoder, dropout_projection=projection, dropout_decoder=decoder, momentum=momentum),
        # The weight decay is in the code only, the paper is silent.
        Recipe(epochs=50, batches_per_epoch=500, batch_size=batch_size, lr=1e-3, weight_decay=1e-5, schedule="plateau"),
        "AVCA-GZSL 2711aeb, run scripts of AVCA; the -main rates also in the paper, section 4.2",
    )


class _Block(nn.Module):
    """Attention between the tokens and a feed-forward, each with a residual; paper section 3.1."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, rate = config.width, config.dropout_encoder
        self.norm_first = config.norm_first
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, config.heads, config.head_dim, dropout=rate)
        self.feedforward_norm = nn.LayerNorm(width)
        count = 1 if config.share_feedforward else 2
        self.feedforward = nn.ModuleList(FeedForward(width, config.feedforward, dropout=rate) for _ in range(count))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map `tokens [clip, 2, width]`; `mask [clip, 1, 2]` bool, True = the token can be read."""
        if self.norm_first:
            normed = self.attention_norm(tokens)
            tokens = tokens + self.attention(normed, normed, mask)
            return tokens + self._feed(self.feedforward_norm(tokens))
        tokens = self.attention_norm(tokens + self.attention(tokens, tokens, mask))
        return self.feedforward_norm(tokens + self._feed(tokens))

    def _feed(self, tokens: Tensor) -> Tensor:
        if len(self.feedforward) == 1:
            return self.feedforward[0](tokens)
        return torch.stack([net(tokens[:, i]) for i, net in enumerate(self.feedforward)], dim=1)


class _Word(NamedTuple):
    """Class embedding of each clip of a batch, its projection theta and what the decoder makes of that."""

    w: Tensor
    theta: Tensor
    rho: Tensor


class _Branch(NamedTuple):
    """One modality of a batch: encoder output, projection, its decoding to words and back to phi, and who has it."""

    phi: Tensor
    theta: Tensor
    rho: Tensor
    back: Tensor
    real: Tensor


@method
class AVCA(Method):
    """Cross-attention between one audio and one visual token, matched to class embeddings by triplets."""

    needs = Needs(texts=1, temporal=False, negatives=True)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(dropout_projection=0.2, dropout_decoder=0.1, scaling="standardise"),
            Recipe(epochs=12, passes_per_epoch=5, batch_size=64, lr=1e-3, weight_decay=1e-5, beta_grid="exact"),
            "ours, for small own datasets: dropout as on ActivityNet, plain batch normalisation, scaled inputs",
        ),
        "ucf-main": _published((0.2, 0.3, 0.5), momentum=0.1),
        "ucf-cls": _published((0.2, 0.3, 0.5), momentum=0.99),
        "activitynet-main": _published((0.2, 0.2, 0.1), momentum=0.99),
        "activitynet-cls": _published((0.2, 0.2, 0.1), momentum=0.99),
        "vggsound-main": _published((0.0, 0.0, 0.1), momentum=0.1, batch_size=64),
        "vggsound-cls": _published((0.0, 0.0, 0.0), momentum=0.99),
    }
    paper = (
        "Mercea et al., Audio-visual Generalised Zero-shot Learning with Cross-modal Attention and Language, "
        "CVPR 2022, https://arxiv.org/abs/2203.03598"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        hidden, width, out, momentum = config.hidden, config.width, config.embedding, config.momentum
        encoder, projection, decoder = config.dropout_encoder, config.dropout_projection, config.dropout_decoder
        self.audio_scaling, self.visual_scaling = (
            InputScaling(config.scaling, n) for n in (inputs.audio, inputs.visual)
        )
        self.audio_encoder = EmbNet2(inputs.audio, hidden, width, dropout=encoder, momentum=momentum)
        self.visual_encoder = EmbNet2(inputs.visual, hidden, width, dropout=encoder, momentum=momentum)
        position = torch.randn(2, width)
        if config.train_positions:
            self.position = nn.Parameter(position)
        else:
            self.register_buffer("position", position)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.audio_projection = EmbNet2(width, hidden, out, dropout=projection, momentum=momentum)
        self.visual_projection = EmbNet2(width, hidden, out, dropout=projection, momentum=momentum)
        self.word_projection = EmbNet1(inputs.text_dim, out, dropout=decoder)
        self.decoder = EmbNet1(out, inputs.text_dim, dropout=decoder)
        self.audio_reconstruction = EmbNet1(out, width, dropout=decoder)
        self.visual_reconstruction = EmbNet1(out, width, dropout=decoder)

    def embed(self, features: Features) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode and project: `phi_a, phi_v [clip, width]` and `theta_a, theta_v [clip, embedding]` (eq. 1 and 2)."""
        (audio, visual), has_a, has_v = features.pooled(), features.has_audio, features.has_visual
        audio = self.audio_scaling(audio[:, None], has_a[:, None])[:, 0]
        visual = self.visual_scaling(visual[:, None], has_v[:, None])[:, 0]
        phi_a, phi_v = self.audio_encoder(audio, has_a), self.visual_encoder(visual, has_v)
        tokens = torch.stack([phi_a, phi_v], dim=1) + self.position
        mask = torch.stack([has_a, has_v], dim=1)[:, None]
        for block in self.blocks:
            tokens = block(tokens, mask)
        # The outer residual starts from phi, without the position vector.
        theta_a = self.audio_projection(phi_a + tokens[:, 0], has_a)
        theta_v = self.visual_projection(phi_v + tokens[:, 1], has_v)
        return phi_a, phi_v, theta_a, theta_v

    def _embed_batch(self, batch: Batch) -> tuple[_Branch, _Branch, _Word]:
        (text,) = batch.classes.text.values()
        w = text[batch.labels]
        theta_w = self.word_projection(w)
        word = _Word(w, theta_w, self.decoder(theta_w))
        phi_a, phi_v, theta_a, theta_v = self.embed(batch.features)
        has_a, has_v = batch.features.has_audio, batch.features.has_visual
        rho_a, rho_v = self.decoder(theta_a, has_a), self.decoder(theta_v, has_v)
        back_a, back_v = self.audio_reconstruction(theta_a, has_a), self.visual_reconstruction(theta_v, has_v)
        return _Branch(phi_a, theta_a, rho_a, back_a, has_a), _Branch(phi_v, theta_v, rho_v, back_v, has_v), word

    def _branch_terms(self, own: _Branch, other: _Branch, word: _Word, other_word: _Word) -> dict[str, Tensor]:
        """The share of one modality in the loss terms; `other` are the clips of other classes, row by row."""
        both = own.real & other.real

        def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, real: Tensor) -> Tensor:
            rows = F.triplet_margin_loss(anchor, positive, negative, margin=self.config.margin, reduction="none")
            return _mean(rows, real)

        return {
            "triplet": triplet(own.theta, word.theta, other.theta, both)
            + triplet(word.theta, own.theta, other_word.theta, own.real),  # l_t, eq. 5
            "reconstruction": _squared(own.rho, word.w, own.real),  # l_rec, eq. 7
            "decoded_triplet": triplet(word.rho, own.rho, other.rho, both),  # l_ct, eq. 8
            "word_triplet": triplet(word.theta, own.theta, other.theta, both)
            + triplet(own.theta, word.theta, other_word.theta, own.real),  # l_w, eq. 9
            "regularisation": _squared(own.back, own.phi, own.real)
            + _squared(own.theta, word.theta, own.real),  # l_r, eq. 10; as in the code, nothing is detached
        }

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The five terms of eq. 4 to 10, unweighted.

        Raises:
            ValueError: The batch has no negatives.
        """
        if batch.negative is None:
            raise ValueError("avca got a batch without negatives; pass Batch(..., negative=clips of other classes).")
        audio, visual, word = self._embed_batch(batch)
        other_audio, other_visual, other_word = self._embed_batch(batch.negative)
        pairs = ((audio, other_audio), (visual, other_visual))
        parts = [self._branch_terms(own, other, word, other_word) for own, other in pairs]
        terms = {name: parts[0][name] + parts[1][name] for name in parts[0]}
        terms["reconstruction"] = terms["reconstruction"] + _squared(word.rho, word.w, torch.ones_like(audio.real))
        return terms

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative Euclidean distance of `theta_v` (`theta_a` without picture) to every `theta_w`; eq. 3."""
        # Exact differences: the matrix-product shortcut of cdist loses digits where distances are small.
        return -torch.cdist(*self.embeddings(features, classes), compute_mode="donot_use_mm_for_euclid_dist")

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Clips as `theta_v` (`theta_a` without picture) and classes as `theta_w`."""
        (text,) = classes.text.values()
        _, _, theta_a, theta_v = self.embed(features)
        return torch.where(features.has_visual[:, None], theta_v, theta_a), self.word_projection(text)


def _mean(rows: Tensor, real: Tensor) -> Tensor:
    """Mean of `rows [clip]` over the clips where `real` is True; 0 when there is none."""
    return torch.where(real, rows, torch.zeros_like(rows)).sum() / real.sum().clamp(min=1)


def _squared(left: Tensor, right: Tensor, real: Tensor) -> Tensor:
    """Mean squared difference over all elements of the clips where `real` is True."""
    return _mean((left - right).square().mean(dim=1), real)


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
    fill(built, tensors, _official_names(len(layers)))
    return built.eval()
