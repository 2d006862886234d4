"""Image paths go in, one Outcome per image comes out: the whole run, from settings to summary."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace

from yolocli.config import RunConfig
from yolocli.detector import Loader, YoloLoader
from yolocli.errors import ExitCode, NoImagesError
from yolocli.executors import make_executor
from yolocli.executors.base import Loaded
from yolocli.executors.chunk import chunk_size
from yolocli.executors.crew import Crew
from yolocli.executors.feed import Feed
from yolocli.executors.settle import settle, worker_spec
from yolocli.machine.cache import why_unused
from yolocli.machine.memory import peak_memory
from yolocli.machine.threads import start_thread
from yolocli.models import BUILTIN
from yolocli.observer import Observer
from yolocli.output.formats import find_formats
from yolocli.output.run_file import has_run
from yolocli.output.run_folder import RunFolder
from yolocli.results import Item, Outcome
from yolocli.runtimes.base import BATCH_OF_MANY_THREADS
from yolocli.sources.base import Found
from yolocli.sources.discover import Discovery, identify
from yolocli.sources.names import Names
from yolocli.sources.shard import ShardFilter
from yolocli.summary import RunSummary, Tally

DEFAULT_LOADER: Loader = YoloLoader()
BATCH_WITH_PICTURES = 8


class Run:
    """One run; iterate over it once. What it found out is in `summary` afterwards.

    Making one settles what its configuration leaves open, and raises what `settle` and `Discovery` raise.

    Attributes:
        summary: The figures; complete when the iteration has ended.
    """

    def __init__(self, config: RunConfig, observers: Sequence[Observer] = (), loader: Loader | None = None) -> None:
        """Makes a run.

        Args:
            config: As it was asked for.
            observers: Told of all that goes on.
            loader: Builds detectors; `YoloLoader` when not given.
        """
        self._began = time.perf_counter()
        self._discovery = Discovery(config.source, skip=config.place, notice=self._notice)
        self._observers = observers
        self._config = config
        self._loader = loader or DEFAULT_LOADER
        find_formats(config.written)  # or an unknown one would be said when the model has been loaded
        if (unused := why_unused()) is not None:
            self._notice(unused)
        self._settled = settle(config, self._loader, self._notice)
        self._tally = Tally()
        self._first = True
        self._iterated = False
        self._skipped = 0
        self._shard = ShardFilter(config.source.shard)
        self._found = (0, False)
        self._crew: Crew | None = None
        self._ready: Loaded | None = None
        self._feed: Feed[Found] | None = None
        self._stopped: ExitCode | None = None
        self.summary = RunSummary(
            config.mode,
            self._settled.workers,
            self._settled.detector.threads,
            self._settled.batch,
            "not loaded",
            BUILTIN if config.detector.model == BUILTIN else str(self._settled.detector.model),
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
            several = self._settled.workers * self._least_chunk  # enough to see how many workers have something to do
            # or a model that cannot be used would cost the old results, or leave a folder without any
            load_first = config.output is not None and (config.overwrite or not has_run(config.output))
            feed = self._begin_to_read(stack, several)
            feed.wait(several if load_first else 1)
            if not feed.seen and self._stopped is None:
                raise NoImagesError(self._discovery.why_none())
            crew = None
            if load_first and self._stopped is None:
                crew = self._open_crew(stack, feed)
            folder = self._open_folder(stack)
            names = folder.names if folder else Names()
            (folder or names).start(self._discovery.bases(names))
            feed.turn(lambda found: self._items(found, names, folder))
            feed.wait(several)
            if feed.seen and self._stopped is None:
                crew = crew or self._open_crew(stack, feed)
            if folder is not None and self._ready is not None:  # a shard may have no image, and has columns still
                folder.knows_model(self._ready)
            if crew is not None and feed.seen and self._stopped is None:
                yield from self._detect(crew, feed, folder)
            self._conclude(crew, folder)

    def stop(self, code: ExitCode) -> None:
        """Takes no more images; those in flight are finished. Safe to call from a signal handler or another thread.

        Args:
            code: What the run ends with, unless images failed and it is OK.
        """
        self._stopped = self._stopped or code
        if self._crew is not None:
            self._crew.stop()
        if self._feed is not None:
            self._feed.stop()

    def _open_folder(self, stack: ExitStack) -> RunFolder | None:
        if self._config.output is None:
            return None
        return stack.enter_context(RunFolder(self._config, self._settled, self._notice))

    def _items(self, found: Iterable[Found], names: Names, folder: RunFolder | None) -> Iterator[Item]:
        """Returns what is to be done of what was found."""
        items = identify(found, names, self._shard.takes)
        return folder.pending(items) if folder else items

    def _begin_to_read(self, stack: ExitStack, most: int) -> Feed[Found]:
        self._feed = feed = Feed(self._discovery, most)
        stack.callback(feed.close)
        if self._stopped is not None:
            feed.stop()
        return feed

    def _open_crew(self, stack: ExitStack, feed: Feed[Found]) -> Crew:
        started = time.perf_counter()
        self._mark("first image found")
        needed = -(-feed.seen // self._least_chunk)
        wanted = min(self._settled.workers, needed) if feed.whole else self._settled.workers
        spec = worker_spec(self._config, self._loader, self._settled, self._notice, lambda: self._stopped is not None)
        self._crew = crew = stack.enter_context(Crew(make_executor(self._config.mode, spec), wanted, self._notice))
        wanted = crew.most
        if self._stopped is not None:
            crew.stop()
        ready = crew.load(needed)
        if ready is not None:
            self._ready = ready
            self._mark("models loaded")
            self._tell_of_fewer(wanted, crew.most, feed.seen)
            self.summary = replace(
                self.summary,
                workers=crew.workers,
                runtime=ready.description,
                batch=self._settled.batch or self._best_batch(ready),
                load_seconds=time.perf_counter() - started,
            )
        return crew

    def _tell_of_fewer(self, wanted: int, most: int, images: int) -> None:
        """Says why there will not be as many workers as were asked for, or as there are cores for."""
        workers = self._settled.workers
        if most < wanted:
            self._notice(f"{workers:,} workers wanted, memory for {most:,}: no more than {most:,} at work")
        elif most < workers and self._config.workers:
            self._notice(
                f"{workers:,} workers wanted, {images:,} image{'s' * (images > 1)}: no more than {most:,} at work"
            )

    @property
    def _least_chunk(self) -> int:
        """Images that a worker is handed at once at least; the batch may not be chosen yet."""
        return chunk_size(self._settled.batch or 1)

    def _best_batch(self, ready: Loaded) -> int:
        """Returns the worker's own choice; but where a batch gains little, a piped image waits for no other.

        Where pictures are made, they take longer than the network, and those of a large batch much memory.
        """
        small = ready.best_batch <= BATCH_OF_MANY_THREADS
        best = min(ready.best_batch, BATCH_WITH_PICTURES) if self._config.pictures else ready.best_batch
        return 1 if small and self._config.source.piped else best

    def _detect(self, crew: Crew, feed: Feed[Found], folder: RunFolder | None) -> Iterator[Outcome]:
        config = self._config
        loaded = time.perf_counter()
        for observer in self._observers:
            observer.started()
        # a pipe may be slow, and have no end
        count = any(observer.counts for observer in self._observers) and not config.source.piped
        feed.open(self.summary.batch, crew.most, list_ahead=count)
        for outcome in crew.run(feed, ordered=config.ordered):
            self._tell_how_many(feed)
            outcome = self._take(outcome, folder)
            if self._first:
                self._mark("first result")
                self._first = False
                self.summary = replace(self.summary, first_seconds=time.perf_counter() - loaded)
            yield outcome
        self.summary = replace(self.summary, wall_seconds=time.perf_counter() - loaded)

    def _take(self, outcome: Outcome, folder: RunFolder | None) -> Outcome:
        """Writes an outcome down and tells of it; returns it as it was written down."""
        started = time.perf_counter()
        if folder is not None:
            outcome = folder.add(outcome)
            if folder.skipped != self._skipped:
                self._skipped = folder.skipped
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
        return outcome

    def _tell_how_many(self, feed: Feed[Found]) -> None:
        listed = feed.listed
        found = (feed.found - self._shard.others - listed + self._shard.share_of(listed), feed.whole)
        if found != self._found:
            self._found = found
            for observer in self._observers:
                observer.total(*found)

    def _stop_in_time(self, stack: ExitStack) -> None:
        limits = self._config.limits
        if limits.max_runtime is None:
            return
        code = ExitCode.SOME_FAILED if limits.fail_incomplete else ExitCode.OK
        ended = threading.Event()
        stack.callback(ended.set)

        def stop() -> None:
            if not ended.wait(limits.max_runtime):
                self.stop(code)

        start_thread(stop, "yolocli-max-runtime")

    def _conclude(self, crew: Crew | None, folder: RunFolder | None) -> None:
        stopped = self._stopped  # what comes after the last image stops nothing
        complete = stopped is None
        search = self._discovery.search
        summary = replace(self._tally.fill(self.summary), complete=complete, other_files=search.passed_over)
        summary = replace(summary, other_shards=self._shard.others)
        if folder is not None:
            if complete:  # or the rest of the walk might have met them
                folder.settle_gone(search.walked)
            folder.finish(lambda: self._stopped is not None)
            if folder.made.unfinished:
                stopped = self._stopped
            summary = replace(
                summary,
                skipped=folder.skipped,
                skipped_failures=folder.skipped_failures,
                vanished=folder.vanished,
                pruned=folder.pruned,
                damaged=folder.damaged,
                folder=asdict(folder.totals),
            )
        failed = summary.failures + summary.skipped_failures + (folder.made.undrawn if folder else 0)
        self.summary = replace(
            summary,
            workers=crew.workers if crew else 0,
            exit_code=stopped or (ExitCode.SOME_FAILED if failed else ExitCode.OK),
            peak_memory_bytes=peak_memory() + (crew.peak_memory if crew else 0),
        )
        if folder is not None:
            folder.conclude(self.summary)

    def _mark(self, event: str) -> None:
        """Says, with --verbose, how long the start took so far."""
        if self._config.detector.verbose:
            self._notice(f"start: {time.perf_counter() - self._began:6.2f} s  {event}")

    def _notice(self, message: str) -> None:
        for observer in self._observers:
            observer.notice(message)
