"""The Gaussian gate beside densities of SciPy, its limits, its joint likelihood, and what it refuses."""

from __future__ import annotations

import copy
import pickle
from functools import cache
from itertools import product

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

import moestat as ms
from moestat.certificate import Status
from moestat.component import Dims
from moestat.data import Data
from moestat.errors import InputError, SpikeWarning
from moestat.gates import Gaussian
from moestat.inference.prediction import mean_jacobian
from moestat.model import mixture_mean
from moestat.passes import Passes

SHAPES = ("full", "diagonal", "spherical")
VARIANTS = list(product(SHAPES, ("own", "common")))
WEIGHTS = np.log([0.3, 0.5, 0.2])
CENTRES = np.array([[-1.0, 0.5], [0.0, -0.5], [1.5, 1.0]])
MATRICES = np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.4, -0.1], [-0.1, 0.8]], [[0.6, 0.0], [0.0, 0.3]]])
EXPERTS = {
    "intercepts": [-3.0, 0.0, 4.0],
    "slopes": [[1.0, 0.0], [-1.0, 2.0], [0.0, 1.0]],
    "variances": [0.3, 0.2, 0.4],
}

variants = pytest.mark.parametrize(("shape", "covariance"), VARIANTS)


def given(shape, covariance):
    """What a record holds for covariances of this kind, and the matrices."""
    every = MATRICES if covariance == "own" else MATRICES[0]
    variances = np.diagonal(every, axis1=-2, axis2=-1)
    held = {"full": every, "diagonal": variances, "spherical": variances[..., 0]}[shape]
    full = {
        "full": every,
        "diagonal": variances[..., None] * np.eye(2),
        "spherical": variances[..., :1, None] * np.eye(2),
    }[shape]
    return held, np.broadcast_to(full, (3, 2, 2))


def densities(x, matrices):
    laws = [multivariate_normal(c, m) for c, m in zip(CENTRES, matrices, strict=True)]
    return np.stack([np.exp(w) * law.pdf(x) for w, law in zip(WEIGHTS, laws, strict=True)], axis=1)


def model(**settings):
    return ms.MixtureOfExperts(gate=Gaussian(**settings), expert="gaussian", n_experts=3)


def joint_params(shape="full", covariance="own"):
    gate = {"log_weights": WEIGHTS, "centres": CENTRES, "covariances": given(shape, covariance)[0]}
    return model(shape=shape, covariance=covariance, likelihood="joint").params(gate=gate, expert=EXPERTS)


@cache
def rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.choice(3, size=n, p=np.exp(WEIGHTS))
    x = np.stack([rng.multivariate_normal(CENTRES[k], MATRICES[k]) for k in z])
    slopes, intercepts = np.array(EXPERTS["slopes"]), np.array(EXPERTS["intercepts"])
    y = (
        intercepts[z]
        + (slopes[z] * x).sum(axis=1)
        + np.sqrt(np.array(EXPERTS["variances"])[z]) * rng.standard_normal(n)
    )
    return x, y


# --------------------------------------------------------------------------------------- weights
@variants
@pytest.mark.parametrize("likelihood", ["conditional", "joint"])
def test_weights_are_those_of_the_densities(shape, covariance, likelihood):
    x = rows()[0]
    held, matrices = given(shape, covariance)
    gate = Gaussian(shape=shape, covariance=covariance, likelihood=likelihood)
    natural = {"log_weights": WEIGHTS, "centres": CENTRES, "covariances": held}
    m = model(shape=shape, covariance=covariance, likelihood=likelihood)
    params = m.params(gate=gate.of_gaussians(**natural) if likelihood == "conditional" else natural, expert=EXPERTS)
    want = densities(x, matrices)
    np.testing.assert_allclose(
        m.gate_weights(params, x), want / want.sum(axis=1, keepdims=True), rtol=1e-11, atol=1e-15
    )


