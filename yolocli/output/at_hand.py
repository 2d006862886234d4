"""Output folders for commands that come after a run: one in a store is brought here, and published if it is changed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from yolocli.errors import OutputError, UsageError
from yolocli.machine.cache import cache_folder
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.maps import FILES as MAPS
from yolocli.output.journal import mend
from yolocli.output.mirror import PLACES, Mirror, called, settings_for
from yolocli.output.ownership import JOURNAL, RUN, SUMMARY
from yolocli.output.store_files import StoreFiles
from yolocli.output.store_journal import StoreJournal
from yolocli.sources.base import Notice
from yolocli.stores import is_url, store_of, where
from yolocli.stores.base import StoreError

READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def name_of(place: str | os.PathLike[str]) -> str:
    """Returns what tells an output folder from all others: its absolute path, or its URL.

    Raises:
        UsageError: If the URL leads nowhere, or holds a secret.
    """
    path = os.fspath(place)
    return _url(path) if is_url(path) else os.path.realpath(path)


@contextmanager
def to_read(place: str | os.PathLike[str], *, maps: bool = False) -> Iterator[Path]:
    """Gives an output folder; of one in a store a copy of its settings, summary and journal.

    Args:
        place: A path or a URL.
        maps: Copy maps, too.

    Raises:
        UsageError: If there is none.
        OutputError: If it cannot be read.
    """
    path = os.fspath(place)
    if not is_url(path):
        yield Path(path)
        return
    url = _url(path)
    with TemporaryDirectory(dir=cache_folder(PLACES), prefix="read-") as made:
        folder = Path(made, "out")
        with called(folder, url):
            try:
                _copy(url, folder, maps)
            except StoreError as error:
                raise OutputError(f"{url}: {error}") from None
            yield folder


@contextmanager
def to_change(place: str | os.PathLike[str], notice: Notice) -> Iterator[Path]:
    """Gives an output folder, or a new one; what becomes of one in a store is published when the block ends well.

    Args:
        place: A path or a URL.
        notice: Told of what somebody may want to know.

    Raises:
        UsageError: If a run has the place, or it holds files of somebody else, or is no place for results.
        OutputError: If it cannot be read or written.
    """
    path = os.fspath(place)
    if not is_url(path):
        yield Path(path)
        return
    url = _url(path)
    folder = settings_for(url)["output"]
    with called(folder, url), Mirror(url, folder, notice):
        yield folder


@contextmanager
def kept_still(folder: OutputFolder, notice: Notice | None = None) -> Iterator[None]:
    """Keeps runs out of a folder that is to be read; where nothing can be written, no run can.

    Args:
        folder: To be read in the block.
        notice: Told of damage to the journal, which is mended; None mends nothing.

    Raises:
        UsageError: If a run is writing to it.
        OutputError: If it cannot be written for another reason than that this is not allowed.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(folder.held())
        except OutputError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in READ_ONLY:
                raise
        else:
            if notice is not None:
                mend(folder, notice)
        yield


def _url(path: str) -> str:
    try:
        return where(path).url
    except StoreError as error:
        raise UsageError(str(error)) from None


def _copy(url: str, folder: Path, maps: bool) -> None:
    store, top = store_of(url), where(url).key
    files = StoreFiles(store, top, folder, lambda message: None)
    there = files.look()
    if RUN not in there:
        raise UsageError(f"{url}: holds no {RUN}; name the output folder of a run")
    folder.mkdir(parents=True)
    StoreJournal(store, top, folder / JOURNAL, folder.with_name("published.json")).pull(there)
    files.pull(there, lambda name: name in {RUN, SUMMARY} or (maps and name.startswith(f"{MAPS.folder}/")))
