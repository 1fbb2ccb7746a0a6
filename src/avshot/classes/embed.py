"""Text encoders, and class names to `Classes`.

An encoder turns texts into unit vectors. It is named by a spec: `wordllama` (needs no download), `vectors:<file>`,
`clip:<id or folder>`, `clap:<id or folder>`, `sentence:<id or folder>`, `llama:<id or folder>`, `s3d:<file>`,
`wavcaps:<file>`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from avshot.classes.encoder import MissingVectors, TextEncoder, unit_rows
from avshot.classes.encoders.wordllama import WordLlama
from avshot.classes.phrase import phrases as spoken_phrases
from avshot.errors import BadClassName, BadSetting
from avshot.registry import TEXT_ENCODERS
from avshot.types import Classes

__all__ = ["TextEncoder", "WordLlama", "create_text_encoder", "embed_classes", "embed_texts", "keyed"]


def create_text_encoder(spec: str) -> TextEncoder:
    """Make a text encoder from its spec.

    Args:
        spec: `wordllama`; `vectors:<file>` (word2vec, GloVe or fastText vectors, or a file of named vectors); `clip:`,
            `clap:`, `siglip:`, `xclip:`, `videoprism:`, `pe_audio:`, `pe_video:`, `pe_av:`, `embeddinggemma:`,
            `llama:` or `sentence:` followed by a Hugging Face id or a local folder
            (`sentence:<id>?instruction=<text>` for Instructor); or `wavcaps:<file>`, `imagebind:<file>`,
            `s3d:<file>`.

    Raises:
        ValueError: Unknown kind, or a kind without the file or id it needs.

    Example:
        >>> create_text_encoder("wordllama").dim
        256
    """
    kind, _, place = spec.partition(":")
    cls: type[TextEncoder] = TEXT_ENCODERS.get_class(kind, TextEncoder, of=f"Text encoder {spec!r} does not exist")
    if (place == "") != (cls.place == ""):
        wanted = f"needs a {cls.place}, as in {kind}:PLACE" if cls.place else "takes no file or id"
        raise BadSetting(f"Text encoder {kind} {wanted}; got {spec!r}.")
    return cls(place) if cls.place else cls()  # type: ignore[call-arg]


def embed_classes(
    names: Sequence[str],
    encoders: Sequence[str | TextEncoder] = ("wordllama",),
    *,
    phrases: Mapping[str, str | Sequence[str]] | None = None,
) -> Classes:
    """Embed classes by name.

    The texts of a class are embedded, normalised, averaged and normalised again (the thesis' D.1.1).

    Args:
        names: Class names, unique.
        encoders: One or more text encoders, or their specs, each an entry of `Classes.text` under its short name (two
            of one kind: under their specs).
        phrases: `{name: text or texts}` for all names, joined by name; the spoken names when None.

    Returns:
        The classes, none of them seen.

    Raises:
        ValueError: A class without a phrase or without a vector, by name, or a text in place of a list.
    """
    if isinstance(names, str):
        raise BadClassName(f"Got the text {names!r} as class names; pass a list of names.")
    if len(names) == 0 or len(encoders) == 0:
        raise BadClassName(
            f"Got {len(names)} class names and {len(encoders)} text encoders; give at least one of each."
        )
    given = spoken_phrases(names) if phrases is None else phrases
    missing = [name for name in names if len(given.get(name, ())) == 0]
    if missing:
        raise BadClassName(f"No phrase for {len(missing)} classes: {', '.join(map(repr, missing[:10]))}; add them.")
    texts = [[words] if isinstance(words := given[name], str) else list(words) for name in names]
    made = [spec if isinstance(spec, TextEncoder) else create_text_encoder(spec) for spec in encoders]
    text = {key: _embed_named(encoder, names, texts) for encoder, key in keyed(made)}
    return Classes(tuple(names), text, torch.zeros(len(names), dtype=torch.bool))


def keyed(encoders: Sequence[TextEncoder]) -> list[tuple[TextEncoder, str]]:
    """Each text encoder with its key in `Classes.text`: its short name; its spec where several have one name."""
    count = Counter(encoder.name for encoder in encoders)
    return [(encoder, encoder.name if count[encoder.name] == 1 else encoder.spec) for encoder in encoders]


def _embed_named(encoder: TextEncoder, names: Sequence[str], texts: Sequence[Sequence[str]]) -> Tensor:
    """`embed_texts`, its error said in terms of classes."""
    try:
        return embed_texts(encoder, texts)
    except MissingVectors as error:
        reasons = {
            name if text == name else f"{name}: {text}": error.reasons[text]
            for name, group in zip(names, texts, strict=True)
            for text in group
            if text in error.reasons
        }
        raise MissingVectors(error.spec, reasons) from None


def embed_texts(encoder: TextEncoder, texts: Sequence[Sequence[str]]) -> Tensor:
    """One unit vector per list of texts, `[class, dim]`: the normalised mean of the texts' unit vectors."""
    flat = [text for group in texts for text in group]
    parts = encoder.encode(flat).split([len(group) for group in texts])
    return unit_rows(torch.stack([part.mean(dim=0) for part in parts]), [" / ".join(group) for group in texts])
