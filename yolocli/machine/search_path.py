"""`python -m yolocli` has Python look for modules in the current folder first, where the photographs may be others'."""

# Nothing is imported here that Python does not load before it looks there.
import os
import sys

PACKAGE = __name__.partition(".")[0]


def leave_current_folder() -> None:
    """Takes the current folder out again, if `-m yolocli` put it there; a checkout, which this is in itself, may stay.

    Called before anything else is imported. What Python loads before, from `runpy.py` on, is out of reach: that takes
    `yolocli`, or `python -P -m yolocli` (3.11).
    """
    if sys.argv[:1] != ["-m"]:  # only while the module is looked for
        return
    module = sys.orig_argv[-len(sys.argv)].removeprefix("-m")
    if module.partition(".")[0] != PACKAGE or sys.flags.isolated or getattr(sys.flags, "safe_path", False):
        return
    if sys.path[0] != os.path.dirname(os.path.dirname(os.path.dirname(__file__))):
        del sys.path[0]


leave_current_folder()
