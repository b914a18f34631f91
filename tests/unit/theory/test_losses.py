"""Voronoi losses: the published formula, its infimum over translations, its invariances and its limits."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError
from moestat.theory import GATE_LOSSES, GateLoss, Power, measure_distance, mixing_measure, voronoi_loss
from moestat.theory.entries import gate_loss
from moestat.theory.invariances import translated_columns
from tests.unit.theory.pairs import (
    near,
    plain_loss,
    random_arrays,
    random_pair,
    searched_loss,
    softmax_measure,
    tried,
)

#: What golden sections and roots of squares leave.
CLOSE = 1e-9


def raw(fit, truth, gate="softmax", **options):
    return voronoi_loss(
        softmax_measure(*fit, gate=gate), softmax_measure(*truth, gate=gate), coordinates="raw", **options
    )


def published_program(fit, truth):
    """The loss as the public program of arXiv 2305.03288 computes it, in one dimension.

    Masses as they are, no translation, cells by summed absolute differences, one norm for each parameter.
    """
    rbar = [0, 1, 4, 6, 8]
    cells = [[] for _ in truth[0]]
    for i in range(len(fit[0])):
        distances = [
            sum(np.abs(np.ravel(x[i] - y[j])).sum() for x, y in zip(fit[1:], truth[1:], strict=True))
            for j in range(len(truth[0]))
        ]
        cells[int(np.argmin(distances))].append(i)
    loss = 0.0
    for j, cell in enumerate(cells):
        r = rbar[len(cell)]
        for i in cell:
            slope, own, level, spread = (
                np.abs(np.ravel(x[i] - y[j]))[0] for x, y in zip(fit[1:], truth[1:], strict=True)
            )
            if len(cell) > 1:
                loss += np.exp(fit[0][i]) * (slope**r + level**r + own ** (r / 2) + spread ** (r / 2))
            else:
                loss += np.exp(fit[0][i]) * (slope + own + level + spread)
        loss += abs(np.exp(fit[0][cell]).sum() - np.exp(truth[0][j]))
    return loss


PROGRAM = {
    "translation": "none", "norm": "separate", "cells": "fixed", "cell_metric": "absolute", "mass": "raw",
}  # fmt: skip


def test_equals_the_public_program_of_its_paper():
    rng = np.random.default_rng(1)
    for _ in range(300):
        fit, truth = random_pair(rng)
        assert raw(fit, truth, **PROGRAM) == pytest.approx(published_program(fit, truth), rel=1e-12)


# --------------------------------------------------------------------------------------- the infimum
@pytest.mark.parametrize("sharp", [False, True])
def test_no_translation_on_a_line_is_better_than_the_infimum(sharp):
    rng = np.random.default_rng(2)
    for _ in range(1000):
        fit, truth = random_pair(rng)
        found = raw(fit, truth, variant="sharp" if sharp else "published")
        values = plain_loss(fit, truth, tried(rng, fit, truth, 20), sharp=sharp)
        assert found <= values.min() * (1 + CLOSE) + CLOSE


def test_the_infimum_on_a_line_is_a_value_of_the_formula():
    """At the translation that is reported, or beside it where cells change there."""
    rng = np.random.default_rng(3)
    for _ in range(500):
        fit, truth = random_pair(rng)
        found = voronoi_loss(softmax_measure(*fit), softmax_measure(*truth), coordinates="raw", parts=True)
        step = 1e-9 * (1 + abs(found.t1[0]))
        values = plain_loss(fit, truth, found.t1 + np.array([[-step], [0.0], [step]]))
        assert np.abs(values - found.loss).min() <= 1e-6 * (1 + found.loss)


def test_no_factor_of_the_masses_is_better():
    rng = np.random.default_rng(4)
    for _ in range(300):
        fit, truth = random_pair(rng)
        t = tried(rng, fit, truth, 20)
        values = plain_loss(fit, truth, t, c=np.exp(rng.normal(size=len(t))))
        assert raw(fit, truth) <= values.min() * (1 + CLOSE) + CLOSE


@pytest.mark.parametrize("d", [2, 3])
def test_no_translation_in_space_is_better(d):
    """Tried at random, and ever nearer to the best of them; nor is the loss below what its formula can be."""
    rng = np.random.default_rng(5)
    for _ in range(150):
        fit, truth = random_pair(rng, d)
        assert raw(fit, truth) <= searched_loss(rng, fit, truth) * (1 + 1e-6) + CLOSE


@pytest.mark.parametrize("d", [2, 3])
def test_the_infimum_in_space_is_a_value_of_the_formula(d):
    """At the translation that is reported, or beside it: no atom is kept in a cell that it has left."""
    rng = np.random.default_rng(50)
    for _ in range(100):
        truth = random_arrays(rng, rng.integers(1, 4), d)
        fit = random_arrays(rng, rng.integers(1, 5), d, spread=2.0)
        found = voronoi_loss(softmax_measure(*fit), softmax_measure(*truth), coordinates="raw", parts=True)
        beside = found.t1 + 1e-8 * rng.normal(size=(500, d))
        values = plain_loss(fit, truth, np.vstack([found.t1, beside]))
        assert np.abs(values - found.loss).min() <= 1e-5 * (1 + found.loss)


@pytest.mark.parametrize("d", [2, 3])
def test_far_fits_forget_their_translation_too(d):
    """The losses of 40 pairs that share nothing, at two places of the fitted gate each."""
    rng = np.random.default_rng(51)
    for _ in range(40):
        truth = random_arrays(rng, rng.integers(2, 4), d, spread=2.0)
        fit = random_arrays(rng, rng.integers(2, 5), d)
        moved = (fit[0], fit[1] + rng.normal(scale=3.0, size=d), *fit[2:])
        assert raw(moved, truth) == pytest.approx(raw(fit, truth), rel=1e-6)


def test_a_far_fit_in_standard_units_forgets_its_translation():
    f = (
        [0.6, -2.1, 0.8, 0.0], np.array([[0.3, -0.8], [-1.0, 1.5], [-0.1, -0.7], [-1.5, -0.6]]),
        [-0.9, -1.0, 0.2, -0.2], [[-1.3, 1.8], [0.4, 2.0], [0.3, -0.2], [-0.2, 0.4]], [1.9, 0.3, 1.1, 0.5],
    )  # fmt: skip
    t = (
        [-0.1, -0.8, -2.3], [[-0.6, -1.2], [-0.3, 3.7], [4.2, -1.2]], [0.6, -2.1, 1.8],
        [[-0.3, -0.5], [-0.7, -1.5], [-0.8, -1.5]], [0.5, 0.8, 0.5],
    )  # fmt: skip
    f, t = ((b0, b1, a, b, nu) for b0, b1, b, a, nu in (f, t))
    truth = softmax_measure(*t, moments=ms.theory.Moments(mean=[0.5, -1.0], sd=[1.0, 2.0]))
    losses = [voronoi_loss(softmax_measure(f[0], f[1] + u, *f[2:]), truth) for u in (np.zeros(2), [-2.3, 2.7])]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


@pytest.mark.parametrize("options", [
    {}, {"variant": "sharp"}, {"variant": "merged"}, {"norm": "separate"}, {"translation": "fitted"},
    {"cells": "fixed"}, {"cells": "experts"}, {"cell_metric": "absolute"}, {"scale": "sd"}, {"mass": "raw"},
])  # fmt: skip
def test_no_smaller_value_beside_the_one_found(options):
    """Whatever the options: with fixed translations of the fit there is no better one to be had by moving it first.

    A fit that was translated has the same loss, so the loss is not above that without a translation.
    """
    rng = np.random.default_rng(6)
    for _ in range(60):
        fit, truth = random_pair(rng)
        free = raw(fit, truth, **options)
        for shift in (0.0, *tried(rng, fit, truth, 5).ravel()):
            moved = (fit[0], fit[1] - shift, *fit[2:])
            held = raw(moved, truth, **{**options, "translation": "none"})
            if options.get("cells") != "fixed":  # whose cells are those before the shift
                assert free <= held * (1 + CLOSE) + CLOSE


# --------------------------------------------------------------------------------------- invariances
GATES = ["softmax", "laplace", "topk(softmax, 1)", "topk(softmax, 2)"]


@pytest.mark.parametrize("gate", GATES)
def test_equal_measures_have_no_loss(gate):
    """Relabelled, translated where the gate may be, and with masses on another scale."""
    rng = np.random.default_rng(7)
    for K in (2, 3) if gate == "topk(softmax, 2)" else (1, 2, 3):
        truth = random_arrays(rng, K, 2)
        order = rng.permutation(K)
        fit = [x[order] for x in truth]
        fit[0] = fit[0] + 700.0
        if "softmax" in gate:
            fit[1] = fit[1] + rng.normal(size=2)
        assert raw(fit, truth, gate) <= 1e-10


def test_an_atom_that_was_split_has_no_loss_either():
    truth = random_arrays(np.random.default_rng(8), 2)
    fit = [np.concatenate([x, x[:1]]) for x in truth]
    fit[0] = fit[0] - np.log([2.0, 1.0, 2.0])
    assert raw(fit, truth) <= 1e-10


@pytest.mark.parametrize("options", [{}, {"variant": "sharp"}, {"norm": "separate"}, {"variant": "merged"}])
@pytest.mark.parametrize("gate", GATES)
def test_labels_translations_and_scales_of_masses_change_nothing(gate, options):
    rng = np.random.default_rng(9)
    for _ in range(20):
        truth = random_arrays(rng, 3)
        fit = near(rng, truth, 4, 0.3)
        order = rng.permutation(4)
        other = [x[order] for x in fit]
        other[0] = other[0] + rng.normal(scale=20.0)
        if "softmax" in gate:
            other[1] = other[1] + rng.normal(scale=3.0)
        assert raw(other, truth, gate, **options) == pytest.approx(raw(fit, truth, gate, **options), rel=1e-8)


def test_masses_beyond_the_range_of_numbers():
    truth = random_arrays(np.random.default_rng(10), 2)
    fit = near(np.random.default_rng(11), truth, 3, 0.1)
    assert raw((fit[0] + 2000.0, *fit[1:]), truth) == pytest.approx(raw(fit, truth), rel=1e-9)
    far = voronoi_loss(
        softmax_measure(*fit), softmax_measure(truth[0] + 2000.0, *truth[1:]), coordinates="raw", parts=True
    )
    assert far.loss == np.inf
    assert far.log_loss == pytest.approx(np.log(raw(fit, truth)) + 2000.0, rel=1e-12)


def test_a_badly_placed_atom_is_seen_however_far_it_is():
    """The loss grows without bound; with fitted masses moved instead it stops at the total true mass."""
    truth = random_arrays(np.random.default_rng(12), 2)
    losses, bounded = [], []
    for far in (1e1, 1e3, 1e5):
        fit = [x.copy() for x in truth]
        fit[3][0] += far
        losses.append(raw(fit, truth))
        bounded.append(raw(fit, truth, translation="fitted"))
    assert losses[2] > 50 * losses[1] > 2500 * losses[0]
    assert max(bounded) <= np.exp(truth[0]).sum() * (1 + 1e-12)


# --------------------------------------------------------------------------------------- limits
def test_one_expert_has_the_difference_of_its_own_parameters():
    fit, truth = ([0.3], [[2.0]], [[1.0]], [0.5], [1.0]), ([1.0], [[-1.0]], [[4.0]], [4.5], [1.0])
    assert raw(fit, truth) == pytest.approx(np.exp(1.0) * 5.0, rel=1e-12)


def test_one_atom_per_cell_is_exact_specification():
    rng = np.random.default_rng(13)
    truth = random_arrays(rng, 3)
    fit = [x + 1e-3 * rng.normal(size=x.shape) for x in truth]
    assert raw(fit, truth) == pytest.approx(raw(fit, truth, variant="sharp"), rel=1e-12)


def test_true_atoms_without_fitted_ones_count_by_their_mass():
    """One fitted atom upon the first of three: the infimum over t0 leaves the lesser of the two shares."""
    truth = ([np.log(6.0), np.log(3.0), 0.0], [[0.0], [5.0], [9.0]], [[0.0]] * 3, [0.0, 50.0, 90.0], [1.0] * 3)
    alone = tuple(np.asarray(x)[:1] for x in truth)
    parts = voronoi_loss(softmax_measure(*alone), softmax_measure(*truth), coordinates="raw", parts=True)
    assert parts.cells.tolist() == [0]
    # |10 - 6 c| + 3 c + c is smallest at c = 10 / 6
    assert parts.loss == pytest.approx(4 * 10 / 6, rel=1e-12)
    assert parts.t0 == pytest.approx(np.log(10 / 6))


def test_most_of_the_true_mass_uncovered_sends_t0_to_minus_infinity():
    truth = ([0.0, np.log(8.0), 0.0], [[0.0], [5.0], [9.0]], [[0.0]] * 3, [0.0, 50.0, 90.0], [1.0] * 3)
    alone = tuple(np.asarray(x)[:1] for x in truth)
    parts = voronoi_loss(softmax_measure(*alone), softmax_measure(*truth), coordinates="raw", parts=True)
    assert parts.t0 == -np.inf
    assert parts.loss == pytest.approx(10.0)


# --------------------------------------------------------------------------------------- units
def test_standard_units_are_those_of_the_truth():
    """Data in other units and about another origin have the same loss in standard units, not in raw ones."""
    rng = np.random.default_rng(14)
    truth = random_arrays(rng, 2)
    fit = near(rng, truth, 3, 0.2)

    def changed(arrays, m, s):  # for x' = (x - m) / s
        b0, b1, a, b, nu = arrays
        return b0 + m * b1[:, 0], b1 * s, a * s, b + m * a[:, 0], nu

    here, there = (
        voronoi_loss(softmax_measure(*f), softmax_measure(*t, moments=moments))
        for f, t, moments in (
            (fit, truth, ms.theory.Moments(2.0, 3.0)),
            (changed(fit, 5.0, 2.0), changed(truth, 5.0, 2.0), ms.theory.Moments(-1.5, 1.5)),
        )
    )
    assert here == pytest.approx(there, rel=1e-9)
    assert here != pytest.approx(raw(fit, truth), rel=1e-2)


def test_a_truth_without_moments_is_not_standardised():
    truth = random_arrays(np.random.default_rng(15), 2)
    with pytest.raises(InputError, match=r"carries no moments.*moments='uniform'.*coordinates='raw'"):
        voronoi_loss(softmax_measure(*truth), softmax_measure(*truth))


# --------------------------------------------------------------------------------------- parts
@pytest.mark.parametrize("variant", ["published", "sharp", "merged"])
@pytest.mark.parametrize("norm", ["joint", "separate"])
@pytest.mark.parametrize("translation", ["truth", "fitted", "none"])
def test_the_summands_add_up(variant, norm, translation):
    rng = np.random.default_rng(16)
    for _ in range(20):
        fit, truth = random_pair(rng)
        parts = voronoi_loss(
            softmax_measure(*fit), softmax_measure(*truth), coordinates="raw",
            variant=variant, norm=norm, translation=translation, parts=True,
        )  # fmt: skip
        assert parts.by_cell.sum() == pytest.approx(parts.loss, rel=1e-10)
        kinds = ("masses", "exact", "over-covered")
        assert sum(map(parts.of, kinds)) == pytest.approx(parts.loss, rel=1e-10)


def test_parts_print_what_they_are():
    truth = random_arrays(np.random.default_rng(17), 2)
    text = repr(voronoi_loss(
        softmax_measure(*near(np.random.default_rng(18), truth, 3, 0.01)), softmax_measure(*truth),
        coordinates="raw", parts=True,
    ))  # fmt: skip
    for word in ("Voronoi loss", "masses", "exact", "over-covered", "gate.slopes", "(2 fitted)", "(1 fitted)"):
        assert word in text


def test_four_atoms_in_a_cell_have_conjectured_exponents():
    truth = random_arrays(np.random.default_rng(41), 1)
    for K, conjectured in ((3, False), (4, True)):
        fit = near(np.random.default_rng(42), truth, K, 0.1)
        for variant, gate, expected in (("published", "softmax", conjectured), ("sharp", "softmax", conjectured)):
            G, G0 = softmax_measure(*fit, gate=gate), softmax_measure(*truth, gate=gate)
            parts = voronoi_loss(G, G0, coordinates="raw", variant=variant, parts=True)
            assert parts.conjectured == expected
            assert ("conjecture" in repr(parts)) == expected


def test_many_fits_at_once():
    rng = np.random.default_rng(19)
    truth = random_arrays(rng, 2)
    fits = [near(rng, truth, 3, 0.2) for _ in range(30)]
    G0 = softmax_measure(*truth, moments=ms.theory.Moments(1.5, 2.0))
    for options in ({}, {"scale": "sd"}, {"mass": "raw"}, {"variant": "merged"}, {"coordinates": "raw"}):
        found = voronoi_loss([softmax_measure(*fit) for fit in fits], G0, **options)
        alone = [voronoi_loss(softmax_measure(*fit), G0, **options) for fit in fits]
        np.testing.assert_allclose(found, alone, rtol=1e-12)


@pytest.mark.parametrize("gate", ["laplace", "topk(softmax, 2)", "temperature(softmax, tau=2.0)"])
def test_many_fits_under_other_gates(gate):
    rng = np.random.default_rng(190)
    field = "centres" if gate == "laplace" else "slopes"

    def measure(arrays, **options):
        b0, b1, a, b, nu = arrays
        model = ms.MixtureOfExperts(gate=gate, n_experts=len(b0))
        params = model.params(
            gate={"intercepts": b0, field: b1}, expert={"slopes": a, "intercepts": b, "variances": nu}
        )
        return mixing_measure(model, params, **options)

    truth = random_arrays(rng, 2)
    G0 = measure(truth, moments=ms.theory.Moments(1.5, 2.0))
    fits = [measure(near(rng, truth, K, 0.2)) for K in (3, 3, 2, 3)]  # of several sizes too
    np.testing.assert_allclose(voronoi_loss(fits, G0), [voronoi_loss(fit, G0) for fit in fits], rtol=1e-12)


# --------------------------------------------------------------------------------------- kinds of gates
def test_the_same_numbers_under_another_gate_are_another_measure():
    truth = random_arrays(np.random.default_rng(60), 3)
    for fit, true in (("topk(softmax, 1)", "softmax"), ("softmax", "topk(softmax, 2)"),
                      ("topk(softmax, 2)", "topk(softmax, 1)"),
                      ("softmax(transform='tanh')", "softmax")):  # fmt: skip
        G, G0 = softmax_measure(*truth, gate=fit), softmax_measure(*truth, gate=true)
        for compare in (voronoi_loss, measure_distance):
            with pytest.raises(InputError, match="must have the same gate"):
                compare(G, G0, coordinates="raw")
        with pytest.raises(InputError, match="must have the same gate"):
            voronoi_loss([G, G], G0, coordinates="raw")


def test_top_k_gates_of_one_density_are_compared():
    """All experts active, or more of them where more stand for a true one."""
    truth = random_arrays(np.random.default_rng(61), 2)
    again = [x[[0, 0, 1, 1]] for x in truth]
    for fit, own, true in (("topk(softmax, 2)", truth, "softmax"), ("topk(softmax, 2)", again, "topk(softmax, 1)")):
        assert raw_of(own, truth, fit, true) < 1e-9


def raw_of(fit, truth, gate, true):
    return voronoi_loss(softmax_measure(*fit, gate=gate), softmax_measure(*truth, gate=true), coordinates="raw")


@pytest.mark.parametrize("gate", ["temperature(softmax, tau=2.0)", "topk(temperature(softmax, tau=2.0), 2)"])
def test_a_held_temperature_is_brought_into_the_slopes(gate):
    b0, b1, a, b, nu = random_arrays(np.random.default_rng(62), 3)
    model = ms.MixtureOfExperts(gate=gate, n_experts=3)
    params = model.params(
        gate={"intercepts": 2 * b0, "slopes": 2 * b1},
        expert={"slopes": a, "intercepts": b, "variances": nu},
    )
    G = mixing_measure(model, params, moments=ms.theory.Moments(1.0, 2.0))
    plain = softmax_measure(b0, b1, a, b, nu, gate="topk(softmax, 2)" if "topk" in gate else "softmax")
    np.testing.assert_allclose(G.atoms, plain.atoms, rtol=1e-14)
    assert voronoi_loss(plain, G) < 1e-12
    assert measure_distance(plain, G) < 1e-12


def test_transforms_have_the_exponents_that_are_known_of_them():
    entries = {name: gate_loss(ms.gates.Softmax(name)) for name in ("identity", "tanh", "softplus")}
    plain = gate_loss(ms.gates.Softmax())
    assert entries["identity"] == plain
    assert not entries["tanh"].couples
    assert "2310.14188" in entries["tanh"].source
    assert entries["softplus"].source.startswith("derived")
    for unknown, shown in (("relu", "'relu'"), (np.tanh, "a function")):
        with pytest.raises(InputError, match=f"no Voronoi loss is known.*{shown}.*loss_entry"):
            gate_loss(ms.gates.Softmax(unknown))


# --------------------------------------------------------------------------------------- other gates and experts
def laplace_formula(fit, truth):
    """Losses D1 and D2 of arXiv 2402.03226, with separate norms and the fitted masses as they are."""
    m, ms_ = np.exp(fit[0]), np.exp(truth[0])
    apart = sum(
        (np.reshape(x, (len(m), 1, -1)) - np.reshape(y, (1, len(ms_), -1))) ** 2
        for x, y in zip(fit[1:], truth[1:], strict=True)
    ).sum(-1)
    cells = apart.argmin(axis=1)
    sizes = np.bincount(cells, minlength=len(ms_))
    loss = np.abs(np.bincount(cells, m, len(ms_)) - ms_).sum()
    for i, j in enumerate(cells):
        r = {1: 1, 2: 4, 3: 6, 4: 8}[int(sizes[j])]
        powers = (1, 1, 1, 1) if sizes[j] == 1 else (2, 2, r, r / 2)
        pairs = zip(fit[1:], truth[1:], powers, strict=True)
        loss += m[i] * sum(np.linalg.norm(np.ravel(x[i] - y[j])) ** p for x, y, p in pairs)
    return loss


def test_laplace_gate():
    rng = np.random.default_rng(20)
    for _ in range(100):
        fit, truth = random_pair(rng)
        found = raw(fit, truth, "laplace", norm="separate", mass="raw", translation="none")
        assert found == pytest.approx(laplace_formula(fit, truth), rel=1e-12)


def test_top_k_takes_the_worst_subset_of_cells():
    """Without translations it is the largest sum of as many cells as are active; with all active there is no choice."""
    rng = np.random.default_rng(21)
    for _ in range(50):
        truth = random_arrays(rng, 3)
        fit = near(rng, truth, 4, 0.3)
        G, G0 = softmax_measure(*fit), softmax_measure(*truth)
        cells = voronoi_loss(G, G0, coordinates="raw", translation="none", parts=True).by_cell
        for n in (1, 2, 3):
            found = raw(fit, truth, f"topk(softmax, {n})", translation="none")
            assert found == pytest.approx(np.sort(cells)[-n:].sum(), rel=1e-12)
            free = raw(fit, truth, f"topk(softmax, {n})")
            assert free <= raw(fit, truth) * (1 + CLOSE)
        assert raw(fit, truth, "topk(softmax, 3)") == pytest.approx(raw(fit, truth), rel=1e-7)


def test_top_k_is_not_above_any_translation():
    rng = np.random.default_rng(22)
    for _ in range(100):
        truth = random_arrays(rng, 3)
        fit = near(rng, truth, 4, 0.5)
        t = tried(rng, fit, truth, 500)
        values = plain_loss(fit, truth, t, c=np.exp(rng.normal(size=len(t))), active=2)
        assert raw(fit, truth, "topk(softmax, 2)") <= values.min() * (1 + CLOSE) + CLOSE


def temperature_measure(arrays, tau, gate="temperature(softmax)"):
    b0, b1, a, b, nu = arrays
    model = ms.MixtureOfExperts(gate=gate, n_experts=len(b0))
    own = {"intercepts": b0, "slopes": b1}
    own = {"inner": own, "temperature": tau} if gate.startswith("temperature") else {**own, "temperature": tau}
    return mixing_measure(model, model.params(gate=own, expert={"slopes": a, "intercepts": b, "variances": nu}))


@pytest.mark.parametrize("r", [1.0, 2.5, 4.0])
def test_temperature_has_a_family_of_exponents(r):
    """D_(1,r): every exponent is r, in exact cells as well; masses are exp(b0 / tau)."""
    rng = np.random.default_rng(23)
    truth = random_arrays(rng, 2)
    fit = near(rng, truth, 3, 0.01)
    tau, true_tau = 1.3, 1.1
    found = voronoi_loss(
        temperature_measure(fit, tau), temperature_measure(truth, true_tau), coordinates="raw", norm="separate",
        mass="raw", translation="none", r=r,
    )  # fmt: skip
    m, ms_ = np.exp(fit[0] / tau), np.exp(truth[0] / true_tau)
    apart = sum((np.reshape(x, (3, 1)) - np.reshape(y, (1, 2))) ** 2 for x, y in zip(fit[1:], truth[1:], strict=True))
    cells = apart.argmin(axis=1)
    expected = np.abs(np.bincount(cells, m, 2) - ms_).sum()
    for i, j in enumerate(cells):
        pairs = zip(fit[1:], truth[1:], strict=True)
        expected += m[i] * (
            abs(tau - true_tau) ** r + sum(np.linalg.norm(np.ravel(x[i] - y[j])) ** r for x, y in pairs)
        )
    assert found == pytest.approx(expected, rel=1e-12)


def test_activation_gate_is_polynomial():
    rng = np.random.default_rng(24)
    truth = random_arrays(rng, 2)
    fit = near(rng, truth, 4, 0.01)
    pair = [temperature_measure(x, tau, "activation('tanh')") for x, tau in ((fit, 1.01), (truth, 1.0))]
    parts = voronoi_loss(*pair, coordinates="raw", norm="separate", parts=True)
    used = {one.name for one in parts.summands if one.over and one.values.any()}
    assert used == {"gate.slopes", "gate.temperature", "expert.slopes", "expert.intercepts", "expert.variances"}
    slopes = next(one for one in parts.summands if one.over and one.name == "gate.slopes")
    masses = np.exp(fit[0] / 1.01)
    masses *= np.exp(truth[0]).sum() / masses.sum()
    sizes = np.bincount(parts.cells, minlength=2)
    expected = sum(
        m * e**2 for m, e, j in zip(masses, parts.errors["gate.slopes"], parts.cells, strict=True) if sizes[j] > 1
    )
    assert slopes.values.sum() == pytest.approx(expected, rel=1e-10)


def multinomial_measure(b0, b1, slopes, intercepts, gate="softmax"):
    model = ms.MixtureOfExperts(gate=gate, expert="multinomial", n_experts=len(b0))
    params = model.params(gate={"intercepts": b0, "slopes": b1}, expert={"slopes": slopes, "intercepts": intercepts})
    return mixing_measure(model, params)


@pytest.mark.parametrize(
    ("gate", "constant", "power"),
    [("softmax", False, 2.0), ("softmax", True, 3.0), ("softmax(transform='tanh')", True, 2.0)],
)
def test_multinomial_regimes(gate, constant, power):
    """Squares; r, once an expert ignores the covariates; squares again under a modified gate."""
    rng = np.random.default_rng(25)
    b0, b1, slopes, intercepts = (
        rng.normal(size=2),
        rng.normal(size=(2, 1)),
        rng.normal(size=(2, 2, 1)),
        rng.normal(size=(2, 2)),
    )
    if constant:
        slopes[0] = 0.0
    truth = multinomial_measure(b0, b1, slopes, intercepts, gate)
    again = np.array([0, 1, 1])
    error = 0.01 * rng.normal(size=(3, 2))
    fit = multinomial_measure(
        b0[again] - np.log([1.0, 2.0, 2.0]), b1[again], slopes[again], intercepts[again] + error, gate
    )
    parts = voronoi_loss(fit, truth, coordinates="raw", norm="separate", r=3.0, parts=True)
    assert parts.cells.tolist() == [0, 1, 1]
    over = sum(one.values[1] for one in parts.summands if one.over)
    expected = np.exp(b0[1]) / 2 * (np.linalg.norm(error[1:], axis=1) ** power).sum()
    assert over == pytest.approx(expected, rel=1e-9)


def joint_measure(pi, c, gamma, a, b, nu):
    model = ms.MixtureOfExperts(gate="gaussian(likelihood='joint')", n_experts=len(pi))
    gate = {"log_weights": np.log(pi), "centres": c, "covariances": gamma}
    return mixing_measure(model, model.params(gate=gate, expert={"slopes": a, "intercepts": b, "variances": nu}))


def test_gaussian_gate_by_types():
    """The truths of arXiv 2305.07572; where a centre is at zero the experts' slopes have the exponent r / 2."""
    rng = np.random.default_rng(26)
    for first, type_two in ((-0.1, False), (0.0, True)):
        truth = (
            np.array([0.3, 0.4, 0.3]), np.array([[first], [0.1], [0.5]]),
            np.array([[[0.042824]], [[0.0175]], [[0.01]]]),
            np.array([[0.40454], [-0.71429], [0.0]]), np.array([0.340454, -0.328571, 0.2]),
            np.array([0.00887672, 0.02642857, 0.0175]),
        )  # fmt: skip
        again = np.array([0, 0, 0, 1, 2])
        fit = [x[again] for x in truth]
        fit[0] = fit[0] / [3, 3, 3, 1, 1]
        fit[1:] = [x + 1e-3 * np.abs(rng.normal(size=x.shape)) for x in fit[1:]]
        found = voronoi_loss(
            joint_measure(*fit), joint_measure(*truth), coordinates="raw", norm="separate", cell_metric="absolute"
        )
        expected = 0.0
        for i, j in enumerate(again):
            powers = (6, 3, 3 if type_two else 2, 6, 3) if j == 0 else (1,) * 5
            pairs = zip(fit[1:], truth[1:], powers, strict=True)
            expected += fit[0][i] * sum(np.linalg.norm(np.ravel(x[i] - y[j])) ** p for x, y, p in pairs)
        assert found == pytest.approx(expected, rel=1e-9)


