"""What earlier runs made is removed by their journal: nothing that anybody else put there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from yolocli.errors import OutputError
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import PER_IMAGE, TABLES, written_by
from yolocli.output.ownership import DAMAGED, JOURNAL, RUN, SUMMARY
from yolocli.output.past import named, replay
from yolocli.output.places import places
from yolocli.output.run_file import read_json


def clear(folder: OutputFolder, formats: Iterable[str]) -> None:
    """Removes what earlier runs made.

    Args:
        folder: No other run may be using it.
        formats: Those that are to be written next.

    Raises:
        UsageError: If files of somebody else stand where these would write.
        OutputError: If something cannot be removed.
    """
    images = named(folder)
    if read_json(folder, RUN) is None and not images:
        return
    folder.refuse_foreign_images(_recorded(folder), written_by(formats)[1])
    for path in images:
        remove_files(folder, path)
    folder.remove_own(*TABLES)
    folder.remove(JOURNAL, DAMAGED, SUMMARY, RUN)
    folder.sync_names()  # or a power cut might bring the old journal back, beside a new run.json


def remove_files(folder: OutputFolder, path: str) -> None:
    """Removes the files of an image.

    Raises:
        OutputError: If one cannot be removed.
    """
    folder.remove_images(place for name, suffix in PER_IMAGE.items() for place in places(name, path, suffix))


def _recorded(folder: OutputFolder) -> Iterator[str]:
    """Yields the images of the journal; of one that is damaged or gone, what it can still name."""
    with suppress(OutputError, FileNotFoundError):
        for outcome in replay(folder.root / JOURNAL):
            yield outcome.path
