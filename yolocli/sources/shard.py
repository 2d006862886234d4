"""A stable part of the inputs, so that many machines can share them without a word between them.

Which shard an image is in depends on its name in the records alone: new files move no other. Of a few hundred thousand
images, sixteen shards differ by a percent or two in size.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from yolocli.config import Shard
from yolocli.errors import UsageError

Environment: TypeAlias = Mapping[str, str]

AUTO = "auto"


class ShardFilter:
    """Tells by its name whether an image is in a shard.

    Attributes:
        shard: The shard; None for all that there is.
        others: Images that were asked for and are in other shards.
    """

    def __init__(self, shard: Shard | None) -> None:
        self.shard = shard
        self.others = 0

    def takes(self, path: str) -> bool:
        """Tells whether an image is in the shard, and counts it if not.

        Args:
            path: Its name in the records.
        """
        if self.shard is None or shard_number(path, self.shard.count) == self.shard.number:
            return True
        self.others += 1
        return False

    def share_of(self, images: int) -> int:
        """Returns about how many of images that were not asked for yet will be in the shard."""
        return images if self.shard is None else -(-images // self.shard.count)


def shard_number(path: str, count: int) -> int:
    """Returns the shard that an image is in, from 1 to `count`.

    It is the first 8 bytes of BLAKE2b of the name, as a number, modulo the count: the same on every machine and in
    every version.

    Args:
        path: Name in the records.
        count: Shards.
    """
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count + 1


def parse_shard(text: str, option: str = "--shard", environment: Environment = os.environ) -> Shard:
    """Returns the shard of `3/16`; of `auto`, that of the array job that this process is a task of.

    Args:
        text: `NUMBER/COUNT`, `auto`, or `auto/COUNT` where the array job does not tell its tasks how many they are.
        option: Named in errors.
        environment: Variables of the process.

    Raises:
        UsageError: If it is none of these, or there is no array job.
    """
    match = re.fullmatch(r"(\d+|auto)(?:/(\d+))?", text.strip())
    if not match or (match[1] != AUTO and match[2] is None):
        raise UsageError(f"{option} {text}: give a shard and how many there are, such as 3/16, or auto")
    count = int(match[2]) if match[2] else None
    if match[1] != AUTO:
        assert count is not None
        return Shard(int(match[1]), count)
    for name, read in ARRAY_JOBS.items():
        if name in environment:
            try:
                number, told = read(environment)
            except (KeyError, ValueError) as error:
                raise UsageError(f"{option} {text}: what {name} and its like say cannot be used ({error})") from error
            if told is not None and count not in (None, told):
                raise UsageError(f"{option} {text}: the array job has {told} tasks; give --shard {number}/{count}")
            if (count := told or count) is None:
                raise UsageError(f"{option} auto: {name} does not tell how many there are; give auto/COUNT")
            return Shard(number, count)
    raise UsageError(
        f"{option} {text}: this is no task of an array job (none of {', '.join(ARRAY_JOBS)} is set); "
        "give a shard, such as 3/16"
    )


def _of_slurm(variables: Environment) -> tuple[int, int | None]:
    """Returns number and count of a task; Slurm's ids may begin anywhere and have a step.

    https://slurm.schedmd.com/job_array.html#env_vars
    """
    names = ("TASK_ID", "TASK_MIN", "TASK_MAX", "TASK_COUNT")
    task, first, last, count = (int(variables[f"SLURM_ARRAY_{name}"]) for name in names)
    step = int(variables.get("SLURM_ARRAY_TASK_STEP") or 1)
    # one that was submitted again alone must not take all images for its own
    if count == 1 or first not in (0, 1) or first + step * (count - 1) != last or (task - first) % step:
        raise ValueError("only some tasks of an array were submitted; say which shard this is, such as 3/16")
    return (task - first) // step + 1, count


def _of_kubernetes(variables: Environment) -> tuple[int, int | None]:
    """Returns the number of a pod of an Indexed Job; how many there are it is not told.

    https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
    """
    return int(variables["JOB_COMPLETION_INDEX"]) + 1, None


def _of_aws_batch(variables: Environment) -> tuple[int, int | None]:
    """Returns number and count of a child job.

    https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html
    """
    size = variables.get("AWS_BATCH_JOB_ARRAY_SIZE")
    return int(variables["AWS_BATCH_JOB_ARRAY_INDEX"]) + 1, int(size) if size else None


ARRAY_JOBS: Mapping[str, Callable[[Environment], tuple[int, int | None]]] = MappingProxyType(
    {
        "SLURM_ARRAY_TASK_ID": _of_slurm,
        "JOB_COMPLETION_INDEX": _of_kubernetes,
        "AWS_BATCH_JOB_ARRAY_INDEX": _of_aws_batch,
    }
)
"""Variables that tell a task of an array job its place in it, and what reads that."""
