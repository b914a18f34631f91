"""The estimators obey scikit-learn's own checks, and its pipelines, searches and routing."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.special import expit
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import estimator_checks as checks

import moestat as ms
from moestat.errors import InputError, SeparationWarning
from moestat.estimators import N_STARTS, MoEClassifier, MoERegressor, _laid_out_as, _seed
from moestat.gates import GATES

ROOT = Path(__file__).parents[2]
ETHANOL, VOTERS = ms.datasets.load("ethanol"), ms.datasets.load("anes96")
BOTH = (MoERegressor, MoEClassifier)
both = pytest.mark.parametrize("kind", BOTH)
quiet = pytest.mark.filterwarnings("ignore::moestat.errors.MoestatWarning")  # toy data separate, and are few
mixed_input = pytest.mark.filterwarnings(
    "ignore:X (does not have valid|has) feature names"
)  # these checks pass both kinds

#: Scikit-learn's checks of output containers are not part of check_estimator.
OUTPUT_CHECKS = (
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_global_output_transform_pandas",
    "check_dataframe_column_names_consistency",
)
#: Of every gate in the default run: what depends on the gate, not on the facade. The slow run has all.
OF_EVERY_GATE = (
    "check_estimators_pickle",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit_idempotent",
    "check_methods_subset_invariance",
)
NEEDS_ARRAY_API = "check_array_api_input"  # skipped unless SciPy was imported with SCIPY_ARRAY_API=1


def sample_of(kind):
    data = ETHANOL if kind is MoERegressor else VOTERS
    return data.X, data.y


def fitted(kind, **settings):
    X, y = sample_of(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.MoestatWarning)
        return kind(**{"n_starts": 2, **settings}).fit(X, y)


# ------------------------------------------------------------------------------------ scikit-learn's checks
def named(estimator, check):
    words = [type(estimator).__name__, f"K={estimator.n_experts}", check.func.__name__.removeprefix("check_")]
    if estimator.gate != "softmax":
        words.append(estimator.gate)
    quick = estimator.gate == "softmax" or check.func.__name__ in OF_EVERY_GATE
    marks = () if quick else pytest.mark.slow
    return pytest.param(estimator, check, id="-".join([*words, *map(str, check.keywords.values())]), marks=marks)


def all_checks():
    """At default settings, with one and three experts, and with every gate."""
    for kind in BOTH:
        likely = [name for name, gate in GATES.items() if gate.sums_to_one and name != "softmax"]
        others = [kind(gate=gate, n_starts=1) for gate in likely]
        others += [kind(objective="least_squares", n_starts=1)] if kind is ms.MoERegressor else []
        for estimator in (kind(), kind(1), kind(3, n_starts=2), *others):
            for _, check in checks.estimator_checks_generator(estimator):
                if check.func.__name__ != NEEDS_ARRAY_API:
                    yield named(estimator, check)


@quiet
@pytest.mark.parametrize(("estimator", "check"), list(all_checks()))
def test_check_estimator(estimator, check):
    check(estimator)


@quiet
@mixed_input
@both
@pytest.mark.parametrize("name", OUTPUT_CHECKS)
def test_output_containers(kind, name):
    getattr(checks, name)(kind.__name__, kind(n_starts=2))


def test_the_check_that_wants_the_array_api():
    """No skip: in an interpreter of its own, which sets the variable before SciPy is imported."""
    command = (
        "import moestat as ms; from sklearn.utils.estimator_checks import estimator_checks_generator\n"
        "for kind in (ms.MoERegressor, ms.MoEClassifier):\n"
        "    found = [check for _, check in estimator_checks_generator(kind())"
        f" if check.func.__name__ == {NEEDS_ARRAY_API!r}]\n"
        "    assert found\n"
        "    [check(kind(n_starts=2)) for check in found]"
    )
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    run = subprocess.run([sys.executable, "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@both
def test_no_tag_evades_a_check(kind):
    tags = kind().__sklearn_tags__()
    assert not any([tags._skip_test, tags.no_validation, tags.non_deterministic])
    assert tags.requires_fit
    assert not getattr(tags.regressor_tags, "poor_score", False)
    assert not getattr(tags.classifier_tags, "poor_score", False)


def test_separable_data_end_with_a_named_warning():
    X, y = load_iris(return_X_y=True)
    with pytest.warns(SeparationWarning, match="separates the rows"):
        model = MoEClassifier().fit(X, y)
    assert model.score(X, y) > 0.95


# ------------------------------------------------------------------------------------ the same fit as ms.fit
def test_regression_is_that_of_fit():
    X, y = sample_of(MoERegressor)
    model, results = MoERegressor().fit(X, y), ms.fit(ms.MixtureOfExperts(), X, y, n_starts=N_STARTS)
    np.testing.assert_array_equal(model.results_.theta, results.theta)
    np.testing.assert_array_equal(model.predict(X), results.predict(X))
    np.testing.assert_array_equal(model.transform(X), results.gate_weights(X))
    np.testing.assert_array_equal(model.responsibilities(X, y), results.responsibilities(X, y))
    np.testing.assert_array_equal(model.log_density(X, y), results.log_density(X, y))
    np.testing.assert_array_equal(model.sample(X, random_state=3), results.sample(X, seed=3))
    assert model.results_.names == results.names
    assert model.results_.schema == results.schema
    assert model.n_iter_ == len(results.trace) - 1


def test_classification_is_that_of_fit():
    X, y = sample_of(MoEClassifier)
    model = MoEClassifier(n_experts=1).fit(X, y)
    results = ms.fit(ms.MixtureOfExperts(expert="multinomial", n_experts=1), X, y)
    np.testing.assert_array_equal(model.predict_proba(X), results.predict(X))
    np.testing.assert_array_equal(model.predict(X), model.classes_[results.predict(X).argmax(axis=1)])
    np.testing.assert_array_equal(model.log_density(X, y), results.log_density(X, y))
    assert set(model.sample(X, random_state=0)) == set(model.classes_) == set(y)
    assert model.score(X, y) > 0.6


@both
def test_one_expert_has_all_the_weight(kind):
    model = fitted(kind, n_experts=1)
    np.testing.assert_array_equal(model.transform(sample_of(kind)[0]), 1.0)
    assert model.get_feature_names_out().tolist() == ["expert1"]


@both
def test_settings_reach_the_model_and_the_solver(kind):
    model = fitted(kind, fixed={"gate.slopes": 0.0}, bounds={"expert.slopes": 3.0}, solver="em", expert=kind().expert)
    assert (model.results_.params.gate.slopes == 0).all()
    assert np.abs(model.results_.params.expert.slopes).max() <= 3.0
    assert "em" in set(model.results_.trace.method)


def test_a_tuple_of_families():
    model = fitted(MoERegressor, expert=("gaussian", ms.experts.Gaussian(variance="common")))
    assert model.results_.model.expert.name == "mixed"


# ------------------------------------------------------------------------------------ seeds
def test_an_integer_seed_gives_the_same_fit():
    one, other = (fitted(MoERegressor, n_experts=3, n_starts=1, random_state=5) for _ in range(2))
    np.testing.assert_array_equal(one.results_.theta, other.results_.theta)


def test_other_random_states_give_another_seed_each_time():
    """A generator goes on from fit to fit; equal generators give equal seeds."""
    one, other = (np.random.RandomState(0) for _ in range(2))
    seeds = [_seed(one), _seed(one), _seed(None), _seed(None)]
    assert len(set(seeds)) == 4
    assert [_seed(other), _seed(other)] == seeds[:2]
    one, other = (np.random.default_rng(0) for _ in range(2))
    seeds = [_seed(one), _seed(one)]
    assert len(set(seeds)) == 2
    assert [_seed(other), _seed(other)] == seeds
    assert fitted(MoERegressor, random_state=np.random.default_rng(0)).results_.certificate


def test_samples_differ_unless_seeded():
    model = fitted(MoERegressor)
    X = ETHANOL.X
    assert not np.array_equal(model.sample(X), model.sample(X))
    np.testing.assert_array_equal(model.sample(X, random_state=1), model.sample(X, random_state=1))


# ------------------------------------------------------------------------------------ rows and weights
@quiet
@both
def test_repetitions_weights_and_order_change_no_bit(kind):
    X, y = (np.asarray(a) for a in sample_of(kind))
    rng = np.random.default_rng(0)
    times, order = rng.integers(0, 3, len(y)), rng.permutation(len(y))
    base = kind(n_starts=2).fit(X, y, sample_weight=times)
    repeated = kind(n_starts=2).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    shuffled = kind(n_starts=2).fit(X[order], y[order], sample_weight=times[order])
    for other in (repeated, shuffled):
        np.testing.assert_array_equal(other.predict(X), base.predict(X))
        np.testing.assert_array_equal(other.transform(X), base.transform(X))


def test_classes_of_weight_zero_are_none():
    X, y = sample_of(MoEClassifier)
    model = MoEClassifier(1).fit(X, y, sample_weight=(y != "Independent").astype(float))
    assert model.classes_.tolist() == ["Democrat", "Republican"]
    assert model.predict_proba(X).shape == (len(y), 2)


@pytest.mark.parametrize("dtype", ["object", "category", "str"])
def test_labels_of_any_type(dtype):
    X, y = sample_of(MoEClassifier)
    assert set(MoEClassifier(1).fit(X, y.astype(dtype)).predict(X)) <= set(y)


def test_single_precision_is_read_exactly():
    X, y = ETHANOL.X.to_numpy(np.float32), ETHANOL.y
    one, other = (MoERegressor(n_starts=2).fit(x, y).predict(X) for x in (X, X.astype(np.float64)))
    np.testing.assert_array_equal(one, other)


@quiet
def test_logarithms_of_probabilities_that_round_to_zero():
    """No warning, and log_density keeps the finite value."""
    X, y = np.array([[1.0], [1.0], [-1.0], [-1.0]]), np.array([1, 1, 0, 0])
    model = MoEClassifier(1, fixed={"expert.slopes": 1000.0, "expert.intercepts": 0.0}).fit(X, y)
    np.testing.assert_array_equal(model.predict_log_proba(X[1:3]), [[-np.inf, 0.0], [0.0, -np.inf]])
    np.testing.assert_allclose(model.log_density(X[1:3], [0, 1]), -1000.0, rtol=1e-14)


# ------------------------------------------------------------------------------------ offset and exposure
def rates(n=200):
    """Covariates, times at risk and counts of two rates; of the same laws, successes in a number of trials."""
    rng = np.random.default_rng(3)
    X, time, trials = rng.standard_normal((n, 1)), rng.uniform(1.0, 20.0, n), rng.integers(5, 30, n)
    predictor = np.where(rng.random(n) < 0.5, 1 + X[:, 0], -1 - 0.5 * X[:, 0])
    return X, time, rng.poisson(time * np.exp(predictor)), trials, rng.binomial(trials, expit(predictor))


PLACES, TIME, COUNTS, TRIALS, SUCCESSES = rates()
KNOWN = (
    ("poisson", COUNTS, {"exposure": TIME}),
    ("poisson", COUNTS, {"offset": np.log(TIME)}),
    ("binomial", SUCCESSES, {"exposure": TRIALS}),
    ("binomial", SUCCESSES, {"exposure": TRIALS, "offset": PLACES[:, 0] / 4}),
    ("gaussian", np.log1p(COUNTS), {"offset": TIME}),
)


@pytest.mark.parametrize(("expert", "y", "known"), KNOWN)
def test_known_terms_reach_the_fit_and_every_method(expert, y, known):
    model = MoERegressor(expert=expert, n_starts=2).fit(PLACES, y, **known)
    results = ms.fit(ms.MixtureOfExperts(expert=expert), PLACES, y, n_starts=2, **known)
    np.testing.assert_array_equal(model.results_.theta, results.theta)
    predicted = model.predict(PLACES, **known)
    np.testing.assert_array_equal(predicted, results.predict(PLACES, **known))
    assert (predicted != model.predict(PLACES)).any()
    np.testing.assert_array_equal(
        model.responsibilities(PLACES, y, **known), results.responsibilities(PLACES, y, **known)
    )
    np.testing.assert_array_equal(model.log_density(PLACES, y, **known), results.log_density(PLACES, y, **known))
    drawn = model.sample(PLACES, random_state=1, **known)
    np.testing.assert_array_equal(drawn, results.sample(PLACES, seed=1, **known))
    weight = TIME
    want = r2_score(y, predicted, sample_weight=weight)
    assert model.score(PLACES, y, weight, **known) == want


def test_an_expert_without_a_place_for_known_terms_says_so():
    with pytest.raises(InputError, match="the gaussian expert takes no exposure"):
        MoERegressor().fit(PLACES, COUNTS, exposure=TIME)
    with pytest.raises(InputError, match="the multinomial expert takes no offset"):
        MoEClassifier().fit(PLACES, COUNTS > 3, offset=TIME)
    with pytest.raises(InputError, match="exposure"):
        MoERegressor(expert="poisson").fit(PLACES, COUNTS, exposure=TIME[:5])
    model = fitted(MoEClassifier, n_experts=1)
    for method in (model.predict, model.predict_proba, model.predict_log_proba):
        with pytest.raises(InputError, match="takes no offset"):
            method(VOTERS.X, offset=np.ones(len(VOTERS.y)))
    with pytest.raises(InputError, match="takes no offset"):
        model.score(VOTERS.X, VOTERS.y, offset=np.ones(len(VOTERS.y)))


def test_known_terms_pass_through_a_pipeline():
    alone = MoERegressor(expert="poisson", n_starts=2).fit(
        StandardScaler().fit_transform(PLACES), COUNTS, exposure=TIME
    )
    chain = make_pipeline(StandardScaler(), MoERegressor(expert="poisson", n_starts=2))
    chain.fit(PLACES, COUNTS, moeregressor__exposure=TIME)
    np.testing.assert_array_equal(chain[-1].results_.theta, alone.results_.theta)
    np.testing.assert_array_equal(chain.predict(PLACES, exposure=TIME), alone.results_.predict())


def test_known_terms_are_routed():
    """Folds get their own rows of the exposures, for fits and for scores."""
    X, y, folds = PLACES, COUNTS, KFold(3)
    with sklearn.config_context(enable_metadata_routing=True):
        moe = MoERegressor(expert="poisson", n_starts=2)
        moe = moe.set_fit_request(exposure=True).set_score_request(exposure=True).set_predict_request(exposure=True)
        chain = make_pipeline(StandardScaler(), moe)
        found = cross_validate(chain, X, y, cv=folds, params={"exposure": TIME})["test_score"]
        predicted = chain.fit(X, y, exposure=TIME).predict(X, exposure=TIME)
    by_hand = []
    for train, test in folds.split(X):
        scaler = StandardScaler().fit(X[train])
        model = MoERegressor(expert="poisson", n_starts=2)
        model.fit(scaler.transform(X[train]), y[train], exposure=TIME[train])
        by_hand.append(model.score(scaler.transform(X[test]), y[test], exposure=TIME[test]))
    np.testing.assert_array_equal(found, by_hand)
    assert predicted.shape == y.shape


# ------------------------------------------------------------------------------------ several responses
def test_several_responses_are_those_of_fit():
    rng = np.random.default_rng(4)
    Y = TABLE[["x1", "x2"]].to_numpy() + rng.standard_normal((len(TABLE), 2))
    X = TABLE[["z1"]]
    model = MoERegressor(expert="multivariate_gaussian", n_starts=2).fit(X, Y)
    results = ms.fit(ms.MixtureOfExperts(expert="multivariate_gaussian"), X, Y, n_starts=2)
    np.testing.assert_array_equal(model.predict(X), results.predict(X))
    np.testing.assert_array_equal(model.log_density(X, Y), results.log_density(X, Y))
    assert model.predict(X).shape == model.sample(X).shape == Y.shape
    assert model.score(X, Y) == r2_score(Y, results.predict(X))
    with pytest.raises(ValueError, match="y should be a 1d array"):
        MoERegressor().fit(X, Y)


def test_the_tag_says_whether_several_responses_are_read():
    """Also of settings that a fit would refuse."""
    for expert, several in (("gaussian", False), ("multivariate_gaussian", True), ("no such expert", False)):
        assert MoERegressor(expert=expert).__sklearn_tags__().target_tags.multi_output is several


@quiet
@pytest.mark.parametrize(
    "name", ["check_supervised_y_2d", "check_regressor_multioutput", "check_regressors_no_decision_function"]
)
def test_checks_of_several_responses(name):
    getattr(checks, name)("MoERegressor", MoERegressor(expert="multivariate_gaussian", n_starts=2))


# ------------------------------------------------------------------------------------ columns
def two_planes(n=150):
    """Covariates of the experts and of the gate in one table."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.standard_normal((n, 4)), columns=["x1", "x2", "z1", "z2"])
    first = rng.random(n) < 1 / (1 + np.exp(-2 * table.z1))
    return table, np.where(first, 2 + table.x1, -table.x2) + 0.3 * rng.standard_normal(n)


