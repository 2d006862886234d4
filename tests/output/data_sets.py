"""A data set that runs leave, and what their journals say of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
from PIL import Image

from tests.support import REPOSITORY, run
from yolocli.builtin import WEIGHTS

HARD = ("line\nbreak", "q\"uo'te", "🐈", "\udcff", "<a>&b", "images")
ORIENTATION = 0x0112


def make(root: Path) -> Path:
    """Returns the output folder of a run on sample images in one folder: some of names that are hard to write, two that
    differ by their suffix, one turned by EXIF, one broken.
    """
    folder = root / "in"
    folder.mkdir()
    samples = sorted((REPOSITORY / "sample_images").rglob("*.jpg"))
    for number, sample in enumerate(samples):
        shutil.copyfile(sample, folder / f"{HARD[number] if number < len(HARD) else sample.stem}.jpg")
    cv2.imwrite(str(folder / "🐈.png"), cv2.imread(str(samples[3])))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    with Image.open(samples[3]) as picture:
        turned = picture.transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "turned.jpg", exif=exif, quality=95)
    run(folder, model=str(WEIGHTS), output=root / "out", workers=1, formats=("yolo", "voc"))
    return root / "out"


def boxes_of(root: Path) -> dict[str, list[list[float]]]:
    """Returns the boxes of the journal of a run, by the names of labels."""
    lines = [json.loads(line) for line in (root / "labels.jsonl").read_bytes().splitlines()]
    named = {line["image"]: line["file"].split("/", 1)[1] for line in lines if line["file"].startswith("images/")}
    journal = [json.loads(line) for line in (root / "results.jsonl").read_bytes().splitlines()]
    return {
        named[record["path"]]: [[one["class"], *one["box"].values()] for one in record["detections"]]
        for record in journal
        if record["status"] == "ok"
    }
