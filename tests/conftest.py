"""Fixtures that all tests share; the real model is run as few times as possible."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import fakes
from tests.output.written import RealRun, found_by
from tests.ray_nodes import Nodes
from tests.support import REPOSITORY
from yolocli.builtin import WEIGHTS
from yolocli.results import Detection, Outcome
from yolocli.runtimes.openvino.convert import converted_model
from yolocli.runtimes.openvino.library import openvino_installed

SAMPLES = REPOSITORY / "sample_images"
COCO_WEIGHTS = Path(os.environ.get("YOLOCLI_TEST_WEIGHTS") or REPOSITORY.parent / "shared/weights/yolo11n.pt")
COCO_IMAGES = Path(os.environ.get("YOLOCLI_TEST_IMAGES") or REPOSITORY.parent / "shared/images")
COCO = COCO_WEIGHTS.is_file() and COCO_IMAGES.is_dir()
"""There are weights and photographs of COCO; without them the embedded model and the sample images take their place."""


NO_PARAMETERS = SimpleNamespace(params={})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Here and not beside the tests that ask for it, so that it is known whatever is run."""
    parser.addoption("--long", action="store_true", help="run the chaos tests in their long form")


def pytest_configure() -> None:
    """Nothing takes the place of what was asked for by name."""
    asked = [name for name in ("YOLOCLI_TEST_WEIGHTS", "YOLOCLI_TEST_IMAGES") if os.environ.get(name)]
    if asked and not COCO:
        raise pytest.UsageError(f"{' and '.join(asked)} set, but not both {COCO_WEIGHTS} and {COCO_IMAGES} are there")


def pytest_report_header() -> str:
    return f"model: {COCO_WEIGHTS if COCO else WEIGHTS}, images: {COCO_IMAGES if COCO else SAMPLES}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests that see something else where there are weights and photographs of COCO, and some files as slow."""
    for item in items:
        if {"weights", "images"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("coco")
        if "ray" in getattr(item, "callspec", NO_PARAMETERS).params.values():
            item.add_marker("slow")
            item.fixturenames.insert(0, "ray_cluster")  # type: ignore[attr-defined]
        if item.nodeid.startswith(("tests/chaos/", "tests/tasks/test_material.py")):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Nodes]:
    """One cluster for all tests of ray mode, which the environment leads to: to start one takes seconds, and Ray
    loses its way in a process that goes from one to another."""
    with Nodes(3, cpus=4) as nodes, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", nodes.address)
        yield nodes


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the cache of the user, and settings exported by the caller, out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("YOLOCLI_") and not name.startswith("YOLOCLI_TEST_"):
                patch.delenv(name)
        patch.setenv("YOLOCLI_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("YOLO_CONFIG_DIR", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _children_hear_signals() -> Iterator[None]:
    """Gives children the default dispositions where this process was started deaf, as by `&` in a script.

    What is ignored is inherited, and what is handled is not: by a handler that does nothing this process stays deaf.
    """
    ignored = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="session")
def weights() -> Path:
    """Real weights of a detector."""
    return COCO_WEIGHTS if COCO else WEIGHTS


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of JPEG files that show what the weights detect."""
    if COCO:
        return COCO_IMAGES
    folder = tmp_path_factory.mktemp("samples")
    for picture in sorted(SAMPLES.glob("[!b]*/*.jpg")):
        (folder / picture.parent.name).mkdir(exist_ok=True)
        shutil.copyfile(picture, folder / picture.parent.name / picture.name)
    return folder


@pytest.fixture(scope="session")
def coco_weights(weights: Path) -> Path:
    """Weights that know the 80 classes of COCO."""
    if not COCO:
        pytest.skip(f"no COCO weights at {COCO_WEIGHTS} with images at {COCO_IMAGES}; see README.md")
    return weights


@pytest.fixture(scope="session")
def photos(images: Path) -> list[Path]:
    """The pictures, sorted."""
    found = sorted(images.rglob("*.jpg"))
    assert len(found) >= 4, f"too few pictures in {images}"
    return found


@pytest.fixture(scope="session")
def reference(weights: Path, photos: list[Path]) -> dict[Path, tuple[Detection, ...]]:
    """What Ultralytics itself finds in each photograph, one at a time."""
    predict = _ultralytics(weights)
    return {path: predict(path) for path in photos}


@pytest.fixture(scope="session")
def ultralytics_predict(weights: Path) -> Callable[[Path], tuple[Detection, ...]]:
    """Ultralytics' own answer for one file, on its own."""
    return _ultralytics(weights)


def _ultralytics(weights: Path) -> Callable[[Path], tuple[Detection, ...]]:
    from yolocli.runtimes.torch.library import import_ultralytics

    import_ultralytics()
    from ultralytics import YOLO

    model = YOLO(str(weights))

    def predict(path: Path) -> tuple[Detection, ...]:
        (answer,) = model.predict(str(path), batch=1, verbose=False)
        rows = zip(answer.boxes.cls.tolist(), answer.boxes.conf.tolist(), answer.boxes.xyxy.tolist(), strict=True)
        return tuple(Detection(answer.names[int(c)], int(c), score, tuple(xyxy)) for c, score, xyxy in rows)

    return predict


@pytest.fixture(scope="session")
def openvino() -> None:
    if not openvino_installed():
        pytest.skip("the extra is not installed: pip install '.[openvino]'")


@pytest.fixture(scope="session")
def converted(openvino: None, weights: Path) -> Path:
    """The folder that the weights were converted to, in the cache of the tests."""
    return converted_model(weights, trust_weights=False)


@pytest.fixture
def fake_detectors(monkeypatch: pytest.MonkeyPatch) -> list[fakes.FakeDetector]:
    """No network in any mode; the list fills with the detectors made in this process."""
    return fakes.install(monkeypatch)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users can walk into, for tests of permissions."""
    folder = Path(tempfile.mkdtemp(prefix="yolocli-test-"))
    folder.chmod(0o755)
    yield folder
    for below, _, _ in os.walk(folder):
        os.chmod(below, 0o700)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> RealRun:
    """A run of the real model of a task; see `RealRun`."""

    @cache
    def of(task: str, masks: str = "polygon") -> tuple[Path, list[Outcome]]:
        root = tmp_path_factory.mktemp(task)
        return root / "out", found_by(task, root, masks=masks)

    return of
