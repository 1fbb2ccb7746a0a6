"""AC: attention by the action reads a clip, and a small network answers with a number for each adverb.

The numbers are logits of a classifier (`ac_cls`), or changes that an adverb makes to an action (`ac_reg`): its own is
to be delta, its antonym's -delta, all others 0. What delta is follows from the words: how much the adverb changes them.

Paper: Moltisanti, Keller, Bilen, Sevilla-Lara, "Learning Action Changes by Measuring Verb-Adverb Textual
Relationships", CVPR 2023, https://arxiv.org/abs/2303.15086. Authors' code: https://github.com/dmoltisanti/air-cvpr23,
4b09522 (MIT), with its correction of 2023-05-09, which masks padding in training.

How ours differs from the authors' code, and why (`released` restores what has a setting):

- Padding is masked in testing as well. The authors' test still attends to it, so that their scores depend on the batch
  (`attend_padding`).
- Words of actions are learnt as offsets to the embeddings given, zero at first. The authors learn the embeddings, which
  weight decay draws to zero; ours to the words. An action that training did not know has no offset.
- The default for own data attends to the sound, too, and each head has a map of its own (`audio`, `shared_heads`).
- An epoch here is ten of theirs: they judge after each tenth.

A missing modality: as in `regada`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.errors import BadSetting
from avshot.method import VIEWS, Inputs, Method, Needs, Preset, Selection, method
from avshot.nn.action_attention import ActionVideo, VideoConfig
from avshot.nn.adverb_sets import own_recipe, same_for_all
from avshot.nn.autocast import exact, widened
from avshot.nn.pairs import ActionGroups, class_of_pair, factor, parts_of, rows_of, word_vectors
from avshot.types import MODALITIES, Batch, Classes, Features

VARIANTS = ("cls", "reg")
DELTAS = ("text", "fixed")


@dataclass(frozen=True)
class Config(VideoConfig):
    """Settings of `ac`: of the attention, and what follows. Defaults: the authors'."""

    variant: str = "reg"  # "cls": adverbs are classes; "reg": changes of the action; paper
    dim: int = 512  # width of what the attention gives; code
    head_dim: int = 128  # code
    dropout_video: float = 0.1  # on the attention weights; scripts of the code
    shared_heads: bool = True  # one map serves all heads, each of which has a piece of the input; code
    hidden: tuple[int, ...] = (512, 512, 512)  # widths of the network behind it; code
    dropout: float = 0.1  # behind its hidden layers; scripts of the code
    learn_words: bool = True  # the words of actions move in training; code
    delta: str = "text"  # of "reg": from the words, or "fixed", 1 for all; code
    antonyms: bool = True  # of "reg": the antonym's target is -delta; False: 0, and delta without it (thesis E.3)
    attend_padding: bool = False  # True: steps of padding are read in testing; code


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


