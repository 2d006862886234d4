"""OpenVINO against torch, and what makes it fast: no torch, networks for many threads, graphs for one shape."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import assert_same_boxes, clean_environment, projections, records, run, write_image, yolocli
from tests.support import detector as load_real
from yolocli.config import Precision
from yolocli.detector import Detector
from yolocli.errors import ModelError
from yolocli.executors import EXECUTORS
from yolocli.images.decode import decode
from yolocli.images.letterbox import Canvas
from yolocli.images.picture import Picture
from yolocli.results import Detection
from yolocli.runtimes.metadata import read_metadata
from yolocli.runtimes.openvino import network as openvino_network
from yolocli.runtimes.openvino.network import FIXED_GRAPHS, Network, Setting


def picture(path: Path) -> Picture:
    return decode(path.read_bytes(), path.suffix, max_pixels=10**9)


def detections(detector: Detector, path: Path) -> tuple[Detection, ...]:
    canvases = detector.prepare(picture(path))
    return detector.finish(detector.infer(canvases), canvases).detections


def setting(folder: Path, **fields: Any) -> Setting:
    return Setting(folder, **{"precision": Precision.fp32, "threads": 1} | fields)


def output(network: Network, images: np.ndarray) -> np.ndarray:
    """All rows of all images, in memory of their own."""
    return np.stack([raw.rows for raw in network.candidates(images, -1.0)])


def is_static(network: Network, images: np.ndarray) -> bool:
    return bool(network.request_for(images.shape).get_compiled_model().input(0).partial_shape.is_static)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_boxes_are_those_of_torch(converted: Path, weights: Path, photos: list[Path]) -> None:
    torch = load_real(weights, runtime="torch", threads=1)
    openvino = load_real(weights, runtime="openvino", threads=1)
    assert openvino.description == "openvino fp32 on cpu"
    found = 0
    for path in photos:
        expected = detections(torch, path)
        assert_same_boxes(detections(openvino, path), expected, pixels=0.02, confidence=2e-4, where=path.name)
        found += len(expected)
    assert found > 30


@pytest.mark.slow
def test_records_are_the_same_bytes_in_all_modes_and_say_what_ran(
    converted: Path, weights: Path, images: Path, photos: list[Path], tmp_path: Path
) -> None:
    made = {}
    ways = {"thread": (1, 1), "thread ": (3, 1), "locked": (3, 4), "process": (2, 3)}
    for name, (workers, batch) in ways.items():
        output = tmp_path / name.strip() / str(workers)
        options = {"mode": name.strip(), "workers": workers, "batch": batch, "output": output}
        _, this = run(images, model=str(weights), runtime="auto", devices=("cpu",), **options)
        assert this.summary.runtime == "openvino fp32 on cpu (auto: x86-64 CPU, openvino installed)"
        assert this.summary.images == len(photos)
        made[name] = projections(output)
    assert all(one == made["thread"] for one in made.values())
    settings = records_of_run(tmp_path / "thread" / "1")
    assert (settings["settings"]["runtime"], settings["settings"]["precision"]) == ("openvino", "fp32")
    assert settings["settings"]["runtime_chosen"] == "auto: x86-64 CPU, openvino installed"
    assert (settings["fingerprint"]["runtime"], settings["fingerprint"]["precision"]) == ("openvino", "fp32")


def records_of_run(folder: Path) -> dict[str, Any]:
    import json

    value: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return value


WITHOUT_TORCH = """
import multiprocessing, sys
from pathlib import Path
from yolocli import detect

if __name__ == "__main__":
    mode, model, *images = sys.argv[1:]
    outcomes = detect(images, model=model, mode=mode, workers=2, runtime="openvino", device="cpu")
    assert next(outcomes).status == "ok"
    for pid in ["self", *(child.pid for child in multiprocessing.active_children())]:
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "libtorch" not in maps, pid
        assert mode == "thread" or pid == "self" or "libopenvino" in maps, pid
    assert all(outcome.status == "ok" for outcome in outcomes)
    heavy = {"torch", "torchvision", "ultralytics", "openvino_telemetry.main"} & set(sys.modules)
    assert not heavy, heavy
    print("done", mode)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("mode", EXECUTORS)