TABLE, RESPONSE = two_planes()
SELECTORS = (
    (["z1", "z2"], ["x1", "x2"]),
    (slice(2, None), slice("x1", "x2")),
    (make_column_selector(pattern="^z"), make_column_selector(pattern="^x")),
    ([False, False, True, True], [0, 1]),
)


@pytest.mark.parametrize(("gate", "expert"), SELECTORS)
def test_gate_and_experts_see_their_columns(gate, expert):
    model = MoERegressor(n_starts=3, gate_features=gate, expert_features=expert).fit(TABLE, RESPONSE)
    results = ms.fit(ms.MixtureOfExperts(), TABLE[["x1", "x2"]], RESPONSE, TABLE[["z1", "z2"]], n_starts=3)
    np.testing.assert_array_equal(model.predict(TABLE), results.predict(TABLE[["x1", "x2"]], TABLE[["z1", "z2"]]))
    assert model.gate_columns_.tolist() == [2, 3]
    assert model.expert_columns_.tolist() == [0, 1]
    assert {"gate[1].z1", "expert[1].x2"} <= set(model.results_.names)
    assert not {"gate[1].x1", "expert[1].z1"} & set(model.results_.names)


def test_columns_without_names_are_numbered_as_in_X():
    model = MoERegressor(n_starts=3, gate_features=[3]).fit(TABLE.to_numpy(), RESPONSE)
    assert {"gate[1].x4", "expert[1].x1"} <= set(model.results_.names)


