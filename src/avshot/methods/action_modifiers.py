"""Action modifiers: an adverb is a matrix that changes the word of an action; a clip lies near the changed word.

Attention by the action reads the clip. Two triplets push away the same adverb with another action and the antonym with
the same action. A first part of training moves the video encoder alone. With pseudo labels (`pseudo_adverbs`) a second
part learns from clips of known action and unknown adverb, too: from the adverbs that lead their antonym most.

Paper: Doughty, Laptev, Mayol-Cuevas, Damen, "Action Modifiers: Learning from Adverbs in Instructional Videos", CVPR
2020, https://arxiv.org/abs/1912.06617; Doughty and Snoek, "How Do You Do It? Fine-Grained Action Understanding with
Pseudo-Adverbs", CVPR 2022, https://arxiv.org/abs/2203.12344. Authors' code read for facts: hazeld/action-modifiers
ca4937a, hazeld/PseudoAdverbs f96212c.

How ours differs from the authors' code, and why (`released` restores what has a setting):

- The default for own data attends to the sound, too, and each head has a map of its own (`audio`, `shared_heads`).
- Wrong actions are drawn among pairs with training clips in the default, among all by the authors (`negatives`).
- Adam begins anew in the second part, with a tenth of the rate; the authors' goes on with what it remembers.
- With pseudo labels, batches with and without adverbs take turns; the authors add both losses up in one step. The
  adaptive threshold is a running one (`avshot.nn.pseudo_adverbs`). Of unlabelled clips, the adverb is never looked at.
- An epoch here is ten of theirs, as the epochs of all methods for adverbs.

It scores adverbs that it was trained with: each has a matrix of its own. A missing modality: as in `regada`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.errors import BadSetting
from avshot.method import VIEWS, Inputs, Method, Needs, Phase, Preset, Selection, Turn, method
from avshot.nn.action_attention import ActionVideo, VideoConfig
from avshot.nn.adverb_sets import own_recipe, same_for_all
from avshot.nn.autocast import exact, widened
from avshot.nn.batch_means import mean_over
from avshot.nn.pair_negatives import antonym, other_action, other_adverb
from avshot.nn.pairs import ActionGroups, factor, parts_of, rows_of, trained_pairs, word_vectors
from avshot.nn.pseudo_adverbs import AdaptiveThreshold, Guesses, guesses
from avshot.nn.triplet import triplets
from avshot.types import MODALITIES, Batch, Classes, Features


@dataclass(frozen=True)
class Config(VideoConfig):
    """Settings of `action_modifiers`: of the attention, and what follows. Defaults: the authors'."""

    head_dim: int = 0  # 0: the width of words by the number of heads; code
    dropout_video: float = 0.1  # on the attention weights; code
    shared_heads: bool = True  # one map serves all heads, each of which has a piece of the input; code
    margin: float = 0.5  # of both triplets; code
    antonyms: bool = True  # the antonym is the wrong adverb; False: any other one (thesis E.3)
    negatives: str = "all"  # wrong actions, and adverbs that are drawn: of "all" pairs (authors), or of "seen" ones
    action_share: float = 0.2  # of the epochs, in which the modifiers rest; code: 200 of 1000
    later_rate: float = 0.1  # times the rate after that; code
    pseudo_labels: int = 0  # adverbs guessed for an unlabelled clip; 0 = it does not learn from them. Code: 5
    threshold: float = 0.6  # least confidence of a guess, before it adapts; paper tau
    smoothing: float = 0.1  # how far it adapts, 0 = not; paper lambda


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name
UNLABELLED = "unlabelled"  # pool of clips without adverbs


