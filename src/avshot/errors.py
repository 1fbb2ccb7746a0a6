"""What can be wrong with what somebody passed, as classes: a program that uses avshot can tell the kinds apart.

All of them are `ValueError`: who does not care catches that, and the command line ends with code 2. Their text is one
sentence: what was got, what was expected, what to do. Anything else that is raised (but for the `OSError` of a full
disk and the like) is a fault of avshot or of somebody's extension, not of what was passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class AvshotError(ValueError):
    """Something that was passed to avshot cannot be used; the subclasses say what."""


class MissingFile(FileNotFoundError, AvshotError):
    """A file or folder that was named is not there; as a `FileNotFoundError` it has no `errno` and no `filename`."""


class BadMedia(AvshotError):
    """What was passed as a video is none, cannot be read, or lacks what is needed: sound, a picture, such a span."""


class TooLarge(BadMedia):
    """The content of a video that was passed as bytes or as an open file is larger than allowed."""


class BadClassName(AvshotError):
    """Class names that cannot be used: no words in them, one class twice, no vector, or closed to new ones."""


class BadDataset(AvshotError):
    """A dataset, a table, a folder of videos, a store of features or a fold is not what it should be."""


class WrongRun(AvshotError):
    """A folder that is no finished Run, or a Run that cannot do what is asked of it."""


class DamagedRun(WrongRun):
    """A file of a Run is missing, damaged, or was changed after the training."""


class BadSetting(AvshotError):
    """A setting that does not exist or does not suit: a method, preset, field, device, extractor or text encoder."""


@contextmanager
def told_as(kind: type[AvshotError]) -> Iterator[None]:
    """Give what is raised in the block, or in the function that this decorates, a kind; its text stays.

    For the doors of a room, whose readers of files below know what is wrong but not what the file is for. An error that
    has a kind keeps it; so does text that cannot be encoded, which nobody passed.

    Args:
        kind: The kind of a plain ValueError; of a FileNotFoundError it is always `MissingFile`.
    """
    try:
        yield
    except (AvshotError, UnicodeError):
        raise
    except FileNotFoundError as error:
        raise MissingFile(str(error)) from error
    except ValueError as error:
        raise kind(str(error)) from error.__cause__
