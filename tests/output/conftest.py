"""A real run of each task, made once for all tests of formats that ask for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.output.written import found_by
from yolocli.results import Outcome

FORMATS = ("json", "coco", "coco-dataset", "label-studio", "megadetector")
RealRun: TypeAlias = Callable[..., tuple[Path, list[Outcome]]]


@pytest.fixture(scope="session")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> RealRun:
    """Returns the output folder of a run, beside the folder `pictures`, and what its journal holds."""

    @cache
    def of(task: str, masks: str = "polygon") -> tuple[Path, list[Outcome]]:
        root = tmp_path_factory.mktemp(task)
        return root / "out", found_by(task, root, FORMATS, masks=masks)

    return of
