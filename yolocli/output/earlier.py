"""Output folders of versions before 0.2, which did not note where their images lie."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from yolocli.output.journal import Head
from yolocli.results import file_version
from yolocli.sources.names import Root

SAMPLE = 100
"""Images that are looked for."""


def root_of_earlier(settings: Mapping[str, Any], heads: Iterable[Head]) -> Root | None:
    """Finds out what the names in an older output folder are relative to.

    Names of one input were relative to it, and names in a list were kept as they were. Of several inputs it cannot be
    told to which a name belongs.

    Args:
        settings: As run.json has them.
        heads: Of the journal.

    Returns:
        The root, if most of the images are found below it as they were; None if not.
    """
    sample = list(islice((head for head in heads if head.version), SAMPLE))
    for folder in _candidates(settings.get("inputs") or [], settings.get("files_from") is not None):
        if sample and 2 * sum(_is_there(folder, head) for head in sample) >= len(sample):
            return Root(folder)
    return None


def _candidates(inputs: list[str], listed: bool) -> list[str]:
    here = os.path.realpath(os.curdir)
    if not inputs and listed:
        return [os.path.join(os.path.splitdrive(here)[0], os.sep), here]
    if len(inputs) != 1 or listed:
        return []
    name = inputs[0]
    while glob.has_magic(name) and not os.path.lexists(name):
        name = os.path.dirname(name)
    folder = os.path.realpath(name)
    return [folder if os.path.isdir(folder) else os.path.dirname(folder)]


def _is_there(folder: str, head: Head) -> bool:
    try:
        status = os.stat(os.path.join(folder, head.path))
    except (OSError, ValueError):
        return False
    return file_version(status.st_size, status.st_mtime_ns) == head.version
