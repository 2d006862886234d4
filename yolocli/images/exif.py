"""What a camera wrote down of a picture: when it was taken, where, and how it was held."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

from yolocli.images import pillow
from yolocli.images.tiff import ORIENTATION

EXIF = "exif"
"""Field of a record, and entry of a fingerprint."""
EXIF_FIELDS: Mapping[str, Any] = MappingProxyType(
    {"time": str, "latitude": float, "longitude": float, "altitude": float, "orientation": int}
)
"""What the field holds, as far as the file says it.

`time` is that of the capture in ISO 8601, local where no offset stands behind it; degrees are decimal, north and east
positive; altitude is in metres above the sea; orientation is 1 to 8, 1 upright.
"""
DEGREE_DIGITS, METRE_DIGITS = 7, 3

# Tags of EXIF 3.0 (CIPA DC-008), 4.6
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_TIME, _OFFSET, _FRACTION = 0x9003, 0x9011, 0x9291
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = range(1, 7)
_BELOW = frozenset({1, 3})
"""References of an altitude below the sea, or the ellipsoid."""
_MOMENT = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
_ZONE = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)
_DIGITS = re.compile("[0-9]*")


def read_exif(data: bytes) -> dict[str, Any]:
    """Returns what a file says; what is missing, damaged or cannot be is left out.

    Args:
        data: A whole file; only its header is read.

    Returns:
        Some of `EXIF_FIELDS`, in their order; none if nothing is known.
    """
    try:
        image = pillow.opened(data)
        tags: Any = {} if image is None else pillow.exif(image, data)
        found = {**_when(_directory(tags, _EXIF_IFD)), **_where(_directory(tags, _GPS_IFD))}
        orientation = tags.get(ORIENTATION)
    except Exception:  # damaged bytes make Pillow raise whatever they like
        return {}
    return found | ({"orientation": int(orientation)} if orientation in range(1, 9) else {})


def moment_of(more: Mapping[str, Any]) -> str:
    """Returns when an image was taken, by the clock of its camera: `YYYY-MM-DDTHH:MM:SS`; empty if that is not known.

    Args:
        more: What its record holds beside what every record does; see `ImageResult.more`.
    """
    return str(more.get(EXIF, {}).get("time", ""))[: len("YYYY-MM-DDTHH:MM:SS")]


def _directory(tags: Any, number: int) -> Mapping[int, Any]:
    try:
        return dict(tags.get_ifd(number)) if tags else {}
    except Exception:  # as above; the others may be sound
        return {}


def _when(tags: Mapping[int, Any]) -> dict[str, Any]:
    match = _MOMENT.match(_text(tags.get(_TIME)))
    if match is None:
        return {}
    year, month, day, hour, minute, second = map(int, match.groups())
    digits = _DIGITS.match(_text(tags.get(_FRACTION)))
    fraction = int((digits[0] if digits else "")[:6].ljust(6, "0"))
    try:
        return {"time": datetime(year, month, day, hour, minute, second, fraction, _zone(tags)).isoformat()}
    except ValueError:  # no such moment
        return {}


def _zone(tags: Mapping[int, Any]) -> timezone | None:
    match = _ZONE.match(_text(tags.get(_OFFSET)))
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    try:
        return timezone(-offset if match[1] == "-" else offset)
    except ValueError:
        return None


def _where(tags: Mapping[int, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    latitude = _degrees(tags.get(_LATITUDE), _text(tags.get(_LATITUDE_REF)), "NS", 90)
    longitude = _degrees(tags.get(_LONGITUDE), _text(tags.get(_LONGITUDE_REF)), "EW", 180)
    if latitude is not None and longitude is not None:
        found |= {"latitude": latitude, "longitude": longitude}
    altitude = _number(tags.get(_ALTITUDE))
    if altitude is not None:
        reference = tags.get(_ALTITUDE_REF)
        below = (reference[0] if isinstance(reference, bytes) and reference else reference) in _BELOW
        found["altitude"] = round(-altitude if below else altitude, METRE_DIGITS)
    return found


def _degrees(value: Any, reference: str, signs: str, most: float) -> float | None:
    """Returns decimal degrees, positive for the first of the two signs.

    Args:
        value: Degrees, minutes and seconds.
        reference: One of the signs; without it the half of the globe is not known.
        signs: Letters for positive and for negative.
        most: Largest number that there can be.
    """
    sign = reference[:1].upper()
    if not isinstance(value, Sequence) or len(value) != 3 or not sign or sign not in signs:
        return None
    parts = [_number(part) for part in value]
    if any(part is None or part < 0 for part in parts):
        return None
    degrees = sum(part / share for part, share in zip(parts, (1, 60, 3600), strict=True) if part is not None)
    if degrees > most:
        return None
    return round(-degrees if sign == signs[1] else degrees, DEGREE_DIGITS) + 0.0  # no minus before a zero


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value.strip("\0 ") if isinstance(value, str) else ""
