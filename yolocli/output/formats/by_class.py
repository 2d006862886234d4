"""by-class: each picture below a folder for each class that was found in it, or below nothing-found."""

from __future__ import annotations

import re
from dataclasses import dataclass

from yolocli.errors import UsageError
from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.left_out import FAILURES, LeftOut
from yolocli.output.places import NOTHING_FOUND, ClassFolders
from yolocli.output.sink import File, Original, Tree
from yolocli.output.stems import guarded, plainer, unusual, usual_suffix
from yolocli.output.tree_list import LIST_START
from yolocli.output.trees import TreeFile, TreeWriter
from yolocli.results import ImageResult, Outcome
from yolocli.tasks import find_task

FOLDER = "by-class"
TREE = Tree((FOLDER,), File("by-class.jsonl", start=LIST_START))
_IMPOSSIBLE = re.compile("\0|^~")
"""What no file can have, and what begins as `plainer` names do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What can be asked for.

    Attributes:
        how: `link` or `copy`.
    """

    how: str = Original.link.value

    def __post_init__(self) -> None:
        if self.how not in set(Original):
            raise UsageError(f"--format {FOLDER}: how must be {' or '.join(Original)}")


class ByClass:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._tree = TreeWriter(context.sink, TREE)
        self._task = find_task(context.task, "the output folder")
        self._folders = ClassFolders(context.names)
        self._how = Original(context.options.how)
        self._left_out = LeftOut(context, f"{FOLDER}/")

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        if not isinstance(outcome, ImageResult):
            self._left_out.add(FAILURES)
            return
        path = outcome.path
        found = {self._folders.name(one.class_id, one.name): None for one in self._task.judged(outcome.detections)}
        folders = list(found) or [NOTHING_FOUND]
        plain = plainer(path) + usual_suffix(path)
        *parents, last = path.split("/")
        usual = "/".join([*map(guarded, parents), last])
        names = [plain] if unusual(path, _IMPOSSIBLE) else [usual, plain]
        choices = [[TreeFile(f"{FOLDER}/{folder}/{name}", self._how) for folder in folders] for name in names]
        if missing := self._tree.put(outcome.ref, choices):
            self._left_out.add(missing)

    def close(self) -> None:
        """See `Writer.close`."""
        self._tree.close()
        self._left_out.tell()


FORMAT = Format(final=ByClass, trees=(TREE,), options=Options())
