"""Switching surfaces: where they lie, in the user's units, and how near the rows come."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError


def fitted(n: int, seed: int = 0):
    """Two regressions that switch at x = 20.2, far from the origin and in units of a hundredth."""
    rng = np.random.default_rng(seed)
    x = 20.0 + rng.uniform(-1, 1, n)
    y = np.where(x > 20.2, 2.0 + x, -1.0 - x) + 0.3 * rng.standard_normal(n)
    return ms.fit(ms.MixtureOfExperts(gate="topk(n_active=1)", n_experts=2), x[:, None], y, n_starts=3), x


def test_the_surface_lies_in_the_gap_between_the_nearest_rows() -> None:
    results, x = fitted(200)
    table = results.switching_surfaces()
    assert list(table.index) == ["1 | 2"]
    row = table.loc["1 | 2"]
    assert abs(row["x1"]) == pytest.approx(1.0, abs=1e-12)
    at = -row["const"] / row["x1"]
    below, above = x[x < 20.2].max(), x[x > 20.2].min()
    assert below < at < above
    gaps = sorted([row["nearest_first"], row["nearest_second"]])
    np.testing.assert_allclose(gaps, sorted([at - below, above - at]), rtol=1e-6)
    # the first expert is on the side where const + b x is positive
    first = results.gate_weights()[:, 0] == 1.0
    assert (first == (row["const"] + row["x1"] * x > 0)).mean() == 1.0


def test_surfaces_close_in_faster_than_the_square_root_of_n() -> None:
    """The threshold lies between two rows about 2 / n apart: its error times n stays bounded."""
    for n in (100, 400, 1600):
        row = fitted(n, seed=3)[0].switching_surfaces().loc["1 | 2"]
        assert abs(-row["const"] / row["x1"] - 20.2) < 20.0 / n


def test_gates_that_do_not_jump_have_none() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 1))
    results = ms.fit(ms.MixtureOfExperts(n_experts=2), X, np.abs(X[:, 0]) + 0.1 * rng.standard_normal(100), n_starts=2)
    with pytest.raises(InputError, match="no switching surfaces"):
        results.switching_surfaces()


@pytest.mark.parametrize("gate", ["threshold(margin=0)", "threshold(mass=0.3)"])
def test_thresholds_that_leave_one_expert_know_the_gate_by_its_surface_alone(gate) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, 150)
    mean = np.select([x > 0.5, x < -0.6], [2.0 - x, x], 1.0 + 2.0 * x)
    y = mean + 0.3 * rng.standard_normal(150)
    results = ms.fit(ms.MixtureOfExperts(gate=gate, n_experts=3), x[:, None], y, n_starts=5)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert "switching surface" in str(results.certificate)
    top = ms.fit(ms.MixtureOfExperts(gate="topk(n_active=1)", n_experts=3), x[:, None], y, n_starts=5)
    assert results.llf == pytest.approx(top.llf, rel=1e-9)
    assert list(results.switching_surfaces().columns) == ["const", "x1", "nearest_first", "nearest_second"]
    assert np.isnan(results.standard_errors(allow_singular=True)[results.names[0]])
