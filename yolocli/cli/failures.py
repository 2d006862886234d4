"""`yolocli failures`: what failed in a run, for other programs."""

from __future__ import annotations

import os
import sys

from yolocli.cli import options
from yolocli.cli.terminal import write


def failures(folder: options.RunFolder, null: options.NullAfter = False) -> None:
    """Print the path of each image that failed, and of each folder that could not be read; nothing where none did."""
    from yolocli.output.at_hand import to_read
    from yolocli.output.failed import failed

    end = b"\0" if null else b"\n"
    with to_read(folder) as root:
        for source in failed(root):
            write(sys.stdout.buffer, os.fsencode(source) + end)
