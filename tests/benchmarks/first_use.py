"""What a user waits for at first: the import, the first fit of a process, the first fit of an installation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.measure import Found

ROOT = Path(__file__).parents[2]

#: Python starts before the clock does; NumPy is counted, as a part of the fit.
IMPORT = "from time import perf_counter as now; t = now(); import moestat; print(now() - t)"
FIT = """
from time import perf_counter as now
t = now()
import moestat as ms
import numpy as np
rng = np.random.default_rng(0)
x = rng.normal(size=300)
y = np.where(rng.random(300) < 0.5, 1.0 + x, -1.0 - x) + 0.3 * rng.normal(size=300)
results = ms.fit(ms.MixtureOfExperts(n_experts=2), x, y)
assert results.certificate.trusted
print(now() - t)
"""


def seconds(code: str, folder: str | None = None) -> float:
    """What a fresh interpreter prints, with compiled code in this folder, or where it is kept for the user."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    known |= {"PYTHONPATH": str(ROOT)} | ({} if folder is None else {"NUMBA_CACHE_DIR": folder})
    run = subprocess.run([sys.executable, "-c", code], env=known, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(run.stdout)


def importing(quick: bool) -> Iterator[Found]:
    """``import moestat``, best of five."""
    yield Found("fresh process", min(seconds(IMPORT) for _ in range(5)), "best of 5")


def first_fit_ever(quick: bool) -> Iterator[Found]:
    """The import and a fit of 300 rows from 20 starts, with nothing compiled."""
    with TemporaryDirectory() as folder:
        yield Found("n=300, d=1, K=2, 20 starts", seconds(FIT, folder), "one run, compiling what the fit needs")


def first_fit(quick: bool) -> Iterator[Found]:
    """The same in a fresh process that finds its kernels compiled, best of three."""
    seconds(FIT)
    yield Found("n=300, d=1, K=2, 20 starts", min(seconds(FIT) for _ in range(3)), "best of 3")
