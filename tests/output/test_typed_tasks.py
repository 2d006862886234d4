"""What real models of every task find, in tables of types."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.output.test_sqlite import counted, in_sqlite, plain
from tests.output.typed import expected, present
from tests.support import REPOSITORY, run
from tests.tasks.material import MODELS
from yolocli.builtin import WEIGHTS
from yolocli.config import MASKS
from yolocli.tasks import TASKS

pytestmark = pytest.mark.slow

WEIGHTS_OF = {model.task: model.weights for model in reversed(MODELS)} | {"detect": WEIGHTS}
CASES = [(task, masks) for task in TASKS for masks in (MASKS if task == "segment" else MASKS[:1])]


@pytest.mark.parametrize(("task", "masks"), CASES)
def test_tables_hold_what_the_journal_does(task: str, masks: str, tmp_path: Path) -> None:
    from pyarrow import parquet as pq

    (tmp_path / "in").mkdir()
    for picture in sorted((REPOSITORY / "sample_images/shop").glob("*.jpg"))[:4]:
        shutil.copyfile(picture, tmp_path / "in" / picture.name)
    (tmp_path / "in/broken.jpg").write_bytes(b"no picture")
    root = tmp_path / "out"
    found = {"imgsz": (192, 192), "confidence": 0.1, "masks": masks, "save_maps": True, "exif": True}
    run(tmp_path / "in", model=str(WEIGHTS_OF[task]), output=root, formats=("parquet", "sqlite"), **found)
    images, detections = expected(root)
    assert len(detections) >= 4
    assert present(pq.read_table(root / "images.parquet").to_pylist()) == images
    assert present(pq.read_table(root / "detections.parquet").to_pylist()) == detections
    assert plain(in_sqlite(root)) == counted(root)