@method
class Ac(Method):
    """Attention by the action, and a number for each adverb."""

    needs = Needs(texts=1, temporal=True, pairs=True)
    Config = Config
    aliases: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ac_cls": {"variant": "cls"}, "ac_reg": {"variant": "reg"}}
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(
                dim=128,
                head_dim=32,
                shared_heads=False,
                hidden=(128, 128),
                dropout_video=0.2,
                dropout=0.3,
                scaling="standardise",
                feature_noise=0.2,
                drop_modality=0.3,
                audio=True,
            ),
            own_recipe(),
            "ours, for small own datasets: narrower, and with sound, as the default of regada; not tuned",
            Selection(views=VIEWS),
        ),
        **same_for_all(Config(), "air-cvpr23 4b09522, training scripts; thesis section 6.5"),
    }
    released: ClassVar[Mapping[str, Any]] = {
        "audio": False,
        "scaling": "none",
        "feature_noise": 0.0,
        "shared_heads": True,
        "attend_padding": True,
    }
    released_selection: ClassVar[Mapping[str, Any]] = {"views": ("both",)}
    paper = (
        "Moltisanti et al., Learning Action Changes by Measuring Verb-Adverb Textual Relationships, CVPR 2023, "
        "https://arxiv.org/abs/2303.15086"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        for name, known in {"variant": VARIANTS, "delta": DELTAS}.items():
            if getattr(config, name) not in known:
                raise BadSetting(f"{name} is {getattr(config, name)!r}; expected one of {', '.join(known)}.")
        widths, text = {"audio": inputs.audio, "visual": inputs.visual}, inputs.text_dim
        self.video = ActionVideo(config, widths, text, config.dim, bias=True, shared=config.shared_heads)
        layers: list[nn.Module] = []
        for wide, narrow in zip((config.dim, *config.hidden), config.hidden, strict=False):
            layers += [nn.Linear(wide, narrow), nn.ReLU(), nn.Dropout(config.dropout)]
        last = config.hidden[-1] if config.hidden else config.dim
        self.network = nn.Sequential(*layers, nn.Linear(last, len(inputs.factors["adverb"])))
        actions = len(inputs.factors["action"])
        self.moved = nn.Parameter(torch.zeros(actions, text)) if config.learn_words else None

    @property
    def decided_by(self) -> tuple[str, ...]:
        """See `Method.decided_by`."""
        return MODALITIES if self.config.audio else ("visual",)

    def words(self, classes: Classes) -> Tensor:
        """The words of all actions as they were learnt, `[action, text]`; unknown ones as they are."""
        vectors = word_vectors(classes, "action")
        if self.moved is None:
            return vectors
        row = {name: i for i, name in enumerate(self.inputs.factors["action"])}
        rows = torch.tensor([row.get(name, -1) for name in factor(classes, "action").names], device=vectors.device)
        return vectors + self.moved[rows.clamp(min=0)] * (rows >= 0)[:, None]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy over adverbs, or mean squared error of the changes over all adverbs: means over clips."""
        classes = batch.classes
        action, adverb = parts_of(classes, batch.labels)
        answers = self.network(self.video(batch.features, self.words(classes)[action][:, None]))[:, 0]
        rows = rows_of(factor(classes, "adverb"), self.inputs.factors["adverb"], "adverb")
        with exact(answers):
            answers = widened(answers)
            if self.config.variant == "cls":
                return {"cross_entropy": F.cross_entropy(answers, rows[adverb])}
            target = self._changes(classes, action, adverb, rows).to(answers.dtype)
            return {"regression": (answers - target).square().mean()}

    def _changes(self, classes: Classes, action: Tensor, adverb: Tensor, rows: Tensor) -> Tensor:
        """Targets `[clip, adverb]` of "reg": delta for the adverb, -delta for its antonym, 0."""
        opposite = factor(classes, "adverb").opposite if self.config.antonyms else None
        antonym = torch.full_like(adverb, -1) if opposite is None else opposite[adverb]
        delta = changes(classes, action, adverb, antonym) if self.config.delta == "text" else torch.ones(len(adverb))
        delta = delta.to(adverb.device)
        target = delta.new_zeros(len(adverb), len(self.inputs.factors["adverb"]))
        target.scatter_(1, rows[adverb][:, None], delta[:, None])
        told = (antonym >= 0) & (rows[antonym.clamp(min=0)] >= 0)
        target[told] = target[told].scatter(1, rows[antonym[told]][:, None], -delta[told][:, None])
        return target

    def score(self, features: Features, classes: Classes) -> Tensor:
        """What the network answers for the adverb of a pair, asked with its action: `[clip, class]`.

        Raises:
            ValueError: An adverb that training did not know.
        """
        if self.config.attend_padding:
            features = replace(
                features,
                visual_mask=torch.ones_like(features.visual_mask) & features.has_visual[:, None],
                audio_mask=torch.ones_like(features.audio_mask) & features.has_audio[:, None],
            )
        rows = rows_of(factor(classes, "adverb"), self.inputs.factors["adverb"], "adverb")
        groups, (_, adverb) = ActionGroups.of(classes), parts_of(classes)
        answers = self.network(self.video(features, self.words(classes)[groups.actions][None]))
        return answers.flatten(1)[:, groups.group * answers.shape[2] + rows[adverb]]


def changes(classes: Classes, action: Tensor, adverb: Tensor, antonym: Tensor) -> Tensor:
    """delta: how much an adverb changes an action, as the words have it (formula of the authors' program).

    |E(action adverb) - E(action antonym)| * |cos(E(action), E(adverb))|, where E(action) stands in for the antonym's
    text where no antonym is known (the authors do so without antonyms), or that pair is none of the classes.

    Args:
        classes: They hold the texts of pairs and of words.
        action: `[clip]` long.
        adverb: `[clip]` long; its pairs with the actions are among the classes.
        antonym: `[clip]` long, -1 for none.

    Returns:
        `[clip]`.
    """
    (text,), place = classes.text.values(), class_of_pair(classes)
    actions, adverbs = word_vectors(classes, "action")[action], word_vectors(classes, "adverb")[adverb]
    there = torch.where(antonym >= 0, place[action, antonym.clamp(min=0)], -1)
    other = torch.where((there >= 0)[:, None], text[there.clamp(min=0)], actions)
    return (text[place[action, adverb]] - other).norm(dim=1) * F.cosine_similarity(actions, adverbs, dim=1).abs()
