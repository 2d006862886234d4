"""An output folder in a store: a folder here that is brought to the state of the place there, and published to it.

What a run does with its output folder, it does here. While it runs, its settings and what is new in the journal are
published every few seconds; the rest, which is made of the journal, when it ends. So whatever ends a run, its place in
the store holds a journal to go on from, on this machine or another.

The place is the run's own: it is empty, or holds what runs published. A list there says which files those are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from yolocli.config import RunConfig
from yolocli.errors import ExitCode, OutputError, UsageError, YolocliError
from yolocli.machine.cache import cache_folder
from yolocli.machine.threads import start_thread
from yolocli.output.ownership import JOURNAL, RUN, SUMMARY
from yolocli.output.store_files import StoreFiles
from yolocli.output.store_journal import StoreJournal
from yolocli.output.store_lock import LOCK_OBJECT, StoreLock
from yolocli.stores import store_of, where
from yolocli.stores.base import ConflictError, StoreError

PUBLISH_SECONDS = 10.0
"""Between two looks at what is new: what a run that is killed, and its machine with it, can lose."""
PLACES = "outputs"
"""Where the folders are, in the cache."""
FORMATS = ("csv",)
"""What is written where nothing was asked for: no files of images, each of which is a request."""


def settings_for(url: str) -> dict[str, Any]:
    """Returns the settings of a run whose results go to a place in a store: its URL, and the folder here for it.

    Raises:
        UsageError: If there can be no such place.
        OutputError: If there is no folder that can be written to.
    """
    try:
        place = where(url).url
    except StoreError as error:
        raise UsageError(f"--output {error}") from None
    name = hashlib.blake2b(place.encode(), digest_size=8).hexdigest()
    return {"output": cache_folder(PLACES, name) / "out", "store": place}


@contextmanager
def published(
    config: RunConfig, notice: Callable[[str], None]
) -> Iterator[Callable[[Callable[[ExitCode], None]], None]]:
    """Publishes what a run writes in the block, if it is to go to a store.

    Args:
        config: Of the run.
        notice: Told of what somebody may want to know.

    Yields:
        What is to be told how the run is stopped, as it must be when its place has been lost.

    Raises:
        UsageError: If another run has the place, or it holds files of somebody else, or is no place for results.
        OutputError: If it cannot be read or written, or has been lost.
    """
    if config.store is None:
        yield lambda stop: None
        return
    assert config.output is not None
    with Mirror(config.store, config.output, notice) as mirror, called(config.output, config.store):
        yield mirror.stops


@contextmanager
def called(folder: Path, url: str) -> Iterator[None]:
    """Has errors in the block name the place, which people know, and not the folder here."""
    try:
        yield
    except YolocliError as error:
        raise type(error)(str(error).replace(os.fspath(folder), url)) from error


class Mirror:
    """A place in a store, for one run.

    Use: `with Mirror(...): ...`; leaving the block publishes all, or, after an error, what is needed to go on.

    Attributes:
        folder: The output folder here.
    """

    def __init__(self, url: str, folder: Path, notice: Callable[[str], None]) -> None:
        """Makes one that has not been opened.

        Raises:
            UsageError: If the store cannot be written to, or what it takes is missing.
        """
        self.folder = folder
        place = where(url)
        try:
            self._url, self._top, self._store = place.url, place.key, store_of(url)
        except StoreError as error:
            raise UsageError(f"{url}: {error}") from None
        if not self._store.guards:
            raise UsageError(f"--output {url}: results go to folders, and to s3://, gs:// and az://")
        self._notice = notice
        self._journal = StoreJournal(
            self._store, self._top, self.folder / JOURNAL, self.folder.with_name("published.json")
        )
        self._files = StoreFiles(self._store, self._top, self.folder, notice)
        self._ended, self._busy = threading.Event(), threading.Lock()
        self._lost = self._behind = False
        self._stop: Callable[[ExitCode], None] = lambda code: None

    def __enter__(self) -> Mirror:
        """Makes the place this run's own, and the folder here what is there.

        Raises:
            UsageError: If another run has it, or it holds files of somebody else.
            OutputError: If it cannot be read or written.
        """
        self._local_lock = FileLock(self.folder.parent.with_suffix(".lock"))
        try:
            self._local_lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"{self._url}: another run is writing here; wait for it or use --output") from None
        try:
            with self._said():
                self._lock = StoreLock(self._store, self._files.key(LOCK_OBJECT), self._owner(), self._notice)
                self._lock.take()
                try:
                    self._pull()
                except BaseException:
                    self._lock.release()
                    raise
        except BaseException:
            self._local_lock.release()
            raise
        start_thread(self._keep, "yolocli-publish")
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._ended.set()
        try:
            if kind is None:
                with self._said():
                    self._check()
                    self._finish()
                shutil.rmtree(self.folder.parent, ignore_errors=True)
            else:
                with suppress(StoreError, OSError), self._busy:
                    self._publish()
        finally:
            self._lock.release()
            self._local_lock.release()

    def stops(self, stop: Callable[[ExitCode], None]) -> None:
        """Learns how the run is stopped."""
        self._stop = stop

    def _check(self) -> None:
        if self._lost or self._lock.lost:
            raise OutputError(
                f"{self._url}: another run has taken it over, as this one could not be seen to be alive; what this one "
                "did since is not there. Run it again when the other has ended"
            )

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except ConflictError:
            self._lost = True
            self._check()
        except StoreError as error:
            raise OutputError(
                f"{self._url}: {error}; what is not there yet is kept here, and the same command goes on"
            ) from None

    def _owner(self) -> str:
        """Returns a name that only runs with this very folder have, of which one at a time can be alive."""
        file = self.folder.with_name("owner")
        if not file.exists():
            file.write_text(uuid.uuid4().hex)
        return file.read_text()

    def _pull(self) -> None:
        there = self._files.look()
        goes_on = self._journal.save_tail(there)
        settings = self.folder / RUN
        kept = settings.read_bytes() if goes_on and settings.exists() else None
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._journal.pull(there)
        self._files.pull(there)
        if kept is not None:  # the journal that was left here may depend on what only these say
            settings.write_bytes(kept)
            self._files.forget(RUN)

    def _keep(self) -> None:
        while not self._ended.wait(PUBLISH_SECONDS):
            try:
                with self._busy:
                    if not self._ended.is_set():
                        self._publish()
                self._behind = False
            except ConflictError:
                self._lost = True
                self._stop(ExitCode.RUN_FAILED)
                return
            except (StoreError, OSError) as error:
                if not self._behind:
                    self._notice(f"{self._url}: {error}; results are kept here until they can be published")
                self._behind = True

    def _publish(self) -> None:
        """Publishes what is needed to go on: no line of the journal before the settings that it depends on."""
        if self._lost:
            raise ConflictError
        self._lock.look()
        if self._journal.was_replaced():
            self._journal.forget()
        if SUMMARY in self._files.own and not (self.folder / SUMMARY).exists():
            self._store.delete(self._files.key(SUMMARY))  # that of an earlier run would speak for this one
        if (self.folder / RUN).exists():
            self._files.publish([RUN])
        self._journal.publish()

    def _finish(self) -> None:
        self._notice(f"publishing to {self._url}")
        with self._busy:
            self._publish()
            names = self._files.names()
            self._files.claim(names)
            self._files.publish(names - {RUN, SUMMARY})
            self._journal.join()
            self._files.remove_others(names)
            self._lock.look()
            self._files.publish(names & {SUMMARY})
            self._files.publish(names & {RUN})
