"""Geometry: a flat patch is bent, turned in space, scaled and put into the scene."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yolocli.builtin.ink import Image, Plane

Points = NDArray[np.float32]


@dataclass(frozen=True)
class Outline:
    """Where a mark lies.

    Attributes:
        name: Class of the mark.
        points: Points along its edge, shape (n, 2), x and y in pixels.
    """

    name: str
    points: Points

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """The smallest upright box around it: x1, y1, x2, y2."""
        (x1, y1), (x2, y2) = self.points.min(0).tolist(), self.points.max(0).tolist()
        return x1, y1, x2, y2


@dataclass(frozen=True)
class Patch:
    """A picture of a thing, to be put into a scene.

    Attributes:
        pixels: BGR, shape (height, width, 3).
        alpha: Coverage from 0 to 1, shape (height, width).
        marks: The marks on it, in its own pixels.
    """

    pixels: Image
    alpha: Plane
    marks: tuple[Outline, ...] = ()


@dataclass(frozen=True)
class Pose:
    """How a patch stands in the scene.

    Attributes:
        centre: Where its middle goes, x and y in scene pixels.
        scale: Scene pixels a patch pixel.
        roll, yaw, pitch: Turns in radians, in the picture plane and out of it.
        bend: Half the angle of the cylinder it is wrapped on, radians, 0 for flat.
        upright: Whether that cylinder stands (True) or lies (False).
    """

    centre: tuple[float, float]
    scale: float = 1.0
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    bend: float = 0.0
    upright: bool = True


def edge(corners: Points, steps: int = 12) -> Points:
    """Put points along the edges between corners, so that bent edges keep their true bounds."""
    part = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[:, None]
    following = np.roll(corners, -1, axis=0)
    sides = [a + (b - a) * part for a, b in zip(corners, following, strict=True)]
    return np.concatenate(sides).astype(np.float32)


def _bend_points(points: Points, size: tuple[int, int], bend: float, sag: float) -> Points:
    width, _ = size
    turn = (points[:, 0] / width * 2 - 1) * bend
    x = (np.sin(turn) / np.sin(bend) + 1) / 2 * width
    y = points[:, 1] + sag * (np.cos(turn) - np.cos(bend))
    return np.stack([x, y], 1).astype(np.float32)


def _bend(patch: Patch, bend: float) -> Patch:
    """Wrap a patch on a standing cylinder seen from a little above."""
    height, width = patch.alpha.shape
    sag = 0.18 * width * bend
    extra = int(np.ceil(sag * (1 - np.cos(bend)))) + 1
    grid_x = np.arange(width, dtype=np.float32)[None, :] + 0.5
    turn = np.arcsin((grid_x / width * 2 - 1) * np.sin(bend))
    source_x = np.repeat((turn / bend + 1) / 2 * width - 0.5, height + extra, axis=0)
    rows = np.arange(height + extra, dtype=np.float32)[:, None]
    source_y = rows - sag * (np.cos(turn) - np.cos(bend))
    maps = source_x.astype(np.float32), source_y.astype(np.float32)
    shade = (0.55 + 0.45 * np.cos(turn)).astype(np.float32)[:, :, None]
    pixels = cv2.remap(patch.pixels, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.remap(patch.alpha, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    marks = tuple(Outline(m.name, _bend_points(m.points, (width, height), bend, sag)) for m in patch.marks)
    return Patch((pixels * shade).astype(np.uint8), np.asarray(alpha, np.float32), marks)


def _transposed(patch: Patch) -> Patch:
    pixels = np.ascontiguousarray(patch.pixels.transpose(1, 0, 2))
    marks = tuple(Outline(m.name, np.ascontiguousarray(m.points[:, ::-1])) for m in patch.marks)
    return Patch(pixels, np.ascontiguousarray(patch.alpha.T), marks)


def bent(patch: Patch, pose: Pose) -> Patch:
    """Apply a pose's bend to a patch; a flat pose returns it as it is."""
    if pose.bend < 0.05:
        return patch
    if pose.upright:
        return _bend(patch, pose.bend)
    return _transposed(_bend(_transposed(patch), pose.bend))


def homography(size: tuple[int, int], pose: Pose) -> NDArray[np.float64]:
    """Make the 3 x 3 matrix from patch pixels to scene pixels for a patch of (width, height)."""
    width, height = size
    cy, sy, cp, sp = np.cos(pose.yaw), np.sin(pose.yaw), np.cos(pose.pitch), np.sin(pose.pitch)
    cr, sr = np.cos(pose.roll), np.sin(pose.roll)
    turn = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    turn = turn @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    distance = 2.2 * max(width, height)  # near enough for lines to converge visibly
    centred = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1.0]])
    plane = np.stack([turn[:, 0], turn[:, 1], np.array([0, 0, distance])], axis=1)
    camera = np.diag([distance * pose.scale, distance * pose.scale, 1.0])
    camera[0, 2], camera[1, 2] = pose.centre
    # A point in front of the camera at depth z lands at centre + scale * distance / z * (x, y).
    return np.asarray(camera @ plane @ centred, np.float64)


def project(points: Points, matrix: NDArray[np.float64]) -> Points:
    """Map points through a homography, shape (n, 2) to (n, 2)."""
    ahead = np.c_[points.astype(np.float64), np.ones(len(points))] @ matrix.T
    return np.asarray(ahead[:, :2] / ahead[:, 2:], np.float32)


def outlines(patch: Patch, pose: Pose) -> tuple[Outline, ...]:
    """Where a patch's marks would lie in the scene (the patch already bent)."""
    height, width = patch.alpha.shape
    matrix = homography((width, height), pose)
    return tuple(Outline(m.name, project(m.points, matrix)) for m in patch.marks)


def paste(scene: Image, patch: Patch, pose: Pose, shadow: float = 0.0) -> None:
    """Put an already bent patch into the scene, in place.

    Args:
        scene: BGR picture, changed.
        patch: What to put there.
        pose: Where and how.
        shadow: Darkness of the shadow it casts, 0 for none to 1 for black.
    """
    height, width = patch.alpha.shape
    matrix = homography((width, height), pose)
    corners = project(np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32), matrix)
    reach = 0.06 * float(np.ptp(corners, axis=0).max()) * (shadow > 0)
    x1, y1 = np.maximum(np.floor(corners.min(0) - reach), 0).astype(int).tolist()
    x2, y2 = np.ceil(corners.max(0) + reach + 1).astype(int).tolist()
    x2, y2 = min(x2, scene.shape[1]), min(y2, scene.shape[0])
    if x2 <= x1 or y2 <= y1:
        return
    # Pixel centres lie at half coordinates in our geometry and at whole ones in OpenCV's.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    local = np.array([[1, 0, -x1 - 0.5], [0, 1, -y1 - 0.5], [0, 0, 1]]) @ matrix @ half
    size = (x2 - x1, y2 - y1)
    pixels = cv2.warpPerspective(patch.pixels, local, size, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpPerspective(patch.alpha, local, size)[:, :, None]
    region = scene[y1:y2, x1:x2].astype(np.float32)
    if shadow > 0:
        soft = cv2.GaussianBlur(alpha, (0, 0), max(0.6, reach / 2.5))
        shift = np.array([[1, 0, reach / 3], [0, 1, reach / 2]], np.float32)
        moved = cv2.warpAffine(soft, shift, size, borderMode=cv2.BORDER_REPLICATE)
        region *= 1 - shadow * moved[:, :, None]
    scene[y1:y2, x1:x2] = (region * (1 - alpha) + pixels * alpha).astype(np.uint8)
