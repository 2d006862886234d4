"""The way in: `yolocli` and `python -m yolocli`."""

from __future__ import annotations

import signal

from yolocli.cli.terminal import open_missing


def main() -> None:
    """Runs the command line; Ctrl-C while it is still being imported ends it without a traceback."""
    open_missing()  # before anything else opens a file
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # and not ignored, as under nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from yolocli.cli import app

    signal.signal(signal.SIGINT, before)
    app.main()


if __name__ == "__main__":
    main()
