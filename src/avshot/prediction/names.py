"""Class names that somebody types, as candidates of a Run: which of its own they mean, how others are embedded."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from avshot.classes.encoder import TextEncoder
from avshot.classes.names import join_key, tidy_all
from avshot.classes.optimise.optimise import optimise_classes
from avshot.classes.phrase import read_descriptions
from avshot.errors import BadClassName, WrongRun
from avshot.machine.draws import sole_draws
from avshot.prediction.manners import PARTS, Pair, parted, with_pairs
from avshot.registry import TEXT_ENCODERS
from avshot.run import Run
from avshot.runs.key import class_changes
from avshot.types import Classes

_MOST_TEXTS = 2000  # embedded to see whether a text encoder is what it was


class Names:
    """Class names of a Run, and any others that its text encoder can embed.

    Several threads may ask at once. The text encoders are loaded with the first new name and stay; one thread at a time
    uses them, for they are not made for more.

    Args:
        run: A finished Run.
        closed: Why the Run's method can score no other classes; empty where it can.
    """

    def __init__(self, run: Run, closed: str = "") -> None:
        self.run, self.known, self._closed = run, run.classes(), closed
        self._encoders: list[TextEncoder] = []
        self._encoding = threading.Lock()

    def classes(self, names: Sequence[str], pairs: Sequence[Pair] | None = None) -> Classes:
        """Candidate classes `names`, in that order and spelling.

        A class of the Run keeps the embedding it was trained with, however its name is written (case, spaces and
        punctuation do not matter). Others are embedded by the Run's text encoder; where the Run optimised its class
        embeddings, new names are optimised jointly with the Run's, and only the rows of the new names are taken; where
        it moved the trained ones alone (`scope="seen"`), each new name takes its own place among these.

        Raises:
            ValueError: No names, a name given twice, or a class that this Run cannot embed.
        """
        wanted = tidy_all(names)
        if not wanted:
            raise BadClassName('Got no class names; name the candidate classes, for example "dog barking, rain".')
        meant = self.meant(wanted)
        count = Counter(meant)
        twice = [f"{name!r} = {other!r}" for name, other in zip(wanted, meant, strict=True) if count[other] > 1]
        if twice:  # by the words that the dataset gave for a class: no list of names shows that
            raise BadClassName(f"Class names that mean one class of the Run: {', '.join(twice)}; name it once.")
        new = [name for name in meant if name not in self.known.names]
        picked = (self._with(new) if new else self.known).select(meant)
        found = Classes(wanted, picked.text, picked.seen, picked.factors)
        factors = self.known.factors
        if not new or not set(PARTS) <= set(factors):
            return found
        return with_pairs(found, pairs or [parted(name, factors) for name in meant], factors, self._words)

    def _words(self, words: Sequence[str]) -> dict[str, Tensor]:
        """Embeddings of words as the Run's factors have them: without descriptions."""
        wording = replace(self.run.parts.wording, descriptions=None, separate=False)
        with self._encoding:
            return dict(wording.embed({word: word for word in words}, None, self._encoders).text)

    def meant(self, names: Sequence[str]) -> tuple[str, ...]:
        """What `names` are called in the Run, however they are spelt; a name that means none of its classes stays."""
        spelt = self._spellings()
        return tuple(name if name in self.known.names else spelt.get(join_key(name), name) for name in names)

    def _spellings(self) -> dict[str, str]:
        """`{join_key of a name or of its words: class of the Run}`, where one class is meant; names win over words."""
        words = self.run.info["data"].get("phrases", {})
        return _by_key((text, name) for name, text in words.items() if name in self.known.names) | _by_key(
            (name, name) for name in self.known.names
        )

    def _with(self, new: Sequence[str]) -> Classes:
        run, parts, known = self.run, self.run.parts, self.known
        if self._closed:
            raise BadClassName(f"{self._closed}, not {new[0]!r}.")
        embedded = self.embedded(new)
        names = known.names + tuple(new)
        unseen = torch.zeros(len(names), dtype=torch.bool)
        if parts.optimise is not None:
            raw = run.classes(raw=True)
            joint = {k: torch.cat([raw.text[k], embedded.text[k]]) for k in known.text}
            moved, _ = optimise_classes(
                Classes(names, joint, torch.cat([raw.seen, unseen[: len(new)]])), parts.optimise
            )
            embedded = moved.select(new)
        text = {k: torch.cat([known.text[k], embedded.text[k]]) for k in known.text}
        return Classes(names, text, torch.cat([known.seen, unseen[: len(new)]]))

    def embedded(self, new: Sequence[str]) -> Classes:
        """New names as the text encoders give them, before any optimisation. Raises ValueError where there are none."""
        run, known = self.run, self.known
        with self._encoding:
            if self._encoders:
                return worded(run, {name: name for name in new}, self._encoders)
            came_along = BadClassName(
                f"This Run uses the class vectors {', '.join(known.text)}, which came with its dataset, so it "
                f"cannot embed {new[0]!r}; choose among its {len(known)} classes or train with a text encoder."
            )
            if any(spec.partition(":")[0] not in TEXT_ENCODERS.names() for spec in run.parts.wording.encoders):
                raise came_along
            encoders = run.parts.wording.made()
            with sole_draws():  # loading weights may draw some
                embedded = worded(run, {name: name for name in new}, encoders)
            if embedded.dims != known.dims:
                raise came_along
            check_space(run, encoders)
            self._encoders = encoders
            return embedded


def worded(run: Run, words: Mapping[str, str], encoders: Sequence[TextEncoder]) -> Classes:
    """Class embeddings of `{name: words}` by the Run's prompts, and its descriptions of those that it has.

    The descriptions are those of the training, whatever has become of their file; free text has none.
    """
    return run.parts.wording.embed(words, _kept(run), encoders)


def _kept(run: Run) -> dict[str, list[str]] | None:
    kept: dict[str, list[str]] | None = run.info["descriptions"]
    if kept is None and run.experiment.descriptions is not None and Path(run.experiment.descriptions).exists():
        return read_descriptions(run.experiment.descriptions)  # a Run of avshot 0.1 has no copy of them
    return kept


def check_space(run: Run, encoders: Sequence[TextEncoder] | None = None) -> None:
    """See whether the Run's text encoder gives its own classes the vectors that they had in training.

    If not, new names would be compared with vectors of another space: other weights under the old name, an edited file
    of word vectors. Where the classes have very many texts, some classes stand for all.

    Args:
        run: A finished Run.
        encoders: Its text encoders where they are loaded already; None loads them.

    Raises:
        ValueError: It does not; the message names the text encoder and some of the classes.
    """
    raw, words, wording = run.classes(raw=True), run.info["data"]["phrases"], run.parts.wording
    spoken = {name: words.get(name, name) for name in raw.names}
    entries = [wording.texts(tuple(spoken.values()), prompts, _kept(run) or {}) for prompts in wording.prompts]
    count = max(sum(len(texts) for entry in found for texts in entry.values()) for found in entries)
    names = raw.names[:: 1 + count // _MOST_TEXTS]
    now = worded(run, {name: spoken[name] for name in names}, encoders or wording.made())
    changed = class_changes(raw, now)
    if changed:
        raise WrongRun(
            f"The Run in {run.path} cannot take new class names, because these are not what they were in training: "
            f"{'; '.join(changed)}. Bring the files of the text encoder back as they were, or train again."
        )


def _by_key(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """`{join_key(text): class}` of `(text, class)`, without texts that two classes share."""
    keyed = {(join_key(text), name) for text, name in pairs}
    count = Counter(key for key, _ in keyed)
    return {key: name for key, name in keyed if key and count[key] == 1}
