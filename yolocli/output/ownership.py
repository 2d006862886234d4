"""Which files in an output folder are yolocli's own: nothing else there is ever replaced or removed."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from yolocli.errors import UsageError
from yolocli.output.anchors import Place
from yolocli.output.sink import File, ImageFiles, Tree
from yolocli.sources.outputs import MARKER, TITLE

LOCK, RUN, JOURNAL, SUMMARY = ".lock", "run.json", "results.jsonl", "summary.json"
DAMAGED = "results.damaged.jsonl"
"""Lines of the journal that were found damaged."""
DAMAGED_HEAD = b'{"schema": 1, "damaged": "lines of results.jsonl"}\n'
"""Its first line, as nobody knows what damaged ones begin with; earlier versions wrote none."""
SETTINGS_FILE = File(RUN, start=b'{\n  "fingerprint": {')
JOURNAL_FILE = File(JOURNAL, start=b'{"schema": 1, "path": "', any_line=True)
DAMAGED_FILE = File(DAMAGED, start=b'{"schema": 1, "', any_line=True)
MARKER_FILE = File(MARKER, start=TITLE)
SUMMARY_FILE = File(SUMMARY, start=b'{\n  "mode": "')
OWN_FILES = (SETTINGS_FILE, JOURNAL_FILE, DAMAGED_FILE, SUMMARY_FILE)
"""What a run writes into the output folder beside its formats."""
_READ, _READ_OF_LINES, _READ_OF_SETTINGS, _READ_OF_END = 128, 1 << 16, 1 << 24, 1 << 10
_MARKED = 1 << 16
"""Bytes of a file that its mark tells of, beside its size: all of a label, and of a picture enough."""
SHOWN = 3


def is_own_file(place: Place, name: str, kind: File | ImageFiles) -> bool:
    """Tells whether a file is one that a run wrote; one that a power cut left blank or torn is taken for such.

    Args:
        place: The folder that it lies in.
        name: Of the file.
        kind: What it should be.
    """
    if not _is_file(place, name):
        return False
    with suppress(OSError):
        start = _start(place, name, kind)
        torn = isinstance(kind.start, bytes) and kind.start.startswith(start)
        return not start.strip(b"\0") or torn or (_is_written(start, kind) and _ends_as_it_should(place, name, kind))
    return False


def is_foreign(place: Place, name: str, kind: File | ImageFiles) -> bool:
    """Tells whether a file is there that no run wrote; see `is_own_file`."""
    return place.status(name) is not None and not is_own_file(place, name, kind)


def mark_of(data: bytes) -> str:
    """Returns what tells a file from others, and from itself once somebody has changed it; of a blank one `...-0`."""
    return _mark(len(data), data[:_MARKED])


def mark_of_link(target: str) -> str:
    """Returns what tells a link from others."""
    return f">{target}"


def mark_found(place: Place, name: str) -> str:
    """Returns the mark of what lies in a folder; empty if nothing does."""
    found = place.status(name)
    if found is None:
        return ""
    with suppress(OSError):
        if stat.S_ISLNK(found.st_mode):
            return mark_of_link(os.readlink(place.at(name), dir_fd=place.fd))
        if stat.S_ISREG(found.st_mode):
            return _mark(found.st_size, place.start(name, _MARKED))
    return "of somebody else"


def is_output_folder(root: Path) -> bool:
    """Tells whether a run has written into a folder: by its settings, or its journal."""
    place = Place(None, os.fspath(root))
    return any(_is_surely_written(place, file) for file in (SETTINGS_FILE, JOURNAL_FILE))


def refuse_foreign(root: Path, files: Iterable[File], images: Iterable[ImageFiles], trees: Iterable[Tree] = ()) -> None:
    """Makes sure, before anything is written, that nothing of somebody else's would be replaced, or is in use.

    In a folder that is no output folder, every file that stands where a run may write is somebody else's; in an output
    folder, those that do not begin as they should.

    Args:
        root: The output folder; need not be there.
        files: Those in it that are to be written.
        images: Files of images that are to be written.
        trees: Trees that are to be written; see `refuse_changed`, too.

    Raises:
        UsageError: With the names of some of them.
    """
    place, files = Place(None, os.fspath(root)), list(files)
    ours = is_output_folder(root)
    found = [file.name for file in files if place.status(file.name) and not (ours and _may_be_replaced(place, file))]
    lock = place.status(LOCK)
    if lock is not None and (lock.st_size or not stat.S_ISREG(lock.st_mode)):
        found.append(LOCK)
    if not ours:
        for files_of_images in images:
            found += itertools.islice(below(root, files_of_images.folder, files_of_images.suffix), SHOWN + 1)
        for folder in (folder for tree in trees for folder in tree.folders if folder != tree.beside):
            found += itertools.islice(below(root, folder), SHOWN + 1)
    if found:
        raise UsageError(refusal(root, found))
    for file in files:
        if reason := in_use(place, file):
            raise UsageError(f"{root / file.name}: {reason}")


def in_use(place: Place, file: File) -> str:
    """Returns why a file cannot be replaced now, as a program has it open; empty if none has."""
    beside = next((name for name in file.in_use if place.status(name) is not None), "")
    return beside and (
        f"a program has it open, or was killed while it had, as {beside} lies beside it; close it there (if it was "
        "killed, open and close it once more), or move both away"
    )


def below(root: Path, folder: str, suffix: str = "") -> Iterator[str]:
    """Yields the files in a sub-folder, and below it, that a file with the suffix could take the place of."""
    top = os.path.join(root, folder)
    if os.path.islink(top):
        return  # it will be refused
    if os.path.isfile(top):
        yield folder
    for path, _, names in os.walk(top):
        for name in names:
            if name.endswith(suffix):
                yield os.path.relpath(os.path.join(path, name), root)


def refusal(root: Path, names: list[str]) -> str:
    """Returns what to tell of files that would have to be replaced."""
    shown = ", ".join(names[:SHOWN]) + (" and more" if len(names) > SHOWN else "")
    one = len(names) == 1
    return (
        f"{root}: {shown} {'is no file' if one else 'are no files'} that yolocli wrote, and would be replaced; "
        f"move {'it' if one else 'them'} away, or use another --output"
    )


def _mark(size: int, start: bytes) -> str:
    digest = hashlib.blake2b(start, digest_size=8).hexdigest() if start.strip(b"\0") else "0"
    return f"{size}-{digest}"


def _start(place: Place, name: str, kind: File | ImageFiles) -> bytes:
    return place.start(name, _READ_OF_LINES if isinstance(kind, File) and kind.any_line else _READ)


def _is_written(start: bytes, kind: File | ImageFiles) -> bool:
    if not isinstance(kind.start, bytes):
        return kind.start.match(start) is not None
    any_line = isinstance(kind, File) and kind.any_line
    return start.startswith(kind.start) or (any_line and b"\n" + kind.start in start)


def _ends_as_it_should(place: Place, name: str, kind: File | ImageFiles) -> bool:
    end = kind.end if isinstance(kind, File) else None
    return end is None or end.search(place.end(name, _READ_OF_END)) is not None


def _is_surely_written(place: Place, file: File) -> bool:
    with suppress(OSError):
        return _is_file(place, file.name) and _is_written(_start(place, file.name, file), file)
    return False


def _may_be_replaced(place: Place, file: File) -> bool:
    """Tells whether a file in an output folder is a run's, or one of the two that it is known by, damaged."""
    if is_own_file(place, file.name, file):
        return True
    if file.name == JOURNAL:
        return _is_file(place, JOURNAL) and _is_surely_written(place, SETTINGS_FILE)
    return file.name == RUN and _is_file(place, RUN) and not _is_json(place, RUN)


def _is_file(place: Place, name: str) -> bool:
    found = place.status(name)
    return found is not None and stat.S_ISREG(found.st_mode)


def _is_json(place: Place, name: str) -> bool:
    try:
        json.loads(place.start(name, _READ_OF_SETTINGS))
    except ValueError:
        return False
    except OSError:  # it cannot be known, so it is left alone
        return True
    return True
