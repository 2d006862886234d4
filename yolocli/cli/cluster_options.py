"""The options of workers, and of the cluster that they are on; see `options`."""

from __future__ import annotations

from typing import Annotated, Optional

from yolocli.cli.declare import option
from yolocli.cli.options import RUN
from yolocli.parsing import parse_resources, parse_workers

Workers = Annotated[
    Optional[str],
    option(
        "--workers -j N",
        RUN,
        "Workers; 0 chooses; ray: MIN..MAX.",
        parse_workers,
        default="0",
    ),
]
RayAddress = Annotated[
    Optional[str],
    option(
        "--ray-address ADDRESS",
        RUN,
        "Of a cluster: HOST:PORT.",
        default="RAY_ADDRESS",
    ),
]
RayResources = Annotated[
    Optional[str],
    option(
        "--ray-resources NAME=X,...",
        RUN,
        "Of an actor: cpu=2,gpu=0.5.",
        parse_resources,
        default="threads",
    ),
]