def test_no_columns():
    constant = MoERegressor(n_starts=3, gate_features=[]).fit(TABLE, RESPONSE)
    assert len(np.unique(constant.transform(TABLE), axis=0)) == 1
    levels = MoERegressor(n_starts=3, expert_features=[]).fit(TABLE, RESPONSE)
    assert levels.results_.params.expert.slopes.shape == (2, 0)
    assert levels.predict(TABLE).shape == (len(TABLE),)


@pytest.mark.parametrize("part", ["gate_features", "expert_features"])
def test_columns_that_are_not_there(part):
    with pytest.raises(InputError, match=f"{part} names 'w', which is no column of X"):
        MoERegressor(**{part: ["w"]}).fit(TABLE, RESPONSE)


# ------------------------------------------------------------------------------------ what is refused
def test_experts_that_do_not_suit_the_response():
    with pytest.raises(InputError, match="For classes use MoEClassifier"):
        MoERegressor(expert="multinomial").fit(TABLE, RESPONSE)
    with pytest.raises(InputError, match="For a numeric response use MoERegressor"):
        MoEClassifier(expert="gaussian").fit(TABLE, RESPONSE > 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_experts": 0}, "n_experts must be a whole number"),
        ({"gate": "soft"}, "gate must be one of"),
        ({"n_starts": 0}, "n_starts must be a whole number"),
        ({"random_state": -1}, "seed must be a whole number of at least 0"),
        ({"random_state": "x"}, "cannot be used to seed"),
        ({"bounds": {"gate.slope": 1.0}}, "gate.slope"),
        ({"solver": "sgd"}, "sgd"),
    ],
)
def test_settings_are_checked_when_fitted(settings, message):
    with pytest.raises(ValueError, match=message):
        MoERegressor(**settings).fit(TABLE, RESPONSE)