# --------------------------------------------------------------------------------------- hierarchies
def tree_measure(gate, outer, groups, a, b, nu):
    model = ms.MixtureOfExperts(gate=gate, n_experts=len(b))
    params = model.params(
        gate={"outer": outer, "group": tuple(groups)}, expert={"slopes": a, "intercepts": b, "variances": nu}
    )
    return mixing_measure(model, params)


@pytest.mark.parametrize(
    ("outer", "inner", "power"), [("softmax", "softmax", 3), ("softmax", "laplace", 3), ("laplace", "laplace", 2)]
)
def test_hierarchy_on_both_levels(outer, inner, power):
    """The loss of arXiv 2410.02935, with separate norms: cells of three, where the kinds of gates differ."""
    rng = np.random.default_rng(27)
    fields = {"softmax": "slopes", "laplace": "centres"}
    top = {"intercepts": [0.0, 0.0], fields[outer]: np.array([[1.0], [-1.0]])}
    moved = {"intercepts": [0.1, -0.1], fields[outer]: np.array([[1.1], [-1.0]])}
    own = [{"intercepts": [0.0], fields[inner]: [[0.5]]}, {"intercepts": [0.0, 0.5], fields[inner]: [[1.0], [-2.0]]}]
    again = np.array([0, 1, 1, 1, 2])
    w_error, error = 1e-2 * rng.normal(size=4), 1e-2 * np.abs(rng.normal(size=(3, 5)))
    fitted = [
        own[0],
        {
            "intercepts": np.array([0.0, 0.0, 0.0, 0.5]) - np.log([3, 3, 3, 1]),
            fields[inner]: (np.array([1.0, 1.0, 1.0, -2.0]) + w_error)[:, None],
        },
    ]
    a, b, nu = np.array([1.0, -1.0, 3.0]), np.array([0.0, 2.0, -3.0]), np.array([1.0, 0.5, 2.0])
    truth_gate = f"hierarchical({outer}, {inner}, (1, 2))"
    # a group of one expert has no gate
    empty = {}
    truth = tree_measure(truth_gate, top, [empty, own[1]], a[:, None], b, nu)
    fit = tree_measure(
        f"hierarchical({outer}, {inner}, (1, 4))", moved, [empty, fitted[1]],
        (a[again] + error[0])[:, None], b[again] + error[1], nu[again] + error[2],
    )  # fmt: skip
    parts = voronoi_loss(fit, truth, coordinates="raw", norm="separate", translation="none", mass="raw", parts=True)
    masses, share = np.exp([0.1, -0.1]), np.exp(fitted[1]["intercepts"])
    expected = np.abs(masses - 1.0).sum() + masses[0] * 0.1
    expected += masses[0] * (error[:, 0]).sum()
    three = w_error[:3] ** 2 + error[0, 1:4] ** power + error[1, 1:4] ** 6 + error[2, 1:4] ** 3
    last = abs(w_error[3]) + error[:, 4].sum()
    expected += masses[1] * ((share[:3] * three).sum() + share[3] * last)
    assert parts.loss == pytest.approx(expected, rel=1e-9)
    assert voronoi_loss(truth, truth, coordinates="raw") == pytest.approx(0.0, abs=1e-12)
    assert voronoi_loss(fit, truth, coordinates="raw") <= 3 * expected


