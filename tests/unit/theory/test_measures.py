"""Mixing measures: masses, atoms, units, cells, alignment, merging and the metric between them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

import moestat as ms
from moestat.data import Schema
from moestat.errors import InputError
from moestat.gates import Constant, Hierarchical
from moestat.theory import align, measure_distance, merge, mixing_measure, voronoi_cells, voronoi_loss
from tests.conformance.problems import ALL_GATES
from tests.unit.theory.pairs import near, random_arrays, softmax_measure


def test_masses_and_atoms_of_the_published_truth():
    b0, b1, a, b, nu = [-8.0, 0.0], [[25.0], [0.0]], [[-20.0], [20.0]], [15.0, -5.0], [0.09, 0.16]
    G = softmax_measure(b0, b1, a, b, nu, moments="uniform")
    np.testing.assert_allclose(np.exp(G.log_masses), np.exp(b0))
    assert [c.name for c in G.coordinates] == ["gate.slopes", "expert.intercepts", "expert.slopes", "expert.variances"]
    np.testing.assert_allclose(G["expert.variances"][:, 0], nu)
    standard = G.standardised()
    sd = np.sqrt(1 / 12)
    np.testing.assert_allclose(standard["gate.slopes"][:, 0], [25 * sd, 0])
    np.testing.assert_allclose(standard["expert.intercepts"][:, 0], [5.0, 5.0])
    np.testing.assert_allclose(standard.log_masses, [4.5, 0.0])  # the weights where x is 1/2
    assert "25" in repr(G)
    with pytest.raises(InputError, match=r"no coordinate is called 'gate\.centres'"):
        G["gate.centres"]


def test_masses_that_overflow_and_masses_of_a_temperature():
    G = softmax_measure([800.0, 799.0], [[0.0], [1.0]], [[0.0], [1.0]], [0.0, 1.0], [1.0, 1.0])
    np.testing.assert_allclose(G.masses, [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])
    own = {"slopes": [[1.0], [2.0]], "intercepts": [3.0, 0.0]}
    expert = {"slopes": [[0.0], [1.0]], "intercepts": [0.0, 1.0], "variances": [1.0, 2.0]}
    free = ms.MixtureOfExperts(gate="temperature(softmax)", n_experts=2)
    held = ms.MixtureOfExperts(gate="temperature(softmax, tau=1.5)", n_experts=2)
    estimated = mixing_measure(free, free.params(gate={"inner": own, "temperature": 1.5}, expert=expert))
    given = mixing_measure(held, held.params(gate=own, expert=expert))
    np.testing.assert_allclose(estimated.log_masses, [2.0, 0.0])
    np.testing.assert_allclose(given.log_masses, [2.0, 0.0])
    assert estimated["gate.temperature"].ravel() == pytest.approx([1.5, 1.5])


def test_a_measure_of_a_fit_is_that_of_its_estimates():
    data = ms.datasets.simulate(*_law(), n=200)
    results = data.moe().fit(n_starts=2)
    np.testing.assert_array_equal(mixing_measure(results).atoms, mixing_measure(results.model, results.params).atoms)


def _law():
    model = ms.MixtureOfExperts(n_experts=2)
    expert = {"slopes": [[3.0], [-1.0]], "intercepts": [0.0, 1.0], "variances": [0.04, 0.09]}
    return model, model.params(gate={"slopes": [[4.0], [0.0]], "intercepts": [-2.0, 0.0]}, expert=expert)


def n_experts_of(gate):
    """What a gate's settings ask for, or four."""
    if isinstance(gate, Hierarchical) and gate.groups:
        return sum(gate.groups)
    if isinstance(gate, Constant) and gate.weights:
        return len(gate.weights)
    return n_experts_of(gate.inner) if isinstance(getattr(gate, "inner", None), Hierarchical) else 4


def n_leaves(measure):
    return sum(map(n_leaves, measure.inner)) if measure.inner else measure.size


