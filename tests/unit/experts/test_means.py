"""Means of Gaussian experts that are no straight lines: recovery, units, what is not identified, what is refused."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from scipy.special import erf, expit

import moestat as ms
from moestat.component import Dims
from moestat.errors import InputError
from moestat.experts import Gaussian, Mixed

CURVES = {
    "tanh": np.tanh,
    "sigmoid": expit,
    "gelu": lambda z: 0.5 * z * (1 + erf(z / np.sqrt(2))),
    "relu": lambda z: np.maximum(z, 0.0),
}


def drawn(form, n=600, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, size=n)
    z = rng.random(n) < expit(1.5 * x)
    if form == "polynomial":
        means = 1 + 2 * x - 0.5 * x**2, -x + 0.3 * x**2
    else:
        means = -3 * CURVES[form](2 * x + 1), 4 * CURVES[form](x - 0.5)
    return x[:, None], np.where(z, *means) + 0.3 * rng.standard_normal(n)


def model(form, n_experts=2):
    return ms.MixtureOfExperts(expert=f"gaussian(form='{form}')", n_experts=n_experts)


@pytest.mark.parametrize("form", CURVES)
def test_two_curves_are_found_and_certified(form):
    X, y = drawn(form)
    fitted = ms.fit(model(form), X, y)
    truth = model(form).params(
        gate={"slopes": [[1.5], [0.0]], "intercepts": [0.0, 0.0]},
        expert={"intercepts": [1.0, -0.5], "slopes": [[2.0], [1.0]], "scales": [-3.0, 4.0], "variances": [0.09, 0.09]},
    )
    assert fitted.certificate.status is ms.Status.STRICT_MAXIMUM
    assert fitted.llf >= fitted.model.loglik(truth, X, y)
    assert fitted.check().passed
    assert np.isfinite(fitted.bse).all()


@pytest.mark.parametrize("degree", [2, 3])
def test_one_polynomial_is_least_squares_on_powers(degree):
    X, y = drawn("polynomial")
    X = np.column_stack([X, np.cos(X)])
    fitted = ms.fit(ms.MixtureOfExperts(expert=Gaussian(form="polynomial", degree=degree), n_experts=1), X, y)
    powers = np.column_stack([X, *(X[:, [u]] ** q for u in range(2) for q in range(2, degree + 1))])
    plain = ms.fit(ms.MixtureOfExperts(n_experts=1), powers, y)
    assert np.isclose(fitted.llf, plain.llf, rtol=1e-11)
    p = fitted.params.expert
    got = np.concatenate([p.intercepts, p.slopes[0], p.powers[0].ravel()])
    want = np.concatenate([plain.params.expert.intercepts, plain.params.expert.slopes[0]])
    np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-8)
    assert "expert[1].x2.power2" in fitted.names


@pytest.mark.parametrize("form", ["polynomial", "tanh"])
def test_fits_do_not_depend_on_units(form):
    X, y = drawn(form)
    plain = ms.fit(model(form), X, y)
    other = ms.fit(model(form), 1950 + 30 * X, 1e3 * y)
    assert np.isclose(other.llf + len(y) * np.log(1e3), plain.llf, rtol=1e-9)
    np.testing.assert_allclose(other.predict(1950 + 30 * X), 1e3 * plain.predict(X), rtol=1e-6, atol=1e-3)


def test_the_scale_of_relu_is_a_sign_and_has_no_standard_error():
    X, y = drawn("relu")
    fitted = ms.fit(model("relu"), X, y)
    assert set(fitted.params.expert.scales) == {-1.0, 1.0}
    assert "expert[1].scale" not in fitted.names
    assert fitted.table().role["expert[1].scale"] == "reference"
    assert "a factor shared by the slopes and the scale of expert 1" in fitted.certificate.optimum.declared


@pytest.mark.parametrize("form", [*CURVES, "arctan", "softplus"])
def test_canonical_parameters_have_the_same_mean(form):
    expert = Gaussian(form=form)
    layout = expert.layout(Dims(3, 2))
    rng = np.random.default_rng(5)
    theta, X = rng.standard_normal(layout.size), rng.standard_normal((30, 2))
    m = model(form, 3)
    gate = {"slopes": np.zeros((3, 2)), "intercepts": [2.0, 1.0, 0.0]}
    means = [
        m.predict(m.params(gate=gate, expert=layout.unpack(t)), X) for t in (theta, expert.canonical(layout, theta))
    ]
    np.testing.assert_allclose(*means, rtol=1e-12, atol=1e-13)
    again = expert.canonical(layout, expert.canonical(layout, theta))
    np.testing.assert_array_equal(again, expert.canonical(layout, theta))


@pytest.mark.parametrize("expert", [Gaussian(form="tanh", variance="common"), Gaussian(form="polynomial", degree=3)])
def test_forms_are_copied_stored_and_printed(expert, tmp_path):
    assert copy.deepcopy(expert) == pickle.loads(pickle.dumps(expert)) == expert
    assert eval(repr(expert)) == expert
    X, y = drawn("tanh")
    fitted = ms.fit(ms.MixtureOfExperts(expert=expert), X, y, n_starts=3)
    again = ms.load(fitted.save(tmp_path / "fit"))
    assert again.model == fitted.model
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_an_end_at_a_kink_is_reported_when_it_is_far_above_every_maximum():
    """A ReLU mean has no gradient that vanishes at the kink; the strict maximum found here is 330 lower."""
    relu = model("relu")
    truth = relu.params(
        gate={"intercepts": [0.2, 0.0], "slopes": [[1.5, 0.0], [0.0, 0.0]]},
        expert={
            "intercepts": [0.5, 1.0],
            "slopes": [[2.0, 1.0], [-1.5, 1.0]],
            "scales": [1.0, -1.0],
            "variances": [0.1, 0.2],
        },
    )
    rng = np.random.default_rng([16, 5])
    X = rng.standard_normal((400, 2))
    y = relu.sample(truth, X, rng)
    with pytest.warns(ms.ConvergenceWarning, match="The experts' means have kinks"):
        fitted = ms.fit(relu, X, y)
    assert fitted.llf > relu.loglik(truth, X, y)
    assert any(status == ms.Status.STRICT_MAXIMUM.value for status in fitted.starts["status"])


def test_a_curve_that_straightens_for_ever_is_reported_when_it_is_far_above_the_others():
    """A sigmoid whose data show one flank alone: its scale grows without end, 37 above all other ends."""
    sigmoid = model("sigmoid")
    truth = sigmoid.params(
        gate={"intercepts": [-0.25, -0.27], "slopes": [[1.03], [-2.11]]},
        expert={
            "intercepts": [1.65, -0.69],
            "slopes": [[3.17], [0.49]],
            "scales": [-2.75, 1.91],
            "variances": [0.16, 0.16],
        },
    )
    rng = np.random.default_rng(1)
    X = rng.standard_normal((400, 1))
    y = sigmoid.sample(truth, X, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.ConvergenceWarning)
        fitted = ms.fit(sigmoid, X, y)
    assert fitted.llf > sigmoid.loglik(truth, X, y)


def test_unknown_forms_and_degrees_are_refused():
    with pytest.raises(InputError, match=r"form must be one of .*'tanh'.* got 'tan'. Did you mean 'tanh'"):
        Gaussian(form="tan")
    with pytest.raises(InputError, match="degree must be a whole number from 2 to 20"):
        Gaussian(form="polynomial", degree=1)


def test_families_side_by_side_keep_their_invariances():
    families = Mixed((Gaussian(), Gaussian(form="relu")))
    layout = families.layout(Dims(2, 2))
    theta = np.random.default_rng(0).normal(size=layout.size)
    alone = Gaussian(form="relu")
    own = alone.layout(Dims(1, 2))
    directions, names = families.invariances(layout, theta)
    np.testing.assert_array_equal(directions[:, -own.size :], alone.invariances(own, theta[-own.size :])[0])
    assert not directions[:, : -own.size].any()
    assert names == ("a factor shared by the slopes and the scale of expert 2",)
    np.testing.assert_array_equal(families.pinned(layout), alone.pinned(own) + layout.size - own.size)
    canonical = families.canonical(layout, theta)
    np.testing.assert_array_equal(canonical[-own.size :], alone.canonical(own, theta[-own.size :]))
    np.testing.assert_array_equal(canonical[: -own.size], theta[: -own.size])
