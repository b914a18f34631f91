"""Second-order sums of one block, with shared and own derivatives, against NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from moestat.kernels import information
from tests.unit.draws import normal
from tests.unit.kernels import twins
from tests.unit.kernels.twins import EPS, assert_same_sums


def up4(n):
    return -(-n // 4) * 4


def stacked(J):
    """The rows of a Jacobian one expert after the other, followed by padding that must not matter."""
    return np.concatenate([J.reshape(-1, J.shape[-1]), np.full((information.PADDING, J.shape[-1]), np.nan)])


@dataclass(frozen=True)
class Case:
    """K experts, qg and qe local parameters, B rows; derivatives of the gate common to all experts or own."""

    K: int
    qg: int
    qe: int
    B: int
    common: bool

    @property
    def gate_columns(self):
        """Own columns, except that the last one is shared by all experts (a temperature)."""
        columns = np.arange(self.K * self.qg).reshape(self.K, self.qg)
        columns[:, -1] = columns[0, -1]
        return columns

    @property
    def n_gate(self):
        return self.K * self.qg

    @property
    def expert_columns(self):
        return self.n_gate + np.arange(self.K * self.qe).reshape(self.K, self.qe)

    @property
    def size(self):
        return self.n_gate + self.K * self.qe

    @property
    def Jg(self):
        return normal(1 if self.common else self.K, self.qg, self.B, seed=1)

    @property
    def Je(self):
        return normal(self.K, self.qe, self.B, seed=2)

    @property
    def weight(self):
        """Weights of which the last is a padding row's, unless it is the only one."""
        weight = np.exp(normal(self.B, seed=3))
        weight[1:][-1:] = 0.0
        return weight

    @property
    def combined(self):
        return twins.combine(normal(self.K, self.B, seed=4), normal(self.K, self.B, seed=5), self.weight)


CASES = [
    Case(*sizes, B, common)
    for sizes, B, common in product([(1, 1, 1), (2, 3, 5), (3, 5, 2), (4, 8, 3)], (1, 8, 40), (True, False))
] + [Case(3, 3, 4, B, True) for B in (300, 1024)]  # several strips of columns, the last one short or full


@pytest.fixture(params=CASES, ids=repr)
def case(request):
    return request.param


def mean_derivatives(case):
    """The kernel's A and U, with rows padded to multiples of four and buffers full of NaN."""
    PI, R = case.combined.PI, case.combined.R
    A, U = (np.full((up4(n), case.B), np.nan) for n in (case.size, case.n_gate))
    scratch = np.full((2, case.B), np.nan)
    information.mean_derivatives(
        case.gate_columns, case.expert_columns, PI, R, case.weight, case.Jg, case.Je, A, U, scratch
    )
    return A, U


def test_mean_derivatives_equal_their_twin(case):
    """A and U scaled by the root of the weight, scattered through shared and own columns."""
    A, U = mean_derivatives(case)
    inputs = (case.gate_columns, case.expert_columns, case.combined.PI, case.combined.R, case.weight)
    sizes = (case.size, case.n_gate)
    want = twins.mean_derivatives(*inputs, case.Jg, case.Je, *sizes)
    magnitude = twins.mean_derivatives(*inputs, np.abs(case.Jg), np.abs(case.Je), *sizes)
    for got, exact, bound in zip((A, U), want, magnitude, strict=True):
        assert_same_sums(got[: len(exact)], exact, bound, terms=case.K + 4)


def test_rows_that_pad_the_mean_derivatives_are_zero(case):
    """They enter products of tiles of four rows."""
    A, U = mean_derivatives(case)
    assert not A[case.size :].any()
    assert not U[case.n_gate :].any()


def test_scores_are_the_difference_of_the_mean_derivatives(case):
    A, U = normal(case.size, case.B, seed=6), normal(case.n_gate, case.B, seed=7)
    before = normal(case.size, seed=8)
    score = before.copy()
    information.add_scores(A, U, case.weight, score)
    magnitude = np.abs(before) + np.abs(A) @ np.sqrt(case.weight)
    magnitude[: case.n_gate] += np.abs(U) @ np.sqrt(case.weight)
    assert_same_sums(score, before + twins.add_scores(A, U, case.weight), magnitude, terms=2 * case.B + 2)


def test_score_of_the_mean_derivatives_is_the_pulled_score(case):
    """sum w (A - U) = sum D u + sum R db: two ways to the same gradient, by row and by expert."""
    A, U = mean_derivatives(case)
    score = np.zeros(case.size)
    information.add_scores(A, U[: case.n_gate], case.weight, score)
    pulled = np.zeros(case.size)
    np.add.at(pulled, case.gate_columns, twins.contract(case.combined.D, case.Jg))
    np.add.at(pulled, case.expert_columns, twins.contract(case.combined.R, case.Je))
    magnitude = np.zeros(case.size)
    both = case.combined.R + case.weight * case.combined.PI  # D is the difference of these two
    np.add.at(magnitude, case.gate_columns, twins.contract(both, np.abs(case.Jg)))
    np.add.at(magnitude, case.expert_columns, twins.contract(case.combined.R, np.abs(case.Je)))
    assert_same_sums(score, pulled, magnitude, terms=case.K * case.B + 8)


