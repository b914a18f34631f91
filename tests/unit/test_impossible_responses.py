"""Responses that no fit could have are refused wherever a fitted model is asked for their densities."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from moestat.errors import InputError
from tests.unit.cli.runs import refused

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 2))
COUNTS = RNG.poisson(2, 200)

#: By family: the response of the fit, exposures, and for two new rows the response and what is wrong with it.
CASES = {
    "poisson": (COUNTS, None, [1, -1], "holds -1"),
    "poisson ": (COUNTS, None, [1, 2.5], "holds 2.5"),
    "constant(poisson), poisson": (COUNTS, None, [1, 2.5], "holds 2.5"),
    "zero, poisson": (COUNTS * (RNG.random(200) < 0.6), None, [0, -1], "holds -1"),
    "binomial": (np.minimum(COUNTS, 3), np.full(200, 3.0), [1, 7], "7 successes of 3 trials"),
    "gamma": (COUNTS + 0.5, None, [1.0, -1.0], "holds -1"),
    "gamma, gaussian": (COUNTS + 0.5, None, [1.0, 0.0], "holds 0"),
}
every_case = pytest.mark.parametrize("case", list(CASES))


@cache
@pytest.mark.filterwarnings("ignore::moestat.errors.MoestatWarning")
def results(case):
    y, exposure, _, _ = CASES[case]
    return ms.fit(ms.MixtureOfExperts(expert=case.strip()), X, y, exposure=exposure, n_starts=2, seed=0)


@every_case
@pytest.mark.parametrize("ask", ["log_density", "density", "responsibilities"])
@pytest.mark.filterwarnings("ignore::moestat.errors.MoestatWarning")
def test_results_and_models_refuse_what_a_fit_refuses(case, ask):
    fitted = results(case)
    _, exposure, y, words = CASES[case]
    known = {} if exposure is None else {"exposure": exposure[:2]}
    with pytest.raises(InputError, match=words):
        getattr(fitted, ask)(X[:2], y, **known)
    with pytest.raises(InputError, match=words):
        fitted.model.loglik(fitted.params, X[:2], y, **known)
    if ask != "density":
        with pytest.raises(InputError, match=words):
            getattr(fitted.model, ask)(fitted.params, X[:2], y, **known)


@every_case
@pytest.mark.filterwarnings("ignore::moestat.errors.MoestatWarning")
def test_pictures_of_the_density_stay_among_possible_responses(case):
    assert ms.plotting.plot_density(results(case)) is not None


@pytest.mark.filterwarnings("ignore::moestat.errors.MoestatWarning")
def test_where_a_known_law_has_no_density_the_logarithm_is_minus_infinity():
    y = RNG.exponential(size=200)
    fitted = ms.fit(ms.MixtureOfExperts(expert="known('expon'), known('expon', scale=2.0)"), X, y, n_starts=2, seed=0)
    assert np.isneginf(fitted.log_density(X[:2], [1.0, -1.0])).tolist() == [False, True]


def test_formulas_and_the_command_line_refuse_them_too(tmp_path):
    frame = pd.DataFrame({"y": COUNTS, "x": X[:, 0]})
    fitted = ms.moe("y ~ x", frame, expert="poisson").fit(n_starts=2, seed=0)
    wrong = frame.head(3).assign(y=[1, 2, -1])
    with pytest.raises(InputError, match="holds -1"):
        fitted.log_density(wrong)
    fitted.save(tmp_path / "fit.npz")
    wrong.to_csv(tmp_path / "rows.csv", index=False)
    assert "holds -1" in refused("predict", tmp_path / "fit.npz", tmp_path / "rows.csv", "--density")


# --------------------------------------------------------------------------------------- rows that no expert describes
@pytest.mark.parametrize("expert", ["known('expon')", "known('expon'), known('expon', scale=2.0)", "zero, zero"])
@pytest.mark.parametrize("n", [5, 200])
def test_a_row_that_no_known_law_describes_is_named(expert, n):
    y = np.zeros(n) if "zero" in expert else np.linspace(1.0, 2.0, n)
    y[3] = 4.0 if "zero" in expert else -0.25
    row = f"y is {y[3]:g} in the row with x1={X[3, 0]:.6g}, x2={X[3, 1]:.6g}, where all experts"
    with pytest.raises(InputError, match=re.escape(row)):
        ms.fit(ms.MixtureOfExperts(expert=expert), X[:n], y, n_starts=1)


@pytest.mark.filterwarnings("ignore::moestat.errors.MoestatWarning")
def test_one_estimated_family_describes_every_row():
    y = RNG.normal(size=200)
    fitted = ms.fit(ms.MixtureOfExperts(expert="known('expon'), gaussian"), X, y, n_starts=1)
    assert np.isfinite(fitted.llf)