def test_fewer_rows_than_experts():
    with pytest.raises(ValueError, match="minimum of 3 is required"):
        MoERegressor(3).fit(TABLE[:2], RESPONSE[:2])


def test_classes_that_the_fit_did_not_see():
    model = fitted(MoEClassifier, n_experts=1)
    with pytest.raises(InputError, match="got also \\['Whig'\\]"):
        model.log_density(VOTERS.X[:2], ["Whig", "Democrat"])


@both
@pytest.mark.parametrize("method", ["transform", "sample", "get_feature_names_out"])
def test_methods_of_an_estimator_without_fit(kind, method):
    with pytest.raises(NotFittedError):
        getattr(kind(), method)(TABLE)


@both
@pytest.mark.parametrize("method", ["responsibilities", "log_density"])
def test_densities_of_an_estimator_without_fit(kind, method):
    with pytest.raises(NotFittedError):
        getattr(kind(), method)(TABLE, RESPONSE)


# ------------------------------------------------------------------------------------ in scikit-learn's company
@both
@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_predict_the_same(kind, again):
    X, _ = sample_of(kind)
    model = fitted(kind, fixed={"gate.slopes": 0.0}, bounds={"expert.slopes": 50.0})
    np.testing.assert_array_equal(again(model).predict(X), model.predict(X))
    assert again(model).results_.model == model.results_.model


