"""Failures of the run itself, one class per exit code; a failure of one image, which becomes its record, is another."""

from __future__ import annotations

import enum
from typing import ClassVar


class ExitCode(enum.IntEnum):
    """What the process tells its caller."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    NO_IMAGES = 3
    RUN_FAILED = 4
    INTERRUPTED = 130
    TERMINATED = 143


class YolocliError(Exception):
    """A failure a person can act on: one line that says what, where and what to do next."""

    exit_code: ClassVar[ExitCode] = ExitCode.RUN_FAILED


class UsageError(YolocliError):
    """Options or settings that cannot be used as given."""

    exit_code = ExitCode.USAGE


class MissingExtraError(UsageError):
    """What was asked for needs a package that is not installed."""


class NoImagesError(YolocliError):
    """The inputs held no image at all."""

    exit_code = ExitCode.NO_IMAGES


class ModelError(YolocliError):
    """The model cannot be found, loaded, trusted or used for detection."""


class OutputError(YolocliError):
    """The output folder cannot be written: full, read-only or gone; or its journal is damaged."""


class WorkerError(YolocliError):
    """Workers cannot be started or kept alive."""


class ImageError(Exception):
    """An image that cannot be used; its `kind` is the record's error class."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def install_hint(extra: str) -> str:
    """Returns the command that adds an extra to this checkout; yolocli is on no package index."""
    return f"pip install '.[{extra}]'"


def printable(text: str) -> str:
    """Returns text that cannot move a terminal's cursor: control characters and undecodable bytes are escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in text)


def one_line(error: BaseException) -> str:
    """Returns what went wrong, in a line: what an error says, or else what it is called."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
