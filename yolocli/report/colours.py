"""Colours of classes: the same class has the same colour in every run and on every machine."""

from __future__ import annotations

GOLDEN_ANGLE = 137.508
"""Degrees. Steps of it around the circle of hues never come close to each other soon."""


def colour(class_id: int) -> str:
    """Returns the CSS colour of a class, such that it is seen on light and dark."""
    hue = class_id * GOLDEN_ANGLE % 360
    return f"hsl({hue:.0f} 80% {44 if 40 <= hue < 200 else 58}%)"
