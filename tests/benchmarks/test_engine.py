"""What the driver of simulation studies costs beside the work, and what a second worker gains.

``overheads`` and ``speed_ups`` are plain functions; ``python -m tests.benchmarks.test_engine`` prints their records.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from statistics import median
from time import perf_counter, process_time, sleep

import numpy as np
import pytest

from moestat.montecarlo.engine import Engine, Plan, Processes, Serial, drive
from moestat.montecarlo.rows import OK, Batch, Finished, Row

#: Seconds of a batch, and the largest share of them that the driver may cost.
SECONDS, SHARE = 0.1, 0.03

#: What two bare processes must gain for the machine to count as free, and the figure for two workers.
FREE, FIGURE = 1.85, 1.7

ENGINES = {"serial": Serial(), "one worker": Processes(1), "two workers": Processes(2)}


@dataclass(frozen=True)
class Overhead:
    """Wall time between batches as a share of theirs, and the driver's own processor time for each batch as well."""

    engine: str
    seconds: float
    wall: float
    processor: float

    def __str__(self) -> str:
        return (
            f"{self.engine:12s} batches of {1e3 * self.seconds:5.1f} ms: {100 * self.wall:6.2f} % more wall time "
            f"(at most {100 * SHARE:g} %), {1e3 * self.processor * self.seconds:6.3f} ms of the driver for each"
        )


@dataclass(frozen=True)
class SpeedUp:
    """How many times as fast two workers are as one, and two bare processes beside one in the same minutes."""

    workers: float
    bare: float

    def __str__(self) -> str:
        return f"two workers: {self.workers:.2f} times as fast as one (figure {FIGURE}), bare processes {self.bare:.2f}"


def finished(batch: Batch) -> Finished:
    """Five rows of twenty numbers for each replication, as a study may have."""
    rows = tuple(Row(cell, r, OK, "maximum", np.arange(20.0), "") for r in batch.replications for cell in batch.cells)
    return Finished(rows, np.zeros(len(rows)), "here", "{}")


@dataclass(frozen=True)
class Waits:
    """A batch that takes its time and no processor: what is measured is the driver, and not its neighbours."""

    seconds: float

    def __call__(self, batch: Batch) -> Finished:
        sleep(self.seconds)
        return finished(batch)


def busy(batch: Batch) -> Finished:
    """A batch that does arithmetic, the same for every replication."""
    x = np.full(2048, 1.0)
    for _ in range(20_000 * len(batch.replications)):
        x *= 0.999999
        x += 1e-9
    return finished(batch)


def wanted(replications: int) -> dict[int, dict[int, tuple[str, ...]]]:
    """A study of one size and five cells."""
    return {100: {r: tuple("abcde") for r in range(replications)}}


@dataclass
class Clock:
    """When batches were delivered."""

    times: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)

    def __call__(self, batch: Finished) -> None:
        self.times.append(perf_counter())
        self.used.append(process_time())


def driven(engine: Engine, work, replications: int, seconds: float = 1e-3) -> Clock:
    """A study of single replications: no batch may be longer."""
    clock, plan = Clock(), Plan(wanted(replications), seconds=seconds)
    drive(plan, work, engine, clock, crashed=lambda batch, reason: finished(batch))
    return clock


def overheads(seconds: float = SECONDS, batches: int = 40, rounds: int = 3) -> Iterator[Overhead]:
    """The driver beside a loop that calls the work, which takes the same naps."""
    for name, engine in ENGINES.items():
        workers = getattr(engine, "workers", 1)
        shares, used = [], []
        for _ in range(rounds):
            bare = _bare_naps(seconds, batches)
            clock = driven(engine, Waits(seconds), batches * workers + 1)
            # From the first delivery: starting processes is no cost of a batch. Those that work at the same time
            # deliver at the same time, so the first of each worker are left out.
            times = clock.times[workers - 1 :]
            shares.append((times[-1] - times[0]) * workers / (len(times) - 1) / bare - 1.0)
            used.append((clock.used[-1] - clock.used[0]) / (len(clock.used) - 1) / seconds)
        yield Overhead(name, seconds, median(shares), median(used))


def _bare_naps(seconds: float, batches: int) -> float:
    work, batch, began = Waits(seconds), Batch(100, (0,), tuple("abcde")), perf_counter()
    for _ in range(batches):
        work(batch)
    return (perf_counter() - began) / batches


def speed_ups(batches: int = 60, rounds: int = 5) -> SpeedUp:
    """Two workers against one, in turns with two processes against one, each of which does its half by itself."""
    workers, bare = [], []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_alone, [1, 1]))
        for _ in range(rounds):
            one = max(pool.map(_alone, [batches]))
            two = max(pool.map(_alone, [batches // 2, batches // 2]))
            bare.append(one / two)
            workers.append(_busy_seconds(1, batches) / _busy_seconds(2, batches))
    return SpeedUp(median(workers), median(bare))


def _alone(batches: int) -> float:
    began = perf_counter()
    for r in range(batches):
        busy(Batch(100, (r,), tuple("abcde")))
    return perf_counter() - began


def _busy_seconds(workers: int, batches: int) -> float:
    """Between the deliveries, so that starting processes does not count: seconds of so many batches."""
    times = driven(Processes(workers), busy, batches + workers).times[workers - 1 :]
    return (times[-1] - times[0]) / (len(times) - 1) * batches


def test_overhead_of_the_driver():
    """Less than 3 % beside batches of a tenth of a second."""
    records = list(overheads())
    print("", *records, sep="\n")
    assert [record for record in records if max(record.wall, record.processor) > SHARE] == []


def test_two_workers_against_one():
    """1.7 times as fast, where two processors are free."""
    record = speed_ups()
    print("", record, sep="\n")
    if record.bare < FREE and record.workers < FIGURE:
        pytest.skip(f"two processors were not free ({record.bare:.2f}; {FREE} wanted): {record}")
    assert record.workers >= FIGURE


if __name__ == "__main__":
    for seconds in (SECONDS, 0.01, 0.001):
        for record in overheads(seconds):
            print(record, flush=True)
    print(speed_ups())
