"""A store of a million rows of 30 numbers: seconds, memory and size, held to bounds of several times what was measured.

    python -m pytest tests/benchmarks/test_store.py -s -m ""

The store is filled by batches of 20 rows, as a run would, and then read in a process of its own for every question.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from moestat.montecarlo.rows import Cell, Finished, Row
from moestat.montecarlo.store import Store

ROWS, COLUMNS, CELLS, BATCH = 1_000_000, 30, 40, 20

#: What is asked of the store, and the most seconds and megabytes that it may take.
QUESTIONS = {
    "pass": (10, 600),  # opening, and all imports
    "store.counts()": (12, 600),
    "store.missing(store.cells(), range(30_000))": (20, 800),
    "sum(rows.numbers.size for rows in store.each())": (90, 900),
    "store.results_digest()": (90, 900),
    "store.export(path.with_suffix('.parquet'))": (180, 1500),
    "read_export(path.with_suffix('.parquet'))": (180, 4000),
    "verify(path)": (240, 2000),
}

ASK = """
import pathlib, resource, sys, time
from moestat.montecarlo.store import Store, read_export, verify
path = pathlib.Path({path!r})
with Store.open(path, read_only=True) as store:
    start = time.perf_counter()
    {question}
    took = time.perf_counter() - start
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def cells():
    names = tuple(f"column {i}" for i in range(COLUMNS))
    return [Cell(100 * 2**i, f"K{k}", "mle", json.dumps([i, k]), names) for i in range(10) for k in range(4)]


def fill(path):
    """Batches of five replications of the four cells of one sample size; returns the seconds of each append."""
    seconds, random, known = [], np.random.default_rng(0), cells()
    with Store.create(path, "study", known) as store:
        for start in range(0, ROWS // CELLS, BATCH // 4):
            for i in range(0, CELLS, 4):
                numbers = random.standard_normal((BATCH, COLUMNS))
                keys = [(cell, start + r) for cell in known[i : i + 4] for r in range(BATCH // 4)]
                rows = [Row(c.digest, r, "ok", "strict", x, "") for (c, r), x in zip(keys, numbers, strict=True)]
                finished = Finished(tuple(rows), np.ones(BATCH), "host", "versions")
                began = time.perf_counter()
                store.append(finished)
                seconds.append(time.perf_counter() - began)
    return np.array(seconds)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "million.sqlite"
    seconds = fill(path)
    parts = np.array_split(seconds * 1e3, 5)
    print(f"\nappend of {BATCH} rows: median {np.median(seconds) * 1e3:.2f} ms, mean {seconds.mean() * 1e3:.2f} ms")
    print("medians of fifths, ms:", *(f"{np.median(part):.2f}" for part in parts))
    print(f"size: {path.stat().st_size / 1e6:.0f} MB; the numbers alone are {ROWS * COLUMNS * 8 / 1e6:.0f} MB")
    yield path
    path.unlink()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_million_rows(path, question):
    program = ASK.format(path=str(path), question=question)
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, answer.stdout.split())
    print(f"{question}: {seconds:.2f} s, {megabytes:.0f} MB")
    most = QUESTIONS[question]
    assert seconds < most[0]
    assert megabytes < most[1]
