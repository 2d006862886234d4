"""Images that lie themselves in a sub-folder of a tree, where links to others would lie.

Where somebody's own pictures are, as in a data set for training, files about them are named by where they lie there.
No link is put among them: whoever reads the data set would take it for one of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from yolocli.config import SourceConfig
from yolocli.errors import UsageError
from yolocli.output.folder import OutputFolder
from yolocli.output.sink import Sink, Tree
from yolocli.output.tree_list import Listed, lists_of
from yolocli.results import ImageRef, Item
from yolocli.sources import is_remote
from yolocli.sources.names import lies_in
from yolocli.sources.paths import real
from yolocli.sources.patterns import fixed_part


class Beside:
    """The sub-folder of a tree that images may lie in themselves; see `Tree.beside`."""

    def __init__(self, sink: Sink, tree: Tree, listed: Listed | None = None) -> None:
        """Looks for a picture of somebody else in it.

        Args:
            sink: Where the tree is.
            tree: The tree.
            listed: Its list; None if there is none.
        """
        self._trees = sink.trees
        self._folder = tree.beside
        found = sink.trees.strange_pictures(tree.beside) if tree.beside else ()
        self._stranger = next((name for name in found if listed is None or not listed.about(name)), "")

    def place(self, image: ImageRef) -> str:
        """Returns where an image lies itself among pictures of somebody else; empty if there are none.

        Raises:
            UsageError: If there are some, and it does not lie among them.
        """
        if not self._stranger:
            return ""
        if place := self._trees.place_in(self._folder, image.source):
            return place
        if self._trees.is_at(f"{self._folder}/{image.path}", image.source):  # behind a link to a folder
            return image.path
        raise self._mixed(image.source)

    def check(self, item: Item) -> None:
        """Makes sure that no link to what was found will lie among pictures of somebody else; see `place`."""
        if isinstance(item, ImageRef):
            self.place(item)

    def check_inputs(self, root: str, source: SourceConfig) -> None:
        """Makes sure that no input lies elsewhere, as far as that can be told before it is searched.

        Args:
            root: The place for results.
            source: What will be searched.

        Raises:
            UsageError: If there are pictures of somebody else, and an input lies elsewhere.
        """
        if self._stranger:
            folder = os.path.realpath(os.path.join(root, self._folder))
            for name in source.inputs:
                place = name if is_remote(name) else _place_of(name)
                if not (lies_in(place, folder) or lies_in(folder, place)):
                    raise self._mixed(name)

    def _mixed(self, other: str) -> UsageError:
        return UsageError(
            f"{self._folder}/ holds pictures that yolocli did not put there, such as {self._stranger}, and links to "
            f"others, from {other}, would lie among them; move them away, or use another --output"
        )


def besides(folder: OutputFolder, trees: Iterable[Tree]) -> list[Beside]:
    """Returns what trees have of such sub-folders."""
    return list(_besides(folder, [tree for tree in trees if tree.beside]))


def _besides(folder: OutputFolder, trees: Iterable[Tree]) -> Iterator[Beside]:
    for tree in trees:
        yield Beside(folder, tree, next(lists_of(folder, [tree]), None))


def _place_of(name: str) -> str:
    """Returns where an input lies: absolute, and without links but for the file itself."""
    if os.path.isdir(name):
        return os.path.realpath(name)
    return os.path.join(*real(name)) if os.path.lexists(name) else os.path.realpath(fixed_part(name))