@pytest.mark.parametrize("name", ALL_GATES)
def test_every_gate_has_a_measure(name):
    """Those without a published loss as well; it is at no distance from itself, and units of one change nothing."""
    rng = np.random.default_rng(10)
    gate = ALL_GATES[name]
    K = n_experts_of(gate)
    model = ms.MixtureOfExperts(gate=gate, n_experts=K)
    schema = Schema(("x1", "x2"), ("x1", "x2"), ("y",), None)
    layout = model.layout(schema)
    params = layout.unpack(rng.normal(size=layout.size))
    if isinstance(getattr(gate, "inner", None), Hierarchical) and not isinstance(gate, Hierarchical):
        with pytest.raises(InputError, match=r"stands round a hierarchy.*Put it inside"):
            mixing_measure(model, params)
        return
    G = mixing_measure(model, params, moments=ms.theory.Moments())
    assert n_leaves(G) == K
    assert G.masses.sum() == pytest.approx(1.0)
    assert measure_distance(G, G) < 1e-9
    np.testing.assert_allclose(G.standardised().atoms, G.atoms, rtol=1e-12)


def test_standard_units_leave_distances_of_a_gate_alone():
    rng = np.random.default_rng(1)
    b0, b1, a, b, nu = random_arrays(rng, 2)
    G = softmax_measure(b0, b1, a, b, nu, gate="laplace", moments="uniform").standardised()
    np.testing.assert_allclose(G["gate.centres"], b1)
    np.testing.assert_allclose(G["expert.slopes"], np.asarray(a) * np.sqrt(1 / 12))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, None), "model must be a MixtureOfExperts or the Results of a fit"),
        ((ms.MixtureOfExperts(), None), "params are needed"),
    ],
)
def test_what_makes_no_measure(arguments, message):
    with pytest.raises(InputError, match=message):
        mixing_measure(*arguments)


@pytest.mark.parametrize("moments", ["cauchy", ms.theory.Moments([0.0, 0.0], 1.0)])
def test_moments_that_do_not_fit(moments):
    truth = random_arrays(np.random.default_rng(2), 2)
    with pytest.raises(InputError, match=r"moments must be one of|mean and its standard deviation must be numbers"):
        softmax_measure(*truth, moments=moments).standardised()


def test_moments_of_rows():
    rows = np.random.default_rng(3).normal(2.0, 3.0, size=(50, 1))
    truth = random_arrays(np.random.default_rng(4), 2)
    own = softmax_measure(*truth, moments=rows).standardised()
    named = softmax_measure(*truth, moments=ms.theory.Moments(rows.mean(), rows.std())).standardised()
    np.testing.assert_allclose(own.atoms, named.atoms)
    with pytest.raises(InputError, match="sd must be finite and larger than zero"):
        ms.theory.Moments(0.0, 0.0)


def test_experts_of_several_families():
    """What an expert's family does not have is missing, and atoms of different families are not compared."""
    model = ms.MixtureOfExperts(expert=("gaussian", "gamma"), n_experts=2)
    gate = {"slopes": [[1.0], [0.0]], "intercepts": [0.5, 0.0]}
    families = (
        {"slopes": [[1.0]], "intercepts": [0.0], "variances": [1.0]},
        {"slopes": [[2.0]], "intercepts": [1.0], "dispersions": [0.5]},
    )
    G = mixing_measure(model, model.params(gate=gate, expert=families))
    np.testing.assert_array_equal(G["expert.slopes"].ravel(), [1.0, 2.0])
    np.testing.assert_array_equal(np.isnan(G["expert.variances"]).ravel(), [False, True])
    with pytest.raises(InputError, match="no Voronoi loss is known for the expert 'gamma'"):
        voronoi_loss(G, G, coordinates="raw")
    with pytest.raises(InputError, match="atoms of different families have no distance"):
        measure_distance(G, G)


