"""Weights and converted models in a store: copied once, and again when they are others there."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolocli.errors import ModelError
from yolocli.models import resolve_model, sha256
from yolocli.stores import store_of


class NoDownloads:
    def offers(self, name: str) -> bool:
        raise AssertionError(name)

    def fetch(self, target: Path) -> None:
        raise AssertionError(target)


def resolved(name: str) -> Path:
    return resolve_model(name, NoDownloads())


def test_weights_are_copied_once_and_again_when_they_change(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolocli.stores.download.PART", 10)
    store_of(bucket).write("models/best.pt", b"weights, more than a part of them")
    first = resolved(f"{bucket}/models/best.pt")
    assert (first.name, first.read_bytes()) == ("best.pt", b"weights, more than a part of them")
    written = first.stat().st_mtime_ns
    assert resolved(f"{bucket}/models/best.pt") == first
    assert first.stat().st_mtime_ns == written
    store_of(bucket).write("models/best.pt", b"others")
    assert resolved(f"{bucket}/models/best.pt").read_bytes() == b"others"
    assert first.read_bytes() == b"weights, more than a part of them"


def test_a_converted_model_is_a_folder(bucket: str, tmp_path: Path) -> None:
    folder = tmp_path / "best_openvino_model"
    (folder / "more").mkdir(parents=True)
    for name in ("best.xml", "best.bin", "more/metadata.yaml"):
        (folder / name).write_bytes(name.encode())
        store_of(bucket).write(f"models/best_openvino_model/{name}", folder / name)
    copy = resolved(f"{bucket}/models/best_openvino_model/")
    assert (copy.name, sha256(copy)) == ("best_openvino_model", sha256(folder))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("{bucket}/models/none.pt", "--model {bucket}/models/none.pt: no such file or folder"),
        ("s3://k:hunter2@bucket/a.pt", "--model s3://bucket/a.pt: .* is not taken"),
    ],
)
def test_a_model_that_is_not_there_is_said(name: str, reason: str, bucket: str) -> None:
    with pytest.raises(ModelError, match=reason.format(bucket=bucket)) as caught:
        resolved(name.format(bucket=bucket))
    assert "hunter2" not in str(caught.value)


def test_a_copy_that_failed_leaves_nothing(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolocli.stores.download.PART", 10)
    store = store_of(bucket)
    store.write("best.pt", b"0123456789ABCDEF")
    real, parts = store.read, []

    def replaced(key: str, **options: object) -> bytes:
        parts.append(key)
        if len(parts) == 2:
            store.write("best.pt", b"fedcba9876543210")
        return real(key, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "read", replaced)
    with pytest.raises(ModelError, match=r"best\.pt was replaced while it was read"):
        resolved(f"{bucket}/best.pt")
    monkeypatch.undo()
    assert resolved(f"{bucket}/best.pt").read_bytes() == b"fedcba9876543210"
