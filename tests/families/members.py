"""Which architectures stand for which family: all that Ultralytics describes, in the smallest of their sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Member:
    """An architecture, and what it is used for.

    Attributes:
        family: Its name in docs/models.md.
        architecture: Ultralytics' description, without the suffix.
        task: As Ultralytics names it.
        form: What is done to it before it is used; a row of `made.FORMS`.
        quick: It stands for its family where there is no time for all of them.
        imgsz: Side of its input.
    """

    family: str
    architecture: str
    task: str = "detect"
    form: str = "plain"
    quick: bool = False
    imgsz: int = 160

    def __str__(self) -> str:
        return self.architecture if self.form == "plain" else f"{self.architecture} {self.form}"


MEMBERS: Final = (
    Member("YOLOv3u", "yolov3-tiny", quick=True),
    Member("YOLOv3u", "yolov3"),
    Member("YOLOv3u", "yolov3-spp"),
    Member("YOLOv5u", "yolov5n", quick=True),
    Member("YOLOv5u", "yolov5n-p6", imgsz=256),
    Member("YOLOv6", "yolov6n", quick=True),
    Member("YOLOv8", "yolov8n", quick=True),
    Member("YOLOv8", "yolov8n-p2"),
    Member("YOLOv8", "yolov8n-p6", imgsz=256),
    Member("YOLOv8", "yolov8n-ghost"),
    Member("YOLOv8", "yolov8n-ghost-p2"),
    Member("YOLOv8", "yolov8n-ghost-p6", imgsz=256),
    Member("YOLOv8", "yolov8n-seg", "segment"),
    Member("YOLOv8", "yolov8n-seg-p6", "segment", imgsz=256),
    Member("YOLOv8", "yolov8n-pose", "pose"),
    Member("YOLOv8", "yolov8n-pose-p6", "pose", imgsz=256),
    Member("YOLOv8", "yolov8n-obb", "obb"),
    Member("YOLOv8", "yolov8n-cls", "classify"),
    Member("YOLOv9", "yolov9t", quick=True),
    Member("YOLOv9", "yolov9s"),
    Member("YOLOv9", "yolov9m"),
    Member("YOLOv9", "yolov9c"),
    Member("YOLOv9", "yolov9e"),
    Member("YOLOv9", "yolov9c-seg", "segment"),
    Member("YOLOv9", "yolov9e-seg", "segment"),
    Member("YOLOv10", "yolov10n", quick=True),
    Member("YOLOv10", "yolov10n", form="one-to-one"),
    Member("YOLOv10", "yolov10s"),
    Member("YOLOv10", "yolov10m"),
    Member("YOLO11", "yolo11n", quick=True),
    Member("YOLO11", "yolo11n-seg", "segment"),
    Member("YOLO11", "yolo11n-pose", "pose"),
    Member("YOLO11", "yolo11n-obb", "obb"),
    Member("YOLO11", "yolo11n-cls", "classify"),
    Member("YOLO12", "yolo12n", quick=True),
    Member("YOLO12", "yolo12n-seg", "segment"),
    Member("YOLO12", "yolo12n-pose", "pose"),
    Member("YOLO12", "yolo12n-obb", "obb"),
    Member("YOLO12", "yolo12n-cls", "classify"),
    Member("YOLO26", "yolo26n", quick=True),
    Member("YOLO26", "yolo26n", form="one-to-one", quick=True),
    Member("YOLO26", "yolo26n-p2"),
    Member("YOLO26", "yolo26n-p6", imgsz=256),
    Member("YOLO26", "yolo26n-seg", "segment"),
    Member("YOLO26", "yolo26n-seg", "segment", "one-to-one"),
    Member("YOLO26", "yolo26n-pose", "pose"),
    Member("YOLO26", "yolo26n-pose", "pose", "one-to-one"),
    Member("YOLO26", "yolo26n-obb", "obb"),
    Member("YOLO26", "yolo26n-obb", "obb", "one-to-one"),
    Member("YOLO26", "yolo26n-cls", "classify"),
    Member("YOLO26", "yolo26n-sem", "semantic"),
    Member("YOLO26", "yolo26n-depth", "depth"),
    Member("RT-DETR", "yolov8n-rtdetr", quick=True),
    Member("RT-DETR", "rtdetr-l"),
    Member("RT-DETR", "rtdetr-x"),
    Member("RT-DETR", "rtdetr-resnet50"),
    Member("RT-DETR", "rtdetr-resnet101"),
    Member("YOLO-World", "yolov8n-world", form="world"),
    Member("YOLO-World", "yolov8n-worldv2", form="world", quick=True),
    Member("YOLOE", "yoloe-v8n", form="vocabulary"),
    Member("YOLOE", "yoloe-11n", form="vocabulary", quick=True),
    Member("YOLOE", "yoloe-11n", form="melted"),
    Member("YOLOE", "yoloe-11n", form="prompt-free", quick=True),
    Member("YOLOE", "yoloe-26n", form="vocabulary"),
    Member("YOLOE", "yoloe-26n", form="vocabulary one-to-one"),
    Member("YOLOE", "yoloe-26n", form="prompt-free"),
    Member("YOLOE", "yoloe-v8n-seg", "segment", "vocabulary"),
    Member("YOLOE", "yoloe-v8n-seg", "segment", "prompt-free"),
    Member("YOLOE", "yoloe-11n-seg", "segment", "vocabulary"),
    Member("YOLOE", "yoloe-11n-seg", "segment", "prompt-free"),
    Member("YOLOE", "yoloe-26n-seg", "segment", "vocabulary"),
    Member("YOLOE", "yoloe-26n-seg", "segment", "vocabulary one-to-one"),
    Member("YOLOE", "yoloe-26n-seg", "segment", "prompt-free"),
)
"""Each is tested in every runtime."""