# --------------------------------------------------------------------------------------- cells and alignment
def test_cells_and_alignment_undo_a_translation():
    rng = np.random.default_rng(5)
    truth = random_arrays(rng, 3, 2)
    order = np.array([2, 0, 1, 1])
    fit = [x[order] for x in truth]
    fit[0] = fit[0] - np.log([1, 1, 2, 2]) + 5.0
    shift = np.array([3.0, -1.0])
    fit[1] = fit[1] + shift
    G, G0 = softmax_measure(*fit), softmax_measure(*truth)
    cells = voronoi_cells(G, G0, coordinates="raw")
    assert cells.labels.tolist() == [2, 0, 1, 1]
    assert cells.sizes.tolist() == [1, 2, 1]
    assert cells.members(1).tolist() == [2, 3]
    np.testing.assert_allclose(cells.t1, shift, atol=1e-9)
    laid = align(G, G0, coordinates="raw")
    np.testing.assert_allclose(laid.atoms, G0.atoms[[0, 1, 1, 2]], atol=1e-9)
    assert logsumexp(laid.log_masses) == pytest.approx(logsumexp(G0.log_masses))


def test_alignment_by_assignment():
    rng = np.random.default_rng(6)
    truth = random_arrays(rng, 4)
    fit = [x[::-1] + 0.01 * rng.normal(size=x.shape) for x in truth]
    laid = align(softmax_measure(*fit), softmax_measure(*truth), by="assignment", coordinates="raw")
    assert np.abs(laid.atoms - softmax_measure(*truth).atoms).max() < 0.1
    with pytest.raises(InputError, match="by='assignment' needs as many fitted atoms"):
        align(softmax_measure(*near(rng, truth, 5, 0.1)), softmax_measure(*truth), by="assignment")
    with pytest.raises(InputError, match="by must be 'cells' or 'assignment'"):
        align(softmax_measure(*truth), softmax_measure(*truth), by="name")


def test_cells_take_the_options_of_losses_alone():
    truth = softmax_measure(*random_arrays(np.random.default_rng(60), 2))
    for name in ("foo", "parts"):
        for call in (voronoi_cells, align):
            with pytest.raises(InputError, match=f"'{name}' is no option of losses and cells"):
                call(truth, truth, coordinates="raw", **{name: True})


@pytest.mark.parametrize("name", ["mean", "gate_mean", "response_mean", "sd"])
def test_moments_are_finite(name):
    with pytest.raises(InputError, match=f"^{name} must be finite"):
        ms.theory.Moments(**{name: [0.0, np.nan]})


# --------------------------------------------------------------------------------------- merging
@pytest.mark.parametrize("gate", ["softmax", "laplace"])
def test_merged_atoms_match_the_density_to_second_order(gate):
    """Split one atom by eps: the density of the merged measure is off by eps^3, without corrections by eps^2.

    Gate slopes move together with the locations, so the corrections of slopes are needed under a softmax gate.
    """
    truth = ([0.3, 0.0], [[1.0], [-0.5]], [[0.5], [-1.0]], [0.4, -0.3], [1.0, 0.7])
    field = "slopes" if gate == "softmax" else "centres"

    def shifted(measure):
        model = ms.MixtureOfExperts(gate=gate, n_experts=measure.size)
        expert = {"slopes": measure["expert.slopes"], "intercepts": measure["expert.intercepts"][:, 0],
                  "variances": measure["expert.variances"][:, 0]}  # fmt: skip
        return model, model.params(
            gate={field: measure[f"gate.{field}"], "intercepts": measure.log_masses}, expert=expert
        )

    def off(eps, corrected):
        """By how much the merged measure, or the one before the split, misses the density of the split one."""
        again = [np.asarray(x)[[0, 0, 1]] for x in truth]
        again[0] = again[0] - np.log([3.0, 1.5, 1.0])
        again[3] = again[3] + eps * np.array([2.0, -1.0, 0.0])
        if gate == "softmax":
            again[1] = again[1] + 0.7 * eps * np.array([[2.0], [-1.0], [0.0]])
        G = softmax_measure(*again, gate=gate)
        other = shifted(merge(G, [0, 0, 1]) if corrected else softmax_measure(*truth, gate=gate))
        x, y = np.array([[-0.8], [0.3], [0.9]]), np.array([0.1, -0.6, 1.2])
        densities = [np.exp(model.log_density(params, x, y)) for model, params in (G.origin, other)]
        return np.abs(densities[0] - densities[1]).max()

    if gate == "softmax":
        # the spread of the gate's own slopes, d2/dbeta_1^2, is matched by nothing
        assert off(1e-2, True) < 0.9 * off(1e-2, False)
    else:
        assert off(1e-2, True) < 0.1 * off(1e-2, False)
        assert off(1e-2, True) / off(1e-3, True) > 500


