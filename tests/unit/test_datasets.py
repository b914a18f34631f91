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
