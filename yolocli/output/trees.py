"""Trees: sub-folders of files that only all images together can name, with a list that says which are yolocli's.

A label, an XML file or a copy of a photograph does not show who wrote it, and people correct labels and move pictures.
So a list has a line for each file, with its mark: what somebody has changed has another one, and is left alone. A line
is there before its file is. While files are put in place, old lines stay: a run that was killed leaves nothing unknown.
"""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import UnsupportedOperation
from itertools import islice

from yolocli.errors import ImageError, OutputError, UsageError
from yolocli.output.beside import Beside
from yolocli.output.disk import sync_stream
from yolocli.output.folder import REFUSED_NAMES, OutputFolder
from yolocli.output.ownership import SHOWN, mark_of, mark_of_link, refusal
from yolocli.output.sink import Link, Original, Sink, Tree
from yolocli.output.tree_list import UNFINISHED, Line, Listed, lists_of
from yolocli.results import ImageRef, to_json
from yolocli.sources import DISK, read, scheme_of, source_of

GONE = "pictures, gone or unreadable"
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""What file systems answer that have no links."""
_NOT_PERMITTED = 1314
"""What Windows answers a user who may make none."""


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file to be put in a tree.

    Attributes:
        name: '/'-separated; its first part is one of the folders of the tree.
        content: What it holds; or, how the image itself gets there.
    """

    name: str
    content: bytes | Original


class TreeWriter:
    """Puts the files of a tree in place, and removes those that are not made any more."""

    def __init__(self, sink: Sink, tree: Tree) -> None:
        self._sink = sink
        self._tree = tree
        self._links = True
        self._stack = ExitStack()
        weakref.finalize(self, self._stack.close)  # where something else has failed
        self._list = self._stack.enter_context(sink.add_to(tree.list.name))
        self._listed = Listed(self._list, tree)
        self._beside = Beside(sink, tree, self._listed)
        self._add(b"\n" * self._listed.torn + to_json(UNFINISHED) + b"\n")
        with suppress(UnsupportedOperation):  # of a place that is no disk
            sync_stream(self._list)
        self._begin = self._list.tell()

    def own_place(self, image: ImageRef) -> str:
        """Returns where an image lies itself, so that no link to it is wanted, and files are named by that.

        Returns:
            Its path in that sub-folder of the tree; empty where there are no pictures of somebody else.

        Raises:
            UsageError: If there are some, and a link to it would lie among them.
        """
        return self._beside.place(image)

    def put(self, image: ImageRef, choices: Sequence[Sequence[TreeFile]]) -> str:
        """Puts the files of an image in place.

        Args:
            image: The image.
            choices: Its files; then, the same files by other names, if the disk cannot hold those before.

        Returns:
            Why not all are there: what the image is one of; empty if they are.

        Raises:
            OutputError: If they cannot be written.
            UsageError: If a file of somebody else stands there.
        """
        *others, last = choices
        for files in others:
            begin, done = self._list.seek(0, os.SEEK_END), list[Line]()
            try:
                return self._put_all(image, files, done)
            except OutputError as error:
                if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in REFUSED_NAMES:
                    raise
            for line in done:
                self._sink.trees.take_away(line.file, line.mark)
            self._list.truncate(begin)
        return self._put_all(image, last, [])

    def close(self) -> None:
        """Removes what is not made any more, and leaves a list of the rest.

        Raises:
            OutputError: If that cannot be done.
        """
        _remove_unseen(self._sink, self._listed)
        self._sink.sync()
        with self._sink.open(self._tree.list.name) as whole:
            self._list.seek(self._begin)
            while block := self._list.read(1 << 20):
                whole.write(block)
            self._stack.close()

    def _put_all(self, image: ImageRef, files: Sequence[TreeFile], done: list[Line]) -> str:
        missing = ""
        for file in files:
            if isinstance(file.content, Original) and self._sink.trees.is_at(file.name, image.source):
                continue
            line = self._put(image, file)
            done += [line] if line else []
            missing = missing if line else GONE
        return missing

    def _put(self, image: ImageRef, file: TreeFile) -> Line | None:
        """Puts a file in place; returns None if it is the image itself, and that is gone or cannot be read."""
        before, found = self._listed.about(file.name), self._sink.trees.mark(file.name)
        if isinstance(file.content, bytes):
            return self._write(Line(file.name, image.path, mark_of(file.content)), file.content, found, before)
        if file.content is Original.copy or not self._links or scheme_of(image.source) != DISK:
            return self._copy(image, file.name, found, before)
        if not os.path.isfile(image.source):
            return None
        try:
            line = Line(file.name, image.path, mark_of_link(image.source))
            return self._write(line, Link(image.source), found, before)
        except OutputError as error:
            if not _cannot_link(error.__cause__):
                raise
            self._links = False
            return self._copy(image, file.name, found, before)

    def _copy(self, image: ImageRef, name: str, found: str, before: Sequence[Line]) -> Line | None:
        for line in before:
            if line.mark == found and line.version and line.version == image.version:
                return self._write(line, b"", found, before)
        modified = None
        try:
            data = read(image.source)
            if scheme_of(image.source) == DISK:
                modified = os.stat(image.source).st_mtime_ns
        except (OSError, ImageError, ValueError):
            return None
        return self._write(
            Line(name, image.path, mark_of(data), image.source, image.version), data, found, before, modified
        )

    def _write(
        self, line: Line, content: bytes | Link, found: str, before: Sequence[Line], modified_ns: int | None = None
    ) -> Line:
        begin = self._list.seek(0, os.SEEK_END)
        self._add(line.encoded())
        if found != line.mark:
            try:
                self._sink.trees.put(
                    line.file, content, found if self._listed.is_own(found, before) else "", modified_ns
                )
            except OutputError:
                self._list.truncate(begin)
                raise
        self._listed.see(line.file)
        return line

    def _add(self, line: bytes) -> None:
        self._list.seek(0, os.SEEK_END)
        self._list.write(line)
        self._list.flush()


def refuse_changed(folder: OutputFolder, trees: Iterable[Tree]) -> None:
    """Makes sure that nobody has changed a file that a run wrote, before all is made anew.

    Raises:
        UsageError: With the names of some of them.
    """
    for listed in lists_of(folder, trees):
        found = ((line.file, folder.trees.mark(line.file), listed.see(line.file)) for line in listed.unseen())
        changed = (file for file, mark, lines in found if mark and not listed.is_own(mark, lines))
        if some := list(islice(changed, SHOWN + 1)):
            raise UsageError(refusal(folder.root, some))


def remove_trees(folder: OutputFolder, trees: Iterable[Tree]) -> None:
    """Removes what runs wrote and nobody has changed since; the lists stay.

    Raises:
        OutputError: If something cannot be removed.
    """
    for listed in lists_of(folder, trees):
        _remove_unseen(folder, listed)


def _remove_unseen(sink: Sink, listed: Listed) -> None:
    """Removes what is listed and not made any more; but for copies of what is gone, as they may be all that is left."""
    for line in listed.unseen():
        if line.source and not _is_there(line.source):
            continue
        mark = sink.trees.mark(line.file)
        if listed.is_own(mark, listed.see(line.file)):
            sink.trees.take_away(line.file, mark)


def _is_there(source: str) -> bool:
    with suppress(ImageError):
        source_of(source).version(source, walked=False)
        return True
    return False


def _cannot_link(cause: BaseException | None) -> bool:
    if not isinstance(cause, OSError):
        return False
    return cause.errno in _NO_LINKS or getattr(cause, "winerror", None) == _NOT_PERMITTED
