from __future__ import annotations

from pathlib import Path

import pytest

from tests.sources.support import touch


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    names = ("a.jpg", "b.png", ".h.jpg", ".hid/c.jpg", "sub/a.jpg", "sub/deep/d.jpg", "skip/e.jpg")
    touch(*(tmp_path / name for name in names))
    return tmp_path
