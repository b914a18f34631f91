"""The E-step on one block: weights, responsibilities, log-likelihood and entropy."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moestat.kernels import rows
from tests.unit.draws import few, normal
from tests.unit.kernels import twins
from tests.unit.kernels.twins import EPS, Combined, assert_same_sums

EXPERTS = (1, 2, 3, 8)
ROWS = (1, 8, 40, 300, 1024)  # kernels work in strips of columns: one, several, the last one short or full

#: a weight below exp(-708) is exactly zero in the kernel, a subnormal number in NumPy
SWITCHED_OFF = 4e-308


def combine(H, E, weight, normalised=True):
    """The kernel, called with buffers full of NaN: nothing may depend on what they held."""
    PI, R, D = np.full((3, *H.shape), np.nan)
    row, scratch = np.full(weight.size, np.nan), np.full((3, weight.size), np.nan)
    loglik = rows.combine(H, E, weight, normalised, PI, R, D, row, scratch)
    return Combined(loglik, PI, R, D, row)


def positive(B):
    return np.exp(normal(B, seed=7))


def assert_equals_twin(H, E, weight, normalised):
    got, want = combine(H, E, weight, normalised), twins.combine(H, E, weight, normalised)
    K, B = H.shape
    # two exponentials and a sum of K, in either implementation; the shift by the maximum is the same
    shares = {"rtol": (K + 8) * EPS, "atol": SWITCHED_OFF * max(1.0, weight.max(initial=0.0))}
    np.testing.assert_allclose(got.PI, want.PI, **shares)
    np.testing.assert_allclose(got.R, want.R, **shares)
    np.testing.assert_allclose(got.D, want.D, rtol=0, atol=(2 * K + 16) * EPS * weight.max() + shares["atol"])
    # a log-likelihood is a difference of maxima, so its error is absolute, in units of the maxima
    size = np.abs(H.max(axis=0)) + np.abs((H + E).max(axis=0)) + 2 * np.log(K) + 1.0
    np.testing.assert_array_less(np.abs(got.row - want.row), 4 * EPS * size)
    assert_same_sums(got.loglik, want.loglik, weight @ size, terms=B + 4)


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("B", ROWS)
@pytest.mark.parametrize("K", EXPERTS)
def test_combine_equals_its_twin(K, B, normalised):
    assert_equals_twin(normal(K, B, seed=1), 3 * normal(K, B, seed=2), positive(B), normalised)


@st.composite
def wide_logits(draw):
    """Logits and log densities up to +-1500, some experts switched off, in each row at least one on."""
    K, B = draw(st.integers(1, 5)), draw(st.sampled_from([1, 3, 8, 17]))
    values = arrays(np.float64, (2, K, B), elements=st.floats(-1500, 1500))
    H, E = draw(values)
    off = draw(arrays(np.bool_, (K, B)))
    off[draw(st.integers(0, K - 1))] = False
    return np.where(off, -np.inf, H), E


@few
@given(logits=wide_logits(), normalised=st.booleans())
def test_combine_takes_any_logits(logits, normalised):
    """Also where exp would overflow or underflow, and with experts switched off."""
    H, E = logits
    assert_equals_twin(H, E, positive(H.shape[1]), normalised)


@pytest.mark.parametrize("scale", [1.0, 700.0, 1e5])
def test_log_density_equals_forty_digits(scale):
    """log p = LSE(h + b) - LSE(h) without forming p, against exact arithmetic."""
    H, E = scale * normal(3, 8, seed=1), scale * normal(3, 8, seed=2)
    with mpmath.workdps(40):

        def lse(terms):
            return mpmath.log(mpmath.fsum(mpmath.exp(t) for t in terms))

        exact = [
            float(lse([mpmath.mpf(h) + mpmath.mpf(e) for h, e in zip(hs, es, strict=True)]) - lse(map(mpmath.mpf, hs)))
            for hs, es in zip(H.T.tolist(), E.T.tolist(), strict=True)
        ]
    size = np.abs(H).max(axis=0) + np.abs(E).max(axis=0) + 1.0  # the differences cancel maxima of this size
    np.testing.assert_array_less(np.abs(combine(H, E, np.ones(8)).row - exact), 4 * EPS * size)


@pytest.mark.parametrize("normalised", [True, False])
def test_responsibilities_sum_to_the_row_weight(normalised):
    weight = positive(40)
    R = combine(normal(5, 40, seed=1), normal(5, 40, seed=2), weight, normalised).R
    np.testing.assert_allclose(R.sum(axis=0), weight, rtol=8 * EPS)  # K products, one sum, one division


def test_gate_weights_sum_to_one():
    PI = combine(normal(5, 40, seed=1), normal(5, 40, seed=2), positive(40)).PI
    np.testing.assert_allclose(PI.sum(axis=0), 1.0, rtol=8 * EPS)  # K products, one sum, one division


def test_without_normaliser_the_gate_has_no_weights_of_its_own():
    """A joint likelihood is log p = LSE(h + b): PI is zero and D equals R."""
    got = combine(normal(3, 40, seed=1), normal(3, 40, seed=2), positive(40), normalised=False)
    assert not got.PI.any()
    np.testing.assert_array_equal(got.D, got.R)


@pytest.mark.parametrize("K", EXPERTS)
def test_tied_experts_share_to_the_last_bit(K):
    """Equal logits and densities give equal weights, so that no expert wins a tie by rounding."""
    H, E = (np.tile(normal(1, 40, seed=seed), (K, 1)) for seed in (1, 2))
    got = combine(H, E, positive(40))
    np.testing.assert_array_equal(got.PI, np.broadcast_to(got.PI[0], (K, 40)))
    np.testing.assert_array_equal(got.R, np.broadcast_to(got.R[0], (K, 40)))


def test_a_single_expert_takes_the_whole_row():
    """Exactly: its gate has nothing to learn, so the gate's score D must vanish."""
    weight = positive(40)
    got = combine(normal(1, 40, seed=1), normal(1, 40, seed=2), weight)
    np.testing.assert_array_equal(got.PI, 1.0)
    np.testing.assert_array_equal(got.R[0], weight)
    np.testing.assert_array_equal(got.D, 0.0)


