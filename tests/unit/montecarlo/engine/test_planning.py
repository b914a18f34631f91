"""Plans: all is run once, sizes advance together, batches take about a second, and the time left is honest."""

from __future__ import annotations

import heapq
from collections import Counter

import pytest

from moestat.errors import InputError
from moestat.montecarlo.engine import Plan, Shard
from moestat.montecarlo.engine.planning import LARGEST_SHARE
from tests.unit.montecarlo.engine.works import CELLS, wanted

#: Seconds of one replication: its fits, and what a batch needs beside them.
COST = {100: 0.002, 1000: 0.02, 10_000: 0.2}


def seconds(batch):
    return COST[batch.n] * len(batch.replications) * len(batch.cells) / len(CELLS)


def run(plan, workers, watch=lambda now, batch: None):
    """Let workers of exactly known speed run a plan, and give the time that they need."""
    now, busy, number = 0.0, [], 0
    while True:
        while len(busy) < workers and (batch := plan.next(workers)) is not None:
            watch(now, batch)
            number += 1
            heapq.heappush(busy, (now + seconds(batch), number, batch))
        if not busy:
            return now
        now, _, batch = heapq.heappop(busy)
        plan.finished(batch, seconds(batch))


def three_sizes(replications=400):
    return wanted(tuple(COST), replications)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_every_row_is_run_once(workers):
    counts, what = Counter(), three_sizes()
    run(
        plan := Plan(what),
        workers,
        lambda now, batch: counts.update((batch.n, r, cell) for r in batch.replications for cell in batch.cells),
    )
    assert counts == {(n, r, cell): 1 for n, each in what.items() for r, cells in each.items() for cell in cells}
    assert plan.rows_done == plan.rows == len(counts)
    assert plan.begun


def test_shards_are_parts_of_the_plan():
    parts = [set() for _ in range(3)]
    for i, part in enumerate(parts):
        plan = Plan(three_sizes(20), shard=Shard(i + 1, 3))
        run(plan, 1, lambda now, batch, part=part: part.update((batch.n, r) for r in batch.replications))
    assert sum(map(len, parts)) == len(set.union(*parts)) == 60


def test_batches_are_single_until_their_cost_is_known_and_take_about_a_second_then():
    plan, took = Plan(wanted((100, 1000), 20_000)), []
    first = [plan.next(2) for _ in range(4)]
    assert [len(batch.replications) for batch in first] == [1] * 4
    for batch in first:
        plan.finished(batch, seconds(batch))
    run(plan, 2, lambda now, batch: took.append(seconds(batch)))
    assert max(took) <= 2.0
    assert sorted(took)[len(took) // 2] == pytest.approx(1.0, rel=0.1)


def test_no_batch_is_a_large_share_of_its_size():
    largest = Counter()
    run(Plan(three_sizes()), 1, lambda now, batch: largest.update({(batch.n, len(batch.replications)): 1}))
    assert max(count for _, count in largest) <= LARGEST_SHARE * 400


def test_sizes_advance_at_equal_fractions():
    begun, spread = Counter(), []

    def watch(now, batch):
        begun[batch.n] += len(batch.replications)
        spread.append(max(begun[n] for n in COST) - min(begun[n] for n in COST))

    run(Plan({n: {r: CELLS for r in range(400)} for n in COST}), 2, watch)
    assert max(spread) <= LARGEST_SHARE * 400


@pytest.mark.parametrize("workers", [2, 16])
def test_all_workers_are_busy_to_the_end(workers):
    ideal = sum(COST.values()) * 400 / workers
    assert run(Plan(three_sizes()), workers) <= 1.02 * ideal + max(COST.values())


def test_the_time_left_is_that_of_the_sizes_that_are_left():
    plan, told = Plan(three_sizes()), []
    assert plan.seconds_left(2) is None
    total = run(plan, 2, lambda now, batch: told.append((now, plan.seconds_left(2))))
    known = [(now, left) for now, left in told if left is not None and now > 0.05 * total]
    assert len(known) > 20
    assert [(now, left) for now, left in known if abs(now + left - total) > 0.05 * total] == []


def test_costs_forget_the_first_batches():
    """The first one may take a minute, as kernels are compiled."""
    plan = Plan({100: {r: CELLS for r in range(50_000)}})
    plan.finished(plan.next(1), 60.0)
    for _ in range(60):
        batch = plan.next(1)
        plan.finished(batch, seconds(batch))
    assert seconds(plan.next(1)) == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("what", [{}, {100: {}}, {100: {0: ()}}])
def test_nothing_is_nothing(what):
    plan = Plan(what)
    assert (plan.rows, plan.next(2), plan.begun) == (0, None, True)


def test_no_time_for_a_batch_is_refused():
    with pytest.raises(InputError, match="seconds must be positive"):
        Plan({}, seconds=0.0)