def test_torch_is_nowhere_once_the_model_is_converted(
    mode: str, converted: Path, weights: Path, photos: list[Path], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(WITHOUT_TORCH)
    command = [sys.executable, str(script), mode, str(weights), *map(str, photos[:6])]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(), timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["done", mode]


@pytest.fixture
def f32_ultralytics(monkeypatch: pytest.MonkeyPatch, openvino: None) -> None:
    """Has Ultralytics compile for f32, too: it leaves that to the CPU, and one with bf16 takes bf16."""
    from openvino import Core

    compile_model = Core.compile_model

    def compile_f32(self: Any, model: Any, device_name: str, config: dict[str, Any]) -> Any:
        return compile_model(self, model, device_name, {**config, "INFERENCE_PRECISION_HINT": "f32"})

    monkeypatch.setattr(Core, "compile_model", compile_f32)


def test_an_int8_model_gives_what_ultralytics_makes_of_it(
    int8_model: Path, photos: list[Path], f32_ultralytics: None, ultralytics: Callable[[Path], Any]
) -> None:
    predict = ultralytics(int8_model)
    detector = load_real(int8_model, threads=1)
    assert detector.description == "openvino int8 on cpu (auto: an OpenVINO model)"
    assert detector.prepare(picture(photos[0]))[0].shape == (640, 640, 3)  # it takes no other size
    for path in photos[:8]:
        assert_same_boxes(detections(detector, path), predict(path), where=path.name)


@pytest.fixture
def ultralytics() -> Callable[[Path], Any]:
    from tests.conftest import _ultralytics

    return _ultralytics


def test_a_batch_larger_than_a_model_takes_is_cut(int8_model: Path, photos: list[Path]) -> None:
    detector = load_real(int8_model, threads=1)
    canvases = [canvas for path in photos[:3] for canvas in detector.prepare(picture(path))]
    alone = [detector.infer([canvas])[0] for canvas in canvases]
    for one, together in zip(alone, detector.infer(canvases), strict=True):
        assert np.array_equal(one.rows, together.rows)


def test_no_image_changes_another_in_its_batch(converted: Path) -> None:
    network = Network(setting(converted))
    images = noise(3, 64, 96, 3)
    together = output(network, images)
    for position in range(3):
        assert np.array_equal(output(network, images[position : position + 1])[0], together[position])


def test_candidates_outlive_the_next_image(converted: Path) -> None:
    detector = load_real(converted, threads=1, confidence=0.0)
    first = detector.infer([Canvas(noise(1, 64, 96, 3)[0], 96, 64)])[0].rows
    before = first.copy()
    detector.infer([Canvas(np.zeros((64, 96, 3), np.uint8), 96, 64)])
    assert np.array_equal(first, before)


@pytest.mark.slow
def test_threads_that_build_networks_at_once_get_the_same_answers(converted: Path) -> None:
    """In a process of its own: OpenVINO's binding is at risk the first time alone."""
    code = """
import sys, threading
from pathlib import Path
import numpy as np
from yolocli.config import Precision
from yolocli.runtimes.openvino.network import Network, Setting
images = [np.random.default_rng(index).integers(0, 256, (1, 64, 32 * (2 + index), 3), np.uint8) for index in range(8)]
setting, found = Setting(Path(sys.argv[1]), Precision.fp32, 1), {}
def rows(network, image):
    return network.candidates(image, -1.0)[0].rows
def build(index):
    network = Network(setting)
    found[index] = [rows(network, images[index]) for _ in range(5)]
threads = [threading.Thread(target=build, args=(index,)) for index in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
alone = Network(setting)
assert all(np.array_equal(rows(alone, images[index]), one) for index in range(8) for one in found[index])
print(len(found))
"""
    command = [sys.executable, "-c", code, str(converted)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=clean_environment(), check=False)
    assert (done.stdout.strip(), done.returncode) == ("8", 0), done.stderr


def test_the_first_shape_and_those_that_come_often_get_graphs_of_their_own_and_the_same_numbers(
    converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_network, "PROMOTE_AFTER", 3)
    network = Network(setting(converted))
    first, second = noise(1, 64, 96, 3), noise(1, 96, 96, 3)
    output(network, first)
    assert is_static(network, first)
    runs = [output(network, second)]
    assert not is_static(network, second)
    runs += [output(network, second) for _ in range(3)]
    assert is_static(network, second)
    assert all(np.array_equal(runs[0], one) for one in runs)


@pytest.mark.slow
def test_int8_on_a_cpu_with_amx_is_compiled_for_each_shape(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Network(setting(converted))
    monkeypatch.setattr(Network, "_needs_fixed_shapes", lambda self, folder: True)
    network = Network(setting(converted))
    widths = [32 * count for count in range(2, FIXED_GRAPHS + 4)]
    for width in [*widths, widths[0]]:  # more than are kept, and one that was dropped
        image = noise(1, 64, width, 3)
        assert is_static(network, image)
        assert np.array_equal(output(network, image), output(expected, image))


def test_bf16_is_used_when_asked_for_and_only_then(converted: Path) -> None:
    from openvino import Core

    image = noise(1, 64, 96, 3)
    fp32 = output(Network(setting(converted)), image)
    if "BF16" not in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(ModelError, match="no bf16"):
            Network(setting(converted, precision=Precision.bf16))
        return
    bf16 = output(Network(setting(converted, precision=Precision.bf16)), image)
    assert not np.array_equal(fp32, bf16)


@pytest.mark.parametrize("damage", ["metadata gone", "metadata damaged", "graph gone", "graph damaged", "weights gone"])
def test_a_damaged_model_is_named(converted: Path, tmp_path: Path, damage: str) -> None:
    import shutil

    folder = tmp_path / "x_openvino_model"
    shutil.copytree(converted, folder)
    what, how = damage.split()
    file = folder / {"metadata": "metadata.yaml", "graph": "model.xml", "weights": "model.bin"}[what]
    if how == "gone":
        file.unlink()
    else:
        file.write_text("names: [")
    with pytest.raises(ModelError, match="x_openvino_model"):
        load_real(folder, runtime="openvino")


def test_a_model_for_another_task_is_refused(converted: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "x_openvino_model"
    shutil.copytree(converted, folder)
    metadata = folder / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("task: detect", "task: pose"))
    with pytest.raises(ModelError, match="not that of a YOLO detector"):
        load_real(folder)
    metadata.write_text(metadata.read_text().replace("task: pose", "task: knit"))
    with pytest.raises(ModelError, match="a model for 'knit'"):
        load_real(folder)


def test_metadata_of_older_versions_is_text(tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text(
        "stride: 32\ntask: detect\nimgsz: '[480, 640]'\nnames: \"{0: 'a', 1: 'b'}\"\nargs: \"{'nms': True}\"\n"
    )
    metadata = read_metadata(tmp_path)
    assert (metadata.imgsz, dict(metadata.names), metadata.end_to_end) == ((480, 640), {0: "a", 1: "b"}, True)


def test_metadata_says_that_a_model_is_rtdetr(tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text(
        "stride: 32\ntask: detect\nimgsz: 640\nnames: {0: a}\nhead: RTDETRDecoder\n"
    )
    metadata = read_metadata(tmp_path)
    assert (metadata.fit, metadata.end_to_end, metadata.in_shares) == ("stretch", True, True)


def test_an_int8_model_runs_from_the_command_with_its_own_fingerprint(
    int8_model: Path, photos: list[Path], tmp_path: Path
) -> None:
    _, this = run(photos[0], model=str(int8_model), runtime="auto", workers=1, output=tmp_path / "out")
    assert this.summary.runtime.startswith("openvino int8 on cpu")
    assert len(records(tmp_path / "out/results.jsonl")) == 1
    assert records_of_run(tmp_path / "out")["fingerprint"]["precision"] == "int8"


@pytest.mark.parametrize(
    "change",
    [
        {"stride": 0},
        {"stride": ".inf"},
        {"stride": 10**9},
        {"imgsz": "[]"},
        {"imgsz": "[0, 640]"},
        {"imgsz": "[640, -1]"},
        {"names": "{}"},
        {"channels": 4},
        {"args": "[1"},
    ],
    ids=str,
)
def test_metadata_that_no_picture_fits_is_damage(converted: Path, tmp_path: Path, change: dict[str, object]) -> None:
    folder = tmp_path / "x_openvino_model"
    shutil.copytree(converted, folder)
    lines = "stride: 32\ntask: detect\nimgsz: [640, 640]\nnames: {0: a}\nargs: {}\nchannels: 3\n".splitlines()
    for key, value in change.items():
        lines = [f"{key}: {value}" if line.startswith(f"{key}:") else line for line in lines]
    (folder / "metadata.yaml").write_text("\n".join(lines))
    _assert_refused(folder, tmp_path, b"metadata.yaml: damaged")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fifo", "device", "large", "aliases", "deep"])
@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_metadata_that_would_hang_or_fill_the_memory_is_refused(
    converted: Path, tmp_path: Path, kind: str, runtime: str
) -> None:
    folder = tmp_path / "x_openvino_model"
    shutil.copytree(converted, folder)
    path = folder / "metadata.yaml"
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "large":
        path.write_bytes(b"#" * (2**20 + 1))
    elif kind == "aliases":
        lines = ["a0: &a0 [x, x]"]
        lines += [f"a{step}: &a{step} [{', '.join([f'*a{step - 1}'] * 10)}]" for step in range(1, 30)]
        path.write_text("\n".join(lines) + "\nnames: *a29\nimgsz: *a29\nstride: *a29\ntask: detect\n")
    else:
        path.write_text("names: " + "[" * 100_000)
    _assert_refused(folder, tmp_path, b"metadata.yaml", "--runtime", runtime)


def test_a_graph_that_is_a_fifo_is_not_waited_for(converted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "x_openvino_model"
    shutil.copytree(converted, folder)
    (folder / "model.xml").unlink()
    os.mkfifo(folder / "model.xml")
    _assert_refused(folder, tmp_path, b"x_openvino_model: a model for OpenVINO is an .xml")


def _assert_refused(folder: Path, tmp_path: Path, why: bytes, *options: str) -> None:
    """Asserts that the command ends with 4 and one line."""
    write_image(tmp_path / "a.png")
    done = yolocli("detect", tmp_path / "a.png", "-m", folder, "--stdout", "-q", *options)
    assert done.returncode == 4, done.stderr
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_that_there_can_be_no_more_threads_is_said_with_what_to_do(converted: Path) -> None:
    class Core:
        def compile_model(self, *arguments: object) -> None:
            raise RuntimeError("Exception from src/plugins/intel_cpu:\n" + os.strerror(errno.EAGAIN))

    network = Network(Setting(converted, Precision.fp32, 1))
    network._core = Core()
    with pytest.raises(ModelError, match=r"temporarily unavailable; raise the limit of processes and threads"):
        network.candidates(np.zeros((1, 96, 160, 3), np.uint8), 0.5)
