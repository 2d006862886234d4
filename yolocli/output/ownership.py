"""Which files in an output folder are yolocli's own: nothing else there is ever replaced or removed."""

from __future__ import annotations

import itertools
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from yolocli.errors import UsageError
from yolocli.output.anchors import Place

LOCK, RUN, JOURNAL, SUMMARY = ".lock", "run.json", "results.jsonl", "summary.json"
STARTS: Mapping[str, bytes] = MappingProxyType(
    {
        RUN: b'{\n  "fingerprint": {',
        JOURNAL: b'{"schema": 1, "path": "',
        SUMMARY: b'{\n  "mode": "',
        "failures.jsonl": b'{"schema": 1, "path": "',
        "detections.csv": b"path,name,class,confidence,x1,",
        "images.csv": b"path,status,width,height,detections,",
        "json": b'{\n  "schema": 1,\n  "path": "',
        "csv": b"name,class,confidence,x1,",
    }
)
"""What files begin with, in this version and those before it: by name or, for the files of images, by sub-folder."""
_MOST_READ = {RUN: 1 << 24, JOURNAL: 1 << 16}
_READ = 64
SHOWN = 3


def is_own_file(place: Place, name: str, kind: str) -> bool:
    """Tells whether a file is one that a run wrote; one that a power cut left blank or torn is taken for such.

    Args:
        place: The folder that it lies in.
        name: Of the file.
        kind: Key of `STARTS`.
    """
    if not _is_file(place, name):
        return False
    with suppress(OSError):
        start = _start(place, name, kind)
        return not start.strip(b"\0") or STARTS[kind].startswith(start) or _is_written(start, kind)
    return False


def is_foreign(place: Place, name: str, kind: str) -> bool:
    """Tells whether a file is there that no run wrote; see `is_own_file`."""
    return place.status(name) is not None and not is_own_file(place, name, kind)


def is_output_folder(root: Path) -> bool:
    """Tells whether a run has written into a folder: by its settings, or its journal."""
    place = Place(None, os.fspath(root))
    for name in (RUN, JOURNAL):
        with suppress(OSError):
            if _is_file(place, name) and _is_written(_start(place, name, name), name):
                return True
    return False


def refuse_foreign(root: Path, files: Iterable[str], sub_folders: Mapping[str, str]) -> None:
    """Makes sure, before anything is written, that nothing of somebody else's would be replaced.

    In a folder that is no output folder, every file that stands where a run may write is somebody else's; in an output
    folder, those that do not begin as they should.

    Args:
        root: The output folder; need not be there.
        files: Names of the files in it that are to be written.
        sub_folders: Those with a file for each image that are to be written, with the suffix of these files.

    Raises:
        UsageError: With the names of some of them.
    """
    place = Place(None, os.fspath(root))
    ours = is_output_folder(root)
    found = [name for name in files if place.status(name) and not (ours and _may_be_replaced(place, name))]
    lock = place.status(LOCK)
    if lock is not None and (lock.st_size or not stat.S_ISREG(lock.st_mode)):
        found.append(LOCK)
    if not ours:
        for folder, suffix in sub_folders.items():
            found += itertools.islice(_below(root, folder, suffix), SHOWN + 1)
    if found:
        raise UsageError(refusal(root, found))


def refusal(root: Path, names: list[str]) -> str:
    """Returns what to tell of files that would have to be replaced."""
    shown = ", ".join(names[:SHOWN]) + (" and more" if len(names) > SHOWN else "")
    one = len(names) == 1
    return (
        f"{root}: {shown} {'is no file' if one else 'are no files'} that yolocli wrote, and would be replaced; "
        f"move {'it' if one else 'them'} away, or use another --output"
    )


def _start(place: Place, name: str, kind: str) -> bytes:
    return place.start(name, _MOST_READ.get(kind, _READ))


def _is_written(start: bytes, kind: str) -> bool:
    mark = STARTS[kind]
    # any line of a journal will do, as the first may be damaged
    return start.startswith(mark) or (kind == JOURNAL and b"\n" + mark in start)


def _may_be_replaced(place: Place, name: str) -> bool:
    """Tells whether a file in an output folder is a run's, or one of the two that it is known by, damaged."""
    if is_own_file(place, name, name):
        return True
    if name == JOURNAL:
        return _is_file(place, name) and _is_file(place, RUN) and _is_written(_start(place, RUN, RUN), RUN)
    return name == RUN and _is_file(place, name) and not _is_json(place, name)


def _is_file(place: Place, name: str) -> bool:
    found = place.status(name)
    return found is not None and stat.S_ISREG(found.st_mode)


def _is_json(place: Place, name: str) -> bool:
    try:
        json.loads(_start(place, name, name))
    except ValueError:
        return False
    except OSError:
        pass
    return True


def _below(root: Path, folder: str, suffix: str) -> Iterator[str]:
    """Yields the files in a sub-folder, and below it, that a file of an image could stand in the way of."""
    top = os.path.join(root, folder)
    if os.path.islink(top):
        return  # it will be refused
    if os.path.isfile(top):
        yield folder
    for path, _, names in os.walk(top):
        for name in names:
            if name.endswith(suffix):
                yield os.path.relpath(os.path.join(path, name), root)


DAMAGED = "results.damaged.jsonl"
"""Lines of the journal that were found damaged."""
