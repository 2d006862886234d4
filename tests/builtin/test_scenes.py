"""The scene generator: the same seed makes the same bytes, and boxes lie on their marks."""

import hashlib
from pathlib import Path

import pytest

from yolocli.builtin import CODES

cv2 = pytest.importorskip("cv2", reason="draws with OpenCV")
for name in ("segno", "barcode", "zint"):
    pytest.importorskip(name, reason="draws marks: pip install .[builtin]")

import numpy as np  # noqa: E402

from yolocli.builtin.degradations import DEGRADATIONS  # noqa: E402
from yolocli.builtin.ink import panel  # noqa: E402
from yolocli.builtin.lookalikes import LOOKALIKES  # noqa: E402
from yolocli.builtin.marks import DRAWERS, draw  # noqa: E402
from yolocli.builtin.recipe import LATE  # noqa: E402
from yolocli.builtin.scene import KINDS, make  # noqa: E402
from yolocli.builtin.scenes import write_split  # noqa: E402
from yolocli.builtin.surfaces import SURFACES  # noqa: E402
from yolocli.builtin.warps import Patch, Pose, bent, outlines, paste  # noqa: E402

pytestmark = pytest.mark.slow


def _digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_same_seed_same_bytes_whatever_the_number_of_processes(tmp_path: Path) -> None:
    alone, together = tmp_path / "1", tmp_path / "2"
    write_split(alone, "train", 6, 5, processes=1)
    write_split(together, "train", 6, 5, processes=2)
    assert _digest(alone) == _digest(together)
    assert len(_digest(alone)) == 12


def test_other_seeds_and_other_indices_make_other_scenes() -> None:
    first, second, third = make(1, 0), make(1, 1), make(2, 0)
    assert not np.array_equal(first.image, second.image)
    assert not np.array_equal(first.image, third.image)


def test_labels_are_well_formed(tmp_path: Path) -> None:
    marks = write_split(tmp_path, "val", 8, 11, processes=1)
    rows = [line.split() for p in (tmp_path / "labels").rglob("*.txt") for line in p.read_text().splitlines()]
    assert len(rows) == marks > 0
    values = np.array(rows, dtype=float)
    assert set(values[:, 0]) <= set(range(len(CODES)))
    low, high = values[:, 1:3] - values[:, 3:] / 2, values[:, 1:3] + values[:, 3:] / 2
    assert low.min() >= -1e-5
    assert high.max() <= 1 + 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_lie_inside_the_picture(kind: str) -> None:
    scenes = [make(3, index, (400, 300), kind) for index in range(5)]
    boxes = [box for scene in scenes for box in scene.boxes]
    assert bool(boxes) == (kind != "empty")
    assert all(scene.image.shape == (300, 400, 3) for scene in scenes)
    for box in boxes:
        assert 0 <= box.x1 < box.x2 <= 400
        assert 0 <= box.y1 < box.y2 <= 300
        assert box.name in CODES


@pytest.mark.parametrize(
    "pose",
    [
        Pose((200.0, 200.0)),
        Pose((190.0, 210.0), 1.2, 0.7, 0.5, -0.4),
        Pose((200.0, 200.0), 1.0, -0.3, 0.2, 0.3, 0.9, True),
        Pose((205.0, 195.0), 0.9, 2.0, 0.0, 0.4, 0.8, False),
    ],
)
def test_the_outline_follows_the_pixels(pose: Pose) -> None:
    """A white mark on black, bent and turned: its outline bounds exactly the white pixels."""
    pixels = np.zeros((180, 220, 3), np.uint8)
    pixels[50:130, 60:170] = 255
    corners = np.array([[60, 50], [170, 50], [170, 130], [60, 130]], np.float32)
    from yolocli.builtin.warps import Outline, edge

    flat = Patch(pixels, np.ones((180, 220), np.float32), (Outline("qr_code", edge(corners)),))
    patch = bent(flat, pose)
    scene = np.zeros((400, 400, 3), np.uint8)
    paste(scene, patch, pose)
    y, x = np.nonzero(scene[:, :, 0] > 60)
    seen = (x.min(), y.min(), x.max() + 1, y.max() + 1)
    assert outlines(patch, pose)[0].bounds == pytest.approx(seen, abs=1.6)


@pytest.mark.parametrize("name", CODES)
def test_a_panel_has_ink_up_to_every_edge_of_its_outline(name: str) -> None:
    rng = np.random.default_rng(4)
    for side in (30.0, 90.0, 300.0):
        shown = panel(rng, draw(rng, name, side), side)
        y, x = np.nonzero(shown.ink > 0.2)
        seen = (x.min(), y.min(), x.max() + 1, y.max() + 1)
        (x1, y1), (x2, y2) = shown.outline.min(0), shown.outline.max(0)
        module = max(x2 - x1, y2 - y1) / 10  # round modules stop short of the edge
        assert seen == pytest.approx((x1, y1, x2, y2), abs=max(1.0, float(module) * 0.6))


def test_the_registries_hold_what_they_promise() -> None:
    assert tuple(DRAWERS) == CODES
    assert sum(share for share, _, _ in KINDS.values()) == pytest.approx(1.0)
    assert set(LATE) - {None} <= set(KINDS)
    for registry in (SURFACES, LOOKALIKES, DEGRADATIONS):
        assert all(entry[0] >= 0 and callable(entry[-1]) for entry in registry.values())
