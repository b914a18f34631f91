"""The data sets: what is in them and where it comes from."""

from __future__ import annotations

import re

import numpy as np
import pytest

import moestat as ms
from moestat.datasets import DATASETS, load
from moestat.errors import InputError
from tests.unit.fitted import fit, no_columns

every_dataset = pytest.mark.parametrize("name", list(DATASETS))


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("tone", 150, ["stretchratio", "tuned"]),
        ("co2", 28, ["country", "GNP", "CO2"]),
        ("ethanol", 88, ["NO", "Equivalence"]),
        ("faithful", 272, ["eruptions", "waiting"]),
        ("mcycle", 133, ["times", "accel"]),
        ("tempanomalies", 136, ["Year", "AnnualAnomaly"]),
    ],
)
def test_rows_and_columns(name, rows, columns):
    frame = load(name).frame
    assert list(frame.columns) == columns
    assert len(frame) == rows


def test_rows_and_columns_of_the_election_study():
    frame = load("anes96").frame
    assert len(frame) == 944
    assert {"party", "selfLR", "income", "PID"} <= set(frame.columns)


@pytest.mark.parametrize(
    ("name", "llf"), [("tone", 141.1984022997), ("co2", -66.9397677928), ("ethanol", 122.0383557855)]
)
def test_rows_are_those_that_other_programs_fitted(name, llf):
    """Two regressions with constant weights by R's mixtools: one changed entry would change the maximum."""
    data = load(name)
    results = fit(data.X, data.y, no_columns(len(data.y)), n_experts=2, n_starts=8).results
    assert results.llf == pytest.approx(llf, rel=1e-11)


@pytest.mark.parametrize(
    ("name", "first", "last", "sums"),
    [
        ("faithful", [[3.6, 79], [1.8, 54], [3.333, 74]], [4.467, 74], [948.677, 19284]),
        ("mcycle", [[2.4, 0.0], [2.6, -1.3], [3.2, -2.7]], [57.6, 10.7], [3348.8, -3397.6]),
        ("tempanomalies", [[1880, -0.41], [1881, -0.39], [1882, -0.30]], [2015, 0.99], [264860, 1.69]),
    ],
)
def test_first_rows_last_row_and_sums(name, first, last, sums):
    rows = load(name).frame.to_numpy()
    np.testing.assert_array_equal(rows[:3], first)
    np.testing.assert_array_equal(rows[-1], last)
    np.testing.assert_allclose(rows.sum(axis=0), sums, rtol=1e-12)


@pytest.mark.parametrize(("name", "means"), [("faithful", [3.487783, 70.897059]), ("mcycle", [25.178947, -25.545865])])
def test_means_are_those_that_r_prints(name, means):
    np.testing.assert_allclose(load(name).frame.mean(), means, rtol=0, atol=5e-7)


def test_waits_after_eruptions_lie_on_the_published_line():
    """Sums do not see which wait goes with which eruption: the regression that R's manuals print does."""
    data = load("faithful")
    slope, intercept = np.polyfit(data.X["eruptions"], data.y, 1)
    assert (intercept, slope) == (pytest.approx(33.4744, abs=5e-5), pytest.approx(10.7296, abs=5e-5))


def test_waits_have_the_two_modes_that_mixtools_fits():
    """Two normal distributions by R's mixtools: log-likelihood -1034.002, means 54.61 and 80.09."""
    y = load("faithful").y
    results = fit(no_columns(len(y)), y, no_columns(len(y)), n_experts=2, n_starts=8).results
    assert results.llf == pytest.approx(-1034.002, abs=5e-4)
    np.testing.assert_allclose(sorted(results.params.expert.intercepts), [54.61, 80.09], rtol=0, atol=0.01)


def test_motorcycle_times_ascend():
    assert load("mcycle").frame["times"].is_monotonic_increasing


def test_anomalies_are_of_consecutive_years_against_the_base_period():
    """Entries carry two decimals, so the mean over the base period is zero to the rounding of its thirty years."""
    frame = load("tempanomalies").frame.set_index("Year")
    assert list(frame.index) == list(range(1880, 2016))
    assert frame.loc[1951:1980, "AnnualAnomaly"].mean() == pytest.approx(0.0, abs=0.005)


def test_parties_are_classes_of_the_seven_point_scale():
    """0 and 1 Democrats, 2 to 4 independents with those who lean, 5 and 6 Republicans."""
    frame = load("anes96").frame
    ranges = frame.groupby("party")["PID"].agg(["min", "max"])
    assert ranges.to_dict("index") == {
        "Democrat": {"min": 0, "max": 1},
        "Independent": {"min": 2, "max": 4},
        "Republican": {"min": 5, "max": 6},
    }


@every_dataset
def test_no_entry_is_missing(name):
    assert not load(name).frame.isna().to_numpy().any()


@every_dataset
def test_the_source_is_dated_and_the_description_counts(name):
    data = load(name)
    assert re.search(r"\b(19|20)\d\d\b", data.source)
    assert str(len(data.frame)) in data.description
    assert data.response in data.description


@every_dataset
def test_columns_of_the_model_to_start_with(name):
    data = load(name)
    assert tuple(data.X.columns) == data.covariates
    assert tuple(data.Z.columns) == data.gate_covariates
    assert data.y.name == data.response
    assert len(data.X) == len(data.y) == len(data.Z)


@every_dataset
def test_covariates_are_numbers(name):
    data = load(name)
    assert all(np.issubdtype(dtype, np.number) for dtype in [*data.X.dtypes, *data.Z.dtypes])


def test_a_change_of_the_rows_stays_with_the_caller():
    frame = load("co2").frame
    frame.loc[0, "CO2"] = -1.0
    assert load("co2").frame.loc[0, "CO2"] == 14.7


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"name must be one of \['anes96', .*'tone'\]; got 'iris'"):
        ms.datasets.load("iris")
