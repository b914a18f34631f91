"""Sparse weights of a row's scores, and what their derivatives are made of, against forty digits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from moestat.kernels import entmax

#: alpha - 1, from nearly softmax to beyond sparsemax; 1/2 and 1 are sorted, the others found by Newton's steps
EXCESS = [1e-9, 1e-4, 0.2, 0.5, 0.7, 1.0, 1.5]


def log_weights(T, beta):
    H = np.empty_like(T)
    entmax.log_weights(T, beta, H)
    return H


def exact(t, beta):
    """Weights by bisection, in the working precision of mpmath."""
    top = max(t)

    def weights(nu):
        return [max(1 + beta * (x - top - nu), mpmath.mpf(0)) ** (1 / beta) for x in t]

    low, high = mpmath.mpf(0), (1 - mpmath.mpf(len(t)) ** -beta) / beta
    for _ in range(140):
        middle = (low + high) / 2
        low, high = (middle, high) if mpmath.fsum(weights(middle)) > 1 else (low, middle)
    return weights(low)


@pytest.mark.parametrize("beta", EXCESS)
@pytest.mark.parametrize("K", [1, 2, 3, 32])
def test_weights_agree_with_forty_digits(beta, K):
    """Scores that tie, that are close, and that leave a few experts in the support."""
    T = np.random.default_rng(K).standard_normal((K, 9)) * np.repeat([0.1, 1.0, 5.0], 3)
    T[:, 0] = 0.7
    T[: K // 2, 1] = T[0, 1]
    with mpmath.workdps(40):
        expected = [[float(p) for p in exact([mpmath.mpf(float(x)) for x in t], mpmath.mpf(beta))] for t in T.T]
    # a few roundings of the level
    np.testing.assert_allclose(np.exp(log_weights(T, beta)), np.transpose(expected), rtol=0, atol=1e-15)


@pytest.mark.parametrize("beta", [0.0, *EXCESS])
def test_equal_scores_have_equal_weights(beta):
    for K in (1, 2, 7, 32):
        np.testing.assert_allclose(np.exp(log_weights(np.full((K, 1), -3.0), beta)), 1 / K, rtol=0, atol=1e-15)


@pytest.mark.parametrize("beta", [0.0, *EXCESS])
def test_a_switched_off_score_is_absent(beta):
    T = np.array([[0.3], [-np.inf], [0.1]])
    H = log_weights(T, beta)
    assert np.isneginf(H[1, 0])
    np.testing.assert_allclose(H[[0, 2]], log_weights(T[[0, 2]], beta), rtol=1e-15)


def test_without_excess_it_is_softmax():
    T = np.random.default_rng(1).standard_normal((5, 20)) * 10
    T -= T.max(axis=0)
    expected = T - np.log(np.exp(T).sum(axis=0))
    np.testing.assert_allclose(log_weights(T, 0.0), expected, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(log_weights(T, 1e-12), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_sorting_ends_where_newton_does(beta):
    """Weights are smooth in beta: the mean of two neighbours by iteration, 1e-7 away, is as near as 1e-9."""
    T = np.random.default_rng(2).standard_normal((32, 50))
    near = 0.5 * sum(np.exp(log_weights(T, beta + side)) for side in (-1e-7, 1e-7))
    np.testing.assert_allclose(np.exp(log_weights(T, beta)), near, rtol=0, atol=1e-9)


# --------------------------------------------------------------------------------------- derivatives
def in_digits(t, beta, c):
    """sum_k c_k log pi_k as a function of the scores and beta, the support held."""
    H = log_weights(t[:, None], beta)[:, 0]
    on = np.flatnonzero(np.isfinite(H))
    near = t.max() - np.expm1(beta * H.max()) / beta

    def total(*p):
        b, nu = p[-1], mpmath.mpf(near)
        for _ in range(4):  # Newton's steps double the digits of the level
            u = [1 + b * (p[k] - nu) for k in on]
            nu += (mpmath.fsum(x ** (1 / b) for x in u) - 1) / mpmath.fsum(x ** (1 / b - 1) for x in u)
        return mpmath.fsum(c[k] * mpmath.log(1 + b * (p[k] - nu)) / b for k in on)

    return total


@pytest.mark.parametrize("beta", [1e-4, 0.2, 0.5, 1.0, 1.5])
def test_first_and_second_derivatives_agree_with_forty_digits(beta):
    """Of sum c h, in the scores and in beta, rows with and without all experts."""
    rng = np.random.default_rng(3)
    for spread in (0.2, 1.5):
        t = spread * rng.standard_normal(4)
        H = log_weights(t[:, None], beta)
        c = np.where(np.isfinite(H[:, 0]), rng.standard_normal(4), 0.0)
        gradient, hessian = ours(H, beta, c[:, None])
        with mpmath.workdps(40):
            f = in_digits(t, beta, c)
            at = (*(mpmath.mpf(x) for x in t), mpmath.mpf(beta))
            for i in range(5):
                order = tuple(int(a == i) for a in range(5))
                assert gradient[i] == pytest.approx(float(mpmath.diff(f, at, order)), rel=1e-10, abs=1e-10)
                for j in range(i + 1):
                    order = tuple(int(a == i) + int(a == j) for a in range(5))
                    expected = float(mpmath.diff(f, at, order))
                    assert hessian[i, j] == pytest.approx(expected, rel=1e-8, abs=1e-8 * np.abs(hessian).max())


def ours(H, beta, c):
    """The same gradient (5,) and Hessian (5, 5), put together from the kernels."""
    K = len(H)
    inverse, share, w, square, cross, first, second = np.empty((7, *H.shape))
    entmax.slopes(H, beta, inverse, share)
    entmax.pulled_back(H, beta, c, w)
    entmax.bends(H, beta, c, w, square, cross)
    entmax.in_beta(H, beta, first, second)
    J = np.concatenate([np.broadcast_to(np.eye(K)[:, :, None], (K, K, 1)), first[:, None]], axis=1)
    J = np.ascontiguousarray(J)
    entmax.centred(share, inverse, J)
    J, gradient = J[:, :, 0], np.append(w[:, 0], w[:, 0] @ first[:, 0])
    hessian = (square * J).T @ J
    turn = J.T @ cross[:, 0]
    hessian[-1] += turn
    hessian[:, -1] += turn
    hessian[-1, -1] += w[:, 0] @ second[:, 0]
    return gradient, hessian


@pytest.mark.parametrize("beta", [1e-12, 1e-5, 0.3, 1.0, 2.0])
def test_functions_of_the_excess_keep_their_digits(beta):
    """Differences of logarithms cancel where u is near one; what is left is good to thirteen digits."""
    u = np.array([0.001, 0.3, 0.799, 0.801, 0.9, 0.999, 1.0 - 1e-9])
    H = np.log(u)[:, None] / beta
    first, second = np.empty((2, *H.shape))
    entmax.in_beta(H, beta, first, second)
    with mpmath.workdps(60):
        for h, one, two in zip(H[:, 0], first[:, 0], second[:, 0], strict=True):
            b, h = mpmath.mpf(beta), mpmath.mpf(h)
            x = mpmath.expm1(b * h)
            M = ((1 + x) * b * h - x) / b**2
            N = ((2 + x) * b * h - 2 * x) / b**3
            assert one == pytest.approx(-float(M), rel=1e-13)
            assert two == pytest.approx(float(N - h * M), rel=1e-12)


@pytest.mark.parametrize("beta", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("gap", [1e-3, 1e-9, 1e-16])
def test_nothing_is_infinite_at_the_edge(beta, gap):
    """Weights pi_k (q_k - 1), as the E-step makes them: their products with 1 / u are pi^(1 - beta) (q_k - 1)."""
    h = np.log(gap) / beta
    H = np.array([[np.log1p(-np.exp(h))], [h]])
    ratio = np.array([[0.7], [5.0]])
    w = np.empty((2, 1))
    entmax.pulled_back(H, beta, np.exp(H) * (ratio - 1.0), w)
    power = np.exp((1.0 - beta) * H)
    share = power / power.sum()
    expected = power * (ratio - 1.0) - share * (power * (ratio - 1.0)).sum()
    np.testing.assert_allclose(w, expected, rtol=1e-12, atol=1e-13)