@both
def test_clones_have_the_settings_only(kind):
    model = fitted(kind, fixed={"gate.slopes": 0.0}, solver=ms.solvers.EM(max_iter=50), gate=ms.gates.Softmax())
    other = clone(model)
    assert not hasattr(other, "results_")
    assert other.get_params() == model.get_params()


def test_grid_search_in_a_pipeline():
    """Over the number of experts, behind encoded columns, scored by the density of held-out rows."""
    X = TABLE.assign(group=np.resize(["a", "b", "c"], len(TABLE)))
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["x1", "x2", "z1"]),
            ("group", OneHotEncoder(drop="first", sparse_output=False), ["group"]),
        ],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    moe = MoERegressor(n_starts=2, gate_features=["z1"], expert_features=["x1", "x2", "group_b", "group_c"])
    search = GridSearchCV(
        make_pipeline(columns, moe),
        {"moeregressor__n_experts": [1, 2], "moeregressor__gate": ["softmax"]},
        scoring=lambda model, X, y: model[-1].log_density(model[:-1].transform(X), y).mean(),
        cv=3,
    ).fit(X, RESPONSE)
    assert search.best_params_["moeregressor__n_experts"] == 2
    assert "expert[1].group_c" in search.best_estimator_[-1].results_.names
    assert search.best_estimator_.score(X, RESPONSE) > 0.4


