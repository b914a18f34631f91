"""How near the passes come to what the machine can do: exponentials, multiply-adds and bytes, counted and timed.

For softmax gates and linear Gaussian experts the operations that a pass cannot do without are counted from d and K.
Their rates on one core are measured in the same run: `vexp` in cache, tiles of multiply-adds in registers, and a sum
over an array that no cache holds. Then

    least time = max(exponentials / rate + multiply-adds / rate, bytes / bandwidth),

a logarithm counting as an exponential. ``share`` is this least time over the time that a pass takes. A second share
counts all other arithmetic as well, maxima, differences, sums and products, each in the place of a multiply-add, and
divisions at their own rate. What is left are loads and stores between cache and registers, calls, and loops that begin
and end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import process_time
from typing import NamedTuple

import numpy as np

import moestat as ms
from moestat.kernels import jit, vexp
from moestat.kernels.linear import _tile
from moestat.solvers import Problem

DIMENSIONS = (1, 5, 20, 100)
EXPERTS = (2, 4, 8, 32)
PASSES = ("loglik", "score", "em", "hessian")

#: Parameters up to which a Hessian is tried: its sums take the square of it in memory.
MOST_PARAMETERS = 1_000

#: Multiply-adds that a pass may take; rows are chosen for it, a block of them at least.
WORK = 5e7

#: Numbers of the arrays in the level-1 cache, and in memory.
SHORT, LONG = 512, 2**24

#: How often a rate goes through the short array.
TIMES = 200

#: Seconds after which a pass is not measured again.
LONGEST = 0.5


class Rates(NamedTuple):
    """Seconds of one exponential, one multiply-add, one division and one byte from memory, on one core."""

    exponential: float
    madd: float
    division: float
    byte: float


class Count(NamedTuple):
    """What a pass does per row: operations, and bytes that it reads from memory."""

    exponentials: float
    madds: float
    others: float
    bytes: float

    def least(self, rates: Rates, everything: bool = False) -> float:
        """Seconds per row."""
        busy = self.exponentials * rates.exponential + self.madds * rates.madd
        if everything:
            busy += self.others * rates.madd + rates.division
        return max(busy, self.bytes * rates.byte)


class Row(NamedTuple):
    """One pass: nanoseconds per row and expert, and which shares of it the operations explain."""

    name: str
    d: int
    K: int
    nanoseconds: float
    share: float
    share_of_all: float

    def __str__(self) -> str:
        return (
            f"{self.name:8s} d={self.d:3d} K={self.K:2d}: {self.nanoseconds:8.2f} ns per row and expert, "
            f"{self.share:4.0%} of the roofline, {self.share_of_all:4.0%} with all operations"
        )


def count(name: str, d: int, K: int) -> Count:
    """Operations per row of a pass by softmax gates and linear Gaussian experts.

    n = p (p + 1) / 2 products of p = d + 1 features come with K + K (K - 1) / 2 weights in EM. In the Hessian they come
    with one for each pair of the 2 K predictors, logits and means; variances have no features.
    """
    p = d + 1
    n = p * (p + 1) // 2
    madds = {
        "loglik": 2 * K * p,
        "score": 4 * K * p,
        "em": 4 * K * p + (K + K * (K - 1) // 2) * n,
        "hessian": 4 * K * p + K * (2 * K + 1) * n + 2 * K * K * p + K * (K + 1) // 2,
    }
    # per expert: two maxima, residual and square, logits less maxima, densities added, sums, shares, weights
    e_step = 14 * K + 6
    others = {
        "loglik": e_step,
        "score": e_step + 6 * K,
        "em": e_step + 4 * K + K * (K - 1) + n,
        "hessian": e_step + 10 * K + 3 * K * (3 * K + 1) + n,
    }
    return Count(2 * K + 1, madds[name], others[name], 8 * (p + 1))


# ------------------------------------------------------------------------------------------ the machine
@jit
def _exponentials(x, out, times):
    for _ in range(times):
        for j in range(x.size):
            out[j] = vexp(x[j])


@jit
def _madds(A, out, times):
    """Sixteen sums in registers, from eight rows in the level-1 cache: more than the latency needs."""
    for _ in range(times):
        _tile(A, 0, 0, A, 4, 0, A.shape[1], out, 0, 0)


@jit
def _divisions(x, out, times):
    for _ in range(times):
        for j in range(x.size):
            out[j] = 1.0 / x[j]


@jit
def _sum(x):
    total = 0.0
    for j in range(x.size):
        total += x[j]
    return total


class Machine:
    """Measures the rates of one core."""

    def __init__(self) -> None:
        self._short = np.linspace(0.5, 0.9, SHORT)
        self._out = np.empty(SHORT)
        self._rows, self._sums = np.random.default_rng(0).random((8, SHORT)), np.zeros((4, 4))
        long = np.zeros(LONG)
        self._byte = min(_seconds(lambda: _sum(long)) for _ in range(5)) / (8 * LONG)
        self.rates()  # compiled now

    def rates(self) -> Rates:
        """Rates of this moment; that of memory is measured once."""
        x, out = self._short, self._out
        exponential = _seconds(lambda: _exponentials(x, out, TIMES)) / (TIMES * SHORT)
        madd = _seconds(lambda: _madds(self._rows, self._sums, TIMES)) / (TIMES * SHORT * 16)
        division = _seconds(lambda: _divisions(x, out, TIMES)) / (TIMES * SHORT)
        return Rates(exponential, madd, division, self._byte)


def _seconds(call: Callable[[], object]) -> float:
    start = process_time()  # of one thread; what others do to the machine does not count
    call()
    return process_time() - start


# ------------------------------------------------------------------------------------------- the passes
def problem(d: int, K: int, n: int) -> tuple[Problem, np.ndarray]:
    """A model with n rows of noise, and parameters."""
    rng = np.random.default_rng([d, K])
    model = ms.MixtureOfExperts(n_experts=K)
    made = Problem.of(model, model.data(rng.normal(size=(n, d)), rng.normal(size=n)))
    return made, rng.normal(size=made.passes.terms.size) / np.sqrt(d + 1)


def measure(
    dimensions: tuple[int, ...] = DIMENSIONS,
    experts: tuple[int, ...] = EXPERTS,
    passes: tuple[str, ...] = PASSES,
    rounds: int = 9,
) -> list[Row]:
    """Every pass with every number of covariates and experts, the machine's rates measured in between."""
    machine, found = Machine(), []
    for d in dimensions:
        for K in experts:
            for name in passes:
                if name == "hessian" and K * (2 * d + 3) > MOST_PARAMETERS:
                    continue
                work = count(name, d, K)
                n = int(np.clip(WORK / (work.madds + 50 * work.exponentials), 4_096, 65_536))
                made, theta = problem(d, K, n)
                seconds, shares = _side_by_side(machine, partial(getattr(made.passes, name), theta), work, n, rounds)
                found.append(Row(name, d, K, 1e9 * seconds / n / K, *shares))
    return found


def _side_by_side(
    machine: Machine, call: Callable[[], object], work: Count, n: int, rounds: int
) -> tuple[float, tuple[float, float]]:
    """Shortest seconds, and shares by the shortest times of the rates: what disturbs a measurement only ever adds."""
    call()
    times, rates = [], []
    for _ in range(rounds):
        rates.append(machine.rates())
        times.append(_seconds(call))
        if sum(times) > LONGEST and len(times) >= 2:
            break
    best, row = Rates(*map(min, zip(*rates, strict=True))), min(times) / n
    return min(times), (work.least(best) / row, work.least(best, everything=True) / row)


def main() -> None:
    """Print the table."""
    for row in measure():
        print(row)


if __name__ == "__main__":
    main()
