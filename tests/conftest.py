"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def real_data() -> Path:
    """The folder of real data named by AVSHOT_DATA; the test is skipped without it."""
    folder = os.environ.get("AVSHOT_DATA", "")
    if not folder:
        pytest.skip("AVSHOT_DATA is not set; it names the folder of real data")
    return Path(folder)
