"""Shards: stable, whole, and told by whatever runs array jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import write_image
from yolocli.config import Shard, SourceConfig
from yolocli.errors import UsageError
from yolocli.sources.discover import discover
from yolocli.sources.shard import ShardFilter, parse_shard, shard_number

NAMES = [f"{folder}/{number}.jpg" for folder in ("a", "é", "\udcff") for number in range(2000)]


def test_every_name_is_in_one_shard_and_none_is_much_larger() -> None:
    sizes = [sum(ShardFilter(Shard(number, 16)).takes(name) for name in NAMES) for number in range(1, 17)]
    assert sum(sizes) == len(NAMES)
    assert max(sizes) < 1.25 * min(sizes)


def test_the_shard_of_a_name_is_the_same_in_every_version() -> None:
    numbers = [shard_number(name, 16) for name in ("a/1.jpg", "b.png", "\udcff.jpg", "\U0001f600.webp")]
    assert numbers == [4, 2, 7, 4]


def test_new_files_move_no_other(tmp_path: Path) -> None:
    def of(number: int) -> set[str]:
        shard = ShardFilter(Shard(number, 3))
        return {item.path for item in discover(SourceConfig((str(tmp_path),))) if shard.takes(item.path)}

    for number in range(9):
        write_image(tmp_path / f"{number}.png")
    before = [of(number) for number in (1, 2, 3)]
    for number in range(9, 20):
        write_image(tmp_path / f"{number}.png")
    after = [of(number) for number in (1, 2, 3)]
    assert all(old <= new for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("text", "environment", "shard"),
    [
        ("3/16", {}, Shard(3, 16)),
        (" 1/1 ", {}, Shard(1, 1)),
        (
            "auto",
            {
                "SLURM_ARRAY_TASK_ID": "5",
                "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_ARRAY_TASK_MAX": "15",
                "SLURM_ARRAY_TASK_COUNT": "16",
            },
            Shard(6, 16),
        ),
        (
            "auto",
            {
                "SLURM_ARRAY_TASK_ID": "5",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_MAX": "7",
                "SLURM_ARRAY_TASK_COUNT": "4",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            Shard(3, 4),
        ),
        ("auto/16", {"JOB_COMPLETION_INDEX": "0"}, Shard(1, 16)),
        ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "15", "AWS_BATCH_JOB_ARRAY_SIZE": "16"}, Shard(16, 16)),
        ("auto/16", {"AWS_BATCH_JOB_ARRAY_INDEX": "15", "AWS_BATCH_JOB_ARRAY_SIZE": "16"}, Shard(16, 16)),
        ("auto/16", {"AWS_BATCH_JOB_ARRAY_INDEX": "15"}, Shard(16, 16)),
    ],
)
def test_a_shard_is_read(text: str, environment: dict[str, str], shard: Shard) -> None:
    assert parse_shard(text, environment=environment) == shard


SLURM = {"SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "15", "SLURM_ARRAY_TASK_COUNT": "16"}


@pytest.mark.parametrize(
    ("text", "environment", "words"),
    [
        ("3", {}, "such as 3/16"),
        ("3/", {}, "such as 3/16"),
        ("x/3", {}, "such as 3/16"),
        ("0/16", {}, "must be 1 to the second"),
        ("17/16", {}, "must be 1 to the second"),
        ("1/0", {}, "must be 1 to the second"),
        ("auto", {}, "no task of an array job"),
        ("auto", {"JOB_COMPLETION_INDEX": "0"}, "give auto/COUNT"),
        ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "0"}, "give auto/COUNT"),
        ("auto/4", {"JOB_COMPLETION_INDEX": "4"}, "must be 1 to the second"),
        ("auto/4", {"JOB_COMPLETION_INDEX": "x"}, "cannot be used"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "0"}, "cannot be used"),
        ("auto/15", {**SLURM, "SLURM_ARRAY_TASK_ID": "3"}, "has 16 tasks; give --shard 4/15"),
        # one task of an array that was submitted again alone must not take all for its own
        (
            "auto",
            {
                "SLURM_ARRAY_TASK_ID": "3",
                "SLURM_ARRAY_TASK_MIN": "3",
                "SLURM_ARRAY_TASK_MAX": "3",
                "SLURM_ARRAY_TASK_COUNT": "1",
            },
            "say which shard",
        ),
        (
            "auto",
            {
                "SLURM_ARRAY_TASK_ID": "1",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_MAX": "1",
                "SLURM_ARRAY_TASK_COUNT": "1",
            },
            "say which shard",
        ),
        (
            "auto",
            {
                "SLURM_ARRAY_TASK_ID": "1",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_MAX": "7",
                "SLURM_ARRAY_TASK_COUNT": "3",
            },
            "say which shard",
        ),
    ],
)
def test_what_is_no_shard_is_said(text: str, environment: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_shard(text, environment=environment)
