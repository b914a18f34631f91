"""The classical data sets: what is in them, where it comes from, and what the suggested model finds."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import moestat as ms
from moestat.certificate import Status
from moestat.datasets import DATASETS, catalogue, load
from moestat.datasets.classics import _FOLDER
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
        ("aphids", 51, ["aphids", "infected"]),
        ("galaxies", 82, ["velocity"]),
        ("acidity", 155, ["acidity"]),
        ("enzyme", 245, ["activity"]),
        ("crabs", 200, ["sp", "sex", "index", "FL", "RW", "CL", "CW", "BD"]),
        ("ais", 202, ["rcc", "wcc", "hc", "hg", "ferr", "bmi", "ssf", "pcBfat", "lbm", "ht", "wt", "sex", "sport"]),
        ("lidar", 221, ["range", "logratio"]),
        ("whiteside", 56, ["Insul", "Temp", "Gas"]),
        ("engel", 235, ["income", "foodexp"]),
        ("pima", 200, ["npreg", "glu", "bp", "skin", "bmi", "ped", "age", "type"]),
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


# --------------------------------------------------------------------------------------- against publications
def test_infections_have_the_poisson_regressions_that_r_fits():
    """BIC 403.3398 by R's glm: counts and releases go together row by row."""
    data = load("aphids")
    poisson = sm.GLM(data.y, sm.add_constant(data.X), family=sm.families.Poisson()).fit()
    assert -2 * poisson.llf + 2 * np.log(51) == pytest.approx(403.3398, abs=5e-5)


def test_the_78th_velocity_is_the_published_one():
    """R's MASS has 26690 km/s there, and says in its manual that it should be 26960; the others are equal."""
    velocity = load("galaxies").y
    assert velocity[77] == 26.960
    assert velocity.is_monotonic_increasing
    assert velocity.sum() == pytest.approx(1707.910 + 0.270, abs=5e-4)  # the sum in MASS, and the slip


def test_acidity_has_the_fit_that_mclust_prints():
    """Two normal distributions of one variance by R's mclust, which stops 4e-5 nats below the maximum."""
    results = load("acidity").moe().fit()
    assert results.llf == pytest.approx(-185.9493052, abs=5e-5)
    assert -results.bic == pytest.approx(-392.0723108, abs=1e-4)
    assert results.llf > -185.9493052


def test_enzyme_and_acidity_first_and_last_entries():
    """As in the files of the R package mixAK; of the logarithms of enzyme, three lie apart below -3."""
    enzyme, acidity = load("enzyme").y, load("acidity").y
    assert (np.log(enzyme) < -3).sum() == 3
    assert [*enzyme[:3], *enzyme[-3:]] == [0.130, 0.080, 1.261, 0.176, 0.191, 1.161]
    assert [*acidity[:2], *acidity[-2:]] == [2.928524, 3.910021, 6.957973, 4.497585]


def test_crabs_have_the_moments_by_sex_that_r_prints():
    """Fifty of each form and sex, numbered by size; width 37.0 and 35.8 mm on average, deviations 8.33 and 7.38."""
    frame = load("crabs").frame
    assert (frame.groupby(["sp", "sex"])["index"].agg(list).map(lambda index: index == list(range(1, 51)))).all()
    assert (frame.groupby(["sp", "sex"])["FL"].apply(lambda size: size.is_monotonic_increasing)).all()
    width = frame.groupby("sex")["CW"].agg(["mean", "median", "std"]).loc[["M", "F"]].to_numpy()
    np.testing.assert_allclose(
        width, [[37.0, 37.1, 8.33], [35.8, 36.4, 7.38]], rtol=0, atol=0.051
    )  # 36.45 prints as 36.4
    np.testing.assert_allclose(frame.groupby("sex")["BD"].mean()[["M", "F"]], [14.3, 13.7], rtol=0, atol=0.05)


def test_athletes_obey_the_definitions_of_their_indices():
    """Mass index and lean mass follow from weight, height and fat, up to the rounding of the entries."""
    frame = load("ais").frame
    assert frame["sex"].value_counts().to_dict() == {"m": 102, "f": 100}
    assert frame["sport"].nunique() == 10
    np.testing.assert_allclose(frame["bmi"], frame["wt"] / (frame["ht"] / 100) ** 2, rtol=0, atol=0.02)
    lean = frame["wt"] * (1 - frame["pcBfat"] / 100)
    np.testing.assert_allclose(frame["lbm"], lean, rtol=0, atol=0.5)  # men's are whole kilograms
    women = frame["sex"] == "f"
    np.testing.assert_allclose(frame["lbm"][women], lean[women], rtol=0, atol=0.05)


def test_lidar_ranges_are_two_of_every_three_metres():
    distance = load("lidar").frame["range"]
    assert list(distance) == [r for r in range(390, 721) if r % 3 != 2]


def test_gas_before_and_after_lies_on_the_lines_that_r_prints():
    frame = load("whiteside").frame
    assert frame["Insul"].value_counts().to_dict() == {"After": 30, "Before": 26}
    before = frame[frame["Insul"] == "Before"]
    np.testing.assert_allclose(np.polyfit(before["Temp"], before["Gas"], 1), [-0.3932, 6.8538], rtol=0, atol=5e-5)
    both = sm.OLS.from_formula("Gas ~ Temp + C(Insul, Treatment('Before'))", frame).fit().params
    np.testing.assert_allclose(both, [6.551, -1.565, -0.337], rtol=0, atol=5e-4)