def test_hierarchies_forget_labels_and_translations_on_both_levels():
    rng = np.random.default_rng(40)
    for _ in range(10):
        top = {"intercepts": rng.normal(size=2), "slopes": rng.normal(size=(2, 2))}
        groups = [{"intercepts": rng.normal(size=3), "slopes": rng.normal(size=(3, 2))} for _ in range(2)]
        a, b, nu = rng.normal(size=(6, 2)), rng.normal(size=6), np.exp(rng.normal(size=6))
        gate = "hierarchical(softmax, softmax, (3, 3))"
        truth = tree_measure(gate, top, groups, a, b, nu)
        within = [rng.permutation(3) for _ in range(2)]
        order = np.concatenate([3 + within[1], within[0]])
        moved = {"intercepts": top["intercepts"][::-1] + 3.0, "slopes": top["slopes"][::-1] + np.array([1.0, -2.0])}
        others = [
            {"intercepts": groups[g]["intercepts"][within[g]] - 5.0, "slopes": groups[g]["slopes"][within[g]] + g + 1.0}
            for g in (1, 0)
        ]
        same = tree_measure(gate, moved, others, a[order], b[order], nu[order])
        assert voronoi_loss(same, truth, coordinates="raw") < 1e-9
        assert measure_distance(truth, truth) < 1e-9
        far = tree_measure(gate, top, groups, a, b + 1.0, nu)
        assert voronoi_loss(far, truth, coordinates="raw") > 0.1


