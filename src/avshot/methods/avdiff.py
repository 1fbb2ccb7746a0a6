"""AV-Diff: fuse sound and picture by hybrid attention, classify, and make up clips of novel classes by diffusion.

A class token looks at audio and visual tokens: in the first layers these look within their modality, later at
everything. Its projection c_o is classified. A diffusion model learns c_o given a vector of the class; in the second
part of training the fusion is frozen, and the classifier learns from base clips, from the few novel clips, and from as
many made-up ones. Made for few shots (task `gfsl`): novel classes have a row of the classifier and a few clips.

Paper: Mercea, Hummel, Koepke, Akata, "Text-to-feature diffusion for audio-visual few-shot learning", DAGM GCPR 2023,
https://arxiv.org/abs/2309.03869; Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, chapter 4.
Authors' code: https://github.com/ExplainableML/AVDIFF-GFSL, a8c7f70.

How ours differs from the authors' code, and why (`released` restores what has a setting):

- What the diffusion model learns from is detached, so that it cannot make its task easier by moving c_o
  (`detach_features`); the thesis does not say. What it makes is detached, too, so the classifier's loss does not flow
  back through all steps (`detach_synthetic`), and has no negative numbers, as c_o has none (`clip_synthetic`).
- The diffusion network, its time and its last step: see `avshot.nn.diffusion`.
- Each class is told by its own vector. Code: those of novel classes are mixed up (`condition="set_order"`, see
  `avshot.nn.class_condition`), so its numbers do not show that the meaning of the vectors helps.
- Frozen parts rest: batch statistics stay, dropout is off (`rest_frozen`). Padded steps enter no batch statistics
  (`norm_over_padding`). The normalisation of visual features over time is kept in published presets, as in `tcaf`.
- Cropping of long clips goes by time stamps, and validation sees the same 300 steps as the test. Code: 30.
- An epoch has 300 batches in both parts. Code: 300 base and 300 novel batches in the second.
- An embedding of padding, read by nobody, and a discriminator, used by nobody, are left out. Nothing is made up where
  it would be thrown away: for base clips, in testing.
- The calibration belongs to the chosen epoch, and 0 is a value. Code: that of the last epoch, and 0 makes it search
  anew on the test clips; that is the task's matter, and not restored.

Tables of the thesis: 4.3 is `attention` with self_layers=0 ("full" is A, "cross" A_cross + A_c, "self" A_self + A_c,
"alternating"); 4.4 `generator="wgan"`; 4.5 `--modality audio`, where every pattern is full attention
over what there is; 4.6 `condition="prototypes"`. `generator="none"` learns from real clips alone.

A missing modality has no tokens; the class token then looks at the other one alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from avshot.method import (
    SMALL_SEQUENCES,
    VIEWS,
    Inputs,
    Method,
    Needs,
    Phase,
    Preset,
    Recipe,
    Selection,
    Turn,
    method,
    replace_fields,
)
from avshot.nn.autocast import exact
from avshot.nn.batch_means import mean_over
from avshot.nn.encoders import LONG_CLIPS, SMALL_ENCODERS
from avshot.nn.fusion import FusionConfig, TemporalFusion
from avshot.nn.fusion_weights import FUSION_NAMES, fusion_sizes, shape_of, without_copies
from avshot.nn.generator import plays
from avshot.nn.readout import ClassifierReadout, ReadoutConfig, classify
from avshot.nn.released_weights import fill
from avshot.nn.synthesis import Synthesis, SynthesisConfig
from avshot.nn.wgan import misjudged
from avshot.types import Batch, Features


@dataclass(frozen=True)
class Config(SynthesisConfig, ReadoutConfig, FusionConfig):
    """Settings of `avdiff`: of fusion, classifier and what is made up, and what follows. Defaults: UCF, 5 shots."""

    layers: int = 4  # thesis L
    self_layers: int = 2  # thesis Z: so many first layers A_self + A_c, the others as `attention` says
    attention: str = "full"  # thesis A = A_c + A_cross + A_self; "cross", "self", "alternating" (Table 4.3)
    dropout_encoder: float = 0.2  # code
    dropout_position: float = 0.1  # code
    dropout_transformer: float = 0.1  # code
    rest_frozen: bool = True  # frozen parts without dropout, batch statistics as they are; False: code


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name

_DROPOUTS = (f"dropout_{part}" for part in ("encoder", "output", "transformer", "position"))
_BY_SHOTS = ("diffusion_steps", "diffusion_hidden", "diffusion_dropout", *_DROPOUTS)
_SOURCE = (
    "thesis section 4.5.1: layers, epochs, batches, rates, T on UCF with 5 and 20 shots; the code alone (AVDIFF-GFSL, "
    "config/best): T of the others, every dropout, widths of the diffusion network"
)


def _published(
    data: str, recipe: tuple[int, float, str], fields: Mapping[str, Any], by_shots: Mapping[int, tuple[float, ...]]
) -> dict[str, Preset]:
    """Presets `<data>-fsl-<shots>`: batch, learning rate and schedule; fields; values of `_BY_SHOTS`."""
    batch, lr, schedule = recipe
    trained = Recipe(epochs=50, batches_per_epoch=300, batch_size=batch, lr=lr, weight_decay=1e-5, schedule=schedule)
    found = {}
    for shots, values in by_shots.items():
        config = replace_fields(Config(), {**fields, **dict(zip(_BY_SHOTS, values, strict=True))})
        found[f"{data}-fsl-{shots}"] = Preset(config, trained, _SOURCE, Selection(beta_grid="avdiff"))
    return found


_UCF = {
    1: (300, 64, 0.0, 0.2, 0.1, 0.1, 0.1),
    5: (200, 128, 0.0, 0.2, 0.1, 0.1, 0.1),
    10: (300, 128, 0.0, 0.2, 0.2, 0.1, 0.1),
    20: (200, 256, 0.1, 0.1, 0.2, 0.2, 0.1),
}
_ACTIVITYNET = {
    1: (100, 64, 0.4, 0.3, 0.1, 0.1, 0.1),
    5: (200, 128, 0.0, 0.3, 0.1, 0.1, 0.2),
    10: (200, 128, 0.0, 0.3, 0.1, 0.1, 0.2),
    20: (200, 128, 0.0, 0.2, 0.1, 0.1, 0.2),
}
_VGGSOUND = {
    1: (200, 128, 0.0, 0.3, 0.3, 0.3, 0.3),
    5: (100, 128, 0.0, 0.2, 0.2, 0.2, 0.2),
    10: (100, 128, 0.0, 0.1, 0.2, 0.2, 0.2),
    20: (100, 128, 0.0, 0.1, 0.2, 0.2, 0.2),
}

_OWN = Preset(
    Config(
        **SMALL_ENCODERS,
        dim=128,
        layers=2,
        self_layers=1,
        heads=4,
        head_dim=32,
        fourier_scale=1.0,
        dropout_encoder=0.3,
        project_hidden=128,
        diffusion_steps=50,
        beta_last=0.2,
    ),
    replace(SMALL_SEQUENCES, epochs=15),
    "ours, for small own datasets: smaller and regularised, as the default of tcaf, and a schedule of noise that ends "
    "in noise; not tuned",
    Selection(beta_grid="exact", views=VIEWS),
)


@method
class AvDiff(ClassifierReadout, Method):
    """Hybrid attention, a classifier, and a diffusion model that adds clips to classes that have few."""

    needs = Needs(texts=1, temporal=True, open_vocabulary=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": _OWN,
        **_published("ucf", (64, 7e-5, "plateau"), {"layers": 4, "self_layers": 2}, _UCF),
        **_published("activitynet", (32, 7e-5, "plateau"), {"layers": 5, "self_layers": 3, **LONG_CLIPS}, _ACTIVITYNET),
        **_published("vggsound", (64, 6e-5, "constant"), {"layers": 8, "self_layers": 5}, _VGGSOUND),
    }
    released: ClassVar[Mapping[str, Any]] = {
        "audio_scaling": "over255",
        "visual_scaling": "time",
        "norm_over_padding": True,
        "shared_norm": True,
        "condition": "set_order",
        "detach_features": False,
        "detach_synthetic": False,
        "clip_synthetic": False,
        "rest_frozen": False,
        "beta_first": 1e-4,
        "beta_last": 0.02,
        "scale_time": False,
        "noise_at_last_step": True,
        "leaky_input": True,
    }
    released_selection: ClassVar[Mapping[str, Any]] = {"beta_grid": "avdiff", "views": ("both",)}
    paper = (
        "Mercea et al., Text-to-feature diffusion for audio-visual few-shot learning, DAGM GCPR 2023, "
        "https://arxiv.org/abs/2309.03869"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.fusion = TemporalFusion(config, inputs.audio, inputs.visual)
        self.add_readout(config, config.dim, inputs.classes)
        sizes = {"text": inputs.text_dim, "audio": inputs.audio, "visual": inputs.visual}
        self.synthesis = Synthesis(config, config.dim_out, inputs.classes, **sizes)

    def phases(self) -> tuple[Phase, ...]:
        """Base clips train everything; then base and novel clips by turns what comes after the fusion."""
        heads = ("project_output", "head", *(["synthesis"] if self.synthesis.plain_terms else []))
        terms = ("cross_entropy", *self.synthesis.plain_terms)
        made = ("synthetic",) if self.synthesis.makes else ()
        base = Turn(parameters=("fusion", *heads), terms=terms, pool="base")
        on_base = Turn(parameters=heads, terms=terms, pool="base", optimiser="heads")
        on_novel = Turn(parameters=heads, terms=(*terms, *made), pool="novel", optimiser="heads")
        return (
            Phase("base", (base, *self.synthesis.game("synthesis", "base")), share=0.6, best="B"),
            Phase("novel", (on_base, on_novel, *self.synthesis.game("synthesis", "")), share=0.4),
        )

    def embed(self, features: Features) -> Tensor:
        """Fused clips c_o, never negative: `[clip, dim_out]`. What is frozen rests (`rest_frozen`)."""
        with self._resting():
            return self.project(self.fusion(features, tokens=False).clip)

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """Layers that do not train at the moment, as in testing; changes of the features still happen."""
        parts = (self.fusion, self.project_output) if self.training and self.config.rest_frozen else ()
        held = [layer for part in parts if not plays(part) for layer in part.children()]
        for layer in held:
            layer.eval()
        try:
            yield
        finally:
            for layer in held:
                layer.train()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """L_ce of real clips, L_diff (or the terms of WGAN-GP), and L_ce of one made-up clip for each novel clip.

        A clip is novel where `batch.classes.seen` says that its class is not base. Terms of players whose parameters
        are held (`requires_grad` is False) are left out.
        """
        clips, terms, synthesis = self.embed(batch.features), {}, self.synthesis
        with exact(clips):
            if plays(self.project_output, self.head):
                terms["cross_entropy"] = classify(self.head, self.head(clips), batch)
            if synthesis.makes:
                told, labels, classes = synthesis.told(batch), batch.labels, batch.classes
                terms |= synthesis.losses(
                    clips, told, lambda made: misjudged(self.head, made, labels, classes, learning=False)
                )
            if synthesis.makes and plays(self.head):
                terms["synthetic"] = self.config.synthetic * self._synthetic(told, batch)
        return terms

    def _synthetic(self, told: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of a made-up clip for each novel one, mean over these; 0 where there is none."""
        novel, rows = ~batch.classes.seen[batch.labels], told.new_zeros(len(told))
        if bool(novel.any()):
            made = self.synthesis.make(told[novel])
            rows = rows.index_put((novel,), misjudged(self.head, made, batch.labels[novel], batch.classes))
        return mean_over(rows, novel)


