"""Class names: which spellings mean the same class, and the one spelling that text encoders read.

The same rule holds wherever names meet: labels of a table or folder, `Recognizer.fit`, candidates of a prediction,
descriptions, phrases and class vectors.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from avshot.errors import BadClassName

_MEANT = frozenset("#%&*@§¶†‡‰‱")  # punctuation that makes another word of a name: C and C#, R&B
_SINGLE = (
    "`\u00b4\u02b9\u02bb\u02bc\u02c8\u2018\u2019\u201a\u201b\u2032\u2035\uff07"  # what people type for an apostrophe
)
_DOUBLE = "\u00ab\u00bb\u201c\u201d\u201e\u201f\u2033\u2036\u301d\u301e\uff02"
_ALIKE = str.maketrans({**dict.fromkeys(_SINGLE, "'"), **dict.fromkeys(_DOUBLE, '"'), "\u2212": "-", "\u2044": "/"})
_INVISIBLE = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")  # variants of the character before
_NUMBER_MARKS = ".,:/"  # between two digits they make another number: 1.5 and 15
_MINUS = re.compile(r"(?:(?<=\s)|(?<=^))-(?=\d)")
_LONG_LIST = 5  # clashes named one by one in an error


def join_key(name: str) -> str:
    """What all spellings of a class name share, and no other name has.

    Case, width and composition of letters (Unicode's NFKC and casefold), space of any kind, dashes, underscores,
    quotes, brackets and punctuation are ignored. What carries meaning stays: symbols ("C++", emoji), the punctuation
    `#%&*@§` ("C#", "R&B", "50 %"), a minus sign, and what stands between two digits ("1.5" is not "15").

    Args:
        name: Any text; one without letter, digit or symbol gives "".
    """
    text = unicodedata.normalize("NFKC", _plain(name).casefold())
    kept: list[str] = []
    gap = ""  # ignored characters since the last one that counts
    for character in text:
        if _is_separator(character):
            gap += character
            continue
        if character.isdigit():
            if gap and kept and kept[-1].isdigit():
                kept.append(next((mark for mark in gap if mark in _NUMBER_MARKS), " "))
            elif (gap == "-" and not kept) or gap[-2:] == " -":
                kept.append("-")
        kept.append(character)
        gap = ""
    return "".join(kept)


def spoken(name: str) -> str:
    """The words of a class name as text encoders read them: "dog barking" for `DogBarking` and `DOG_BARKING`.

    Small letters, composed as NFKC has them; single spaces, also in place of underscores and dashes; straight quotes;
    no punctuation around the name. Capitals inside a name part words where the name holds no space, so is an identifier
    (`RidingBMXBike` gives `riding bmx bike`). Other punctuation inside a name stays.

    Raises:
        ValueError: The name holds no letter or digit, or is not text that can be written as UTF-8.
    """
    tidy(name)
    text = _plain(name).strip()
    if " " not in text:
        text = _part_words(text)
    text = text.replace("_", " ")
    text = unicodedata.normalize("NFKC", _MINUS.sub("\0", text).replace("-", " ").replace("\0", "-").lower())
    text = re.sub(r"(?<!\w)'|'(?!\w)|\"", " ", text)  # an apostrophe is one inside a word
    text = re.sub(r"\s*([,;])(?!(?<=\d.)\d)\s*", r"\1 ", text)
    text = re.sub(r"\s*\(\s*", " (", re.sub(r"\s*\)\s*", ") ", text))
    text = re.sub(r"\s*/\s*", "/", text)
    return _in_words(" ".join(text.split()).strip(" .,:;!?¡¿"), name)


def tidy(name: object) -> str:
    """A class name as it is kept and shown: as it was written, in composed letters and with single spaces.

    Raises:
        ValueError: It is not text, cannot be written as UTF-8, or holds no letter or digit: nobody could say it.
    """
    if not isinstance(name, str):
        raise BadClassName(f"Got the class name {name!r} ({type(name).__name__}); expected a name in words, as text.")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise BadClassName(f"Class name {name!r} is not UTF-8 text; write it again in UTF-8.") from None
    text = " ".join(unicodedata.normalize("NFC", name).split())
    return _in_words(text, name)


def tidy_all(names: Iterable[object]) -> tuple[str, ...]:
    """A list of class names, each as `tidy` has it, no two of which mean the same class.

    Args:
        names: Any collection of texts, in order; a single text is none.

    Raises:
        ValueError: One text in place of a list, a name that is none, or two names for one class.
    """
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise BadClassName(f"Got {names!r} as class names; pass a list of names.")
    kept = tuple(tidy(name) for name in names)
    refuse_alike(kept)
    return kept


def refuse_alike(names: Iterable[str], place: str = "") -> None:
    """Refuse names of which two mean the same class.

    Args:
        names: Class names; labels of clips as a set of those that occur.
        place: Where they stand, as the message begins: "names.txt: ".

    Raises:
        ValueError: A name is there twice, or two names differ in nothing that `join_key` keeps.
    """
    alike = defaultdict(list)
    for name in names:
        alike[join_key(name)].append(name)
    clashes = [" / ".join(map(repr, found)) for found in alike.values() if len(found) > 1]
    if clashes:
        more = f" and {len(clashes) - _LONG_LIST} more" if len(clashes) > _LONG_LIST else ""
        raise BadClassName(
            f"{place}Class names that differ only in case, space or punctuation: "
            f"{', '.join(clashes[:_LONG_LIST])}{more}; name each class once and spell each one way."
        )


def _in_words(text: str, name: str) -> str:
    if not any(character.isalnum() for character in text):
        raise BadClassName(f"Class name {name!r} holds no letter or digit; give each class a name in words.")
    return text


def _plain(name: str) -> str:
    """NFKC; one kind of single quote, double quote, dash and space; nothing invisible."""
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", name.translate(_ALIKE)))
    return "".join(_plain_character(character) for character in text.translate(_ALIKE))


def _plain_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf":  # zero-width space and joiners, soft hyphen, marks of direction and of byte order
        return ""
    if category == "Pd":
        return "-"
    return " " if character.isspace() or category == "Cc" else character


def _is_separator(character: str) -> bool:
    return character.isspace() or (unicodedata.category(character)[0] in "PZ" and character not in _MEANT)


def _part_words(identifier: str) -> str:
    """Space before a capital that begins a word: after a small letter, or before one after a capital or digit."""
    parts = []
    for i, character in enumerate(identifier):
        before, after = identifier[i - 1 : i], identifier[i + 1 : i + 2]
        if character.isupper() and (before.islower() or (after.islower() and (before.isupper() or before.isdigit()))):
            parts.append(" ")
        parts.append(character)
    return "".join(parts)
