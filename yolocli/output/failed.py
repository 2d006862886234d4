"""What failed, read from a journal without parsing it whole, and without keeping it from a run that goes on with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from yolocli.output.lines import is_sound, parse
from yolocli.output.ownership import JOURNAL
from yolocli.output.past import sort_key
from yolocli.output.projection import below_nameless, opened, roots_of
from yolocli.results import ImageFailure


def failed(root: Path) -> Iterator[str]:
    """Yields what opens each image that failed, in input order; memory holds these alone.

    Args:
        root: The output folder of a run. Damaged lines count for nothing, as when the next run finds them.

    Raises:
        UsageError: If it holds no journal.
        OSError: If that cannot be read.
    """
    folder = opened(root)
    sources: dict[str, str | None] = {}
    with open(root / JOURNAL, "rb") as stream:
        for line in stream:
            head = parse(line) if is_sound(line) else None
            if head is not None and head.status == ImageFailure.status:
                sources[head.path] = head.source
            elif head is not None:
                sources.pop(head.path, None)
    earlier = any(source is None for source in sources.values())
    roots = (roots_of(folder) or ()) if earlier else ()
    for path in sorted(sources, key=sort_key):
        yield sources[path] or below_nameless(roots, path)
