"""The four nouns that travel through avshot: `Clip`, `Features`, `Classes` (with `Factor`), `Batch`.

All are frozen. Shapes are written `[clip, time, dim]`; times are seconds; masks are True where the data is real.
"""

from avshot.types.batch import Batch
from avshot.types.classes import Classes, Factor
from avshot.types.clip import Clip
from avshot.types.features import MODALITIES, Features

__all__ = ["MODALITIES", "Batch", "Classes", "Clip", "Factor", "Features"]
