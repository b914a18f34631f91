"""The model: settings, parameters in and out, and the fronts over the passes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from scipy import stats

import moestat as ms
from moestat.coordinates import Affine, Coordinates
from moestat.data import Schema
from moestat.errors import InputError
from moestat.experts import EXPERTS, Gaussian, GaussianParams, Mixed, MultinomialParams
from moestat.experts.gaussian import CommonVarianceParams
from moestat.gates import GATES, Softmax, SoftmaxParams
from tests.unit import samples
from tests.unit.draws import normal
from tests.unit.samples import class_probabilities, expert_density, gate_weights, sample

#: sums of a few hundred logarithms of order one
ROUND_OFF = 1e-13

N, D, E = 60, 2, 1
EXPERT_CHOICES = {
    "gaussian": "gaussian",
    "common": Gaussian(variance="common"),
    "multinomial": "multinomial",
    "own and common": (Gaussian(), Gaussian(variance="common")),
    "multinomials": ("multinomial", "multinomial"),
}
each_expert = pytest.mark.parametrize("choice", EXPERT_CHOICES)
GATE = {"slopes": [[0.5], [-1.0]], "intercepts": [0.1, 0.2]}
LINES = {"slopes": [[1.0], [2.0]], "intercepts": [3.0, 4.0], "variances": [0.5, 0.7]}


def two_lines():
    return ms.MixtureOfExperts()


def schema_of(model, e=E):
    classes = ("low", "middle", "top") if model.expert.categorical else None
    return Schema(tuple("ab"[:D]), tuple("z")[:e], ("y",), classes)


def drawn(choice, seed=3):
    """A model with one of the experts, parameters, and rows in raw units (X, y, Z)."""
    model = ms.MixtureOfExperts(expert=EXPERT_CHOICES[choice])
    layout = model.layout(schema_of(model))
    params = layout.unpack(normal(layout.size, seed=seed))
    X, Z = 3 + 2 * normal(N, D, seed=1), normal(N, E, seed=2)
    y = np.arange(N) % 3 if model.expert.categorical else 5 * normal(N, seed=4)
    return model, params, X, y, Z


# ------------------------------------------------------------------------------------ settings
def test_components_by_name_are_the_default_components():
    for name, kind in GATES.items():
        assert ms.MixtureOfExperts(gate=name).gate == kind()
    for name, kind in EXPERTS.items():
        assert ms.MixtureOfExperts(expert=name).expert == kind()


def test_a_tuple_of_experts_has_one_family_per_expert():
    model = ms.MixtureOfExperts(expert=("gaussian", Gaussian(variance="common")), n_experts=2)
    assert model.expert == Mixed((Gaussian(), Gaussian(variance="common")))


def test_a_whole_number_of_numpy_is_a_number_of_experts():
    assert ms.MixtureOfExperts(n_experts=np.int64(3)) == ms.MixtureOfExperts(n_experts=3)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("fixed", [None, {"expert.variances": [1.0, 2.0]}])
@each_expert
def test_copies_are_equal(choice, fixed, again):
    """What is held is a read-only mapping, which pickle does not know."""
    model = ms.MixtureOfExperts(expert=EXPERT_CHOICES[choice], fixed=fixed)
    assert again(model) == model


@pytest.mark.parametrize("n_experts", [0, -1, 1.5, True, "2", None])
def test_n_experts_must_be_a_positive_whole_number(n_experts):
    with pytest.raises(InputError, match=rf"n_experts must be a whole number of at least 1; got {n_experts!r}"):
        ms.MixtureOfExperts(n_experts=n_experts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gate": "soft"}, r"gate must be one of \[.*'softmax'.*\] or an instance of Gate; got 'soft'"),
        ({"gate": Softmax}, r"gate must be .* an instance of Gate; got <class"),
        ({"gate": Gaussian()}, r"gate must be .* an instance of Gate; got Gaussian"),
        ({"expert": "normal"}, r"expert must be one of \[.*'gaussian'.*\] or an instance of Expert; got 'normal'"),
        ({"expert": ("gaussian", "normal")}, r"expert must be .*; got 'normal'"),
        ({"expert": ("gaussian",)}, "expert must be one family or a tuple of n_experts=2 families; got 1"),
        ({"expert": ("gaussian", "multinomial")}, "must describe the same kind of response"),
        ({"fixed": ["gate.slopes"]}, r"fixed must map parameter fields to values"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        ms.MixtureOfExperts(**settings)


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"gate.slope": 0.0}, r"unknown parameter field 'gate\.slope'; the fields .*gate\.slopes, .*expert\.variances"),
        ({"gate": 0.0}, "unknown parameter field 'gate'"),
        (
            {"expert.variances": [1, 2, 3]},
            r"fixed\['expert\.variances'\] must be a number or have shape \(2,\); got shape \(3,\)",
        ),
        ({"gate.slopes": "none"}, r"fixed\['gate\.slopes'\] must be a number or have shape \(2, 1\)"),
        ({"expert.variances": 0.0}, r"fixed\['expert\.variances'\] must be finite and larger than zero; got 0\.0"),
        ({"expert.variances": [1, -2]}, r"must be finite and larger than zero; got -2\.0"),
        ({"expert.variances": [1, np.inf]}, r"must be finite and larger than zero; got inf"),
        ({"gate.slopes": np.nan}, r"fixed\['gate\.slopes'\] must be finite; got nan"),
    ],
)
def test_held_fields_that_are_refused(fixed, message):
    """They are checked as soon as the data tell the shapes."""
    with pytest.raises(InputError, match=message):
        ms.MixtureOfExperts(fixed=fixed).data(normal(N), normal(N))


# ------------------------------------------------------------------------------------ parameters
@pytest.mark.parametrize(
    "given",
    [
        {"gate": GATE, "expert": LINES},
        {"gate": SoftmaxParams(**GATE), "expert": GaussianParams(**LINES)},
        {"gate": SoftmaxParams(**GATE), "expert": {name: np.array(value) for name, value in LINES.items()}},
    ],
    ids=["mappings", "records", "both"],
)
def test_parameters_from_mappings_and_records(given):
    params = two_lines().params(**given)
    assert params.gate == SoftmaxParams(**GATE)
    assert params.expert == GaussianParams(**LINES)


def test_parameters_of_a_tuple_of_families():
    """One record per expert, each of a single expert."""
    model = ms.MixtureOfExperts(expert=(Gaussian(), Gaussian(variance="common")))
    first = {"slopes": [[1.0]], "intercepts": [3.0], "variances": [0.5]}
    second = {"slopes": [[2.0]], "intercepts": [4.0], "variance": 0.7}
    params = model.params(gate=GATE, expert=(first, second))
    assert params.expert.members == (GaussianParams(**first), CommonVarianceParams(**second))
    assert model.params(gate=GATE, expert=params.expert) == params


def test_numbers_of_covariates_and_classes_come_from_the_shapes():
    model = ms.MixtureOfExperts(expert="multinomial")
    expert = MultinomialParams(slopes=np.zeros((2, 3, 4)), intercepts=np.zeros((2, 3)))
    params = model.params(gate={"slopes": np.zeros((2, 0)), "intercepts": np.zeros(2)}, expert=expert)
    assert model.predict(params, np.zeros((5, 4)), np.zeros((5, 0))).shape == (5, 4)


FIELDS = r"\['intercepts', 'slopes', 'variances'\]"


@pytest.mark.parametrize(
    ("gate", "expert", "message"),
    [
        ({"slopes": [0.5, -1.0]}, {}, r"gate\.slopes must have 2 axes .*; got an array of shape \(2,\)"),
        ({"slopes": [[1.0]] * 3}, {}, r"gate\.slopes must have shape \(2, 1\) \(expert=2, feature=1\); got \(3, 1\)"),
        ({}, {"intercepts": [1.0]}, r"expert\.intercepts must have shape \(2,\) \(expert=2\); got \(1,\)"),
        ({}, {"variances": [0.5, -0.7]}, r"expert\.variances must be finite and larger than zero; got .*-0\.7"),
        ({"intercepts": [0.0, np.nan]}, {}, r"gate\.intercepts must be finite; got .*nan"),
        ({"slopes": [[1.0], [1.0, 2.0]]}, {}, r"gate\.slopes must be an array of numbers"),
        ({"intercepts": ["a", "b"]}, {}, r"gate\.intercepts must be an array of numbers; got \['a', 'b'\]"),
        ({"temperature": 1.0}, {}, r"gate must have the fields \['intercepts', 'slopes'\]; got \[.*'temperature'\]"),
        ({}, {"variance": 1.0}, rf"expert must have the fields {FIELDS}; got \[.*'variance'\]"),
    ],
)
def test_parameters_that_are_refused(gate, expert, message):
    with pytest.raises(InputError, match=message):
        two_lines().params(gate=GATE | gate, expert=LINES | expert)


@pytest.mark.parametrize(
    ("expert", "message"),
    [
        ({"slopes": [[1.0], [2.0]], "intercepts": [3.0, 4.0]}, rf"expert must have the fields {FIELDS}; got"),
        (None, rf"expert must have the fields {FIELDS}; a NoneType has no {FIELDS}"),
        (SoftmaxParams(**GATE), r"a SoftmaxParams has no \['variances'\]"),
    ],
)
def test_parameters_without_a_field_are_refused(expert, message):
    with pytest.raises(InputError, match=message):
        two_lines().params(gate=GATE, expert=expert)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_tuple_of_families_needs_as_many_records(count):
    record = {"slopes": [[1.0]], "intercepts": [3.0], "variances": [0.5]}
    model = ms.MixtureOfExperts(expert=("gaussian", "gaussian"))
    with pytest.raises(InputError, match="expert must be a tuple of 2 records, one per expert; got"):
        model.params(gate=GATE, expert=(record,) * count)


def test_names_of_lines():
    model = ms.MixtureOfExperts()
    assert model.names(schema_of(model)) == [
        *["gate[1].const", "gate[2].const", "gate[1].z", "gate[2].z"],
        *["expert[1].const", "expert[2].const", "expert[1].a", "expert[1].b", "expert[2].a", "expert[2].b"],
        *["expert[1].variance", "expert[2].variance"],
    ]


def test_names_of_classes_leave_out_the_reference():
    model = ms.MixtureOfExperts(expert="multinomial", n_experts=1)
    assert model.names(schema_of(model, e=0)) == [
        *["gate[1].const", "expert[1].middle.const", "expert[1].top.const"],
        *["expert[1].middle.a", "expert[1].middle.b", "expert[1].top.a", "expert[1].top.b"],
    ]


def test_names_of_a_tuple_of_families_count_the_experts():
    model = ms.MixtureOfExperts(expert=(Gaussian(), Gaussian(variance="common")))
    assert model.names(schema_of(model))[4:] == [
        f"expert[{k}].{name}" for k in (1, 2) for name in ("const", "a", "b", "variance")
    ]


@each_expert
def test_raw_and_working_parameters_round_trip(choice):
    """Far from the origin, too: the cancellation of 1e3 against slopes of order one costs three digits of 16."""
    model, params, _, _, _ = drawn(choice)
    schema = schema_of(model)
    X = Affine(np.array([1e3, -7.3]), np.array([4.0, 0.25]))
    Z = Affine(np.array([-2.1]), np.array([0.5]))
    y = Affine.identity(1) if model.expert.categorical else Affine(np.array([55.5]), np.array([8.0]))
    at = Coordinates(X, Z, y)
    theta = model.to_theta(params, schema, at)
    back = model.from_theta(theta, schema, at)
    layout = model.layout(schema)
    np.testing.assert_allclose(layout.natural(layout.pack(back)), layout.natural(layout.pack(params)), atol=1e-12)
    assert not np.allclose(theta, layout.pack(params))  # the coordinates do matter


# ------------------------------------------------------------------------------------ likelihood
@each_expert
@pytest.mark.parametrize("own_Z", [False, True], ids=["X", "Z"])
def test_loglik_is_that_of_the_formula(choice, own_Z):
    """In raw units, though the passes work on standardised rows."""
    model, params, X, y, Z = drawn(choice)
    if not own_Z:
        Z = X[:, :E]
    weight = np.random.default_rng(5).gamma(2.0, size=N)
    expected = samples.loglik(params, X, y, Z, weight)
    assert model.loglik(params, X, y, Z, weight) == pytest.approx(expected, rel=ROUND_OFF)


def test_loglik_without_Z_lets_the_gate_see_X():
    drawn_ = sample(2, d=2)
    expected = samples.loglik(drawn_.truth, drawn_.X, drawn_.y)
    assert drawn_.model.loglik(drawn_.truth, drawn_.X, drawn_.y) == pytest.approx(expected, rel=ROUND_OFF)


def test_loglik_with_an_offset():
    model, params, X, y, Z = drawn("gaussian")
    offset = 10 * normal(N, seed=6)
    expected = samples.loglik(params, X, y, Z, offset=offset)
    assert model.loglik(params, X, y, Z, offset=offset) == pytest.approx(expected, rel=ROUND_OFF)


@each_expert
def test_log_density_of_each_row(choice):
    model, params, X, y, Z = drawn(choice)
    expected = np.log(samples.density(params, X, y, Z))
    np.testing.assert_allclose(model.log_density(params, X, y, Z), expected, rtol=1e-12)


@each_expert
def test_responsibilities_are_bayes_rule(choice):
    model, params, X, y, Z = drawn(choice)
    joint = gate_weights(params.gate, Z) * expert_density(params.expert, X, y)
    expected = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.responsibilities(params, X, y, Z), expected, atol=1e-13)


def test_weights_are_those_of_the_gate():
    model, params, _, _, Z = drawn("gaussian")
    np.testing.assert_allclose(model.gate_weights(params, Z), gate_weights(params.gate, Z), atol=1e-15)


# ------------------------------------------------------------------------------------ prediction
def test_prediction_is_the_weighted_mean_of_the_lines():
    model, params, X, _, Z = drawn("own and common")
    lines = np.hstack([X @ member.slopes.T + member.intercepts for member in params.expert.members])
    expected = (gate_weights(params.gate, Z) * lines).sum(axis=1)
    np.testing.assert_allclose(model.predict(params, X, Z), expected, atol=1e-13)


@each_expert
def test_the_prediction_is_made_of_the_experts_means(choice):
    model, params, X, _, Z = drawn(choice)
    weights, means = model.gate_weights(params, Z), model.expert_means(params, X, Z)
    assert means.shape[:2] == weights.shape
    mixed = np.einsum("nk,nk...->n...", weights, means)
    np.testing.assert_allclose(model.predict(params, X, Z), mixed, rtol=ROUND_OFF, atol=ROUND_OFF)


def test_an_offset_is_added_to_the_prediction():
    model, params, X, _, Z = drawn("gaussian")
    offset = normal(N, seed=6)
    plain = model.predict(params, X, Z)
    np.testing.assert_allclose(model.predict(params, X, Z, offset=offset), plain + offset, atol=1e-13)


def test_predicted_class_probabilities_are_the_mixture_of_the_experts():
    model, params, X, _, Z = drawn("multinomial")
    expected = np.einsum("nk,nkc->nc", gate_weights(params.gate, Z), class_probabilities(params.expert, X))
    np.testing.assert_allclose(model.predict(params, X, Z), expected, atol=1e-14)


# ------------------------------------------------------------------------------------ sampling
DRAWS = 40_000
SEED = 20

#: a seeded draw is further than this many standard errors off with probability 1e-6
SIGMAS = 5.0


def assert_frequencies(counts, probabilities):
    error = np.sqrt(DRAWS * probabilities * (1 - probabilities))
    assert (np.abs(counts - DRAWS * probabilities) < SIGMAS * error).all()


def test_samples_come_from_each_line_as_often_as_the_gate_says():
    """Lines so far apart that every draw tells its expert; within one, draws are normal."""
    model = ms.MixtureOfExperts(n_experts=3)
    expert = {"slopes": [[0.0], [1.0], [2.0]], "intercepts": [0.0, 100.0, 200.0], "variances": [1.0, 4.0, 0.25]}
    gate = {"slopes": [[0.0], [0.5], [1.0]], "intercepts": [0.0, 0.3, -0.2]}
    params = model.params(gate=gate, expert=expert)
    X = np.full((DRAWS, 1), 0.7)
    y = model.sample(params, X, np.random.default_rng(SEED))
    own = np.rint(y / 100).astype(int)
    assert_frequencies(np.bincount(own), gate_weights(params.gate, X)[0])
    for k in range(3):
        sd = np.sqrt(params.expert.variances[k])
        line = params.expert.intercepts[k] + 0.7 * params.expert.slopes[k, 0]
        assert stats.kstest((y[own == k] - line) / sd, "norm").pvalue > 1e-4


def test_sampled_classes_are_as_frequent_as_predicted():
    model, params, X, _, Z = drawn("multinomial")
    rows = (np.repeat(X[:1], DRAWS, axis=0), np.repeat(Z[:1], DRAWS, axis=0))
    drawn_ = model.sample(params, rows[0], np.random.default_rng(SEED), rows[1])
    assert_frequencies(np.bincount(drawn_.astype(int), minlength=3), model.predict(params, X[:1], Z[:1])[0])


def test_the_generator_decides_the_sample():
    model, params, X, _, Z = drawn("gaussian")
    one, same, other = (model.sample(params, X, np.random.default_rng(s), Z) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