def test_merging_adds_masses_and_averages():
    rng = np.random.default_rng(7)
    fit = random_arrays(rng, 4)
    G = softmax_measure(*fit)
    one = merge(G, [5, 5, 5, 5])
    assert one.size == 1
    assert one.log_masses[0] == pytest.approx(logsumexp(fit[0]))
    share = np.exp(fit[0] - logsumexp(fit[0]))
    mean = share @ fit[3]
    assert one["expert.variances"][0, 0] == pytest.approx(share @ fit[4] + share @ (fit[3] - mean) ** 2)
    slopes, gate = fit[2][:, 0], fit[1][:, 0]
    covariance = share @ ((gate - share @ gate) * (fit[3] - mean))
    assert one["expert.slopes"][0, 0] == pytest.approx(share @ slopes + covariance)
    with pytest.raises(InputError, match="labels must be 4 whole numbers"):
        merge(G, [0, 1])
    with pytest.raises(InputError, match="keeps its units"):
        one.standardised("uniform")


def test_the_merged_refinement_sees_what_powers_forgive():
    """A pair round a true atom whose merged atom is off by eps: the published loss has eps^4, the refined one eps."""
    eps = 1e-3
    truth = ([0.0, 0.0], [[0.0], [3.0]], [[0.0], [1.0]], [0.0, 4.0], [1.0, 1.0])
    fit = [np.asarray(x)[[0, 0, 1]] for x in truth]
    fit[0] = np.log([0.5, 0.5, 1.0])
    fit[3] = fit[3] + np.array([eps, eps, 0.0])
    G, G0 = softmax_measure(*fit), softmax_measure(*truth)
    assert voronoi_loss(G, G0, coordinates="raw") < 1e-11
    assert voronoi_loss(G, G0, coordinates="raw", variant="merged") == pytest.approx(eps, rel=1e-6)


# --------------------------------------------------------------------------------------- the metric
def test_the_metric_is_one():
    rng = np.random.default_rng(8)
    for _ in range(15):
        a, b, c = (softmax_measure(*random_arrays(rng, K, 2)) for K in rng.integers(1, 4, size=3))
        ab, bc, ac = measure_distance(a, b), measure_distance(b, c), measure_distance(a, c)
        assert ab == pytest.approx(measure_distance(b, a), rel=1e-6)
        assert ac <= (ab + bc) * (1 + 1e-6)
        assert measure_distance(a, a) < 1e-10


def test_the_metric_forgets_what_changes_no_weight():
    rng = np.random.default_rng(9)
    fit, truth = random_arrays(rng, 3, 2), random_arrays(rng, 2, 2)
    other = [x[[1, 2, 0]] for x in fit]
    other[0], other[1] = other[0] + 9.0, other[1] + np.array([1.0, -4.0])
    here, there = (measure_distance(softmax_measure(*x), softmax_measure(*truth)) for x in (fit, other))
    assert here == pytest.approx(there, rel=1e-6)
    # distances to centres are not shifted
    moved = softmax_measure(truth[0], truth[1] + 1.0, *truth[2:], gate="laplace")
    assert measure_distance(moved, softmax_measure(*truth, gate="laplace")) > 0.5


def test_the_metric_of_single_atoms_is_their_distance():
    one = softmax_measure([3.0], [[5.0]], [[1.0]], [2.0], [1.0])
    two = softmax_measure([0.0], [[-7.0]], [[4.0]], [6.0], [1.0])
    assert measure_distance(one, two) == pytest.approx(5.0, rel=1e-9)