def test_switching_an_expert_off_is_leaving_it_out():
    """A logit of -inf gives weight, responsibility and score exactly zero, and changes nobody else's."""
    H, E, weight = normal(3, 40, seed=1), normal(3, 40, seed=2), positive(40)
    off = H.copy()
    off[1] = -np.inf
    kept = [0, 2]
    with_it, without_it = combine(off, E, weight), combine(H[kept], E[kept], weight)
    for name in ("PI", "R", "D"):
        np.testing.assert_array_equal(getattr(with_it, name)[1], 0.0)
        np.testing.assert_array_equal(getattr(with_it, name)[kept], getattr(without_it, name))
    np.testing.assert_array_equal(with_it.row, without_it.row)


def test_an_impossible_response_has_no_responsibility():
    """A log density of -inf (a response outside the support) takes no share; the gate's weight stays."""
    H, E = normal(2, 8, seed=1), normal(2, 8, seed=2)
    E[0] = -np.inf
    got = combine(H, E, np.ones(8))
    np.testing.assert_array_equal(got.R[0], 0.0)
    assert (got.PI[0] > 0).all()


def test_a_common_shift_of_the_logits_changes_no_weight():
    """These logits are shifted without rounding; what is left is that of sums of three and a division."""
    H = np.round(normal(3, 40, seed=1) * 2**10) / 2**10
    E, weight = normal(3, 40, seed=2), positive(40)
    np.testing.assert_allclose(combine(H + 1024.0, E, weight).PI, combine(H, E, weight).PI, rtol=8 * EPS)


def test_padding_rows_count_for_nothing():
    """Rows of weight 0 add neither log-likelihood nor responsibilities."""
    H, E, weight = normal(3, 40, seed=1), normal(3, 40, seed=2), positive(40)
    weight[25:] = 0.0
    padded, alone = (
        combine(H, E, weight),
        combine(*(np.ascontiguousarray(a[..., :25]) for a in (H, E, weight))),
    )
    assert not padded.R[:, 25:].any()
    assert not padded.D[:, 25:].any()
    # 25 terms, added in vectors of other lengths
    assert padded.loglik == pytest.approx(alone.loglik, rel=0, abs=25 * EPS * float(weight @ np.abs(padded.row)))


@pytest.mark.parametrize("B", [1, 16])
@pytest.mark.parametrize("where", ["logit", "log density"])
def test_nan_reaches_the_log_likelihood(where, B):
    """A step that ends in NaN must not look like an improvement."""
    H, E = normal(2, B, seed=1), normal(2, B, seed=2)
    (H if where == "logit" else E)[1, 0] = np.nan
    assert np.isnan(combine(H, E, np.ones(B)).loglik)


# ---------------------------------------------------------------------------------------- entropy
@pytest.mark.parametrize("B", ROWS)
@pytest.mark.parametrize("K", EXPERTS)
def test_entropy_equals_its_twin(K, B):
    weight = positive(B)
    R = combine(normal(K, B, seed=1), normal(K, B, seed=2), weight).R
    got, want = rows.entropy(R, weight), twins.entropy(R, weight)
    # r log r is bounded by 1/e and its error by that of log r times r, at most r (1 + |log r|)
    assert_same_sums(got, want, weight.sum() * (1.0 + K / np.e), terms=K * B + 4)


def test_entropy_of_equal_shares_is_log_k():
    weight = positive(40)
    R = np.tile(weight / 4, (4, 1))
    assert rows.entropy(R, weight) == pytest.approx(weight.sum() * np.log(4), rel=160 * EPS)  # a sum of 160 terms


def test_entropy_of_hard_labels_is_exactly_zero():
    """With 0 log 0 = 0."""
    weight = positive(40)
    R = np.where(np.arange(40) % 3 == np.arange(3)[:, None], weight, 0.0)
    assert rows.entropy(R, weight) == 0.0


def test_entropy_ignores_rows_of_weight_zero():
    weight = positive(8)
    R = np.tile(weight / 2, (2, 1))
    padded = [np.concatenate([a, np.zeros((*a.shape[:-1], 32))], axis=-1) for a in (R, weight)]
    # 16 terms, added in vectors of other lengths
    assert rows.entropy(*padded) == pytest.approx(rows.entropy(R, weight), rel=16 * EPS)
