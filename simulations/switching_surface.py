"""How fast the switching surface of a top-1 model is found: its error against the number of rows.

Run with ``python -m simulations.switching_surface``: it prints slopes of log error on log n and their standard errors,
and draws ``docs/images/switching_surface.png``. With one covariate the surface is a threshold, caught between two rows
that are about 2 / n apart; a smooth model's parameters have errors of the order of n^(-1/2).
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np

import moestat as ms
from moestat.errors import MoestatWarning
from moestat.plotting import style
from moestat.plotting.looks import look
from moestat.typing import FloatArray

#: The surface const + b'x = 0 in truth, by number of covariates.
TRUTH = {1: np.array([-0.2, 1.0]), 2: np.array([-0.2, 0.8, 0.6])}
SIZES = (100, 300, 1000, 3000)
SETS = 40


def error(n: int, d: int, seed: int) -> float:
    """Distance from the truth of the coefficients, b of length one, of the surface halfway between its nearest rows."""
    rng = np.random.default_rng([n, d, seed])
    X, truth = rng.uniform(-1, 1, (n, d)), TRUTH[d]
    y = np.where(truth[0] + X @ truth[1:] > 0, 2.0 + X[:, 0], -1.0 - X[:, 0]) + 0.3 * rng.standard_normal(n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MoestatWarning)
        results = ms.fit(ms.MixtureOfExperts(gate="topk(n_active=1)", n_experts=2), X, y, n_starts=2)
    row = results.switching_surfaces().iloc[0]
    found = row[["const", *(f"x{i + 1}" for i in range(d))]].to_numpy(dtype=float, copy=True)
    found[0] -= 0.5 * (row["nearest_first"] - row["nearest_second"])  # the rows know no more than this gap
    return float(np.linalg.norm(np.sign(found[1:] @ truth[1:]) * found - truth))


def slope(n: FloatArray, errors: FloatArray) -> tuple[float, float]:
    """Slope of log error on log n by least squares, and its standard error."""
    A = np.column_stack([np.ones(n.size), np.log(n)])
    found, rss, *_ = np.linalg.lstsq(A, np.log(errors), rcond=None)
    return float(found[1]), float(np.sqrt(rss[0] / (n.size - 2) * np.linalg.inv(A.T @ A)[1, 1]))


def main() -> None:
    """Fit, print and draw."""
    n = np.repeat(np.array(SIZES, dtype=float), SETS)
    with style():
        figure, ax = plt.subplots(figsize=(5, 3.6))
        for d in TRUTH:
            errors = np.array([error(size, d, seed) for size in SIZES for seed in range(SETS)])
            found, spread = slope(n, errors)
            print(f"d = {d}: slope {found:.2f}, standard error {spread:.2f}")
            ax.loglog(SIZES, np.median(errors.reshape(len(SIZES), SETS), axis=1), label=f"d = {d}", **look(d - 1))
        ax.loglog(SIZES, 0.1 * (np.array(SIZES) / SIZES[0]) ** -0.5, color="0.5", lw=1, label="$n^{-1/2}$")
        ax.set_xlabel("rows")
        ax.set_ylabel("median error of the surface")
        ax.legend()
        figure.savefig("docs/images/switching_surface.png", dpi=100)


if __name__ == "__main__":
    main()
