"""Of which types the fields of a record are: all that typed tables need to know of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from yolocli.results import CORNERS


@dataclass(frozen=True, slots=True)
class Each:
    """A list.

    Attributes:
        kind: What each of its entries is.
    """

    kind: Kind


Kind: TypeAlias = "type[int] | type[float] | type[str] | Each | Mapping[str, Kind]"
"""What a field is: a number, a text, a list, or an object with fields of its own, any of which may be missing."""

CONFIDENCE_FIELD: Mapping[str, Kind] = {"confidence": float}
UPRIGHT_BOX: Mapping[str, Kind] = {"box": dict.fromkeys(CORNERS, float)}
