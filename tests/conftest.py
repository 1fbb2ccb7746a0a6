"""Fixtures that several test files share."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HEAVY = {name for name in ("torch", "pydantic", "scipy", "sklearn") if importlib.util.find_spec(name) is None}


class SkippedWithoutTorch:
    """Where torch is not installed (`make newest`), whatever imports it is skipped: a test, or a whole file of them.

    What an installation without torch lacks as well (`HEAVY`) may be asked for first.
    """

    def find_spec(self, name, path=None, target=None):
        if name in HEAVY:
            pytest.skip(f"{name} is not installed here", allow_module_level=True)


if "torch" in HEAVY:
    sys.meta_path.append(SkippedWithoutTorch())


@pytest.fixture
def real_data() -> Path:
    """The folder of real data named by AVSHOT_DATA; the test is skipped without it."""
    folder = os.environ.get("AVSHOT_DATA", "")
    if not folder:
        pytest.skip("AVSHOT_DATA is not set; it names the folder of real data")
    return Path(folder)
