"""What happens when the scene generator's optional libraries are not installed."""

# ruff: noqa: T201 (a command prints)

import sys
from collections.abc import Callable
from importlib.util import find_spec

from yolocli.errors import install_hint

NEEDS = ("cv2", "segno", "barcode", "zint")
"""Modules the generator imports; all of them come with the extra ``builtin``."""


def missing() -> tuple[str, ...]:
    """Name the generator's modules that cannot be imported here."""
    return tuple(name for name in NEEDS if find_spec(name) is None)


def main(run: Callable[[], int]) -> None:
    """Run a command of this package, or say in one line which extra it lacks.

    Args:
        run: The command; imports the generator inside, returns an exit code.
    """
    lacking = missing()
    if lacking:
        names = ", ".join(lacking)
        print(f"cannot import {names}: {install_hint('builtin')}", file=sys.stderr)
        raise SystemExit(2)
    raise SystemExit(run())
