"""Versions of what produces numbers on this machine."""

from __future__ import annotations

import platform
from importlib.metadata import version

__version__ = "0.2.0.dev0"  # of this source tree; what was installed of it may say another

_PACKAGES = ("torch", "numpy", "av", "transformers", "wordllama", "safetensors")


def versions() -> dict[str, str]:
    """Versions of Python, avshot and the packages that numbers come from, and how many threads torch uses."""
    import torch

    found = {"python": platform.python_version(), "avshot": __version__}
    return found | {name: version(name) for name in _PACKAGES} | {"threads": str(torch.get_num_threads())}
