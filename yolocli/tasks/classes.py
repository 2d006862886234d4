"""Classes, by the names and ids that people give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from yolocli.errors import UsageError

CLASSES_SHOWN = 10
"""Names listed for a class that the model does not know; COCO has 80."""


def class_ids(wanted: Sequence[str], names: Mapping[int, str], verbose: bool = False) -> list[int]:
    """Returns the class indices for names or ids.

    Args:
        wanted: Names, of any case, or ids.
        names: All that the model knows, by id.
        verbose: List all of them in the message.

    Raises:
        UsageError: If the model has no such class; the message tells what was meant, or some that it has.
    """
    by_name = {name.lower(): index for index, name in names.items()}
    ids = []
    for entry in wanted:
        index = by_name.get(entry.lower(), int(entry) if entry.isdecimal() else -1)
        if index not in names:
            raise UsageError(f"--classes {entry}: {_known(entry, list(names.values()), verbose)}")
        ids.append(index)
    return sorted(set(ids))


def _known(entry: str, names: Sequence[str], verbose: bool) -> str:
    close = get_close_matches(entry.lower(), [name.lower() for name in names], n=1)
    if close and not verbose:
        return f"did you mean {close[0]}?"
    hidden = 0 if verbose else max(len(names) - CLASSES_SHOWN, 0)
    more = f" and {hidden} more, which --verbose lists" if hidden else ""
    return f"the model has no such class; it has {', '.join(names[: len(names) - hidden])}{more}"
