"""Warnings point at the line of the caller, whichever door was used."""

from __future__ import annotations

import inspect
import warnings

import pandas as pd
import pytest

import moestat as ms
from moestat.errors import RankDeficientWarning


def line():
    return inspect.currentframe().f_back.f_lineno


@pytest.fixture
def frame():
    return ms.datasets.load("tone").frame.assign(c=1.0)


def only(caught):
    (warning,) = [one for one in caught if issubclass(one.category, RankDeficientWarning)]
    return warning


def by_arrays(frame):
    model = ms.MixtureOfExperts(gate="softmax", expert="gaussian", n_experts=2)
    return ms.fit(model, frame[["stretchratio", "c"]], frame["tuned"], n_starts=2), line()


def by_formula(frame):
    return ms.moe("tuned ~ stretchratio + c", frame).fit(n_starts=2), line()


def by_estimator(frame):
    return ms.MoERegressor(n_starts=2).fit(frame[["stretchratio", "c"]], frame["tuned"]), line()


@pytest.mark.parametrize("door", [by_arrays, by_formula, by_estimator])
def test_a_fit_warns_at_the_caller_s_line(door, frame):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, number = door(frame)
    assert (only(caught).filename, only(caught).lineno) == (__file__, number)


def test_new_rows_warn_at_the_caller_s_line(frame):
    with pytest.warns(RankDeficientWarning):
        results, _ = by_arrays(frame)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results.predict(pd.DataFrame({"stretchratio": [1.5], "c": [2.0]}))
        number = line() - 1
    assert (only(caught).filename, only(caught).lineno) == (__file__, number)