def test_shared_experts_beside_routed_ones():
    """Loss D2 of arXiv 2505.10860: squares of shared slopes, the softmax exponents for routed ones."""
    rng = np.random.default_rng(28)
    gate = "hierarchical(constant((0.5, 0.5)), (constant, softmax), {})"
    a, b, nu = np.array([2.0, 8.0, -6.0]), np.array([0.0, 2.0, 1.0]), np.array([0.2, 0.4, 0.4])
    routed = {"intercepts": [-0.5, 0.5], "slopes": [[5.0], [-5.0]]}
    truth = tree_measure(gate.format("(1, 2)"), {}, [{}, routed], a[:, None], b, nu)
    again = np.array([0, 0, 1, 2, 2])
    error = 1e-2 * np.abs(rng.normal(size=(3, 5)))
    shared = {"intercepts": [np.log(0.3), np.log(0.7)]}
    more = {"intercepts": [-0.5, 0.5 - np.log(2), 0.5 - np.log(2)], "slopes": [[5.0], [-5.0], [-5.0]]}
    fit = tree_measure(
        gate.format("(2, 3)"),
        {},
        [shared, more],
        (a[again] + error[0])[:, None],
        b[again] + error[1],
        nu[again] + error[2],
    )
    parts = voronoi_loss(fit, truth, coordinates="raw", norm="separate", translation="none", parts=True)
    two = np.array([0.3, 0.7]) * (error[0, :2] ** 2 + error[1, :2] ** 4 + error[2, :2] ** 2)
    m = np.exp([-0.5, 0.5])
    over = m[1] / 2 * (error[0, 3:] ** 2 + error[1, 3:] ** 4 + error[2, 3:] ** 2).sum()
    expected = 0.5 * two.sum() + 0.5 * (m[0] * error[:, 2].sum() + over)
    assert parts.loss == pytest.approx(expected, rel=1e-9)


