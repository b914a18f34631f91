"""Side-by-side timings: the two programs take turns, and the median of the paired ratios is what counts."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter


def ratio(
    slow: Callable[[], object], fast: Callable[[], object], rounds: int = 7, clock: Callable[[], float] = perf_counter
) -> tuple[float, float, float]:
    """Median of time(slow) / time(fast) over paired rounds, and the median seconds of each.

    Programs of one thread may be timed by ``process_time``, which does not count what others do to the machine.
    """
    slow()
    fast()
    pairs = [(_seconds(slow, clock), _seconds(fast, clock)) for _ in range(rounds)]
    return median(a / b for a, b in pairs), median(a for a, _ in pairs), median(b for _, b in pairs)


def fastest(slow: Callable[[], object], fast: Callable[[], object], rounds: int = 25) -> tuple[float, float, float]:
    """Ratio of the shortest times, and these: on a shared machine, what disturbs short calls only ever adds."""
    slow()
    fast()
    pairs = [(_seconds(slow, perf_counter), _seconds(fast, perf_counter)) for _ in range(rounds)]
    a, b = min(a for a, _ in pairs), min(b for _, b in pairs)
    return a / b, a, b


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start
