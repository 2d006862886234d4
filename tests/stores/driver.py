"""A run with faked detectors whose results go to a store, in a process that a test can stop, kill, or start again.

`python -m tests.stores.driver INPUT OUTPUT [SECONDS AN IMAGE]`; publishes and beats quickly.
"""

from __future__ import annotations

import sys

from tests import fakes
from tests.support import run_config
from yolocli.errors import YolocliError
from yolocli.output import mirror, store_lock
from yolocli.pipeline import Run


def hasten() -> None:
    mirror.PUBLISH_SECONDS, store_lock.BEAT_SECONDS = 0.2, 0.2
    store_lock.DEAD_SECONDS, store_lock.LOOK_SECONDS = 1.5, 0.2


def main() -> int:
    hasten()
    source, output, *delay = sys.argv[1:]
    try:
        config = run_config(source, **mirror.settings_for(output), formats=("csv",), workers=1, batch=1)
        with mirror.published(config, lambda message: print(message, file=sys.stderr)) as stops:
            run = Run(config, loader=fakes.FakeLoader(delay=float(delay[0]) if delay else 0.0))
            stops(run.stop)
            for outcome in run:
                print(outcome.path, flush=True)
        print(f"skipped {run.summary.skipped}")
    except YolocliError as error:
        print(f"refused: {error}", file=sys.stderr)
        return error.exit_code
    return run.summary.exit_code


if __name__ == "__main__":
    sys.exit(main())
