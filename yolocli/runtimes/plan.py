"""What a detector is asked to be, settled once for a whole run; and what a machine needs to build it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolocli.config import DetectorConfig, Precision


@dataclass(frozen=True, slots=True)
class Plan:
    """What the driver of a run settles. Nothing in it is about one machine, so that another could prepare its own.

    Attributes:
        asked: What was asked for.
        sha256: Hex digest of the model that was meant.
        runtime: Row of `RUNTIMES`.
        precision: What the network computes in; None for a converted model that does not say it.
        why: Why the runtime was taken; empty when it was asked for.
    """

    asked: DetectorConfig
    sha256: str
    runtime: str
    precision: Precision | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan made ready on one machine: all that a worker there must be told.

    Attributes:
        plan: What was settled.
        model: The file or folder of the model, as it was given.
        converted: Folder of the model in the runtime's own form; None where it runs as it is.
        device: `cpu`, `mps` or `cuda:N`; None lets the runtime choose.
        threads: Intra-op threads of one detector; 0 leaves the library's own number.
    """

    plan: Plan
    model: Path
    converted: Path | None = None
    device: str | None = None
    threads: int = 0

    @property
    def asked(self) -> DetectorConfig:
        """What was asked for."""
        return self.plan.asked

    @property
    def path(self) -> Path:
        """What the runtime opens."""
        return self.converted or self.model
