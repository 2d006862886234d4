"""Who owns the detector: one row a mode. A new mode is one module and one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from yolocli.config import Cluster, RunConfig
from yolocli.errors import UsageError, install_hint
from yolocli.parsing import check_name

if TYPE_CHECKING:
    from yolocli.executors.base import Executor, ExecutorFactory, WorkerSpec

EXECUTORS: Mapping[str, str] = MappingProxyType(
    {
        "thread": "yolocli.executors.thread:ThreadExecutor",
        "locked": "yolocli.executors.locked:LockedExecutor",
        "process": "yolocli.executors.process:ProcessExecutor",
        "ray": "yolocli.executors.ray:RayExecutor",
    }
)


def find_executor(mode: str) -> ExecutorFactory:
    """Returns what makes the executor of a mode.

    Raises:
        UsageError: If there is no such mode.
    """
    module, _, name = EXECUTORS[check_name("--mode", mode, list(EXECUTORS))].partition(":")
    return cast("ExecutorFactory", getattr(import_module(module), name))


def make_executor(mode: str, spec: WorkerSpec) -> Executor:
    """Returns the executor of a mode, for workers made from a specification."""
    return find_executor(mode)(spec)


def check_mode(config: RunConfig) -> None:
    """Makes sure that a mode can do what was asked for.

    Raises:
        UsageError: If there is no such mode, or it cannot.
    """
    factory = find_executor(config.mode)
    if factory.package is not None and find_spec(factory.package) is None:
        raise UsageError(f"--mode {config.mode} needs a package: {install_hint(factory.package)}")
    if factory.shares and len(config.devices) > 1:
        others = _that(lambda other: not other.shares)
        raise UsageError(f"--mode {config.mode} has one model, on one --device; use {others} for several")
    if config.cluster != Cluster() and not factory.elsewhere:
        wide = _that(lambda other: other.elsewhere)
        raise UsageError(f"--workers MIN..MAX, --ray-address and --ray-resources need --mode {wide}")
    if config.limits.timeout is not None and not factory.ends_images:
        able = _that(lambda other: other.ends_images)
        raise UsageError(f"--timeout needs --mode {able}: a thread of --mode {config.mode} that hangs cannot be killed")


def _that(can: Callable[[ExecutorFactory], bool]) -> str:
    """Returns the modes that can do something."""
    *others, last = (name for name in EXECUTORS if can(find_executor(name)))
    return f"{', '.join(others)} or {last}" if others else last
