"""Simulated rows: the law they are drawn from, the truth beside them, and the way back to it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from moestat.datasets import load, simulate
from moestat.errors import InputError

MODEL = ms.MixtureOfExperts(n_experts=3)
TRUTH = MODEL.params(
    gate={"slopes": [[2.0], [0.5], [0.0]], "intercepts": [-1.0, 0.3, 0.0]},
    expert={"slopes": [[3.0], [-1.0], [0.0]], "intercepts": [0.0, 1.0, 5.0], "variances": [0.04, 0.09, 0.25]},
)
CLASSES = ms.MixtureOfExperts(n_experts=2, expert="multinomial")
CLASS_TRUTH = CLASSES.params(
    gate={"slopes": [[2.0], [0.0]], "intercepts": [-1.0, 0.0]},
    expert={"slopes": [[[1.0], [-1.0]], [[0.0], [2.0]]], "intercepts": [[0.0, 0.5], [1.0, -1.0]]},
)
#: Standard errors that a mean may be away from its expectation.
SIGMAS = 4.0


def wide(gate, expert):
    """A model with ``expert`` covariates of the experts and ``gate`` of the gate."""
    return ms.MixtureOfExperts(n_experts=2).params(
        gate={"slopes": np.ones((2, gate)), "intercepts": [0.0, 0.0]},
        expert={"slopes": np.ones((2, expert)), "intercepts": [0.0, 1.0], "variances": [1.0, 1.0]},
    )


# --------------------------------------------------------------------------------------- the law
def test_experts_occur_as_often_as_the_gate_says():
    rows = simulate(MODEL, TRUTH, n=20_000)
    weights = MODEL.gate_weights(TRUTH, rows.Z)
    shares = np.bincount(rows.expert, minlength=4)[1:] / 20_000
    error = np.sqrt((weights * (1 - weights)).mean(axis=0) / 20_000)
    assert (np.abs(shares - weights.mean(axis=0)) < SIGMAS * error).all()


def test_each_expert_has_its_mean_and_variance():
    rows = simulate(MODEL, TRUTH, n=20_000, covariates="normal")
    x = rows.X["x1"].to_numpy()
    for k in range(3):
        own = rows.expert == k + 1
        noise = rows.y[own] - TRUTH.expert.intercepts[k] - TRUTH.expert.slopes[k, 0] * x[own]
        variance = TRUTH.expert.variances[k]
        assert abs(noise.mean()) < SIGMAS * np.sqrt(variance / own.sum())
        assert abs(noise.var() / variance - 1) < SIGMAS * np.sqrt(2 / own.sum())
        assert abs(np.corrcoef(noise, x[own])[0, 1]) < SIGMAS / np.sqrt(own.sum())


def test_classes_occur_as_often_as_their_expert_says():
    rows = simulate(CLASSES, CLASS_TRUTH, n=20_000, classes=["no", "maybe", "yes"])
    x = rows.X["x1"].to_numpy()
    logits = np.stack([np.zeros(20_000), x, 0.5 - x], axis=1)  # those of the first expert
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    own = rows.expert == 1
    drawn = pd.get_dummies(rows.y)[["no", "maybe", "yes"]].to_numpy()[own].mean(axis=0)
    assert np.abs(drawn - probability[own].mean(axis=0)).max() < SIGMAS * 0.5 / np.sqrt(own.sum())


@pytest.mark.parametrize(
    ("law", "mean", "variance"), [("uniform", 0.5, 1 / 12), ("normal", 0.0, 1.0), (lambda r, n: r.gamma(2, 1, n), 2, 2)]
)
def test_covariates_follow_their_law(law, mean, variance):
    x = simulate(MODEL, TRUTH, n=20_000, covariates=law).X["x1"]
    assert abs(x.mean() - mean) < SIGMAS * np.sqrt(variance / 20_000)
    assert x.var() == pytest.approx(variance, rel=0.1)


def test_the_fit_finds_the_truth():
    rows = simulate(MODEL, TRUTH, n=4000, seed=3)
    results = rows.moe().fit(n_starts=4)
    assert results.certificate.trusted
    order = np.argsort(results.params.expert.intercepts)
    for name, atol in (("intercepts", 0.08), ("slopes", 0.12), ("variances", 0.03)):
        np.testing.assert_allclose(getattr(results.params.expert, name)[order], getattr(TRUTH.expert, name), atol=atol)


def test_the_fit_finds_the_true_classes():
    """Twice the gain in likelihood over the truth is chi-squared: its seven parameters rarely gain more than 24."""
    truth = CLASSES.params(
        gate={"slopes": [[0.0, 3.0], [0.0, 0.0]], "intercepts": [0.5, 0.0]},
        expert={"slopes": [[[4.0, 0.0]], [[-3.0, 0.0]]], "intercepts": [[1.0], [-1.0]]},
    )
    rows = simulate(CLASSES, truth, n=3000, covariates="normal", classes=["sick", "healthy"])
    results = ms.moe("y ~ x1 | x2", rows.frame, expert="multinomial").fit(n_starts=3)
    assert results.certificate.trusted
    assert results.schema.classes == ("sick", "healthy")
    gain = 2 * (results.llf - CLASSES.loglik(truth, rows.X, rows.y.cat.codes))
    assert 0 < gain < 24
    assert np.sort(results.params.expert.slopes.ravel()) == pytest.approx([-3.0, 4.0], abs=1.0)
    assert rows.moe().model == CLASSES


# --------------------------------------------------------------------------------------- the draw
def test_the_same_seed_gives_the_same_rows():
    one, two, other = (simulate(MODEL, TRUTH, n=50, seed=seed) for seed in (5, 5, 6))
    pd.testing.assert_frame_equal(one.frame, two.frame, check_exact=True)
    np.testing.assert_array_equal(one.expert, two.expert)
    assert not one.frame.equals(other.frame)


def test_responses_are_those_of_the_models_own_sampler():
    x = np.linspace(0.0, 1.0, 40)
    rows = simulate(MODEL, TRUTH, X=x, seed=11)
    np.testing.assert_array_equal(rows.y, MODEL.sample(TRUTH, x, np.random.default_rng(11)))


def test_the_sampler_draws_what_it_always_drew():
    """Seeds of published studies stay valid."""
    drawn = MODEL.sample(TRUTH, np.linspace(0, 1, 6), np.random.default_rng(11))
    before = [0.11394527, 0.78318067, 0.82406568, 1.43053504, 2.71330975, 4.95178392]
    np.testing.assert_allclose(drawn, before, rtol=1e-7)
    classes = CLASSES.sample(CLASS_TRUTH, np.linspace(-2, 2, 12), np.random.default_rng(11))
    np.testing.assert_array_equal(classes, [1, 1, 0, 2, 1, 1, 2, 1, 2, 1, 1, 1])


# --------------------------------------------------------------------------------------- shapes and names
@pytest.mark.parametrize(
    ("gate", "expert", "formula"),
    [
        (2, 2, "y ~ x1 + x2"),
        (0, 2, "y ~ x1 + x2 | 1"),
        (3, 1, "y ~ x1 | z1 + z2 + z3"),
        (1, 0, "y ~ 1 | z1"),
        (0, 0, "y ~ 1"),
    ],
)
def test_the_formula_is_the_model(gate, expert, formula):
    rows = simulate(ms.MixtureOfExperts(n_experts=2), wide(gate, expert), n=30)
    assert rows.formula == formula
    model = rows.moe()
    Z = model.X if model.Z is None else model.Z
    pd.testing.assert_frame_equal(model.X, rows.X, check_dtype=False, check_column_type=False)
    assert Z.shape == rows.Z.shape == (30, gate)
    assert list(rows.frame.columns)[-1] == "y"


def test_given_covariates_keep_their_names():
    X, Z = pd.DataFrame({"dose of drug": [1.0, 2.0]}), pd.DataFrame({"age": [30.0, 40.0], "dose of drug": [1.0, 2.0]})
    rows = simulate(ms.MixtureOfExperts(n_experts=2), wide(2, 1), X=X, Z=Z)
    assert rows.formula == "y ~ `dose of drug` | age + `dose of drug`"
    assert list(rows.frame.columns) == ["dose of drug", "age", "y"]


def test_a_law_may_give_both_covariates():
    law = lambda rng, n: (rng.random((n, 1)), rng.standard_normal((n, 2)))  # noqa: E731
    rows = simulate(ms.MixtureOfExperts(n_experts=2), wide(2, 1), n=7, covariates=law)
    assert (rows.X.shape, rows.Z.shape) == ((7, 1), (7, 2))


def test_held_fields_and_families_come_back():
    model = ms.MixtureOfExperts(expert="gaussian, gaussian(variance='common')", fixed={"gate.slopes": 0.0})
    truth = model.params(
        gate={"slopes": [[0.0], [0.0]], "intercepts": [0.0, 0.0]},
        expert=(
            {"slopes": [[1.0]], "intercepts": [0.0], "variances": [1.0]},
            {"slopes": [[-1.0]], "intercepts": [0.0], "variance": 1.0},
        ),
    )
    assert simulate(model, truth, n=20).moe().model == model


def test_repr_counts_rows_by_expert():
    rows = simulate(MODEL, TRUTH, n=30)
    assert repr(rows) == f"Simulated('y ~ x1', 30 rows, by expert {np.bincount(rows.expert)[1:].tolist()})"


# --------------------------------------------------------------------------------------- from a fit
def test_a_fit_by_formula_reads_the_columns_of_the_user():
    data = load("whiteside")
    results = ms.moe("Gas ~ 0 + Temp + Insul | 1", data.frame).fit(n_starts=2)
    rows = simulate(results, X=data.frame)
    assert rows.formula == "Gas ~ 0 + Temp + Insul | 1"
    assert list(rows.frame.columns) == ["Insul", "Temp", "Gas"]
    again = rows.moe()
    assert again.model == results.model
    pd.testing.assert_frame_equal(again.X, rows.X)


def test_a_transformed_response_is_a_column_of_its_name():
    results = ms.moe("log(Gas) ~ Temp | 1", load("whiteside").frame).fit(n_starts=2)
    rows = simulate(results, X=load("whiteside").frame)
    assert rows.formula == "`log(Gas)` ~ Temp | 1"
    assert rows.moe().y.equals(rows.frame["log(Gas)"])
    assert list(rows.frame.columns) == ["Insul", "Temp", "log(Gas)"]  # the old Gas would be fitted unnoticed
    with pytest.raises(InputError, match="data has no column 'Gas'"):
        ms.moe("log(Gas) ~ Temp | 1", rows.frame)


def test_a_response_made_of_a_covariate_cannot_be_simulated():
    results = ms.moe("I(Gas - Temp) ~ Temp | 1", load("whiteside").frame).fit(n_starts=2)
    with pytest.raises(InputError, match=r"I\(Gas - Temp\) was computed from 'Temp', which is a covariate too"):
        simulate(results, X=load("whiteside").frame)


def test_several_responses_are_a_column_each():
    """From a model, and from a fit by a formula; both come back as a formula of the same model."""
    crabs = load("crabs").frame
    expert = "multivariate_gaussian"
    by_formula = ms.moe("log(FL) + RW ~ CL", crabs, expert=expert).fit(n_starts=2)
    found = simulate(by_formula, X=crabs, seed=2)
    assert list(found.y) == ["log(FL)", "RW"]
    assert found.formula == "`log(FL)` + RW ~ CL"
    assert not {"FL"} & set(found.frame)
    X = by_formula.design.rows(crabs)[0].to_numpy()
    drawn = by_formula.model.sample_with_experts(by_formula.params, X, np.random.default_rng(2))[0]
    np.testing.assert_array_equal(found.y, drawn)
    again = found.moe()
    np.testing.assert_array_equal(again.y, drawn)
    by_arrays = ms.fit(ms.MixtureOfExperts(expert=expert), crabs[["CL"]].to_numpy(), crabs[["FL", "RW"]], n_starts=2)
    assert simulate(by_arrays.model, by_arrays.params, 50).formula == "y1 + y2 ~ x1"
    with pytest.raises(InputError, match="a covariate has the name of the response, 'RW'"):
        simulate(by_arrays, X=crabs[["RW"]])


def test_a_fit_with_classes_has_their_labels():
    results = load("pima").moe().fit(n_starts=2)
    rows = simulate(results, X=load("pima").frame)
    assert rows.y.cat.categories.tolist() == ["No", "Yes"]
    assert rows.params is results.params


def test_a_law_may_draw_rows_of_a_frame():
    frame = load("whiteside").frame
    results = ms.moe("Gas ~ Temp + Insul | 1", frame).fit(n_starts=2)
    rows = simulate(results, n=100, covariates=lambda rng, n: frame.iloc[rng.integers(len(frame), size=n)])
    assert len(rows.frame) == 100
    assert rows.frame.index.tolist() == list(range(100))


def test_an_offset_is_known_again():
    frame = load("whiteside").frame.assign(base=2.0)
    results = ms.moe("Gas ~ Temp | 1", frame, offset="base").fit(n_starts=2)
    rows = simulate(results, X=frame)
    assert rows.moe().offset.tolist() == [2.0] * len(frame)
    means = results.predict(frame)
    assert abs((rows.y - means).mean()) < SIGMAS * (rows.y - means).std() / np.sqrt(len(frame))


def test_a_fit_to_arrays_takes_laws_and_arrays():
    x = np.linspace(0.0, 1.0, 80)
    first = simulate(MODEL, TRUTH, X=x)
    results = ms.fit(MODEL, x[:, None], first.y, n_starts=2)
    assert simulate(results, n=9, covariates="uniform").X.shape == (9, 1)
    assert len(simulate(results, X=x).y) == 80


# --------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((MODEL,), {}, "params are needed: make them by model.params"),
        (("softmax", TRUTH), {}, "model must be a MixtureOfExperts or the Results of a fit; got str"),
        ((MODEL, TRUTH, 0), {}, "n must be a whole number of at least 1; got 0"),
        ((MODEL, TRUTH, True), {}, "n must be a whole number"),
        ((MODEL, TRUTH, 4), {"X": np.zeros((3, 1))}, "n=4, but X has 3 rows. Leave n out"),
        ((MODEL, TRUTH), {"X": np.zeros((3, 2))}, "X must have 1 columns, as the parameters do; got 2"),
        ((MODEL, TRUTH), {"Z": np.zeros((3, 1))}, "Z was given without X. Pass both"),
        ((MODEL, TRUTH), {"covariates": "cauchy"}, r"covariates must be one of \['normal', 'uniform'\] or a function"),
        ((MODEL, TRUTH), {"seed": -1}, "seed must be a whole number, not negative"),
        ((MODEL, TRUTH), {"classes": ["a", "b"]}, "classes are for experts that describe classes"),
        ((CLASSES, CLASS_TRUTH), {"classes": ["a", "b"]}, "classes must be 3 different labels"),
        ((CLASSES, CLASS_TRUTH), {"classes": "abb"}, "classes must be 3 different labels"),
        ((MODEL, TRUTH), {"X": np.zeros(3), "covariates": "normal"}, "got both. Leave one of them out"),
        (
            (MODEL, TRUTH, 3),
            {"covariates": lambda rng, n: np.zeros((4, 1))},
            "must return n rows; for n=3",
        ),
        ((MODEL, TRUTH), {"X": pd.DataFrame({"y": [1.0]})}, "a covariate has the name of the response, 'y'. Rename"),
        ((ms.MixtureOfExperts(), wide(3, 2)), {"X": np.zeros((5, 2))}, "Z is needed: the gate has its own 3"),
    ],
)
def test_what_does_not_agree_is_refused(arguments, options, message):
    with pytest.raises(InputError, match=message):
        simulate(*arguments, **options)


def test_one_name_for_two_columns_is_refused():
    X, Z = pd.DataFrame({"x": [1.0, 2.0]}), pd.DataFrame({"x": [3.0, 4.0]})
    with pytest.raises(InputError, match="X and Z hold different columns of the name 'x'"):
        simulate(ms.MixtureOfExperts(), wide(1, 1), X=X, Z=Z)


def test_a_fit_says_nothing_about_the_law_of_its_covariates():
    results = load("whiteside").moe().fit(n_starts=2)
    with pytest.raises(InputError, match="X is needed: a fit says nothing about the law"):
        simulate(results)
    with pytest.raises(InputError, match="data frame for a fit by a formula"):
        simulate(results, covariates="normal")
    with pytest.raises(InputError, match="params must be left out when model is a fit"):
        simulate(results, TRUTH)


def test_rows_with_exposures_are_drawn_at_them():
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"x": rng.random(400), "t": rng.choice([1.0, 1000.0], 400)})
    table["y"] = rng.poisson(2.0 * table["t"])
    results = ms.moe("y ~ x", table, expert="poisson", exposure="t", n_experts=1).fit()
    drawn = ms.datasets.simulate(results, X=table, seed=1).frame
    rates = (drawn["y"] / table["t"])[table["t"] > 1]
    assert np.abs(rates - 2.0).max() < 0.25  # five standard errors of 2000 counts
