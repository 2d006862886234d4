"""What the chaos tests share: a model, an album of images, and what an uninterrupted run makes of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.harness import Launcher
from tests.support import projections
from yolocli.builtin import WEIGHTS as BUILTIN

PHOTOS = 10
COPIES = 4


@pytest.fixture(scope="session", autouse=True)
def _only_on_linux() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("looks for processes in /proc")


@pytest.fixture(scope="session")
def long_form(request: pytest.FixtureRequest) -> bool:
    """Whether to take the time that proof takes, instead of the time that people have."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="session")
def model(weights: Path) -> str:
    """Weights of a detector, as --model takes them."""
    return "builtin" if weights == BUILTIN else str(weights)


@pytest.fixture(scope="session")
def photographs(images: Path) -> list[Path]:
    """Images in which the model finds something."""
    return [path for path in sorted(images.rglob("*.jpg")) if path.stat().st_size < 300_000]


@pytest.fixture(scope="session")
def album(photographs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs in several folders, and a few files that fail."""
    folder = tmp_path_factory.mktemp("album")
    for copy in range(COPIES):
        for number, photograph in enumerate(photographs[:PHOTOS]):
            target = folder / f"roll {copy}" / f"{number:02}-{photograph.name}"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(photograph.read_bytes())
        (folder / f"roll {copy}" / "05-broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(copy))
    return folder


@pytest.fixture(scope="session")
def photos(album: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photographs of the album alone, of which none fails."""
    folder = tmp_path_factory.mktemp("photos")
    for image in sorted(album.rglob("*.jpg")):
        target = folder / image.relative_to(album)
        target.parent.mkdir(exist_ok=True)
        os.link(image, target)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The per-user cache of all runs."""
    return tmp_path_factory.mktemp("chaos-cache")


@pytest.fixture(scope="session")
def baseline(album: Path, model: str, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The projections of a run on the album that nothing happened to; they are the same in every mode."""
    launcher = Launcher(tmp_path_factory.mktemp("baseline"), model, cache)
    code, run = launcher.run(album)
    assert code == 1, run.stderr
    return projections(run.output)


@pytest.fixture(scope="session")
def photos_baseline(
    photos: Path, model: str, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The same for the photographs alone."""
    launcher = Launcher(tmp_path_factory.mktemp("photos-baseline"), model, cache)
    code, run = launcher.run(photos)
    assert code == 0, run.stderr
    return projections(run.output)


@pytest.fixture
def launcher(tmp_path: Path, model: str, cache: Path) -> Iterator[Launcher]:
    """Starts runs, and leaves none behind."""
    this = Launcher(tmp_path, model, cache)
    yield this
    this.end()