_OFFICIAL = FUSION_NAMES | {
    "project_output": "O_proj",
    "head": "classifier",
    "synthesis.diffusion.net.1": "generator.fc.1",
}
_UNUSED = "discriminator_seen_novel."  # made, trained by nothing
_SELF_LAYERS = {4: 2, 5: 3, 8: 5}  # Z of the released settings, by L


def from_official(state_dict: Mapping[str, Tensor], *, classes: Sequence[str] = (), **overrides: Any) -> AvDiff:
    """Make an `AvDiff` from weights in the layout of the authors' code, with what it does (`released`).

    Sizes are read from the tensors, but for the width of an attention head (`head_dim`, 64 by default). What leaves no
    trace in them is that of the published settings: `self_layers` by the number of layers, `diffusion_steps` 200.

    Args:
        state_dict: What the authors' checkpoint holds under "model".
        classes: Names of the classes in the order of the classifier's rows: the authors sort them by name.
        overrides: Fields of `Config`, for example `diffusion_steps=300`.

    Returns:
        The method in eval mode: the softmax of `score(features, classes)` are the authors' class probabilities for raw
        features (scaled inside: audio / 255, visual over time) with time stamps in seconds. Its text encoder is "w2v".

    Raises:
        ValueError: A tensor is missing, unknown or of a wrong shape, or `classes` has another number of names than the
            classifier has rows; the message says which.
    """
    weights = {k: v for k, v in without_copies(state_dict).items() if not k.startswith(_UNUSED)}
    sizes, (audio, visual) = fusion_sizes(weights, head_dim=overrides.pop("head_dim", 64))
    project_hidden, rows = shape_of(weights, "O_proj.fc.0.weight")[0], shape_of(weights, "classifier.weight")[0]
    if len(classes) != rows:
        raise ValueError(f"The classifier has {rows} rows; got {len(classes)} classes. Pass classes=[a name for each].")
    hidden, told = shape_of(weights, "generator.fc.1.weight")
    last = "generator.fc.4" if "generator.fc.4.weight" in weights else "generator.fc.3"  # 4 behind a dropout
    out = shape_of(weights, f"{last}.weight")[0]
    sizes |= {"project_hidden": project_hidden, "dim_out": out, "diffusion_hidden": hidden}
    sizes["self_layers"] = _SELF_LAYERS.get(sizes["layers"], 0)
    config = replace_fields(Config(), {**AvDiff.released, **sizes, **overrides})
    model = AvDiff(config, Inputs(audio, visual, {"w2v": told - out - 1}, tuple(classes)))
    fill(model, weights, _OFFICIAL | {"synthesis.diffusion.net.4": last})
    return model.eval()
