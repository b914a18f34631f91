"""Certified fits per second: many small data sets at once, and one after the other by the prepared model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from time import process_time

import numpy as np

import moestat as ms
from moestat.starts import NearTruth
from simulations.solver.cases import benchmark_rows
from tests.benchmarks.measure import Found

#: Noise of the starts, in the user's units at n = 1.
NEAR = NearTruth(sd={"gate": 0.005, "expert": 0.05})

#: Rows of all data sets of a case together.
ROWS = 1_000_000

Study = tuple[ms.Prepared, np.ndarray, np.ndarray, np.ndarray]


def study(K: int, n: int, count: int) -> Study:
    """A prepared model of K experts, data sets of the benchmark X and y (count, n), and a start for each."""
    rng, true = np.random.default_rng([K, n]), ms.MixtureOfExperts(n_experts=2)
    truth = true.params(
        gate={"slopes": [[25.0], [0.0]], "intercepts": [-8.0, 0.0]},
        expert={"slopes": [[-20.0], [20.0]], "intercepts": [15.0, -5.0], "variances": [0.09, 0.16]},
    )
    rows = [benchmark_rows(seed, n) for seed in range(count)]
    X, y = np.array([x for x, _ in rows]), np.array([y for _, y in rows])
    model = ms.MixtureOfExperts(n_experts=K)
    prepared = ms.prepare(model, X[0], y[0])
    layout = model.layout(prepared.schema)
    starts = np.array([[layout.pack(NEAR.draw(model, truth, n, rng))] for _ in range(count)])
    return prepared, X, y, starts


def per_second(K: int, sizes: Sequence[int], quick: bool) -> Iterator[Found]:
    """Fits from one start each, on one core, from the raw arrays to the verdict; only trusted maxima count."""
    for n in sizes[:2] if quick else sizes:
        count = max(6, min(1000, ROWS // n // 5))
        prepared, X, y, starts = study(K, n, count)
        with ms.threads.limit(1):
            ends, best = prepared.fit_many(X, y, start=starts), np.inf
            for _ in range(3):
                began = process_time()
                prepared.fit_many(X, y, start=starts)
                best = min(best, process_time() - began)
        kinds = Counter(status.name.lower() for status in ends.status.ravel())
        certified = sum(status.trusted for status in ends.status.ravel())
        shares = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in kinds.most_common())
        yield Found(f"K={K}, n={n:,}", certified / best, f"{count} data sets, one start: {shares}")


def one_by_one(quick: bool) -> Iterator[Found]:
    """Calls of `Prepared.fit` with parameters as the start."""
    prepared, X, y, starts = study(2, 100, 200)
    start = prepared.model.layout(prepared.schema).unpack(starts[0, 0])
    prepared.fit(X[0], y[0], start=start)
    best = np.inf
    for _ in range(3):
        began = process_time()
        for x, response in zip(X, y, strict=True):
            prepared.fit(x, response, start=start)
        best = min(best, process_time() - began)
    yield Found("K=2, n=100", len(X) / best, f"{len(X)} data sets, one start")