@variants
def test_gaussians_have_the_weights_of_a_conditional_gate(shape, covariance):
    """Also where the quadratic forms are indefinite, as those of a fit may be."""
    gate = Gaussian(shape=shape, covariance=covariance)
    layout = gate.layout(Dims(3, 2))
    params = layout.unpack(np.random.default_rng(4).standard_normal(layout.size))
    log_weights, centres, covariances = gate.gaussians(params)
    x = rows()[0]
    laws = zip(log_weights, centres, covariances, strict=True)
    h = np.stack([w + multivariate_normal(c, s).logpdf(x) for w, c, s in laws], axis=1)
    want = np.exp(h - h.max(axis=1, keepdims=True))
    m = model(shape=shape, covariance=covariance)
    got = m.gate_weights(m.params(gate=params, expert=EXPERTS), x)
    np.testing.assert_allclose(got, want / want.sum(axis=1, keepdims=True), rtol=1e-9, atol=1e-14)


def test_a_common_covariance_is_the_softmax_gate():
    x, y = rows()
    softmax = ms.fit(ms.MixtureOfExperts(gate="softmax", n_experts=3), x, y, seed=1)
    common = ms.fit(ms.MixtureOfExperts(gate="gaussian(covariance='common')", n_experts=3), x, y, seed=1)
    assert common.llf == softmax.llf
    np.testing.assert_array_equal(common.params.gate.slopes, softmax.params.gate.slopes)
    assert common.names == softmax.names


# --------------------------------------------------------------------------------------- the joint likelihood
def test_the_joint_likelihood_is_one_of_x_and_y():
    x, y = rows()
    m, params = model(likelihood="joint"), joint_params()
    slopes, intercepts = np.array(EXPERTS["slopes"]), np.array(EXPERTS["intercepts"])
    f = norm.pdf(y[:, None], intercepts + x @ slopes.T, np.sqrt(EXPERTS["variances"]))
    p = densities(x, MATRICES)
    assert np.isclose(m.loglik(params, x, y), np.log((p * f).sum(axis=1)).sum(), rtol=1e-12)
    # densities of y stay conditional
    want = np.log((p * f).sum(axis=1) / p.sum(axis=1))
    np.testing.assert_allclose(m.log_density(params, x, y), want, rtol=1e-10)