# --------------------------------------------------------------------------------------- entries
def test_entries_know_the_translations_of_their_gates():
    """What an entry says may be shifted is what the gate itself says."""
    rng = np.random.default_rng(29)
    arrays = random_arrays(rng, 3, 2)
    for gate in ("softmax", "laplace", "topk(softmax, 2)"):
        measure = softmax_measure(*arrays, gate=gate)
        shifts = gate_loss(measure.gate).shifts
        columns = [
            np.arange(20)[c.columns] for c in measure.coordinates if c.name.startswith("gate.") and c.field in shifts
        ]
        assert translated_columns(measure).tolist() == np.concatenate([np.zeros(0, int), *columns]).tolist()


def test_a_gate_without_an_entry_says_what_to_do(monkeypatch):
    model = ms.MixtureOfExperts(gate="cosine", n_experts=2)
    params = model.params(
        gate={"intercepts": [0.0, 0.0], "slopes": [[1.0], [2.0]], "temperature": 1.0},
        expert={"slopes": [[1.0], [2.0]], "intercepts": [0.0, 1.0], "variances": [1.0, 1.0]},
    )
    G = mixing_measure(model, params)
    with pytest.raises(InputError, match=r"no Voronoi loss is known for the gate 'cosine'.*loss_entry"):
        voronoi_loss(G, G, coordinates="raw")
    monkeypatch.setitem(
        GATE_LOSSES, "cosine", GateLoss({"slopes": Power(2.0), "temperature": Power(2.0)}, source="a user's own")
    )
    assert voronoi_loss(G, G, coordinates="raw") == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "best"}, r"variant must be one of \['published', 'sharp', 'merged'\]; got 'best'"),
        ({"r": 0.5}, "r must be a finite number of at least 1"),
        ({"cells": 3}, "cells must be one of"),
    ],
)
def test_options_are_checked(options, message):
    truth = random_arrays(np.random.default_rng(30), 2)
    with pytest.raises(InputError, match=message):
        raw(truth, truth, **options)


def test_measures_of_different_models_are_not_compared():
    truth = random_arrays(np.random.default_rng(31), 2)
    with pytest.raises(InputError, match="atoms with the same coordinates"):
        voronoi_loss(softmax_measure(*truth), softmax_measure(*truth, gate="laplace"), coordinates="raw")
    with pytest.raises(InputError, match=r"fitted must be a MixingMeasure.*mixing_measure\(results\)"):
        voronoi_loss(3, softmax_measure(*truth), coordinates="raw")
    with pytest.raises(InputError, match="fitted must be a MixingMeasure, made by mixing_measure; got int"):
        voronoi_loss([3], softmax_measure(*truth), coordinates="raw")
    with pytest.raises(InputError, match="truth must be a MixingMeasure"):
        voronoi_loss(softmax_measure(*truth), 3, coordinates="raw")
    assert voronoi_loss([], softmax_measure(*truth), coordinates="raw").size == 0
    with pytest.raises(InputError, match="parts=True takes one fitted measure"):
        voronoi_loss([softmax_measure(*truth)], softmax_measure(*truth), coordinates="raw", parts=True)
