from __future__ import annotations

from pathlib import Path

import pytest

from yolocli.cache import cache_folder
from yolocli.errors import OutputError


def test_a_system_that_cannot_be_written_is_told_of_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("YOLOCLI_CACHE_DIR", str(tmp_path / "file/cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(OutputError) as caught:
        cache_folder("weights")
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'file/cache'}: the cache cannot be written: Not a directory")
    assert text.endswith("give one that can with YOLOCLI_CACHE_DIR")
