"""What earlier runs made is removed by their journal: nothing that anybody else put there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from yolocli.errors import OutputError
from yolocli.output.disk import writing
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import every_format, files_of, trees_of
from yolocli.output.formats.base import Format
from yolocli.output.formats.page import clear_parts
from yolocli.output.ownership import DAMAGED, JOURNAL, RUN, SUMMARY
from yolocli.output.past import named, replay
from yolocli.output.run_file import read_json
from yolocli.output.trees import refuse_changed, remove_trees


def clear(folder: OutputFolder, formats: Iterable[Format]) -> None:
    """Removes what earlier runs made.

    Args:
        folder: No other run may be using it.
        formats: Those that are to be written next.

    Raises:
        UsageError: If files of somebody else stand where these would write.
        OutputError: If something cannot be removed.
    """
    formats, images = list(formats), named(folder)
    if read_json(folder, RUN) is None and not images:
        return
    folder.refuse_foreign_images(_recorded(folder), files_of(formats)[1])
    refuse_changed(folder, trees_of(formats))
    files, image_files = files_of(every_format())
    for path in images:
        folder.remove_images(image_files, path)
    remove_trees(folder, trees_of(every_format()))
    clear_parts(folder)
    folder.remove_own(files)
    folder.remove(JOURNAL, DAMAGED, SUMMARY, RUN)
    with writing(folder.root):
        folder.marker.forget_gone()
    folder.sync_names()  # or a power cut might bring the old journal back, beside a new run.json


def _recorded(folder: OutputFolder) -> Iterator[str]:
    """Yields the images of the journal; of one that is damaged or gone, what it can still name."""
    with suppress(OutputError, FileNotFoundError):
        for outcome in replay(folder.root / JOURNAL):
            yield outcome.path
