"""What each kernel computes, in plain NumPy, and how far rounding may take a kernel from it.

A twin returns what its kernel adds to, or writes into, its last arguments.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

EPS = np.finfo(np.float64).eps


def assert_same_sums(got, want, magnitude, terms):
    """Two ways of adding ``terms`` products, whose absolute values add up to ``magnitude``, in any order.

    Either is within ``terms * EPS * magnitude`` of the exact sum.
    """
    np.testing.assert_array_less(np.abs(got - want), 2 * terms * EPS * magnitude + np.finfo(np.float64).tiny)


def lower_tiles(size):
    """Mask (size, size) of the 4 x 4 tiles on and below the diagonal."""
    tile = np.arange(size) // 4
    return tile[:, None] >= tile


def pairs(size):
    """Index pairs (0,0), (1,0), (1,1), (2,0), ... of a lower triangle."""
    return np.tril_indices(size)


# ----------------------------------------------------------------------------------------- linear
def linear_predictor(coef, F):
    return coef[:, : len(F)] @ F


def row_dots(w, F):
    return F @ w


def pull_linear(weights, F):
    return weights @ F.T


def contract(weights, J):
    return (weights[:, None] * J).sum(axis=2)


def add_products(A, C):
    return A @ C.T


def add_lower_products(A, C):
    return np.where(lower_tiles(len(A)), A @ C.T, 0.0)


def feature_products(F):
    u, v = pairs(len(F))
    return F[u] * F[v]


def weighted_gram(w, F):
    return (F * w) @ F.T


# ------------------------------------------------------------------------------------------- rows
class Combined(NamedTuple):
    loglik: float
    PI: np.ndarray
    R: np.ndarray
    D: np.ndarray
    row: np.ndarray


def _softmax(V):
    top = V.max(axis=0)
    shares = np.exp(V - top)
    total = shares.sum(axis=0)
    return shares / total, top + np.log(total)


def combine(H, E, weight, normalised=True):
    top = H.max(axis=0)
    PI, gate = _softmax(H - top)
    resp, joint = _softmax((H - top) + E)
    if not normalised:
        PI, gate = np.zeros_like(PI), -top
    row = joint - gate
    R = weight * resp
    return Combined(float(weight @ row), PI, R, R - weight * PI, row)


def responsibilities(R, weight):
    return np.divide(R, weight, out=np.zeros_like(R), where=weight > 0)


def entropy(R, weight):
    r = responsibilities(R, weight)
    return -float(np.sum(weight * r * np.log(np.where(r > 0, r, 1.0))))


# ------------------------------------------------------------------------------------ information
def mean_derivatives(gate_columns, expert_columns, PI, R, weight, Jg, Je, size, n_gate):
    r, root = responsibilities(R, weight), np.sqrt(weight)
    A, U = np.zeros((size, weight.size)), np.zeros((n_gate, weight.size))
    np.add.at(A, gate_columns, root * r[:, None] * Jg)
    np.add.at(A, expert_columns, root * r[:, None] * Je)
    np.add.at(U, gate_columns, root * PI[:, None] * Jg)
    return A, U


def add_scores(A, U, weight):
    score = A @ np.sqrt(weight)
    score[: len(U)] -= U @ np.sqrt(weight)
    return score


def _outer(weights, J, C):
    """Per expert: J diag(weights) C'."""
    return (weights[:, None] * J) @ C.transpose(0, 2, 1)


def add_local_products(D, R, Jg, Je):
    return _outer(D, Jg, Jg), _outer(R, Je, Jg), _outer(R, Je, Je)


def add_weighted_outer(columns, PI, weight, J, n_gate):
    U = np.zeros((n_gate, weight.size))
    np.add.at(U, columns, np.sqrt(weight) * PI[:, None] * J)
    return U @ U.T, _outer(weight * PI, J, J)


def add_feature_products(R, PI, weight, F, experts, pairs):
    k, l = np.tril_indices(len(PI), -1)
    weights = [R] * experts + [-weight * PI[k] * PI[l]] * pairs
    return np.concatenate(weights) @ feature_products(F).T
