"""ReGaDa: retrieve the adverb of an action by a gated text of the pair and by what a clip shows of that action.

The word of the adverb passes a gate that the action opens, and a residual is added; the clip is what attention over its
steps finds with the action's word as the query. Both meet in one space, where two triplets push away the same adverb
with another action and the antonym with the same action, and a regression draws clip and pair together. Made for pairs
of action and adverb (task `adverb`), also for pairs that no training clip shows.

Paper: Hummel, Mercea, Koepke, Akata, "Video-adverb retrieval with compositional adverb-action embeddings", BMVC 2023,
https://arxiv.org/abs/2309.15086; Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, chapter 6 and
appendix E. Authors' code: https://github.com/ExplainableML/ReGaDa, d9d0bfb (read for facts; none of it is here).

How ours differs from the authors' code, and why (`released` restores what has a setting):

- The default for own data attends to the sound, too (`audio`): "loudly" is heard. Published presets look at pictures.
- Negatives: the authors draw any other action, so most wrong pairs do not exist, and some are those to be tested; the
  default draws among pairs with training clips (`negatives="seen"`), and its batch norm sees these (`norm_over`).
- Of the table of all pairs only the rows that a step asks for are put together (`avshot.nn.pair_table`): same numbers.
- Where an adverb has no antonym, another one is drawn in its place; with `antonyms=False` always (thesis E.3).
- Thesis and code: weight decay 1e-5 in the thesis (presets `paper-*`), 5e-5 in the code (the others). The regression is
  a mean over dimensions in the code, a sum in eq. 6.6 (`regression`). Dropout in the video encoder, the slope of the
  ReLUs, heads and margin are the code's alone. An epoch here is ten of theirs: they judge after each tenth.

Tables of the thesis: 6.3 is `main` and `aux`; 6.4 a weight of 0 for `action`, `adverb` or `regression_weight`; 6.5
`share_weights`, `sigmoid`, `residual`; E.2 other text encoders; E.3 `antonyms`.

A missing modality: with `audio`, what attention finds in sound and picture is averaged, so that the other one decides
alone; without, a clip that has no picture scores the same for all adverbs of an action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.method import VIEWS, Inputs, Method, Needs, Preset, Selection, method, replace_fields
from avshot.nn.action_attention import ActionVideo, VideoConfig
from avshot.nn.adverb_sets import SETS, adverb_recipe, own_recipe
from avshot.nn.autocast import exact, widened
from avshot.nn.batch_means import mean_over
from avshot.nn.pair_negatives import antonym, other_action, other_adverb
from avshot.nn.pair_text import PairText, TextConfig
from avshot.nn.pairs import ActionGroups, factor, parts_of, trained_pairs, word_vectors
from avshot.nn.regada_weights import official_names, official_sizes, official_words, without_words
from avshot.nn.released_weights import fill
from avshot.nn.triplet import triplets
from avshot.nn.video_head import VideoHead
from avshot.types import MODALITIES, Batch, Classes, Features


@dataclass(frozen=True)
class Config(VideoConfig, TextConfig):
    """Settings of `regada`: of the text of pairs, of the video encoder, and what follows. Defaults: VATEX."""

    projection_layers: int = 2  # behind the attention; code N_proj
    action: float = 1.0  # weight of the action triplet; thesis l_a, 0 leaves it out
    adverb: float = 2.0  # weight of the adverb triplet; thesis l_v, 0 leaves it out
    regression_weight: float = 1.0  # of the regression; thesis l_reg, 0 leaves it out
    margin: float = 1.0  # of both triplets; code
    regression: str = "mean"  # over dimensions; code. "sum": thesis eq. 6.6
    antonyms: bool = True  # the antonym is the wrong adverb; False: any other one (thesis E.3)
    negatives: str = "all"  # wrong actions, and adverbs that are drawn: of "all" pairs (authors), or of "seen" ones


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name

_SOURCE = (
    "thesis section 6.5: layers, dropout of the gate, weights, batch, rate, epochs; the code alone (ReGaDa d9d0bfb): "
    "dropout of the video encoder, heads, margin, {decay}"
)
_DATA: dict[str, dict[str, Any]] = {
    "howto100m-adverbs": {"gate_layers": 3, "dropout_gate": 0.7, "dropout_video": 0.3, "regression_weight": 1.5},
    "air": {"gate_layers": 4, "residual_layers": 3, "dropout_gate": 0.7, "dropout_video": 0.1, "adverb": 1.5},
}


def _published() -> dict[str, Preset]:
    """Presets by dataset as the code trains, and `paper-<dataset>` with the weight decay of the thesis."""
    found = {}
    for prefix, decay, said in (("", 5e-5, "weight decay 5e-5"), ("paper-", 1e-5, "but the thesis' weight decay")):
        for name in SETS:
            rate = 3e-5 if name == "howto100m-adverbs" else 1e-5
            recipe = adverb_recipe(epochs=2000, lr=rate, weight_decay=decay)
            config = replace_fields(Config(), _DATA.get(name, {}))
            found[f"{prefix}{name}"] = Preset(config, recipe, _SOURCE.format(decay=said))
    return found


_OWN = Preset(
    Config(
        dim=128,
        head_dim=32,
        dropout_gate=0.3,
        dropout_video=0.2,
        scaling="standardise",
        feature_noise=0.2,
        drop_modality=0.3,
        audio=True,
        negatives="seen",
        norm_over="seen",
    ),
    own_recipe(),
    "ours, for small own datasets: narrower, with sound, and a higher rate; not tuned",
    Selection(views=VIEWS),
)


@method
class Regada(Method):
    """Residually gated pairs, and clips as attention by the action sees them, in one space."""

    needs = Needs(texts=1, temporal=True, pairs=True)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {"default": _OWN, **_published()}
    released: ClassVar[Mapping[str, Any]] = {
        "audio": False,
        "scaling": "none",
        "feature_noise": 0.0,
        "negatives": "all",
        "norm_over": "all",
        "regression": "mean",
    }
    released_selection: ClassVar[Mapping[str, Any]] = {"views": ("both",)}
    paper = (
        "Hummel et al., Video-adverb retrieval with compositional adverb-action embeddings, BMVC 2023, "
        "https://arxiv.org/abs/2309.15086"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        for name, known in {"negatives": ("all", "seen"), "regression": ("mean", "sum")}.items():
            if getattr(config, name) not in known:
                raise BadSetting(f"{name} is {getattr(config, name)!r}; expected one of {', '.join(known)}.")
        weights = (config.action, config.adverb, config.regression_weight)
        if min(weights) < 0 or not any(weights):
            raise BadSetting(f"The weights of the losses are {weights}; expected 0 or more, and one above 0.")
        widths = {"audio": inputs.audio, "visual": inputs.visual}
        self.video = ActionVideo(config, widths, inputs.text_dim, config.dim)
        self.head = VideoHead(config.dim, config.projection_layers, dropout=config.dropout_video)
        self.text = PairText(config, inputs.text_dim)

    @property
    def decided_by(self) -> tuple[str, ...]:
        """See `Method.decided_by`."""
        return MODALITIES if self.config.audio else ("visual",)

    def clips(self, features: Features, words: Tensor) -> Tensor:
        """o_video: clips as each action sees them, `[clip, action, dim]`, never negative.

        `words` are `[clip, action, text]`, or `[1, action, text]` when all clips are asked for the same actions.
        """
        return self.head(self.video(features, words))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Both triplets and the regression, weighted (thesis eqs. 6.4 to 6.7): means over clips that have a wrong pair.

        A clip whose adverb no other allowed action has is left out of the action triplet, and one without any other
        adverb out of the adverb triplet.
        """
        config, classes = self.config, batch.classes
        action, adverb = parts_of(classes, batch.labels)
        clips = self.clips(batch.features, word_vectors(classes, "action")[action][:, None])[:, 0]
        (other, has_other), (opposed, has_opposed) = self._wrong(classes, action, adverb)
        actions = torch.cat([action, other.where(has_other, action), action])
        adverbs = torch.cat([adverb, adverb, opposed.where(has_opposed, adverb)])
        rows = self.text(classes, actions, adverbs)
        with exact(rows):
            clips, (right, by_action, by_adverb) = widened(clips), widened(rows).chunk(3)
            error = (clips - right).square()
            terms = {
                "action": (config.action, mean_over(triplets(clips, right, by_action, config.margin), has_other)),
                "adverb": (config.adverb, mean_over(triplets(clips, right, by_adverb, config.margin), has_opposed)),
                "regression": (
                    config.regression_weight,
                    (error.mean(dim=1) if config.regression == "mean" else error.sum(dim=1)).mean(),
                ),
            }
            return {name: weight * term for name, (weight, term) in terms.items() if weight > 0}

    def _wrong(self, classes: Classes, action: Tensor, adverb: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        """Another action for each clip, and another adverb, or the antonym; each `[clip]`, and whether there is one."""
        known = self.text.known(classes)
        allowed = known & trained_pairs(classes) if self.config.negatives == "seen" else known
        others = other_action(action, adverb, allowed)
        if not self.config.antonyms:
            return others, other_adverb(action, adverb, allowed)
        opposed, there = antonym(action, adverb, factor(classes, "adverb").opposite, allowed)
        return others, (opposed, there & known[action, opposed])

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Cosine of each pair and the clip as the pair's action sees it: `[clip, class]`."""
        groups = ActionGroups.of(classes)
        clips = self.clips(features, word_vectors(classes, "action")[groups.actions][None])
        return groups.dots(F.normalize(clips, dim=2), F.normalize(self.text.of_classes(classes), dim=1))


def from_official(
    state_dict: Mapping[str, Tensor], *, actions: Sequence[str], adverbs: Sequence[str], **overrides: Any
) -> Regada:
    """ReGaDa from the authors' tensors (`text_embedder.*`, `video_embedder.*`); use `avshot.load_official("regada")`.

    The word vectors in the file are left out, as they are an input here: pass the same ones as the texts of the
    factors. `pair_embedder` is unused by the authors, too.

    Args:
        state_dict: The authors' tensors.
        actions: All actions, in any order; the authors sort them by frequency in training and test tables together.
        adverbs: All adverbs.
        overrides: Fields of `Config`.

    Returns:
        The method in eval mode, with the text encoder "s3d": its scores are the cosines of the authors' program.

    Raises:
        ValueError: A tensor is missing, unknown or of a wrong shape, or there are more or fewer names than vectors.
    """
    for part, values in (("action", actions), ("adverb", adverbs)):
        count = len(official_words(state_dict, part))
        if count != len(values):
            raise BadSetting(f"The weights know {count} {part}s; got {len(values)} names. Pass a name for each.")
    weights = without_words(state_dict)
    sizes, text, visual = official_sizes(weights, int(overrides.get("heads", Config.heads)))
    config = replace_fields(Config(), {**Regada.released, **sizes, **overrides})
    factors = {"action": tuple(actions), "adverb": tuple(adverbs)}
    model = Regada(config, Inputs(0, visual, {"s3d": text}, factors=factors))
    fill(model, weights, official_names(max(config.gate_layers, config.residual_layers)))
    return model.eval()