def test_parallel_searches_find_the_same():
    one, two = (
        GridSearchCV(MoERegressor(n_starts=2), {"n_experts": [1, 2]}, cv=2, n_jobs=n).fit(*sample_of(MoERegressor))
        for n in (None, 2)
    )
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])


def test_weights_of_the_gate_are_features_for_others():
    X, y = TABLE, RESPONSE
    weights = MoERegressor(n_starts=2).set_output(transform="pandas").fit(X, y).transform(X)
    assert list(weights.columns) == ["expert1", "expert2"]
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-14)
    chain = make_pipeline(MoERegressor(n_starts=2), LinearRegression())
    assert chain.fit(X, y).score(X, y) > 0.2
    joined = ColumnTransformer([("moe", MoERegressor(n_starts=2), ["x1", "z1"])]).fit(X, y)
    assert joined.get_feature_names_out().tolist() == ["moe__expert1", "moe__expert2"]


@both
def test_responsibilities_follow_the_output_container(kind):
    X, y = sample_of(kind)
    model = fitted(kind)
    plain = model.responsibilities(X, y)
    assert isinstance(plain, np.ndarray)
    table = model.set_output(transform="pandas").responsibilities(X, y)
    assert list(table.columns) == ["expert1", "expert2"]
    assert table.index.equals(X.index)
    np.testing.assert_array_equal(table, plain)
    with sklearn.config_context(transform_output="pandas"):
        assert fitted(kind).responsibilities(X, y).equals(table)


def test_responsibilities_in_a_frame_of_another_library():
    class Frame:
        def __init__(self, values, schema):
            self.values, self.columns = values, schema

    values = np.eye(2)
    table = _laid_out_as(Frame(np.ones((2, 2)), ["expert1", "expert2"]), values)
    assert table.values is values
    assert table.columns == ["expert1", "expert2"]


def test_cross_validation_with_probabilities():
    X, y = sample_of(MoEClassifier)
    probabilities = cross_val_predict(MoEClassifier(1), X, y, cv=3, method="predict_proba")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-12)
    scores = cross_validate(MoEClassifier(1), X, y, cv=3, scoring=["neg_log_loss", "accuracy"], return_estimator=True)
    assert (scores["test_accuracy"] > 0.5).all()


def test_weights_are_routed():
    """Through a pipeline and a search, to fits and to scores."""
    X, y = sample_of(MoERegressor)
    weight = np.resize([1.0, 2.0, 0.0], len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        moe = MoERegressor(n_starts=2).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        chain = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), moe)
        search = GridSearchCV(chain, {"moeregressor__n_experts": [1, 2]}, cv=2).fit(X, y, sample_weight=weight)
        assert search.best_estimator_[-1].results_.nobs == weight.sum()
        plain = make_pipeline(StandardScaler(), MoERegressor(n_starts=2).set_fit_request(sample_weight=False))
        plain.fit(X, y)
        assert plain[-1].results_.nobs == len(y)


def test_transforms_after_a_weighted_fit_are_routed():
    X, y = sample_of(MoERegressor)
    weight = np.resize([1.0, 2.0], len(y))
    one = MoERegressor(n_starts=2).fit_transform(X, y, sample_weight=weight)
    np.testing.assert_array_equal(one, MoERegressor(n_starts=2).fit(X, y, weight).transform(X))
