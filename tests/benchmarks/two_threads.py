"""What a second thread gains, as a measurement of the table."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.measure import Found, NotMeasured
from tests.benchmarks.test_threads import CASES, FREE, N, Record, measured


def gained(quick: bool) -> Iterator[Found]:
    """Passes and a fit of a million rows, where two processors were free while they ran."""
    cases = CASES[:1] if quick else CASES
    records = list(measured(cases, rounds=3 if quick else 7))
    free = [record for record in records if record.capacity >= FREE]
    yield from map(_found, free)
    if len(free) < len(records):
        busy = ", ".join(f"{_case(r)}: {r.ratio:.2f} of {r.capacity:.2f}" for r in records if r.capacity < FREE)
        raise NotMeasured(f"two processors were not free ({busy}; {FREE} wanted of arithmetic alone)")


def _case(record: Record) -> str:
    return f"{record.what}, d={record.d}, K={record.K}, n={N:,}"


def _found(record: Record) -> Found:
    times = f"{1e3 * record.one:.0f} ms with one thread, {1e3 * record.two:.0f} ms with two"
    return Found(_case(record), record.ratio, f"{times}; arithmetic alone {record.capacity:.2f} times")
