"""What two runs must share for their records to lie in one folder, and how people are told what differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from yolocli.config import DetectorConfig, Shard
from yolocli.errors import UsageError
from yolocli.output.ownership import JOURNAL, RUN
from yolocli.results import SCHEMA_VERSION
from yolocli.runtimes.plan import Plan, Prepared
from yolocli.tasks.classes import class_ids


def fingerprint(plan: Plan) -> dict[str, Any]:
    """Returns what two runs must share for their records to lie in one folder.

    Speed settings (mode, workers, batch, device, threads) are left out: they change a record by float noise at most. So
    are limits such as max_pixels: they decide whether there is a result, not what it is.

    Args:
        plan: What was settled.
    """
    asked = plan.asked
    return {
        "record_schema": SCHEMA_VERSION,
        "weights_sha256": plan.sha256,
        "runtime": plan.runtime,
        "precision": plan.precision.value if plan.precision else None,
        "imgsz": list(asked.imgsz) if asked.imgsz else None,
        "confidence": asked.confidence,
        "iou": asked.iou,
        "max_detections": asked.max_detections,
        "classes": sorted(set(asked.classes)) if asked.classes is not None else None,
        "masks": asked.masks,
        "save_maps": asked.save_maps,
        "exif": asked.exif,
    }


DEFAULTS: Mapping[str, Any] = MappingProxyType(fingerprint(Plan(DetectorConfig(), "", "", None)))
"""What an entry is taken for that a fingerprint does not have, so that a new setting refuses no old folder."""
OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "runtime": "--runtime",
        "precision": "--precision",
        "imgsz": "--imgsz",
        "confidence": "--conf",
        "iou": "--iou",
        "max_detections": "--max-det",
        "classes": "--classes",
        "masks": "--masks",
        "save_maps": "--save-maps",
        "exif": "--exif",
    }
)
"""What people call the entries of a fingerprint."""


def changed_settings(
    before: Mapping[str, Any], now: Mapping[str, Any], names: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """Returns a line for each entry that differs between two fingerprints, but for that of the weights.

    Args:
        before: Of the records in a folder.
        now: Of a run that wants to add to them.
        names: Class names by index, if known: `person` and `0` may be the same class.
    """
    was, is_ = {**DEFAULTS, **before}, {**DEFAULTS, **now}
    keys = sorted((was.keys() | is_.keys()) - {"weights_sha256"})
    return [
        f"{OPTIONS.get(key, key)} was {_shown(was.get(key))}, is {_shown(is_.get(key))}"
        for key in keys
        if _plain(key, was.get(key), names) != _plain(key, is_.get(key), names)
    ]


def refuse_other_settings(root: Path, before: Mapping[str, Any], detector: Prepared, shard: Shard | None) -> None:
    """Makes sure that new records may lie beside those of an output folder.

    Args:
        root: The folder.
        before: Its run.json; empty if there is none that can be read.
        detector: Of the run that wants to add to it.
        shard: Of that run. A folder holds one shard, or all images, so that `merge` can tell what is missing.

    Raises:
        UsageError: If they may not, or it cannot be told.
    """
    names: Mapping[str, str] = before.get("names") or {}
    wanted = fingerprint(detector.plan)
    if detector.asked.classes is not None and names:
        class_ids(detector.asked.classes, {int(index): name for index, name in names.items()})  # or a typo is a setting
    made_with = before.get("fingerprint")
    if not isinstance(made_with, dict):
        raise UsageError(
            f"{root / RUN}: is missing or cannot be read, and so it is not known what settings {JOURNAL} was made "
            "with; put it back, use another --output, or --overwrite to start anew"
        )
    changed = changed_settings(made_with, wanted, names)
    if made_with.get("weights_sha256") != wanted["weights_sha256"]:
        was, now = (before.get("settings") or {}).get("model"), str(detector.model)
        changed.append(f"--model was {was}, is {now}" if was != now else f"the file of --model {now} has changed")
    was_shard = (before.get("settings") or {}).get("shard")
    if was_shard != (is_shard := None if shard is None else str(shard)):
        changed.append(f"--shard was {_shown(was_shard)}, is {_shown(is_shard)}")
    if changed:
        raise UsageError(
            f"{root} holds results of other settings ({'; '.join(changed)}); "
            "use another --output, or --overwrite to start anew"
        )


def _plain(key: str, value: Any, names: Mapping[str, str]) -> Any:
    if key != "classes" or value is None:
        return value
    ids = {name.lower(): index for index, name in names.items()}
    return sorted({ids.get(str(entry).lower(), str(entry)) for entry in value})


def _shown(value: Any) -> str:
    """Returns a value as people write it after its option."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "not given" if value is None else str(value)


def refuse_root(path: str, root: Path, shard: Shard | None) -> None:
    """Refuses inputs that come later to a shard: what they would be called depends on what is in it.

    Raises:
        UsageError: If it is one.
    """
    if shard is not None:
        raise UsageError(
            f"{path}: new to {root}, which holds a shard; all shards need the same inputs from their beginning on: "
            "name a new output folder"
        )
