"""What tests of several formats read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.output import data_sets


@pytest.fixture(scope="session")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `tests.output.data_sets`; not to be changed."""
    return data_sets.make(tmp_path_factory.mktemp("data-set"))
