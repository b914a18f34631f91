"""One expert is linear least squares: regressions that the National Institute of Standards and Technology certifies.

Data and certified values are those of the Statistical Reference Datasets (public data of the US government,
https://www.itl.nist.gov/div898/strd). They were computed with 500 digits from decimal data; what is asked for
here is how many of them survive double precision, the powers of a polynomial included.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from moestat.design import deficiencies
from moestat.errors import ConvergenceWarning

HERE = Path(__file__).parent / "nist"
CERTIFIED = pd.read_csv(HERE / "certified.csv", comment="#").set_index("data")

#: Degree of the polynomial in x; Longley's data have columns of their own.
DEGREE = {"Norris": 1, "Pontius": 2, "NoInt1": 1, "NoInt2": 1, "Filip": 10} | {f"Wampler{i}": 5 for i in range(1, 6)}

#: Digits of the worst coefficient: the logarithm of its relative error, 15 at most. Rounding Filippelli's powers to
#: doubles leaves 7.6 of them, even if all else were exact.
DIGITS = {
    **{"Longley": 12, "Norris": 12, "Pontius": 12, "NoInt1": 12, "NoInt2": 12, "Filip": 7},
    **{"Wampler1": 9, "Wampler2": 12, "Wampler3": 9, "Wampler4": 8, "Wampler5": 6.5},
}

#: The same for the standard errors, where the residuals are not rounding.
DIGITS_OF_ERRORS = {
    **{"Longley": 12, "Norris": 12, "Pontius": 12, "NoInt1": 11, "NoInt2": 11, "Filip": 7},
    **{"Wampler3": 13, "Wampler4": 13, "Wampler5": 13},
}

#: Exact fits, whose variance ends on its floor.
EXACT = ("Wampler1", "Wampler2")


def rows(name):
    frame = pd.read_csv(HERE / f"{name}.csv", comment="#")
    if name == "Longley":
        return frame.drop(columns="y").to_numpy(), frame.y.to_numpy()
    # repeated products carry one rounding per factor; powers carry one
    powers = [[float(x) ** k for k in range(1, DEGREE[name] + 1)] for x in frame.x]
    return np.array(powers), frame.y.to_numpy(dtype=float)


@cache
def fitted(name):
    fixed = {"expert.intercepts": 0.0} if name.startswith("NoInt") else None
    model = ms.MixtureOfExperts(n_experts=1, fixed=fixed)
    if name in EXACT:
        with pytest.warns(ConvergenceWarning, match="variance floor"):
            return ms.fit(model, *rows(name))
    return ms.fit(model, *rows(name))


def estimates(name):
    expert = fitted(name).params.expert
    line = np.r_[expert.intercepts, expert.slopes[0]]
    return line[1:] if name.startswith("NoInt") else line


def degrees_of_freedom(name):
    return len(rows(name)[1]) - len(CERTIFIED.loc[[name]])


def digits(got, certified):
    """Smallest number of agreeing digits."""
    error = np.abs(np.asarray(got) - certified) / np.abs(certified)
    return min(15.0, -np.log10(error.max())) if error.max() > 0 else 15.0


def digits_of_estimates(name):
    return digits(estimates(name), CERTIFIED.loc[[name], "estimate"].to_numpy())


def digits_of_errors(name):
    """Maximum likelihood divides by n; the certified variance by the degrees of freedom."""
    errors = fitted(name).bse.filter(regex=r"^expert\[1\]\.(?!variance)")
    certified = CERTIFIED.loc[[name], "deviation"].to_numpy()
    n = len(rows(name)[1])
    return digits(errors.to_numpy() * np.sqrt(n / degrees_of_freedom(name)), certified)


def digits_of_deviation(name):
    n = len(rows(name)[1])
    deviation = np.sqrt(fitted(name).params.expert.variances[0] * n / degrees_of_freedom(name))
    return digits(deviation, CERTIFIED.loc[[name], "residual_deviation"].iloc[0])


@pytest.mark.parametrize("name", DIGITS)
def test_coefficients(name):
    assert digits_of_estimates(name) >= DIGITS[name]


@pytest.mark.parametrize("name", DIGITS_OF_ERRORS)
def test_standard_errors(name):
    assert digits_of_errors(name) >= DIGITS_OF_ERRORS[name]


@pytest.mark.parametrize("name", DIGITS_OF_ERRORS)
def test_residual_standard_deviation(name):
    assert digits_of_deviation(name) >= DIGITS_OF_ERRORS[name]


@pytest.mark.parametrize("name", DIGITS)
def test_the_maximum_is_strict_unless_the_fit_is_exact(name):
    expected = ms.Status.AT_FLOOR if name in EXACT else ms.Status.STRICT_MAXIMUM
    assert fitted(name).certificate.status is expected


@pytest.mark.parametrize("name", DIGITS)
def test_no_column_is_taken_for_a_combination_of_others(name):
    """Filippelli's tenth powers least of all, though the condition of the standardised columns is 4e9."""
    results = fitted(name)
    assert deficiencies(results.schema, results.coordinates) == ()