@method
class ActionModifiers(Method):
    """A matrix for each adverb, which changes the words of actions."""

    needs = Needs(texts=1, temporal=True, pairs=True)
    Config = Config
    aliases: ClassVar[Mapping[str, Mapping[str, Any]]] = {"pseudo_adverbs": {"pseudo_labels": 5}}
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(
                head_dim=32,
                shared_heads=False,
                dropout_video=0.2,
                scaling="standardise",
                feature_noise=0.2,
                drop_modality=0.3,
                audio=True,
                negatives="seen",
                later_rate=1.0,
            ),
            own_recipe(),
            "ours, for small own datasets: with sound, as the default of regada, and one rate throughout; not tuned",
            Selection(views=VIEWS),
        ),
        **same_for_all(
            Config(),
            "action-modifiers ca4937a; thesis section 6.5: epochs, rate, batch, S3D's vectors in place of GloVe",
        ),
    }
    released: ClassVar[Mapping[str, Any]] = {
        "audio": False,
        "scaling": "none",
        "feature_noise": 0.0,
        "shared_heads": True,
        "negatives": "all",
        "later_rate": 0.1,
    }
    released_selection: ClassVar[Mapping[str, Any]] = {"views": ("both",)}
    paper = (
        "Doughty et al., Action Modifiers: Learning from Adverbs in Instructional Videos, CVPR 2020, "
        "https://arxiv.org/abs/1912.06617; Doughty and Snoek, How Do You Do It? Fine-Grained Action Understanding with "
        "Pseudo-Adverbs, CVPR 2022, https://arxiv.org/abs/2203.12344"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        if config.negatives not in ("all", "seen"):
            raise BadSetting(f"negatives is {config.negatives!r}; expected one of all, seen.")
        if config.pseudo_labels < 0 or not 0 <= config.action_share < 1:
            raise BadSetting(
                f"pseudo_labels is {config.pseudo_labels} and action_share {config.action_share}; expected 0 or more, "
                "and a share from 0 to below 1."
            )
        dim, count = inputs.text_dim, len(inputs.factors["adverb"])
        attention = replace(config, head_dim=config.head_dim or max(1, dim // config.heads))
        widths = {"audio": inputs.audio, "visual": inputs.visual}
        self.video = ActionVideo(attention, widths, dim, dim, bias=True, shared=config.shared_heads)
        self.modifiers = nn.Parameter(torch.eye(dim).repeat(count, 1, 1))
        adaptive = AdaptiveThreshold(count, config.threshold, config.smoothing)
        self.sure = adaptive if config.pseudo_labels else None

    @property
    def decided_by(self) -> tuple[str, ...]:
        """See `Method.decided_by`."""
        return MODALITIES if self.config.audio else ("visual",)

    def phases(self) -> tuple[Phase, ...]:
        """The video encoder alone, then all; with pseudo labels in turn with unlabelled clips."""
        config = self.config
        both: tuple[Turn, ...] = (Turn(),)
        if config.pseudo_labels:
            both = (
                Turn(terms=("action", "adverb"), optimiser="both"),
                Turn(terms=("pseudo_action", "pseudo_adverb"), pool=UNLABELLED, optimiser="both"),
            )
        if config.action_share == 0:
            return (Phase("all", both),)
        first = Phase("actions", (Turn(("video.",), ("action", "adverb")),), config.action_share)
        return first, Phase("all", both, 1 - config.action_share, rate=config.later_rate)

    def table(self, classes: Classes) -> Tensor:
        """ReLU(M_adverb e_action) of all actions and all adverbs with a matrix: `[action, adverb, text]`."""
        # All matrices times all words is one product; picking a matrix for each clip would copy it.
        changed = F.linear(word_vectors(classes, "action"), self.modifiers.flatten(0, 1))
        return changed.unflatten(1, (len(self.modifiers), -1)).relu()

    def rows(self, classes: Classes) -> Tensor:
        """Which matrix each adverb has, `[adverb]`. Raises ValueError where a class has an adverb without one."""
        return rows_of(factor(classes, "adverb"), self.inputs.factors["adverb"], "adverb")

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Both triplets, means over clips; with pseudo labels the same of the adverbs that are guessed.

        Terms that begin with `pseudo` do not look at the adverb of a label; they are all that unlabelled clips have.

        Raises:
            ValueError: Adverbs are to be guessed, and none has an antonym.
        """
        classes = batch.classes
        action, adverb = parts_of(classes, batch.labels)
        clips = self.video(batch.features, word_vectors(classes, "action")[action][:, None])[:, 0]
        pairs = self.table(classes)[:, self.rows(classes)]
        terms: dict[str, Tensor] = {}
        with exact(clips):
            near = _Near(widened(clips), widened(pairs), self.config.margin)
            if batch.pool != UNLABELLED:
                allowed = self._allowed(classes)
                other, has_other = other_action(action, adverb, allowed)
                opposed, has_opposed = self._opposed(classes, action, adverb, allowed)
                terms["action"] = mean_over(near.than((action, adverb), (other, adverb)), has_other)
                terms["adverb"] = mean_over(near.than((action, adverb), (action, opposed)), has_opposed)
            if self.sure is not None:
                terms |= self._guessed(batch, near, action)
        return terms

    def _allowed(self, classes: Classes) -> Tensor:
        """`[action, adverb]` bool: pairs that wrong ones are drawn from."""
        seen = trained_pairs(classes)
        return seen if self.config.negatives == "seen" else torch.ones_like(seen)

    def _opposed(self, classes: Classes, action: Tensor, adverb: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        if not self.config.antonyms:
            return other_adverb(action, adverb, allowed)
        return antonym(action, adverb, factor(classes, "adverb").opposite, allowed)

    def _guessed(self, batch: Batch, near: _Near, action: Tensor) -> dict[str, Tensor]:
        """The triplets of guessed adverbs: means over clips, and those over guesses; unsure ones have no adverb's."""
        assert self.sure is not None
        found = self.guess(batch.features, batch.classes, action)
        rows = self.rows(batch.classes)
        sure = self.sure(rows, found, remember=self.training and batch.pool == UNLABELLED)
        terms: dict[str, list[Tensor]] = {"pseudo_action": [], "pseudo_adverb": []}
        for k in range(found.adverb.shape[1]):
            adverb, own = found.adverb[:, k], (action, found.adverb[:, k])
            other, has_other = other_action(action, adverb, self._allowed(batch.classes))
            terms["pseudo_action"].append(mean_over(near.than(own, (other, adverb)), found.there[:, k] & has_other))
            terms["pseudo_adverb"].append(mean_over(near.than(own, (action, found.antonym[:, k])), sure[:, k]))
        return {name: torch.stack(values).mean() for name, values in terms.items()}

    @torch.no_grad()
    def guess(self, features: Features, classes: Classes, action: Tensor) -> Guesses:
        """Adverbs for clips of known action `[clip]`, as the method would answer without dropout or noise.

        Raises:
            ValueError: No adverb has an antonym.
        """
        opposite = factor(classes, "adverb").opposite
        if opposite is None or not bool((opposite >= 0).any()):
            raise BadSetting(
                "Adverbs are guessed by their lead over the antonym, and none has one; set pseudo_labels=0."
            )
        modes = {module: module.training for module in self.modules()}
        self.eval()
        clips = self.video(features, word_vectors(classes, "action")[action][:, None])
        for module, mode in modes.items():
            module.training = mode
        with exact(clips):
            pairs = widened(self.table(classes))[:, self.rows(classes)][action]
            distance = (widened(clips) - pairs).norm(dim=2)
        return guesses(-distance, opposite, self.config.pseudo_labels)

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative distance of each changed word to the clip as its action sees it: `[clip, class]`.

        Raises:
            ValueError: An adverb that training did not know.
        """
        groups, (action, adverb) = ActionGroups.of(classes), parts_of(classes)
        clips = self.video(features, word_vectors(classes, "action")[groups.actions][None])
        return -groups.distances(clips, self.table(classes)[action, self.rows(classes)[adverb]])


@dataclass(frozen=True)
class _Near:
    """Clips `[clip, dim]` and all pairs `[action, adverb, dim]`."""

    clips: Tensor
    pairs: Tensor
    margin: float

    def than(self, right: tuple[Tensor, Tensor], wrong: tuple[Tensor, Tensor]) -> Tensor:
        """The triplet loss `[clip]` of each clip with a right and a wrong (action, adverb), `[clip]` long each."""
        return triplets(self.clips, self.pairs[right], self.pairs[wrong], self.margin)