@variants
def test_the_m_step_takes_weighted_moments(shape, covariance):
    """Out of the score alone; the moments are computed here from the responsibilities."""
    x, y = rows()
    m, params = model(shape=shape, covariance=covariance, likelihood="joint"), joint_params(shape, covariance)
    weight = np.random.default_rng(3).gamma(2.0, size=len(y))
    source = Data(x, y, None, weight)
    source = source.in_coordinates(ms.model._raw_coordinates(source.schema))
    terms = m.terms(source.schema)
    passes, theta = Passes(terms, source), terms.layout.pack(params)
    n = terms.n_gate
    new = terms.gate.m_step(terms.gate_layout, theta[:n], passes.em(theta).gate_score, source.total_weight)
    got = terms.gate_layout.unpack(new)
    R = m.responsibilities(params, x, y) * weight[:, None]
    mass = R.sum(axis=0)
    centres = R.T @ x / mass[:, None]
    gap = x[:, None] - centres
    each = np.einsum("nk,nku,nkv->kuv", R, gap, gap)
    full = each / mass[:, None, None] if covariance == "own" else each.sum(axis=0) / mass.sum()
    variances = np.diagonal(full, axis1=-2, axis2=-1)
    want = {"full": full, "diagonal": variances, "spherical": variances.mean(axis=-1)}[shape]
    np.testing.assert_allclose(np.exp(got.log_weights), mass / mass.sum(), rtol=1e-11)
    np.testing.assert_allclose(got.centres, centres, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(got.covariances, want, rtol=1e-10, atol=1e-12)


@cache
def joint_fit():
    x, y = rows()
    return ms.fit(model(likelihood="joint"), x, y, seed=2)


def test_a_joint_fit_is_certified_and_says_what_it_is():
    x, y = rows()
    fitted = joint_fit()
    assert fitted.certificate.status is Status.STRICT_MAXIMUM
    assert fitted.llf >= model(likelihood="joint").loglik(joint_params(), x, y)
    assert fitted.check().passed
    text = str(fitted.summary())
    assert "Joint log-likelihood:" in text
    assert "cannot be compared" in text
    assert "joint: of covariates and response together" in str(fitted.certificate)
    assert "joint llf=" in repr(fitted)
    assert "gate[1].x1:x2.covariance" in fitted.names
    assert fitted.llf != pytest.approx(fitted.log_density(x, y).sum(), rel=0.01)


def test_standard_errors_of_covariances_are_those_of_the_delta_method():
    """The information by differences of the score over the raw rows, carried to the entries of the matrices."""
    fitted = joint_fit()
    source = Data(*rows())
    source = source.in_coordinates(ms.model._raw_coordinates(source.schema))
    layout = fitted.model.layout(fitted.schema)
    passes, theta = Passes(fitted.model.terms(fitted.schema), source), layout.pack(fitted.params)
    keep = np.isin(fitted.all_names, fitted.names)
    h = 1e-5
    bends = [(passes.score(theta + s).score - passes.score(theta - s).score) / (2 * h) for s in h * np.eye(theta.size)]
    own = layout.jacobian(theta)[np.ix_(keep, keep)]
    want = own @ np.linalg.inv(-np.array(bends)[np.ix_(keep, keep)]) @ own.T
    np.testing.assert_allclose(fitted.bse, np.sqrt(np.diag(want)), rtol=1e-6)


def test_predictions_of_a_joint_fit_move_with_its_gate():
    """The derivative of the conditional mean, by differences."""
    x, _ = rows()
    fitted = joint_fit()
    block = fitted._block(x[:20], None)
    terms, theta, h = fitted._terms, fitted.theta, 1e-5
    got = mean_jacobian(terms, theta, block)
    mean = lambda t: mixture_mean(terms, t, block)  # noqa: E731
    want = np.stack([(mean(theta + s) - mean(theta - s)) / (2 * h) for s in h * np.eye(theta.size)])
    np.testing.assert_allclose(got, want, atol=1e-8)
    np.testing.assert_allclose(fitted.gate_weights().sum(axis=1), 1.0, rtol=1e-12)
    assert np.isfinite(fitted.get_prediction(x[:20]).summary_frame().to_numpy()).all()


def test_a_covariance_that_falls_onto_tied_values_ends_on_its_floor():
    """Rows with one value of a covariate in common have any density that a variance near zero gives them."""
    x, y = rows()
    tied = np.column_stack([x[:, 0] > 0, x[:, 1]]).astype(float)
    with pytest.warns(SpikeWarning):
        fitted = ms.fit(model(likelihood="joint"), tied, y, n_starts=3)
    assert fitted.certificate.status is Status.AT_FLOOR
    assert np.isfinite(fitted.llf)


# --------------------------------------------------------------------------------------- units
@pytest.mark.parametrize("likelihood", ["conditional", "joint"])
@pytest.mark.parametrize("shape", SHAPES)
def test_fits_do_not_depend_on_units(shape, likelihood):
    """Years and dollars; spherical covariances allow one unit for all covariates only."""
    x, y = rows()
    scale = np.array([30.0, 30.0]) if shape == "spherical" else np.array([30.0, 1e6])
    m = model(shape=shape, likelihood=likelihood)
    plain = ms.fit(m, x, y, n_starts=4)
    other = ms.fit(m, 1950 + x * scale, y, n_starts=4)
    shift = len(y) * np.log(scale).sum() if likelihood == "joint" else 0.0
    assert np.isclose(other.llf + shift, plain.llf, rtol=1e-8)
    np.testing.assert_allclose(other.predict(1950 + x * scale), plain.predict(x), rtol=1e-6, atol=1e-6)
    if likelihood == "joint":
        np.testing.assert_allclose(other.params.gate.centres, 1950 + plain.params.gate.centres * scale, rtol=1e-6)


# --------------------------------------------------------------------------------------- related covariates
def superfluous(constant):
    """Gate covariates with a third column that is constant, or a combination of the others."""
    x, y = rows()
    third = np.full(len(x), 2.0) if constant else x[:, 0] - x[:, 1]
    return x, y, np.column_stack([x, third])


@pytest.mark.filterwarnings("ignore::moestat.errors.RankDeficientWarning")
@pytest.mark.parametrize("constant", [True, False])
@variants
def test_a_superfluous_covariate_changes_no_conditional_fit(shape, covariance, constant):
    """Its directions are declared: the maximum is strict. A square of a combination may be new to simple shapes."""
    x, y, Z = superfluous(constant)
    m = model(shape=shape, covariance=covariance)
    plain, more = (ms.fit(m, x, y, z, n_starts=4) for z in (x, Z))
    assert more.certificate.status is plain.certificate.status is Status.STRICT_MAXIMUM
    if constant or shape == "full" or covariance == "common":
        assert np.isclose(more.llf, plain.llf, rtol=1e-9)
        assert more.df_model == plain.df_model
        np.testing.assert_allclose(more.gate_weights(x, Z), plain.gate_weights(x, x), atol=1e-6)


@pytest.mark.filterwarnings("ignore::moestat.errors.RankDeficientWarning")
@pytest.mark.parametrize("shape", ["full", "diagonal"])
def test_a_constant_covariate_has_no_density(shape):
    """A joint fit ends on the floor of its variance, and says what to leave out."""
    x, y, Z = superfluous(constant=True)
    with pytest.warns(SpikeWarning, match="related ones, or a constant, have no density: leave out"):
        joint = ms.fit(model(shape=shape, likelihood="joint"), x, y, Z, n_starts=3)
    assert joint.certificate.status is Status.AT_FLOOR
    assert [name for name in joint.certificate.optimum.floors if "z3" in name]
    assert "in Z, z3 is constant" in joint.certificate.deficient
    np.testing.assert_allclose(joint.params.gate.centres[:, 2], 2.0, rtol=1e-8)


@pytest.mark.filterwarnings("ignore::moestat.errors.RankDeficientWarning")
def test_one_variance_for_all_covariates_bears_a_constant_one():
    """Spherical laws: the constant lowers the common variance, and no floor is met."""
    x, y, Z = superfluous(constant=True)
    plain, more = (ms.fit(model(shape="spherical", likelihood="joint"), x, y, z, n_starts=4) for z in (x, Z))
    assert more.certificate.status is Status.STRICT_MAXIMUM
    assert (more.params.gate.covariances < plain.params.gate.covariances).all()


# --------------------------------------------------------------------------------------- settings
def test_both_likelihoods_can_be_copied_stored_and_printed(tmp_path):
    for gate in (Gaussian(), Gaussian(shape="diagonal", likelihood="joint")):
        assert copy.deepcopy(gate) == pickle.loads(pickle.dumps(gate)) == gate
        assert eval(repr(gate)) == gate
    path = joint_fit().save(tmp_path / "fit")
    again = ms.load(path)
    assert again.model == joint_fit().model
    assert again.certificate.joint
    np.testing.assert_array_equal(again.predict(rows()[0]), joint_fit().predict(rows()[0]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": "ful"}, "shape must be one of .* got 'ful'. Did you mean 'full'"),
        ({"covariance": "shared"}, "covariance must be one of .*'own', 'common'"),
        ({"likelihood": "jont"}, "likelihood must be one of .* Did you mean 'joint'"),
    ],
)
def test_unknown_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Gaussian(**settings)


@pytest.mark.parametrize("likelihood", ["conditional", "joint"])
def test_a_gate_without_covariates_is_refused(likelihood):
    x, y = rows()
    with pytest.raises(InputError, match="gaussian gate needs covariates"):
        ms.fit(model(likelihood=likelihood), x, y, Z=np.empty((len(y), 0)))


def test_covariance_matrices_are_held_whole_and_not_bounded():
    x, y = rows()
    m = ms.MixtureOfExperts(gate=Gaussian(likelihood="joint"), n_experts=2, fixed={"gate.covariances": np.eye(2)})
    fitted = ms.fit(m, x, y, n_starts=3)
    np.testing.assert_allclose(fitted.params.gate.covariances, np.broadcast_to(np.eye(2), (2, 2, 2)), atol=1e-12)
    with pytest.raises(InputError, match="admissible only together"):
        ms.fit(model(likelihood="joint"), x, y, bounds={"gate.covariances": (0.1, 1.0)})
    bad = ms.MixtureOfExperts(gate=Gaussian(likelihood="joint"), n_experts=2, fixed={"gate.covariances": -np.eye(2)})
    with pytest.raises(InputError, match="positive definite"):
        ms.fit(bad, x, y)
