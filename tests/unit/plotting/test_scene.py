"""The rows that figures show, and those they make up."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from moestat.plotting import plot_experts
from moestat.plotting.rows import scene_of
from moestat.plotting.scene import MOST_POINTS
from tests.unit.fitted import CASES, fitted
from tests.unit.plotting.artists import formula, planes, points, reloaded, title, voters

every_case = pytest.mark.parametrize("case", list(CASES))


# --------------------------------------------------------------------------------------- rows
@every_case
def test_the_rows_of_the_fit_come_back(case):
    """In raw units and in their order, but for rounding of the shift."""
    f = fitted(case)
    scene = scene_of(f.results)
    X, Z = scene.ask(scene.rows)
    np.testing.assert_allclose(X, np.asarray(f.X, dtype=float), rtol=1e-12)
    np.testing.assert_allclose(Z, np.asarray(f.X if f.Z is None else f.Z, dtype=float), rtol=1e-12)
    if f.results.schema.classes is None:
        np.testing.assert_allclose(scene.y, f.y, rtol=1e-12)
    else:
        assert (scene.y == np.asarray(f.y)).all()
    np.testing.assert_allclose(scene.resp, f.results.responsibilities(), atol=1e-9)


def test_a_formula_brings_back_its_columns():
    scene = scene_of(formula())
    assert scene.covariates == ("x", "g", "z1", "z2")
    assert (scene.experts, scene.gate) == (("x", "g"), ("z1", "z2"))
    assert scene.rows.equals(planes()[["x", "g", "z1", "z2"]])
    np.testing.assert_allclose(scene.y, planes()["y"], rtol=1e-12)


def test_rows_given_as_a_table_are_read_by_the_formula():
    some = planes().head(20)
    scene = scene_of(formula(), some)
    np.testing.assert_allclose(scene.resp, formula().responsibilities(some))
    assert not scene_of(formula(), some.drop(columns="y")).has_rows


def test_weights_count_as_repetitions():
    """In what is typical; rows of weight zero are not there."""
    data = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0, 99.0], "g": list("abbba"), "y": [0.0, 1.1, 1.9, 3.2, 0.0]})
    results = ms.moe("y ~ x + g", data.assign(w=[5, 1, 1, 1, 0]), weights="w", n_experts=1).fit()
    scene = scene_of(results)
    assert scene.typical["x"].value == pytest.approx(6 / 8)
    assert (scene.typical["x"].low, scene.typical["x"].high) == (0.0, 3.0)
    assert scene.typical["g"].value == "a"
    assert results.design.typical == scene.typical


def test_of_many_rows_some_are_shown():
    n = 2 * MOST_POINTS
    x = np.random.default_rng(0).normal(size=n)
    scene = scene_of(ms.fit(ms.MixtureOfExperts(n_experts=1), x, 2 * x + np.sin(97 * x), n_starts=1))
    assert scene.shown.size == np.unique(scene.shown).size == MOST_POINTS
    assert (np.diff(scene.shown) > 0).all()


def test_covariates_of_one_name_and_other_values_are_two():
    x = np.linspace(0, 1, 40)
    X, Z = pd.DataFrame({"a": x}), pd.DataFrame({"a": np.cos(9 * x)})
    y = np.where(Z["a"] > 0, x, -x) + 0.1 * np.sin(55 * x)
    results = ms.fit(ms.MixtureOfExperts(n_experts=1), X, y, Z, n_starts=1)
    scene = scene_of(results, X, y, Z)
    assert scene.covariates == ("a", "a (gate)")
    assert all(np.array_equal(a, b) for a, b in zip(scene.ask(scene.rows), (X, Z), strict=True))


# --------------------------------------------------------------------------------------- without rows
def test_a_loaded_formula_knows_where_its_columns_lie(tmp_path):
    scene = scene_of(reloaded(formula(), tmp_path))
    assert scene.rows is None
    assert not scene.has_rows
    before = scene_of(formula())
    assert scene.typical == before.typical
    assert scene.line(None, scene.covariates).rows.equals(before.line(None, before.covariates).rows)
    with pytest.raises(ms.InputError, match="pass X and y; a loaded fit holds none"):
        _ = scene.resp


def test_a_loaded_fit_of_arrays_knows_about_where_they_lie(tmp_path):
    """Two powers of two near the standard deviation to either side of near the mean."""
    f = fitted("three experts")
    scene = scene_of(reloaded(f.results, tmp_path))
    for name, column in [*f.X.items(), *f.Z.items()]:
        known = scene.typical[name]
        assert abs(known.value - column.mean()) < 0.01 * column.std()
        assert 0.6 < (known.high - known.low) / (4 * column.std()) < 1.7


def test_a_file_from_before_asks_for_rows(tmp_path):
    results = reloaded(formula(), tmp_path)
    old = replace(results, design=replace(results.design, typical={}))
    with pytest.raises(ms.InputError, match=r"does not say where \['x', 'g', 'z1', 'z2'\] lie: pass X"):
        scene_of(old)
    assert scene_of(old, planes()).has_rows


def test_the_design_of_a_file_from_before_can_be_read():
    described = formula().design.to_dict()
    del described["typical"]
    assert type(formula().design).from_dict(described).typical == {}


def test_an_unchecked_formula_from_a_file_is_drawn_along_its_covariates(tmp_path):
    results = ms.moe("y ~ I(x ** 2 + 1)", planes(), n_experts=1, unsafe_formula=True).fit()
    assert scene_of(results).covariates == ("x",)
    assert scene_of(reloaded(results, tmp_path)).covariates == ("I(x ** 2 + 1)",)


# --------------------------------------------------------------------------------------- made-up rows
def test_a_line_runs_over_the_range_with_the_others_held():
    scene = scene_of(formula())
    line = scene.line("z1", scene.covariates, points=5)
    assert line.rows["z1"].tolist() == line.places.tolist()
    assert (line.places[0], line.places[-1]) == (planes()["z1"].min(), planes()["z1"].max())
    assert (line.rows["x"] == planes()["x"].mean()).all()
    assert (line.rows["g"] == "b").all()  # the most frequent


def test_a_line_along_a_category_has_its_levels():
    scene = scene_of(formula())
    line = scene.line("g", scene.covariates)
    assert line.rows["g"].tolist() == ["a", "b", "c"] == list(line.levels)
    assert line.places.tolist() == [0.0, 1.0, 2.0]
    assert (np.round(scene.places("g")) == np.searchsorted(["a", "b", "c"], planes()["g"])).all()


@pytest.mark.parametrize(("along", "name"), [(None, "x"), (0, "x"), (np.int64(1), "g"), (3, "z2"), ("z1", "z1")])
def test_a_covariate_is_picked_by_name_or_position(along, name):
    scene = scene_of(formula())
    assert scene.pick(along, scene.covariates) == name


@pytest.mark.parametrize("along", ["X", "w", 4, -1, 1.0, True, ["x"]])
def test_what_is_no_covariate_is_refused(along):
    scene = scene_of(formula())
    with pytest.raises(ms.InputError, match=r"along must be one of \['x', 'g', 'z1', 'z2'\], or its position; got"):
        scene.pick(along, scene.covariates)


def test_a_covariate_that_may_have_been_meant_is_named():
    scene = scene_of(formula())
    with pytest.raises(ms.InputError, match=r"got 'Z1'\. Did you mean 'z1'\?"):
        scene.pick("Z1", scene.covariates)


def test_what_is_held_is_said():
    scene = scene_of(formula())
    assert scene.held(("x", "g"), "x") == "g at 'b'"
    assert scene.held(("z1", "z2"), "z1") == f"z2 at {planes()['z2'].mean():.3g}"
    assert scene.held(("x", "g", "z1", "z2"), "x") == "3 other covariates at typical values"
    assert scene.held(("x",), "x") == ""


def test_a_known_term_is_held_and_said():
    data = planes().assign(t=np.linspace(2, 4, len(planes())))
    results = ms.moe("y ~ x", data, offset="t", n_experts=1).fit()
    scene = scene_of(results)
    assert scene.terms["offset"] == pytest.approx(3.0)
    assert scene.held(("x",), "x") == "offset at 3"
    assert scene_of(results, data.head(10)).known.offset.tolist() == data["t"].head(10).tolist()


def test_curves_without_a_covariance_have_no_limits():
    """Nor do they warn about relations that made-up rows break: the figure says that there are no limits."""
    x = np.linspace(0, 1, 50)
    X = pd.DataFrame({"a": x, "b": 2 * x})
    with pytest.warns(ms.RankDeficientWarning):
        results = ms.fit(ms.MixtureOfExperts(n_experts=1), X, np.sin(5 * x), n_starts=1)
    scene = scene_of(results)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves = scene.expert_means(scene.line("a", scene.covariates).rows)
    assert curves.limits is None
    assert np.isfinite(curves.value).all()


# --------------------------------------------------------------------------------------- refusals
def test_several_responses_are_refused():
    several = replace(formula(), schema=replace(formula().schema, responses=("u", "v")))
    with pytest.raises(ms.InputError, match=r"pictures show one response; this model has 2, \['u', 'v'\]"):
        scene_of(several)


def test_an_offset_alone_is_refused():
    with pytest.raises(ms.InputError, match="offset goes with rows"):
        scene_of(formula(), offset=1.0)


def test_the_offset_of_a_fit_is_needed_for_other_rows():
    x = np.linspace(0, 1, 40)
    results = ms.fit(ms.MixtureOfExperts(n_experts=1), x, np.sin(9 * x), offset=x, n_starts=1)
    with pytest.raises(ms.InputError, match="offset is needed: the model was fitted with one"):
        scene_of(results, x, np.sin(9 * x))
    np.testing.assert_allclose(scene_of(results).known.offset, x, atol=1e-12)


def test_rows_that_the_formula_cannot_read_are_named():
    with pytest.raises(ms.InputError, match="X has no column 'z1'"):
        scene_of(formula(), planes().drop(columns="z1"))
    with pytest.raises(ms.InputError, match="not seen in the fit"):
        scene_of(formula(), planes().assign(g="q"))


def test_classes_come_back_as_labels():
    assert set(scene_of(voters()).y) == set(voters().schema.classes)


# --------------------------------------------------------------------------------------- truth values
def truths():
    """Rows with a column of truth values."""
    return planes().assign(b=planes()["z1"] > 0)


@cache
def of_truths():
    return ms.moe("y ~ x + b | b", truths()).fit(n_starts=2)


def test_truth_values_are_a_category_of_two_levels(tmp_path):
    for results in (of_truths(), reloaded(of_truths(), tmp_path)):
        scene = scene_of(results)
        line = scene.line("b", scene.covariates)
        assert line.levels == (False, True)
        assert line.rows["b"].tolist() == [False, True]
        assert scene.held(("x", "b"), "x") == f"b at {bool(truths()['b'].mean() > 0.5)}"
        means = scene.expert_means(line.rows).value
        at = pd.DataFrame({"x": scene.typical["x"].value, "b": [0.0, 1.0]})
        np.testing.assert_allclose(means, results.expert_means(at))
        assert scene_of(results, truths().head(9)).line("b", ("b",)).levels == (False, True)
    assert (np.round(scene_of(of_truths()).places("b")) == truths()["b"]).all()


def test_numbers_in_place_of_truth_values_are_numbers_again():
    scene = scene_of(of_truths(), truths().head(9).assign(b=0.5))
    assert scene.line("b", scene.covariates).levels is None


def test_zeros_and_ones_that_are_numbers_stay_numbers():
    data = truths().assign(b=truths()["b"].astype(int))
    assert scene_of(ms.moe("y ~ b", data, n_experts=1).fit()).levels["b"] is None


# --------------------------------------------------------------------------------------- other rows than the fit's
def test_curves_end_where_the_fit_has_seen_nothing():
    """Also for rows that a spline cannot be computed for; they take the colours of its edge, and a note says so."""
    results = ms.moe("y ~ bs(x, df=4) + z1 | z2", planes()).fit(n_starts=2)
    rows = planes().head(30).assign(x=np.linspace(-5, 1, 30), z2=planes()["z2"].head(30) + 9)
    scene = scene_of(results, rows)
    least = planes()["x"].min()
    assert scene.line("x", ("x",)).places[[0, -1]].tolist() == [least, 1.0]
    assert scene.rows["x"].tolist() == rows["x"].tolist()
    assert scene.n_beyond == (rows["x"] < least).sum()
    np.testing.assert_array_equal(scene.resp, results.responsibilities(rows.assign(x=rows["x"].clip(lower=least))))
    drawn = results.plot(rows)
    drawn.canvas.draw()
    assert f"rows beyond the fit's: {scene.n_beyond}, shared out" in title(drawn.axes[0]).replace("\n", " ")
    assert points(drawn.axes[0])[:, 0].min() == -5.0


def test_a_row_that_cannot_be_read_for_another_reason_is_refused():
    results = ms.moe("y ~ bs(x, df=4)", planes(), n_experts=1).fit()
    with pytest.raises(ms.InputError, match="missing entries"):
        scene_of(results, planes().head(3).assign(x=[9.0, np.nan, 0.0]))


def test_one_row_is_shown_among_the_curves_of_the_fit():
    results = formula()
    whole = scene_of(results).line("x", ("x",)).places
    np.testing.assert_array_equal(scene_of(results, planes().head(1)).line("x", ("x",)).places, whole)
    f = fitted("three experts")
    scene = scene_of(f.results, *(part.head(1) for part in (f.X, f.y, f.Z)))
    assert np.ptp(scene.line("age", ("age",)).places) > f.X["age"].std()
    low, high = plot_experts(results, planes().head(1)).get_ylim()
    assert high - low > 1.0
    for drawn in (results.plot(planes().head(1)), f.results.plot(f.X.head(1), f.y.head(1), f.Z.head(1))):
        drawn.canvas.draw()
