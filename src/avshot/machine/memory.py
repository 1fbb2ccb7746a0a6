"""How much memory this machine has."""

from __future__ import annotations

import os


def memory() -> float:
    """Bytes of this machine; no bound where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")