def test_subtracting_the_gate_touches_only_its_rows(case):
    A, U = normal(up4(case.size), case.B, seed=6), normal(case.n_gate, case.B, seed=7)
    out = A.copy()
    information.subtract_gate(out, U)
    np.testing.assert_array_equal(out[: case.n_gate], A[: case.n_gate] - U)
    np.testing.assert_array_equal(out[case.n_gate :], A[case.n_gate :])


def test_local_products_equal_their_twin(case):
    """u D u', db R u' and db R db' of each expert, added to what is there; of the squares the lower triangles."""
    D, R = case.combined.D, case.combined.R
    want = twins.add_local_products(D, R, case.Jg, case.Je)
    magnitude = twins.add_local_products(*map(np.abs, (D, R, case.Jg, case.Je)))
    before = [normal(case.K, *map(up4, exact.shape[1:]), seed=8) for exact in want]
    outs = [values.copy() for values in before]
    W = np.full((max(up4(case.qg), up4(case.qe)), case.B), np.nan)
    information.add_local_products(D, R, stacked(case.Jg), stacked(case.Je), case.common, W, *outs)
    for got, there, exact, bound, square in zip(outs, before, want, magnitude, (True, False, True), strict=True):
        rows, columns = np.tril_indices(exact.shape[1]) if square else np.indices(exact.shape[1:])
        own = np.s_[:, rows, columns]
        assert_same_sums(got[own], there[own] + exact[own], np.abs(there[own]) + bound[own], terms=case.B + 4)


def weighted_outer(case):
    """The kernel's two sums, from zero, cut to their true sizes."""
    n, q = up4(case.n_gate), up4(case.qg)
    out_mean, out_local = np.zeros((n, n)), np.zeros((case.K, q, q))
    U, W = np.full((n, case.B), np.nan), np.full((q, case.B), np.nan)
    information.add_weighted_outer(
        case.gate_columns, case.combined.PI, case.weight, stacked(case.Jg), U, W, out_mean, out_local
    )
    return out_mean[: case.n_gate, : case.n_gate], out_local[:, : case.qg, : case.qg]


def test_weighted_outer_products_equal_their_twin(case):
    """Lower triangles of the products of the means and of the local ones."""
    inputs = (case.gate_columns, case.combined.PI, case.weight)
    want = twins.add_weighted_outer(*inputs, case.Jg, case.n_gate)
    magnitude = twins.add_weighted_outer(*inputs, np.abs(case.Jg), case.n_gate)
    (mean, local), lower = weighted_outer(case), np.tril_indices(case.n_gate)
    assert_same_sums(mean[lower], want[0][lower], magnitude[0][lower], terms=case.B * case.K**2 + 8)
    own = np.s_[:, *np.tril_indices(case.qg)]
    assert_same_sums(local[own], want[1][own], magnitude[1][own], terms=case.B + 8)


def feature_products(case, experts, pairs, before=0.0):
    """The kernel's sums over features, weighted for experts and for pairs of them, cut to their true sizes."""
    shape = case.K * experts + case.K * (case.K - 1) // 2 * pairs, case.qg * (case.qg + 1) // 2
    padded = np.zeros(tuple(map(up4, shape)))
    padded[: shape[0], : shape[1]] = before
    combined = case.combined
    information.add_feature_products(combined.R, combined.PI, case.weight, case.Jg[0], experts, pairs, padded)
    return padded[: shape[0], : shape[1]]


@pytest.mark.parametrize(("experts", "pairs"), [(True, False), (False, True), (True, True)])
def test_feature_products_equal_their_twin(case, experts, pairs):
    """Rows of the experts come first, then those of the pairs."""
    R, PI, F = case.combined.R, case.combined.PI, case.Jg[0]
    want = twins.add_feature_products(R, PI, case.weight, F, experts, pairs)
    before = normal(*want.shape, seed=8)
    # the weights of one sum have one sign
    magnitude = np.abs(before) + np.abs(twins.add_feature_products(R, PI, case.weight, np.abs(F), experts, pairs))
    got = feature_products(case, experts, pairs, before)
    assert_same_sums(got, before + want, magnitude, terms=case.B + 6)


@pytest.mark.parametrize("B", [8, 40])
def test_pairs_of_experts_give_the_information_of_any_gate_with_known_features(B):
    """The same matrix as local products minus the outer product of the means.

    Blocks of the same expert are minus the sum of their rows' other blocks, as weights sum to one.
    """
    case = Case(3, 5, 1, B, True)
    K, q = case.K, case.qg
    own = np.arange(K * q).reshape(K, q)
    mean, local = twins.add_weighted_outer(own, case.combined.PI, case.weight, case.Jg, K * q)
    want = (-mean).reshape(K, q, K, q).swapaxes(1, 2)
    want[np.arange(K), np.arange(K)] += local
    got = np.zeros((K, K, q, q))
    for row, k, l in zip(feature_products(case, False, True), *np.tril_indices(K, -1), strict=True):
        lower = np.zeros((q, q))
        lower[twins.pairs(q)] = row
        got[k, l] = got[l, k] = lower + np.tril(lower, -1).T
    got[np.arange(K), np.arange(K)] = -got.sum(axis=1)
    bound = case.weight.sum() * np.abs(case.Jg).max() ** 2  # every term is at most this, and B of them add up
    np.testing.assert_allclose(got, want, rtol=0, atol=4 * EPS * bound)