def test_diabetes_has_the_logistic_regression_that_r_prints():
    """All coefficients of type on the seven covariates, and the deviance of 178.4."""
    frame = load("pima").frame
    covariates = frame[["npreg", "glu", "bp", "skin", "bmi", "ped", "age"]]
    logit = sm.Logit((frame["type"] == "Yes").astype(float), sm.add_constant(covariates)).fit(disp=False)
    printed = [-9.773062, 0.103183, 0.032117, -0.004768, -0.001917, 0.083624, 1.820410, 0.041184]
    np.testing.assert_allclose(logit.params, printed, rtol=0, atol=5e-7)
    assert -2 * logit.llf == pytest.approx(178.4, abs=0.05)


# --------------------------------------------------------------------------------------- every set
@every_dataset
def test_no_entry_is_missing(name):
    assert not load(name).frame.isna().to_numpy().any()


@every_dataset
def test_the_source_is_dated_and_the_description_counts(name):
    data = load(name)
    assert re.search(r"\b(18|19|20)\d\d\b", data.source)
    assert str(len(data.frame)) in data.description


@every_dataset
def test_every_column_has_its_meaning(name):
    data = load(name)
    assert list(data.columns) == list(data.frame.columns)
    assert all(data.columns.values())


@every_dataset
def test_columns_of_the_model_to_start_with(name):
    data = load(name)
    assert tuple(data.X.columns) == data.covariates
    assert tuple(data.Z.columns) == data.gate_covariates
    assert data.y.name == data.response
    assert len(data.X) == len(data.y) == len(data.Z)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "ais"])
def test_covariates_are_numbers(name):
    """Those of ais hold the sex, which a formula makes numbers of."""
    data = load(name)
    assert all(np.issubdtype(dtype, np.number) for dtype in [*data.X.dtypes, *data.Z.dtypes])


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "tempanomalies"])
def test_the_suggested_model_ends_at_a_strict_maximum(name):
    """With the settings of every day, and without a warning: pytest makes errors of them."""
    results = load(name).moe().fit()
    assert results.certificate.trusted
    assert results.certificate.status is Status.STRICT_MAXIMUM


def test_the_change_point_of_the_temperatures_is_named():
    with pytest.warns(ms.SeparationWarning):
        results = load("tempanomalies").moe().fit(n_starts=8)
    assert results.certificate.status is Status.RUNAWAY


@pytest.mark.parametrize(("name", "hidden", "found"), [("crabs", "sex", 190), ("whiteside", "Insul", 56)])
def test_the_experts_find_what_they_were_not_told(name, hidden, found):
    frame = load(name).frame
    guessed = load(name).moe().fit().responsibilities(frame).argmax(axis=1)
    table = pd.crosstab(guessed, frame[hidden]).to_numpy()
    assert max(table.trace(), table[::-1].trace()) == found


# --------------------------------------------------------------------------------------- use
def test_settings_and_formula_of_the_suggestion_can_be_changed():
    data = load("acidity")
    assert data.moe().model.expert == ms.experts.Gaussian(variance="common")
    assert data.moe(n_experts=3, expert="gaussian").model == ms.MixtureOfExperts(n_experts=3)
    assert load("tone").moe("tuned ~ 1 | stretchratio").X.shape == (150, 0)


def test_experts_are_those_of_the_response():
    voters = load("anes96")
    assert voters.moe("party ~ age").model.expert == ms.experts.Multinomial()
    assert voters.moe("age ~ income").model.expert == ms.experts.Gaussian()


def test_a_card_shows_rows_columns_source_and_suggestion():
    card = str(load("acidity"))
    for part in (
        "acidity: Acidity of lakes",
        "155 rows, 1 columns",
        "acidity  acidity index",
        "Source: Crawford, S. L.",
    ):
        assert part in card
    assert "ms.moe('acidity ~ 1 | 1', data.frame, expert=\"gaussian(variance='common')\")" in card
    assert repr(load("acidity")) == "Dataset('acidity', 155 rows, 1 columns)"


@every_dataset
def test_cards_fit_a_terminal(name):
    assert max(map(len, str(load(name)).splitlines())) <= 80


def test_the_catalogue_is_a_table_by_name():
    table = catalogue()
    assert list(table.index) == list(DATASETS)
    assert table.loc["pima"].to_dict() == {
        "rows": 200,
        "columns": 8,
        "response": "type",
        "suggestion": "type ~ glu + bmi + ped | age",
        "n_experts": 2,
        "expert": "multinomial",
        "about": "Diabetes of Pima women",
        "source": "Smith (1988)",
    }


def test_files_are_small():
    assert all(path.stat().st_size < 30_000 for path in _FOLDER.iterdir() if path.name.endswith(".csv"))


def test_a_change_of_the_rows_stays_with_the_caller():
    frame = load("co2").frame
    frame.loc[0, "CO2"] = -1.0
    assert load("co2").frame.loc[0, "CO2"] == 14.7


def test_an_unknown_name_lists_the_known_ones_and_the_doors():
    with pytest.raises(InputError, match=r"name must be one of \['acidity', .*'whiteside'\]; got 'iris'.*from_sklearn"):
        ms.datasets.load("iris")
    with pytest.raises(InputError, match="Did you mean 'tone'"):
        ms.datasets.load("Tone")
