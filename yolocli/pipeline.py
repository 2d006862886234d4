"""Image paths go in, one Outcome per image comes out: the whole run, from settings to summary."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import chain, islice

from yolocli.backends import make_backend
from yolocli.backends.base import STUCK_SECONDS, Crew, Feed, Loaded
from yolocli.config import RunConfig, fingerprint
from yolocli.cpus import share_cpus, usable_cpus
from yolocli.errors import ExitCode, NoImagesError, UsageError
from yolocli.exporters import exporter_factory
from yolocli.memory import peak_memory
from yolocli.models import resolve_model, sha256
from yolocli.progress import Observer
from yolocli.results import Outcome
from yolocli.runtimes.base import BATCH_OF_MANY_THREADS
from yolocli.runtimes.choose import choose_runtime
from yolocli.sources import check_inputs, count, discover
from yolocli.store import Store
from yolocli.summary import RunSummary, Tally
from yolocli.worker import Item


class Run:
    """One run; iterate over it once. What it found out is in `summary` afterwards.

    Making one settles its configuration, and raises what `settle` and `check_inputs` raise.

    Attributes:
        summary: The figures; complete when the iteration has ended.
    """

    def __init__(self, config: RunConfig, observers: Sequence[Observer] = ()) -> None:
        self._began = time.perf_counter()
        check_inputs(config.source, config.output)
        self._model = config.detector.model
        self._observers = observers
        self._config = settle(config, self._notice)
        self._tally = Tally()
        self._first = True
        self._iterated = False
        self._skipped = 0
        self._feed: Feed | None = None
        self._stopped: ExitCode | None = None
        self.summary = RunSummary(
            self._config.mode.value,
            self._config.workers,
            self._config.detector.threads,
            self._config.batch,
            "not loaded",
            self._model,
        )

    def __iter__(self) -> Iterator[Outcome]:
        """Yields an Outcome per image, each written down before it is given out.

        Raises:
            YolocliError: For a failure that is not an image's.
            RuntimeError: The second time, which would count the images again.
        """
        if self._iterated:
            raise RuntimeError("a Run runs once; make another Run of its configuration to run it again")
        self._iterated = True
        config = self._config
        with ExitStack() as stack:
            for observer in self._observers:
                stack.callback(observer.finished)
            self._stop_in_time(stack)
            seen, items = self._peek(discover(config.source, skip=config.output, notice=self._notice))
            if not seen and self._stopped is None:
                raise NoImagesError("no image found; see --help for the suffixes and filters that apply")
            crew = None
            if config.overwrite and self._stopped is None:  # or a model that cannot be used would cost the old results
                crew = self._open_crew(stack)
            store = self._open_store(stack)
            pending, items = self._peek(store.pending(items) if store else items)
            if pending and self._stopped is None:
                crew = crew or self._open_crew(stack)
                yield from self._detect(crew, items, store)
            self._conclude(crew, store)

    def stop(self, code: ExitCode) -> None:
        """Takes no more images; those in flight are finished. Safe to call from a signal handler or another thread.

        Args:
            code: What the run ends with, unless images failed and it is OK.
        """
        self._stopped = self._stopped or code
        if self._feed is not None:
            self._feed.stop()

    def _open_store(self, stack: ExitStack) -> Store | None:
        if self._config.output is None:
            return None
        mark = fingerprint(self._config.detector, sha256(resolve_model(self._config.detector.model)))
        return stack.enter_context(Store(self._config, mark, self._notice))

    def _peek(self, items: Iterable[Item]) -> tuple[bool, Iterator[Item]]:
        """Tells whether there is a first item, and gives all of them back.

        It looks in a thread of its own, as the first name may be long in coming from a pipe, and a stop must not wait.
        """
        iterator = iter(items)
        answer: queue.SimpleQueue[list[Item] | BaseException] = queue.SimpleQueue()

        def look() -> None:
            try:
                answer.put(list(islice(iterator, 1)))
            except BaseException as error:
                answer.put(error)

        threading.Thread(target=look, name="yolocli-first", daemon=True).start()
        while True:
            try:
                first = answer.get(timeout=STUCK_SECONDS)
                break
            except queue.Empty:
                if self._stopped is not None:
                    return False, iter(())
        if isinstance(first, BaseException):
            raise first
        return bool(first), chain(first, iterator)

    def _open_crew(self, stack: ExitStack) -> Crew:
        started = time.perf_counter()
        self._mark("first image found")
        crew = stack.enter_context(Crew(make_backend(self._config), self._config.workers))
        ready = crew.load()
        self._mark("models loaded")
        self.summary = replace(
            self.summary,
            runtime=ready.description,
            batch=self._batch(ready),
            load_seconds=time.perf_counter() - started,
        )
        return crew

    def _batch(self, ready: Loaded) -> int:
        """Returns what was asked for, or the worker's own choice.

        But images with a limit of time go one by one, as it is each one's; and where a batch gains little, a piped
        image waits for no other.
        """
        small = ready.best_batch <= BATCH_OF_MANY_THREADS
        if self._config.limits.timeout is not None or (small and self._config.source.piped and not self._config.batch):
            return 1
        return self._config.batch or ready.best_batch

    def _detect(self, crew: Crew, items: Iterable[Item], store: Store | None) -> Iterator[Outcome]:
        config = self._config
        loaded = time.perf_counter()
        for observer in self._observers:
            observer.started()
        self._count()
        self._feed = Feed(items, self.summary.batch, config.workers)
        if self._stopped is not None:  # while the models were loading
            self._feed.stop()
        for outcome in crew.run(self._feed, ordered=config.ordered):
            self._take(outcome, store)
            if self._first:
                self._mark("first result")
                self._first = False
                self.summary = replace(self.summary, first_seconds=time.perf_counter() - loaded)
            yield outcome
        self.summary = replace(self.summary, wall_seconds=time.perf_counter() - loaded)

    def _take(self, outcome: Outcome, store: Store | None) -> None:
        started = time.perf_counter()
        if store is not None:
            store.add(outcome)
            if store.skipped != self._skipped:
                self._skipped = store.skipped
                for observer in self._observers:
                    observer.skipped(self._skipped)
        for observer in self._observers:
            observer.outcome(outcome)
        self._tally.add(outcome)
        self._tally.spent("write", time.perf_counter() - started)
        failures = self._tally.failures
        if self._stopped is None and self._config.limits.too_many(failures, self._tally.images + failures):
            most = self._config.limits.max_failures
            why = f"{failures:,} failures are more than --max-failures allows" if most != 0 else "an image failed"
            self._notice(f"stopped: {why}")
            self.stop(ExitCode.SOME_FAILED)

    def _stop_in_time(self, stack: ExitStack) -> None:
        limits = self._config.limits
        if limits.max_runtime is None:
            return
        code = ExitCode.SOME_FAILED if limits.fail_incomplete else ExitCode.OK
        timer = threading.Timer(limits.max_runtime, self.stop, (code,))
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)

    def _conclude(self, crew: Crew | None, store: Store | None) -> None:
        complete = self._stopped is None
        summary = replace(self._tally.fill(self.summary), complete=complete)
        if store is not None:
            summary = replace(
                summary,
                skipped=store.skipped,
                skipped_failures=store.skipped_failures,
                vanished=store.vanished if complete else 0,  # the rest of the walk might have met them
            )
            store.finish()
        failed = summary.failures + summary.skipped_failures
        self.summary = replace(
            summary,
            exit_code=self._stopped or (ExitCode.SOME_FAILED if failed else ExitCode.OK),
            peak_memory_bytes=peak_memory() + (crew.peak_memory if crew else 0),
        )
        if store is not None:
            store.conclude(self.summary)

    def _mark(self, event: str) -> None:
        """Says, with --verbose, how long the start took so far."""
        if self._config.detector.verbose:
            self._notice(f"start: {time.perf_counter() - self._began:6.2f} s  {event}")

    def _notice(self, message: str) -> None:
        for observer in self._observers:
            observer.notice(message)

    def _count(self) -> None:
        """Counts the inputs beside the run, so that people see how long it will take; a pipe can be read but once."""
        source = self._config.source
        if not self._observers or source.piped:
            return

        def tell() -> None:
            with suppress(UsageError):  # gone since the start
                images = count(source, skip=self._config.output)
                for observer in self._observers:
                    observer.total(images)

        threading.Thread(target=tell, name="yolocli-count", daemon=True).start()


def settle(config: RunConfig, notice: Callable[[str], None]) -> RunConfig:
    """Returns the configuration with nothing left to choose: the model's path, runtime, precision, workers, threads.

    Args:
        config: As it was asked for.
        notice: Told before something that takes long.

    Raises:
        ModelError: If the model is missing and cannot be downloaded, or cannot be converted for the runtime asked for.
        UsageError: If runtime, precision, device and model do not go together, or there is no such format.
    """
    for name in config.formats:
        exporter_factory(name)
    workers, threads = share_cpus(config.mode, config.workers, config.detector.threads, usable_cpus())
    model = resolve_model(config.detector.model, verbose=config.detector.verbose)
    detector = replace(config.detector, model=str(model), threads=threads)
    return replace(config, workers=workers, detector=choose_runtime(detector, config.devices, notice))
