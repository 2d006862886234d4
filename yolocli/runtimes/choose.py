"""From what was asked for to what runs: the runtime and the precision, settled once, then made ready on a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from yolocli.config import AUTO, DetectorConfig
from yolocli.errors import ModelError
from yolocli.models import resolve_model, sha256
from yolocli.runtimes import RUNTIMES, find_engine
from yolocli.runtimes.base import ConversionError
from yolocli.runtimes.plan import Plan, Prepared
from yolocli.runtimes.torch.download import Official


def prepare_detector(
    asked: DetectorConfig, devices: Sequence[str] = (), notice: Callable[[str], None] = lambda _: None
) -> Prepared:
    """Settles what was asked for, and makes it ready on this machine. torch is not imported for it.

    Args:
        asked: What to detect with.
        devices: Devices that workers are dealt over; empty lets the runtime choose.
        notice: Told before something that takes long.

    Raises:
        UsageError: If runtime, precision, device and model do not go together.
        ModelError: If the model or a package is missing, or the model cannot be converted.
    """
    model = resolve_model(asked.model, Official(asked.verbose))
    digest, failure = sha256(model), ""
    for runtime, why in _choices(asked, model, devices):
        precision = find_engine(runtime).precision(asked.precision, model, devices)
        try:
            return prepare(Plan(asked, digest, runtime, precision, failure or why), model, notice)
        except ConversionError as error:
            if asked.runtime != AUTO:
                raise
            failure = f"auto: {error}"
    raise ModelError(f"{model}: no runtime can run it: {failure}")


def prepare(plan: Plan, model: Path, notice: Callable[[str], None] = lambda _: None) -> Prepared:
    """Makes ready on this machine what a plan needs, such as the model in the runtime's own form.

    Args:
        plan: What was settled.
        model: The file or folder here that it is about.
        notice: Told before something that takes long.

    Raises:
        ModelError: If that cannot be done.
    """
    converted = find_engine(plan.runtime).convert(plan, model, notice)
    return Prepared(plan, model, converted, threads=plan.asked.threads)


def prepare_again(prepared: Prepared) -> Prepared:
    """Makes ready on this machine what was made ready on another.

    Args:
        prepared: As it was there; its model is meant to be at the same path here, or in the package or the cache.

    Raises:
        ModelError: If the model is not here, or is another one, or cannot be converted.
    """
    model, plan = prepared.model, prepared.plan
    if not model.exists():
        model = resolve_model(plan.asked.model, Official(plan.asked.verbose))
    if sha256(model) != plan.sha256:
        raise ModelError(
            f"{model}: is another model here than where the run was started; put the same file on all nodes"
        )
    return replace(prepare(plan, model), device=prepared.device, threads=prepared.threads)


def _choices(asked: DetectorConfig, model: Path, devices: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the runtimes to try, and why each."""
    if asked.runtime != AUTO:
        yield asked.runtime, ""
        return
    refusal = ""
    for name in RUNTIMES:
        suits, why = find_engine(name).suits(model, devices)
        if suits:
            yield name, f"auto: {why or refusal}"
        refusal = why
