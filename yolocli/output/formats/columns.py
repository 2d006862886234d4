"""What typed tables hold: the columns of images and of detections, and their rows, for formats that know types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from yolocli.images.exif import EXIF, EXIF_FIELDS
from yolocli.output.formats.base import Context
from yolocli.output.formats.json_stream import unicode_name
from yolocli.results import SCHEMA_VERSION, STAGES, TIMINGS, Detection, ImageResult, Outcome
from yolocli.tasks import find_task
from yolocli.tasks.fields import Kind

PATH: Mapping[str, Kind] = {"path": str, "source": str}
"""Of both tables: the name of an image, and what opens it."""
SIZE: Mapping[str, Kind] = {"status": str, "width": int, "height": int}
BOX = "box"
"""Field of a detection whose own fields are columns."""
FAILURE: Mapping[str, Kind] = {"stage": str, "error": str, "message": str}


def detection_columns(context: Context) -> dict[str, Kind]:
    """Returns the columns of a detection: those of CSV, and all that its record holds."""
    columns: dict[str, Kind] = {"name": str, "class": int}
    for name, kind in find_task(context.task, "the output folder").fields.items():
        columns |= kind if name == BOX and isinstance(kind, Mapping) else {name: kind}
    return columns


def image_columns(context: Context) -> dict[str, Kind]:
    """Returns the columns of an image that a task, --exif and --timings add: fields of its record."""
    more: dict[str, Kind] = dict(find_task(context.task, "the output folder").image_fields)
    if context.fingerprint.get(EXIF):
        more[EXIF] = EXIF_FIELDS
    if context.timings:
        more[TIMINGS] = dict.fromkeys(STAGES[:-1], float)
    return more


def detection_row(detection: Detection) -> dict[str, Any]:
    """Returns the values of a detection by column."""
    row = detection.to_dict()
    row |= row.pop(BOX, {})
    return _unicode(row)


def image_row(outcome: Outcome, timings: bool) -> dict[str, Any]:
    """Returns the values of an image by column, but for its detections; what is empty is not there."""
    if isinstance(outcome, ImageResult):
        outcome = replace(outcome, detections=())
    row = outcome.to_dict(timings=timings and bool(outcome.timings))
    row.pop("detections", None)
    return _unicode(row)


def facts(context: Context) -> dict[str, str]:
    """Returns what tells how the results were made, for where a file has a place for it; objects are JSON."""
    return {
        "record_schema": str(SCHEMA_VERSION),
        "task": context.task,
        "names": to_text({str(index): name for index, name in context.names.items()}),
        "fingerprint": to_text(dict(context.fingerprint)),
    }


def to_text(value: Any) -> str:
    """Returns JSON that is the same whatever the order of fields."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _unicode(fields: dict[str, Any]) -> dict[str, Any]:
    """Makes the texts among fields, and in those that are objects, Unicode, see `unicode_name`; returns the fields."""
    for name, value in fields.items():
        if isinstance(value, str):
            fields[name] = unicode_name(value)
        elif isinstance(value, dict):
            fields[name] = _unicode({**value})
    return fields
