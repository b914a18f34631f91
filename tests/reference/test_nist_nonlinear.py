"""Regression functions fitted by least squares: nonlinear regressions that NIST certifies, from starts of our own.

Data and certified values are those of the Statistical Reference Datasets (public data of the US government,
https://www.itl.nist.gov/div898/strd). Starting values come with them, near and far; none is used here.

    Rat42      b1 / (1 + exp(b2 - b3 x))                                one expert, a scale times a sigmoid
    DanWood    b1 x^b2                                                  one expert with a logarithmic link, log x
    Lanczos3   b1 exp(-b2 x) + b3 exp(-b4 x) + b5 exp(-b6 x)            three of them, under given equal weights
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import moestat as ms

HERE = Path(__file__).parent / "nist"
CERTIFIED = pd.read_csv(HERE / "certified_nonlinear.csv", comment="#").set_index("data")

THIRDS = ms.gates.Constant(weights=(1 / 3, 1 / 3, 1 / 3))
MODELS = {
    "Rat42": ms.MixtureOfExperts(expert="gaussian(form='sigmoid')", n_experts=1),
    "DanWood": ms.MixtureOfExperts(expert="gamma", n_experts=1),
    "Lanczos3": ms.MixtureOfExperts(gate=THIRDS, expert="gamma", n_experts=3),
}

#: Certified digits are eleven; of the errors of Lanczos3 a condition of 1e9 leaves fewer.
RELATIVE = 1e-9
OF_ERRORS = {"Rat42": 1e-9, "DanWood": 1e-9, "Lanczos3": 1e-6}

pytestmark = [pytest.mark.parametrize("name", MODELS), pytest.mark.filterwarnings("ignore::moestat.MoestatWarning")]


@cache
def fitted(name):
    frame = pd.read_csv(HERE / f"{name}.csv", comment="#")
    x = np.log(frame.x) if name == "DanWood" else frame.x
    return ms.fit(MODELS[name], x.to_numpy()[:, None], frame.y.to_numpy(), n_starts=10, objective="least_squares")


def certified_form(name):
    """Estimates and their errors in the parameters of the certificate; errors of logarithms are relative ones."""
    results = fitted(name)
    expert, errors = results.params.expert, results.standard_errors("classical")
    if name == "Rat42":
        estimates = np.r_[expert.scales, -expert.intercepts, expert.slopes[0]]
        return estimates, errors[["expert[1].scale", "expert[1].const", "expert[1].x1"]].to_numpy()
    factors = np.exp(expert.intercepts) / len(expert.intercepts)
    order = np.argsort(np.abs(expert.slopes[:, 0]))
    sign = 1.0 if name == "DanWood" else -1.0
    columns = errors.to_numpy().reshape(2, -1)  # intercepts, then slopes
    estimates = np.column_stack([factors, sign * expert.slopes[:, 0]])[order]
    deviations = np.column_stack([factors * columns[0], columns[1]])[order]
    return estimates.ravel(), deviations.ravel()


def test_sum_of_squares(name):
    assert fitted(name).rss == pytest.approx(CERTIFIED.loc[name, "rss"].iloc[0], rel=RELATIVE)


def test_coefficients(name):
    np.testing.assert_allclose(certified_form(name)[0], CERTIFIED.loc[name, "estimate"], rtol=RELATIVE)


def test_standard_errors(name):
    np.testing.assert_allclose(certified_form(name)[1], CERTIFIED.loc[name, "deviation"], rtol=OF_ERRORS[name])


def test_the_minimum_is_strict(name):
    assert fitted(name).certificate.status is ms.Status.STRICT_MAXIMUM
