"""What a run is to work with, found out once, before anything is started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from yolocli.config import RunConfig
from yolocli.detector import Loader
from yolocli.executors import check_mode, find_executor
from yolocli.executors.base import WorkerSpec
from yolocli.executors.pictures import Pictures
from yolocli.machine.cpus import share_cpus, usable_cpus
from yolocli.runtimes import find_engine
from yolocli.runtimes.plan import Prepared

MOST_ELSEWHERE = 1024
"""Workers on a cluster if nobody asks for more; it has room for fewer, mostly, which is seen when it is there."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What was found where a configuration left the choice.

    Attributes:
        detector: Model, runtime, precision and threads, ready on this machine.
        workers: Workers that are wanted, at most.
        batch: Images that go through the network together; 0 leaves it to the runtime.
    """

    detector: Prepared
    workers: int
    batch: int


def settle(config: RunConfig, loader: Loader, notice: Callable[[str], None]) -> Settled:
    """Finds out what a run is to work with.

    Args:
        config: As it was asked for.
        loader: Knows the model.
        notice: Told before something that takes long.

    Raises:
        ModelError: If the model is missing and cannot be downloaded, or cannot be converted for the runtime asked for.
        UsageError: If mode, runtime, precision, device and model do not go together.
    """
    check_mode(config)
    prepared = loader.prepare(config.detector, config.devices, notice)
    factory = find_executor(config.mode)
    if factory.elsewhere:
        workers, threads = config.workers or MOST_ELSEWHERE, prepared.threads or 1
    else:
        gpus = find_engine(prepared.plan.runtime).gpus(config.devices)
        workers, threads = share_cpus(factory.shares, config.workers, prepared.threads, usable_cpus(), gpus)
    # a limit of time is an image's own, so images that have one go one by one; and maps are large, so that few may wait
    batch = 1 if config.limits.timeout is not None or config.detector.save_maps else config.batch
    return Settled(replace(prepared, threads=threads), workers, batch)


def worker_spec(
    config: RunConfig,
    loader: Loader,
    settled: Settled,
    notice: Callable[[str], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> WorkerSpec:
    """Returns what the workers of a run are made from."""
    pictures = Pictures(config.save_images, config.save_crops)
    return WorkerSpec(
        loader,
        settled.detector,
        config.devices,
        config.limits.timeout,
        pictures,
        config.workers,
        config.cluster,
        notice,
        stopped,
    )
