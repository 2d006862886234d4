"""One run at a time writes to a place in a store: an object there says which, and moves as long as that run lives.

No clock is compared with another. Who finds the object looks whether it moves; one that does not is that of a dead run,
and is taken over by a write on the condition that it still is what was seen.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from yolocli.errors import UsageError
from yolocli.machine.threads import start_thread
from yolocli.stores.base import ABSENT, ConflictError, Mark, MissingError, Store, StoreError

LOCK_OBJECT = ".yolocli-lock"
BEAT_SECONDS = 15.0
"""How often a run that lives moves its lock."""
DEAD_SECONDS = 60.0
"""A lock that has not moved for so long is that of a dead run."""
LOOK_SECONDS = 2.0
LONG_DEAD_SECONDS = 3600.0
"""Age by the clock here after which nobody looks: no store answers those whose clock is so wrong."""


class StoreLock:
    """The lock of a place in a store.

    Attributes:
        lost: Another run has taken it over, as this one was still for too long.
    """

    def __init__(self, store: Store, key: str, owner: str, notice: Callable[[str], None]) -> None:
        """Makes one that is not taken.

        Args:
            store: Where it lies.
            key: Its name.
            owner: Who asks for it. Only one who is sure that an earlier owner of this name is dead may have the same.
            notice: Told when it has to be waited for.
        """
        self._store = store
        self._key = key
        self._owner = owner
        self._notice = notice
        self._beats = 0
        self._mark: Mark = ABSENT
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self.lost = False

    def take(self) -> None:
        """Takes the lock, and keeps it moving.

        Raises:
            UsageError: If another run has it, or there can be no lock.
            StoreError: If the store cannot be written.
        """
        with suppress(ConflictError):
            self._mark = self._write(ABSENT)
        if self._mark == ABSENT:
            self._take_over()
        self._refuse_unguarded()
        start_thread(self._keep, "yolocli-store-lock")

    def look(self) -> None:
        """Makes sure that it has not been lost, as while this process was stopped.

        Raises:
            ConflictError: If it has.
            StoreError: If the store cannot be read.
        """
        with self._writing:
            try:
                self.lost = self.lost or self._store.stat(self._key).mark != self._mark
            except MissingError:
                self.lost = True
        if self.lost:
            raise ConflictError

    def release(self) -> None:
        """Gives the lock back, if it has not been lost; what goes wrong leaves it to die."""
        self._ended.set()
        with suppress(StoreError):
            self.look()
            self._store.delete(self._key)

    def _refuse_unguarded(self) -> None:
        """Makes sure that the store keeps to conditions, which some that speak S3 do not even look at.

        Raises:
            UsageError: If it does not.
        """
        with suppress(ConflictError):
            self._store.write(self._key, b"?", over=ABSENT)
            self._store.delete(self._key)
            raise UsageError(
                f"--output {self._place}: this store writes whatever stands there, so that two runs could not be kept "
                "apart; use a folder, and copy it"
            )

    def _take_over(self) -> None:
        try:
            entry = self._store.stat(self._key)
            owner = self._owner_of()
            old = time.time() - entry.modified / 1e9 > LONG_DEAD_SECONDS
            if owner.get("owner") != self._owner and not old:
                self._watch(entry.mark, owner)
            self._mark = self._write(entry.mark)
        except MissingError:  # given back meanwhile
            with suppress(ConflictError):
                self._mark = self._write(ABSENT)
                return
            raise self._refusal({}) from None
        except ConflictError:
            raise self._refusal(self._owner_of()) from None

    def _watch(self, seen: Mark, owner: dict[str, Any]) -> None:
        """Looks until the lock has not moved for long enough.

        Raises:
            UsageError: If it moves.
            MissingError: If it is given back.
        """
        self._notice(f"{self._place}: looking for up to {DEAD_SECONDS:g} s whether another run{_on(owner)} is alive")
        until = time.monotonic() + DEAD_SECONDS
        while time.monotonic() < until:
            time.sleep(min(LOOK_SECONDS, DEAD_SECONDS))
            if self._store.stat(self._key).mark != seen:
                raise self._refusal(owner)

    def _refusal(self, owner: dict[str, Any]) -> UsageError:
        return UsageError(f"{self._place}: another run{_on(owner)} is writing here; wait for it or use --output")

    @property
    def _place(self) -> str:
        return f"{self._store.root}/{self._key}".removesuffix(f"/{LOCK_OBJECT}")

    def _owner_of(self) -> dict[str, Any]:
        with suppress(StoreError, ValueError):
            content = json.loads(self._store.read(self._key, check=lambda size: None))
            if isinstance(content, dict):
                return content
        return {}

    def _write(self, over: Mark) -> Mark:
        self._beats += 1
        content = {"owner": self._owner, "host": socket.gethostname(), "beat": self._beats}
        return self._store.write(self._key, json.dumps(content).encode(), over=over)

    def _keep(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                with self._writing:
                    if self._ended.is_set():
                        return
                    self._mark = self._write(self._mark)
            except (ConflictError, MissingError):
                self.lost = True
                return
            except StoreError:  # unless somebody takes it over meanwhile, it is still ours
                continue


def _on(owner: dict[str, Any]) -> str:
    host = owner.get("host")
    return f" on {host}" if isinstance(host, str) and host.isprintable() else ""
