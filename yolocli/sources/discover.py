"""Inputs to a sorted stream in which every image is once.

The first image comes out when the first folder has been listed. What cannot be read is an ImageFailure in the same
stream, so it is never lost.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from yolocli.config import SourceConfig
from yolocli.errors import ImageError, UsageError
from yolocli.results import ImageFailure, ImageRef
from yolocli.sources import is_remote, scheme_of, source_of
from yolocli.sources.base import Found, Lister, Notice, Search
from yolocli.sources.lines import LooksAhead
from yolocli.sources.listed import check_list, names_in
from yolocli.sources.names import Names, Root, lies_in, root_at


class Discovery:
    """What the inputs hold, to be iterated over once: each file once, in input order, a folder's entries by name.

    Attributes:
        search: What it looks for, and has met so far.
    """

    def __init__(
        self, config: SourceConfig, *, skip: Path | str | None = None, notice: Notice = lambda message: None
    ) -> None:
        """Says at once, before a model is loaded, that a name was mistyped.

        Args:
            config: What to look for.
            skip: A directory that is never walked into: the output folder, or its URL.
            notice: Called with a line about what is left out for a reason the user may want to know.

        Raises:
            UsageError: If an input neither exists nor is a pattern, or is the output folder.
        """
        self.search = Search(config, skip, notice)
        self._listers: dict[str, Lister] = {}
        if config.files_from is not None:
            check_list(config.files_from)
        for name in config.inputs:
            self._lister(name).check(name)
            if isinstance(skip, Path) and os.path.realpath(name) == self.search.skip:
                raise UsageError(
                    f"--output {skip}: is an input, too; use a folder of its own, such as {skip / 'results'}"
                )

    def __iter__(self) -> Iterator[Found]:
        """Yields what was found.

        Raises:
            UsageError: If the list cannot be read.
        """
        config, found = self.search.config, self._all()
        one = config.inputs[0] if len(config.inputs) == 1 and config.files_from is None else None
        one_walk = one is not None and (not glob.has_magic(one) or os.path.isdir(one))
        return found if one_walk else _distinct(found)  # one walk finds no file twice

    def bases(self, names: Names) -> list[Root]:
        """Returns what the names of all that was named on the command line are to be relative to.

        Args:
            names: Those of the output folder; files that it has a root for need no other.
        """
        inputs = self.search.config.inputs
        by_scheme = {scheme: [name for name in inputs if scheme_of(name) == scheme] for scheme in tuple(self._listers)}
        return [base for scheme, own in by_scheme.items() for base in self._listers[scheme].bases(own, names.covers)]

    def why_none(self) -> str:
        """Returns what to say when the inputs are at their end and held no image."""
        others = self.search.passed_over
        seen = f", but {others:,} other file{'s' * (others != 1)}" if others else ""
        return f"no image found{seen}; see --help for the suffixes and filters that apply"

    def _all(self) -> Iterator[Found]:
        config = self.search.config
        for name in config.inputs:
            yield from self._lister(name).list(name, listed=False)
        if config.files_from is not None:
            lines = names_in(config.files_from, null=config.null)
            for name in lines:
                if is_remote(name):
                    yield from LooksAhead(chain([name], lines), self._of_line, is_remote)
                else:
                    yield from self._of_line(name)
        if outputs := self.search.outputs:
            these, more = min(outputs), f" and {len(outputs) - 1:,} more" if len(outputs) > 1 else ""
            self.search.notice(f"{these}{more}: made by earlier runs, not searched (use --include-outputs)")

    def _of_line(self, name: str) -> Iterator[Found]:
        return self._lister(name).list(name, listed=True)

    def _lister(self, name: str) -> Lister:
        scheme = scheme_of(name)
        if scheme not in self._listers:
            self._listers[scheme] = source_of(name).lister(self.search)
        return self._listers[scheme]


def discover(
    config: SourceConfig, *, skip: Path | None = None, notice: Notice = lambda message: None
) -> Iterator[ImageRef | ImageFailure]:
    """Yields every image of the inputs once, by the names that an empty output folder would give them.

    Raises:
        UsageError: As `Discovery` does.
    """
    found = Discovery(config, skip=skip, notice=notice)
    names = Names()
    names.start(found.bases(names))
    return identify(found, names)


def identify(
    found: Iterable[Found], names: Names, takes: Callable[[str], bool] = lambda path: True
) -> Iterator[ImageRef | ImageFailure]:
    """Yields what was found by its name, after a look at the file where its listing did not tell its version.

    Args:
        found: Files and folders.
        names: Gives the names; a root is added to it where it has none for a file.
        takes: Tells by its name whether it is wanted; no file is looked at that is not.
    """
    for file in found:
        if not names.covers(file.folder):
            # a pattern may lead through a link out of the folder that it is about
            names.add(file.base if lies_in(file.folder, file.base.path) else root_at(file.folder))
        path = names.of(file.folder, file.name) if file.name else names.of_folder(file.folder)
        if takes(path):
            yield _identified(file, path)


def _identified(file: Found, path: str) -> ImageRef | ImageFailure:
    source = file.source
    if file.error is not None:
        stage = "read" if file.name else "discover"
        return ImageFailure(ImageRef(path, source, file.version), stage, file.error.kind, str(file.error))
    try:
        version = file.version or source_of(source).version(source, walked=file.walked)
    except ImageError as error:
        return ImageFailure(ImageRef(path, source), "read", error.kind, str(error))
    return ImageRef(path, source, version, file.hint)


def _distinct(found: Iterable[Found]) -> Iterator[Found]:
    """Drops what was found before."""
    seen: set[bytes] = set()
    for file in found:
        digest = hashlib.blake2b(os.fsencode(file.source), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield file
