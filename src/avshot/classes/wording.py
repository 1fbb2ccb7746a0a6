"""`Wording`: how class names become class embeddings, the same for the classes of a training and for names typed later.

The texts of a class are its prompts and, where there is a table of them, its descriptions. They are averaged into one
vector for each text encoder, or (`separate`) every description is an entry of `Classes.text` of its own, and those of
one text encoder are points of one space. A class then has a mean and a spread, as KDA's Gaussians need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.classes.embed import TextEncoder, create_text_encoder, embed_classes, keyed
from avshot.classes.names import join_key
from avshot.classes.phrase import phrases, prompt_ensembles, read_descriptions
from avshot.errors import BadSetting
from avshot.nn.text import encoder_of, entry_name
from avshot.registry import TEXT_ENCODERS
from avshot.settings import did_you_mean
from avshot.types import Classes

Described = Mapping[str, Sequence[str]]  # {join_key of a class: its descriptions}


@dataclass(frozen=True)
class Wording:
    """How class names become class embeddings.

    Attributes:
        encoders: Specs of text encoders.
        prompts: Prompt ensemble, or "name", of each text encoder.
        descriptions: Table with descriptions of the classes, or None.
        join: Several class embeddings end to end as one, each at unit length.
        separate: Every description is an entry of its own, named `entry_name(encoder, 1)` and on, in place of one mean
            over prompts and descriptions. Neither name nor prompts are among them (KDA, section 3.2: descriptions in
            place of names), but for a class without any.
    """

    encoders: tuple[str, ...] = ("wordllama",)
    prompts: tuple[str, ...] = ("name",)
    descriptions: str | None = None
    join: bool = False
    separate: bool = False

    def described(self, names: Sequence[str] = ()) -> dict[str, list[str]] | None:
        """All descriptions of the table, by `join_key` of the class; None where no table is named.

        A Run keeps them, so that it does not depend on the file staying where and what it is.

        Raises:
            ValueError: No such table, or it lacks one of `names`.
        """
        return None if self.descriptions is None else read_descriptions(self.descriptions, names)

    def made(self) -> list[TextEncoder]:
        """Its text encoders. Raises ValueError for one that does not exist."""
        return [create_text_encoder(spec) for spec in self.encoders]

    def embed(self, words: Mapping[str, str], described: Described | None, encoders: Sequence[TextEncoder]) -> Classes:
        """Embed classes.

        Args:
            words: `{class name: the words that stand for it}`, in order.
            described: Descriptions by `join_key` of the words. A class without any is embedded by its prompts alone.
            encoders: Made by `made`.

        Raises:
            ValueError: A class that a text encoder cannot embed.
        """
        text: dict[str, Tensor] = {}
        for (encoder, key), prompts in zip(keyed(encoders), self.prompts, strict=True):
            worded = self.texts(tuple(words.values()), prompts, described or {})
            for number, texts in enumerate(worded, start=1):
                entry = entry_name(key, number) if self.separate else key
                of_names = {name: texts[spoken] for name, spoken in words.items()}
                (text[entry],) = embed_classes(tuple(words), [encoder], phrases=of_names).text.values()
        return self.joined(Classes(tuple(words), text, torch.zeros(len(words), dtype=torch.bool)))

    def texts(self, words: Sequence[str], prompts: str, described: Described) -> list[dict[str, list[str]]]:
        """`{words: texts}` for each entry of a text encoder: what it averages there.

        There are as many separate entries as the class with most descriptions of the table has. Where another class has
        fewer, all of its own stand together in each entry that it lacks: a mean of its own adds no spread and hardly
        moves its centre. A class without descriptions has its prompts in every entry: a point.
        """
        prompted = phrases(words, prompts=prompts)
        own = {word: list(described.get(join_key(word), ())) for word in words}
        if not self.separate:
            return [{word: prompted[word] + own[word] for word in words}]
        most = max(map(len, described.values()), default=1)
        return [{word: texts[i : i + 1] or texts or prompted[word] for word, texts in own.items()} for i in range(most)]

    def joined(self, classes: Classes) -> Classes:
        """Several class embeddings as one, where that is asked for; of separate descriptions each with its like."""
        if not self.join:
            return classes
        groups: dict[int, dict[str, Tensor]] = {}
        for entry, vectors in classes.text.items():
            encoder, number = encoder_of(entry) if self.separate else (entry, 0)
            groups.setdefault(number, {})[encoder] = F.normalize(vectors, dim=1)
        text = {
            entry_name("+".join(parts), number) if number else "+".join(parts): torch.cat(list(parts.values()), dim=1)
            for number, parts in groups.items()
        }
        return classes.with_text(text)


def prompts_by_encoder(text: str) -> dict[str, str]:
    """`clip=clip-actions,clap=clap-actions`, as an option of a command, as `{text encoder: ensemble}`.

    Raises:
        ValueError: Not of that form.
    """
    pairs = [part.rpartition("=") for part in text.split(",")]
    if not all(encoder.strip() and ensemble.strip() for encoder, _, ensemble in pairs):
        raise BadSetting(f"got {text!r}; expected encoder=ensemble, separated by commas")
    return {encoder.strip(): ensemble.strip() for encoder, _, ensemble in pairs}


def prompts_of(prompts: str | Mapping[str, str], encoders: Sequence[str]) -> tuple[str, ...]:
    """The prompt ensemble of each text encoder.

    Args:
        prompts: One for all, or `{text encoder, by its spec or kind: ensemble}`; "name" where it is not named.
        encoders: Their specs, or names of class vectors that come with a dataset.

    Raises:
        ValueError: An unknown ensemble, or a text encoder that neither is asked for nor exists.
    """
    named = {} if isinstance(prompts, str) else dict(prompts)
    known = ["name", *prompt_ensembles()]
    for ensemble in named.values() or (prompts,):
        if ensemble not in known:
            near = did_you_mean(str(ensemble), known)
            raise BadSetting(f"Prompt ensemble {ensemble!r} does not exist; choose one of: {', '.join(known)}.{near}")
    kinds = {encoder.partition(":")[0] for encoder in encoders}
    strange = sorted(set(named) - {*encoders, *kinds, *TEXT_ENCODERS.names()})
    if strange:
        near = did_you_mean(strange[0], (*encoders, *kinds, *TEXT_ENCODERS.names()))
        raise BadSetting(
            f"prompts names the text encoder {strange[0]!r}; those asked for: {', '.join(encoders)}.{near}"
        )
    if isinstance(prompts, str):
        return (prompts,) * len(encoders)
    return tuple(named.get(encoder, named.get(encoder.partition(":")[0], "name")) for encoder in encoders)
