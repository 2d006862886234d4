"""What two runs must share for their records to lie in one folder, and how people are told what differs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from yolocli.results import SCHEMA_VERSION
from yolocli.runtimes.plan import Plan


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
    }


OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "runtime": "--runtime",
        "precision": "--precision",
        "imgsz": "--imgsz",
        "confidence": "--conf",
        "iou": "--iou",
        "max_detections": "--max-det",
        "classes": "--classes",
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
    keys = sorted((before.keys() | now.keys()) - {"weights_sha256"})
    return [
        f"{OPTIONS.get(key, key)} was {_shown(before.get(key))}, is {_shown(now.get(key))}"
        for key in keys
        if _plain(key, before.get(key), names) != _plain(key, now.get(key), names)
    ]


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
