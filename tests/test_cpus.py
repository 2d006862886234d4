from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests import fakes
from tests.support import run, run_config
from yolocli.executors import EXECUTORS
from yolocli.machine.cpus import _cgroup_quota, share_cpus, usable_cpus


def quota(root: Path) -> int | None:
    """What the limits below a root allow a process whose own group is listed in a file there."""
    return _cgroup_quota(root, root / "own")


def _v2(root: Path, content: str) -> None:
    (root / "cpu.max").write_text(content)


def _v1(root: Path, limit: str, period: str) -> None:
    (root / "cpu").mkdir()
    (root / "cpu/cpu.cfs_quota_us").write_text(limit)
    (root / "cpu/cpu.cfs_period_us").write_text(period)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000\n", None),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("50000 100000\n", 1),
        ("1000 100000\n", 1),
        ("800000 50000\n", 16),
    ],
)
def test_cgroup_v2(tmp_path: Path, content: str, expected: int | None) -> None:
    _v2(tmp_path, content)
    assert quota(tmp_path) == expected


@pytest.mark.parametrize(
    ("limit", "period", "expected"),
    [("-1\n", "100000\n", None), ("400000\n", "100000\n", 4), ("1000\n", "100000\n", 1)],
)
def test_cgroup_v1(tmp_path: Path, limit: str, period: str, expected: int | None) -> None:
    _v1(tmp_path, limit, period)
    assert quota(tmp_path) == expected


def test_v2_stands_before_v1(tmp_path: Path) -> None:
    _v1(tmp_path, "400000", "100000")
    _v2(tmp_path, "200000 100000")
    assert quota(tmp_path) == 2


@pytest.mark.parametrize("content", ["", "nonsense", "1 2 3", "many 100000", "100000 0"])
def test_what_cannot_be_understood_is_no_limit(tmp_path: Path, content: str) -> None:
    _v2(tmp_path, content)
    assert quota(tmp_path) is None
    _v1(tmp_path, content, content)
    assert quota(tmp_path) is None


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_limit_of_a_group_and_those_above(tmp_path: Path, version: int) -> None:
    hierarchy = tmp_path / "cpu" if version == 1 else tmp_path
    limits = {"": -1, "slice": 300_000, "slice/unit": 500_000, "slice/other": 100_000}
    for group, limit in limits.items():
        (hierarchy / group).mkdir(parents=True, exist_ok=True)
        if version == 1:
            (hierarchy / group / "cpu.cfs_quota_us").write_text(f"{limit}\n")
            (hierarchy / group / "cpu.cfs_period_us").write_text("100000\n")
        else:
            (hierarchy / group / "cpu.max").write_text(f"{limit if limit > 0 else 'max'} 100000\n")
    (tmp_path / "own").write_text(
        "4:memory:/slice/other\n3:cpuacct,cpu:/slice/unit\n" if version == 1 else "0::/slice/unit\n"
    )
    assert quota(tmp_path) == 3


def test_no_cgroup_is_no_limit(tmp_path: Path) -> None:
    assert quota(tmp_path) is None


@pytest.mark.parametrize(("limit", "expected"), [(None, 8), (3, 3), (64, 8)])
def test_the_lesser_of_affinity_and_quota(monkeypatch: pytest.MonkeyPatch, limit: int | None, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr("yolocli.machine.cpus._cgroup_quota", lambda: limit)
    assert usable_cpus() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity on this system")
def test_affinity_is_looked_at_for_real() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


@given(shared=st.booleans(), cpus=st.integers(1, 512), workers=st.integers(0, 64), threads=st.integers(0, 64))
def test_no_more_threads_than_cpus_unless_told_to(shared: bool, cpus: int, workers: int, threads: int) -> None:
    chosen_workers, chosen_threads = share_cpus(shared, workers, threads, cpus)
    assert chosen_workers >= 1
    assert chosen_threads >= 1
    assert workers in {0, chosen_workers}
    assert threads in {0, chosen_threads}
    assume((workers if not shared else 0) <= cpus and threads <= cpus)
    assume(not (workers and threads))
    networks = 1 if shared else chosen_workers
    assert networks * chosen_threads <= cpus


@given(shared=st.booleans(), cpus=st.integers(1, 512))
def test_all_cpus_are_put_to_work(shared: bool, cpus: int) -> None:
    workers, threads = share_cpus(shared, 0, 0, cpus)
    assert (1 if shared else workers) * threads == cpus


@pytest.mark.parametrize("mode", list(EXECUTORS))
@pytest.mark.parametrize("threads", [1, 2])
def test_the_network_has_the_threads_it_was_given(mode: str, threads: int, weights: Path, photos: list[Path]) -> None:
    """As torch counts them where the network runs, after Ultralytics has set its own number."""
    outcomes, _ = run(
        *photos[:3], model=str(weights), mode=mode, workers=2, threads=threads, loader=fakes.CountingLoader()
    )
    counted = {box.name for outcome in outcomes for box in outcome.detections}  # type: ignore[union-attr]
    assert counted == {f"{threads} threads"}


def test_a_run_settles_workers_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from yolocli.pipeline import Run

    monkeypatch.setattr("yolocli.executors.settle.usable_cpus", lambda: 6)
    fakes.install(monkeypatch)
    for mode, expected in (("thread", (6, 1)), ("locked", (7, 6)), ("process", (6, 1))):
        summary = Run(run_config(tmp_path, mode=mode)).summary
        assert (summary.workers, summary.threads_per_worker) == expected
    assert Run(run_config(tmp_path, workers=2)).summary.threads_per_worker == 3
    assert Run(run_config(tmp_path, threads=4)).summary.workers == 1
