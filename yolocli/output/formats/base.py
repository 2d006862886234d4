"""The seam between a run and an output format."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from yolocli.output.sink import File, ImageFiles, Sink, Tree
from yolocli.results import Outcome
from yolocli.sources.base import Notice
from yolocli.sources.names import Root
from yolocli.tasks import DEFAULT_TASK


def _say_nothing(message: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Context:
    """What a format is told when it is opened.

    Attributes:
        sink: Where it writes.
        names: Class names by id; empty where no model was loaded and no record has one.
        task: What the model does.
        roots: What names of images are relative to, as far as it is known by now.
        settings: Of the run, as run.json has them.
        timings: Put the milliseconds of each stage into what is written.
        fingerprint: Of the run, as run.json has it: what its records depend on.
        options: The format's own; None where it has none.
        keypoints: How many each record of the model has; 0 also where that is not known.
        notice: Told, in one line when a format is closed, what it had no place for; see `LeftOut`.
    """

    sink: Sink
    names: Mapping[int, str] = field(default_factory=dict)
    task: str = DEFAULT_TASK
    roots: tuple[Root, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    timings: bool = False
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    options: Any = None
    keypoints: int = 0
    notice: Notice = _say_nothing

    @property
    def model_name(self) -> str:
        """What the model is called: the last part of its path, which is the same wherever it lies."""
        return re.split(r"[/\\]", str(self.settings.get("model", "")).rstrip("/\\"))[-1] or "yolocli"


class Writer(Protocol):
    """A format at work, opened by `Format.live` or `Format.final`."""

    def add(self, outcome: Outcome) -> None:
        """Takes one outcome.

        Raises:
            OutputError: If it cannot be written.
        """
        ...

    def close(self) -> None:
        """Publishes what has been added.

        Raises:
            OutputError: If it cannot be written.
        """
        ...


Opener: TypeAlias = Callable[[Context], Writer]


@dataclass(frozen=True, slots=True)
class Format:
    """What a row of the registry leads to. It may write files of images, files of all images, or both.

    Attributes:
        live: Opens what writes the files of images, as images end: `add` is called in any order, perhaps again for an
            image, and only where files are missing when that is known. None if there are no such files.
        final: Opens what writes the other files: `add` is called in input order, once for each image, and nothing
            but files of trees appears before `close`. None if there are none.
        images: The files of images.
        files: The others, but for those of trees.
        trees: The trees.
        needs: Package that must be installed, and the extra that brings it; None where yolocli's own do.
        options: Its options at their defaults: a frozen dataclass of plain values, which `find_format` makes anew from
            what was asked for; None if there are none.
    """

    live: Opener | None = None
    final: Opener | None = None
    images: tuple[ImageFiles, ...] = ()
    files: tuple[File, ...] = ()
    trees: tuple[Tree, ...] = ()
    needs: tuple[str, str] | None = None
    options: Any = None
